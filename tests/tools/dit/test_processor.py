"""The processor on a tiny real Flux: bit-identical when idle, exact about whom it touches."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import pytest
import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor

from chatdit.kernels.reference import dense_attention
from chatdit.tools.dit.attention_plan import AttentionPlan, KVOp, LogitBias, Scope, Selection
from chatdit.tools.dit.planned_attention import Layer, PlanState, padding_bias, planned_attention
from chatdit.tools.dit.processor import install_processors
from chatdit.tools.types import ToolError

ROWS, TEXT, SIDE = 3, 5, 3
TOKENS = SIDE * SIDE


@dataclass(frozen=True)
class Inputs:
    hidden: Tensor
    text: Tensor
    pooled: Tensor
    t: Tensor
    ids: Tensor

    def call(self, model: FluxTransformer2DModel, **extra: object) -> Tensor:
        with torch.no_grad():
            output: Tensor = model(
                hidden_states=self.hidden,
                encoder_hidden_states=self.text,
                pooled_projections=self.pooled,
                timestep=self.t,
                img_ids=self.ids,
                txt_ids=torch.zeros(self.text.shape[1], 3),
                joint_attention_kwargs=extra or None,
                return_dict=False,
            )[0]
        return output


@pytest.fixture(scope="module")
def stock() -> FluxTransformer2DModel:
    torch.manual_seed(0)
    made: FluxTransformer2DModel = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=24,
        axes_dims_rope=(4, 6, 6),
    )
    made.eval()
    return made


@pytest.fixture(scope="module")
def model(stock: FluxTransformer2DModel) -> FluxTransformer2DModel:
    ours = copy.deepcopy(stock)
    assert install_processors(ours) == 4
    return ours


@pytest.fixture
def inputs() -> Inputs:
    generator = torch.Generator().manual_seed(7)
    ids = torch.zeros(SIDE, SIDE, 3)
    ids[..., 1], ids[..., 2] = torch.arange(SIDE)[:, None], torch.arange(SIDE)[None]
    return Inputs(
        torch.randn(ROWS, TOKENS, 16, generator=generator),
        torch.randn(ROWS, TEXT, 24, generator=generator),
        torch.randn(ROWS, 24, generator=generator),
        torch.tensor([0.9, 0.5, 0.0]),
        ids.view(-1, 3),
    )


def state(step: int = 0) -> PlanState:
    return PlanState(ROWS, (TEXT,) * ROWS, step=step)


def planned(model: FluxTransformer2DModel, inputs: Inputs, *ops: KVOp, biases: tuple[LogitBias, ...] = ()) -> Tensor:
    return inputs.call(model, plan=AttentionPlan(ops, biases), state=state())


@pytest.mark.parametrize(
    "plan",
    [
        None,
        AttentionPlan(),
        AttentionPlan((KVOp("concat", 1, 0, tokens=Selection(image=())),)),
        AttentionPlan((KVOp("replace", 1, 0, Scope(frozenset())),)),
        AttentionPlan((KVOp("replace", 1, 0, Scope(steps=(1, 9))),)),
    ],
)
def test_an_idle_plan_is_the_stock_model_bit_for_bit(
    plan: AttentionPlan | None, stock: FluxTransformer2DModel, model: FluxTransformer2DModel, inputs: Inputs
) -> None:
    base = inputs.call(stock)
    assert torch.equal(inputs.call(model, plan=plan, state=state()), base)
    assert torch.equal(inputs.call(model), base)


def test_an_attention_mask_goes_through_as_in_the_stock_model(
    stock: FluxTransformer2DModel, model: FluxTransformer2DModel, inputs: Inputs
) -> None:
    mask = torch.zeros(1, 1, TEXT + TOKENS, TEXT + TOKENS)
    mask[..., :TEXT, TEXT:] = -math.inf
    assert torch.equal(inputs.call(model, attention_mask=mask), inputs.call(stock, attention_mask=mask))
    assert not torch.equal(inputs.call(model, attention_mask=mask), inputs.call(model))


def test_nothing_passed_along_is_dropped_in_silence(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    mask = torch.zeros(1, 1, TEXT + TOKENS, TEXT + TOKENS)
    with pytest.raises(ToolError, match="needs its state"):
        inputs.call(model, plan=AttentionPlan())
    with pytest.raises(ToolError, match="LogitBias"):
        inputs.call(model, attention_mask=mask, state=state())


@pytest.mark.parametrize("mode", ["concat", "replace", "overwrite"])
def test_only_the_target_row_changes(mode: str, model: FluxTransformer2DModel, inputs: Inputs) -> None:
    base = inputs.call(model)
    out = planned(model, inputs, KVOp(mode, 1, 0))  # type: ignore[arg-type]
    assert torch.equal(out[1:], base[1:])
    assert (out[0] - base[0]).abs().max() > 1e-4


def test_the_target_depends_on_the_source_row_only(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    out = planned(model, inputs, KVOp("concat", 1, 0))
    for row, moves in ((1, True), (2, False)):
        other = inputs.hidden.clone()
        other[row] += 1
        assert torch.equal(planned(model, replace(inputs, hidden=other), KVOp("concat", 1, 0))[0], out[0]) is not moves


def test_own_keys_again_change_nothing(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    everything = Selection(text=None)
    for op in (
        KVOp("overwrite", 0, 0),
        KVOp("replace", 0, 0, tokens=everything),
        KVOp("concat", 0, 0, tokens=everything),
    ):
        torch.testing.assert_close(planned(model, inputs, op), inputs.call(model), atol=2e-6, rtol=0)


def test_a_log_bias_of_minus_infinity_forbids_the_source(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    out = planned(model, inputs, KVOp("concat", 1, 0, log_bias=-math.inf))
    torch.testing.assert_close(out, inputs.call(model), atol=2e-6, rtol=0)


def test_operations_on_the_keys_themselves() -> None:
    """Each mode against keys put together by hand, in float64, including scale, bias and text."""
    torch.manual_seed(3)
    q, k, v = torch.randn(3, 2, 6, 1, 8, dtype=torch.float64)
    layer = Layer(q, k, v, 0, PlanState(2, (2, 2)))
    picked, both = Selection((0, 3)), Selection((1,), (0,))
    cases = [
        (KVOp("concat", 1, 0, tokens=both, k_scale=1.5), [k[0], 1.5 * k[1, [0, 3]]], [v[0], v[1, [0, 3]]]),
        (KVOp("replace", 1, 0, tokens=picked), [k[0, :2], k[1, [2, 5]]], [v[0, :2], v[1, [2, 5]]]),
        (
            KVOp("replace", 1, 0, tokens=Selection((), None)),
            [k[0, 2:], k[1, :2]],
            [v[0, 2:], v[1, :2]],
        ),
        (
            KVOp("overwrite", 1, 0, tokens=picked),
            [k[0, :2], k[1, 2:3], k[0, 3:5], k[1, 5:]],
            [v[0, :2], v[1, 2:3], v[0, 3:5], v[1, 5:]],
        ),
    ]
    for op, keys, values in cases:
        want = dense_attention(q[:1], torch.cat(keys)[None], torch.cat(values)[None])
        torch.testing.assert_close(planned_attention(layer, (op,), ())[:1], want)
    doubled = planned_attention(layer, (KVOp("concat", 1, 0, tokens=both, log_bias=math.log(2)),), ())[:1]
    keys, values = [k[0], k[1, [0, 3]], k[1, [0, 3]]], [v[0], v[1, [0, 3]], v[1, [0, 3]]]
    torch.testing.assert_close(doubled, dense_attention(q[:1], torch.cat(keys)[None], torch.cat(values)[None]))


def test_a_bias_cuts_the_picture_off_from_the_text(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    deaf = LogitBias(0, Selection(), Selection(image=(), text=None))
    other = inputs.text.clone()
    other[0] += 1
    out = planned(model, inputs, biases=(deaf,))
    again = planned(model, replace(inputs, text=other), biases=(deaf,))
    assert torch.equal(out[0], again[0])
    assert not torch.equal(inputs.call(model)[0], replace(inputs, text=other).call(model)[0])
    assert torch.equal(out[1:], inputs.call(model)[1:])


def test_a_saved_row_is_read_at_a_later_step(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    plan = AttentionPlan((KVOp("save", 1, "kept", Scope(steps=(0, 1))), KVOp("concat", "kept", 0, Scope(steps=(1, 2)))))
    own = state()
    assert torch.equal(inputs.call(model, plan=plan, state=own), inputs.call(model))
    own.step = 1
    moved = inputs.hidden.clone()
    moved[1] += 1
    later = replace(inputs, hidden=moved).call(model, plan=plan, state=own)
    assert torch.equal(later[0], planned(model, inputs, KVOp("concat", 1, 0))[0])


def test_a_name_read_before_it_is_saved_is_an_error(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    with pytest.raises(ToolError, match="reads 'kept' at layer 0, step 0 before anything is saved"):
        planned(model, inputs, KVOp("concat", "kept", 0))


def test_a_text_token_that_does_not_exist_is_an_error(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    with pytest.raises(ToolError, match="text token 5; this caption has 5"):
        planned(model, inputs, KVOp("concat", 1, 0, tokens=Selection(text=(5,))))


def test_text_padding_is_invisible(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    """Rows with 3, 5 and 5 text tokens, padded to 5: what stands in the padding does not matter."""
    lengths = (3, TEXT, TEXT)
    padding = padding_bias(lengths, TEXT, TOKENS, torch.device("cpu"))
    short = replace(
        inputs, text=inputs.text[:1, :3], hidden=inputs.hidden[:1], pooled=inputs.pooled[:1], t=inputs.t[:1]
    )
    alone = short.call(model)
    op, bias = KVOp("concat", 0, 1, tokens=Selection(text=None)), LogitBias(0, Selection(), Selection((0,)), 0.0)
    for plan in (None, AttentionPlan((op,), (bias,))):
        out = inputs.call(model, plan=plan, state=PlanState(ROWS, lengths, padding=padding))
        torch.testing.assert_close(out[0], alone[0], atol=2e-6, rtol=0)


def test_two_passes_read_their_own_source(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    """With the batch repeated for guidance, row 0 of a pass reads row 1 of the same pass."""
    again = replace(inputs, text=inputs.text.flip(0))
    twice = Inputs(
        torch.cat([inputs.hidden[:2], again.hidden[:2]]),
        torch.cat([inputs.text[:2], again.text[:2]]),
        torch.cat([inputs.pooled[:2], again.pooled[:2]]),
        torch.cat([inputs.t[:2], again.t[:2]]),
        inputs.ids,
    )
    plan = AttentionPlan((KVOp("concat", 1, 0),))
    out = twice.call(model, plan=plan, state=PlanState(2, (TEXT,) * 4))
    for part in (slice(0, 2), slice(2, 4)):
        one = Inputs(twice.hidden[part], twice.text[part], twice.pooled[part], twice.t[part], inputs.ids)
        alone = one.call(model, plan=plan, state=PlanState(2, (TEXT,) * 2))
        torch.testing.assert_close(out[part], alone, atol=2e-6, rtol=0)


def test_rows_may_have_positions_of_their_own(model: FluxTransformer2DModel, inputs: Inputs) -> None:
    moved = inputs.ids + torch.tensor([2.0, 0.0, 4.0])
    text_ids = torch.zeros(TEXT, 3)
    turns = [model.pos_embed(torch.cat([text_ids, ids])) for ids in (inputs.ids, moved, inputs.ids)]
    rope = torch.stack([cos for cos, _ in turns]), torch.stack([sin for _, sin in turns])
    out = inputs.call(model, state=replace(state(), rope=rope))
    torch.testing.assert_close(out[[0, 2]], inputs.call(model)[[0, 2]], atol=2e-6, rtol=0)
    torch.testing.assert_close(out[1], replace(inputs, ids=moved).call(model)[1], atol=2e-6, rtol=0)
    assert (out[1] - inputs.call(model)[1]).abs().max() > 1e-4
