"""The fixed set of pictures that all arms of the training trials share, on the training device.

Layout legend: n pictures, N image tokens, E elements of a token, L text tokens, K sprites of a picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.flow_policy import shifted
from chatdit.tools.dit.packing import position_ids
from chatdit.tools.dit.rows import Segment
from chatdit.tools.dit.text_encoder import PocketTextEncoder, TextEncoderConfig
from chatdit.tools.pocket.drawing import Drawing, SpriteNumbers
from chatdit.tools.pocket.renderer import NO_CLASS, PERSON_CLASS, Renderer, SpriteMaps
from chatdit.tools.pocket.scene import MAX_SPRITES, PICTURE_PIXELS
from chatdit.tools.pocket.spots import text_vocabulary
from chatdit.tools.pocket.vocabulary import SUBJECTS
from chatdit.tools.training.base import TIME_SHIFT
from chatdit.tools.training.examples import EMPTY_CAPTION_SHARE, GRID, Batch, encode_tokens, untold
from chatdit.tools.training.streams import StreamOptions, stream
from chatdit.tools.training.trials.alignment import Draw
from chatdit.tools.training.trials.class_teacher import derangement
from chatdit.tools.training.words import seed_words


@dataclass(frozen=True)
class PictureOptions:
    """Which pictures: `held_out` beside the `count` to train on; the number of loaders is part of what is drawn."""

    count: int = 98304
    held_out: int = 2048
    seed: int = 0
    chunk: int = 8192
    loaders: int = 8


@dataclass(frozen=True, eq=False)
class TrialPictures:
    """Single pictures as numbers; the first `held_out` are not trained on."""

    tokens: Mapping[int, Tensor]
    """By side in pixels: float16 (n, N, E), clean."""
    text_ids: Tensor
    """int64 (n, L)"""
    classes: Tensor
    """int64 (n, K): the class of each sprite, 0 in an empty place."""
    shares: Tensor
    """uint8 (n, 256, K): how much of each 16-pixel token each sprite covers at 256 pixels, 255 for all of it."""
    words: Tensor
    """float (V + 1, D): how the text encoder's words start."""
    held_out: int

    @property
    def device(self) -> torch.device:
        """Where all of it stands."""
        return self.text_ids.device


@torch.no_grad()
def draw_trial_pictures(
    options: PictureOptions, sides: Sequence[int], autoencoder: PocketAutoencoder, device: torch.device
) -> TrialPictures:
    """Render, pool to each side in pixels and encode; which pictures they are does not depend on the sides."""
    renderer, autoencoder = Renderer(device), autoencoder.to(device).eval().requires_grad_(False)
    total = options.count + options.held_out
    chunk = min(options.chunk, total)
    tokens: dict[int, list[Tensor]] = {side: [] for side in sides}
    ids, classes, shares, have = [], [], [], 0
    for drawn in stream(StreamOptions(1, chunk), f"trials-{options.seed}", options.loaders):
        pictures, covered = drawn_with_shares(renderer, drawn.drawing)
        for side in sides:
            small = F.avg_pool2d(pictures, PICTURE_PIXELS // side)
            tokens[side].append(encode_tokens(autoencoder, small).half())
        ids.append(drawn.text_ids)
        classes.append(sprite_classes(drawn.drawing))
        shares.append(covered)
        have += len(drawn.text_ids)
        if have >= total:
            break
    encoder = PocketTextEncoder(TextEncoderConfig(text_vocabulary()))
    seed_words(encoder, autoencoder, renderer, options.seed)
    return TrialPictures(
        {side: torch.cat(parts)[:total] for side, parts in tokens.items()},
        torch.cat(ids)[:total].to(device),
        torch.cat(classes)[:total].to(device),
        torch.cat(shares)[:total],
        encoder.words.weight.detach().to(device),
        options.held_out,
    )


def drawn_with_shares(renderer: Renderer, numbers: Drawing) -> tuple[Tensor, Tensor]:
    """Pictures float (B, 3, 256, 256), and how much of each token each sprite covers, uint8 (B, 256, K)."""
    shape = (len(numbers.sprites), PICTURE_PIXELS, PICTURE_PIXELS)
    maps = SpriteMaps(
        torch.full(shape, NO_CLASS, device=renderer.device),
        torch.zeros(shape, dtype=torch.uint8, device=renderer.device),
    )
    pictures = renderer.draw(numbers, maps)
    covered = [F.avg_pool2d((maps.owner == i).float()[:, None], GRID.token_size).flatten(1) for i in range(MAX_SPRITES)]
    return pictures, torch.stack(covered, dim=2).mul(255).round().to(torch.uint8)


def sprite_classes(numbers: Drawing) -> Tensor:
    """The class of each sprite of a drawing, int64 (B, K) on the CPU; what it wears is not one of its own."""
    every = SpriteNumbers[Tensor](*numbers.sprites.unbind(dim=2))
    bears = (every.side > 0) & ((every.figure > 0) | (every.tile < len(SUBJECTS)))
    subject = torch.where(every.figure > 0, PERSON_CLASS, every.tile)
    # what bears nothing goes to a place that is cut off
    owner = torch.where(bears, every.owner, MAX_SPRITES)
    return torch.zeros(len(owner), MAX_SPRITES + 1, dtype=torch.int64).scatter(1, owner, subject)[:, :MAX_SPRITES]


def picture_positions(pixels: int, device: torch.device) -> Tensor:
    """RoPE coordinates float (N, 3) of one picture of that side."""
    return position_ids([Segment(pixels, pixels, 0)], GRID).to(device)


def batch_of(pictures: TrialPictures, chosen: Tensor, pixels: int, told: Tensor | None = None) -> Batch:
    """The pictures of the indices int64 (B,); where `told`, bool (B,), is False the caption is empty."""
    tokens, ids = pictures.tokens[pixels][chosen].float(), pictures.text_ids[chosen]
    given = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=pictures.device)
    positions = picture_positions(pixels, pictures.device)
    squares = untold(len(tokens), 1, pictures.device)
    return Batch(tokens, ids if told is None else ids * told[:, None], positions, given, squares)


class TrialBatches:
    """Batches of a training with their noise, times and shuffling; all follow from the seed and from nothing else.

    Every picture comes once before one comes again, so that no batch holds a picture twice.

    Raises:
        ValueError: there are fewer pictures than a batch holds.
    """

    def __init__(self, pictures: TrialPictures, size: int, seed: int) -> None:
        count = len(pictures.text_ids) - pictures.held_out
        if count < size:
            raise ValueError(f"{count} pictures for a batch of {size}: draw at least as many")
        self._pictures, self._size, self._count = pictures, size, count
        self._generator = torch.Generator(pictures.device).manual_seed(seed)
        self._order = self._epochs()

    def __call__(self, pixels: int) -> tuple[Batch, Draw]:
        """The next batch, at that size."""
        chosen, g, device = next(self._order), self._generator, self._pictures.device
        told = torch.rand(self._size, generator=g, device=device) >= EMPTY_CAPTION_SHARE
        batch = batch_of(self._pictures, chosen, pixels, told)
        draw = Draw(
            noise=torch.randn(batch.tokens.shape, generator=g, device=device),
            times=_times(self._size, pixels, g),
            gaps=torch.rand(self._size, generator=g, device=device),
            others=derangement(self._size, g),
            classes=self._pictures.classes[chosen],
            shares=self._pictures.shares[chosen],
        )
        return batch, draw

    def _epochs(self) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(self._count, generator=self._generator, device=self._pictures.device)
            for i in range(0, self._count - self._size + 1, self._size):
                yield order[i : i + self._size] + self._pictures.held_out


def _times(size: int, pixels: int, generator: torch.Generator) -> Tensor:
    """As `training_times` draws them; the shift is that of 256 pixels there, and grows with the side."""
    device = generator.device
    normal = torch.randn(size, generator=generator, device=device).sigmoid()
    uniform = torch.rand(size, generator=generator, device=device)
    chosen = torch.rand(size, generator=generator, device=device) < 0.9
    return shifted(torch.where(chosen, normal, uniform), TIME_SHIFT * pixels / PICTURE_PIXELS)
