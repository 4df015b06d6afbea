"""What phrases mean by "all but", masks of pictures of any size, and what is left of a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from chatdit.tools.fitting import pad_to
from chatdit.tools.segmenting import Asked, Cut, Found, Split, _Frame, cut_out, on_white, split_phrase, tight_box
from chatdit.tools.types import Box, ToolError

SIZE = (40, 30)


def _mask(left: int, top: int, right: int, bottom: int) -> Image.Image:
    mask = Image.new("L", SIZE)
    mask.paste(255, (left, top, right, bottom))
    return mask


def _asked(phrase: str | None = None, *, instances: bool = False) -> Asked:
    return Asked(Image.new("RGB", SIZE, (10, 200, 30)), phrase, instances=instances)


FOUND = Found((Cut(_mask(0, 0, 10, 10), "a fox"), Cut(_mask(20, 10, 30, 30), "a cat")), "a fox and a cat", "somebody")


@pytest.mark.parametrize(
    "phrase",
    [
        "all but the fox",
        "Everything except the fox.",
        "everything else but the fox",
        "anything apart from the fox",
        "the background behind the fox",
        "everything around the fox",
        "not the fox",
        "the rest without the fox",
    ],
)
def test_all_but_something(phrase: str) -> None:
    assert split_phrase(phrase) == Split("the fox", True)


@pytest.mark.parametrize("phrase", ["background", "The background", "everything else", "the rest", "the whole scenery"])
def test_the_background_names_nothing(phrase: str) -> None:
    assert split_phrase(phrase) == Split(None, True)


@pytest.mark.parametrize("phrase", ["the fox", "everything", "all foxes", "the cat without a hat", "the fox behind"])
def test_other_phrases_are_what_they_are(phrase: str) -> None:
    assert split_phrase(phrase) == Split(phrase, False)
    assert split_phrase(None) == Split(None, False)


def test_one_mask_of_all_one_each_or_one_of_the_rest() -> None:
    (both,) = cut_out(_asked("everything"), FOUND)
    levels = np.asarray(both.mask)
    assert both.phrase == "a fox and a cat" and (levels == 255).sum() == 300 and set(np.unique(levels)) == {0, 255}
    fox, cat = cut_out(_asked("everything", instances=True), FOUND)
    assert (fox.phrase, cat.phrase) == ("a fox", "a cat") and (np.asarray(fox.mask) == 255).sum() == 100
    for instances in (False, True):
        (rest,) = cut_out(_asked("everything else", instances=instances), FOUND)
        assert rest.phrase == "all but a fox and a cat" and (np.asarray(rest.mask) == 255 - levels).all()
    (all_of_it,) = cut_out(_asked("background"), Found((), "", "somebody"))
    assert all_of_it.phrase == "everything" and np.asarray(all_of_it.mask).min() == 255


def test_an_empty_mask_is_one_clear_line() -> None:
    nothing = Found((Cut(Image.new("L", SIZE), "a fox"),), "a fox", "somebody")
    with pytest.raises(ToolError, match="no pixel shows a fox: expected a thing that is seen"):
        cut_out(_asked("the fox"), nothing)
    everything = Found((Cut(Image.new("L", SIZE, 255), "a fox"),), "a fox", "somebody")
    with pytest.raises(ToolError, match="no pixel shows all but a fox"):
        cut_out(_asked("all but the fox"), everything)


def test_boxes_are_tight_and_cut_outs_stand_on_white() -> None:
    assert tight_box(_mask(10, 6, 20, 15)) == Box(x1=0.25, y1=0.2, x2=0.5, y2=0.5)
    shown = np.asarray(on_white(_asked().picture, _mask(10, 6, 20, 15)))
    assert (shown[6:15, 10:20] == (10, 200, 30)).all() and (shown[:6] == 255).all() and (shown[:, 20:] == 255).all()


@pytest.mark.parametrize("size", [(256, 256), (640, 400), (300, 700), (64, 64), (17, 5)])
def test_a_frame_is_where_padding_puts_the_picture(size: tuple[int, int]) -> None:
    frame = _Frame(size)
    # the left upper quarter of the picture is white, and so is its mask
    picture = Image.new("RGB", size)
    picture.paste((255, 255, 255), (0, 0, (size[0] + 1) // 2, (size[1] + 1) // 2))
    padded = np.asarray(pad_to(picture, 256, 256)).mean(axis=2)
    x, y = frame.inwards((0.25, 0.25))
    assert padded[int(y * 256), int(x * 256)] > 200
    x, y = frame.inwards((0.75, 0.75))
    assert padded[int(y * 256), int(x * 256)] < 55
    mask = np.asarray(frame.outwards(torch.from_numpy(padded > 127)))
    truth = np.asarray(picture.convert("L")) > 127
    assert mask.shape == truth.shape and set(np.unique(mask)) <= {0, 255}
    differ = ((mask == 255) != truth).mean()
    assert differ <= 1.5 / min(min(size), 256) + 0.005
