"""From what was asked to pixels: whole tokens, the asked shape, and words about every difference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chatdit.tools.dit.rows import SamplingDefaults
from chatdit.tools.panel_sizes import Asked, cell_size, finished_size, reference_size, size_of, size_warnings

POCKET = SamplingDefaults(
    steps=8, guidance=3.0, shift=2.0, width=256, height=256, max_panels=4, open_vocabulary=False, token_size=32
)
FLUX = replace(POCKET, width=1024, height=1024, max_panels=12, open_vocabulary=True, token_size=16)


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        (Asked(), (1024, 1024)),
        (Asked(1000, 600), (1008, 608)),
        (Asked(width=512), (512, 512)),
        (Asked(height=512), (512, 512)),
        (Asked(width=512, aspect=2.0), (512, 256)),
        (Asked(height=512, aspect=2.0), (1024, 512)),
        (Asked(aspect=4.0), (2048, 512)),
        (Asked(aspect=0.25), (512, 2048)),
        (Asked(16, 4096), (16, 4096)),
    ],
)
def test_a_picture_alone(asked: Asked, size: tuple[int, int]) -> None:
    assert size_of(asked, FLUX, sharing=1) == size


def test_a_set_shares_the_budget_unless_sizes_are_asked_for() -> None:
    assert size_of(Asked(), FLUX, sharing=4) == (720, 720)
    assert size_of(Asked(1024, 1024), FLUX, sharing=4) == (1024, 1024)
    assert size_of(Asked(), POCKET, sharing=4) == (256, 256)


def test_cells_share_the_size_asked_for_or_the_references_median_shape() -> None:
    assert cell_size([Asked(), Asked(640, 320)], [(10, 10)], FLUX) == (640, 320)
    wide = cell_size([Asked()], [(200, 100), (210, 100), (10, 400)], FLUX)
    assert wide[0] / wide[1] == pytest.approx(2.0, rel=0.05)
    assert cell_size([Asked()], [(200, 100)], POCKET) == (256, 256)
    longest = cell_size([Asked()], [(9000, 100)], FLUX)
    assert longest[0] / longest[1] == pytest.approx(4.0, rel=0.05)


def test_references_keep_their_shape_where_the_painter_takes_any() -> None:
    width, height = reference_size((300, 900), FLUX, sharing=2)
    assert height / width == pytest.approx(3.0, rel=0.05) and width % 16 == height % 16 == 0
    assert reference_size((300, 900), POCKET, sharing=2) == (256, 256)


def test_no_warning_when_nothing_differs() -> None:
    for asked in (Asked(), Asked(512, 512), Asked(aspect=1.0)):
        assert size_warnings(1, asked, size_of(asked, FLUX, 1), FLUX, 1) == []
    assert size_warnings(1, Asked(), (256, 256), POCKET, 4) == []


def test_rounding_sharing_and_untrained_sizes_are_said() -> None:
    assert size_warnings(2, Asked(1000, 600), (1008, 608), FLUX, 1) == [
        "picture 2 is 1008x608, not 1000x600: sides are multiples of 16"
    ]
    shared = {*size_warnings(1, Asked(), (720, 720), FLUX, 4), *size_warnings(2, Asked(), (720, 720), FLUX, 4)}
    assert shared == {"720x720 each: 4 panels share one context; ask for a size to change that"}, "said once a set"
    assert size_warnings(1, Asked(512, 250), (256, 256), POCKET, 1) == [
        "drawn at 256x256, which this painter has learned, and fitted to 512x250"
    ]


@pytest.mark.parametrize(
    ("asked", "finished"),
    [
        (Asked(), (256, 256)),
        (Asked(1000, 600), (1000, 600)),
        (Asked(width=100), (100, 100)),
        (Asked(height=100, aspect=2.0), (200, 100)),
        (Asked(aspect=4.0), (512, 128)),
    ],
)
def test_what_knows_one_size_draws_it_whatever_is_asked_for(asked: Asked, finished: tuple[int, int]) -> None:
    assert size_of(asked, POCKET, sharing=1) == (256, 256)
    assert finished_size(asked, (256, 256), POCKET) == finished
    assert finished_size(asked, (640, 320), FLUX) == (640, 320)
