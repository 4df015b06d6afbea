"""Pictures handed over with a message: files, bytes, PIL pictures, or earlier pictures of a session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from chatdit.agents.instruction import InstructionInput
from chatdit.records import Picture
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.images import load_picture
from chatdit.tools.types import ToolError

Attachable = str | Path | bytes | Image.Image | Picture
MAX_ATTACHED = 12


@dataclass(frozen=True)
class Attached:
    """What was handed over, stored, and what had to be changed to read it."""

    inputs: tuple[InstructionInput, ...] = ()
    warnings: tuple[str, ...] = ()


def attach(pictures: Sequence[Attachable], artifacts: ArtifactStore) -> Attached:
    """Read and store `pictures` as `input_1`, `input_2`, ...; raises ToolError for one that cannot be read."""
    if isinstance(pictures, (str, bytes, Path, Image.Image, Picture)):
        raise ToolError(f"images is one {type(pictures).__name__}: expected a list; write images=[...]")
    if len(pictures) > MAX_ATTACHED:
        raise ToolError(f"{len(pictures)} pictures are attached: expected at most {MAX_ATTACHED}; attach fewer")
    inputs: list[InstructionInput] = []
    warnings: list[str] = []
    for number, picture in enumerate(pictures, start=1):
        inputs.append(_input(f"input_{number}", picture, artifacts, warnings))
    return Attached(tuple(inputs), tuple(warnings))


def _input(name: str, picture: Attachable, artifacts: ArtifactStore, warnings: list[str]) -> InstructionInput:
    if isinstance(picture, Picture):
        output = picture.output
        shows = output if output.told else None
        return InstructionInput(
            id=name, image=picture.image, description=output.description, picture=picture.number, shows=shows
        )
    if isinstance(picture, Image.Image):
        return InstructionInput(id=name, image=artifacts.put_image(_rgb(picture)))
    loaded = load_picture(picture)
    warnings += loaded.warnings
    return InstructionInput(id=name, image=artifacts.put_image(loaded.image))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.width < 1 or picture.height < 1:
        raise ToolError(f"an attached picture is {picture.width}x{picture.height} pixels: expected at least 1x1")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return picture.convert("RGB")
