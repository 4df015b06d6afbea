"""`generate`: words, and pictures to agree with, to one picture or a set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chatdit.tools.compose import Grid
from chatdit.tools.generate_request import (
    GenerateInput,
    GenerateOutput,
    PanelRequest,
    finished_sizes,
    picture_seeds,
    picture_sizes,
    problems,
    row_tokens,
    size_notes,
)
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, drawn_with, narrowed, part_of
from chatdit.tools.types import Cost, Problem, ToolError, ToolInput

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.dit.model import DiT
    from chatdit.tools.dit.rows import AttentionSummary
    from chatdit.tools.in_context import Drawing

__all__ = ["Generate", "GenerateInput", "GenerateOutput", "PanelRequest"]


class Generate(Tool):
    """Text to picture, text to set, and in-context generation from references."""

    name = "generate"
    version = "2"
    summary = "Draw one picture or a set from captions, optionally agreeing with reference pictures."
    Input = GenerateInput
    Output = GenerateOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """Contradictions in the request and, with `painter`, more than it can hold in one context."""
        return problems(narrowed(inp, GenerateInput), painter)

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """Steps, rows, and the image tokens of the largest row."""
        request = narrowed(inp, GenerateInput)
        rows = len(request.panels) if request.context == "separate" else 1
        return Cost(steps=request.sampling.steps or painter.steps, rows=rows, tokens=row_tokens(request, painter))

    def run(self, inp: ToolInput, context: RunContext) -> GenerateOutput:
        """Draw, store, report. Nothing is stored unless every picture was drawn."""
        from chatdit.tools.fitting import fit_to
        from chatdit.tools.in_context import caption_warnings, sampled_pictures

        request = narrowed(inp, GenerateInput)
        started = time.perf_counter()
        dit = context.dit()
        faults = problems(request, dit.defaults)
        if faults:
            raise ToolError("; ".join(map(str, faults)))
        drawings = _drawings(request, context, dit)
        warnings = list(size_notes(request, dit.defaults))
        pictures: list[Image.Image] = []
        attention: list[AttentionSummary] = []
        for i, drawing in enumerate(drawings):
            warnings += caption_warnings(dit, drawing.row.caption)
            report = part_of(context.progress, "picture", i, len(drawings))
            drawn = sampled_pictures(dit, drawing, request.sampling, report, preview=context.preview)
            pictures += drawn.pictures
            attention += [drawn.attention] if drawn.attention is not None else []
        warnings += [f"attention: {summary}" for summary in attention if summary.stayed_dense]
        sizes = finished_sizes(request, dit.defaults)
        pictures = [fit_to(picture, *size, padding="blur") for picture, size in zip(pictures, sizes, strict=True)]
        images = tuple(context.store.put_image(picture) for picture in pictures)
        sheet = context.store.put_image(_contact_sheet(pictures)) if request.contact_sheet else None
        return GenerateOutput(
            images=images,
            seconds=time.perf_counter() - started,
            warnings=tuple(dict.fromkeys(warnings)),
            report=_report(request, dit, drawings) | _attention_report(attention),
            seeds=picture_seeds(request),
            contact_sheet=sheet,
        )


def _contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """All pictures on white, unscaled, in reading order."""
    from chatdit.tools.composing import composed

    return next(composed(Grid(), [picture.size for picture in pictures], pictures))


def _drawings(request: GenerateInput, context: RunContext, dit: DiT) -> list[Drawing]:
    from chatdit.tools.in_context import GivenPicture, Wanted, as_canvas, as_sequence

    given = [GivenPicture(context.store.open_image(r.image), r.description.strip()) for r in request.references]
    sizes = picture_sizes(request, dit.defaults)
    wanted = [Wanted(p.caption, size) for p, size in zip(request.panels, sizes, strict=True)]
    seeds = picture_seeds(request)
    if request.context == "canvas":
        return [as_canvas(given, wanted, seeds[0], dit.defaults)]
    if request.context == "sequence":
        return [as_sequence(given, wanted, seeds[0], dit.defaults)]
    # one row a call, so that a picture does not depend on what else was asked for
    return [as_sequence(given, [one], seed, dit.defaults) for one, seed in zip(wanted, seeds, strict=True)]


def _attention_report(summaries: Sequence[AttentionSummary]) -> dict[str, float | int | str]:
    """Each thing that became of the policy, once; nothing where none was asked for."""
    return {"attention": "; ".join(dict.fromkeys(map(str, summaries)))} if summaries else {}


def _report(request: GenerateInput, dit: DiT, drawings: Sequence[Drawing]) -> dict[str, float | int | str]:
    report = drawn_with(dit, request.sampling) | {"context": request.context}
    for number, drawing in enumerate(drawings, start=1):
        report[f"caption_{number}"] = drawing.row.caption
        if drawing.layout is not None:
            report["layout"] = str(drawing.layout)
    return report
