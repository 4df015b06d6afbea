"""Endless random sets of pictures as numbers, made by worker processes beside the training.

Layout legend: P panels of a set, n sets of a chunk, L text tokens, S squares of a panel.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from chatdit.tools.dit.text_encoder import PhraseTokenizer, TextEncoderConfig, least_tokens, pad_token_ids
from chatdit.tools.pocket.drawing import Drawing, drawing
from chatdit.tools.pocket.samples import GIVENS, Sample, Wishes, random_sample
from chatdit.tools.pocket.spots import text_vocabulary


class SetChunk(NamedTuple):
    """Some sets, ready to render."""

    drawing: Drawing
    """n P pictures, the panels of a set next to each other."""
    text_ids: Tensor
    """int64 (n, L)"""
    squares: Tensor
    """float (n, P, S, NUMBERS): where the captions say that sprites stand."""
    given: Tensor
    """int64 (n,): which panels of each set are given, as an index into `GIVENS`."""


@dataclass(frozen=True)
class StreamOptions:
    """What a stream draws: `sets` sets of `panels` pictures a chunk."""

    panels: int
    sets: int
    wishes: Wishes = field(default_factory=Wishes)


class SetStream(IterableDataset[SetChunk]):
    """The chunks of one seed; every worker process has a random stream of its own."""

    def __init__(self, options: StreamOptions, seed: str) -> None:
        self._options, self._seed = options, seed

    def __iter__(self) -> Iterator[SetChunk]:
        worker = get_worker_info()
        rng = random.Random(f"{self._seed}-{self._options.panels}-{worker.id if worker else 0}")
        config = TextEncoderConfig(text_vocabulary())
        tokenizer = PhraseTokenizer(config.vocabulary, config.max_tokens)
        while True:
            yield _chunk(self._options, tokenizer, rng)


def stream(options: StreamOptions, seed: str, workers: int) -> Iterator[SetChunk]:
    """Chunks without end, made by `workers` processes, or in this one for 0."""
    chunks = DataLoader(
        SetStream(options, seed), batch_size=None, num_workers=workers, prefetch_factor=2 if workers else None
    )
    return iter(chunks)


def _chunk(options: StreamOptions, tokenizer: PhraseTokenizer, rng: random.Random) -> SetChunk:
    samples: list[Sample] = []
    captions = []
    room = least_tokens(options.panels)
    while len(samples) < options.sets:
        sample = random_sample(rng, options.panels, options.wishes)
        ids = tokenizer(sample.caption).ids
        # the transformer reads padding too, so its number must not change: what needs more is left out
        if len(ids) <= room:
            samples.append(sample)
            captions.append(ids)
    return SetChunk(
        _drawing(samples, rng),
        pad_token_ids(captions, tokenizer.max_tokens, room),
        torch.stack([tokenizer.squares(sample.caption, options.panels) for sample in samples]),
        torch.tensor([GIVENS.index(sample.given) for sample in samples]),
    )


def _drawing(samples: Sequence[Sample], rng: random.Random) -> Drawing:
    scenes = [scene for sample in samples for scene in sample.scenes]
    return drawing(scenes, [placed for sample in samples for placed in sample.placements], rng)
