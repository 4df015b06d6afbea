"""`subject`: the very subjects of given pictures in a new one, without training (FreeCus, arXiv 2507.15249).

Each reference is drawn along beside the picture, which sees the keys and values of its subject
(`tools/dit/subject_sharing.py`). Where pocket has settled where a subject stands, only the tokens there see it: so
several do not mix. By the other method references stand in the picture's own context, as `generate` has them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, StringConstraints

from chatdit.tools.generate_request import Caption, Side
from chatdit.tools.panel_sizes import Asked, Size, finished_size, size_of, size_warnings
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, drawn_with, narrowed
from chatdit.tools.types import Box, Cost, Data, ImageRef, MaskRef, Problem, Sampling, ToolError, ToolInput, ToolOutput

if TYPE_CHECKING:
    from chatdit.tools.dit.model import DiT
    from chatdit.tools.dit.subject_sharing import Sharing
    from chatdit.tools.subject_reference import Given, Looked

MOST_REFERENCES = 4
MOST_IN_POCKET = 3
"""Different subjects that a picture of the pocket world holds."""
Method = Literal["sharing", "segments"]
Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=80)]


class SubjectReference(Data):
    """A picture, what its subject is called there and in the caption, and where it is: 255 in the mask.

    Without a mask the subject is looked for: by its word, or in the pocket world as the surest thing there.
    """

    image: ImageRef
    word: Word = ""
    mask: MaskRef | None = None
    description: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)] = ""
    """What is known of the subject; a painter of any words is told it behind the caption."""
    box: Box | None = None
    """Where it shall stand in the new picture."""


class SubjectInput(ToolInput):
    """Whose subjects are drawn, and what the picture shows; all of them have boxes, or none.

    By "sharing" several subjects do not mix; "segments" is the way of `generate`. With `describe` the caption is told
    what is known of the subjects: colour and things worn, or their descriptions. `k_scale` and `log_bias` say how much
    the sharing counts: a factor of the references' keys and what is added to their logits; None is the painter's
    default.
    """

    references: tuple[SubjectReference, ...] = Field(min_length=1, max_length=MOST_REFERENCES)
    caption: Caption
    width: Side | None = None
    height: Side | None = None
    method: Method = "sharing"
    describe: bool = True
    k_scale: float | None = Field(default=None, ge=0, le=4)
    log_bias: float | None = Field(default=None, ge=-8, le=8)
    sampling: Sampling = Sampling()


class SubjectOutput(ToolOutput):
    """One picture, the caption that it was drawn by, and how many tokens of each reference were shared."""

    seeds: tuple[int, ...]
    caption: str
    shared_tokens: tuple[int, ...]


class SubjectTool(Tool):
    """The same subject elsewhere."""

    name = "subject"
    version = "1"
    summary = "Draw the very subject of one or more given pictures in a new picture."
    Input = SubjectInput
    Output = SubjectOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """Masks fit their pictures, subjects can be found, and the painter holds so many."""
        return list(_problems(narrowed(inp, SubjectInput), painter))

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """A row for the picture and one for each reference; as segments they share one."""
        request = narrowed(inp, SubjectInput)
        width, height = _size(request, painter)
        tokens = (width // painter.token_size) * (height // painter.token_size)
        panels = 1 + len(request.references)
        rows = panels if request.method == "sharing" else 1
        return Cost(steps=request.sampling.steps or painter.steps, rows=rows, tokens=tokens * panels // rows)

    def run(self, inp: ToolInput, context: RunContext) -> SubjectOutput:
        """Look at the references, draw, store."""
        from chatdit.tools.dit.subject_sharing import sharing_for
        from chatdit.tools.fitting import fit_to
        from chatdit.tools.in_context import Wanted, caption_warnings
        from chatdit.tools.subject_drawing import by_segments, by_sharing

        request = narrowed(inp, SubjectInput)
        started = time.perf_counter()
        dit = context.dit()
        if faults := self.validate(request, dit.defaults):
            raise ToolError("; ".join(map(str, faults)))
        size = _size(request, dit.defaults)
        wanted, sampling = Wanted(request.caption, size), request.sampling
        given = _given(request, context)
        looked = _looked(given, size, context, dit)
        how = _adjusted(sharing_for(dit), request)
        describe, report, shown = request.describe, context.progress, context.preview
        if request.method == "sharing":
            boxes = [one.box for one in request.references if one.box is not None]
            drawn = by_sharing(
                dit, wanted, looked, how, sampling, report, describe=describe, preview=shown, boxes=boxes
            )
        else:
            pictures = [one.picture for one in given]
            drawn = by_segments(dit, wanted, pictures, looked, sampling, report, describe=describe, preview=shown)
        asked = Asked(request.width, request.height)
        picture = fit_to(drawn.picture, *finished_size(asked, size, dit.defaults), padding="blur")
        notes = (*size_warnings(1, asked, size, dit.defaults, 1), *drawn.notes, *caption_warnings(dit, drawn.caption))
        return SubjectOutput(
            images=(context.store.put_image(picture),),
            seconds=time.perf_counter() - started,
            warnings=tuple(dict.fromkeys(notes)),
            report=_report(request, dit, how),
            seeds=(sampling.seed,),
            caption=drawn.caption,
            shared_tokens=tuple(len(one.tokens) for one in looked),
        )


def _problems(request: SubjectInput, painter: PainterDefaults | None) -> Iterator[Problem]:
    for i, reference in enumerate(request.references):
        mask, image = reference.mask, reference.image
        if mask is not None and (mask.width, mask.height) != (image.width, image.height):
            expected, got = f"the size of its picture, {image.width}x{image.height}", f"{mask.width}x{mask.height}"
            yield Problem(path=f"references.{i}.mask", code="size_mismatch", expected=expected, got=got)
        if painter is not None and painter.open_vocabulary and mask is None and not reference.word:
            expected = "a mask of the subject, or a word to find it by"
            yield Problem(path=f"references.{i}", code="nothing_meant", expected=expected, got="neither")
    boxed = sum(reference.box is not None for reference in request.references)
    if boxed and (boxed < len(request.references) or request.method != "sharing"):
        expected = "a box for every reference or for none, and the method sharing"
        yield Problem(path="references", code="some_boxes", expected=expected, got=f"{boxed} boxes, {request.method}")
    if painter is None:
        return
    count = len(request.references)
    if not painter.open_vocabulary and count > MOST_IN_POCKET:
        expected = f"at most {MOST_IN_POCKET}, the different subjects that a picture of this painter holds"
        yield Problem(path="references", code="too_many_references", expected=expected, got=str(count))
    elif request.method == "segments" and count >= painter.max_panels:
        expected = f"at most {painter.max_panels - 1} in one context; fewer, or method sharing"
        yield Problem(path="references", code="too_many_panels", expected=expected, got=str(count))


def _size(request: SubjectInput, painter: PainterDefaults) -> Size:
    """Width and height that the picture is drawn with, and each reference beside it."""
    sharing = 1 if request.method == "sharing" else 1 + len(request.references)
    return size_of(Asked(request.width, request.height), painter, sharing)


def _given(request: SubjectInput, context: RunContext) -> list[Given]:
    from chatdit.tools.subject_reference import Given

    opened = []
    for number, one in enumerate(request.references, start=1):
        mask = None if one.mask is None else context.store.open_mask(one.mask)
        opened.append(Given(number, context.store.open_image(one.image), one.word, mask, one.description))
    return opened


def _looked(given: Sequence[Given], size: Size, context: RunContext, dit: DiT) -> list[Looked]:
    from chatdit.tools.subject_reference import look_at_any, look_at_pocket

    token = dit.defaults.token_size
    if not dit.defaults.open_vocabulary:
        return [look_at_pocket(one, size, token) for one in given]
    return [look_at_any(one, size, token, str(dit.device), context.progress) for one in given]


def _adjusted(how: Sharing, request: SubjectInput) -> Sharing:
    if request.k_scale is not None:
        scales_text = how.text_k_scale != 1.0
        how = replace(how, k_scale=request.k_scale, text_k_scale=request.k_scale if scales_text else 1.0)
    return how if request.log_bias is None else replace(how, log_bias=request.log_bias)


def _report(request: SubjectInput, dit: DiT, how: Sharing) -> dict[str, float | int | str]:
    report = drawn_with(dit, request.sampling) | {"method": request.method}
    if request.method == "segments":
        return report
    layers = "all" if how.layers is None else ",".join(map(str, sorted(how.layers)))
    return report | {"k_scale": how.k_scale, "log_bias": how.log_bias, "layers": layers}
