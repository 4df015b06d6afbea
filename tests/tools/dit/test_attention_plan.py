"""The plan is data: what it refuses, which rows it ties together, and how it shrinks to a group."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from chatdit.tools.dit.attention_plan import AttentionPlan, KVOp, LogitBias, Scope, Selection
from chatdit.tools.dit.grouping import MOST_BATCH_TOKENS, grouped
from chatdit.tools.types import ToolError

ALWAYS, ALL = Scope(), Selection()


def concat(source: int | str, target: int, scope: Scope = ALWAYS, tokens: Selection = ALL) -> KVOp:
    return KVOp("concat", source, target, scope, tokens)


def test_a_plan_is_frozen_and_hashable() -> None:
    plan = AttentionPlan((concat(1, 0, Scope(frozenset({2}), (0, 4))),))
    assert hash(plan) == hash(AttentionPlan((concat(1, 0, Scope(frozenset({2}), (0, 4))),)))
    with pytest.raises(FrozenInstanceError):
        plan.ops = ()  # type: ignore[misc]


def test_a_scope_holds_at_its_layers_and_half_open_steps() -> None:
    scope = Scope(frozenset({1, 3}), (2, 4))
    held = {(layer, step) for layer in range(5) for step in range(6) if scope.holds(layer, step)}
    assert held == {(1, 2), (1, 3), (3, 2), (3, 3)}
    assert Scope().holds(99, 99)


@pytest.mark.parametrize(
    ("a", "b", "meet"),
    [
        (Scope(), Scope(frozenset({1}), (0, 1)), True),
        (Scope(frozenset({0, 1})), Scope(frozenset({1, 2})), True),
        (Scope(frozenset({0})), Scope(frozenset({1})), False),
        (Scope(steps=(0, 2)), Scope(steps=(2, 4)), False),
        (Scope(frozenset({1}), (0, 3)), Scope(frozenset({1}), (2, 4)), True),
    ],
)
def test_scopes_overlap(a: Scope, b: Scope, meet: bool) -> None:
    assert a.overlaps(b) is meet
    assert b.overlaps(a) is meet


def test_an_operation_that_selects_nothing_is_left_out() -> None:
    plan = AttentionPlan((concat(1, 0, tokens=Selection(image=())), concat(1, 0)))
    assert plan.ops_at(0, 0) == (concat(1, 0),)


def test_two_operations_on_the_same_tokens_are_refused() -> None:
    whole = KVOp("replace", 1, 0)
    with pytest.raises(ToolError, match="decide the same tokens of row 0"):
        AttentionPlan((whole, KVOp("replace", 2, 0)))
    with pytest.raises(ToolError, match="decide the same tokens"):
        AttentionPlan(
            (KVOp("overwrite", 1, 0, tokens=Selection((1, 2))), KVOp("overwrite", 2, 0, tokens=Selection((2,))))
        )


def test_operations_that_do_not_meet_are_allowed() -> None:
    early, late = Scope(steps=(0, 2)), Scope(steps=(2, 4))
    words = Selection(image=(), text=None)
    plan = AttentionPlan(
        (
            KVOp("replace", 1, 0, early),
            KVOp("replace", 2, 0, late),
            KVOp("replace", 1, 0, early, words),
            KVOp("overwrite", 1, 3, tokens=Selection((1,))),
            KVOp("overwrite", 1, 3, tokens=Selection((2,))),
            concat(1, 0),
            concat(2, 0),
        )
    )
    assert len(plan.ops) == 7


def test_a_bias_on_replaced_keys_is_refused() -> None:
    bias = LogitBias(0, Selection(), Selection())
    with pytest.raises(ToolError, match="takes away"):
        AttentionPlan((KVOp("replace", 1, 0),), (bias,))
    assert AttentionPlan((KVOp("replace", 1, 2),), (bias,)).biases_at(0, 0) == (bias,)


def test_save_takes_a_row_and_a_name_only() -> None:
    assert KVOp("save", 1, "reference").target == "reference"
    with pytest.raises(ToolError, match="save takes a row and a name"):
        KVOp("save", 1, 0)
    with pytest.raises(ToolError, match="save takes a row and a name"):
        KVOp("save", 1, "x", k_scale=1.1)
    with pytest.raises(ToolError, match="save takes a row and a name"):
        KVOp("save", "y", "x")
    with pytest.raises(ToolError, match="needs a row as its target"):
        KVOp("concat", 1, "name")


def test_rows_that_share_keys_or_a_saved_name_are_linked() -> None:
    ops = (concat(1, 0), KVOp("save", 3, "kept"), concat("kept", 4), concat("kept", 6))
    assert AttentionPlan(ops).linked_rows(7) == [{0, 1}, {2}, {3, 4, 6}, {5}]
    assert AttentionPlan().linked_rows(2) == [{0}, {1}]


def test_a_part_of_a_plan_counts_rows_anew() -> None:
    ops = (concat(1, 0), KVOp("save", 3, "kept"), concat("kept", 4))
    plan = AttentionPlan(ops, (LogitBias(4, Selection(), Selection((0,))),))
    part = plan.for_rows([3, 4])
    assert part.ops == (KVOp("save", 0, "kept"), concat("kept", 1))
    assert [bias.row for bias in part.biases] == [1]
    assert plan.for_rows([0, 1]) == AttentionPlan((concat(1, 0),))


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (concat(2, 0), "row 2; this call has rows 0 to 1"),
        (concat(1, 0, Scope(frozenset({9}))), r"layers \[9\]; this model has 0 to 2"),
        (concat(1, 0, tokens=Selection((4,))), "image token 4 of row 1, which has 4"),
    ],
)
def test_what_does_not_exist_is_named(op: KVOp, message: str) -> None:
    with pytest.raises(ToolError, match=message):
        AttentionPlan((op,)).check(rows=2, layers=3, tokens=[4, 4])


def test_groups_keep_linked_rows_together_and_sizes_apart() -> None:
    plan = AttentionPlan((concat(3, 0),))
    assert grouped(plan, [4, 8, 4, 4, 8]) == [[0, 3, 2], [1, 4]]
    with pytest.raises(ToolError, match=r"rows \[0, 3\] of \[4, 16\] image tokens"):
        grouped(plan, [4, 4, 4, 16])


def test_rows_without_links_are_split_where_a_batch_would_be_too_large() -> None:
    half = MOST_BATCH_TOKENS // 2
    assert grouped(AttentionPlan(), [half] * 3) == [[0, 1], [2]]
    assert grouped(AttentionPlan((concat(1, 0), concat(2, 0))), [half] * 3) == [[0, 1, 2]]
