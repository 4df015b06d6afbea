"""A run's pictures on disk, each twice: as it was made, and in IDEA-Bench's layout, which other people's scripts read.

originals/<case>/0001.png              lossless; a PNG of plain RGB keeps its bytes, and so its recipe
outputs/<system>/<case>/0001.jpg       JPEG, quality 95, 4:4:4
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from PIL import ExifTags, Image

from chatdit.evals.suites.official_fields import pictures_in
from chatdit.tools.images import load_picture

ORIGINALS, OUTPUTS = "originals", "outputs"


def keep_pictures(root: Path, system: str, case: str, sources: Sequence[Path]) -> tuple[str, ...]:
    """Take a case's pictures over into both layouts, in place of earlier ones; their names in `originals`.

    Raises:
        ToolError: one is missing or no picture; nothing is changed.
    """
    pictures = [load_picture(source).image for source in sources]
    originals = _fresh(root / ORIGINALS / case)
    outputs = _fresh(root / OUTPUTS / system / case)
    for i, (source, picture) in enumerate(zip(sources, pictures, strict=True), start=1):
        original = originals / f"{i:04d}.png"
        if _plain_png(source):
            shutil.copyfile(source, original)
        else:
            picture.save(original)
        picture.save(outputs / f"{i:04d}.jpg", "JPEG", quality=95, subsampling=0)
    _settle(originals, root / ORIGINALS / case, bool(pictures))
    _settle(outputs, root / OUTPUTS / system / case, bool(pictures))
    return tuple(f"{i:04d}.png" for i in range(1, len(pictures) + 1))


def pictures_of(root: Path, case: str) -> tuple[Path, ...]:
    """A case's pictures in order: the originals, else what a system left in `outputs/<system>`, or at `root` itself."""
    folders = [root / ORIGINALS / case, *sorted((root / OUTPUTS).glob(f"*/{case}")), root / case]
    found = next((folder for folder in folders if folder.is_dir()), None)
    return () if found is None else tuple(found / name for name in pictures_in(found))


def systems_of(root: Path) -> tuple[str, ...]:
    """Names of the systems whose pictures lie in `outputs/<system>`."""
    outputs = root / OUTPUTS
    return tuple(sorted(p.name for p in outputs.iterdir() if p.is_dir())) if outputs.is_dir() else ()


def _fresh(place: Path) -> Path:
    """An empty folder beside `place`, on its disk."""
    part = place.with_name(f".{place.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def _settle(part: Path, place: Path, kept: bool) -> None:
    # all pictures at once, so that a run that is killed leaves a case with all of them or none
    shutil.rmtree(place, ignore_errors=True)
    if kept:
        part.rename(place)
    else:
        part.rmdir()


def _plain_png(path: Path) -> bool:
    with Image.open(path) as picture:
        upright = picture.getexif().get(ExifTags.Base.Orientation, 1) == 1
        return picture.format == "PNG" and picture.mode == "RGB" and not picture.has_transparency_data and upright
