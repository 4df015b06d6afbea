"""Pictures of nothing: coloured noise and overlapping discs, with the statistics of photographs.

Layout legend: n pictures, S pixels on a side.
"""

from __future__ import annotations

import torch
from torch import Tensor

DISCS = 60


def textures(count: int, side: int, device: torch.device) -> Tensor:
    """Pictures (n, 3, S, S) in [-1, 1]: noise of a falling spectrum, every second one under discs.

    Photographs have amplitudes that fall as 1 / frequency (Field, 1987), and much of their statistics comes
    from things that hide one another (dead leaves; Lee, Mumford and Huang, 2001).
    """
    noise = _noise(count, side, device)
    leaves = _leaves(count // 2, side, device)
    shade = 0.15 * noise[: count // 2]
    noise[: count // 2] = leaves + shade
    return noise.clamp_(-1, 1)


def _noise(count: int, side: int, device: torch.device) -> Tensor:
    down = torch.fft.fftfreq(side, device=device)[:, None]
    across = torch.fft.rfftfreq(side, device=device)[None, :]
    frequency = (down.square() + across.square()).sqrt().clamp(min=1 / side)
    slope = 0.8 + 0.8 * torch.rand(count, 1, 1, 1, device=device)
    spectrum = torch.fft.rfft2(torch.randn(count, 3, side, side, device=device)) * frequency**-slope
    field = torch.fft.irfft2(spectrum, s=(side, side))
    # colours of one thing are alike: mostly one field for all channels
    field = 0.75 * field[:, :1] + 0.25 * field
    field = field / field.std(dim=(1, 2, 3), keepdim=True)
    contrast = 0.15 + 0.35 * torch.rand(count, 1, 1, 1, device=device)
    pictures: Tensor = field * contrast + 0.4 * torch.randn(count, 3, 1, 1, device=device)
    return pictures


def _leaves(count: int, side: int, device: torch.device) -> Tensor:
    at = torch.arange(side, device=device)
    radius = (side / 32) * (1 - torch.rand(count, DISCS, device=device)).clamp(min=0.06).pow(-1)
    centre = torch.rand(2, count, DISCS, device=device) * side
    apart = (at[None, :, None] - centre[0][:, None, :]).square()[:, :, None] + (
        at[None, :, None] - centre[1][:, None, :]
    ).square()[:, None, :]
    inside = apart < radius.square()[:, None, None, :]
    order = torch.arange(1, DISCS + 1, device=device)
    top = (inside * order).amax(dim=-1)
    colours = torch.rand(count, DISCS + 1, 3, device=device) * 2 - 1
    return colours.gather(1, top.flatten(1)[..., None].expand(-1, -1, 3)).view(count, side, side, 3).permute(0, 3, 1, 2)
