"""Arguments that the Triton kernels of any plan share, in the order in which they take them.

What a launch does not have is stood in for by a tensor that is not read. Layout legend: B batch, G plan heads,
T tiles.
"""

from __future__ import annotations

import torch
from torch import Tensor

from chatdit.kernels.blocks.sources import Lists, Side, Source, Tokens, block_tiles
from chatdit.kernels.plan.predicates import Disc, Documents, Predicate, Window

Arguments = tuple[Tensor | int, ...]


def tile_arguments(side: Side, tile: int, block: int, absent: Tensor) -> tuple[Arguments, int]:
    """Row, first position, end of each tile and strides, where blocks are variable; and how many tiles there are."""
    if block:
        return (absent, absent, absent, 0, 0), -(-side.tokens.count // block) * -(-block // tile)
    tiles = block_tiles(side, tile)
    return (*tiles, *_shared(tiles[0])), tiles[0].shape[2]


def query_arguments(side: Side, absent: Tensor) -> Arguments:
    """Places and numbers of the queries' positions, and strides."""
    return _tokens(side.tokens, absent)


def key_arguments(source: Source, absent: Tensor) -> Arguments:
    """The same of the keys' positions; where their blocks begin, and strides."""
    offsets = source.side.offsets
    if source.lists is None or offsets is None:
        return (*_tokens(source.side.tokens, absent), absent, 0, 0)
    offsets = offsets.contiguous()
    return (*_tokens(source.side.tokens, absent), offsets, *_shared(offsets))


def source_arguments(source: Source, absent: Tensor) -> Arguments:
    """The rows' lists, the lists of what is left out, and key lengths."""
    lengths = source.lengths.expand(source.keys.shape[0]).contiguous() if source.lengths is not None else absent
    return (*_lists(source.lists, absent), *_lists(source.without, absent), lengths)


def rule_arguments(predicate: Predicate | None, absent: Tensor) -> tuple[int, Arguments, tuple[float | int, ...]]:
    """The rule's number, document arguments, and height, width, radius and reach."""
    from chatdit.kernels.blocks.walk import DISC, DOCUMENTS, EVERY, WINDOW

    none = (absent, absent, 0, 0)
    match predicate:
        case Disc(height, width, radius):
            return DISC, none, (height, width, float(radius), 0, 0, 0)
        case Window(_, height, width, reach):
            return WINDOW, none, (height, width, 0.0, *reach)
        case Documents(q, k):
            q, k = q.contiguous(), k.contiguous()
            strides = tuple(x.stride(0) if x.shape[0] > 1 else 0 for x in (q, k))
            return DOCUMENTS, (q, k, *strides), (1, 1, 0.0, 0, 0, 0)
        case _:
            return EVERY, none, (1, 1, 0.0, 0, 0, 0)


def flags(side: Side, source: Source) -> dict[str, bool]:
    """What the kernels compile away."""
    return {
        "ALL": source.lists is None,
        "Q_PLAIN": side.tokens.place is None,
        "K_PLAIN": source.side.tokens.place is None,
        "HAS_BIAS": source.bias is not None,
        "HAS_LENGTHS": source.lengths is not None,
        "EXCLUDE": source.without is not None,
    }


def size_arguments(source: Source, absent: Tensor) -> Arguments:
    """How many tokens of each equal block are real, and strides."""
    sizes = source.side.sizes
    return (absent, 0, 0) if sizes is None else (sizes.contiguous(), *_shared(sizes.contiguous()))


def numbers(x: list[int], device: torch.device) -> Tensor:
    """(len(x),) int32 on the device; made there where it is regular, for a copy from the host cannot be captured."""
    if x == list(range(len(x))):
        return torch.arange(len(x), dtype=torch.int32, device=device)
    if not any(x):
        return torch.zeros(len(x), dtype=torch.int32, device=device)
    return torch.tensor(x, dtype=torch.int32, device=device)


def _tokens(tokens: Tokens, absent: Tensor) -> Arguments:
    if tokens.place is None or tokens.number is None:
        return (absent, absent, 0, 0)
    place, number = (x.contiguous() for x in (tokens.place, tokens.number))
    return (place, number, *_shared(place))


def _shared(x: Tensor) -> tuple[int, int]:
    """Strides of the batch and plan-head axes, 0 where one entry serves all."""
    return (x.stride(0) if x.shape[0] > 1 else 0, x.stride(1) if x.shape[1] > 1 else 0)


def _lists(lists: Lists | None, absent: Tensor) -> Arguments:
    if lists is None:
        return (absent, absent, absent, 0, 0, 1)
    return (lists.indices, lists.begin, lists.count, *_shared(lists.begin), lists.share)
