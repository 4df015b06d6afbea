"""Packing, position ids and known elements: pure geometry."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline

from chatdit.tools.dit.packing import Grid, check_known, known_elements, pack, pack_factor, position_ids, unpack
from chatdit.tools.dit.rows import Segment
from chatdit.tools.types import ToolError

FLUX_PIPELINE: Any = FluxPipeline
POCKET, FLUX = Grid(8, 4, 16), Grid(8, 2, 16)


def test_pack_2_is_the_order_of_flux() -> None:
    latent = torch.randn(16, 6, 10)
    theirs = FLUX_PIPELINE._pack_latents(latent[None], 1, 16, 6, 10)[0]
    assert torch.equal(pack(latent, 2), theirs)


@pytest.mark.parametrize("p", [1, 2, 4])
def test_unpack_undoes_pack(p: int) -> None:
    latent = torch.randn(3, 2 * p, 5 * p)
    assert torch.equal(unpack(pack(latent, p), 2, 5, p), latent)


def test_the_pack_factor_follows_from_the_channels() -> None:
    assert [pack_factor(c, 16) for c in (16, 64, 256)] == [1, 2, 4]
    for wrong in (0, 17, 128, 384):
        with pytest.raises(ToolError, match=f"{wrong} channels a token"):
            pack_factor(wrong, 16)


def test_ids_are_panel_row_column_with_the_origin_added() -> None:
    segments = [Segment(64, 32), Segment(32, 64, panel=3, origin=(5, -2))]
    expected = [[0, 0, 0], [0, 0, 1], [3, 5, -2], [3, 6, -2]]
    assert position_ids(segments, POCKET).tolist() == expected


def test_one_segment_has_the_ids_of_flux() -> None:
    theirs = FLUX_PIPELINE._prepare_latent_image_ids(1, 3, 4, torch.device("cpu"), torch.float32)
    assert torch.equal(position_ids([Segment(64, 48)], FLUX), theirs)


@pytest.mark.parametrize(("width", "height"), [(0, 32), (33, 32), (32, 16), (-32, 32)])
def test_sizes_off_the_token_grid_are_refused(width: int, height: int) -> None:
    with pytest.raises(ToolError, match=f"{width}x{height} pixels.*multiples of 32"):
        POCKET.tokens(Segment(width, height))


def test_a_cell_is_known_when_all_its_pixels_are() -> None:
    mask = torch.zeros(32, 64, dtype=torch.bool)
    mask[:, :32] = True
    mask[:9, 32:48] = True
    known = known_elements(Segment(64, 32, known=torch.zeros(3, 32, 64), known_mask=mask), POCKET)
    assert known.shape == (2, 256)
    assert known[0].all()
    cells = unpack(known, 1, 2, 4)[0]
    assert cells[:, 4:].nonzero().tolist() == [[0, 0], [0, 1]]


def test_known_without_a_mask_is_known_everywhere_and_nothing_is_nowhere() -> None:
    assert known_elements(Segment(32, 32, known=torch.zeros(3, 32, 32)), POCKET).all()
    assert not known_elements(Segment(32, 32), POCKET).any()


def test_given_pixels_must_have_the_size_of_the_segment() -> None:
    with pytest.raises(ToolError, match=r"\(3, 32, 64\); expected \(3, 32, 32\)"):
        check_known(Segment(32, 32, known=torch.zeros(3, 32, 64)))
    with pytest.raises(ToolError, match=r"known_mask is \(64, 32\)"):
        check_known(Segment(32, 32, known=torch.zeros(3, 32, 32), known_mask=torch.ones(64, 32)))
    with pytest.raises(ToolError, match="but no known pixels"):
        check_known(Segment(32, 32, known_mask=torch.ones(32, 32)))
