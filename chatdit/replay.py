"""Draw a picture again from the recipe in its file, and say whether the pixels are equal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import ValidationError

from chatdit.provenance import Ingredient, NoRecipe, Recipe, read_recipe
from chatdit.tools.images import load_picture
from chatdit.tools.tool import RunContext, Tool
from chatdit.tools.types import ProgressCallback, ToolError

MAX_DEPTH = 8
Pixel = tuple[int, int, int]


@dataclass(frozen=True)
class Difference:
    """How two pictures differ; the first pixel in reading order, counted from 0 at the top left."""

    x: int
    y: int
    expected: Pixel
    got: Pixel
    pixels: int
    """How many pixels differ at all."""
    largest: int
    """The largest difference of any channel, of 255."""

    def __str__(self) -> str:
        return (
            f"{self.pixels} pixels differ, by at most {self.largest} of 255; "
            f"the first at ({self.x}, {self.y}): {self.expected} in the file, {self.got} now"
        )


@dataclass(frozen=True)
class Replay:
    """What came of drawing a picture again."""

    recipe: Recipe
    image: Image.Image
    equal: bool
    difference: Difference | None = None
    """None when the pixels are equal, or the sizes are not."""
    notes: tuple[str, ...] = ()
    """What is not as it was: other weights, another version."""

    def __str__(self) -> str:
        if self.equal:
            return "the pixels are equal"
        return str(self.difference) if self.difference else f"the size differs: it is {self.image.size} now"


def replay(
    path: str | Path, context: RunContext, tools: Mapping[str, Tool], progress: ProgressCallback | None = None
) -> Replay:
    """Draw the picture in the PNG at `path` again with the painter of `context`.

    Pictures that went in are taken from the artifact store, or drawn again from their own recipes.
    Raises NoRecipe for a file without a full recipe, ToolError when it cannot be drawn here.
    """
    recipe = read_recipe(path)
    before = load_picture(path).image
    if progress is not None:
        context = replace(context, progress=progress)
    after = _draw(recipe, context, tools, MAX_DEPTH)
    equal = before.size == after.size and before.tobytes() == after.tobytes()
    difference = None if equal else first_difference(before, after)
    return Replay(recipe, after, equal, difference, tuple(_notes(recipe, context, tools)))


def first_difference(before: Image.Image, after: Image.Image) -> Difference | None:
    """Where two RGB pictures of one size part; None for equal pixels or other sizes."""
    if before.size != after.size:
        return None
    a, b = np.asarray(before, dtype=np.int16), np.asarray(after, dtype=np.int16)
    apart = np.abs(a - b).max(axis=2)
    rows, columns = np.nonzero(apart)
    if rows.size == 0:
        return None
    y, x = int(rows[0]), int(columns[0])
    return Difference(x, y, _pixel(a[y, x]), _pixel(b[y, x]), int(rows.size), int(apart.max()))


def _draw(recipe: Recipe, context: RunContext, tools: Mapping[str, Tool], depth: int) -> Image.Image:
    if recipe.args is None:
        raise NoRecipe("the recipe is a minimal one: expected one written with metadata = full, which can be replayed")
    if recipe.tool not in tools:
        raise NoRecipe(f"the recipe needs the tool {recipe.tool[:40]!r}: known here are {', '.join(tools)}")
    tool = tools[recipe.tool]
    for part in recipe.ingredients:
        _provide(part, context, tools, depth)
    try:
        asked = tool.Input.model_validate(recipe.args)
    except ValidationError as error:
        where = ".".join(str(step) for step in error.errors()[0]["loc"])[:80]
        raise NoRecipe(
            f"the recipe does not fit the tool {tool.name}: at {where}: {error.errors()[0]['msg']}"
        ) from None
    if problems := tool.validate(asked):
        raise NoRecipe(f"the recipe does not fit the tool {tool.name}: {problems[0]}")
    images = tool.run(asked, context).images
    if recipe.index >= len(images):
        raise NoRecipe(
            f"the recipe wants image {recipe.index} of {len(images)}: the file was changed after it was drawn"
        )
    return context.store.open_image(images[recipe.index])


def _provide(part: Ingredient, context: RunContext, tools: Mapping[str, Tool], depth: int) -> None:
    """Make sure that a picture that went in is in the store."""
    if context.store.has(part.image.sha256):
        return
    name = part.image.sha256[:12]
    if part.recipe is None or depth == 0:
        raise ToolError(f"picture {name} went into this one and is not here: replay it where it was drawn")
    made = context.store.put_image(_draw(part.recipe, context, tools, depth - 1))
    if made.sha256 != part.image.sha256:
        raise ToolError(f"picture {name} went into this one, and drawn again it is not the same: replay that one first")


def _notes(recipe: Recipe, context: RunContext, tools: Mapping[str, Tool]) -> list[str]:
    dit, tool = context.dit(), tools[recipe.tool]
    notes = []
    if recipe.weights != dit.weights_hash:
        notes.append(
            f"drawn with {recipe.model} {recipe.weights[:10] or '(unknown weights)'}, "
            f"replayed with {dit.name} {dit.weights_hash[:10]}"
        )
    if recipe.tool_version != tool.version:
        notes.append(f"drawn with {tool.name} version {recipe.tool_version or 'unknown'}, replayed with {tool.version}")
    return notes


def _pixel(values: np.ndarray[tuple[int], np.dtype[np.int16]]) -> Pixel:
    red, green, blue = (int(value) for value in values)
    return red, green, blue
