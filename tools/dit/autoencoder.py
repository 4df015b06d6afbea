"""The pocket autoencoder: pixels to a latent 8 times smaller with 16 channels, and back.

Layout legend: B batch, C channels, H height, W width. Convolutions and per-pixel normalisation
only, so that a tile and a whole picture agree and any size divisible by 8 works.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class AutoencoderConfig:
    """Widths from the coarsest level outwards; `downscale` is fixed by two unshuffles (4 x 2)."""

    latent_channels: int = 16
    encoder_widths: tuple[int, int] = (96, 192)
    encoder_blocks: tuple[int, int] = (2, 2)
    decoder_widths: tuple[int, int, int] = (192, 96, 48)
    decoder_blocks: tuple[int, int, int] = (3, 2, 1)


class PixelNorm(nn.Module):
    """RMS normalisation over channels at each pixel, with a gain for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = x.float().square().mean(dim=1, keepdim=True).add(1e-6).rsqrt()
        return x * scale.to(x.dtype) * self.gain.to(x.dtype)[:, None, None]


class ResidualBlock(nn.Module):
    """Norm, 3x3 convolution, SiLU, 3x3 convolution (zero at initialisation), plus the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.silu(self.conv1(self.norm(x))))
        return x + change


class PocketAutoencoder(nn.Module):
    """f8 convolutional autoencoder with unit-variance latents.

    The latent is standardised by a non-affine BatchNorm whose running statistics are part of the
    weights, so a diffusion model needs no further shift or scale.
    """

    downscale = 8

    def __init__(self, config: AutoencoderConfig = AutoencoderConfig()) -> None:
        super().__init__()
        self.config = config
        e1, e2 = config.encoder_widths
        d3, d2, d1 = config.decoder_widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, e1, 3, padding=1),
            *[ResidualBlock(e1) for _ in range(config.encoder_blocks[0])],
            nn.PixelUnshuffle(2),
            nn.Conv2d(e1 * 4, e2, 1),
            *[ResidualBlock(e2) for _ in range(config.encoder_blocks[1])],
            PixelNorm(e2),
            nn.Conv2d(e2, config.latent_channels, 1),
        )
        self.latent_norm = nn.BatchNorm2d(config.latent_channels, affine=False, momentum=0.02)
        self.decoder = nn.Sequential(
            nn.Conv2d(config.latent_channels, d3, 3, padding=1),
            *[ResidualBlock(d3) for _ in range(config.decoder_blocks[0])],
            nn.Conv2d(d3, d2 * 4, 1),
            nn.PixelShuffle(2),
            *[ResidualBlock(d2) for _ in range(config.decoder_blocks[1])],
            nn.Conv2d(d2, d1 * 4, 1),
            nn.PixelShuffle(2),
            *[ResidualBlock(d1) for _ in range(config.decoder_blocks[2])],
            nn.Conv2d(d1, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode(self, pictures: Tensor) -> Tensor:
        """Latent (B, 16, H/8, W/8) of pictures (B, 3, H, W) in [-1, 1].

        Raises:
            ValueError: height or width is not a multiple of 8.
        """
        height, width = pictures.shape[-2:]
        if height % self.downscale or width % self.downscale:
            raise ValueError(f"picture is {width}x{height}; both sides must be multiples of {self.downscale}: pad it")
        latents: Tensor = self.latent_norm(self.encoder(pictures))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (B, 3, 8h, 8w), about [-1, 1] and not clamped, of latents (B, 16, h, w)."""
        pictures: Tensor = self.decoder(latents)
        return pictures
