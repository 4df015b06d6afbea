"""Where things stand: read from words, coarse for the text encoder, exact for every image token."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch

from chatdit.tools.dit.layout import GEOMETRY, MOST_SQUARES, NUMBERS, layout_channels, square_tensor
from chatdit.tools.dit.loading import load_pocket_modules
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.dit.square_words import Spot, squares_of, token_word, words_of
from chatdit.tools.dit.text_encoder import PhraseTokenizer, least_tokens
from chatdit.tools.pocket.captions import caption, joint_caption
from chatdit.tools.pocket.scene import Placement, Scene, Thing
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.training.base import PocketModel, told_panels
from chatdit.tools.training.examples import Batch, panel_positions, untold
from chatdit.tools.training.streams import StreamOptions, stream

CENTRES = torch.tensor([[(i % 16 + 0.5) * 16, (i // 16 + 0.5) * 16] for i in range(256)])
CAT = Placement("cat", None, 80, 96, 96, rotation=-6)
TOKENIZER = PhraseTokenizer(text_vocabulary(), 96)


def _told(*spots: Spot) -> torch.Tensor:
    return square_tensor([(spot, 3 + i) for i, spot in enumerate(spots)])[None]


def test_words_tell_a_square_to_the_pixel() -> None:
    rng = random.Random(0)
    for _ in range(200):
        spot = Spot(rng.randrange(256), rng.randrange(256), rng.randint(16, 250), rng.randint(-40, 40))
        (told,) = squares_of(words_of(spot).split())
        assert told.spot == spot and told.panel == 0 and told.word == 1


def test_the_text_encoder_gets_coarse_words_that_it_knows() -> None:
    assert token_word("[133x160]") == "[x33y40]" and token_word("[96r354]") == "[s16r2]" and token_word("cat") == "cat"
    assert token_word("[999x0]") == "[x63y0]" and token_word("[900r90]") == "[s39r6]"
    tokens = TOKENIZER("a cat [133x160] [96r354] on the beach")
    assert not tokens.unknown and len(tokens.ids) == 4


def test_squares_know_their_panel_and_their_text_token() -> None:
    scenes = [Scene((Thing("cat"),), "beach"), Scene((Thing("cat"), Thing("dog")), "night", relation="left of")]
    dog = replace(CAT, subject="dog", left=150)
    text = joint_caption([caption(scenes[0], (CAT,)), caption(scenes[1], (CAT, dog))])
    squares = TOKENIZER.squares(text, 2)
    assert squares.shape == (2, MOST_SQUARES, NUMBERS)
    assert squares[0, 0, :4].tolist() == [128, 144, 96, -6] and (squares[0, 1:] == 0).all()
    assert squares[1, 1, :4].tolist() == [198, 144, 96, -6] and (squares[1, 2:] == 0).all()
    ids = TOKENIZER(text).ids
    measure = TOKENIZER("[96r354]").ids[0]
    assert [ids[int(t)] for t in (squares[0, 0, 4], *squares[1, :2, 4])] == [measure] * 3


def test_tokens_know_where_in_the_square_they_lie() -> None:
    text = torch.randn(1, 8, 5, generator=torch.Generator().manual_seed(0))
    channels = layout_channels(_told(Spot(136, 136, 96, 0)), CENTRES, text)[0].view(16, 16, -1)
    assert channels.shape[2] == GEOMETRY + 5
    middle, right = channels[8, 8], channels[8, 10]
    local = slice(6, 8)
    assert middle[local].tolist() == [0, 0] and right[local].tolist() == pytest.approx([2 / 3, 0])
    assert (middle[GEOMETRY:] == text[0, 3]).all(), "what the text encoder says of the square"
    assert (channels[0] == 0).all() and (channels[:, 0] == 0).all(), "of no square"
    assert middle[1] == 1 and channels[8, 13][1] == 0 and channels[8, 13][0] == 1, "beside it, within reach"


def test_turned_squares_turn_their_coordinates() -> None:
    text = torch.zeros(1, 8, 1)
    spot = Spot(136, 136, 96, 30)
    channels = layout_channels(_told(spot), CENTRES, text)[0].view(16, 16, -1)
    # counterclockwise on the screen: what is right of the middle lies towards the sprite's lower right
    assert channels[8, 10, 6:8].tolist() == pytest.approx([2 / 3 * math.cos(math.pi / 6), 2 / 3 * 0.5], abs=1e-6)


def test_each_token_belongs_to_the_nearest_square() -> None:
    text = torch.arange(8.0).view(1, 8, 1)
    two = _told(Spot(64, 128, 80, 0), Spot(192, 128, 80, 0))
    names = layout_channels(two, CENTRES, text)[0].view(16, 16, -1)[..., GEOMETRY]
    assert (names[8, 2:6] == 3).all() and (names[8, 10:14] == 4).all() and names[0, 0] == 0
    assert (layout_channels(torch.zeros(1, MOST_SQUARES, NUMBERS), CENTRES, text) == 0).all()


def test_a_square_moves_only_the_row_it_is_told_to() -> None:
    modules = load_pocket_modules("pocket")
    model = PocketModel(modules.text_encoder, modules.transformer, layout=True)
    torch.manual_seed(0)
    batch = Batch(
        torch.randn(2, 256, 64),
        torch.randint(1, 50, (2, 32)),
        panel_positions(1, canvas=False),
        torch.zeros(2, 256, dtype=torch.bool),
        untold(2, 1, torch.device("cpu")),
    )
    times = torch.tensor([0.3, 0.8])
    with torch.no_grad():
        before = model(batch.tokens, times, batch)
        batch.squares[0, 0, 0] = torch.tensor([100.0, 120, 90, 5, 3])
        after = model(batch.tokens, times, batch)
    assert not torch.allclose(before[0], after[0], atol=1e-3) and torch.allclose(before[1], after[1], atol=1e-5)


def test_sampling_tells_what_training_told() -> None:
    dit = DiT.load("pocket", device="cpu")
    assert dit.defaults.layout and dit.token_size == 16
    seen: list[torch.Tensor] = []
    dit.transformer.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["hidden_states"]), with_kwargs=True
    )
    text = caption(Scene((Thing("cat"),), "beach"), (CAT,))
    dit.sample([Row(text, (Segment(256, 256),), 1)], sampling=SamplingOptions(steps=1, guidance=2.0))
    (hidden,) = seen
    sequence = dit.text.encode([text], [1])[0].sequence[None]
    expected = told_panels(TOKENIZER.squares(text, 1)[None], 256, sequence)
    assert torch.allclose(hidden[0, :, 64:], expected[0], atol=1e-5) and hidden[0, :, 64:].any()
    assert (hidden[1, :, 64:] == 0).all(), "the pass without words knows no square"


@pytest.mark.parametrize("panels", [1, 2, 4])
def test_sampling_pads_captions_as_training_does(panels: int) -> None:
    dit = DiT.load("pocket", device="cpu")
    seen: list[torch.Tensor] = []
    dit.transformer.register_forward_pre_hook(
        lambda _, __, kwargs: seen.append(kwargs["encoder_hidden_states"]), with_kwargs=True
    )
    text = joint_caption([caption(Scene((Thing("cat"),), "beach"), (CAT,))] * panels)
    segments = tuple(Segment(256, 256, panel=i) for i in range(panels))
    dit.sample([Row(text, segments, 1)], sampling=SamplingOptions(steps=1, guidance=1.0))
    chunk = next(stream(StreamOptions(panels, 2), "pad", 0))
    assert seen[0].shape[1] == chunk.text_ids.shape[1] == least_tokens(panels)
