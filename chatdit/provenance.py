"""What a picture file says about its making, and reading that back.

A PNG carries three texts: `parameters` in the form that other tools read, a JSON `chatdit` recipe
that is enough to draw the picture again, and XMP that names it AI-made (IPTC DigitalSourceType).
The same picture and recipe give the same bytes. Whatever is read from a file is untrusted.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Literal

from PIL import Image, PngImagePlugin
from pydantic import Field, JsonValue, ValidationError

from chatdit import __version__
from chatdit.settings_model import MetadataLevel
from chatdit.tools.types import Data, ImageRef, Sha256, ToolError

KEY = "chatdit"
XMP_KEY = "XML:com.adobe.xmp"
MAX_RECIPE_BYTES = 512 * 1024
MAX_FILE_BYTES = 256 * 2**20
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


class Ingredient(Data):
    """A picture that went in; `recipe` when it was drawn by chatdit itself."""

    image: ImageRef
    recipe: Recipe | None = None


class Recipe(Data):
    """How a picture was made: enough to draw it again where the painter and the input pictures are."""

    version: Literal[1] = 1
    software: str = f"chatdit {__version__}"
    model: str
    weights: str = ""
    """Hash of the painter's weights."""
    tool: str
    tool_version: str = ""
    seed: int
    steps: int | None = None
    guidance: float | None = None
    attention: str = ""
    """What became of the sparse policy, if one was asked for; its name is among the arguments."""
    pixels: Sha256 | None = None
    """Of the picture without metadata, as in the artifact store."""
    index: int = Field(default=0, ge=0)
    """Which image of the tool's output this is."""
    args: dict[str, JsonValue] | None = None
    """The tool's input with pictures by hash; None in a minimal recipe."""
    caption: str = ""
    instruction: str = ""
    """What the person said."""
    brain: str = ""
    node: str = ""
    plan: JsonValue = None
    ingredients: tuple[Ingredient, ...] = ()

    def minimal(self) -> Recipe:
        """Only what names the tool that drew it: no words, no arguments, no lineage."""
        return Recipe(
            software=self.software, model=self.model, weights=self.weights, tool=self.tool,
            tool_version=self.tool_version, seed=self.seed, steps=self.steps, guidance=self.guidance,
        )  # fmt: skip


class NoRecipe(ToolError):
    """The file carries no recipe of ours, or one that cannot be trusted."""


def png_with_recipe(image: Image.Image, recipe: Recipe, level: MetadataLevel = "full") -> bytes:
    """PNG file bytes of an RGB image; equal arguments give equal bytes. `none` writes no text at all."""
    texts = PngImagePlugin.PngInfo()
    if level != "none":
        kept = _bounded(recipe) if level == "full" else recipe.minimal()
        if level == "full":
            texts.add_text("parameters", parameters_text(kept, image.size))
        texts.add_itxt(KEY, _as_json(kept))
        texts.add_itxt(XMP_KEY, XMP)
    buffer = io.BytesIO()
    bare = Image.frombytes("RGB", image.size, image.convert("RGB").tobytes())
    bare.save(buffer, format="PNG", compress_level=6, pnginfo=texts)
    return buffer.getvalue()


def parameters_text(recipe: Recipe, size: tuple[int, int]) -> str:
    """The `parameters` text that picture viewers and sharing sites read; `size` in pixels."""
    facts = {
        "Steps": recipe.steps,
        "Sampler": "Euler",
        "CFG scale": recipe.guidance,
        "Seed": recipe.seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model hash": recipe.weights[:10] or None,
        "Model": recipe.model,
        "Version": recipe.software,
    }
    line = ", ".join(f"{name}: {value}" for name, value in facts.items() if value is not None)
    return f"{' '.join(recipe.caption.split())}\n{line}"


def read_recipe(path: str | Path) -> Recipe:
    """The recipe inside a PNG, bounded and checked. Raises NoRecipe, one line, when there is none to trust."""
    texts = read_texts(path)
    name = repr(str(path))
    if KEY not in texts:
        raise NoRecipe(f"{name} carries no chatdit recipe: expected a PNG written by chatdit with metadata on")
    raw = texts[KEY]
    if len(raw.encode("utf-8", "replace")) > MAX_RECIPE_BYTES:
        raise NoRecipe(f"{name} carries a recipe of {len(raw):,} characters: at most {MAX_RECIPE_BYTES:,} are read")
    try:
        value = json.loads(raw)
        if isinstance(value, dict) and value.get("version") != 1:
            shown = str(value.get("version"))[:20]
            raise NoRecipe(f"{name} carries a recipe of version {shown!r}: this chatdit reads version 1; update it")
        return Recipe.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in fault["loc"])[:80] or "the top"
        raise NoRecipe(f"{name} carries a damaged recipe: at {where}: {fault['msg'][:80]}") from None
    except (ValueError, RecursionError):
        raise NoRecipe(f"{name} carries a recipe that is not JSON: the file was changed after it was drawn") from None


def read_texts(path: str | Path) -> dict[str, str]:
    """The texts of a PNG file that come before its pixels. Raises NoRecipe for anything but a sound PNG."""
    name = repr(str(path))
    try:
        if Path(path).stat().st_size > MAX_FILE_BYTES:
            raise NoRecipe(f"{name} is larger than {MAX_FILE_BYTES:,} bytes: expected a PNG written by chatdit")
        with Image.open(path, formats=("PNG",)) as image:
            return {
                key: str(value) for key, value in image.info.items() if isinstance(key, str) and isinstance(value, str)
            }
    except FileNotFoundError:
        raise NoRecipe(f"{name} does not exist: expected a PNG file; check the path") from None
    except NoRecipe:
        raise
    except Exception as error:  # decoders raise anything on hostile bytes
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise NoRecipe(f"{name} cannot be read as a PNG ({reason}): recipes live in PNG files only") from None


def _bounded(recipe: Recipe) -> Recipe:
    """A lineage too long for the file loses its oldest recipes first, then the plan; hashes stay."""
    depth = 8
    while len(_as_json(recipe).encode()) > MAX_RECIPE_BYTES and depth >= 0:
        recipe = _cut(recipe, depth)
        depth -= 1
    if len(_as_json(recipe).encode()) > MAX_RECIPE_BYTES:
        recipe = recipe.model_copy(update={"plan": None})
    return recipe if len(_as_json(recipe).encode()) <= MAX_RECIPE_BYTES else recipe.minimal()


def _cut(recipe: Recipe, depth: int) -> Recipe:
    kept = tuple(
        Ingredient(image=part.image, recipe=_cut(part.recipe, depth - 1) if part.recipe and depth > 0 else None)
        for part in recipe.ingredients
    )
    return recipe.model_copy(update={"ingredients": kept})


def _as_json(recipe: Recipe) -> str:
    return json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
