"""What the pocket world can show: subjects, backgrounds, styles, tints, with their words.

Names and glyphs come from Unicode CLDR through `build_assets.py`; this module only reads the
table that ships with the package and imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, get_args

Size = Literal["small", "medium", "large"]
SIZES: tuple[Size, ...] = get_args(Size)
COUNT_WORDS = {2: "two", 3: "three", 4: "four"}

ACCESSORIES: tuple[str, ...] = ("top hat", "party hat", "bow", "flower", "halo", "badge")
"""What a subject can wear, in any of the colours of `TINTS`."""

PERSON = "person"
"""The one subject without a sprite: a figure with joints and clothes."""
TOPS: tuple[str, ...] = ("shirt", "sweater")
BOTTOMS: tuple[str, ...] = ("trousers", "shorts", "skirt")
GARMENT_TEXTURES: tuple[str, ...] = ("plain", "striped", "dotted", "checked")
EDIT_WORDS: tuple[str, ...] = ("make", "it", "add", "remove", "replace", "by", "put", "same")


@dataclass(frozen=True)
class Subject:
    """A thing that can stand in a scene; its sprite is tile `index` of the atlas."""

    name: str
    index: int
    glyph: str
    plural: str
    synonyms: tuple[str, ...]
    held_out: bool
    """True when the base model never sees it: kept for subject-driven tools."""


@dataclass(frozen=True)
class Background:
    """A place; `phrase` is how captions name it."""

    name: str
    phrase: str
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Style:
    """A way to draw the whole picture."""

    name: str
    synonyms: tuple[str, ...] = ()


BACKGROUNDS: Mapping[str, Background] = {
    b.name: b
    for b in (
        Background("beach", "on the beach", ("seaside", "shore", "seashore", "coast", "sand", "sandy beach")),
        Background("moon", "on the moon", ("lunar surface", "moon surface")),
        Background("forest", "in the forest", ("woods", "wood", "woodland", "jungle")),
        Background("meadow", "on a meadow", ("grass", "field", "lawn", "grassland", "spring meadow")),
        Background("desert", "in the desert", ("dunes", "sand dunes", "sahara")),
        Background("snow", "in the snow", ("winter", "snowy field", "ice", "snowfield")),
        Background("city", "in the city", ("town", "downtown", "skyline", "cityscape")),
        Background("underwater", "under water", ("sea", "ocean", "under the sea", "the deep", "seabed")),
        Background("sky", "in the sky", ("clouds", "the clouds", "air")),
        Background("space", "in space", ("outer space", "cosmos", "galaxy", "universe", "the stars")),
        Background("night", "at night", ("night sky", "dark night", "starry night", "midnight")),
        Background("sunset", "at sunset", ("dusk", "evening", "sundown", "dawn", "sunrise")),
        Background("mountains", "in the mountains", ("mountain", "alps", "peaks", "hills")),
        Background("room", "in a room", ("living room", "bedroom", "indoors", "inside", "house interior")),
        Background("street", "on the street", ("road", "sidewalk", "avenue")),
        Background("farm", "on a farm", ("barn", "barnyard", "farmyard", "countryside")),
        Background("garden", "in the garden", ("flower garden", "park", "backyard", "yard")),
        Background("lake", "at the lake", ("pond", "lakeside", "river", "riverside")),
        Background("cave", "in a cave", ("cavern", "grotto")),
        Background("stage", "on stage", ("theater", "theatre", "spotlight", "concert hall")),
        Background("kitchen", "in the kitchen", ("kitchen counter",)),
        Background("playground", "on the playground", ("play area", "schoolyard")),
        Background("autumn", "in autumn", ("fall", "autumn leaves", "autumn park", "autumn forest")),
        Background("studio", "in a studio", ("plain background", "white background", "blank background")),
    )
}

STYLES: Mapping[str, Style] = {
    s.name: s
    for s in (
        Style("plain", ("normal", "regular", "full colour", "full color", "ordinary")),
        Style("sketch", ("pencil", "pencil drawing", "line drawing", "line art", "drawn in pencil")),
        Style("pixel art", ("pixel", "pixelated", "8-bit", "retro game", "pixels")),
        Style("monochrome", ("black and white", "grayscale", "greyscale", "gray", "grey", "b&w", "black-and-white")),
        Style("sepia", ("old photo", "vintage", "antique", "old-fashioned")),
        Style("negative", ("inverted", "inverted colours", "inverted colors", "x-ray")),
    )
}

TINTS: Mapping[str, tuple[float, float, float]] = {
    "red": (0.93, 0.16, 0.16),
    "orange": (1.00, 0.55, 0.10),
    "yellow": (1.00, 0.88, 0.20),
    "green": (0.20, 0.75, 0.25),
    "blue": (0.20, 0.40, 1.00),
    "purple": (0.60, 0.25, 0.85),
    "pink": (1.00, 0.50, 0.75),
}

TINT_SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet", "ruby"),
    "orange": ("amber", "ginger"),
    "yellow": ("golden", "gold", "lemon-coloured"),
    "green": ("emerald", "lime"),
    "blue": ("azure", "navy", "cyan", "turquoise"),
    "purple": ("violet", "lilac", "lavender"),
    "pink": ("magenta", "rosy"),
}


def _subjects() -> Mapping[str, Subject]:
    table = json.loads(files("chatdit.tools.pocket").joinpath("vocabulary.json").read_text(encoding="utf-8"))
    return {
        row["name"]: Subject(
            name=row["name"],
            index=index,
            glyph=row["glyph"],
            plural=row["plural"],
            synonyms=tuple(row["synonyms"]),
            held_out=row["held_out"],
        )
        for index, row in enumerate(table["subjects"])
    }


SUBJECTS: Mapping[str, Subject] = _subjects()
DRAWABLE: tuple[str, ...] = tuple(name for name, subject in SUBJECTS.items() if not subject.held_out)
HELD_OUT: tuple[str, ...] = tuple(name for name, subject in SUBJECTS.items() if subject.held_out)


def find_subject(words: str) -> str | None:
    """Canonical name of a subject given by name, plural or synonym, or None."""
    return _subject_words().get(words.lower())


def find_background(words: str) -> str | None:
    """Canonical name of a background given by name or synonym, or None."""
    return _named(BACKGROUNDS.values()).get(words.lower())


def find_style(words: str) -> str | None:
    """Canonical name of a style given by name or synonym, or None."""
    return _named(STYLES.values()).get(words.lower())


def find_accessory(words: str) -> str | None:
    """The accessory of this name, or None."""
    return words.lower() if words.lower() in ACCESSORIES else None


def find_tint(word: str) -> str | None:
    """Canonical name of a tint given by name or synonym, or None."""
    word = word.lower()
    return word if word in TINTS else next((t for t, others in TINT_SYNONYMS.items() if word in others), None)


def caption_vocabulary() -> tuple[str, ...]:
    """Every phrase that captions are made of, in a fixed order: the text encoder's vocabulary."""
    words = [*SUBJECTS, *(s.plural for s in SUBJECTS.values()), "subject", "subjects"]
    words += [b.phrase for b in BACKGROUNDS.values()]
    words += [f"{s} style" for s in STYLES] + list(TINTS) + ["small", "medium", "large"]
    words += list(COUNT_WORDS.values())
    words += ["left of", "right of", "above", "below"]
    words += ["on the left", "on the right", "in the middle", "at the top", "at the bottom"]
    words += [f"[panel{i}]" for i in range(1, 13)]
    # the weights of 2026-11-26 know what stands above and not what stands below
    words += [PERSON, "wearing", *ACCESSORIES, *TOPS, *BOTTOMS, *GARMENT_TEXTURES, *EDIT_WORDS]
    words += [word for names in caption_synonyms().values() for pair in names for word in pair]
    words += [word for others in TINT_SYNONYMS.values() for word in others]
    return tuple(dict.fromkeys(words))


@cache
def caption_synonyms() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Other names of each subject that has some, each as singular and plural."""
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    for name, subject in SUBJECTS.items():
        pairs = [(one, _listed_plural(one, subject.synonyms)) for one in subject.synonyms]
        kept = tuple((one, many) for one, many in pairs if many)
        if kept:
            found[name] = kept
    return found


def _listed_plural(word: str, listed: Sequence[str]) -> str:
    endings = (word + "s", word + "es", word.removesuffix("y") + "ies")
    return next((other for other in listed if other in endings), "")


@cache
def _subject_words() -> dict[str, str]:
    words: dict[str, str] = {}
    for subject in SUBJECTS.values():
        for word in (*subject.synonyms, subject.plural):
            words.setdefault(word.lower(), subject.name)
    words.update({name.lower(): name for name in SUBJECTS})
    return words


def _named(entries: Iterable[Background] | Iterable[Style]) -> dict[str, str]:
    words = {synonym.lower(): entry.name for entry in entries for synonym in entry.synonyms}
    return words | {entry.name.lower(): entry.name for entry in entries}
