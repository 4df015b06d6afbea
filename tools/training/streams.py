"""Endless random sets of pictures as numbers, made by worker processes beside the training.

Layout legend: P panels of a set, n sets of a chunk, L text tokens.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from chatdit.tools.dit.text_encoder import PhraseTokenizer, TextEncoderConfig, pad_token_ids
from chatdit.tools.pocket.captions import caption, joint_caption
from chatdit.tools.pocket.drawing import Drawing, drawing
from chatdit.tools.pocket.scene import Scene, nameless, place, random_scene, random_set
from chatdit.tools.pocket.vocabulary import DRAWABLE, STYLES, caption_vocabulary

NAMELESS_SHARE = 0.4
VARIED_SHARE = 0.4
"""Of the nameless sets: how many show a look that no word could tell, and so always need a given panel."""


class SetChunk(NamedTuple):
    """Some sets, ready to render."""

    drawing: Drawing
    """n P pictures, the panels of a set next to each other."""
    text_ids: Tensor
    """int64 (n, L)"""
    varied: Tensor
    """bool (n,)"""


@dataclass(frozen=True)
class StreamOptions:
    """What a stream draws: `sets` sets of `panels` pictures a chunk."""

    panels: int
    sets: int
    subjects: Sequence[str] = DRAWABLE
    even_styles: bool = False
    """Every style as often as the others, instead of plain in two of three."""


class SetStream(IterableDataset[SetChunk]):
    """The chunks of one seed; every worker process has a random stream of its own."""

    def __init__(self, options: StreamOptions, seed: str) -> None:
        self._options, self._seed = options, seed

    def __iter__(self) -> Iterator[SetChunk]:
        worker = get_worker_info()
        rng = random.Random(f"{self._seed}-{self._options.panels}-{worker.id if worker else 0}")
        config = TextEncoderConfig(caption_vocabulary())
        tokenizer = PhraseTokenizer(config.vocabulary, config.max_tokens)
        while True:
            yield _chunk(self._options, tokenizer, rng)


def stream(options: StreamOptions, seed: str, workers: int) -> Iterator[SetChunk]:
    """Chunks without end, made by `workers` processes, or in this one for 0."""
    chunks = DataLoader(
        SetStream(options, seed), batch_size=None, num_workers=workers, prefetch_factor=8 if workers else None
    )
    return iter(chunks)


def _chunk(options: StreamOptions, tokenizer: PhraseTokenizer, rng: random.Random) -> SetChunk:
    sets, captions, looks = [], [], []
    for _ in range(options.sets):
        hidden = options.panels > 1 and rng.random() < NAMELESS_SHARE
        varied = hidden and rng.random() < VARIED_SHARE
        scenes = _scenes(options, rng, varied)
        sets.append(scenes)
        captions.append(tokenizer(joint_caption([caption(nameless(s) if hidden else s) for s in scenes])).ids)
        looks.append(varied)
    flat = [scene for scenes in sets for scene in scenes]
    numbers = drawing(flat, [place(scene, rng) for scene in flat], rng)
    return SetChunk(numbers, pad_token_ids(captions, tokenizer.max_tokens), torch.tensor(looks))


def _scenes(options: StreamOptions, rng: random.Random, varied: bool) -> tuple[Scene, ...]:
    if options.panels > 1:
        return random_set(rng, options.panels, options.subjects, varied=varied)
    return (random_scene(rng, options.subjects, rng.choice(list(STYLES)) if options.even_styles else None),)
