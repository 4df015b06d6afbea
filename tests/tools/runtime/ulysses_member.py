"""One of two processes that share a model's sequence; prints what it found as JSON. Run by test_ulysses.py."""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from diffusers.models._modeling_parallel import ContextParallelConfig
from torch import Tensor, distributed

from chatdit.kernels.policies.clear import Clear
from chatdit.tools.runtime.architectures import TokenLayout
from chatdit.tools.runtime.attach import attach
from chatdit.tools.runtime.ulysses import parts_of

TEXT = 6


def flux() -> Any:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=8, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=24, pooled_projection_dim=24, axes_dims_rope=(8, 12, 12),
    ).eval()  # fmt: skip


def answer(model: Any, text: int) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    axes = torch.meshgrid(torch.arange(1.0), torch.arange(8.0), torch.arange(16.0), indexing="ij")
    with torch.no_grad():
        found: Tensor = model(
            hidden_states=torch.randn(2, 128, 8, generator=draw),
            encoder_hidden_states=torch.randn(2, text, 24, generator=draw),
            pooled_projections=torch.randn(2, 24, generator=draw),
            timestep=torch.full((2,), 0.5),
            img_ids=torch.stack(axes, dim=-1).view(-1, 3),
            txt_ids=torch.zeros(text, 3),
            return_dict=False,
        )[0]
    return found


def shared(text: int, *, compiled: bool = False, attach_first: bool = False, **config: Any) -> dict[str, Any]:
    """A model on both processes beside the same model on one: errors with and without a policy, and the routes."""
    mesh = distributed.device_mesh.init_device_mesh("cpu", (1, 2), mesh_dim_names=("ring", "ulysses"))
    split = ContextParallelConfig(ulysses_degree=2, mesh=mesh, **config)
    alone, together = flux(), flux()
    dense = answer(alone, text)
    with attach(alone, Clear(radius=4), dense_below=0):
        sparse = answer(alone, text)
    if not attach_first:
        together.enable_parallelism(config=split)
    with attach(together, Clear(radius=4), dense_below=0) as attachment:
        if attach_first:
            together.enable_parallelism(config=split)
        if compiled:
            together.compile_repeated_blocks(fullgraph=True)
        error = (answer(together, text) - sparse).abs().max()
        calls = attachment.report().calls
    with attach(together, Clear(radius=4), dense_below=10_000) as attachment:
        dense_error = (answer(together, text) - dense).abs().max()
        dense_routes = {call.route for call in attachment.report().calls}
    after = (answer(together, text) - dense).abs().max()
    return {
        "effect": (sparse - dense).abs().max().item(),
        "error": error.item(),
        "dense_error": dense_error.item(),
        "after": after.item(),
        "routes": sorted({call.route for call in calls}),
        "dense_routes": sorted(dense_routes),
        "tokens": sorted({call.keys for call in calls}),
    }


def exchanged() -> dict[str, Any]:
    """Gathering and scattering alone, with gradients, of 5 text tokens behind a grid of 3 x 3."""

    class Config:
        ring_degree = 1

        def __init__(self) -> None:
            mesh = distributed.device_mesh.init_device_mesh("cpu", (2,), mesh_dim_names=("ulysses",))
            self._ulysses_mesh = mesh["ulysses"]
            self.context_parallel_config = self

    rank = distributed.get_rank()
    whole = torch.arange(2 * 4 * 14 * 3, dtype=torch.float64).view(2, 4, 14, 3)
    # grid tokens 0 to 8 and text tokens 9 to 13: the first device has five and three of them
    mine = [*range(5), *range(9, 12)] if rank == 0 else [*range(5, 9), *range(12, 14)]
    x = whole[:, :, mine].clone().requires_grad_()
    parts = parts_of(TokenLayout(3, 3, text_tokens=5, text="last"), Config(), x)
    assert not isinstance(parts, str), parts
    gathered = parts.gather(x)
    weights = torch.rand(whole.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    my_heads = slice(2 * rank, 2 * rank + 2)
    back = parts.scatter(gathered * weights[:, my_heads])
    back.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    return {
        "gathered": torch.equal(gathered, whole[:, my_heads]),
        "scattered": torch.equal(back, (whole * weights)[:, :, mine]),
        "gradient": torch.equal(x.grad, weights[:, :, mine]),
        "odd heads": parts_of(TokenLayout(3, 3), Config(), torch.zeros(1, 3, 5, 4)),
        "other length": parts_of(TokenLayout(3, 3), Config(), torch.zeros(1, 2, 9, 4)),
    }


def main() -> None:
    """Everything, and its results on stdout."""
    # diffusers asks how many accelerators there are, and a machine without one says 0
    torch.accelerator.device_count = lambda: 1
    # and which device the group speaks on, by the name of its backend
    distributed.init_process_group("cpu:gloo")
    found = {
        "rank": int(os.environ["RANK"]),
        "exchanged": exchanged(),
        "even": shared(TEXT),
        "attached first": shared(TEXT, attach_first=True),
        "uneven": shared(TEXT + 1, ulysses_anything=True),
        "compiled": shared(TEXT, compiled=True),
    }
    distributed.barrier()
    distributed.destroy_process_group()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
