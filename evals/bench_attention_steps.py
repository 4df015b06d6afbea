"""Time of a whole FLUX step, dense and with each image policy attached.

The architecture of FLUX.1-dev at full size with random weights: what is measured is time, never quality. Dense
is cuDNN's attention on a GPU. `tiny` runs the same code on a small model on the CPU, to see that it works.

Layout legend: L tokens, text and picture together.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from chatdit.evals.records import commit
from chatdit.kernels.errors import KernelError
from chatdit.kernels.policies.adaspa import AdaSpa
from chatdit.kernels.policies.clear import Clear
from chatdit.kernels.policies.draft import Draft
from chatdit.kernels.policies.geometry import Policy
from chatdit.kernels.policies.llsa import Llsa
from chatdit.kernels.policies.nabla import Nabla
from chatdit.kernels.policies.svg2 import Svg2
from chatdit.kernels.policies.vsa import Vsa
from chatdit.tools.runtime.attach import attach

if TYPE_CHECKING:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

Notify = Callable[[str, int, int], None]
SIDES = (2048, 4096)
TINY_SIDES = (256, 384)
STEPS, WARM_UP = 8, 4
"""Steps of a run, and how many of them are not timed: what policies leave dense or search in comes first."""

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "llsa": Llsa,
    "clear": Clear,
    "draft": Draft,
    "svg2": Svg2,
    "adaspa": lambda: AdaSpa(search_steps=(WARM_UP - 1,)),
    "nabla": Nabla,
    "vsa": Vsa,
}


def run(
    *,
    sides: Sequence[int] | None = None,
    policies: Sequence[str] = tuple(POLICIES),
    tiny: bool = False,
    notify: Notify = lambda what, done, total: None,
) -> dict[str, object]:
    """Time one step at each size of a square picture, in pixels; a JSON record.

    Raises RuntimeError without a CUDA device, unless `tiny`.
    """
    if not (tiny or torch.cuda.is_available()):
        raise RuntimeError("a step of the full-size FLUX needs a CUDA device: run it on one, or add --tiny")
    device = torch.device("cpu" if tiny else "cuda")
    sides = sides or (TINY_SIDES if tiny else SIDES)
    model = model_of(tiny, device)
    rows: list[dict[str, object]] = []
    for i, side in enumerate(sides):
        rows += _size(model, side, policies)
        notify("sizes", i + 1, len(sides))
    chosen = f" --policies {','.join(policies)}" if tuple(policies) != tuple(POLICIES) else ""
    return {
        "benchmark": "attention_steps",
        "command": f"chatdit bench attention-steps --sides {','.join(map(str, sides))}{chosen}"
        f"{' --tiny' if tiny else ''} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "device": {"kind": device.type, "name": "cpu" if tiny else torch.cuda.get_device_name(device)},
        "versions": {name: metadata.version(name) for name in ("torch", "diffusers", "triton")},
        "model": {"class": "FluxTransformer2DModel", "size": "tiny" if tiny else "FLUX.1-dev", "weights": "random",
                  "dtype": str(model.dtype).removeprefix("torch."), "batch": 1},
        "timing": {"steps": STEPS, "not_timed": WARM_UP, "statistic": "median"},
        "rows": rows,
    }  # fmt: skip


def _size(model: FluxTransformer2DModel, side: int, policies: Sequence[str]) -> list[dict[str, object]]:
    arguments = arguments_of(model, side // 16)
    tokens = sum(arguments[name].shape[1] for name in ("hidden_states", "encoder_hidden_states"))
    ms_dense, spread = timed(lambda: step(model, arguments), model.device)
    share = _attention_ms(model, tokens) / ms_dense
    rows: list[dict[str, object]] = [
        {"policy": "dense", "side": side, "tokens": tokens, "ms": ms_dense, "ms_spread": spread, "ms_dense": ms_dense,
         "ratio": 1.0, "attention_share_of_dense": round(share, 3), "density": 1.0}
    ]  # fmt: skip
    for name in policies:
        row: dict[str, object] = {"policy": name, "side": side, "tokens": tokens, "ms_dense": ms_dense}
        try:
            rows.append(row | _attached(model, arguments, POLICIES[name](), ms_dense))
        except (KernelError, torch.OutOfMemoryError) as error:
            rows.append(row | {"failed": str(error).splitlines()[0][:200]})
            _release(model.device)
    return rows


def _attached(
    model: FluxTransformer2DModel, arguments: Mapping[str, Any], policy: Policy, ms_dense: float
) -> dict[str, object]:
    with attach(model, policy, dense_below=0) as attachment:
        attachment.begin(steps=STEPS)
        for _ in range(WARM_UP):
            step(model, arguments)
        attachment.clear()
        ms, spread = timed(lambda: step(model, arguments), model.device, warm_up=0)
        report = attachment.report()
    densities = [call.density for call in report.calls if call.density is not None]
    reasons = sorted({call.reason for call in report.calls if call.route != "sparse"})
    return {
        "ms": ms,
        "ms_spread": spread,
        "ratio": round(ms_dense / ms, 3),
        "density": round(statistics.fmean(densities), 4) if densities else 1.0,
        "sparse_calls": report.count("sparse") // (STEPS - WARM_UP),
        "dense_calls": report.count("dense") // (STEPS - WARM_UP),
        **({"reasons": reasons} if reasons else {}),
    }


@torch.no_grad()
def step(model: FluxTransformer2DModel, arguments: Mapping[str, Any]) -> Tensor:
    """The velocity (1, N, E) of one step."""
    with _dense_backend(model.device):
        output: Tensor = model(**arguments, return_dict=False)[0]
    return output


@torch.no_grad()
def _attention_ms(model: FluxTransformer2DModel, tokens: int) -> float:
    """Dense attention of all layers of one step."""
    heads, width = int(model.config["num_attention_heads"]), int(model.config["attention_head_dim"])
    q, k, v = torch.randn(3, 1, heads, tokens, width, device=model.device, dtype=model.dtype)

    def once() -> Tensor:
        with _dense_backend(model.device):
            return F.scaled_dot_product_attention(q, k, v)

    layers = int(model.config["num_layers"]) + int(model.config["num_single_layers"])
    return layers * timed(once, model.device)[0]


@contextmanager
def _dense_backend(device: torch.device) -> Iterator[None]:
    """cuDNN's attention on a GPU, with flash attention for what it does not take."""
    if device.type != "cuda":
        yield
        return
    with sdpa_kernel([SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION], set_priority=True):
        yield


def timed(once: Callable[[], Tensor], device: torch.device, *, warm_up: int = 2) -> tuple[float, float]:
    """Median and range in ms of as many calls as a run has timed steps."""
    for _ in range(warm_up):
        once()
    found = []
    for _ in range(STEPS - WARM_UP):
        _wait(device)
        started = time.perf_counter()
        once()
        _wait(device)
        found.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(found), 3), round(max(found) - min(found), 3)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _release(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def model_of(tiny: bool, device: torch.device) -> FluxTransformer2DModel:
    """FLUX.1-dev's architecture, or a small one, with random weights made on the device."""
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    size: dict[str, Any] = {"guidance_embeds": True}  # the class's own defaults are FLUX.1-dev's
    if tiny:
        size = {
            "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 32, "num_attention_heads": 2,
            "joint_attention_dim": 64, "pooled_projection_dim": 32, "axes_dims_rope": (8, 12, 12),
            "guidance_embeds": True,
        }  # fmt: skip
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32 if tiny else torch.bfloat16)
    try:
        with device:
            model: FluxTransformer2DModel = FluxTransformer2DModel(**size)
    finally:
        torch.set_default_dtype(before)
    return model.eval().requires_grad_(False)


def arguments_of(model: FluxTransformer2DModel, grid: int) -> dict[str, Any]:
    """Inputs of one step at a picture of grid x grid tokens, 512 text tokens (16 for a tiny model)."""
    text = 512 if int(model.config["joint_attention_dim"]) == 4096 else 16
    options: dict[str, Any] = {"device": model.device, "dtype": model.dtype}
    ids = torch.zeros(grid, grid, 3)
    ids[..., 1], ids[..., 2] = torch.arange(grid)[:, None], torch.arange(grid)[None]
    return {
        "hidden_states": torch.randn(1, grid * grid, int(model.config["in_channels"]), **options),
        "encoder_hidden_states": torch.randn(1, text, int(model.config["joint_attention_dim"]), **options),
        "pooled_projections": torch.randn(1, int(model.config["pooled_projection_dim"]), **options),
        "timestep": torch.full((1,), 0.5, **options),
        "guidance": torch.full((1,), 3.5, **options),
        "img_ids": ids.view(-1, 3).to(model.device),
        "txt_ids": torch.zeros(text, 3, device=model.device),
    }
