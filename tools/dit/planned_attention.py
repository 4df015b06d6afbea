"""Attention under a plan: whose keys each row sees at a layer and a step, and how much they count.

Layout legend: B batch (passes x rows), S joint tokens with text first, L text tokens, H heads,
D head dim; queries, keys and values are (B, S, H, D) after RoPE.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from chatdit.kernels.attention import DensePlan, attention
from chatdit.tools.dit.attention_plan import KVOp, LogitBias, Selection
from chatdit.tools.types import ToolError

if TYPE_CHECKING:
    from chatdit.tools.dit.sparse_run import SparseRun

KeyValue: TypeAlias = tuple[Tensor, Tensor, int]
"""Keys and values (S, H, D) of one row without text padding, and how many of them are text."""


@dataclass
class PlanState:
    """What one sampling call knows besides the plan; made for the call and dropped with it.

    `text_lengths` holds each batch entry's own text tokens (the rest of L is padding that no other
    entry may notice). `rope` (cos and sin, (B, S, D)) is set when entries differ in position ids.
    The batch is `rows` entries repeated once for each guidance pass. `sparse` computes calls without operations.
    """

    rows: int
    text_lengths: tuple[int, ...]
    rope: tuple[Tensor, Tensor] | None = None
    padding: Tensor | None = None
    step: int = 0
    sparse: SparseRun | None = None
    bank: dict[tuple[str, int, int], KeyValue] = field(default_factory=dict)


def padding_bias(text_lengths: tuple[int, ...], text_tokens: int, image_tokens: int, device: torch.device) -> Tensor:
    """Key bias (B, 1, 1, S) that hides each entry's text padding."""
    places = torch.arange(text_tokens + image_tokens)
    lengths = torch.tensor(text_lengths)[:, None]
    hidden = (places >= lengths) & (places < text_tokens)
    return torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)[:, None, None].to(device)


@dataclass
class Layer:
    """Queries, keys and values of a layer, and how to address them by row and pass."""

    q: Tensor
    k: Tensor
    v: Tensor
    index: int
    state: PlanState

    def text_tokens(self) -> int:
        return max(self.state.text_lengths)

    def own(self, entry: int) -> KeyValue:
        """Keys and values of a batch entry, its text padding dropped."""
        length, text = self.state.text_lengths[entry], self.text_tokens()
        k, v = self.k[entry], self.v[entry]
        if length == text:
            return k, v, text
        return torch.cat([k[:length], k[text:]]), torch.cat([v[:length], v[text:]]), length

    def source(self, op: KVOp, pass_index: int) -> KeyValue:
        if isinstance(op.source, int):
            return self.own(pass_index * self.state.rows + op.source)
        try:
            return self.state.bank[op.source, pass_index, self.index]
        except KeyError:
            raise ToolError(
                f"the plan reads {op.source!r} at layer {self.index}, step {self.state.step} before anything is "
                "saved there; save it at an earlier step"
            ) from None


def planned_attention(layer: Layer, ops: tuple[KVOp, ...], biases: tuple[LogitBias, ...]) -> Tensor:
    """Attention output (B, S, H, D) of a layer; rows without operations are computed as without a plan."""
    out = torch.empty_like(layer.q)
    rows, entries = layer.state.rows, layer.q.shape[0]
    for op in ops:
        if isinstance(op.source, int) and isinstance(op.target, str):
            for i in range(entries // rows):
                k, v, text = layer.own(i * rows + op.source)
                # a copy, or the whole batch would stay in memory behind one row
                layer.state.bank[op.target, i, layer.index] = k.clone(), v.clone(), text
    touched = {op.target for op in ops} | {b.row for b in biases}
    plain = [e for e in range(entries) if e % rows not in touched]
    if plain:
        out[plain] = plain_attention(layer.q, layer.k, layer.v, layer.state.padding, plain)
    for entry in (e for e in range(entries) if e % rows in touched):
        row = entry % rows
        mine = [op for op in ops if op.target == row]
        out[entry] = _planned_entry(layer, entry, mine, [b for b in biases if b.row == row])
    return out


def plain_attention(q: Tensor, k: Tensor, v: Tensor, padding: Tensor | None, entries: Sequence[int]) -> Tensor:
    """Attention output of some batch entries, each over its own tokens."""
    if len(entries) < q.shape[0]:
        at = list(entries)
        q, k, v, padding = q[at], k[at], v[at], None if padding is None else padding[at]
    return attention(q, k, v, plan=None if padding is None else DensePlan(padding))


def _planned_entry(layer: Layer, entry: int, ops: list[KVOp], biases: list[LogitBias]) -> Tensor:
    """Attention output (S, H, D) of one batch entry under its operations."""
    keys = _Keys(layer.own(entry))
    for op in ops:
        keys.apply(op, layer.source(op, entry // layer.state.rows))
    k, v, bias = keys.joined()
    for extra in _query_biases(layer, keys, biases, k.shape[0]):
        bias = extra if bias is None else extra + bias
    return attention(layer.q[entry, None], k[None], v[None], plan=None if bias is None else DensePlan(bias))[0]


class _Keys:
    """The keys that one batch entry will see, while its operations build them up."""

    def __init__(self, own: KeyValue) -> None:
        self.k, self.v, self.text = own
        self.own = self.k.shape[0]
        self.bias = self.k.new_zeros(self.own, dtype=torch.float32)
        self.keep = torch.ones(self.own, dtype=torch.bool, device=self.k.device)
        self.added: list[tuple[Tensor, Tensor, Tensor]] = []
        self.seen_by: list[Selection | None] = []
        # known without asking the device
        self.biased = self.replaced = False

    def apply(self, op: KVOp, source: KeyValue) -> None:
        k, v, text = source
        at = _positions(op.tokens, text, k.shape[0]).to(k.device)
        k, v = k[at], v[at]
        if op.k_scale != 1.0:
            k = k * op.k_scale
        self.biased |= op.log_bias != 0.0
        if op.mode == "overwrite":
            self._overwrite(op, k, v)
            return
        if op.mode == "replace":
            self.replaced = True
            self.keep[: self.text] &= op.tokens.text == ()
            self.keep[self.text :] &= op.tokens.image == ()
        self.added.append((k, v, self.bias.new_full((len(k),), op.log_bias)))
        self.seen_by.append(op.queries)

    def joined(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Keys and values (K, H, D), and the bias (1, 1, 1, K) of the keys or None if it is zero."""
        k, v, bias = self.k, self.v, self.bias
        if self.replaced:
            k, v, bias = k[self.keep], v[self.keep], bias[self.keep]
        if self.added:
            more_k, more_v, more_bias = zip(*self.added, strict=True)
            k, v, bias = torch.cat([k, *more_k]), torch.cat([v, *more_v]), torch.cat([bias, *more_bias])
        return k, v, bias[None, None, None] if self.biased else None

    def _overwrite(self, op: KVOp, k: Tensor, v: Tensor) -> None:
        at = _positions(op.tokens, self.text, self.own).to(k.device)
        if len(at) != len(k):
            raise ToolError(f"{op} brings {len(k)} tokens for {len(at)} places; select what both rows have")
        self.k, self.v = self.k.index_copy(0, at, k), self.v.index_copy(0, at, v)
        self.bias = self.bias.index_fill(0, at, op.log_bias)


def _query_biases(layer: Layer, keys: _Keys, biases: list[LogitBias], count: int) -> Iterator[Tensor]:
    """Biases (1, 1, S, K) of some queries alone, where there are such."""
    if biases:
        yield _logit_bias(layer, biases, keys, count)
    if any(queries is not None for queries in keys.seen_by):
        yield _hidden(layer, keys, count)


def _logit_bias(layer: Layer, biases: list[LogitBias], keys: _Keys, count: int) -> Tensor:
    """Bias (1, 1, S, K); queries keep the padding of the batch, keys do not have it."""
    total = torch.zeros(layer.q.shape[1], count, device=layer.q.device)
    for b in biases:
        rows = _query_positions(layer, b.queries, keys).to(total.device)
        columns = _positions(b.keys, keys.text, keys.own).to(total.device)
        total[rows[:, None], columns[None]] += b.bias
    return total[None, None]


def _hidden(layer: Layer, keys: _Keys, count: int) -> Tensor:
    """Bias (1, 1, S, K) that hides what was added from every query that it is not for."""
    total = torch.zeros(layer.q.shape[1], count, device=layer.q.device)
    end = count
    for (k, _, _), queries in zip(reversed(keys.added), reversed(keys.seen_by), strict=True):
        start = end - len(k)
        if queries is not None:
            seeing = torch.zeros(total.shape[0], dtype=torch.bool, device=total.device)
            seeing[_query_positions(layer, queries, keys).to(total.device)] = True
            total[~seeing, start:end] = -torch.inf
        end = start
    return total[None, None]


def _query_positions(layer: Layer, queries: Selection, keys: _Keys) -> Tensor:
    """Indices among the S queries of an entry, whose text is padded as the batch's."""
    at = _positions(queries, keys.text, keys.own)
    return torch.where(at >= keys.text, at + layer.text_tokens() - keys.text, at)


def _positions(tokens: Selection, text: int, total: int) -> Tensor:
    """Indices into (text, image) of the selected tokens, text first."""
    image = range(total - text) if tokens.image is None else tokens.image
    words = range(text) if tokens.text is None else tokens.text
    if words and max(words) >= text:
        raise ToolError(f"the plan selects text token {max(words)}; this caption has {text}: correct the plan")
    return torch.tensor([*words, *(text + t for t in image)], dtype=torch.int64)
