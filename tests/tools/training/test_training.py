"""Trainers on a few steps: they learn, they resume, they leave what they say."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.loading import load_pocket_modules, save_pocket_folder
from chatdit.tools.dit.packing import pack
from chatdit.tools.dit.text_encoder import PhraseTokenizer, PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.samples import GIVENS
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.pocket.vocabulary import HELD_OUT, SUBJECTS
from chatdit.tools.training import pocket
from chatdit.tools.training.autoencoder import SMALL_RECIPE as SMALL_AUTOENCODER_RECIPE
from chatdit.tools.training.autoencoder import psnr, train_autoencoder
from chatdit.tools.training.base import SMALL_RECIPE as SMALL_BASE_RECIPE
from chatdit.tools.training.base import BaseRecipe, build_model, flow_loss, train_base, training_times
from chatdit.tools.training.checkpoint import load_checkpoint, save_checkpoint
from chatdit.tools.training.detector import SMALL_DETECTOR_RECIPE
from chatdit.tools.training.examples import (
    GRID,
    Batch,
    ExamplePool,
    encode_tokens,
    given_around,
    given_panels,
    panel_positions,
    shrunk,
    untold,
)
from chatdit.tools.training.few_step import SMALL_FEW_STEP_RECIPE
from chatdit.tools.training.muon import Muon, orthogonalised
from chatdit.tools.training.pocket import DEFAULTS, train_pocket
from chatdit.tools.training.schedule import Clock, rate
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.team import Team
from chatdit.tools.training.textures import textures
from chatdit.tools.training.words import seed_words, with_words
from chatdit.tools.types import ToolError

ALONE = Team(torch.device("cpu"))
HELD_OUT_INDICES = {SUBJECTS[name].index for name in HELD_OUT}


def test_orthogonalised_matrices_have_singular_values_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 24, 40), (2, 40, 24)):
        strengths = torch.linalg.svdvals(orthogonalised(torch.randn(shape, generator=generator)))
        assert strengths.min() > 0.5 and strengths.max() < 1.4


def test_muon_fits_a_linear_map() -> None:
    torch.manual_seed(0)
    truth, weight, bias = torch.randn(8, 16), nn.Parameter(torch.zeros(8, 16)), nn.Parameter(torch.zeros(8))
    optimiser = Muon([weight], [bias])
    losses = []
    for step in range(300):
        x = torch.randn(64, 16)
        loss = (x @ weight.T + bias - x @ truth.T).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(0.05 * (1 - step / 300), 0.01)
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    assert weight.grad is None


def test_the_autoencoder_learns(tmp_path: Path) -> None:
    recipe = replace(SMALL_AUTOENCODER_RECIPE, steps=20, batch=4, checked=4, rate=1e-2)
    train_autoencoder(tmp_path, recipe, team=ALONE, seed=0)
    lines = [json.loads(line) for line in (tmp_path / "autoencoder.jsonl").read_text().splitlines()]
    assert lines[-1]["psnr_256"] > lines[0]["psnr"] > 0
    train_autoencoder(tmp_path, replace(recipe, steps=21), team=ALONE, seed=0)
    went_on = json.loads((tmp_path / "autoencoder.jsonl").read_text().splitlines()[-1])
    assert went_on["step"] == 21 and went_on["psnr_256"] > lines[-1]["psnr_256"] - 2


def test_the_schedule_warms_up_holds_and_falls() -> None:
    assert rate(0, 0, warmup=10, flat=0.5) == pytest.approx(0.1)
    assert rate(0.4, 40, warmup=10, flat=0.5) == 1
    assert rate(0.75, 75, warmup=10, flat=0.5) == pytest.approx(0.5)


def test_the_clock_counts_steps_or_seconds_and_ends_with_its_sitting() -> None:
    assert list(Clock(minutes=9, steps=4).ticks(2)) == [(2, 0.5), (3, 0.75)]
    assert list(Clock(minutes=1, used=60).ticks()) == []
    assert list(Clock(minutes=1, used=30, sitting=0).ticks(7)) == []
    step, share = next(Clock(minutes=1, used=30, sitting=1).ticks(7))
    assert step == 7 and share == pytest.approx(0.5, abs=0.01)


def test_the_clock_of_a_team_is_its_leaders() -> None:
    told: list[float] = []

    def leader(value: float) -> float:
        told.append(value)
        return min(1.0, 0.5 * len(told))

    assert list(Clock(minutes=1, agree=leader).ticks()) == [(0, 0.5)]


def test_a_base_stage_resumes_and_counts_on(tmp_path: Path) -> None:
    autoencoder = PocketAutoencoder().eval()
    recipe = replace(SMALL_BASE_RECIPE, steps=2, batches={1: 2}, shares={1: 1.0}, pool=8, chunk=4)
    train_base(tmp_path, autoencoder, recipe, team=ALONE, seed=0)
    train_base(tmp_path, autoencoder, replace(recipe, steps=3), team=ALONE, seed=0)
    lines = [json.loads(line) for line in (tmp_path / "base.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3] and all(0.5 < line["loss_1"] < 4 for line in lines)
    assert load_checkpoint(tmp_path / "base", build_model()).step == 3


def test_psnr_of_a_known_error() -> None:
    assert psnr(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.2)) == pytest.approx(20.0)


def test_tokens_are_packed_as_the_sampler_packs_them() -> None:
    autoencoder = PocketAutoencoder().eval()
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        latents = autoencoder.encode(pictures).float()
    tokens = encode_tokens(autoencoder, pictures)
    assert torch.equal(tokens, torch.stack([pack(latent, GRID.pack) for latent in latents]))


def test_batches_have_the_shapes_of_a_sampling_call() -> None:
    chunks = stream(StreamOptions(2, 3), "0", workers=0)
    pool = ExamplePool(2, 8, chunks, Renderer(), PocketAutoencoder().eval(), reuse=4)
    pool.fill(6)
    batch = pool.draw(8)
    assert pool.seen == 9, "eight drawn at four uses each are two new ones, and a chunk is three"
    assert batch.tokens.shape == (8, 512, 64) and batch.positions.shape == (512, 3)
    assert batch.text_ids.shape[1] == 32 and batch.given.shape == (8, 512)


def test_small_pictures_cost_a_quarter_and_stand_where_large_ones_do() -> None:
    chunk = next(stream(StreamOptions(4, 1), "0", workers=0))
    autoencoder = PocketAutoencoder().eval()
    pool = ExamplePool(4, 1, iter([chunk, chunk]), Renderer(), autoencoder, reuse=10, pixels=128)
    pool.fill(1)
    batch = pool.draw(2)
    assert batch.tokens.shape == (2, 256, 64) and batch.given.shape == (2, 256)
    assert batch.positions[:, 1:].amax() in (7, 15), "on one canvas, or each from its own corner"
    small = shrunk(Renderer().draw(chunk.drawing), 128)
    assert small.shape == (4, 3, 128, 128)
    torch.testing.assert_close(batch.tokens[0].view(4, 64, 64), encode_tokens(autoencoder, small), atol=2e-3, rtol=2e-3)
    recipe = BaseRecipe(pixels=128)
    assert recipe.rows(1) * 64 * 2 == BaseRecipe().rows(1) * 256


def test_a_full_pool_forgets_its_oldest() -> None:
    chunks = list(itertools.islice(stream(StreamOptions(1, 2), "0", workers=0), 4))
    pool = ExamplePool(1, 4, iter(chunks), Renderer(), PocketAutoencoder().eval(), reuse=1000)
    pool.fill(6)
    # drawing takes the fourth chunk, of which there are two sets, as of every chunk
    ids = {tuple(row.tolist()) for row in torch.cat([c.text_ids for c in chunks[2:]])}
    drawn = {tuple(row.tolist()) for row in pool.draw(100).text_ids if row.any()}
    assert drawn == ids


def test_streams_repeat_with_their_seed_and_differ_by_it() -> None:
    first, again, other = (next(stream(StreamOptions(4, 4), seed, workers=0)) for seed in ("a", "a", "b"))
    assert torch.equal(first.drawing.sprites, again.drawing.sprites) and torch.equal(first.text_ids, again.text_ids)
    assert not torch.equal(first.drawing.grounds, other.drawing.grounds)
    assert HELD_OUT_INDICES.isdisjoint(first.drawing.sprites[..., 0][first.drawing.sprites[..., 2] > 0].tolist())


def test_looks_without_words_always_come_with_a_given_panel() -> None:
    torch.manual_seed(0)
    rules = torch.tensor([GIVENS.index(rule) for rule in ("some", "any", "first")] * 200)
    given = given_panels(rules, 4)
    some, chance, first = (given[rules == GIVENS.index(rule)] for rule in ("some", "any", "first"))
    assert some.any(dim=1).all() and not given.all(dim=1).any()
    assert 0.3 < chance.any(dim=1).float().mean() < 0.5
    assert first[:, 0].all() and not first[:, 1:].any()
    assert not given_panels(rules, 1).any()


def test_positions_of_canvas_and_sequence() -> None:
    canvas, sequence = panel_positions(4, canvas=True), panel_positions(4, canvas=False)
    assert set(canvas[:, 0].tolist()) == {0} and canvas[:, 1:].max() == 31
    assert set(sequence[:, 0].tolist()) == {0, 1, 2, 3} and sequence[:, 1:].max() == 15


def test_times_lie_in_the_open_interval_and_lean_towards_noise() -> None:
    times = training_times(4000, torch.device("cpu"))
    assert times.min() > 0 and times.max() < 1 and 0.55 < times.mean() < 0.75
    assert 0.48 < training_times(4000, torch.device("cpu"), 1.0).mean() < 0.52, "small pictures keep their times"


def test_a_fresh_model_predicts_zero_and_given_tokens_cost_nothing() -> None:
    torch.manual_seed(0)
    model = build_model()
    tokens = torch.randn(2, 256, 64)
    given = torch.zeros(2, 256, dtype=torch.bool)
    given[:, :128] = True
    squares = untold(2, 1, torch.device("cpu"))
    batch = Batch(tokens, torch.ones(2, 16, dtype=torch.int64), panel_positions(1, canvas=False), given, squares)
    loss = flow_loss(model, batch)
    # the target is noise minus picture, both of unit variance
    assert loss.item() == pytest.approx(2.0, abs=0.15)
    loss.backward()  # type: ignore[no-untyped-call]
    gradient = model.transformer.proj_out.weight.grad
    assert gradient is not None and gradient.abs().max() > 0


def test_checkpoints_return_what_was_saved_in_small_parts(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(1024, 4096), nn.Linear(4096, 1024), nn.Linear(1024, 8))
    save_checkpoint(tmp_path, model, step=7, seconds=1.5)
    assert all(p.stat().st_size < 16 * 2**20 for p in tmp_path.glob("*.safetensors"))
    other = nn.Sequential(nn.Linear(1024, 4096), nn.Linear(4096, 1024), nn.Linear(1024, 8))
    assert load_checkpoint(tmp_path, other).step == 7
    saved, loaded = model.state_dict(), other.state_dict()
    assert all(torch.equal(loaded[name], saved[name].bfloat16().float()) for name in saved)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    (tmp_path / "progress.json").unlink()
    assert load_checkpoint(tmp_path, other).step == 0


def test_words_of_held_out_subjects_stay_random() -> None:
    encoder = PocketTextEncoder(TextEncoderConfig(text_vocabulary()))
    autoencoder, renderer = PocketAutoencoder().eval(), Renderer()
    seed_words(encoder, autoencoder, renderer, seed=0)
    first = encoder.words.weight.clone()
    with torch.no_grad():
        next(autoencoder.parameters()).mul_(torch.randn(96, 1, 1, 1))
    seed_words(encoder, autoencoder, renderer, seed=0)
    tokenizer = PhraseTokenizer(text_vocabulary(), 96)
    for name in HELD_OUT:
        assert torch.equal(first[tokenizer(name).ids[0]], encoder.words.weight[tokenizer(name).ids[0]])
    assert not torch.allclose(first[tokenizer("cat").ids[0]], encoder.words.weight[tokenizer("cat").ids[0]])
    assert first[0].abs().max() == 0


def test_stages_need_the_ones_before(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="autoencoder"):
        train_pocket("base", tmp_path, minutes=0.01, device=torch.device("cpu"), seed=0, fresh=True)


def test_a_rate_is_a_factor_on_what_recipes_say(tmp_path: Path) -> None:
    order = pocket._Order("base", tmp_path, 1.0, None, 256, "imitation", 0.5, False, 0)
    cpu = torch.device("cpu")
    for made, plain in (
        (pocket._base_recipe(order, cpu), SMALL_BASE_RECIPE),
        (pocket._few_step_recipe(order, cpu), SMALL_FEW_STEP_RECIPE),
    ):
        assert (made.matrix_rate, made.other_rate) == (plain.matrix_rate / 2, plain.other_rate / 2)
    assert pocket._detector_recipe(order, cpu).peak == SMALL_DETECTOR_RECIPE.peak / 2


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pocket model that is not distilled: random weights in the shipped model's shape, and its words."""
    shipped, folder = load_pocket_modules("pocket"), tmp_path_factory.mktemp("base") / "model"
    torch.manual_seed(0)
    save_pocket_folder(
        folder, build_model().transformer, shipped.autoencoder, shipped.text_encoder, DEFAULTS, quantize=True
    )
    return folder


def test_a_start_puts_a_models_weights_where_stages_look(tmp_path: Path, base_folder: Path) -> None:
    folder = train_pocket(
        "export", tmp_path, minutes=0.01, device=torch.device("cpu"), seed=0, fresh=False, start=str(base_folder)
    )
    shipped, again = load_pocket_modules(base_folder), load_pocket_modules(folder)
    for name, before, after in zip(shipped._fields, shipped, again, strict=True):
        weights, others = before.state_dict(), after.state_dict()
        assert weights.keys() == others.keys()
        if name == "text_encoder":
            _compare_words(shipped.text_encoder, again.text_encoder)
            del weights["words.weight"], others["words.weight"]
        # 16-bit checkpoints lie between, and int8 is rounded once more
        off = max(
            float((weights[k].float() - others[k].float()).norm() / (1e-6 + weights[k].float().norm())) for k in weights
        )
        assert off < 0.02, name


def _compare_words(before: PocketTextEncoder, after: PocketTextEncoder) -> None:
    """Words of both keep their meaning; there may be more of them now, and three plurals are spelled otherwise."""
    kept = [phrase for phrase in before.config.vocabulary if phrase in after.config.vocabulary]
    assert set(before.config.vocabulary) - set(kept) <= {"snowmans", "potatos", "mangos"}
    rows = [[model.config.vocabulary.index(phrase) + 1 for phrase in kept] for model in (before, after)]
    old, new = before.words.weight[rows[0]].float(), after.words.weight[rows[1]].float()
    assert (old - new).norm() < 0.02 * old.norm()


def test_new_words_start_near_old_ones_of_the_same_thing() -> None:
    vocabulary = ("cat", "dog", "red")
    encoder = PocketTextEncoder(TextEncoderConfig(vocabulary))
    grown = with_words(encoder, (*vocabulary, "kitten", "crimson", "wearing"))
    ids = {phrase: row for row, phrase in enumerate(grown.config.vocabulary, start=1)}
    words = grown.words.weight
    assert torch.equal(words[: len(vocabulary) + 1], encoder.words.weight)
    for other, like in (("kitten", "cat"), ("crimson", "red")):
        assert torch.cosine_similarity(words[ids[other]], words[ids[like]], dim=0) > 0.8
    assert torch.cosine_similarity(words[ids["wearing"]], words[ids["cat"]], dim=0).abs() < 0.3
    text = torch.tensor([[1, 3, 2]])
    assert all(torch.equal(a, b) for a, b in zip(grown(text), encoder(text), strict=True))


def test_some_panels_are_given_but_for_a_rectangle() -> None:
    torch.manual_seed(0)
    given = given_around(2000, 2, 16, torch.device("cpu")).view(2000, 2, 16, 16)
    framed = given.flatten(2).any(dim=2)
    assert 0.1 < framed.any(dim=1).float().mean() < 0.2 and not framed.all(dim=1).any()
    assert 0.4 < framed[:, 0].sum() / framed.sum() < 0.6
    for panel in given.flatten(0, 1)[framed.flatten()][:200]:
        rows, columns = ((~panel).any(dim=d).nonzero()[:, 0] for d in (1, 0))
        drawn = ~panel[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert drawn.all() and drawn.sum() == (~panel).sum(), "one rectangle is left to draw"
        assert min(drawn.shape) >= 4 and max(drawn.shape) <= 14


def test_what_needs_more_tokens_than_the_padding_is_left_out() -> None:
    for panels, tokens in ((1, 32), (2, 32), (4, 64)):
        chunks = stream(StreamOptions(panels, 16), "long", workers=0)
        assert {next(chunks).text_ids.shape[1] for _ in range(4)} == {tokens}


def test_a_start_spares_what_is_there(tmp_path: Path, base_folder: Path) -> None:
    save_checkpoint(tmp_path / "autoencoder", PocketAutoencoder(), 5, 1.0, torch.float16)
    start = str(base_folder)
    train_pocket("export", tmp_path, minutes=0.01, device=torch.device("cpu"), seed=0, fresh=False, start=start)
    assert load_checkpoint(tmp_path / "autoencoder", PocketAutoencoder()).step == 5


def test_textures_are_pictures_of_a_falling_spectrum() -> None:
    torch.manual_seed(0)
    pictures = textures(8, 64, torch.device("cpu"))
    assert pictures.shape == (8, 3, 64, 64) and pictures.abs().max() <= 1
    power = torch.fft.rfft2(pictures - pictures.mean(dim=(2, 3), keepdim=True)).abs().square().mean(dim=(0, 1))
    low, high = power[1:5, 1:5].mean(), power[24:32, 24:32].mean()
    assert low > 20 * high
    # discs have edges, noise has none: the largest step between neighbours
    steps = pictures.diff(dim=3).abs().amax(dim=(1, 2, 3))
    assert steps[:4].min() > 0.3
