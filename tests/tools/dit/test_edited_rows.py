"""Edited rows on tiny real models: what is refused, who shares a forward, and what of a picture stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from torch import Tensor

from chatdit.tools.dit import edited_rows
from chatdit.tools.dit.attention_plan import AttentionPlan, KVOp, LogitBias, Scope, Selection
from chatdit.tools.dit.edited_rows import edit_steps, edited_pictures, shared_plan, way_of
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.dit.packing import Grid, pack
from chatdit.tools.dit.painter import Painter
from chatdit.tools.dit.rows import EditSource, Route
from chatdit.tools.types import Cancelled, Progress, ToolError

ROUTES: tuple[Route, ...] = ("flow_edit", "fireflow")


def painted(width: int = 64, height: int = 64, shade: float = 0.1, **changes: object) -> Segment:
    generator = torch.Generator().manual_seed(4)
    known = (torch.rand(3, height, width, generator=generator) - 0.5 + shade).clamp(-1, 1)
    return replace(Segment(width, height, known=known), **changes)  # type: ignore[arg-type]


def edited_row(caption: str = "a dog", segment: Segment | None = None, seed: int = 1, **source: object) -> Row:
    shown = EditSource("a cat", **source)  # type: ignore[arg-type]
    return Row(caption, (segment or painted(),), seed, "edited", source=shown)


def picture(dit: DiT, row: Row, **options: object) -> Tensor:
    return dit.sample([row], sampling=SamplingOptions(**options))[0].images[0]  # type: ignore[arg-type]


def as_given(segment: Segment) -> Tensor:
    assert segment.known is not None
    return segment.known / 2 + 0.5


@pytest.fixture
def all_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pixel of an edited picture is as the autoencoder shows it, however little it has changed."""
    monkeypatch.setattr(edited_rows, "UNCHANGED", 0.0)
    monkeypatch.setattr(edited_rows, "CHANGED", 1e-12)


@pytest.mark.parametrize("route", ROUTES)
def test_no_steps_no_change(route: Route, pocket: DiT) -> None:
    assert torch.equal(picture(pocket, edited_row(route=route, start=0.0)), as_given(painted()))
    assert not torch.equal(picture(pocket, edited_row(route=route, start=1.0)), as_given(painted()))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("columns", [32, 37])
def test_pixels_to_keep_come_back_as_given_and_the_rest_does_not(route: Route, columns: int, pocket: DiT) -> None:
    keep = torch.zeros(64, 64, dtype=torch.bool)
    keep[:, :columns] = True
    made = picture(pocket, edited_row(segment=painted(keep=keep), route=route))
    assert torch.equal(made[:, keep], as_given(painted())[:, keep])
    assert (made - as_given(painted()))[:, ~keep].abs().max() > 1e-3


@pytest.mark.parametrize("route", ROUTES)
def test_the_kept_half_is_what_the_other_half_is_painted_beside(route: Route, pocket: DiT) -> None:
    """Kept latents stay as they are at every step, so that the free ones see them and no others."""
    keep = torch.zeros(64, 64, dtype=torch.bool)
    keep[:, :32] = True
    free = picture(pocket, edited_row(route=route))
    beside = picture(pocket, edited_row(segment=painted(keep=keep), route=route))
    assert (free - beside)[:, :, 48:].abs().max() > 1e-5
    whole = painted(keep=torch.ones(64, 64, dtype=torch.bool))
    assert torch.equal(picture(pocket, edited_row(segment=whole, route=route)), as_given(whole))


@pytest.mark.parametrize("route", ROUTES)
def test_a_segment_to_keep_guides_the_one_beside_it(route: Route, pocket: DiT) -> None:
    every = torch.ones(64, 64, dtype=torch.bool)
    results = []
    for shade in (0.4, -0.4):
        reference = painted(shade=shade, keep=every)
        row = replace(edited_row(route=route), segments=(reference, painted(panel=1)))
        kept, made = pocket.sample([row])[0].images
        assert torch.equal(kept, as_given(reference))
        results.append(made)
    assert not torch.equal(*results)


def test_company_does_not_change_an_edited_row(pocket: DiT, all_new: None) -> None:
    rows = [
        edited_row(seed=1),
        Row("a fox", (Segment(64, 64),), 2),
        edited_row("a fox on the moon", seed=3),
        edited_row(seed=4, start=0.5),
        edited_row(seed=5, route="midpoint"),
        edited_row("a dog", painted(96, 32), seed=6),
    ]
    for one, result in zip(rows, pocket.sample(rows), strict=True):
        torch.testing.assert_close(result.images[0], picture(pocket, one), atol=2e-5, rtol=0)


def test_rows_that_go_one_way_share_forwards(pocket: DiT) -> None:
    """Each is there by both captions; another start, or none, is another forward."""
    sizes: list[int] = []
    hook = pocket.transformer.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["hidden_states"])), with_kwargs=True
    )
    rows = [
        edited_row(seed=1),
        edited_row(seed=2, guidance=1.0),
        edited_row(start=0.4),
        Row("a fox", (Segment(64, 64),), 3),
    ]
    try:
        pocket.sample(rows, sampling=SamplingOptions(steps=2, guidance=1.0))
    finally:
        hook.remove()
    assert sizes == [4, 4, 2, 1, 1]


def test_steps_are_counted_from_where_an_edit_starts(pocket: DiT) -> None:
    assert [edit_steps(edited_row(start=s), 8) for s in (0, 0.5, 0.8, 1)] == [0, 4, 6, 8]
    assert edit_steps(edited_row(route="fireflow", start=0.5), 8) == 8
    heard: list[Progress] = []
    rows = [edited_row(start=0.5), edited_row(route="euler", start=0.5), Row("a cat", (Segment(64, 64),), 1)]
    pocket.sample(rows, None, SamplingOptions(steps=4), heard.append)
    assert [p.step for p in heard if p.stage == "sample"] == list(range(1, 11))
    assert {p.total for p in heard} == {10}


@pytest.mark.parametrize("route", ROUTES)
def test_previews_are_small(route: Route, pocket: DiT) -> None:
    heard: list[Progress] = []
    pocket.sample([edited_row(route=route)], None, SamplingOptions(steps=4, preview=True), heard.append)
    shown = [getattr(p.preview, "shape", None) for p in heard if p.stage == "sample"]
    assert shown[-1] == (128, 128, 3) and shown[0] is None


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("stop", [0, 1, 3])
def test_cancelling_leaves_nothing_behind(route: Route, stop: int, pocket: DiT, pocket_folder: Path) -> None:
    def cancel(progress: Progress) -> None:
        if progress.step == stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        pocket.sample([edited_row(route=route)], progress=cancel)
    fresh = DiT.load(pocket_folder, device="cpu")
    assert torch.equal(picture(pocket, edited_row(route=route)), picture(fresh, edited_row(route=route)))


def test_pixels_that_are_shown_as_before_are_the_given_ones() -> None:
    """Cells are pixels here: a little brighter is nothing new, much brighter is, and between lies a mixture."""
    known = torch.zeros(3, 8, 40)
    row = Row("a dog", (Segment(40, 8, known=known),), 1, "edited", source=EditSource("a cat"))
    before = torch.full((3, 8, 40), 0.1)  # the codec is off by this everywhere
    after = before.clone()
    after[:, :, 16:32] += 0.5
    after[:, :, 32:] += 0.05
    painter = cast(Painter, SimpleNamespace(images=Pixels(), grid=Grid(1, 1, 3)))

    def made(now: Tensor) -> Tensor:
        return edited_pictures([row], pack(before, 1)[None], pack(now, 1)[None], painter)[0].images[0]

    shown = made(after)
    assert torch.equal(shown[:, :, :12], torch.full((3, 8, 12), 0.5)) and torch.equal(shown[:, :, 36:], shown[:, :, :4])
    torch.testing.assert_close(shown[:, :, 18:30], torch.full((3, 8, 12), 0.8))
    assert (shown[0, 0, 12:17].diff() >= 0).all() and 0.5 < shown[0, 0, 14] < 0.8, "the border is soft"
    assert torch.equal(made(before), known / 2 + 0.5)


class Pixels:
    """Latents are pixels."""

    downscale, latent_channels = 1, 3

    def encode(self, pictures: Tensor) -> Tensor:
        return pictures

    def decode(self, latents: Tensor) -> Tensor:
        return latents

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        pass


def test_what_is_shared_goes_from_each_source_to_its_row() -> None:
    scope = Scope(frozenset({1}), (0, 2))
    rows = [edited_row(shared=scope), edited_row(), edited_row(shared=scope)]
    assert [(op.mode, op.source, op.target, op.scope) for op in shared_plan(rows).ops] == [
        ("replace", 3, 0, scope),
        ("replace", 5, 2, scope),
    ]
    assert all(op.tokens == Selection(image=None, text=()) for op in shared_plan(rows).ops)
    assert shared_plan([edited_row()]) == AttentionPlan()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("distilled", [True, False])
def test_sharing_acts_where_it_holds_and_nowhere_else(
    route: Route, distilled: bool, flux_folder: Callable[[bool], Path]
) -> None:
    dit = DiT.load(flux_folder(distilled), device="cpu")

    def made(shared: Scope | None) -> Tensor:
        return picture(dit, edited_row(segment=painted(32, 32), route=route, shared=shared), steps=3, guidance=2.0)

    plain = made(None)
    assert (made(Scope(steps=(0, 2))) - plain).abs().max() > 1e-5
    torch.testing.assert_close(made(Scope(steps=(3, 9))), plain, atol=2e-5, rtol=0)


def test_rows_of_one_way() -> None:
    one = way_of(edited_row("a dog", guidance=2.0))
    assert one == way_of(edited_row("a cat", seed=9)) and one is not None
    others = edited_row(start=0.5), edited_row(route="euler"), edited_row(draws=2), edited_row(shared=Scope())
    assert all(way_of(other) != one for other in others)
    assert way_of(Row("a cat", (Segment(64, 64),), 1)) is None


KEEP = torch.zeros(64, 64, dtype=torch.bool)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (edited_row(start=1.5), "start is 1.5"),
        (edited_row(guidance=-1.0), "source's guidance is -1"),
        (edited_row(draws=0), "draws is 0"),
        (edited_row(draws=2, route="fireflow"), "draws is 2 for fireflow"),
        (edited_row(shared=Scope(frozenset({7}))), r"layers \[7\]; this model has 0 to 2"),
        (edited_row(segment=Segment(64, 64)), "'edited' row has a segment that is not wholly known"),
        (edited_row(segment=painted(keep=torch.zeros(8, 64))), r"keep is \(8, 64\); expected \(64, 64\)"),
        (replace(edited_row(), source=None), "'edited' row has source None"),
        (replace(edited_row(), trajectory="clean"), "'clean' row has source"),
        (Row("a cat", (painted(keep=KEEP),), 1, "clean"), "keep, which only edited rows read"),
    ],
)
def test_what_cannot_be_edited_is_refused_before_any_work(row: Row, message: str, pocket: DiT) -> None:
    heard: list[Progress] = []
    with pytest.raises(ToolError, match=message):
        pocket.sample([row], progress=heard.append)
    assert heard == []


def test_no_plan_names_an_edited_row(pocket: DiT) -> None:
    rows = [Row("a cat", (Segment(64, 64),), 1), edited_row()]
    for plan in (AttentionPlan((KVOp("concat", 0, 1),)), AttentionPlan((), (LogitBias(1, Selection(), Selection()),))):
        with pytest.raises(ToolError, match="names row 1, which is edited; say what it shares in its source"):
            pocket.sample(rows, plan)
    alone = AttentionPlan((), (LogitBias(0, Selection(), Selection((0,))),))
    assert not torch.equal(pocket.sample(rows, alone)[0].images[0], pocket.sample(rows)[0].images[0])
