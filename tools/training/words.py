"""Start the text encoder's words from what they look like.

A word for a subject or a place starts as the principal components of its picture's latent, so
that words of similar things lie close and the transformer need not learn each one from nothing.
Words of held-out subjects stay random: the base model must know nothing of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.text_encoder import PhraseTokenizer, PocketTextEncoder
from chatdit.tools.pocket.backgrounds import background_pictures
from chatdit.tools.pocket.drawing import BACKGROUND_VARIANTS
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import SIZE_CELLS
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, DRAWABLE, SUBJECTS
from chatdit.tools.training.examples import encode_tokens


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
        if plural != singular:
            words[plural] = code + 0.3 * torch.randn(width, generator=generator)
    places = _codes(_place_latents(autoencoder), width, generator)
    for name, code in zip(BACKGROUNDS, places, strict=True):
        words[tokenizer(BACKGROUNDS[name].phrase).ids[0]] = code
    encoder.words.weight.copy_(words)


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
    tiles = renderer.sprites(None, SIZE_CELLS["medium"])[[SUBJECTS[name].index for name in DRAWABLE]]
    on_grey = tiles[:, :3] * tiles[:, 3:] + 0.6 * (1 - tiles[:, 3:])
    return encode_tokens(autoencoder, on_grey * 2 - 1).flatten(1).cpu()


def _place_latents(autoencoder: PocketAutoencoder) -> Tensor:
    pictures = (
        torch.from_numpy(background_pictures()[::BACKGROUND_VARIANTS].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    )
    device = next(autoencoder.parameters()).device
    return encode_tokens(autoencoder, pictures.to(device)).flatten(1).cpu()
