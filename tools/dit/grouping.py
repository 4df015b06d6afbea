"""Which rows go through the transformer together, and whether each can be sampled at all."""

from __future__ import annotations

from collections.abc import Sequence

from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.packing import Grid, check_known
from chatdit.tools.dit.rows import Row
from chatdit.tools.types import ToolError

MOST_BATCH_TOKENS = 32768
"""Image tokens of one forward; linked rows may exceed it, the rest are split."""


def check_row(row: Row, grid: Grid) -> None:
    """Raises ToolError where a row cannot be sampled as it stands."""
    if not row.segments:
        raise ToolError("a row has no segments; give it at least one picture to draw")
    if not 0 <= row.seed < 2**63:
        raise ToolError(f"seed is {row.seed}; it must be from 0 to {2**63 - 1}")
    if row.noise_shift != 1 and row.trajectory != "noised":
        raise ToolError(f"a {row.trajectory!r} row has noise_shift {row.noise_shift:g}; only a 'noised' one reads it")
    for region in row.regions:
        if not 0 <= region.segment < len(row.segments):
            raise ToolError(f"a region lies in segment {region.segment}; the row has {len(row.segments)}, from 0")
    if row.regions and row.trajectory == "edited":
        raise ToolError("an 'edited' row has regions; only rows that are drawn or read have phrases of their own")
    for segment in row.segments:
        grid.tokens(segment)
        check_known(segment)
        if row.trajectory != "generate" and not segment.wholly_known:
            raise ToolError(f"a {row.trajectory!r} row has a segment that is not wholly known; give all its pixels")


def grouped(plan: AttentionPlan, tokens: Sequence[int]) -> list[list[int]]:
    """Rows by forward, from each row's count of image tokens: linked rows always share one.

    Raises:
        ToolError: the plan links rows of different token counts.
    """
    groups: list[list[int]] = []
    for linked in plan.linked_rows(len(tokens)):
        counts = {tokens[i] for i in linked}
        if len(counts) > 1:
            raise ToolError(
                f"the plan links rows {sorted(linked)} of {sorted(counts)} image tokens; rows that share keys need "
                "equal token counts: resize their segments"
            )
        size = counts.pop()
        fits = (g for g in groups if tokens[g[0]] == size and (len(g) + len(linked)) * size <= MOST_BATCH_TOKENS)
        home = next(fits, None)
        if home is None:
            groups.append(sorted(linked))
        else:
            home.extend(sorted(linked))
    return groups
