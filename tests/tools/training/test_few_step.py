"""Distillation to few steps: the student begins as the base, follows its own way, and learns its guided velocity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.flow_policy import FlowPolicy
from chatdit.tools.dit.loading import PocketDefaults, load_pocket_modules, save_pocket_folder
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.training.base import PocketModel, build_model
from chatdit.tools.training.checkpoint import load_checkpoint, save_checkpoint
from chatdit.tools.training.examples import Batch, panel_positions, untold
from chatdit.tools.training.few_step import (
    SMALL_FEW_STEP_RECIPE,
    FewStepRecipe,
    guided_velocity,
    imitation_loss,
    reflow_loss,
    teachers_picture,
    train_few_step,
    widened,
)
from chatdit.tools.training.pocket import DEFAULTS, train_pocket
from chatdit.tools.training.team import Team
from chatdit.tools.types import ToolError

ALONE = Team(torch.device("cpu"))
BLOCKS = (1, 1)
RECIPE = FewStepRecipe(points=4)


@pytest.fixture(scope="module")
def base() -> PocketModel:
    torch.manual_seed(0)
    model = build_model(BLOCKS)
    for name, parameter in model.transformer.named_parameters():
        if "norm_out" in name or "proj_out" in name:  # zero at first, and then nothing could be compared
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval().requires_grad_(False)


def _batch(size: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(1)
    given = torch.zeros(size, 256, dtype=torch.bool)
    given[0, :64] = True
    ids = torch.randint(1, 50, (size, 32), generator=generator)
    tokens = torch.randn(size, 256, 64, generator=generator)
    squares = untold(size, 1, torch.device("cpu"))
    squares[0, 0, 0] = torch.tensor([100.0, 120, 90, 5, 3])
    return Batch(tokens, ids, panel_positions(1, canvas=False), given, squares)


def test_a_student_begins_as_the_base(base: PocketModel) -> None:
    student, batch = widened(base, 4), _batch()
    times = torch.tensor([0.9, 0.5])
    x = torch.randn(2, 256, 64)
    with torch.no_grad():
        velocity, output = base(x, times, batch), student(x, times, batch)
    torch.testing.assert_close(output, velocity.repeat(1, 1, 4))
    policy = FlowPolicy.of(x, output, times, times / 2)
    torch.testing.assert_close(policy.velocity(x, times), velocity, atol=1e-5, rtol=1e-4)


def test_guidance_leads_away_from_the_empty_caption(base: PocketModel) -> None:
    batch, x, t = _batch(), torch.randn(2, 256, 64), torch.tensor([0.8, 0.3])
    wanted = base(x, t, batch)
    torch.testing.assert_close(guided_velocity(base, x, t, batch, 1.0), wanted, atol=1e-5, rtol=1e-4)
    nothing = {"text_ids": torch.zeros_like(batch.text_ids), "squares": torch.zeros_like(batch.squares)}
    empty = base(x, t, batch._replace(**nothing))
    torch.testing.assert_close(
        guided_velocity(base, x, t, batch, 3.0), empty + 3 * (wanted - empty), atol=1e-4, rtol=1e-4
    )


def test_a_step_of_training_brings_the_student_nearer(base: PocketModel) -> None:
    student, batch = widened(base, 4), _batch()
    student.text_encoder.requires_grad_(False)
    optimiser = torch.optim.AdamW([p for p in student.parameters() if p.requires_grad], lr=2e-4)
    losses = []
    for _ in range(8):
        torch.manual_seed(3)  # the same times and noise, so that losses can be compared
        loss = imitation_loss(student, base, batch, RECIPE)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is None for p in student.text_encoder.parameters())


def test_the_teachers_picture_is_where_its_euler_steps_lead(base: PocketModel) -> None:
    batch, noise = _batch(), torch.randn(2, 256, 64)
    recipe = replace(RECIPE, method="reflow", teacher_steps=2, guidance=1.0)
    middle = 2 * 0.5 / (1 + 0.5)  # the shifted middle of the schedule
    x = torch.where(batch.given[..., None], batch.tokens, noise)
    for now, later in ((1.0, middle), (middle, 0.0)):
        moved = x + (later - now) * base(x, torch.full((2,), now), batch)
        x = torch.where(batch.given[..., None], batch.tokens, moved)
    torch.testing.assert_close(teachers_picture(base, noise, batch, recipe), x, atol=1e-4, rtol=1e-4)


def test_reflow_straightens(base: PocketModel) -> None:
    student, batch = widened(base, 1), _batch()
    recipe = replace(RECIPE, method="reflow", teacher_steps=2)
    optimiser = torch.optim.AdamW(student.transformer.parameters(), lr=3e-4)
    losses = []
    for _ in range(6):
        torch.manual_seed(4)
        loss = reflow_loss(student, base, batch, recipe)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert all(p.grad is None for p in base.parameters())


def test_given_tokens_are_fed_clean_and_do_not_count(base: PocketModel) -> None:
    batch = _batch()
    everything = batch._replace(given=torch.ones_like(batch.given).index_fill_(1, torch.tensor([255]), value=False))
    torch.manual_seed(0)
    loss = imitation_loss(widened(base, 4), base, everything, replace(RECIPE, guidance=1.0))
    assert loss.isfinite() and loss > 0


def test_it_resumes_and_exports_a_model_of_four_steps(tmp_path: Path) -> None:
    autoencoder = PocketAutoencoder().eval()
    recipe = replace(SMALL_FEW_STEP_RECIPE, steps=1, batches={1: 2}, shares={1: 1.0}, pool=8, chunk=4)
    base = build_model()
    save_checkpoint(tmp_path / "autoencoder", autoencoder, 0, 0.0)
    save_checkpoint(tmp_path / "base", base, 7, 1.0)
    train_few_step(tmp_path, base, autoencoder, recipe, team=ALONE, seed=0)
    train_few_step(tmp_path, base, autoencoder, replace(recipe, steps=2), team=ALONE, seed=0)
    assert load_checkpoint(tmp_path / "few-step", build_model(points=recipe.points)).step == 2
    folder = train_pocket("export", tmp_path, minutes=1, device=torch.device("cpu"), seed=0, fresh=False)
    dit = DiT.load(folder, device="cpu")
    assert (dit.defaults.steps, dit.defaults.guidance, dit.defaults.horizon) == (4, 1.0, 0.25)
    picture = dit.sample([Row("a cat", (Segment(32, 32),), 0)])[0].images[0]
    assert picture.shape == (3, 32, 32) and picture.std() > 0
    with pytest.raises(ToolError, match="is a model of few steps"):
        train_pocket(
            "base", tmp_path / "on", minutes=1, device=torch.device("cpu"), seed=0, fresh=False, start=str(folder)
        )


def test_a_student_of_reflow_is_exported_as_a_plain_model_of_four_steps(tmp_path: Path) -> None:
    autoencoder, base = PocketAutoencoder().eval(), build_model()
    recipe = replace(SMALL_FEW_STEP_RECIPE, steps=1, batches={1: 1}, shares={1: 1.0}, pool=4, first=4, chunk=4)
    save_checkpoint(tmp_path / "autoencoder", autoencoder, 0, 0.0)
    save_checkpoint(tmp_path / "base", base, 7, 1.0)
    few = replace(recipe, method="reflow", teacher_steps=1)
    train_few_step(tmp_path, base, autoencoder, few, team=ALONE, seed=0)
    folder = train_pocket("export", tmp_path, minutes=1, device=torch.device("cpu"), seed=0, fresh=False)
    defaults = DiT.load(folder, device="cpu").defaults
    assert (defaults.steps, defaults.guidance, defaults.horizon) == (4, 1.0, None)


def test_the_sampler_goes_as_the_base_goes_while_they_are_equal(base: PocketModel, tmp_path: Path) -> None:
    modules = load_pocket_modules("pocket")
    plain = PocketDefaults(4, 1.0, DEFAULTS.shift, 64, 64, 4, layout=True)
    parts = (modules.autoencoder, base.text_encoder)
    save_pocket_folder(tmp_path / "base", base.transformer, *parts, plain, quantize=False)
    student = widened(base, 8)
    save_pocket_folder(tmp_path / "few", student.transformer, *parts, replace(plain, horizon=0.25), quantize=False)
    row = Row("a cat on the beach", (Segment(64, 64),), 3)
    pictures = [DiT.load(tmp_path / name, device="cpu").sample([row])[0].images[0] for name in ("base", "few")]
    torch.testing.assert_close(pictures[1], pictures[0], atol=2e-3, rtol=1e-3)
    halves = DiT.load(tmp_path / "few", device="cpu").sample([row], sampling=SamplingOptions(steps=8))[0].images[0]
    assert (halves - pictures[1]).abs().max() > 1e-3, "eight steps ask the network twice as often"


def test_a_folder_that_contradicts_itself_is_refused(base: PocketModel, tmp_path: Path) -> None:
    modules = load_pocket_modules("pocket")
    plain = PocketDefaults(4, 1.0, DEFAULTS.shift, 64, 64, 4, layout=True)
    parts = (modules.autoencoder, base.text_encoder)
    save_pocket_folder(tmp_path / "a", base.transformer, *parts, replace(plain, horizon=0.25), quantize=False)
    save_pocket_folder(tmp_path / "b", widened(base, 4).transformer, *parts, plain, quantize=False)
    for name in "ab":
        with pytest.raises(ToolError, match="a few-step model has a horizon and makes a multiple"):
            DiT.load(tmp_path / name, device="cpu")
