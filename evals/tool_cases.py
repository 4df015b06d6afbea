"""One fixed request for everything that a tool does, to measure what it costs: over pictures that the world renders."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageDraw

from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.compose import ComposeInput, Stitch
from chatdit.tools.edit import EditInput
from chatdit.tools.fitting import resize_to
from chatdit.tools.generate_request import Context, GenerateInput, PanelRequest
from chatdit.tools.ic_lora import IcLoraInput
from chatdit.tools.layout import BoxedPhrase, LayoutInput
from chatdit.tools.pocket.renderer import Renderer, to_image
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Scene, Thing
from chatdit.tools.segment import SegmentInput
from chatdit.tools.story import Page, StoryInput
from chatdit.tools.subject import SubjectInput, SubjectReference
from chatdit.tools.types import Box, ImageRef, MaskRef, Reference, ToolInput

_PLACES = ("on the beach", "in the forest", "in the snow", "at night")
_FOX, _CAT = Placement("fox", None, 20, 130, 80), Placement("cat", None, 150, 120, 90)
_SHOWN, _WANTED = "a fox left of a cat on the beach", "a dog left of a cat on the beach"


@dataclass(frozen=True)
class ToolCase:
    """What is asked of a tool; `name` tells it from the tool's other cases."""

    tool: str
    name: str
    request: ToolInput


def tool_cases(store: ArtifactStore, *, looks: bool, side: int, lora: str) -> tuple[ToolCase, ...]:
    """A case or more of every tool, plain generation first; their pictures, of `side` pixels, go into `store`.

    `looks` is for painters of the pocket world, which are told less: where a subject is, they see. The LoRA's case is
    the last, since its layers stay in the transformer.
    """
    two = store.put_image(_rendered((_FOX, _CAT), side))
    one = store.put_image(_rendered((_FOX,), side))
    region = store.put_mask(_masked(_FOX, side))
    return (
        *_generated(one, "sequence" if looks else "canvas"),
        *_edited(two, region),
        ToolCase("compose", "side by side", ComposeInput(images=(two, one), operation=Stitch())),
        ToolCase("segment", "a phrase", SegmentInput(image=two, phrase="the cat")),
        ToolCase("layout", "two boxes", _boxed()),
        ToolCase("subject", "one reference", _elsewhere(one, None if looks else region)),
        ToolCase("story", "four pages", StoryInput(pages=tuple(_pages()), subject="fox")),
        ToolCase("ic_lora", "a set", IcLoraInput(lora=lora, captions=("a fox on the beach",))),
    )


def _generated(shown: ImageRef, together: Context) -> Iterator[ToolCase]:
    yield ToolCase("generate", "one picture", GenerateInput(panels=(PanelRequest(caption="a fox in the forest"),)))
    panels = tuple(PanelRequest(caption=f"a fox {place}") for place in _PLACES)
    yield ToolCase("generate", "four panels", GenerateInput(panels=panels, context=together))
    reference = Reference(image=shown, description="a fox on the beach")
    yield ToolCase(
        "generate", "one reference", GenerateInput(panels=panels[1:2], references=(reference,), context=together)
    )


def _edited(picture: ImageRef, region: MaskRef) -> Iterator[ToolCase]:
    yield ToolCase("edit", "by words", EditInput(image=picture, caption=_WANTED, shown=_SHOWN))
    yield ToolCase("edit", "by a mask", EditInput(image=picture, caption=_WANTED, mask=region))


def _boxed() -> LayoutInput:
    left, right = Box(x1=0.05, y1=0.4, x2=0.45, y2=0.9), Box(x1=0.55, y1=0.4, x2=0.95, y2=0.9)
    boxes = BoxedPhrase(phrase="a fox", box=left), BoxedPhrase(phrase="a cat", box=right)
    return LayoutInput(boxes=boxes, background="on the beach")


def _elsewhere(picture: ImageRef, mask: MaskRef | None) -> SubjectInput:
    reference = SubjectReference(image=picture, word="fox", mask=mask)
    return SubjectInput(references=(reference,), caption="the fox in the forest")


def _pages() -> Iterator[Page]:
    return (Page(caption=f"a fox {place}") for place in _PLACES)


def _rendered(sprites: tuple[Placement, ...], side: int) -> Image.Image:
    scene = Scene(tuple(Thing(sprite.subject) for sprite in sprites), "beach")
    return resize_to(to_image(Renderer().pictures_of([scene], [sprites], random.Random(0))[0]), side, side)


def _masked(sprite: Placement, side: int) -> Image.Image:
    """Mode L: 255 in the sprite's square."""
    mask, scale = Image.new("L", (side, side)), side / PICTURE_PIXELS
    corners = (sprite.left, sprite.top, sprite.left + sprite.side - 1, sprite.top + sprite.side - 1)
    ImageDraw.Draw(mask).rectangle([int(corner * scale) for corner in corners], fill=255)
    return mask
