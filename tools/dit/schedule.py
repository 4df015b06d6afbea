"""Noise levels of a call: FlowMatchEulerDiscreteScheduler's, shifted as FluxPipeline shifts them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from torch import Tensor

from chatdit.tools.types import ToolError


def reshifted(level: float, shift: float, power: float) -> float:
    """The level of a schedule shifted by `shift` to the `power` when the one shifted by `shift` stands at `level`.

    It is 0 for a power of minus infinity.
    """
    if power == -math.inf:
        return 0.0
    return level / (level + math.pow(shift, 1 - power) * (1 - level))


def shift_of(config: Mapping[str, object], tokens: int, shift: float | None) -> float:
    """The shift of a call: `shift` itself, or that of the scheduler for a number of image tokens."""
    if shift is not None:
        return shift
    scheduler = cast(FlowMatchEulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler.from_config(dict(config)))
    if scheduler.config["use_dynamic_shifting"]:
        return math.exp(_mu(scheduler, tokens))
    return float(cast(float, scheduler.shift))


def noise_levels(config: Mapping[str, object], steps: int, tokens: int, shift: float | None) -> list[float]:
    """`steps` + 1 falling levels sigma from at most 1 down to 0.

    x = (1 - sigma) picture + sigma noise. `shift` None keeps the scheduler's own: a constant, or
    one that grows with the number of image tokens (exponential shift with mu = ln shift).

    Raises:
        ToolError: the scheduler is not a deterministic flow-match Euler one.
    """
    name = config.get("_class_name", FlowMatchEulerDiscreteScheduler.__name__)
    if name != FlowMatchEulerDiscreteScheduler.__name__ or config.get("stochastic_sampling"):
        raise ToolError(f"the model's scheduler is {name}; only a deterministic FlowMatchEulerDiscreteScheduler works")
    # a scheduler keeps the state of a call, so every call makes its own
    scheduler = cast(FlowMatchEulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler.from_config(dict(config)))
    sigmas = np.linspace(1.0, 1 / steps, steps).tolist()
    if scheduler.config["use_dynamic_shifting"]:
        scheduler.set_timesteps(sigmas=sigmas, mu=_mu(scheduler, tokens) if shift is None else math.log(shift))
    else:
        scheduler.set_shift(scheduler.shift if shift is None else shift)
        scheduler.set_timesteps(sigmas=sigmas)
    return [float(s) for s in cast(Tensor, scheduler.sigmas)]


def _mu(scheduler: FlowMatchEulerDiscreteScheduler, tokens: int) -> float:
    c = scheduler.config
    slope = (c["max_shift"] - c["base_shift"]) / (c["max_image_seq_len"] - c["base_image_seq_len"])
    return float(c["base_shift"] + slope * (tokens - c["base_image_seq_len"]))
