"""Pictures and captions on their way into the model: two protocols and two of each.

Layout legend: B batch, C latent channels, h and w latent cells, L text tokens, D text width,
P pooled width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from chatdit.tools.dit.autoencoder import PocketAutoencoder
from chatdit.tools.dit.text_encoder import PhraseTokenizer, PocketTextEncoder, least_tokens, pad_token_ids

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
    from diffusers.models.autoencoders.vae import DecoderOutput
    from diffusers.models.modeling_outputs import AutoencoderKLOutput
    from transformers import CLIPTextModel, PreTrainedTokenizerBase, T5EncoderModel


class ImageCodec(Protocol):
    """Pictures (B, 3, H, W) in [-1, 1] to latents (B, C, h, w) of about unit variance, and back."""

    downscale: int
    latent_channels: int

    def encode(self, pictures: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor) -> Tensor: ...
    def to(self, device: torch.device, dtype: torch.dtype) -> None: ...


@dataclass(frozen=True)
class EncodedText:
    """One caption: `sequence` (L, D) and `pooled` (P,); rows of zeros may be added to the sequence."""

    sequence: Tensor
    pooled: Tensor


@dataclass(frozen=True)
class TextReport:
    """How many tokens a caption has, how many of them did not fit, and the words that have none."""

    tokens: int
    truncated: int
    unknown: tuple[str, ...] = ()


class TextCodec(Protocol):
    """Captions to vectors; each caption, of so many panels, is encoded as if it stood alone.

    `squares` are those that a caption tells, float (P, S, NUMBERS) as in `layout`; None where no words tell any.
    """

    def encode(self, captions: Sequence[str], panels: Sequence[int]) -> list[EncodedText]: ...
    def squares(self, caption: str, panels: int) -> Tensor | None: ...
    def report(self, caption: str) -> TextReport: ...
    def to(self, device: torch.device, dtype: torch.dtype) -> None: ...


class PocketImageCodec:
    """The pocket autoencoder; it stays float32, which costs little and keeps its PSNR."""

    def __init__(self, autoencoder: PocketAutoencoder) -> None:
        self.autoencoder = autoencoder.float().eval().requires_grad_(False)
        self.downscale = autoencoder.downscale
        self.latent_channels = autoencoder.config.latent_channels

    def encode(self, pictures: Tensor) -> Tensor:
        return self.autoencoder.encode(pictures.to(_device(self.autoencoder), torch.float32))

    def decode(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode(latents.to(_device(self.autoencoder), torch.float32))

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        self.autoencoder.to(device)


class KLImageCodec:
    """AutoencoderKL with FLUX's shift and scale; encoding takes the mean of the posterior."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self.vae = vae.eval().requires_grad_(False)
        self.downscale = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.latent_channels = int(vae.config["latent_channels"])
        self.scale = float(vae.config["scaling_factor"])
        self.shift = float(vae.config["shift_factor"] or 0.0)

    def encode(self, pictures: Tensor) -> Tensor:
        mean: Tensor = cast("AutoencoderKLOutput", self.vae.encode(self._fitted(pictures))).latent_dist.mode()
        return (mean.float() - self.shift) * self.scale

    def decode(self, latents: Tensor) -> Tensor:
        cells = cast("torch.FloatTensor", self._fitted(latents / self.scale + self.shift))
        return cast("DecoderOutput", self.vae.decode(cells)).sample.float()

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        nn.Module.to(self.vae, device, dtype)

    def _fitted(self, x: Tensor) -> Tensor:
        weight = next(self.vae.parameters())
        return x.to(weight.device, weight.dtype)


class PocketTextCodec:
    """The phrase tokenizer and the pocket text encoder, in float32; the empty caption is all zeros."""

    def __init__(self, encoder: PocketTextEncoder) -> None:
        self.encoder = encoder.float().eval().requires_grad_(False)
        self.tokenizer = PhraseTokenizer(encoder.config.vocabulary, encoder.config.max_tokens)

    def encode(self, captions: Sequence[str], panels: Sequence[int]) -> list[EncodedText]:
        return [self._encode_one(*pair) for pair in zip(captions, panels, strict=True)]

    def squares(self, caption: str, panels: int) -> Tensor | None:
        return self.tokenizer.squares(caption, panels)

    def report(self, caption: str) -> TextReport:
        tokens = self.tokenizer(caption)
        return TextReport(len(tokens.ids) + tokens.truncated, tokens.truncated, tokens.unknown)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        self.encoder.to(device)

    def _encode_one(self, caption: str, panels: int) -> EncodedText:
        ids = pad_token_ids([self.tokenizer(caption).ids], self.tokenizer.max_tokens, least_tokens(panels))
        sequence, pooled = self.encoder(ids.to(_device(self.encoder)))
        return EncodedText(sequence[0], pooled[0])


class FluxTextCodec:
    """CLIP's pooled vector and T5's sequence, padded to `max_tokens` as FLUX was trained."""

    def __init__(
        self,
        clip: CLIPTextModel,
        clip_tokenizer: PreTrainedTokenizerBase,
        t5: T5EncoderModel,
        t5_tokenizer: PreTrainedTokenizerBase,
        max_tokens: int,
    ) -> None:
        self.clip, self.t5 = clip, t5
        for module in (clip, t5):
            nn.Module.eval(module).requires_grad_(False)
        self.clip_ids = _tokenizer(clip_tokenizer, min(77, clip_tokenizer.model_max_length))
        self.t5_ids = _tokenizer(t5_tokenizer, max_tokens)
        self.t5_tokenizer = t5_tokenizer
        self.max_tokens = max_tokens

    def encode(self, captions: Sequence[str], panels: Sequence[int]) -> list[EncodedText]:
        return [self._encode_one(caption) for caption in captions]

    def squares(self, caption: str, panels: int) -> Tensor | None:
        return None

    def report(self, caption: str) -> TextReport:
        tokens = len(self.t5_tokenizer(caption, verbose=False)["input_ids"])
        return TextReport(tokens, max(0, tokens - self.max_tokens))

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        nn.Module.to(self.clip, device, dtype)
        nn.Module.to(self.t5, device, dtype)

    def _encode_one(self, caption: str) -> EncodedText:
        pooled = self.clip(self.clip_ids(caption).to(_device(self.clip))).pooler_output
        sequence = self.t5(self.t5_ids(caption).to(_device(self.t5))).last_hidden_state
        return EncodedText(sequence[0], pooled[0])


def _tokenizer(tokenizer: PreTrainedTokenizerBase, length: int) -> Callable[[str], Tensor]:
    """Ids (1, `length`) of a caption, padded and cut."""

    def ids(caption: str) -> Tensor:
        encoded = tokenizer(
            caption, padding="max_length", max_length=length, truncation=True, return_tensors="pt", verbose=False
        )
        return torch.as_tensor(encoded["input_ids"])

    return ids


def _device(module: nn.Module) -> torch.device:
    return next(module.parameters()).device
