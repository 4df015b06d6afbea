"""The one attention processor: what diffusers' Flux does, plus the attention plan of the call.

Layout legend: B batch (passes x rows), S joint tokens with text first, L text tokens, H heads,
D head dim; queries, keys and values are (B, S, H, D) after RoPE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor

from chatdit.kernels.attention import DensePlan, attention
from chatdit.tools.dit.attention_plan import AttentionPlan
from chatdit.tools.dit.planned_attention import Layer, PlanState, plain_attention, planned_attention
from chatdit.tools.types import ToolError

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxAttention, FluxTransformer2DModel


class PlanAttentionProcessor:
    """Attention of one layer; stateless, so that any number of calls may share the model."""

    def __init__(self, layer: int) -> None:
        self.layer = layer

    def __call__(
        self,
        attn: FluxAttention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        image_rotary_emb: tuple[Tensor, Tensor] | None = None,
        plan: AttentionPlan | None = None,
        state: PlanState | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Output of the layer: (image, text) in a double-stream block, all tokens in a single one.

        Raises:
            ToolError: the plan comes without its state, or beside an attention mask, or does not fit.
        """
        q, k, v = _projected(attn, hidden_states, encoder_hidden_states)
        rope = state.rope if state is not None and state.rope is not None else image_rotary_emb
        if rope is not None:
            q, k = _rotated(q, rope), _rotated(k, rope)
        mixed = self._attend(q, k, v, attention_mask, plan, state).flatten(2, 3).to(q.dtype)
        return _output(attn, mixed, 0 if encoder_hidden_states is None else encoder_hidden_states.shape[1])

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, plan: AttentionPlan | None, state: PlanState | None
    ) -> Tensor:
        if state is None and plan is None:
            return attention(q, k, v, plan=None if mask is None else DensePlan(mask))
        if state is None or mask is not None:
            raise ToolError("a plan needs its state and takes no attention_mask beside it; say it with LogitBias")
        ops = plan.ops_at(self.layer, state.step) if plan is not None else ()
        biases = plan.biases_at(self.layer, state.step) if plan is not None else ()
        if not (ops or biases):
            out = state.sparse.attend(q, k, v, step=state.step, layer=self.layer) if state.sparse is not None else None
            return plain_attention(q, k, v, state.padding, range(q.shape[0])) if out is None else out
        if state.sparse is not None:
            state.sparse.leave_dense("the attention plan changes keys, values or logits there")
        return planned_attention(Layer(q, k, v, self.layer, state), ops, biases)


def install_processors(transformer: FluxTransformer2DModel) -> int:
    """Gives every attention layer its processor, once, at load; returns how many layers there are."""
    names = list(transformer.attn_processors)
    processors = {name: PlanAttentionProcessor(i) for i, name in enumerate(names)}
    transformer.set_attn_processor(processors)  # type: ignore[arg-type]
    return len(names)


def _projected(attn: FluxAttention, image: Tensor, text: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (f(image).unflatten(-1, (-1, attn.head_dim)) for f in (attn.to_q, attn.to_k, attn.to_v))
    q, k = attn.norm_q(q), attn.norm_k(k)
    if text is None or attn.added_kv_proj_dim is None:
        return q, k, v
    projections = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
    tq, tk, tv = (f(text).unflatten(-1, (-1, attn.head_dim)) for f in projections)
    tq, tk = attn.norm_added_q(tq), attn.norm_added_k(tk)
    return torch.cat([tq, q], dim=1), torch.cat([tk, k], dim=1), torch.cat([tv, v], dim=1)


def _rotated(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rope
    if cos.dim() == 2:
        shared: Tensor = apply_rotary_emb(x, rope, sequence_dim=1)  # type: ignore[arg-type, assignment]
        return shared
    real, imaginary = x.view(*x.shape[:-1], -1, 2).unbind(-1)
    turned = torch.stack([-imaginary, real], dim=-1).flatten(-2)
    return (x.float() * cos[:, :, None] + turned.float() * sin[:, :, None]).to(x.dtype)


def _output(attn: FluxAttention, mixed: Tensor, text_tokens: int) -> Tensor | tuple[Tensor, Tensor]:
    if attn.pre_only:
        return mixed
    text, image = mixed[:, :text_tokens], mixed[:, text_tokens:]
    image = attn.to_out[1](attn.to_out[0](image.contiguous()))
    return image, attn.to_add_out(text.contiguous())
