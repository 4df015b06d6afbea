"""Pivotal attention sharing: what a plan says, what references are noised to, and what it does on tiny real models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from chatdit.tools.dit.attention_plan import KVOp, Selection
from chatdit.tools.dit.model import DiT
from chatdit.tools.dit.regions import region_tokens
from chatdit.tools.dit.rows import Row, SamplingOptions, Segment
from chatdit.tools.dit.schedule import noise_levels, reshifted, shift_of
from chatdit.tools.dit.subject_sharing import (
    FLUX_VITAL,
    FREECUS,
    POCKET,
    SharedSubject,
    Sharing,
    shared_rows,
    sharing_for,
    vitality,
)
from chatdit.tools.in_context import Wanted
from chatdit.tools.subject_drawing import sharing_call
from chatdit.tools.subject_reference import Looked
from chatdit.tools.types import Box, ToolError

SIDE = 64
TARGET = Row("cat", (Segment(SIDE, SIDE),), 5)


def subject(tokens: tuple[int, ...] = (0,), queries: tuple[int, ...] | None = None) -> SharedSubject:
    pixels = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return SharedSubject(pixels, "dog", tokens, queries)


def drawn(dit: DiT, subjects: list[SharedSubject], how: Sharing, steps: int = 3) -> torch.Tensor:
    rows, plan = shared_rows(TARGET, subjects, how)
    return dit.sample(rows, plan, SamplingOptions(steps=steps))[0].images[0]


def test_the_plan_is_that_of_the_paper() -> None:
    rows, plan = shared_rows(TARGET, [subject((1, 2))], FREECUS)
    assert [row.trajectory for row in rows] == ["generate", "noised"] and rows[1].noise_shift == -1
    shared, text = plan.ops
    assert (shared.mode, shared.source, shared.target, shared.k_scale) == ("concat", 1, 0, 1.1)
    assert shared.scope.layers == FLUX_VITAL and shared.tokens == Selection(image=(1, 2))
    assert (text.mode, text.source, text.k_scale, text.tokens) == ("overwrite", 0, 1.1, Selection(image=(), text=None))
    assert all(segment.panel == 0 for row in rows for segment in row.segments), "on one grid"


def test_references_stand_apart_where_a_painter_has_learned_panels() -> None:
    rows, plan = shared_rows(TARGET, [subject((1,), (0,)), subject((2,), (3,))], POCKET)
    assert [row.segments[0].panel for row in rows] == [0, -2, -1] and len(plan.ops) == 2
    assert [op.queries for op in plan.ops] == [Selection(image=(0,)), Selection(image=(3,))]


def test_the_adjusted_shift_is_the_inverse_one() -> None:
    for u in (0.9, 0.5, 0.1):
        shifted, adjusted = (s / (s + 1 / u - 1) for s in (2.0, 0.5))
        assert reshifted(shifted, 2.0, 1.0) == pytest.approx(shifted)
        assert reshifted(shifted, 2.0, -1.0) == pytest.approx(adjusted)
    assert reshifted(1.0, 2.0, -1.0) == 1.0 and reshifted(1.0, 2.0, -math.inf) == 0.0
    dynamic = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    # of 1024 tokens FLUX's mu is 0.63, and the middle of the schedule at 0.652
    level = noise_levels(dynamic, 2, 1024, math.exp(0.63))[1]
    assert level == pytest.approx(0.652, abs=1e-3)
    assert shift_of(dynamic, 1024, None) == pytest.approx(math.exp(0.63), abs=1e-2)


def test_a_reference_is_fed_cleaner_than_the_model_is_told(pocket: DiT, monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = pocket.transformer.forward

    def spy(**given: Any) -> object:
        fed.append((given["hidden_states"], given["timestep"]))
        return forward(**given)

    monkeypatch.setattr(pocket.transformer, "forward", spy)
    drawn(pocket, [subject()], replace(POCKET, noise_shift=-math.inf))
    assert all(torch.equal(tokens[1], fed[0][0][1]) for tokens, _ in fed), "clean at every step"
    assert all(float(times[0]) == float(times[1]) > 0 for _, times in fed), "and told the time of the picture"
    with pytest.raises(ToolError, match="a 'generate' row has noise_shift -1; only a 'noised' one reads it"):
        pocket.sample([replace(TARGET, noise_shift=-1.0)])


def test_nothing_shared_is_the_picture_alone_to_the_bit(pocket: DiT) -> None:
    alone = pocket.sample([TARGET], sampling=SamplingOptions(steps=3))[0].images[0]
    assert torch.equal(drawn(pocket, [], POCKET), alone)
    for how in (POCKET, Sharing()):
        assert torch.allclose(drawn(pocket, [subject(())], how), alone, atol=1e-5)
        assert not torch.allclose(drawn(pocket, [subject((0, 1))], how), alone, atol=1e-4)


def test_only_queries_see_what_is_shared(pocket: DiT) -> None:
    """At the last layer of a single step what does not see the reference is as without it."""
    last = frozenset({pocket.layers - 1})
    alone, some = (
        drawn(pocket, subjects, Sharing(last), steps=1) for subjects in ([], [subject((0, 1), (3,))])
    )  # fmt: skip
    token = pocket.token_size
    changed = torch.nn.functional.max_pool2d((some - alone).abs().amax(0)[None], token).flatten()
    assert changed[3] > 1e-4
    far = drawn(pocket, [subject((0, 1), ())], Sharing(last), steps=1)
    assert torch.allclose(far, alone, atol=1e-5), "seen by nobody"
    with pytest.raises(ToolError, match="only concat takes queries"):
        KVOp("replace", 1, 0, queries=Selection())


def test_flux_shares_at_its_layers(flux_folder: Callable[[bool], Path]) -> None:
    dit = DiT.load(flux_folder(True), device="cpu")
    how = sharing_for(dit)
    assert how.layers is None and how.k_scale == 1.1 and not how.apart, "a model of another size shares at all layers"
    alone = dit.sample([TARGET], sampling=SamplingOptions(steps=2))[0].images[0]
    assert torch.allclose(drawn(dit, [subject(())], replace(how, text_k_scale=1.0), steps=2), alone, atol=1e-5)
    assert not torch.allclose(drawn(dit, [subject((0, 1))], how, steps=2), alone, atol=1e-4)


def test_layers_are_probed_one_by_one(pocket: DiT) -> None:
    before = pocket.sample([TARGET])[0].images[0]
    found = vitality(pocket, [TARGET])
    assert len(found) == pocket.layers and all(v >= 0 for v in found) and max(found) > 0
    assert torch.equal(pocket.sample([TARGET])[0].images[0], before), "the model is as it was"


def test_boxes_and_references_are_of_one_run_on_flux(flux_folder: Callable[[bool], Path]) -> None:
    dit = DiT.load(flux_folder(True), device="cpu")
    looked = [
        Looked(torch.full((3, SIDE, SIDE), level), (0, 1), "a lamp", name=name)
        for name, level in (("lamp", 0.3), ("chair", -0.3))
    ]
    boxes = (Box(x1=0, y1=0, x2=0.5, y2=1), Box(x1=0.5, y1=0, x2=1, y2=1))
    wanted, how = Wanted("a lamp and a chair", (SIDE, SIDE)), sharing_for(dit)
    call = sharing_call(dit, wanted, looked, 3, how, describe=True, boxes=boxes)
    target, *references = call.rows
    assert [region.phrase for region in target.regions] == ["lamp", "chair"] and len(references) == 2
    seeing = [op.queries.image for op in call.plan.ops if op.queries is not None and op.queries.image is not None]
    side = SIDE // dit.token_size
    assert seeing == [region_tokens(region, target, dit.painter.grid) for region in target.regions]
    assert len(seeing[0]) == side * side // 2
    options = SamplingOptions(steps=1)
    both = dit.sample(call.rows, call.plan, options)[0].images[0]
    alone = dit.sample([replace(target, regions=())], None, options)[0].images[0]
    boxed = dit.sample([target], None, options)[0].images[0]
    shared = dit.sample([replace(target, regions=()), *references], call.plan, options)[0].images[0]
    pictures = (both, alone, boxed, shared)
    assert all(not torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i]), "each does its part"
