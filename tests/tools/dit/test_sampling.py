"""`DiT.sample` on tiny real models: seeds, batches, given pixels, references, guidance, cancelling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.flux.pipeline_flux import FluxPipeline
from torch import Tensor

from chatdit.tools.dit.attention_plan import AttentionPlan, KVOp, LogitBias, Scope, Selection
from chatdit.tools.dit.model import DiT, Row, SamplingOptions, Segment
from chatdit.tools.dit.rows import Given
from chatdit.tools.types import Cancelled, Progress, ToolError

MODES: tuple[Given, ...] = ("clean", "noised")
LONG = "cat dog beach moon on left large red fox " * 2


def assert_close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=0)


def as_given(segment: Segment) -> Tensor:
    """The known pixels of a segment in [0, 1]."""
    assert segment.known is not None
    return segment.known / 2 + 0.5


def row(caption: str = "a cat", seed: int = 1, width: int = 64, height: int = 64, **changes: object) -> Row:
    return replace(Row(caption, (Segment(width, height),), seed), **changes)  # type: ignore[arg-type]


def given(shade: float, **changes: object) -> Segment:
    """A wholly known 64x64 segment."""
    generator = torch.Generator().manual_seed(4)
    known = (torch.rand(3, 64, 64, generator=generator) - 0.5 + shade).clamp(-1, 1)
    return replace(Segment(64, 64, known=known), **changes)  # type: ignore[arg-type]


def picture(dit: DiT, one: Row, **options: object) -> Tensor:
    return dit.sample([one], sampling=SamplingOptions(**options))[0].images[0]  # type: ignore[arg-type]


@contextmanager
def recorded(dit: DiT) -> Iterator[list[dict[str, Tensor]]]:
    """The arguments of every forward of the transformer."""
    calls: list[dict[str, Tensor]] = []
    hook = dit.transformer.register_forward_pre_hook(lambda m, args, kwargs: calls.append(kwargs), with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


@pytest.mark.parametrize("distilled", [True, False])
def test_flux_draws_what_its_pipeline_draws(distilled: bool, flux_folder: Callable[[bool], Path]) -> None:
    folder = flux_folder(distilled)
    dit = DiT.load(folder, device="cpu")
    guidance = 3.5 if distilled else 1.0
    ours = picture(dit, row("a cat", 3, 32, 48), steps=3, guidance=guidance)
    pipeline: Any = FluxPipeline.from_pretrained(str(folder), low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        "a cat",
        height=48,
        width=32,
        num_inference_steps=3,
        guidance_scale=guidance,
        max_sequence_length=512 if distilled else 256,
        generator=torch.Generator().manual_seed(3),
        output_type="pt",
    ).images[0]
    assert_close(ours, theirs)


def test_pictures_are_float32_in_0_to_1_in_the_order_of_the_segments(pocket: DiT) -> None:
    one = Row("a cat", (Segment(64, 32), Segment(32, 64, panel=1)), seed=1)
    images = pocket.sample([one])[0].images
    assert [tuple(i.shape) for i in images] == [(3, 32, 64), (3, 64, 32)]
    assert all(i.dtype == torch.float32 and i.device.type == "cpu" for i in images)
    assert all(0 <= i.min() < i.max() <= 1 for i in images)


def test_a_seed_is_a_picture(pocket: DiT) -> None:
    assert torch.equal(picture(pocket, row(seed=5)), picture(pocket, row(seed=5)))
    assert not torch.equal(picture(pocket, row(seed=5)), picture(pocket, row(seed=6)))
    assert not torch.equal(picture(pocket, row("a cat")), picture(pocket, row("a dog")))


def test_an_empty_plan_is_no_plan(pocket: DiT) -> None:
    rows = [row(seed=1), row("a dog", seed=2)]
    plan = AttentionPlan((KVOp("concat", 1, 0, tokens=Selection(image=())),))
    base = pocket.sample(rows)
    for idle in (AttentionPlan(), plan):
        for one, other in zip(pocket.sample(rows, idle), base, strict=True):
            assert torch.equal(one.images[0], other.images[0])


def test_company_does_not_change_a_row(pocket: DiT) -> None:
    """Short and long captions (16 and 32 text tokens), other sizes and positions, in one call."""
    placed = Row("a dog", (Segment(64, 64, panel=2, origin=(3, 0)),), seed=9)
    rows = [row(seed=1), row(LONG, seed=2), row("a fox", 3, 128, 32), row("a fox", 4, 96, 96), placed]
    together = pocket.sample(rows)
    for one, result in zip(rows, together, strict=True):
        assert_close(result.images[0], picture(pocket, one))


def test_rows_of_one_size_share_forwards_and_others_do_not(pocket: DiT) -> None:
    rows = [row(seed=1), row("a fox", 3, 96, 96), row(seed=2), row(seed=3, width=128, height=32)]
    with recorded(pocket) as calls:
        pocket.sample(rows, sampling=SamplingOptions(steps=1, guidance=1.0))
    assert [tuple(call["hidden_states"].shape[:2]) for call in calls] == [(3, 4), (1, 9)]


def test_position_and_panel_matter(pocket: DiT) -> None:
    base = picture(pocket, row())
    for moved in (Segment(64, 64, panel=1), Segment(64, 64, origin=(4, 0))):
        other = picture(pocket, row(segments=(moved,)))
        same_start = Row("a cat", (moved,), seed=1)
        assert torch.equal(other, picture(pocket, same_start))
    two = Row("a cat", (Segment(64, 64), Segment(64, 64, panel=1)), seed=1)
    far = Row("a cat", (Segment(64, 64), Segment(64, 64, panel=5)), seed=1)
    assert not torch.equal(pocket.sample([two])[0].images[0], pocket.sample([far])[0].images[0])
    assert not torch.equal(pocket.sample([two])[0].images[0], base)


def test_guidance_of_one_skips_the_second_pass(pocket: DiT) -> None:
    with recorded(pocket) as calls:
        picture(pocket, row(), steps=1, guidance=1.0)
        picture(pocket, row(), steps=1, guidance=2.0)
    assert [len(call["hidden_states"]) for call in calls] == [1, 2]
    wanted, unwanted = calls[1]["encoder_hidden_states"], calls[1]["pooled_projections"]
    assert wanted[0].abs().max() > 0
    assert torch.equal(wanted[1], torch.zeros_like(wanted[1]))
    assert torch.equal(unwanted[1], torch.zeros_like(unwanted[1]))


def test_guidance_extrapolates_from_the_negative_caption(pocket: DiT) -> None:
    """The negative caption equal to the caption leaves nothing to extrapolate."""
    plain = picture(pocket, row(), guidance=1.0)
    assert_close(picture(pocket, row(negative="a cat"), guidance=5.0), plain)
    assert (picture(pocket, row(), guidance=5.0) - plain).abs().max() > 1e-3
    with pytest.raises(ToolError, match="guidance is 1: raise it above 1, or drop it"):
        picture(pocket, row(negative="blurry"), guidance=1.0)


def test_a_distilled_model_is_told_its_guidance(flux_folder: Callable[[bool], Path]) -> None:
    dit = DiT.load(flux_folder(True), device="cpu")
    with recorded(dit) as calls:
        picture(dit, row(width=32, height=32), steps=1, guidance=7.0)
    assert calls[0]["guidance"].tolist() == [7.0]
    with pytest.raises(ToolError, match="negative caption"):
        dit.sample([row(width=32, height=32, negative="blurry")])


def test_known_segments_come_back_as_given(pocket: DiT) -> None:
    segments = (given(0.1), Segment(64, 64, panel=1))
    for mode in MODES:
        kept, drawn = pocket.sample([row(segments=segments)], sampling=SamplingOptions(given=mode))[0].images
        assert torch.equal(kept, as_given(segments[0]))
        assert not torch.equal(drawn, picture(pocket, row()))


def test_known_pixels_of_a_mask_come_back_as_given_and_guide_the_rest(pocket: DiT) -> None:
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:, :37] = True
    results = []
    for shade in (0.4, -0.4):
        segment = given(shade, known_mask=mask)
        result = picture(pocket, row(segments=(segment,)))
        assert torch.equal(result[:, mask], as_given(segment)[:, mask])
        results.append(result)
    assert not torch.equal(results[0][:, ~mask], results[1][:, ~mask])


def test_clean_feeds_the_same_tokens_at_every_step_and_noised_follows_the_level(pocket: DiT) -> None:
    segments = (given(0.1), Segment(64, 64, panel=1))
    fed: dict[str, list[Tensor]] = {}
    levels: list[float] = []
    for mode in MODES:
        with recorded(pocket) as calls:
            options = SamplingOptions(steps=3, guidance=1.0, given=mode)
            pocket.sample([row(segments=segments)], sampling=options)
        fed[mode] = [call["hidden_states"][0, :4] for call in calls]
        levels = [float(call["timestep"][0]) for call in calls]
    clean = fed["clean"][0]
    assert all(torch.equal(tokens, clean) for tokens in fed["clean"])
    noise = fed["noised"][0]
    assert levels[0] == 1.0
    for tokens, level in zip(fed["noised"], levels, strict=True):
        assert_close(tokens, (1 - level) * clean + level * noise)


def test_reference_rows_have_their_own_time_and_stay_as_given(pocket: DiT) -> None:
    clean = row(segments=(given(0.1),), trajectory="clean")
    noised = row(segments=(given(0.1),), trajectory="noised", seed=8)
    plan = AttentionPlan((KVOp("concat", 1, 0), KVOp("concat", 2, 0)))
    with recorded(pocket) as calls:
        results = pocket.sample([row(), clean, noised], plan, SamplingOptions(guidance=1.0))
    assert [call["timestep"][1].item() for call in calls] == [0.0] * 3
    assert all(torch.equal(call["timestep"][0], call["timestep"][2]) for call in calls)
    assert all(torch.equal(call["hidden_states"][1], calls[0]["hidden_states"][1]) for call in calls)
    for reference, result in zip((clean, noised), results[1:], strict=True):
        assert torch.equal(result.images[0], as_given(reference.segments[0]))


def test_a_reference_changes_its_target_and_nobody_else(pocket: DiT) -> None:
    bystander = row("a dog", seed=7)
    plan = AttentionPlan((KVOp("concat", 1, 0),))
    base = pocket.sample([row(), bystander])
    drawn = []
    for shade in (0.4, -0.4):
        rows = [row(), row(segments=(given(shade),), trajectory="clean"), bystander]
        results = pocket.sample(rows, plan)
        assert_close(results[2].images[0], base[1].images[0])
        drawn.append(results[0].images[0])
    assert (drawn[0] - drawn[1]).abs().max() > 1e-4
    assert (drawn[0] - base[0].images[0]).abs().max() > 1e-4


def test_a_plan_outside_its_steps_does_nothing(pocket: DiT) -> None:
    rows = [row(), row(segments=(given(0.4),), trajectory="clean")]
    late = AttentionPlan((KVOp("concat", 1, 0, Scope(steps=(3, 9))),))
    assert torch.equal(pocket.sample(rows, late)[0].images[0], pocket.sample(rows)[0].images[0])


def test_plans_follow_their_rows_into_groups(pocket: DiT) -> None:
    """Rows 0 and 2 are linked; row 1 of another size stands between them."""
    reference = row(segments=(given(0.4),), trajectory="clean")
    apart = pocket.sample([row(), row(width=96, height=96), reference], AttentionPlan((KVOp("concat", 2, 0),)))
    close = pocket.sample([row(), reference], AttentionPlan((KVOp("concat", 1, 0),)))
    assert_close(apart[0].images[0], close[0].images[0])
    biased = AttentionPlan((), (LogitBias(1, Selection(), Selection((0,))),))
    rows = [row(width=96, height=96), row()]
    assert not torch.equal(pocket.sample(rows, biased)[1].images[0], pocket.sample(rows)[1].images[0])
    assert torch.equal(pocket.sample(rows, biased)[0].images[0], pocket.sample(rows)[0].images[0])


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_cancelling_leaves_nothing_behind(stop: int, pocket: DiT, pocket_folder: Path) -> None:
    rows = [row(), row(segments=(given(0.4),), trajectory="clean")]
    plan = AttentionPlan((KVOp("save", 1, "kept"), KVOp("concat", "kept", 0)))

    def cancel(progress: Progress) -> None:
        if progress.step == stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        pocket.sample(rows, plan, progress=cancel)
    fresh = DiT.load(pocket_folder, device="cpu")
    assert torch.equal(pocket.sample(rows)[0].images[0], fresh.sample(rows)[0].images[0])
    assert torch.equal(pocket.sample(rows, plan)[0].images[0], fresh.sample(rows, plan)[0].images[0])


def test_progress_counts_all_groups_as_one_run(pocket: DiT) -> None:
    heard: list[Progress] = []
    pocket.sample([row(), row(width=96, height=96)], progress=heard.append)
    assert [(p.stage, p.step) for p in heard if p.stage == "sample"] == [("sample", i) for i in range(1, 7)]
    assert (heard[0].stage, heard[0].step, heard[-1].stage) == ("prepare", 0, "decode")
    assert {p.total for p in heard} == {6}
    assert all(p.preview is None for p in heard)


def test_previews_are_small_and_come_every_other_step(pocket: DiT) -> None:
    heard: list[Progress] = []
    two = Row("a cat", (Segment(64, 32), Segment(32, 64, panel=1)), seed=1)
    options = SamplingOptions(steps=4, preview=True)
    reference = row(segments=(given(0.1),), trajectory="clean", seed=3)
    result = pocket.sample([reference, two], None, options, heard.append)
    previews = [p.preview for p in heard if p.stage == "sample"]
    assert [p is None for p in previews] == [True, False, True, False]
    shown = previews[1]
    assert isinstance(shown, np.ndarray)
    assert (shown.shape, shown.dtype) == ((128, 320, 3), np.uint8)
    again = pocket.sample([two], sampling=SamplingOptions(steps=4))[0].images[0]
    assert_close(result[1].images[0], again)


def test_no_rows_no_pictures(pocket: DiT) -> None:
    assert pocket.sample([]) == []


@pytest.mark.parametrize(
    ("one", "options", "message"),
    [
        (row(segments=()), {}, "no segments"),
        (row(width=65), {}, "65x64 pixels; both sides must be positive multiples of 32"),
        (row(trajectory="clean"), {}, "'clean' row has a segment that is not wholly known"),
        (row(seed=-1), {}, "seed is -1"),
        (row(segments=(Segment(64, 64, known=torch.zeros(3, 32, 32)),)), {}, "resize"),
        (row(), {"steps": 0}, "steps is 0"),
        (row(), {"guidance": -1.0}, "guidance is -1.0"),
        (row(), {"shift": 0.0}, "shift is 0.0"),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_any_work(
    one: Row, options: dict[str, object], message: str, pocket: DiT
) -> None:
    heard: list[Progress] = []
    with pytest.raises(ToolError, match=message):
        pocket.sample([one], None, SamplingOptions(**options), heard.append)  # type: ignore[arg-type]
    assert heard == []


def test_linked_rows_of_different_sizes_are_refused(pocket: DiT) -> None:
    with pytest.raises(ToolError, match=r"rows \[0, 1\] of \[4, 9\] image tokens"):
        pocket.sample([row(), row(width=96, height=96)], AttentionPlan((KVOp("concat", 1, 0),)))
    with pytest.raises(ToolError, match="row 1; this call has rows 0 to 0"):
        pocket.sample([row()], AttentionPlan((KVOp("concat", 1, 0),)))


def test_captions_are_reported(pocket: DiT) -> None:
    assert pocket.unknown_words("a zebra and a fire truck") == ("zebra",)
    assert pocket.token_report("a fire truck on the beach") == (3, 0)
    assert pocket.token_report("cat " * 50) == (50, 10)
