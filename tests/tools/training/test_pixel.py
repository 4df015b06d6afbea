"""The pixel trial: tokens are pixels in raster order, it learns, and every attention layer goes through the policy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.policies.llsa import Llsa
from chatdit.tools.training.base import flow_loss
from chatdit.tools.training.pixel import SMALL_PIXEL_RECIPE, Pictures, draw_pictures, pixel_tokens, train_pixel

RECIPE = replace(SMALL_PIXEL_RECIPE, side=16, steps=12, batch=4, pictures=24, checked=4)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return draw_pictures(RECIPE, torch.device("cpu"), 0)


def test_tokens_are_pixels_in_raster_order() -> None:
    picture = torch.zeros(1, 3, 64, 64)
    picture[0, 0, :4, 4:8] = 1  # the second pixel of sixteen
    tokens = pixel_tokens(picture, RECIPE)
    assert tokens.shape == (1, 256, 3) and tokens.dtype == torch.uint8
    assert tokens[0, 1].tolist() == [255, 128, 128] and tokens[0, 0].tolist() == [128, 128, 128]
    coarse = pixel_tokens(picture, replace(RECIPE, patch=2))
    assert coarse.shape == (1, 64, 12) and coarse[0, 0, :4].tolist() == [128, 255, 128, 128]


def test_it_learns_and_a_seed_repeats_it(pictures: Pictures) -> None:
    first = train_pixel(pictures, RECIPE, None, 0)
    assert 0 < first.train_loss < 1.4 and first.density is None
    assert first.loss < train_pixel(pictures, replace(RECIPE, steps=1), None, 0).loss
    again = train_pixel(pictures, RECIPE, None, 0)
    assert again.loss == first.loss
    assert train_pixel(pictures, RECIPE, None, 1).loss != first.loss


def test_a_policy_changes_the_attention_and_nothing_else(pictures: Pictures) -> None:
    dense = train_pixel(pictures, RECIPE, None, 0)
    few = train_pixel(pictures, RECIPE, Llsa(Hierarchy(k=2)), 0)
    assert few.density is not None and 0.1 < few.density < 0.9
    assert few.loss != dense.loss and few.loss == pytest.approx(dense.loss, rel=0.2)
    # the last layers start at zero, so one step of both begins with the same loss
    one = replace(RECIPE, steps=1)
    assert train_pixel(pictures, one, None, 0).train_loss == train_pixel(pictures, one, Llsa(), 0).train_loss


def test_cudnn_attention_is_off_while_it_trains_and_back_on_after(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def allowed() -> bool:
        return bool(torch.backends.cuda.cudnn_sdp_enabled())  # type: ignore[no-untyped-call]

    def loss(*given: object) -> torch.Tensor:
        seen.append(allowed())
        return flow_loss(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("chatdit.tools.training.pixel.flow_loss", loss)
    before = allowed()
    train_pixel(pictures, replace(RECIPE, steps=2), None, 0)
    assert seen[:2] == [False, False] and before and allowed()
