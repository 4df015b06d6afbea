"""Sizes that the LLSA kernels run with, for each head dim."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Launch:
    """Queries of a tile, blocks of fine keys and coarse keys of a step, warps, and loads in flight.

    The tile divides 256, so that it never straddles queries with different coarse picks. `registers` bounds what a
    thread may use, for more programs at once.
    """

    tile: int
    fine: int
    coarse: int
    warps: int
    stages: int = 2
    registers: int | None = None


@dataclass(frozen=True)
class KeysLaunch:
    """Keys of a program, queries of a step, warps, loads in flight, and into how many parts queries are split."""

    keys: int
    queries: int
    warps: int
    stages: int = 2
    splits: int = 1


@dataclass(frozen=True)
class Tuning:
    """The forward, the gradient of queries, and of keys: of tokens, of picked summaries, of whole levels and text."""

    forward: Launch
    grad_queries: Launch
    tokens: KeysLaunch
    picked: KeysLaunch
    whole: KeysLaunch


NARROW = Tuning(
    Launch(64, 2, 32, 4),
    Launch(64, 1, 32, 4, registers=128),
    KeysLaunch(16, 32, 1),
    KeysLaunch(16, 128, 4),
    KeysLaunch(64, 64, 4, stages=3),
)
"""Head dims of 32 and 64; the fastest of a sweep on an NVIDIA H200, at 65,536 tokens."""

WIDE = Tuning(
    Launch(64, 1, 32, 4, registers=128),
    Launch(64, 2, 64, 4),
    KeysLaunch(16, 16, 1),
    KeysLaunch(16, 128, 4),
    KeysLaunch(64, 64, 4),
)
"""A head dim of 128; likewise."""

WANTED_PROGRAMS = 512
"""Where few keys meet all queries, these are split until there are so many programs."""
MOST_SPLITS = 32


def tuning_for(head_dim: int) -> Tuning:
    """The sizes for a head dim."""
    return NARROW if head_dim <= 64 else WIDE
