"""The attention plan: pure data that says what a call does to the DiT's attention.

Layers count double-stream blocks first, then single-stream blocks. Tokens count within their row
and stream: image token 0 is the first token of the first segment, text token 0 the first of the
caption.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

from chatdit.tools.types import ToolError

Mode = Literal["save", "concat", "replace", "overwrite"]


@dataclass(frozen=True)
class Selection:
    """Tokens of one row; None means all of a stream, () none of it."""

    image: tuple[int, ...] | None = None
    text: tuple[int, ...] | None = ()

    @property
    def empty(self) -> bool:
        return self.image == () and self.text == ()

    def overlaps(self, other: Selection) -> bool:
        return _overlap(self.image, other.image) or _overlap(self.text, other.text)


@dataclass(frozen=True)
class Scope:
    """The layers and steps where something holds; `steps` is half open, None means all."""

    layers: frozenset[int] | None = None
    steps: tuple[int, int] | None = None

    def holds(self, layer: int, step: int) -> bool:
        in_steps = self.steps is None or self.steps[0] <= step < self.steps[1]
        return in_steps and (self.layers is None or layer in self.layers)

    def overlaps(self, other: Scope) -> bool:
        layers = self.layers is None or other.layers is None or bool(self.layers & other.layers)
        if self.steps is None or other.steps is None:
            return layers
        return layers and max(self.steps[0], other.steps[0]) < min(self.steps[1], other.steps[1])


@dataclass(frozen=True)
class KVOp:
    """One operation on keys and values.

    - save: keep the keys and values of row `source` under the name `target`.
    - concat: row `target` sees the selected source tokens besides its own.
    - replace: they stand in for all of the target's own tokens of each selected stream.
    - overwrite: they stand in for the target's tokens at the same positions.

    `source` is a row of the same call or a saved name; the latest save of the layer is read.
    Source keys keep their own RoPE positions. `k_scale` multiplies the source keys (a temperature);
    `log_bias` is added to their logits (a token that counts w times has ln w). What is added by concat may be for some
    of the target's tokens only, its `queries`; None means for all.
    """

    mode: Mode
    source: int | str
    target: int | str
    scope: Scope = Scope()
    tokens: Selection = Selection()
    k_scale: float = 1.0
    log_bias: float = 0.0
    queries: Selection | None = None

    def __post_init__(self) -> None:
        if self.queries is not None and self.mode != "concat":
            raise ToolError(f"{self}: {self.mode} is seen by all tokens; only concat takes queries")
        if self.mode == "save":
            plain = (self.tokens, self.k_scale, self.log_bias) == (Selection(), 1.0, 0.0)
            if not (isinstance(self.source, int) and isinstance(self.target, str) and plain):
                raise ToolError(f"{self}: save takes a row and a name, nothing else; select and scale when reading")
        elif not isinstance(self.target, int):
            raise ToolError(f"{self}: {self.mode} needs a row as its target, got {self.target!r}")

    def clashes(self, other: KVOp) -> bool:
        """Whether both decide what stands at the same position of the same row."""
        exclusive = {"replace", "overwrite"}
        if {self.mode, other.mode} - exclusive or self.target != other.target or not self.scope.overlaps(other.scope):
            return False
        if "replace" in (self.mode, other.mode):
            return _touch(self.tokens.image, other.tokens.image) or _touch(self.tokens.text, other.tokens.text)
        return self.tokens.overlaps(other.tokens)


@dataclass(frozen=True)
class LogitBias:
    """Adds `bias` to the logits from some queries of a row to some of its own keys; -inf forbids."""

    row: int
    queries: Selection
    keys: Selection
    bias: float = -math.inf
    scope: Scope = Scope()


@dataclass(frozen=True)
class AttentionPlan:
    """Everything one call does to attention; the empty plan does nothing.

    Raises:
        ToolError: two operations decide the same position, or a bias meets a replaced row.
    """

    ops: tuple[KVOp, ...] = ()
    biases: tuple[LogitBias, ...] = ()

    def __post_init__(self) -> None:
        for a, b in combinations(self.ops, 2):
            if a.clashes(b):
                raise ToolError(f"{a} and {b} decide the same tokens of row {a.target}; keep one of them")
        for op in self.ops:
            for bias in self.biases:
                if op.mode == "replace" and op.target == bias.row and op.scope.overlaps(bias.scope):
                    raise ToolError(f"{bias} speaks of keys that {op} takes away; narrow one of the scopes")

    def ops_at(self, layer: int, step: int) -> tuple[KVOp, ...]:
        """The operations that hold at a layer and a step; those that select nothing are left out."""
        return tuple(op for op in self.ops if op.scope.holds(layer, step) and not op.tokens.empty)

    def biases_at(self, layer: int, step: int) -> tuple[LogitBias, ...]:
        return tuple(b for b in self.biases if b.scope.holds(layer, step))

    def linked_rows(self, rows: int) -> list[frozenset[int]]:
        """The rows 0 to `rows` - 1 in sets that must share one forward, in order of first row."""
        sets = [{row} for row in range(rows)]
        sets += [{end for end in (op.source, op.target) if isinstance(end, int)} for op in self.ops]
        for name in {end for op in self.ops for end in (op.source, op.target) if isinstance(end, str)}:
            users = [op for op in self.ops if name in (op.source, op.target)]
            sets.append({end for op in users for end in (op.source, op.target) if isinstance(end, int)})
        return _merged(sets)

    def for_rows(self, rows: Sequence[int]) -> AttentionPlan:
        """The part of the plan about `rows`, which become rows 0, 1, ... of a smaller call."""
        place = {row: i for i, row in enumerate(rows)}
        ops = [_moved(op, place) for op in self.ops if op.source in place or op.target in place]
        biases = [replace(b, row=place[b.row]) for b in self.biases if b.row in place]
        return AttentionPlan(tuple(ops), tuple(biases))

    def check(self, *, rows: int, layers: int, tokens: Sequence[int]) -> None:
        """Raises ToolError where the plan names a row, layer or image token that does not exist."""
        for op in self.ops:
            ends = [end for end in (op.source, op.target) if isinstance(end, int)]
            _check_rows(ends, rows)
            _check_layers(op.scope, layers)
            for end in ends:
                _check_tokens(op.tokens, end, tokens[end])
            if op.queries is not None and isinstance(op.target, int):
                _check_tokens(op.queries, op.target, tokens[op.target])
        for bias in self.biases:
            _check_rows([bias.row], rows)
            _check_layers(bias.scope, layers)
            for selection in (bias.queries, bias.keys):
                _check_tokens(selection, bias.row, tokens[bias.row])


def _overlap(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> bool:
    return _touch(a, b) and (a is None or b is None or bool(set(a) & set(b)))


def _touch(a: tuple[int, ...] | None, b: tuple[int, ...] | None) -> bool:
    return a != () and b != ()


def _merged(sets: list[set[int]]) -> list[frozenset[int]]:
    groups: list[set[int]] = []
    for group in sets:
        for other in [g for g in groups if g & group]:
            groups.remove(other)
            group = group | other
        if group:
            groups.append(group)
    return sorted((frozenset(g) for g in groups), key=min)


def _moved(op: KVOp, place: Mapping[int, int]) -> KVOp:
    source = op.source if isinstance(op.source, str) else place[op.source]
    target = op.target if isinstance(op.target, str) else place[op.target]
    return replace(op, source=source, target=target)


def _check_rows(named: Sequence[int], rows: int) -> None:
    for row in named:
        if not 0 <= row < rows:
            raise ToolError(f"the plan names row {row}; this call has rows 0 to {rows - 1}: correct the plan")


def _check_layers(scope: Scope, layers: int) -> None:
    wrong = sorted(layer for layer in scope.layers or () if not 0 <= layer < layers)
    if wrong:
        raise ToolError(f"the plan names layers {wrong}; this model has 0 to {layers - 1}: correct the plan")


def _check_tokens(selection: Selection, row: int, tokens: int) -> None:
    wrong = [t for t in selection.image or () if not 0 <= t < tokens]
    if wrong:
        raise ToolError(f"the plan selects image token {wrong[0]} of row {row}, which has {tokens}: correct the plan")
