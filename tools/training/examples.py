"""Training examples of the pocket model: latents as tokens, caption ids, positions, given panels.

Layout legend: B batch, P panels, N tokens of a row, E elements of a token, L text tokens.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.packing import Grid, position_ids
from chatdit.tools.dit.rows import Segment
from chatdit.tools.dit.text_encoder import PhraseTokenizer, pad_token_ids
from chatdit.tools.pocket.captions import caption, joint_caption
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import (
    CELLS,
    PICTURE_PIXELS,
    Scene,
    nameless,
    random_scene,
    random_set,
)

CANVAS_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2}
NAMELESS_SHARE = 0.3
EMPTY_CAPTION_SHARE = 0.1
GIVEN_SHARE = 0.3
CANVAS_SHARE = 0.5


@dataclass(frozen=True)
class Example:
    """One set of panels as latents (P, N/P, E) in fp16, with the caption's token ids."""

    tokens: Tensor
    ids: tuple[int, ...]


class Batch(NamedTuple):
    """What one training step reads."""

    tokens: Tensor
    """float (B, N, E), clean."""
    text_ids: Tensor
    """int64 (B, L); a row of zeros is the empty caption."""
    positions: Tensor
    """float (N, 3): panel, row, column."""
    given: Tensor
    """bool (B, N): tokens fed clean and left out of the loss."""


class ExamplePool:
    """A rolling pool of rendered and encoded sets of `panels` pictures.

    Rendering and encoding cost a part of a training step on a CPU, so each example serves several
    steps, every time with new noise, before a fresh one replaces it.
    """

    def __init__(
        self,
        panels: int,
        capacity: int,
        renderer: Renderer,
        autoencoder: PocketAutoencoder,
        tokenizer: PhraseTokenizer,
        rng: random.Random,
    ) -> None:
        self.panels = panels
        self._capacity = capacity
        self._renderer, self._autoencoder, self._tokenizer = renderer, autoencoder, tokenizer
        self._rng = rng
        self._examples: list[Example] = []
        self._next = 0
        self.seen = 0

    def refresh(self, count: int) -> None:
        """Render and encode `count` new sets; beyond the capacity they replace the oldest."""
        sets = [self._scenes() for _ in range(count)]
        captions = [joint_caption([caption(s) for s in self._worded(scenes)]) for scenes in sets]
        flat = [scene for scenes in sets for scene in scenes]
        latents = encode_tokens(self._autoencoder, self._renderer.pictures(flat, self._rng))
        for tokens, text in zip(torch.split(latents.half(), self.panels), captions, strict=True):
            self._put(Example(tokens, self._tokenizer(text).ids))
        self.seen += count

    def draw(self, size: int) -> Batch:
        """A batch of `size` examples drawn with replacement."""
        chosen = self._rng.choices(self._examples, k=size)
        tokens = torch.stack([e.tokens for e in chosen]).float().flatten(1, 2)
        ids = [() if self._rng.random() < EMPTY_CAPTION_SHARE else e.ids for e in chosen]
        longest = pad_token_ids([e.ids for e in chosen]).shape[1]
        positions = panel_positions(self.panels, canvas=self.panels > 1 and self._rng.random() < CANVAS_SHARE)
        return Batch(tokens, pad_token_ids(ids, bucket=longest), positions, self._given(size))

    def _scenes(self) -> tuple[Scene, ...]:
        if self.panels == 1:
            return (random_scene(self._rng),)
        return random_set(self._rng, self.panels)

    def _worded(self, scenes: Sequence[Scene]) -> Sequence[Scene]:
        hide = self.panels > 1 and self._rng.random() < NAMELESS_SHARE
        return [nameless(scene) for scene in scenes] if hide else scenes

    def _given(self, size: int) -> Tensor:
        given = torch.zeros(size, self.panels, CELLS * CELLS, dtype=torch.bool)
        if self.panels > 1:
            for row in given:
                if self._rng.random() < GIVEN_SHARE:
                    row[self._rng.sample(range(self.panels), self._rng.randint(1, self.panels - 1))] = True
        return given.flatten(1)

    def _put(self, example: Example) -> None:
        if len(self._examples) < self._capacity:
            self._examples.append(example)
        else:
            self._examples[self._next] = example
            self._next = (self._next + 1) % self._capacity


def panel_positions(panels: int, *, canvas: bool) -> Tensor:
    """RoPE coordinates (N, 3) of pictures on one canvas, or as separate segments numbered from 0."""
    columns = CANVAS_COLUMNS[panels]
    segments = [
        Segment(PICTURE_PIXELS, PICTURE_PIXELS, 0, (i // columns * CELLS, i % columns * CELLS))
        if canvas
        else Segment(PICTURE_PIXELS, PICTURE_PIXELS, i)
        for i in range(panels)
    ]
    return position_ids(segments, Grid(downscale=8, pack=4, channels=16))


@torch.no_grad()
def encode_tokens(autoencoder: PocketAutoencoder, pictures: Tensor, pack: int = 4, chunk: int = 16) -> Tensor:
    """Tokens (B, N, E) of pictures (B, 3, H, W), in FluxPipeline's element order."""
    with torch.autocast(pictures.device.type, torch.bfloat16):
        latents = torch.cat([autoencoder.encode(part).float() for part in torch.split(pictures, chunk)])
    b, c, h, w = latents.shape
    cells = latents.view(b, c, h // pack, pack, w // pack, pack).permute(0, 2, 4, 1, 3, 5)
    return cells.reshape(b, (h // pack) * (w // pack), c * pack * pack)


def moved(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`."""
    return Batch(*(part.to(device, non_blocking=True) for part in batch))
