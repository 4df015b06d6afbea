"""Start the text encoder's words from what they look like.

A word for a subject or a place starts as the principal components of its picture's latent, so
that words of similar things lie close and the transformer need not learn each one from nothing.
Words of held-out subjects stay random: the base model must know nothing of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.text_encoder import PhraseTokenizer, PocketTextEncoder
from chatdit.tools.pocket.backgrounds import background_pictures
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.spots import spot_shares
from chatdit.tools.pocket.vocabulary import (
    BACKGROUNDS,
    DRAWABLE,
    SUBJECTS,
    caption_synonyms,
    find_subject,
    find_tint,
)
from chatdit.tools.training.examples import encode_tokens

_SPRITE_PIXELS = 128
_WAVES = 8


@torch.no_grad()
def seed_words(encoder: PocketTextEncoder, autoencoder: PocketAutoencoder, renderer: Renderer, seed: int) -> None:
    """Fill `encoder.words`: unit-variance noise, then visual codes for drawable subjects and places."""
    generator = torch.Generator().manual_seed(seed)
    width = encoder.config.width
    words = torch.randn(encoder.words.weight.shape, generator=generator)
    words[0] = 0
    tokenizer = PhraseTokenizer(encoder.config.vocabulary, encoder.config.max_tokens)
    for name, code in zip(DRAWABLE, _codes(_sprite_latents(autoencoder, renderer), width, generator), strict=True):
        singular, plural = tokenizer(name).ids[0], tokenizer(SUBJECTS[name].plural).ids[0]
        words[singular] = code
        others = [word for pair in caption_synonyms().get(name, ()) for word in pair]
        for other in {plural, *(tokenizer(word).ids[0] for word in others)} - {singular}:
            words[other] = code + 0.3 * torch.randn(width, generator=generator)
    places = _codes(_place_latents(autoencoder), width, generator)
    for name, code in zip(BACKGROUNDS, places, strict=True):
        words[tokenizer(BACKGROUNDS[name].phrase).ids[0]] = code
    spots = spot_codes(encoder.config.vocabulary, width)
    words[1:] = torch.where(spots.any(dim=1, keepdim=True), spots, words[1:])
    encoder.words.weight.copy_(words)


@torch.no_grad()
def with_words(encoder: PocketTextEncoder, vocabulary: Sequence[str]) -> PocketTextEncoder:
    """The encoder with another vocabulary: words of both keep their meaning, new ones start near a word of the same
    thing, or as noise as strong as the rest.
    """
    old = {phrase: row for row, phrase in enumerate(encoder.config.vocabulary, start=1)}
    made = PocketTextEncoder(replace(encoder.config, vocabulary=tuple(vocabulary)))
    made.load_state_dict({k: v for k, v in encoder.state_dict().items() if k != "words.weight"}, strict=False)
    generator, spread = torch.Generator().manual_seed(0), encoder.words.weight[1:].std()
    made.words.weight[0] = 0
    spots = spread * spot_codes(vocabulary, encoder.config.width)
    for row, phrase in enumerate(vocabulary, start=1):
        noise = spread * torch.randn(encoder.config.width, generator=generator)
        like = old.get(find_subject(phrase) or find_tint(phrase) or "")
        if phrase in old:
            made.words.weight[row] = encoder.words.weight[old[phrase]]
        elif spots[row - 1].any():
            made.words.weight[row] = spots[row - 1]
        else:
            made.words.weight[row] = noise if like is None else encoder.words.weight[like] + 0.3 * noise
    return made


def spot_codes(phrases: Sequence[str], width: int) -> Tensor:
    """Codes float (n, width) of about unit variance, alike for near spots; of words that tell none, zeros."""
    mix = torch.randn(2, 4 * _WAVES, width, generator=torch.Generator().manual_seed(0)) / math.sqrt(2 * _WAVES)
    codes = torch.zeros(len(phrases), width)
    for row, phrase in enumerate(phrases):
        if (told := spot_shares(phrase)) is not None:
            kind, shares = told
            codes[row] = _waves(shares) @ mix[kind]
    return codes


def _waves(shares: Sequence[float]) -> Tensor:
    """Sines and cosines of shares in [0, 1), slow ones first."""
    angles = torch.tensor(shares)[:, None] * math.pi * 2.0 ** torch.arange(_WAVES)
    return torch.cat([angles.sin(), angles.cos()], dim=1).flatten()


def _codes(latents: Tensor, width: int, generator: torch.Generator) -> Tensor:
    """Rows of unit variance (n, width): half-whitened principal components, randomly rotated."""
    centred = latents - latents.mean(dim=0)
    left, strengths, _ = torch.linalg.svd(centred, full_matrices=False)
    parts = left * strengths.clamp(min=1e-6).sqrt()
    parts = parts[:, : min(width, parts.shape[1])]
    rotation = torch.linalg.qr(torch.randn(width, width, generator=generator))[0][: parts.shape[1]]
    codes: Tensor = parts @ rotation
    return codes / codes.std(dim=1, keepdim=True)


def _sprite_latents(autoencoder: PocketAutoencoder, renderer: Renderer) -> Tensor:
    tiles = renderer.sprites(None, _SPRITE_PIXELS, [SUBJECTS[name].index for name in DRAWABLE])
    on_grey = tiles[:, :3] + 0.6 * (1 - tiles[:, 3:])
    return encode_tokens(autoencoder, on_grey * 2 - 1).flatten(1).cpu()


def _place_latents(autoencoder: PocketAutoencoder) -> Tensor:
    pictures = (
        torch.from_numpy(background_pictures()[::BACKGROUND_VARIANTS].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    )
    device = next(autoencoder.parameters()).device
    return encode_tokens(autoencoder, pictures.to(device)).flatten(1).cpu()
