"""The generate tool: three routes, references, warnings, seeds, cancelling; at the end on a real model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.generate import Generate, GenerateInput, GenerateOutput, PanelRequest
from chatdit.tools.generate_request import Context, picture_seeds
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Cancelled, ImageRef, Progress, Reference, Sampling, ToolError

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT
    from tests.tools.conftest import RecordingDiT


def blobs(store: ArtifactStore) -> list[Path]:
    return [p for p in store.root.rglob("*") if p.is_file()]


def asked(*captions: str, context: Context = "separate", seed: int = 3, **rest: object) -> GenerateInput:
    panels = [PanelRequest(caption=c) for c in captions]
    return GenerateInput.model_validate({"panels": panels, "context": context, "sampling": Sampling(seed=seed)} | rest)


def pixels(store: ArtifactStore, ref: ImageRef) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(store.open_image(ref)).astype(np.int64)


def fox(store: ArtifactStore, size: tuple[int, int] = (300, 120)) -> Reference:
    """A red square at the far left of a plain picture: a centre crop would lose it."""
    image = Image.new("RGB", size, (230, 230, 230))
    ImageDraw.Draw(image).rectangle((4, 40, 43, 79), fill=(220, 20, 20))
    return Reference(image=store.put_image(image), description="a fox")


def test_one_picture_goes_to_the_painter_as_it_is(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    output = Generate().run(asked("a cat on the moon", seed=12), pocket_like.context(store))
    (row,) = pocket_like.rows
    assert (row.caption, row.seed, row.trajectory) == ("a cat on the moon", 12, "generate")
    assert [(s.width, s.height, s.panel, s.known) for s in row.segments] == [(256, 256, 0, None)]
    assert [(i.width, i.height) for i in output.images] == [(256, 256)]
    assert output.seeds == (12,) and output.warnings == () and output.contact_sheet is None
    assert output.report["caption_1"] == "a cat on the moon" and output.report["steps"] == 8


def test_separate_pictures_are_rows_of_their_own(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    inp = asked("a cat", "a dog", "a fox")
    output = Generate().run(inp, pocket_like.context(store))
    assert [r.caption for r in pocket_like.rows] == ["a cat", "a dog", "a fox"]
    assert tuple(r.seed for r in pocket_like.rows) == output.seeds == picture_seeds(inp)
    assert len(pocket_like.options) == 3, "one call a row: a picture does not depend on its company"


def test_a_sequence_numbers_its_panels(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    output = Generate().run(asked("a cat", "a dog", context="sequence"), pocket_like.context(store))
    (row,) = pocket_like.rows
    assert row.caption == "[panel1] a cat [panel2] a dog"
    assert [(s.panel, s.origin) for s in row.segments] == [(0, (0, 0)), (1, (0, 0))]
    assert len(output.images) == 2 and output.seeds == (3, 3)


def test_a_canvas_places_its_cells_side_by_side(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    output = Generate().run(asked("a", "b", "c", "d", context="canvas"), pocket_like.context(store))
    (row,) = pocket_like.rows
    assert [(s.panel, s.origin) for s in row.segments] == [(0, (0, 0)), (0, (0, 8)), (0, (8, 0)), (0, (8, 8))]
    assert output.report["layout"] == "2x2" and len(output.images) == 4


@pytest.mark.parametrize("count", range(1, 13))
@pytest.mark.parametrize("context", ["separate", "sequence", "canvas"])
def test_one_to_twelve_pictures_come_back_in_order(
    flux_like: RecordingDiT, store: ArtifactStore, context: Context, count: int
) -> None:
    flux_like.paint = lambda row, i: torch.full(
        (3, row.segments[i].height, row.segments[i].width), (row.seed % 50 if len(row.segments) == 1 else i * 20) / 255
    )
    output = Generate().run(asked(*[f"scene {i}" for i in range(count)], context=context), flux_like.context(store))
    levels = [int(pixels(store, image).mean()) for image in output.images]
    shared = [i * 20 for i in range(count)] if count > 1 else [3]
    assert levels == ([seed % 50 for seed in output.seeds] if context == "separate" else shared)


def test_references_come_first_known_and_are_not_returned(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    inp = asked("a fox on the moon", "a fox on the beach", context="sequence", references=(fox(store),))
    output = Generate().run(inp, pocket_like.context(store))
    (row,) = pocket_like.rows
    assert row.caption == "[panel1] a fox [panel2] a fox on the moon [panel3] a fox on the beach"
    assert [s.panel for s in row.segments] == [0, 1, 2]
    assert [s.known is not None for s in row.segments] == [True, False, False]
    assert len(output.images) == 2


@pytest.mark.parametrize("context", ["separate", "sequence", "canvas"])
def test_an_off_centre_reference_is_never_cut(
    pocket_like: RecordingDiT, store: ArtifactStore, context: Context
) -> None:
    Generate().run(asked("a fox", context=context, references=(fox(store),)), pocket_like.context(store))
    known = pocket_like.rows[0].segments[0].known
    assert known is not None and known.shape == (3, 256, 256) and known.min() >= -1 and known.max() <= 1
    red = (known[0] > 0.2) & (known[1] < -0.2)
    ys, xs = torch.nonzero(red, as_tuple=True)
    assert int(ys.max() - ys.min()) == pytest.approx(int(xs.max() - xs.min()), abs=4)
    assert int(red.sum()) > 30 * 30


def test_separate_pictures_are_each_shown_the_references(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    Generate().run(asked("a", "b", references=(fox(store),)), pocket_like.context(store))
    assert [r.caption for r in pocket_like.rows] == ["[panel1] a fox [panel2] a", "[panel1] a fox [panel2] b"]
    assert all(r.segments[0].known is not None and len(r.segments) == 2 for r in pocket_like.rows)


def test_a_reference_without_words_is_a_nameless_subject(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    silent = fox(store).model_copy(update={"description": ""})
    Generate().run(asked("a cat", references=(silent,)), pocket_like.context(store))
    assert pocket_like.rows[0].caption == "[panel1] a subject [panel2] a cat"


def test_a_large_painter_gets_positions_and_shapes(flux_like: RecordingDiT, store: ArtifactStore) -> None:
    Generate().run(asked("a cat", "a dog", context="canvas", references=(fox(store),)), flux_like.context(store))
    (row,) = flux_like.rows
    assert row.caption.startswith("[THREE-PANEL] ")
    for clause in ("[TOP] a fox", "[MIDDLE] a cat", "[BOTTOM] a dog"):
        assert clause in row.caption, "wide cells are stacked"
    assert all(s.width > 2 * s.height for s in row.segments), "cells take the reference's shape"
    assert flux_like.options[0].given == "noised"
    Generate().run(asked("a cat", context="sequence", references=(fox(store),)), flux_like.context(store))
    assert "[PANEL-1] a fox; [PANEL-2] a cat" in flux_like.rows[1].caption
    assert flux_like.options[1].given == "clean"
    assert flux_like.rows[1].segments[0].width > 2 * flux_like.rows[1].segments[0].height


def test_each_picture_has_its_own_size_and_rounding_is_said(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    panels = (PanelRequest(caption="a", width=200, height=100), PanelRequest(caption="b"))
    for context in ("sequence", "separate"):
        output = Generate().run(
            GenerateInput(panels=panels, context="sequence" if context == "sequence" else "separate"),
            pocket_like.context(store),
        )
        assert [(i.width, i.height) for i in output.images] == [(200, 100), (256, 256)]
        assert {(s.width, s.height) for s in pocket_like.rows[-1].segments} == {(256, 256)}
        assert output.warnings == ("drawn at 256x256, which this painter has learned, and fitted to 200x100",)


def test_unknown_words_and_truncation_become_warnings(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    long = " ".join(["word"] * 30)
    output = Generate().run(asked(f"xylo {long}", f"xyst {long}", context="sequence"), pocket_like.context(store))
    assert output.warnings == (
        "recorder does not know: xylo, xyst",
        "the caption is 24 tokens too long for recorder: its end was not read; shorten it",
    )


def test_warnings_are_said_once(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    output = Generate().run(asked("xylo one", "xylo two"), pocket_like.context(store))
    assert output.warnings == ("recorder does not know: xylo",)


def test_too_many_panels_is_one_clear_line_before_any_drawing(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    with pytest.raises(ToolError, match=r"expected at most 4 panels .* got 5") as caught:
        Generate().run(asked(*"abcde", context="sequence"), pocket_like.context(store))
    assert "\n" not in str(caught.value) and pocket_like.rows == []


def test_progress_counts_all_pictures_as_one(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    heard: list[Progress] = []
    inp = asked("a", "b").model_copy(update={"sampling": Sampling(steps=3)})
    Generate().run(inp, pocket_like.context(store, heard.append))
    assert [(p.step, p.total) for p in heard] == [(i, 6) for i in range(1, 7)]
    assert [p.stage for p in heard] == ["picture 1 of 2"] * 3 + ["picture 2 of 2"] * 3


def test_cancelling_stores_nothing(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    def stop_late(progress: Progress) -> None:
        if progress.step == progress.total:
            raise Cancelled

    with pytest.raises(Cancelled):
        Generate().run(asked("a", "b"), pocket_like.context(store, stop_late))
    assert len(pocket_like.rows) == 2 and blobs(store) == []


def test_options_reach_the_painter(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    inp = asked("a").model_copy(update={"sampling": Sampling(steps=5, guidance=1.5)})
    output = Generate().run(inp, replace(pocket_like.context(store), preview=True))
    (options,) = pocket_like.options
    assert (options.steps, options.guidance, options.given, options.preview) == (5, 1.5, "clean", True)
    assert (output.report["steps"], output.report["guidance"]) == (5, 1.5)


def test_a_contact_sheet_on_request(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    output = Generate().run(asked("a", "b", context="sequence", contact_sheet=True), pocket_like.context(store))
    assert output.contact_sheet is not None and output.contact_sheet not in output.images
    assert output.contact_sheet.width == 2 * 256 + 3 * 8 and output.contact_sheet.height == 256 + 2 * 8


def test_pixels_that_are_not_numbers_are_an_error(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    pocket_like.paint = lambda row, i: torch.full((3, 256, 256), float("nan"))
    with pytest.raises(ToolError, match="expected finite values"):
        Generate().run(asked("a"), pocket_like.context(store))
    assert blobs(store) == []


def test_too_little_memory_is_one_clear_line(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    def exhausted(row: object, index: int) -> torch.Tensor:
        raise torch.OutOfMemoryError("tried to allocate\n12 GiB")

    pocket_like.paint = exhausted
    with pytest.raises(ToolError, match="too little memory") as caught:
        Generate().run(asked("a", "b", context="sequence"), pocket_like.context(store))
    assert "\n" not in str(caught.value)


def test_a_missing_reference_is_one_clear_line(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    gone = Reference(image=ImageRef(sha256="c" * 64, width=8, height=8))
    with pytest.raises(ToolError, match="cccccccccccc is not in"):
        Generate().run(asked("a", references=(gone,)), pocket_like.context(store))


def test_the_output_survives_json(pocket_like: RecordingDiT, store: ArtifactStore) -> None:
    output = Generate().run(asked("a", "xylo", contact_sheet=True), pocket_like.context(store))
    assert GenerateOutput.model_validate_json(output.model_dump_json()) == output


# On a tiny real model


def real(tiny: DiT, store: ArtifactStore, heard: list[Progress] | None = None, preview: bool = False) -> RunContext:
    return RunContext(lambda: tiny, store, ([] if heard is None else heard).append, preview)


@pytest.mark.parametrize("context", ["separate", "sequence", "canvas"])
def test_a_real_model_draws_every_route(tiny: DiT, store: ArtifactStore, context: Context) -> None:
    heard: list[Progress] = []
    inp = asked("a cat on the moon", "a red dog", context=context, references=(fox(store),), contact_sheet=True)
    output = Generate().run(inp, real(tiny, store, heard, preview=True))
    assert [(i.width, i.height) for i in output.images] == [(64, 64)] * 2
    assert all(pixels(store, image).std() > 1 for image in output.images)
    assert output.images[0] != output.images[1] and output.seconds > 0
    assert heard and heard[-1].step == heard[-1].total and any(p.preview is not None for p in heard)
    again = Generate().run(inp, real(tiny, store))
    assert again.images == output.images and again.contact_sheet == output.contact_sheet, "equal seeds, equal bytes"


def test_a_real_picture_does_not_depend_on_its_company(tiny: DiT, store: ArtifactStore) -> None:
    alone = Generate().run(asked("a cat"), real(tiny, store))
    among = Generate().run(asked("a cat", "a dog", "a fox on the beach"), real(tiny, store))
    assert among.images[0] == alone.images[0]
    second = Generate().run(asked("a dog", seed=among.seeds[1]), real(tiny, store))
    assert second.images[0] == among.images[1], "a reported seed draws its picture again"


@pytest.mark.parametrize("context", ["sequence", "canvas"])
def test_real_panels_of_one_context_see_each_other(tiny: DiT, store: ArtifactStore, context: Context) -> None:
    first = Generate().run(asked("a cat", "a dog", context=context), real(tiny, store))
    other = Generate().run(asked("a cat", "a dog", context=context, references=(fox(store),)), real(tiny, store))
    assert first.images[0] != other.images[0]


def test_real_panels_of_different_sizes(tiny: DiT, store: ArtifactStore) -> None:
    panels = (PanelRequest(caption="a cat", width=96, height=32), PanelRequest(caption="a dog", aspect=0.5))
    output = Generate().run(GenerateInput(panels=panels, context="sequence"), real(tiny, store, preview=True))
    assert [(i.width, i.height) for i in output.images] == [(96, 32), (45, 91)]


def test_a_real_text_encoder_reports_what_it_cannot_read(tiny: DiT, store: ArtifactStore) -> None:
    output = Generate().run(asked("a zebra and a cat " + "dog " * 18), real(tiny, store))
    assert output.warnings == (
        "tiny does not know: zebra",
        "the caption is 3 tokens too long for tiny: its end was not read; shorten it",
    )
