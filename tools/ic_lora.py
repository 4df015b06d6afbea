"""`ic_lora`: a set of panels by an In-Context LoRA (arXiv 2410.23775), some of them given, the others drawn.

A LoRA is trained on sets of one kind (a subject growing, a sketch and its painting, three shots of a film); its card
says how many panels it makes and what is said of each. More captions than panels are drawn group by group, each shown
the first picture. `chatdit train ic-lora` makes new ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from chatdit.tools.generate_request import Caption, derived_seed
from chatdit.tools.lora.card import LoraCard, LoraName
from chatdit.tools.lora.shelf import ShelvedLora, find_lora, shelf
from chatdit.tools.panels import cells, rounded_size
from chatdit.tools.tool import PainterDefaults, RunContext, Tool, drawn_with, narrowed, part_of
from chatdit.tools.types import (
    Cost,
    Data,
    ImageRef,
    Problem,
    ProgressCallback,
    Sampling,
    ToolError,
    ToolInput,
    ToolOutput,
)

if TYPE_CHECKING:
    from PIL import Image

    from chatdit.tools.dit.model import DiT
    from chatdit.tools.dit.rows import Row

MOST_PANELS = 36


class KnownPanel(Data):
    """A picture that stands in a panel from the start; panels count from 1."""

    panel: int = Field(ge=1)
    image: ImageRef


class IcLoraInput(ToolInput):
    """Which LoRA, what is wanted of its panels, and which panels are given.

    One caption is for all panels, else there is one for each, also for given ones. `strength` scales what the LoRA
    adds: 0 is the painter alone.
    """

    lora: LoraName
    captions: tuple[Caption, ...] = Field(min_length=1, max_length=MOST_PANELS)
    known: tuple[KnownPanel, ...] = Field(default=(), max_length=MOST_PANELS)
    strength: float = Field(default=1.0, ge=0, le=2)
    sampling: Sampling = Sampling()


class IcLoraOutput(ToolOutput):
    """The panels that were drawn, in order, without those given."""

    panels: tuple[int, ...]
    """Which panel each picture is, counted from 1."""
    seeds: tuple[int, ...]


class IcLora(Tool):
    """Sets of a kind that was learned from examples."""

    name = "ic_lora"
    version = "2"
    summary = "Draw a set of panels with a LoRA that was trained on sets of one kind, some panels given."
    Input = IcLoraInput
    Output = IcLoraOutput

    def validate(self, inp: ToolInput, painter: PainterDefaults | None = None) -> list[Problem]:
        """The LoRA is there and of this painter, and captions and given panels fit its panels."""
        request = narrowed(inp, IcLoraInput)
        try:
            card = find_lora(request.lora).card
        except ToolError as error:
            return [Problem(path="lora", code="unknown_lora", expected=str(error), got=request.lora)]
        return list(_problems(request, card, painter))

    def surroundings(self) -> str:
        """The LoRAs that are there: another one of the same name draws other pictures."""
        return ":".join(f"{name}={entry.stamp()}" for name, entry in sorted(shelf().items()))

    def estimate(self, inp: ToolInput, painter: PainterDefaults) -> Cost:
        """Steps, a row for each group, and the image tokens of one."""
        request = narrowed(inp, IcLoraInput)
        card = find_lora(request.lora).card
        width, height = panel_size(card, painter)
        tokens = card.panels * (width // painter.token_size) * (height // painter.token_size)
        return Cost(steps=request.sampling.steps or painter.steps, rows=len(_groups(request, card)), tokens=tokens)

    def run(self, inp: ToolInput, context: RunContext) -> IcLoraOutput:
        """Draw group by group, then store. Nothing is stored unless every panel was drawn."""
        request = narrowed(inp, IcLoraInput)
        started = time.perf_counter()
        dit = context.dit()
        if faults := self.validate(request, dit.defaults):
            raise ToolError("; ".join(map(str, faults)))
        lora = find_lora(request.lora)
        known = {entry.panel: context.store.open_image(entry.image) for entry in request.known}
        drawn: dict[int, Image.Image] = {}
        warnings = [f"{lora.card.name} was trained on other weights of {dit.name}"] if _foreign(lora, dit) else []
        groups = _groups(request, lora.card)
        for number, group in enumerate(groups):
            given = {panel: picture for panel, picture in {**drawn, **known}.items() if panel in group.panels}
            if len(given) == len(group.panels):
                continue
            captions = settled(lora.card, group.panels, group.captions, given, group.seed)
            row = panel_row(dit, lora.card, group.panels, captions, given, group.seed)
            warnings += _unread(dit, row.caption)
            images = _sampled(
                dit, lora, request, row, part_of(context.progress, "group", number, len(groups)), context.preview
            )
            drawn |= {panel: image for panel, image in zip(group.panels, images, strict=True) if panel not in given}
        panels = sorted(drawn)
        seeds = {panel: group.seed for group in reversed(groups) for panel in group.panels}
        return IcLoraOutput(
            images=tuple(context.store.put_image(drawn[panel]) for panel in panels),
            seconds=time.perf_counter() - started,
            warnings=tuple(dict.fromkeys(warnings)),
            report=_report(request, dit, lora),
            panels=tuple(panels),
            seeds=tuple(seeds[panel] for panel in panels),
        )


@dataclass(frozen=True)
class _Group:
    """Panels that are drawn in one context, by their numbers in the whole set; the first may be drawn by then."""

    panels: tuple[int, ...]
    captions: tuple[str, ...]
    seed: int


def _groups(request: IcLoraInput, card: LoraCard) -> list[_Group]:
    seed, size = request.sampling.seed, card.panels
    asked = request.captions if len(request.captions) > 1 else request.captions * size
    groups = [_Group(tuple(range(1, size + 1)), asked[:size], seed)]
    for start in range(size, len(asked), size - 1):
        last = range(start, min(start + size - 1, len(asked)))
        # a group that is not full is shown the pictures before it too
        panels = (0, *range(last.stop - (size - 1), last.stop)) if len(last) < size - 1 else (0, *last)
        numbers = tuple(panel + 1 for panel in panels)
        groups.append(_Group(numbers, tuple(asked[p] for p in panels), derived_seed(seed, len(groups))))
    return groups


def _problems(request: IcLoraInput, card: LoraCard, painter: PainterDefaults | None) -> Iterator[Problem]:
    if painter is not None and painter.open_vocabulary != (card.family == "flux"):
        mine = "flux" if painter.open_vocabulary else "pocket"
        yield Problem(
            path="lora", code="wrong_painter", expected=f"a LoRA of {mine}", got=f"{card.name}, of {card.family}"
        )
    count, wanted = len(request.captions), card.panels
    if count not in (1, wanted) and not (card.chained and count > wanted):
        expected = f"1 caption, or {wanted}{' or more' if card.chained else ''}: {card.name} makes {wanted} panels"
        yield Problem(path="captions", code="wrong_count", expected=expected, got=str(count))
    total = max(count, wanted)
    numbers = [entry.panel for entry in request.known]
    if any(number > total for number in numbers) or len(set(numbers)) < len(numbers):
        expected = f"each panel from 1 to {total} at most once"
        yield Problem(path="known", code="bad_panel", expected=expected, got=", ".join(map(str, numbers)))
    elif len(numbers) >= total:
        yield Problem(path="known", code="nothing_to_draw", expected="a panel that is not given", got=f"all {total}")


def panel_size(card: LoraCard, painter: PainterDefaults) -> tuple[int, int]:
    """Width and height of a panel in pixels, multiples of the painter's token."""
    if card.width is None or card.height is None:
        return painter.width, painter.height
    return rounded_size(card.width // card.columns, card.height // card.rows, painter.token_size)


def settled(
    card: LoraCard, panels: Sequence[int], captions: Sequence[str], given: Mapping[int, Image.Image], seed: int
) -> Sequence[str]:
    """The captions of a set as it is to be drawn: where everything stands on one spot, they tell which.

    It is where the first given panel has it; without one the seed decides.
    """
    if not card.alike or card.family != "pocket":
        return captions
    from chatdit.tools.fitting import fit_to
    from chatdit.tools.pixels import to_tensor
    from chatdit.tools.pocket.closer_look import sprites_in
    from chatdit.tools.pocket.composer import compose, seen
    from chatdit.tools.pocket.scene import PICTURE_PIXELS

    shown = next((given[panel] for panel in panels if panel in given), None)
    if shown is None:
        return [compose(caption, str(seed)) for caption in captions]
    sprites = sprites_in(to_tensor(fit_to(shown, PICTURE_PIXELS, PICTURE_PIXELS)))
    return [seen(caption, sprites) for caption in captions]


def panel_row(
    dit: DiT,
    card: LoraCard,
    panels: Sequence[int],
    captions: Sequence[str],
    given: Mapping[int, Image.Image],
    seed: int = 0,
) -> Row:
    """A set as it is drawn and trained on: separate segments for pocket, cells of one canvas for FLUX.

    `panels` are the numbers of its pictures in a set that may be longer, by which `given` names those that are there.
    """
    from chatdit.tools.dit.model import Row, Segment
    from chatdit.tools.fitting import fit_to
    from chatdit.tools.pixels import to_tensor

    width, height = size = panel_size(card, dit.defaults)
    canvas, token = dit.defaults.open_vocabulary, dit.defaults.token_size
    segments = []
    for i, (panel, (x, y)) in enumerate(zip(panels, cells(card.layout, width, height), strict=True)):
        pixels = to_tensor(fit_to(given[panel], *size)) if panel in given else None
        place = (y // token, x // token) if canvas else (0, 0)
        segments.append(Segment(width, height, 0 if canvas else i, place, pixels))
    told = tuple(card.told(caption, i) for i, caption in enumerate(captions, start=1))
    return Row(_joint(card, told), tuple(segments), seed)


def _joint(card: LoraCard, told: Sequence[str]) -> str:
    """The joint caption of a set, in the grammar of the LoRA's painter."""
    if card.family == "flux":
        return card.joint(tuple(told))
    from chatdit.tools.pocket.captions import joint_caption

    return joint_caption(list(told))


def _unread(dit: DiT, caption: str) -> list[str]:
    from chatdit.tools.in_context import caption_warnings

    return caption_warnings(dit, caption)


def _sampled(
    dit: DiT, lora: ShelvedLora, request: IcLoraInput, row: Row, report: ProgressCallback, preview: bool
) -> list[Image.Image]:
    from chatdit.tools.dit.adapters import AdapterUse
    from chatdit.tools.in_context import Drawing, sampled_pictures

    drawing = Drawing(row, 0, lora.card.layout if dit.defaults.open_vocabulary else None)
    adapter = AdapterUse(lora.file, request.strength)
    # where things stand is settled by the card, or left to the LoRA
    how = request.sampling
    return sampled_pictures(dit, drawing, how, report, preview=preview, adapter=adapter, compose=False).pictures


def _foreign(lora: ShelvedLora, dit: DiT) -> bool:
    return lora.card.base_weights not in ("", dit.weights_hash)


def _report(request: IcLoraInput, dit: DiT, lora: ShelvedLora) -> dict[str, float | int | str]:
    return drawn_with(dit, request.sampling) | {
        "lora": lora.card.name,
        "lora_digest": lora.digest(),
        "strength": request.strength,
    }
