"""Half precision: timesteps stay exact, the embedding of time stays float32, pictures stay close."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from chatdit.tools.dit.model import DiT, Row, Segment
from chatdit.tools.dit.precision import to_precision, with_exact_time

CPU = torch.device("cpu")


def embedded(dit: DiT, times: Tensor, *, exact: bool) -> Tensor:
    """What the model makes of each time (T,), as seen at the output of `time_text_embed`."""
    seen: list[Tensor] = []

    def see(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(output)

    hook = dit.transformer.time_text_embed.register_forward_hook(see)
    pooled = torch.zeros(len(times), 32)
    with torch.no_grad():
        dit.transformer(
            hidden_states=torch.zeros(len(times), 1, 256, dtype=dit.dtype),
            encoder_hidden_states=torch.zeros(len(times), 1, 32, dtype=dit.dtype),
            pooled_projections=with_exact_time(pooled, times, dit.dtype) if exact else pooled,
            timestep=times,
            img_ids=torch.zeros(1, 3),
            txt_ids=torch.zeros(1, 3),
        )
    hook.remove()
    return seen[0]


def test_close_timesteps_stay_apart_in_bf16(pocket_folder: Path) -> None:
    half, full = (DiT.load(pocket_folder, device="cpu", dtype=d) for d in ("bf16", "fp32"))
    times = torch.linspace(0.5, 1.0, 201)
    truth = embedded(full, times, exact=True)
    errors = {exact: (embedded(half, times, exact=exact).float() - truth).abs().max() for exact in (True, False)}
    assert errors[True] < errors[False] / 4
    rounding = (truth.bfloat16().float() - truth).abs().max()
    assert errors[True] <= 1.01 * rounding


def test_only_the_embedding_of_time_keeps_float32(pocket_folder: Path) -> None:
    dit = DiT.load(pocket_folder, device="cpu", dtype="bfloat16")
    kept = {name for name, p in dit.transformer.named_parameters() if p.dtype == torch.float32}
    assert kept == {name for name, _ in dit.transformer.named_parameters() if name.startswith("time_text_embed.")}
    assert set(dit.transformer.state_dict()) == set(DiT.load(pocket_folder).transformer.state_dict())


def test_bf16_draws_nearly_the_same_picture(pocket_folder: Path, pocket: DiT) -> None:
    row = Row("a cat", (Segment(64, 64),), seed=1)
    half = DiT.load(pocket_folder, device="cpu", dtype="bf16").sample([row])[0].images[0]
    full = pocket.sample([row])[0].images[0]
    assert 0 < (half - full).abs().mean() < 0.02


def test_float32_is_left_as_it_was(pocket: DiT) -> None:
    pooled = torch.zeros(2, 32)
    assert with_exact_time(pooled, torch.ones(2), torch.float32) is pooled
    before = len(pocket.transformer.time_text_embed._forward_pre_hooks)
    to_precision(pocket.transformer, CPU, torch.float32)
    assert len(pocket.transformer.time_text_embed._forward_pre_hooks) == before == 0
