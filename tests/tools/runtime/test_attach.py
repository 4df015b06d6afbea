"""A policy on tiny real models: right where it is sparse, invisible where it is not, gone when it is taken off."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from diffusers.models import attention_dispatch
from torch import Tensor, nn
from torch._dynamo.exc import Unsupported
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from chatdit.kernels.llsa.hierarchy import Hierarchy
from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.plan.block_plan import BlockPlan, CoarseStream
from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.geometry import Geometry, Place, Policy
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.vsa import Vsa
from chatdit.kernels.reference import sparse_reference
from chatdit.tools.dit.processor import install_processors
from chatdit.tools.runtime.architectures import TokenLayout, panels_of
from chatdit.tools.runtime.attach import attach
from chatdit.tools.types import ToolError

BLOCKS = Vsa(k=3, tile=(2, 2))
"""Cubes of 16 tokens, of pictures and of videos."""
HIERARCHY = Llsa(Hierarchy(k=3))


@dataclass(frozen=True)
class Everything:
    """Every block, by way of sparse plans."""

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        side = 8 if geometry.frames == 1 else 4
        cubes = -(-geometry.frames // 4) * -(-geometry.height // side) * -(-geometry.width // side)
        return Vsa(cubes)(q, k, geometry, step, layer)


@dataclass(frozen=True)
class Noting:
    """A policy that writes down what it is asked."""

    policy: Policy
    asked: list[tuple[Place, Place, Geometry]]

    def __call__(self, q: Tensor, k: Tensor, geometry: Geometry, step: Place, layer: Place) -> BlockPlan:
        self.asked.append((step, layer, geometry))
        return self.policy(q, k, geometry, step, layer)

    def __deepcopy__(self, memo: object) -> Noting:
        return Noting(copy.deepcopy(self.policy), self.asked)


class Oracle(TorchFunctionMode):
    """Self-attention over the picture as the reference says: which pairs meet, as one mask for dense attention."""

    def __init__(self, case: Any, policy: Policy) -> None:
        super().__init__()
        self.case, self.policy, self.calls = case, policy, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            q, k, v = (kwargs.pop(name) for name in ("query", "key", "value")) if not args else args[:3]
            geometry = self._geometry(q, k)
            if geometry is not None:
                return self._reference(q, k, v, geometry, kwargs.get("attn_mask"))
            return func(q, k, v, **kwargs)
        return func(*args, **kwargs)

    def _geometry(self, q: Tensor, k: Tensor) -> Geometry | None:
        frames, height, width = self.case.grid
        text = (Segment(*self.case.text),) if self.case.text else ()
        known = [Geometry(height, width, frames), Geometry(height, width, frames, text)]
        return next((g for g in known if q.shape[2] == k.shape[2] == g.length), None)

    def _reference(self, q: Tensor, k: Tensor, v: Tensor, geometry: Geometry, mask: Tensor | None) -> Tensor:
        self.calls += 1
        plan = self.policy(q, k, geometry, Place(0, 1), Place(0, 1))
        nothing = torch.zeros_like(q[..., :1])
        scale = 1 / math.sqrt(q.shape[3])
        # what a query meets shows where its output has a share of that key's own unit value
        met = _shares(nothing, q.shape[2], replace(plan, coarse=()), ())
        logits, values = [(q @ k.mT * scale).masked_fill(~(met if mask is None else met & mask), -torch.inf)], [v]
        for i, stream in enumerate(plan.coarse):
            met = _shares(nothing, stream.tokens, plan, plan.coarse, i)
            weight = torch.as_tensor(stream.log_weight)
            logits.append((q @ stream.keys.mT * scale + weight[..., None, :]).masked_fill(~met, -torch.inf))
            values.append(_means(v, plan, stream.span or 1))
        return torch.cat(logits, dim=-1).softmax(dim=-1) @ torch.cat(values, dim=2)


def _shares(nothing: Tensor, count: int, plan: BlockPlan, coarse: tuple[CoarseStream, ...], which: int = -1) -> Tensor:
    """Whether each query meets each of `count` keys, or summaries of the stream `which`, (B, H, L, count)."""
    heads = nothing.shape[:2]
    each = torch.eye(count).expand(*heads, -1, -1)
    none = torch.zeros(*heads, nothing.shape[2], count)
    blank = [torch.zeros(*heads, s.tokens, count) for s in coarse]
    streams = tuple(
        replace(s, keys=torch.zeros_like(s.keys[..., :1]), values=each if i == which else blank[i])
        for i, s in enumerate(coarse)
    )
    return sparse_reference(nothing, nothing, each if which < 0 else none, plan, streams, 1.0).out > 0


def _means(v: Tensor, plan: BlockPlan, span: int) -> Tensor:
    """Means of `span` consecutive values, in the plan's order of the key side."""
    keep = torch.ones(v.shape[2], dtype=torch.bool)
    for start, stop in plan.k.dense:
        keep[start:stop] = False
    assert plan.k.order is not None
    body = v[:, :, keep][:, :, plan.k.order[0, 0].long()]
    return torch.stack([part.mean(dim=2) for part in torch.split(body, span, dim=2)], dim=2)


def gradients(model: nn.Module, answer: Tensor) -> list[Tensor]:
    model.zero_grad()
    answer.square().mean().backward()  # type: ignore[no-untyped-call]
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@torch.no_grad()
@pytest.mark.parametrize("name", ["flux", "sd3", "wan"])
def test_under_autocast_calls_are_routed_in_its_dtype(cases: dict[str, Any], name: str) -> None:
    """Norms give q and k in fp32 there, and v comes in bf16."""
    case = cases[name]
    model = case.model()
    with torch.autocast("cpu", torch.bfloat16):
        dense = case.output(model).float()
        with attach(model, Everything(), dense_below=0) as attachment:
            kept = case.output(model).float()
            calls = attachment.report().calls
    assert sum(call.count for call in calls if call.route == "sparse") == case.routed
    assert (kept - dense).norm() < 0.02 * dense.norm()


@torch.no_grad()
def test_every_block_kept_is_dense_attention(case: Any) -> None:
    model = case.model()
    dense = case.output(model)
    with attach(model, Everything(), dense_below=0) as attachment:
        kept = case.output(model)
        report = attachment.report()
    torch.testing.assert_close(kept, dense, atol=1e-5, rtol=1e-5)
    assert {call.density for call in report.calls if call.route == "sparse"} == {1.0}
    assert torch.equal(case.output(model), dense)


@pytest.mark.parametrize("policy", [BLOCKS, HIERARCHY], ids=["blocks", "llsa"])
@torch.no_grad()
def test_a_policy_computes_what_its_reference_says(case: Any, policy: Policy) -> None:
    model = case.model()
    dense = case.output(model)
    with Oracle(case, policy) as oracle:
        expected = case.output(model)
    with attach(model, policy, dense_below=0) as attachment:
        sparse = case.output(model)
        report = attachment.report()
    torch.testing.assert_close(sparse, expected, atol=1e-5, rtol=1e-5)
    assert (sparse - dense).abs().max() > 1e-3
    assert (report.count("sparse"), report.count("passed"), report.count("dense")) == (case.routed, case.passed, 0)
    assert oracle.calls == case.routed
    assert all(0 < call.density < 1 for call in report.calls if call.density is not None)
    assert torch.equal(case.output(model), dense)


def test_checkpointed_blocks_are_routed_when_they_run_again(case: Any) -> None:
    model = case.model()
    with attach(model, HIERARCHY, dense_below=0) as attachment:
        plain = gradients(model, case.output(model))
        attachment.clear()
        model.enable_gradient_checkpointing()
        again = gradients(model, case.output(model))
        routed = attachment.report().count("sparse")
    model.disable_gradient_checkpointing()
    assert routed == 2 * case.routed
    assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    dense = gradients(model, case.output(model))
    assert any((a - b).abs().max() > 1e-4 for a, b in zip(plain, dense, strict=True))


def test_a_backward_finds_the_forward_it_belongs_to(cases: Any) -> None:
    """Two forwards of one length and different shape, then both backwards through checkpointed blocks."""
    case = cases["flux"]
    model = case.model()
    other = raster(16, 8)

    def both() -> list[Tensor]:
        return gradients(model, case.output(model) + case.output(model, img_ids=other))

    with attach(model, BLOCKS, dense_below=0):
        plain = both()
        model.enable_gradient_checkpointing()
        again = both()
    for a, b in zip(plain, again, strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("name", ["flux", "wan", "qwen", "hunyuan", "ltx", "cogvideox"])  # the last by the mode
@torch.no_grad()
def test_compiled_blocks_are_routed_without_a_graph_break(name: str, cases: Any) -> None:
    case = cases[name]
    model = case.model()
    dense = case.output(model)
    with attach(model, BLOCKS, dense_below=0) as attachment:
        eager = case.output(model)
        attachment.clear()
        compile_blocks(model)
        compiled = case.output(model)
        report = attachment.report()
    torch.testing.assert_close(compiled, eager, atol=1e-5, rtol=1e-5)
    assert (report.count("sparse"), report.count("passed")) == (case.routed, case.passed)
    layers = [call.layer for call in report.calls if call.route == "sparse"]
    assert len(set(layers)) == case.routed
    if name == "wan":
        torch.testing.assert_close(case.output(model), dense, atol=1e-5, rtol=1e-5)


def test_compiled_blocks_have_the_gradients_of_eager_ones(cases: Any) -> None:
    case = cases["wan"]
    model = case.model()
    with attach(model, HIERARCHY, dense_below=0):
        eager = gradients(model, case.output(model))
        compile_blocks(model)
        compiled = gradients(model, case.output(model))
    for a, b in zip(eager, compiled, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-3)


@torch.no_grad()
def test_one_graph_serves_all_layers(cases: Any) -> None:
    """Twelve layers: a graph for each would pass torch's limit of eight."""
    from diffusers.models.transformers.transformer_wan import WanTransformer3DModel

    case = cases["wan"]
    config = {**case.model().config, "num_layers": 12}
    made: Any = WanTransformer3DModel.from_config(config)
    model = made.eval()
    with attach(model, BLOCKS, dense_below=0) as attachment:
        compile_blocks(model)
        case.output(model)
        assert attachment.report().count("sparse") == 12


@torch.no_grad()
def test_compiling_the_whole_model_into_one_graph_is_refused(cases: Any) -> None:
    """Its attention would hear of the step before."""
    case = cases["wan"]
    model = case.model()
    with attach(model, BLOCKS, dense_below=0):
        whole: Any = torch.compile(model, backend="aot_eager", fullgraph=True)
        with pytest.raises(Unsupported, match="compile the model's repeated blocks instead"):
            case.output(whole)


@torch.no_grad()
def test_two_models_do_not_know_of_each_other(cases: Any) -> None:
    flux, wan, sd3 = (cases[name] for name in ("flux", "wan", "sd3"))
    first, second, third, fourth = flux.model(), flux.model(), wan.model(), sd3.model()
    active = attention_dispatch._AttentionBackendRegistry._active_backend
    dense, dense_wan, dense_sd3 = flux.output(first), wan.output(third), sd3.output(fourth)
    one = attach(first, BLOCKS, dense_below=0)
    two = attach(second, HIERARCHY, dense_below=0)
    assert attention_dispatch._AttentionBackendRegistry._active_backend is active
    blocks, hierarchy = flux.output(first), flux.output(second)
    assert not torch.equal(blocks, hierarchy) and not torch.equal(blocks, dense)
    assert torch.equal(wan.output(third), dense_wan) and torch.equal(sd3.output(fourth), dense_sd3)
    third.set_attention_backend("_native_math")  # what a person does with another model, and for the process
    try:
        assert torch.equal(flux.output(first), blocks)
        one.detach()
        assert torch.equal(flux.output(second), hierarchy)
        two.detach()
        assert (one.report().count("sparse"), two.report().count("sparse")) == (8, 8)
    finally:
        attention_dispatch._AttentionBackendRegistry.set_active_backend(active)
    assert torch.equal(flux.output(first), dense) and torch.equal(flux.output(second), dense)


@torch.no_grad()
def test_the_processors_of_our_own_dit_are_routed_too(cases: Any) -> None:
    case = cases["flux"]
    model, stock = case.model(), case.model()
    assert install_processors(model) == 4
    with attach(model, BLOCKS, dense_below=0) as attachment, attach(stock, BLOCKS, dense_below=0):
        torch.testing.assert_close(case.output(model), case.output(stock), atol=1e-6, rtol=1e-6)
        assert attachment.report().count("sparse") == 4


def test_nothing_is_left_behind(cases: Any) -> None:
    registry = attention_dispatch._AttentionBackendRegistry
    model = cases["flux"].model()
    before = (set(registry._backends), dict(vars(model.transformer_blocks[0].attn.processor)))
    attach(model, BLOCKS).detach()
    assert (set(registry._backends), dict(vars(model.transformer_blocks[0].attn.processor))) == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_attaching_and_detaching_twice_is_refused(cases: Any) -> None:
    model = cases["flux"].model()
    attachment = attach(model, BLOCKS)
    with pytest.raises(ToolError, match=r"transformer_blocks.0.attn has a sparse policy attached already: detach"):
        attach(model, HIERARCHY)
    with pytest.raises(ToolError, match="attached already"):
        attach(model.transformer_blocks[0], HIERARCHY, geometry=TokenLayout(8, 16))
    attachment.detach()
    with pytest.raises(ToolError, match="detached already"):
        attachment.detach()
    with attach(model, HIERARCHY):
        pass


@torch.no_grad()
def test_a_backend_chosen_after_attaching_is_seen_and_kept(cases: Any) -> None:
    case = cases["flux"]
    model = case.model()
    active = attention_dispatch._AttentionBackendRegistry._active_backend
    attachment = attach(model, BLOCKS, dense_below=0)
    try:
        model.set_attention_backend("_native_math")
        case.output(model)
        reasons = {call.reason for call in attachment.report().calls}
        assert reasons == {"backend '_native_math' was chosen after attaching: attach again to route it"}
        with pytest.raises(ToolError, match=r"transformer_blocks.0.attn was changed after attaching"):
            attachment.detach()
        attachment.detach(force=True)
        chosen = model.transformer_blocks[0].attn.processor._attention_backend
        assert chosen == attention_dispatch.AttentionBackendName._NATIVE_MATH
    finally:
        attention_dispatch._AttentionBackendRegistry.set_active_backend(active)


@torch.no_grad()
def test_a_backend_chosen_before_computes_what_is_not_sparse(cases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a backend that does not end in torch's attention; the package that has it is not needed."""
    case = cases["wan"]
    model = case.model()
    registry, sage = attention_dispatch._AttentionBackendRegistry, attention_dispatch.AttentionBackendName.SAGE
    shapes = []

    def compute(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        shapes.append(key.shape[1])
        q, k, v = (x.transpose(1, 2) for x in (query, key, value))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)

    monkeypatch.setitem(registry._backends, sage, compute)
    monkeypatch.setitem(registry._constraints, sage, [])
    monkeypatch.setitem(registry._supported_arg_names, sage, {"query", "key", "value"})
    for block in model.blocks:
        block.attn1.processor._attention_backend = block.attn2.processor._attention_backend = sage
    with attach(model, BLOCKS, dense_below=0) as attachment:
        case.output(model)
        report = attachment.report()
    assert shapes == [6, 6], "cross-attention goes on with the backend that was chosen"
    assert report.notes == ("backend 'sage' was chosen before attaching: it computes what is not sparse",)
    assert model.blocks[0].attn1.processor._attention_backend is sage


@torch.no_grad()
def test_short_sequences_stay_dense_bit_for_bit(case: Any) -> None:
    model = case.model()
    dense = case.output(model)
    with attach(model, BLOCKS, dense_below=4096) as attachment:
        assert torch.equal(case.output(model), dense)
        report = attachment.report()
    assert (report.count("dense"), report.count("sparse")) == (case.routed, 0)
    reasons = {call.reason for call in report.calls if call.route == "dense"}
    assert f"{case.tokens} tokens; vsa pays from 4,096 (as asked)" in reasons


@torch.no_grad()
def test_masks_that_no_plan_can_express_are_passed_on(cases: Any) -> None:
    case = cases["flux"]
    model = case.model()
    tokens = case.tokens
    per_query = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    masks = {
        "a mask of torch.float32": torch.zeros(1, 1, 1, tokens),
        "not one value for each key": per_query[None, None],
        "nothing says that it hides text alone": torch.ones(1, 1, 1, tokens, dtype=torch.bool),
    }
    for reason, mask in masks.items():
        arguments = {"joint_attention_kwargs": {"attention_mask": mask}}
        dense = case.output(model, **arguments)
        with attach(model, BLOCKS, dense_below=0) as attachment:
            assert torch.equal(case.output(model, **arguments), dense)
            report = attachment.report()
        assert report.count("passed") == 4 and all(reason in call.reason for call in report.calls)


@torch.no_grad()
def test_hidden_text_is_never_read(cases: Any) -> None:
    """What stands in hidden text tokens does not matter to the picture."""
    for name, key in (("qwen", "encoder_hidden_states_mask"), ("hunyuan", "encoder_attention_mask")):
        case = cases[name]
        model, arguments = case.model(), case.arguments()
        hidden = ~arguments[key].bool()
        other = torch.where(hidden[..., None], 7.0, arguments["encoder_hidden_states"])
        with attach(model, BLOCKS, dense_below=0) as attachment:
            torch.testing.assert_close(case.output(model, encoder_hidden_states=other), case.output(model))
            assert attachment.report().count("sparse") == 2 * case.routed


@torch.no_grad()
def test_policies_hear_of_steps_layers_and_geometry(cases: Any) -> None:
    case = cases["sd3"]
    model = case.model()
    asked: list[tuple[Place, Place, Geometry]] = []
    with attach(model, Noting(BLOCKS, asked), dense_below=0) as attachment:
        case.output(model)
        assert {step for step, _, _ in asked} == {Place(0, 1)}
        for _ in range(2):
            asked.clear()
            attachment.begin(steps=3, passes=2)
            for _ in range(6):
                case.output(model)
            assert [step.index for step, _, _ in asked[::4]] == [0, 0, 1, 1, 2, 2]
            assert [layer for _, layer, _ in asked[:4]] == [Place(i, 4) for i in range(4)]
            with pytest.raises(ToolError, match="the run of 3 steps and 2 passes is over"):
                case.output(model)
    _, _, geometry = asked[0]
    assert (geometry.height, geometry.width, geometry.text) == (8, 12, (Segment(96, 102),))


@torch.no_grad()
def test_each_pass_of_each_run_has_a_policy_of_its_own(cases: Any) -> None:
    """AdaSpa remembers what it found at its search step; the second pass is not to reuse what the first found."""
    case = cases["wan"]
    model = case.model()
    policy = AdaSpa(block=16, search_steps=(0,))
    with attach(model, policy, dense_below=0) as attachment:
        attachment.begin(steps=2, passes=2)
        first = [case.output(model, hidden_states=draw(3)), case.output(model, hidden_states=draw(4))]
        attachment.begin(steps=1)
        assert torch.equal(case.output(model, hidden_states=draw(4)), first[1])
        attachment.begin(steps=1)
        assert torch.equal(case.output(model, hidden_states=draw(3)), first[0])
    assert not policy.remembered


@torch.no_grad()
def test_a_policy_that_leaves_a_step_or_cannot_plan_is_dense_with_the_reason(cases: Any) -> None:
    flux, wan = cases["flux"], cases["wan"]
    model = flux.model()
    with attach(model, Draft(patch=(4, 4)), dense_below=0) as attachment:
        attachment.begin(steps=4)
        flux.output(model)
        flux.output(model)
        report = attachment.report()
    assert (report.count("dense"), report.count("sparse")) == (4, 4)
    assert "draft leaves step 1 of 4 dense here" in {call.reason for call in report.calls}
    video = wan.model()
    dense = wan.output(video)
    with attach(video, Clear(), dense_below=0) as attachment:
        assert torch.equal(wan.output(video), dense)
        reasons = {call.reason for call in attachment.report().calls if call.route == "dense"}
    assert reasons == {"clear cannot plan this: frames is 3; CLEAR's disc is defined for one picture"}


@torch.no_grad()
def test_a_model_that_is_not_in_the_table_needs_its_geometry(cases: Any) -> None:
    case = cases["wan"]
    model = case.model()
    with attach(model, BLOCKS, geometry=TokenLayout(6, 8, 3), dense_below=0) as attachment:
        known = case.output(model)
        assert attachment.report().count("sparse") == 2
    with attach(model, BLOCKS, dense_below=0):
        assert torch.equal(case.output(model), known)
    with attach(model, BLOCKS, geometry=lambda _: "no grid today", dense_below=0) as attachment:
        case.output(model)
        assert {c.reason for c in attachment.report().calls if c.route == "dense"} == {"no grid today"}
    with pytest.raises(ToolError, match="where text and picture stand in a Linear is not known"):
        attach(nn.Linear(2, 2), BLOCKS)
    with pytest.raises(ToolError, match="Linear has no attention module"):
        attach(nn.Linear(2, 2), BLOCKS, geometry=TokenLayout(2, 2))


@torch.no_grad()
def test_panels_of_one_size_are_frames_and_others_stay_dense(cases: Any) -> None:
    case = cases["flux"]
    model = case.model()
    asked: list[tuple[Place, Place, Geometry]] = []
    with attach(model, Noting(BLOCKS, asked), dense_below=0) as attachment:
        case.output(model, img_ids=raster(4, 16, panels=2))
        assert (asked[0][2].frames, asked[0][2].height, asked[0][2].width) == (2, 4, 16)
        case.output(model, img_ids=torch.cat([raster(4, 8), raster(6, 16) + torch.tensor([1.0, 0, 0])]))
        report = attachment.report()
    assert (report.count("sparse"), report.count("dense")) == (4, 4)
    assert any("panels of [(4, 8), (6, 16)]; policies need panels of one size" in call.reason for call in report.calls)


def test_panels_are_read_from_position_ids() -> None:
    cells = [raster(2, 3) + torch.tensor([0, y, x]) for y in (0, 2) for x in (0, 3)]
    assert panels_of(torch.cat(cells)) == [(2, 3)] * 4
    assert panels_of(torch.cat([raster(2, 3), raster(5, 3) + torch.tensor([0, 2, 0])])) == [(7, 3)]
    assert panels_of(raster(3, 4)[:-1]) is None


def test_the_report_can_be_read(cases: Any) -> None:
    from rich.console import Console

    case = cases["hunyuan"]
    model = case.model()
    with attach(model, BLOCKS, dense_below=0) as attachment, torch.no_grad():
        case.output(model)
        report = attachment.report()
    kept = json.loads(report.json())
    assert kept["policy"] == "vsa" and len(kept["calls"]) == 3
    first = kept["calls"][1]
    assert (first["layer"], first["shape"], first["route"]) == ("transformer_blocks.0.attn", [2, 2, 150, 32], "sparse")
    console = Console(width=160, record=True, quiet=False)
    with console.capture() as printed:
        console.print(report.table())
    assert "vsa: 2 sparse, 0 dense, 1 passed" in printed.get() and "2x2x150x32" in printed.get()


def draw(seed: int) -> Tensor:
    return torch.randn(2, 4, 3, 12, 16, generator=torch.Generator().manual_seed(seed))


def raster(height: int, width: int, panels: int = 1) -> Tensor:
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in (panels, height, width)), indexing="ij")
    return torch.stack(axes, dim=-1).view(-1, 3)


def compile_blocks(model: Any) -> None:
    torch._dynamo.reset()
    if getattr(model, "_repeated_blocks", None):
        model.compile_repeated_blocks(fullgraph=True, backend="aot_eager")
    else:
        for block in model.transformer_blocks:
            block.compile(fullgraph=True, backend="aot_eager")
