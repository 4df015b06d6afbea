"""Dense attention written out: the definition every other implementation is tested against.

Layout legend: B batch, L queries, K keys, H heads, D head dim; tensors are (B, L, H, D).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dense_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ / √D + bias) v, computed in the dtype of `q` (use float64 as the yardstick).

    `bias` broadcasts to (B, H, L, K): floating ones are added to the logits, boolean ones keep the
    pairs that are True. A query that may see no key at all gets zeros.
    """
    logits = torch.einsum("blhd,bkhd->bhlk", q, k) / math.sqrt(q.shape[-1])
    if bias is not None and bias.dtype == torch.bool:
        logits = logits.masked_fill(~bias, -math.inf)
    elif bias is not None:
        logits = logits + bias.to(logits.dtype)
    blind = (logits == -math.inf).all(dim=-1, keepdim=True)
    weights = logits.masked_fill(blind, 0.0).softmax(dim=-1).masked_fill(blind, 0.0)
    return torch.einsum("bhlk,bkhd->blhd", weights, v)
