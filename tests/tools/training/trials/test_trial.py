"""Trials: their pictures, arms of one cost, and that they learn, repeat and end alignments."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from chatdit.tools.dit.loading import load_pocket_modules
from chatdit.tools.pocket.drawing import Drawing
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.training.examples import GRID, encode_tokens
from chatdit.tools.training.pooled import optimiser_of
from chatdit.tools.training.streams import SetChunk, StreamOptions, stream
from chatdit.tools.training.trials import alignment as alignments
from chatdit.tools.training.trials import pictures as trial_pictures
from chatdit.tools.training.trials import trial as trials
from chatdit.tools.training.trials.alignment import AlignmentRecipe
from chatdit.tools.training.trials.arms import ARMS, DEFAULT_ARMS, Arm, chosen_arms, small_arm
from chatdit.tools.training.trials.block_hooks import blocks_of
from chatdit.tools.training.trials.clock import TrialClock
from chatdit.tools.training.trials.model import _parameters_of, build_trial_model, update_of
from chatdit.tools.training.trials.pictures import (
    PictureOptions,
    TrialBatches,
    TrialPictures,
    draw_trial_pictures,
    sprite_classes,
)
from chatdit.tools.training.trials.trial import TrialRecipe, compile_blocks, held_out_losses, train_trial

CPU = torch.device("cpu")
RECIPE = TrialRecipe(steps=20, batch=8, warmup=2, average=0.8, compile=False)
ARM = Arm("tiny", "adamw", 5e-3, 5e-3, width=64, blocks=(1, 1), stages=((64, 1.0),), length=0.25)


@pytest.fixture(scope="module")
def pictures() -> TrialPictures:
    """Pictures in rows: one or two of a subject, as the caption says, background, and one of another subject."""
    generator = torch.Generator().manual_seed(0)
    looks = torch.randn(3, GRID.elements, generator=generator)
    kinds = torch.arange(40) % 2
    rows = torch.tensor([[0, 2, 2, 1], [0, 0, 2, 1]])[kinds]
    small, large, cells = (rows.repeat_interleave(n, 1).repeat_interleave(4 * n, 1) for n in (1, 2, 4))
    ids = torch.ones(40, 4, dtype=torch.int64)
    ids[:, 0] += kinds
    return TrialPictures(
        {64: looks[small].half(), 128: looks[large].half()},
        ids,
        torch.tensor([[3, 7]]).expand(40, -1),
        torch.stack([(cells == i) * 255 for i in range(2)], dim=2).byte(),
        torch.randn(len(text_vocabulary()) + 1, 256, generator=generator),
        held_out=8,
    )


def test_pictures_are_drawn_pooled_and_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_pictures, "seed_words", lambda encoder, *rest: encoder.words.weight.data.fill_(2.0))
    autoencoder = load_pocket_modules("pocket").autoencoder
    options = PictureOptions(count=3, held_out=2, chunk=4, loaders=0)
    drawn = draw_trial_pictures(options, (128, 256), autoencoder, CPU)
    assert drawn.tokens[128].shape == (5, 64, 64) and drawn.tokens[256].shape == (5, 256, 64)
    assert drawn.shares.shape == (5, 256, 6) and drawn.shares.dtype == torch.uint8 and drawn.shares.max() == 255
    assert drawn.text_ids.shape[0] == 5 and drawn.held_out == 2
    chunk: SetChunk = next(stream(StreamOptions(1, 4), "trials-0", 0))
    first = Drawing(
        chunk.drawing.sprites[:1], chunk.drawing.figures, chunk.drawing.grounds[:1], chunk.drawing.styles[:1]
    )
    small = F.avg_pool2d(Renderer().draw(first), 2)
    torch.testing.assert_close(drawn.tokens[128][:1], encode_tokens(autoencoder, small).half(), atol=5e-3, rtol=5e-3)
    assert torch.equal(drawn.classes[:4], sprite_classes(chunk.drawing))
    assert (drawn.words == 2).all() and not drawn.words.requires_grad


def test_batches_follow_from_the_seed_and_leave_out_what_is_held_out(pictures: TrialPictures) -> None:
    marked = replace(pictures, classes=torch.arange(40)[:, None].expand(-1, 2))
    batches = TrialBatches(marked, 8, 3)
    found = [batches(64) for _ in range(8)]
    seen = [draw.classes[:, 0].tolist() for _, draw in found]
    for epoch in (seen[:4], seen[4:]):
        assert sorted(i for chosen in epoch for i in chosen) == list(range(8, 40))
    again = TrialBatches(marked, 8, 3)
    for (batch, draw), (other, same) in zip(found, (again(64) for _ in range(8)), strict=True):
        assert all(torch.equal(a, b) for a, b in zip((*batch, *draw), (*other, *same), strict=True))
    assert not torch.equal(TrialBatches(marked, 8, 4)(64)[1].noise, found[0][1].noise)
    assert found[0][0].tokens.shape == (8, 16, GRID.elements) and not found[0][0].given.any()
    empty = torch.stack([(batch.text_ids == 0).all(dim=1) for batch, _ in found])
    assert 0 < empty.float().mean() < 0.4
    with pytest.raises(ValueError, match="32 pictures for a batch of 33"):
        TrialBatches(pictures, 33, 0)


def test_arms_see_as_many_tokens_as_the_plain_one_or_twice() -> None:
    assert ARMS["plain"].steps(2000) == ARMS["repa"].steps(2000) == 2000
    assert ARMS["256-only"].steps(2000) == 1000 and ARMS["128-then-256"].steps(2000) == 2000
    both = ARMS["128-then-256"]
    assert both.pixels == 256
    sizes = [both.pixels_at(step / 2000) for step in range(2000)]
    assert sizes == sorted(sizes) and sum((size // 16) ** 2 for size in sizes) == pytest.approx(1000 * 256, rel=0.002)


def test_arms_are_of_one_size_and_are_compared_with_arms() -> None:
    words = torch.empty(len(text_vocabulary()) + 1, 256, device="meta")
    counts = {}
    for arm in DEFAULT_ARMS:
        if (arm.width, arm.blocks) not in counts:
            with torch.device("meta"):
                transformer = build_trial_model(arm, words).transformer
            counts[arm.width, arm.blocks] = sum(p.numel() for p in transformer.parameters())
        assert arm.baseline is None or arm.baseline in ARMS
        if arm.control is not None:
            control = ARMS[arm.control].alignment
            assert control is not None and control.shuffled and arm.alignment is not None
            assert replace(control, shuffled=False, stop=arm.alignment.stop) == arm.alignment
    assert len(counts) == 4 and len({arm.name for arm in DEFAULT_ARMS}) == len(DEFAULT_ARMS)
    plain = counts[384, (1, 7)]
    assert all(count == pytest.approx(plain, rel=0.05) for count in counts.values())
    with pytest.raises(ValueError, match="no arm is called 'magic'"):
        chosen_arms(["plain", "magic"])
    with pytest.raises(ValueError, match="multiple of 64"):
        build_trial_model(replace(ARM, width=96), words)


def test_adamw_has_the_same_matrices_as_muon_with_their_rate() -> None:
    torch.manual_seed(0)
    words = torch.randn(len(text_vocabulary()) + 1, 256)
    trained = nn.ModuleList([build_trial_model(ARM, words), nn.Linear(3, 3)])
    matrices, others = _parameters_of(trained)
    muons = {id(p) for group in optimiser_of(trained)._groups.values() for p in group}
    assert {id(p) for p in matrices} == muons and len(matrices) + len(others) == len(list(trained.parameters()))
    before = matrices[0].detach().clone(), others[0].detach().clone()
    for p in (matrices[0], others[0]):
        p.grad = torch.ones_like(p)
    update_of(Arm("a", "adamw", matrix_rate=1e-2, other_rate=1e-3), trained)(0.5)
    torch.testing.assert_close(matrices[0], before[0] - 5e-3, atol=1e-6, rtol=0)
    torch.testing.assert_close(others[0], before[1] - 5e-4, atol=1e-6, rtol=0)
    assert matrices[0].grad is None


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
def test_a_tiny_trial_lowers_the_held_out_loss(pictures: TrialPictures, optimiser: Any) -> None:
    told: list[int] = []
    arm = replace(ARM, optimiser=optimiser)
    found = train_trial(pictures, arm, RECIPE, 0, notify=lambda what, done, total: told.append(done))
    assert [point.step for point in found.curve] == [4, 8, 12, 16, 20] and told == list(range(1, 21))
    assert found.curve[-1].loss == found.loss == pytest.approx(sum(found.bins) / 5)
    losses = [point.loss for point in found.curve]
    nothing = 1 + pictures.tokens[64][:8].float().square().mean().item()
    assert losses == sorted(losses, reverse=True) and found.loss < 0.7 * nothing
    assert found.aligned_steps == 0 and found.cosines == ()
    seconds = [point.seconds for point in found.curve]
    assert seconds == sorted(seconds) and seconds[-1] == found.seconds > 0
    assert not found.recorded and found.step_ms > 0 and found.steps == 20


def test_a_seed_repeats_a_trial(pictures: TrialPictures) -> None:
    few = replace(RECIPE, steps=5)
    first, again, other = (train_trial(pictures, ARM, few, seed) for seed in (0, 0, 1))
    assert again.bins == first.bins and other.loss != first.loss


def test_the_held_out_loss_has_fixed_times_and_noise(pictures: TrialPictures) -> None:
    torch.manual_seed(0)
    model = build_trial_model(ARM, pictures.words)
    first = held_out_losses(model, pictures, 64, 8)
    torch.manual_seed(1)
    assert held_out_losses(model, pictures, 64, 8) == first and len(first) == 5
    # a fresh model predicts nothing, so the loss is the target's mean square in every bin
    nothing = 1 + pictures.tokens[64][:8].float().square().mean().item()
    assert first == pytest.approx([nothing] * 5, rel=0.1)


def test_sizes_follow_one_another_with_a_pace_of_their_own(pictures: TrialPictures) -> None:
    arm = replace(ARM, stages=((64, 0.5), (128, 0.5)), length=0.625)
    found = train_trial(pictures, arm, replace(RECIPE, steps=4), 0)
    assert found.steps == 4 and len(found.phase_ms) == 2 and len(found.curve) == 4
    once = train_trial(pictures, arm, replace(RECIPE, steps=4, points=1), 0)
    assert once.loss == found.loss, "measuring changes nothing"


@pytest.mark.parametrize("kind", ["repa", "haste", "sra"])
def test_an_alignment_trains_beside_the_flow_loss(pictures: TrialPictures, kind: Any) -> None:
    recipe = AlignmentRecipe(kind, block=1, teacher_block=2, attention_blocks=(1, 2))
    found = train_trial(pictures, replace(ARM, alignment=recipe), replace(RECIPE, steps=5), 0)
    plain = train_trial(pictures, ARM, replace(RECIPE, steps=5), 0)
    assert found.aligned_steps == 5 and found.loss != plain.loss
    assert found.loss == pytest.approx(plain.loss, rel=0.3) and found.parameters == plain.parameters


def test_an_alignment_that_has_ended_costs_nothing(pictures: TrialPictures, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("class_occupancy", "class_attention", "attention_cross_entropy"):
        _counted(monkeypatch, name, asked)
    recipe = AlignmentRecipe("haste", block=1, attention_blocks=(1, 2), stop="share", stop_share=0.35)
    found = train_trial(pictures, replace(ARM, alignment=recipe), RECIPE, 0)
    assert found.aligned_steps == 7 and len(found.phase_ms) == 2
    assert asked.count("class_occupancy") == asked.count("class_attention") == 7
    assert asked.count("attention_cross_entropy") == 14


def test_what_has_ended_is_let_go_at_once(pictures: TrialPictures) -> None:
    model = build_trial_model(ARM, pictures.words)
    phase = trials._Phase(model, None, model, 64)
    phase(*TrialBatches(pictures, 8, 0)(64))
    gone = weakref.ref(phase)
    gc.disable()
    del phase
    gc.enable()
    assert gone() is None


def test_an_alignment_ends_with_the_agreement_of_the_gradients(
    pictures: TrialPictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([0.9, 0.1, -0.5, -0.6, -0.9])
    monkeypatch.setattr(trials, "gradient_cosine", lambda *given: next(told))
    recipe = AlignmentRecipe("haste", block=1, attention_blocks=(1,), stop="cosine", measure_every=2)
    found = train_trial(pictures, replace(ARM, alignment=recipe), RECIPE, 0)
    assert found.cosines == (0.9, 0.1, -0.5, -0.6, -0.9) and found.aligned_steps == 10


def test_small_arms_fit_their_alignments(pictures: TrialPictures) -> None:
    for arm in {small_arm(arm).alignment: small_arm(arm) for arm in DEFAULT_ARMS}.values():
        if arm.alignment is not None:
            alignments.Alignment(arm.alignment, build_trial_model(arm, pictures.words))


def test_the_clock_leaves_out_first_laps_and_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("chatdit.tools.training.trials.clock.time.perf_counter", lambda: now[0])
    clock = TrialClock(CPU, lap=2)
    clock.new_phase()
    for seconds in (50.0, 1.0, 1.0, 3.0, 1.0):
        now[0] += seconds
        clock.tick()
    with clock.stopped():
        now[0] += 1000
    clock.new_phase()
    for seconds in (70.0, 4.0, 4.0):
        now[0] += seconds
        clock.tick()
    with clock.stopped():
        pass
    assert clock.phase_ms() == (1500.0, 4000.0) and clock.median_ms() == 2000.0
    assert clock.seconds_at(5) == 7.5 and clock.seconds_at(8) == 7.5 + 12


def _counted(monkeypatch: pytest.MonkeyPatch, name: str, asked: list[str]) -> None:
    original = getattr(alignments, name)

    def counted(*given: Any) -> Tensor:
        asked.append(name)
        found: Tensor = original(*given)
        return found

    monkeypatch.setattr(alignments, name, counted)


def test_blocks_that_are_looked_into_are_not_compiled(pictures: TrialPictures) -> None:
    arm = replace(ARM, blocks=(1, 3))
    model = build_trial_model(arm, pictures.words)
    alignment = alignments.Alignment(AlignmentRecipe("sra", block=1, teacher_block=3), model)
    compile_blocks(model, alignment)
    assert alignment.teacher is not None
    compiled = [
        [b._compiled_call_impl is not None for b in blocks_of(m.transformer)] for m in (model, alignment.teacher)
    ]
    assert compiled == [[False, True, True, True], [True, True, False, True]]
    compile_blocks(model, None)
    assert all(block._compiled_call_impl is not None for block in blocks_of(model.transformer))
