"""Alignments: what is compared with what, where gradients reach, and the controls."""

from __future__ import annotations

import math
import random
import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from chatdit.tools.pocket.drawing import drawing
from chatdit.tools.pocket.renderer import NO_CLASS, Renderer
from chatdit.tools.pocket.samples import random_sample
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.training.base import PocketModel
from chatdit.tools.training.examples import GRID, Batch, untold
from chatdit.tools.training.trials.alignment import (
    Agreement,
    Alignment,
    AlignmentRecipe,
    Draw,
    attention_cross_entropy,
    cosine_loss,
    gradient_cosine,
    noised,
    training_losses,
)
from chatdit.tools.training.trials.arms import Arm
from chatdit.tools.training.trials.block_hooks import Wanted, blocks_of, captured
from chatdit.tools.training.trials.class_teacher import (
    BACKGROUND,
    CLASSES,
    class_attention,
    class_occupancy,
    derangement,
    pooled_shares,
    spatially_normalised,
)
from chatdit.tools.training.trials.model import build_trial_model
from chatdit.tools.training.trials.pictures import drawn_with_shares, picture_positions, sprite_classes

SIDE, SIZE = 64, 4
TOKENS = (SIDE // GRID.token_size) ** 2
HASTE = AlignmentRecipe("haste", block=2, attention_blocks=(1, 2))
SRA = AlignmentRecipe("sra", block=1, teacher_block=2)


def _model(blocks: tuple[int, int] = (1, 2)) -> PocketModel:
    words = torch.randn(len(text_vocabulary()) + 1, 256)
    model = build_trial_model(Arm("tiny", width=64, blocks=blocks), words)
    for name, p in model.transformer.named_parameters():
        if ".norm" in name or "_out" in name:  # what starts at zero lets no gradient through
            nn.init.normal_(p, std=0.05)
    return model


def _batch_and_draw() -> tuple[Batch, Draw]:
    generator = torch.Generator().manual_seed(1)
    shares = torch.zeros(SIZE, 256, 2, dtype=torch.uint8)
    for i in range(SIZE):
        shares[i, : 64 * (i + 1) // 2, 0] = 255
        shares[i, 160 + 16 * i :, 1] = 128
    classes = torch.tensor([[3 + i, 40 + i] for i in range(SIZE)])
    tokens = torch.randn(SIZE, TOKENS, GRID.elements, generator=generator)
    batch = Batch(
        tokens,
        torch.randint(1, 9, (SIZE, 4), generator=generator),
        picture_positions(SIDE, torch.device("cpu")),
        torch.zeros(SIZE, TOKENS, dtype=torch.bool),
        untold(SIZE, 1, torch.device("cpu")),
    )
    draw = Draw(
        noise=torch.randn(tokens.shape, generator=generator),
        times=torch.tensor([0.1, 0.4, 0.7, 0.9]),
        gaps=torch.tensor([1.0, 0.5, 0.0, 1.0]),
        others=torch.tensor([1, 2, 3, 0]),
        classes=classes,
        shares=shares,
    )
    return batch, draw


def _aligned(model: PocketModel, alignment: Alignment) -> Tensor:
    loss = training_losses(model, alignment, *_batch_and_draw())[1]
    assert loss is not None
    return loss


def test_occupancy_adds_up_sprites_of_a_class_and_leaves_the_rest_to_the_background() -> None:
    classes = torch.tensor([[5, 7, 5], [0, 0, 0]])
    shares = torch.tensor([[[0.25, 0.5, 0.125], [0, 0, 0]], [[0, 0, 0], [1.0, 0, 0]]])
    found = class_occupancy(classes, shares)
    assert found.shape == (2, 2, CLASSES)
    assert found[0, 0, [5, 7, BACKGROUND]].tolist() == [0.375, 0.5, 0.125]
    assert found[0, 1, BACKGROUND] == 1 and found[1, 1, 0] == 1
    assert torch.equal(found.sum(dim=2), torch.ones(2, 2))


def test_shares_pool_to_larger_tokens() -> None:
    shares = torch.arange(16.0).view(1, 16, 1)
    assert pooled_shares(shares, 4).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert torch.equal(pooled_shares(shares, 16), shares)
    with pytest.raises(ValueError, match="whose side divides"):
        pooled_shares(shares, 9)


def test_occupancy_is_what_the_renderer_knows() -> None:
    rng = random.Random(4)
    samples = [random_sample(rng, 1) for _ in range(12)]
    scenes, placements = [s.scenes[0] for s in samples], [s.placements[0] for s in samples]
    assert any(p.worn or p.outfit for placed in placements for p in placed)
    renderer = Renderer()
    numbers = drawing(scenes, placements, random.Random(0))
    pictures, shares = drawn_with_shares(renderer, numbers)
    truth = renderer.render(scenes, random.Random(0), placements)
    assert torch.equal(pictures, truth.pictures)
    found = class_occupancy(sprite_classes(numbers), shares.float() / 255)
    classes = torch.where(truth.class_map == NO_CLASS, BACKGROUND, truth.class_map)
    cells = classes.view(12, 16, 16, 16, 16).permute(0, 1, 3, 2, 4).reshape(12, 256, 256)
    for c in range(CLASSES):
        torch.testing.assert_close(found[..., c], (cells == c).float().mean(dim=2), atol=0.01, rtol=0)


def test_spatial_normalisation_by_hand() -> None:
    teacher = torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
    found = spatially_normalised(teacher, part=0.6)
    assert found[0, :, 0].tolist() == pytest.approx([-0.3 / 0.501, 0.7 / 0.501])
    assert found[0, :, 1].tolist() == pytest.approx([400.0, 400.0], rel=1e-4)


def test_a_query_attends_evenly_to_its_own_class() -> None:
    occupancy = torch.tensor([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]])
    assert class_attention(occupancy)[0].tolist() == [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]]


def test_nothing_stays_in_place() -> None:
    for seed in range(50):
        found = derangement(2 + seed % 7, torch.Generator().manual_seed(seed))
        places = torch.arange(len(found))
        assert torch.equal(found.sort().values, places) and not (found == places).any()
    with pytest.raises(ValueError, match="at least 2"):
        derangement(1, torch.Generator())


def test_the_axis_of_the_cosine_by_hand() -> None:
    student = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    teacher = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    # tokens: cosines 1 and 0; features: (1, 0) with (1, 1), and (0, 1) with nothing
    assert cosine_loss(student, teacher, "feature").item() == pytest.approx(0.5)
    assert cosine_loss(student, teacher, "token").item() == pytest.approx(1 - 0.5**0.5 / 2)


def test_attention_cross_entropy_is_least_for_the_teacher() -> None:
    teacher = class_attention(torch.eye(2)[None, [0, 0, 1, 0]])
    codes = torch.eye(2)[[0, 0, 1, 0]]
    keys = codes.view(1, 4, 1, 2)
    entropy = (3 * math.log(3) + 0) / 4
    found = [attention_cross_entropy(scale * keys, keys, teacher).item() for scale in (0.0, 1.0, 5.0, 60.0)]
    assert found[0] == pytest.approx(math.log(4)) and found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(entropy, abs=1e-5)
    for _ in range(20):
        q, k = torch.randn(2, 1, 4, 3, 2)
        assert attention_cross_entropy(q, k, teacher) > entropy


def test_attention_is_compared_as_the_blocks_compute_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    batch, draw = _batch_and_draw()
    used: list[tuple[Tensor, Tensor]] = []
    module = "diffusers.models.transformers.transformer_flux"
    original = vars(sys.modules[module])["dispatch_attention_fn"]

    def note(query: Tensor, key: Tensor, value: Tensor, **named: Any) -> Tensor:
        used.append((query, key))
        mixed: Tensor = original(query, key, value, **named)
        return mixed

    monkeypatch.setattr(f"{module}.dispatch_attention_fn", note)
    with torch.no_grad(), captured(model.transformer, Wanted(attention=(1, 3))) as seen:
        model(noised(batch.tokens, draw.noise, draw.times), draw.times, batch)
    teacher = class_attention(class_occupancy(draw.classes, pooled_shares(draw.shares / 255, TOKENS)))
    for block in (1, 3):
        q, k = (x[:, -TOKENS:] for x in used[block - 1])
        rows = [
            -(teacher[b, i] * (q[b, i, h] @ k[b, :, h].T / 8).softmax(dim=0).log()).sum()
            for b in range(SIZE)
            for h in range(q.shape[2])
            for i in range(TOKENS)
        ]
        found = attention_cross_entropy(*seen.queries_and_keys(block, TOKENS), teacher)
        assert found.item() == pytest.approx(torch.stack(rows).mean().item(), rel=1e-5)


def test_hooks_do_not_stay_and_unknown_blocks_are_told() -> None:
    model = _model()
    with captured(model.transformer, Wanted((1, 2), (3,))):
        assert any(module._forward_hooks for block in blocks_of(model.transformer) for module in block.modules())
    for block in blocks_of(model.transformer):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in block.modules())
    with pytest.raises(ValueError, match="block 4 of 3"), captured(model.transformer, Wanted((4,))):
        pass
    with pytest.raises(ValueError, match="expected a later one"):
        Alignment(replace(SRA, teacher_block=1), model)
    with pytest.raises(ValueError, match="at most 3"):
        Alignment(AlignmentRecipe("repa", block=4), model)


@pytest.mark.parametrize(
    ("recipe", "last"), [(AlignmentRecipe("repa", block=2), 2), (HASTE, 2), (SRA, 1), (replace(SRA, axis="token"), 1)]
)
def test_gradients_reach_the_block_and_none_after_it(recipe: AlignmentRecipe, last: int) -> None:
    torch.manual_seed(0)
    model = _model()
    alignment = Alignment(recipe, model)
    _aligned(model, alignment).backward()  # type: ignore[no-untyped-call]
    for number, block in enumerate(blocks_of(model.transformer), start=1):
        attention = block.get_submodule("attn").get_parameter("to_v.weight")
        if number <= last:
            assert attention.grad is not None and attention.grad.abs().max() > 0
        else:
            assert all(p.grad is None for p in block.parameters())
    assert model.transformer.proj_out.weight.grad is None
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in alignment.parameters())


def test_repa_is_learnt_from_the_true_teacher_and_not_from_one_that_changes() -> None:
    ends = []
    for shuffled in (False, True):
        torch.manual_seed(0)
        model = _model((1, 1))
        alignment = Alignment(AlignmentRecipe("repa", block=2, weight=1.0, shuffled=shuffled), model)
        optimiser = torch.optim.AdamW([*model.parameters(), *alignment.parameters()], lr=3e-3)
        batch, draw = _batch_and_draw()
        losses: list[float] = []
        for _ in range(40):
            drawn = draw._replace(others=derangement(SIZE, torch.Generator().manual_seed(len(losses))))
            loss = training_losses(model, alignment, batch, drawn)[1]
            assert loss is not None
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
        ends.append(losses[-1])
        assert losses[-1] < losses[0]
    assert ends[0] < 0.2 and ends[1] > 2 * ends[0]


@pytest.mark.parametrize("kind", ["repa", "haste"])
def test_a_shuffled_teacher_shows_the_other_pictures_maps(kind: Any) -> None:
    model = _model()
    alignment = Alignment(AlignmentRecipe(kind, block=2, attention_blocks=(2,), shuffled=True), model)
    batch, draw = _batch_and_draw()
    shuffled = training_losses(model, alignment, batch, draw)[1]
    moved = draw._replace(classes=draw.classes[draw.others], shares=draw.shares[draw.others])
    alignment.recipe = replace(alignment.recipe, shuffled=False)
    by_hand, plain = (training_losses(model, alignment, batch, d)[1] for d in (moved, draw))
    assert shuffled is not None and by_hand is not None and plain is not None
    assert shuffled.item() == pytest.approx(by_hand.item(), rel=1e-6) and shuffled.item() != plain.item()


def test_haste_adds_half_the_attentions_cross_entropy_to_repa() -> None:
    torch.manual_seed(0)
    model = _model()
    alignment = Alignment(HASTE, model)
    both = _aligned(model, alignment)
    alignment.recipe = replace(HASTE, kind="repa")
    repa = _aligned(model, alignment)
    batch, draw = _batch_and_draw()
    with captured(model.transformer, Wanted(attention=(1, 2))) as seen:
        model(noised(batch.tokens, draw.noise, draw.times), draw.times, batch)
    teacher = class_attention(class_occupancy(draw.classes, pooled_shares(draw.shares / 255, TOKENS)))
    entropies = [attention_cross_entropy(*seen.queries_and_keys(n, TOKENS), teacher) for n in (1, 2)]
    assert (both - repa).item() == pytest.approx(0.25 * sum(e.item() for e in entropies), rel=1e-4)


def test_sras_teacher_sees_less_of_the_same_noise_and_follows_slowly() -> None:
    torch.manual_seed(0)
    model = _model()
    alignment = Alignment(SRA, model)
    assert alignment._teacher is not None
    teacher, asked = alignment._teacher.model, []
    teacher.register_forward_pre_hook(lambda module, args: asked.append(args))
    batch, draw = _batch_and_draw()
    _aligned(model, alignment)
    noisy, times, told = asked[0]
    assert times.tolist() == pytest.approx([0.0, 0.3, 0.7, 0.7])
    torch.testing.assert_close(noisy[0], batch.tokens[0])
    torch.testing.assert_close(noisy[1], 0.7 * batch.tokens[1] + 0.3 * draw.noise[1])
    assert torch.equal(told.text_ids, batch.text_ids)
    assert not any(p.requires_grad for p in teacher.parameters())
    before = teacher.transformer.x_embedder.weight.clone()
    with torch.no_grad():
        model.transformer.x_embedder.weight.add_(1.0)
    assert torch.equal(teacher.transformer.x_embedder.weight, before)
    alignment.follow(model, 100_000)
    torch.testing.assert_close(teacher.transformer.x_embedder.weight, before + 0.001)


def test_sra_of_a_model_with_itself_at_the_same_time_depends_on_the_pictures() -> None:
    model = _model()
    alignment = Alignment(replace(SRA, gap=0.0, weight=1.0), model)
    alignment.head = nn.Sequential()
    batch, draw = _batch_and_draw()
    with torch.no_grad(), captured(model.transformer, Wanted((1, 2))) as seen:
        model(noised(batch.tokens, draw.noise, draw.times), draw.times, batch)
    by_hand = cosine_loss(seen.hidden[1], seen.hidden[2], "feature")
    assert _aligned(model, alignment).item() == pytest.approx(by_hand.item(), rel=1e-5)
    alignment.recipe = replace(alignment.recipe, shuffled=True)
    others = cosine_loss(seen.hidden[1], seen.hidden[2][draw.others], "feature")
    assert _aligned(model, alignment).item() == pytest.approx(others.item(), rel=1e-5) and others > by_hand


@pytest.mark.parametrize("recipe", [AlignmentRecipe("repa", block=2), HASTE, replace(SRA, shuffled=True)])
def test_a_step_reads_nothing_back_from_the_device(recipe: AlignmentRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatdit.tools.training.trials.alignment.mixed_precision", lambda device: nullcontext())
    with torch.device("meta"):  # where there is nothing to read
        model = _model()
        alignment = Alignment(recipe, model)
    batch, draw = _batch_and_draw()
    flow, aligned = training_losses(
        model, alignment, Batch(*(x.to("meta") for x in batch)), Draw(*(x.to("meta") for x in draw))
    )
    assert aligned is not None and flow.shape == aligned.shape == ()
    (flow + aligned).backward()  # type: ignore[no-untyped-call]


def test_the_cosine_of_gradients_by_hand() -> None:
    torch.manual_seed(0)
    model = _model()
    alignment = Alignment(HASTE, model)
    found = gradient_cosine(model, alignment, *_batch_and_draw())
    assert all(p.grad is None for p in [*model.parameters(), *alignment.parameters()])
    gradients = []
    for i in range(2):
        loss = training_losses(model, alignment, *_batch_and_draw())[i]
        assert loss is not None
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in alignment.shared(model) if p.grad is not None]))
        model.zero_grad()
    a, b = gradients
    assert found == pytest.approx((a @ b / a.norm() / b.norm()).item(), rel=1e-4) and -1 < found < 1


def test_agreement_ends_when_it_is_gone_for_good() -> None:
    agreement = Agreement(smoothing=0.5, least=3)
    assert not agreement.ends(-0.1) and not agreement.ends(-0.1), "not before some measurements"
    assert not agreement.ends(0.9), "one measurement outweighs what is gone"
    assert not agreement.ends(-0.2)
    assert agreement.ends(-0.2) and agreement.measured == [-0.1, -0.1, 0.9, -0.2, -0.2]
