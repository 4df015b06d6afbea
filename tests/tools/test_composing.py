"""Image operations: identities that hold bit for bit, and what geometry leaves where."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from chatdit.tools.compose import Crop, Flip, Grid, Operation, Pad, Paste, Resize, Rotate, Split, Stitch
from chatdit.tools.composing import composed, pixel_box, sheet_of, sizes_of, written_labels
from chatdit.tools.fitting import pad_to
from chatdit.tools.panels import MAX_PANELS
from chatdit.tools.types import Box

Levels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
WHOLE = Box(x1=0, y1=0, x2=1, y2=1)
SIZES = [(1, 1), (7, 5), (64, 64), (101, 67), (33, 240)]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def levels(picture: Image.Image) -> Levels:
    return np.asarray(picture).astype(np.int64)


def after(operation: Operation, *pictures: Image.Image, mask: Image.Image | None = None) -> list[Image.Image]:
    return list(composed(operation, [picture.size for picture in pictures], iter(pictures), mask))


def same(one: Image.Image, other: Image.Image) -> bool:
    return one.size == other.size and one.tobytes() == other.tobytes()


def area(colour: tuple[int, int, int], picture: Image.Image) -> int:
    return int((levels(picture) == colour).all(axis=2).sum())


def test_parts_put_on_a_grid_are_the_picture_again() -> None:
    chance = random.Random(0)
    for _ in range(40):
        rows, columns = chance.randint(1, 4), chance.randint(1, 6)
        picture = noise(chance.randint(columns, 90), chance.randint(rows, 90))
        parts = after(Split(rows=rows, columns=columns), picture)
        assert len(parts) == rows * columns
        assert max(p.width for p in parts) - min(p.width for p in parts) <= 1
        (again,) = after(Grid(columns=columns, gap=0), *parts)
        assert same(again, picture), (picture.size, rows, columns)


def test_parts_stitched_are_the_picture_again() -> None:
    picture = noise(101, 67)
    parts = after(Split(rows=3, columns=4), picture)
    strips = [after(Stitch(), *parts[i : i + 4])[0] for i in (0, 4, 8)]
    (again,) = after(Stitch(direction="vertical"), *strips)
    assert same(again, picture)


@pytest.mark.parametrize("size", SIZES)
def test_what_undoes_itself_leaves_the_picture(size: tuple[int, int]) -> None:
    picture = noise(*size)
    turned = picture
    for quarter in range(1, 5):
        (turned,) = after(Rotate(degrees=90), turned)
        assert same(turned, picture) is (quarter == 4 or size == (1, 1))
    for direction in ("horizontal", "vertical"):
        flip = Flip.model_validate({"direction": direction})
        (once,) = after(flip, picture)
        assert same(after(flip, once)[0], picture)
    assert same(
        after(Rotate(degrees=180), picture)[0], after(Rotate(degrees=270), *after(Rotate(degrees=270), picture))[0]
    )
    assert same(after(Crop(box=WHOLE), picture)[0], picture)
    assert same(after(Resize(scale=1), picture)[0], picture)


def test_turns_are_clockwise_and_mirrors_swap_the_sides_they_name() -> None:
    picture = Image.new("RGB", (2, 2))
    picture.putpixel((0, 0), (255, 0, 0))  # top left

    def red(made: list[Image.Image]) -> tuple[int, int]:
        ys, xs = np.nonzero(np.asarray(made[0])[..., 0])
        return int(xs[0]), int(ys[0])

    assert red(after(Rotate(degrees=90), picture)) == (1, 0)
    assert red(after(Rotate(degrees=270), picture)) == (0, 1)
    assert red(after(Flip(direction="horizontal"), picture)) == (1, 0)
    assert red(after(Flip(direction="vertical"), picture)) == (0, 1)


@pytest.mark.parametrize("fill", ["edge", "blur", "#336699"])
@pytest.mark.parametrize("target", [(64, 40), (41, 90), (90, 90), (41, 40)])
def test_padding_cropped_away_leaves_the_picture(fill: str, target: tuple[int, int]) -> None:
    picture, (width, height) = noise(41, 40), target
    (padded,) = after(Pad(width=width, height=height, fill=fill), picture)
    assert padded.size == target
    left, top = (width - 41) // 2, (height - 40) // 2
    box = Box(x1=left / width, y1=top / height, x2=(left + 41) / width, y2=(top + 40) / height)
    assert same(after(Crop(box=box), padded)[0], picture)


def test_padding_has_the_colour_that_was_asked_for() -> None:
    picture = Image.new("RGB", (20, 20), "blue")
    picture.paste("lime", (10, 0, 20, 20))
    (edged,) = after(Pad(width=60, height=40), picture)
    assert edged.getpixel((1, 20)) == (0, 0, 255) and edged.getpixel((58, 20)) == (0, 255, 0)
    assert sizes_of(Pad(aspect=1.7), [(20, 33), (60, 20)]) == ((56, 33), (60, 35))
    (coloured,) = after(Pad(aspect=2, fill="#336699"), picture)
    assert coloured.size == (40, 20) and area((0x33, 0x66, 0x99), coloured) == 20 * 20
    (blurred,) = after(Pad(width=200, height=100, fill="blur"), noise(60, 60))
    around = levels(blurred)
    assert around[:, :60].std() < 0.4 * around[25:75, 75:125].std(), "out of focus"


@pytest.mark.parametrize("size", [(30, 60), (120, 40)])
def test_what_does_not_fit_is_scaled_down_whole(size: tuple[int, int]) -> None:
    (padded,) = after(Pad(width=48, height=48, fill="edge"), noise(*size))
    assert padded.size == (48, 48) and same(padded, pad_to(noise(*size), 48, 48))


@pytest.mark.parametrize("count", range(1, MAX_PANELS + 1))
def test_a_grid_shows_every_picture_whole(count: int) -> None:
    sizes = [(40, 40), (40, 20), (10, 40)]
    colours = [(i * 20, 255 - i * 20, i) for i in range(count)]
    (sheet,) = after(Grid(), *(Image.new("RGB", sizes[i % 3], colour) for i, colour in enumerate(colours)))
    assert [area(colour, sheet) for colour in colours] == [sizes[i % 3][0] * sizes[i % 3][1] for i in range(count)]
    assert len(sheet.getcolors(1000) or []) == count + 1


def test_a_grid_stands_in_reading_order_with_a_white_frame() -> None:
    (sheet,) = after(Grid(), *(Image.new("RGB", (30, 30), (i * 20, 255 - i * 20, i)) for i in range(4)))
    row = [sheet.getpixel((x, 20)) for x in range(sheet.width)]
    assert [c for c in dict.fromkeys(row) if c != (255, 255, 255)] == [(0, 255, 0), (20, 235, 1)]
    assert {sheet.getpixel((x, 0)) for x in range(sheet.width)} == {(255, 255, 255)}


@pytest.mark.parametrize("count", range(1, 25))
@pytest.mark.parametrize("size", [(32, 32), (64, 24)])
def test_grids_are_near_square_and_no_picture_covers_another(count: int, size: tuple[int, int]) -> None:
    given = [size] * count
    sheet = sheet_of(Grid(gap=3), given)
    covered = np.zeros(sheet.size[::-1], dtype=int)
    for left, top, right, bottom in sheet.boxes:
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1 and covered.sum() == count * size[0] * size[1]
    assert count < 3 or 1 / 3.5 < sheet.size[0] / sheet.size[1] < 3.5


def test_fitted_pictures_get_the_first_ones_size() -> None:
    pictures = [noise(40, 30), noise(80, 60, 1), Image.new("RGB", (10, 90), "red")]
    (grid,) = after(Grid(columns=3, gap=2, background="black", fit=True), *pictures)
    assert grid.size == (3 * 40 + 4 * 2, 30 + 2 * 2)
    assert same(grid.crop((2, 2, 42, 32)), pictures[0]) and grid.getpixel((90, 15)) == (255, 0, 0)


def test_labels_are_written_under_their_own_picture_and_nowhere_else() -> None:
    pictures = [Image.new("RGB", (90, 60), "red") for _ in range(3)]
    plain = Grid(columns=3, gap=4, background="white")
    labelled = plain.model_copy(update={"labels": ("one", "", "three")})
    (bare,), (sheet,) = after(plain, *pictures), after(labelled, *pictures)
    assert sheet.width == bare.width and sheet.height > bare.height + 12
    assert same(sheet.crop((0, 0, sheet.width, 64)), bare.crop((0, 0, bare.width, 64)))
    ink = (levels(sheet)[64:] < 128).all(axis=2).sum(axis=0)
    assert ink[4:94].sum() > 20 and ink[98:188].sum() == 0 and ink[192:282].sum() > ink[4:94].sum()
    assert ink.sum() == ink[4:94].sum() + ink[192:282].sum()
    (dark,) = after(labelled.model_copy(update={"background": "black"}), *pictures)
    assert (levels(dark)[64:] > 128).all(axis=2).sum() > 20, "light on dark"


def test_labels_are_spelled_in_letters_of_the_font_and_cut_to_their_room() -> None:
    labels = ("Plain", "Bär – groß", "中", "a line that is far too long for so narrow a picture", "")
    wide, narrow = [(400, 60)] * 5, [(60, 60)] * 5
    grid = Grid(labels=labels)
    assert written_labels(grid, wide) == ("Plain", "Bar - gross", "?", labels[3], "")
    cut = written_labels(grid, narrow)
    assert cut[0] == "Plain" and cut[3].startswith("a line") and cut[3].endswith("...") and len(cut[3]) < 20


def test_stitching_keeps_shapes_and_brings_sides_together() -> None:
    given = [(40, 20), (30, 60), (50, 10)]
    assert sizes_of(Stitch(gap=5), given) == ((40 + 10 + 100 + 2 * 5, 20),)
    assert sizes_of(Stitch(match="largest"), given) == ((120 + 30 + 300, 60),)
    assert sizes_of(Stitch(direction="vertical"), given) == ((40, 20 + 80 + 8),)
    pictures = [Image.new("RGB", size, colour) for size, colour in zip(given, ("red", "lime", "blue"), strict=True)]
    (column,) = after(Stitch(direction="vertical", gap=4, background="black"), *pictures)
    assert [column.getpixel((20, y)) for y in (10, 22, 60, 106, 112)] == [
        (255, 0, 0), (0, 0, 0), (0, 255, 0), (0, 0, 0), (0, 0, 255)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("anchor", "corner"),
    [("centre", (20, 0)), ("left", (0, 0)), ("right", (40, 0)), ("top", (20, 0)), ("bottom", (20, 0))],
)
def test_anchors_say_where_a_wide_picture_is_cropped(anchor: str, corner: tuple[int, int]) -> None:
    picture = noise(100, 60)
    (made,) = after(Crop.model_validate({"aspect": 1, "anchor": anchor}), picture)
    assert same(made, picture.crop((*corner, corner[0] + 60, corner[1] + 60)))
    turned = {"left": "top", "right": "bottom", "top": "left", "bottom": "right"}.get(anchor, anchor)
    mirrored = picture.transpose(Image.Transpose.TRANSPOSE)
    (tall,) = after(Crop.model_validate({"aspect": 1, "anchor": turned}), mirrored)
    assert same(tall, made.transpose(Image.Transpose.TRANSPOSE))


def test_each_picture_is_cropped() -> None:
    pictures = [noise(40, 20), noise(10, 80, 1)]
    made = after(Crop(box=Box(x1=0.5, y1=0, x2=1, y2=0.25)), *pictures)
    assert same(made[0], pictures[0].crop((20, 0, 40, 5))) and same(made[1], pictures[1].crop((5, 0, 10, 20)))


def test_a_side_that_was_not_asked_for_follows_the_shape() -> None:
    given = [(100, 60), (3, 200)]
    assert sizes_of(Resize(width=50), given) == ((50, 30), (50, 3333))
    assert sizes_of(Resize(height=30), given) == ((50, 30), (1, 30))
    assert sizes_of(Resize(width=7, height=9), given) == ((7, 9), (7, 9))
    assert sizes_of(Resize(scale=0.25), given) == ((25, 15), (1, 50))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", ["inside", "cover", "stretch"])
def test_a_picture_pasted_on_itself_stays(size: tuple[int, int], fit: str) -> None:
    picture = noise(*size)
    for feather in (0, 3):
        assert same(after(Paste.model_validate({"fit": fit, "feather": feather}), picture, picture)[0], picture)
    soft = noise(*size, seed=1).convert("L")
    assert same(after(Paste.model_validate({"fit": fit}), picture, picture, mask=soft)[0], picture)


@pytest.mark.parametrize("feather", [0, 1, 5])
@pytest.mark.parametrize("fit", ["inside", "cover", "stretch"])
def test_outside_the_box_not_a_pixel_changes(fit: str, feather: int) -> None:
    chance = random.Random(feather)
    for _ in range(10):
        ground, laid = noise(83, 61), noise(chance.randint(1, 90), chance.randint(1, 90), 1)
        x1, y1 = chance.uniform(0, 0.7), chance.uniform(0, 0.7)
        box = Box(x1=x1, y1=y1, x2=chance.uniform(x1 + 0.05, 1), y2=chance.uniform(y1 + 0.05, 1))
        paste = Paste.model_validate({"box": box.model_dump(), "fit": fit, "feather": feather})
        (made,) = after(paste, ground, laid)
        changed = (levels(made) != levels(ground)).any(axis=2)
        left, top, right, bottom = pixel_box(box, ground.size)
        assert changed[top:bottom, left:right].any()
        changed[top:bottom, left:right] = False
        assert not changed.any()


def test_what_is_pasted_is_shown_whole_cropped_or_stretched() -> None:
    ground, laid = Image.new("RGB", (100, 100), "white"), Image.new("RGB", (40, 20), "red")
    laid.paste("blue", (0, 0, 5, 20))
    laid.paste("blue", (35, 0, 40, 20))
    box = Box(x1=0.5, y1=0.5, x2=0.9, y2=0.9)
    (inside,), (cover,), (stretch,) = (
        after(Paste.model_validate({"box": box.model_dump(), "fit": fit}), ground, laid)
        for fit in ("inside", "cover", "stretch")
    )
    blue, red, white = (0, 0, 255), (255, 0, 0), (255, 255, 255)
    assert same(inside.crop((50, 60, 90, 80)), laid) and area(white, inside) == 100 * 100 - 40 * 20
    assert area(red, cover) == 40 * 40 and area(blue, cover) == 0
    assert 350 <= area(blue, stretch) <= 400 and 1150 <= area(red, stretch) <= 1200


@pytest.mark.parametrize("owner", ["first", "second"])
def test_a_mask_takes_the_second_picture_where_it_is_white(owner: str) -> None:
    ground, laid = noise(80, 80), noise(40, 40, 1)
    size = (80, 80) if owner == "first" else (40, 40)
    mask = Image.new("L", size, 0)
    mask.paste(255, (10, 10, 30, 25))
    mask.paste(255, (60, 60, 70, 70))  # of the first picture, but not in the box
    paste = Paste.model_validate({"box": Box(x1=0, y1=0, x2=0.5, y2=0.5).model_dump(), "mask_of": owner})
    (made,) = after(paste, ground, laid, mask=mask)
    expected = ground.copy()
    expected.paste(laid.crop((10, 10, 30, 25)), (10, 10))
    assert same(made, expected)


def test_a_mask_that_is_scaled_with_its_picture_leaves_what_is_black() -> None:
    ground, laid, mask = Image.new("RGB", (90, 90)), Image.new("RGB", (20, 20), "white"), Image.new("L", (20, 20), 0)
    mask.paste(255, (5, 5, 15, 15))
    (made,) = after(Paste(), ground, laid, mask=mask)
    changed = (levels(made) != levels(ground)).any(axis=2)
    rows, columns = changed.nonzero()
    assert changed[45, 45] and rows.min() >= 19 and rows.max() <= 70 and columns.min() >= 19 and columns.max() <= 70


def test_a_feather_rises_from_the_seam_inwards_and_not_from_the_border() -> None:
    ground, laid = Image.new("RGB", (60, 40), "black"), Image.new("RGB", (60, 40), "white")
    (made,) = after(Paste(box=Box(x1=0, y1=0, x2=0.5, y2=1), fit="stretch", feather=4), ground, laid)
    for y in (0, 20, 39):
        assert [made.getpixel((x, y)) for x in (0, 25, 26, 27, 28, 29, 30)] == [
            (v, v, v) for v in (255, 255, 204, 153, 102, 51, 0)
        ]


@pytest.mark.parametrize("masked", [False, True])
def test_a_feather_rises_from_all_four_sides_of_a_box(masked: bool) -> None:
    ground, laid = Image.new("RGB", (40, 40), "black"), Image.new("RGB", (40, 40), "white")
    paste = Paste(box=Box(x1=0.25, y1=0.25, x2=0.75, y2=0.75), mask_of="first", feather=1)
    (made,) = after(paste, ground, laid, mask=Image.new("L", (40, 40), 255) if masked else None)
    rising = [0, 128, 255, 255, 128, 0]
    assert [made.getpixel((x, 20)) for x in (9, 10, 11, 28, 29, 30)] == [(v, v, v) for v in rising]
    assert [made.getpixel((20, y)) for y in (9, 10, 11, 28, 29, 30)] == [(v, v, v) for v in rising]


def test_a_feather_thins_what_is_narrow_but_leaves_it() -> None:
    ground, laid, mask = Image.new("RGB", (60, 40)), Image.new("RGB", (60, 40), "white"), Image.new("L", (60, 40), 0)
    mask.paste(255, (30, 0, 33, 40))
    mask.paste(128, (10, 10, 20, 20))
    (made,) = after(Paste(feather=3), ground, laid, mask=mask)
    assert [made.getpixel((x, 20)) for x in (29, 30, 31, 32, 33)] == [(v, v, v) for v in (0, 64, 128, 64, 0)]
    assert made.getpixel((15, 15)) == (128, 128, 128), "a soft mask keeps its own level"


def test_a_black_mask_pastes_nothing() -> None:
    ground = noise(30, 20)
    assert same(after(Paste(feather=3), ground, noise(30, 20, 1), mask=Image.new("L", (30, 20), 0))[0], ground)
