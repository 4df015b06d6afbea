"""The one place that touches diffusers' attention dispatch: a backend of our own beside its closed list.

diffusers 0.36 to 0.42 let no one register a backend under a new name, so this makes a member of its enum by
hand and enters it in the registry's dictionaries; the members that diffusers lists stay as they are. The
backend is set processor by processor: `model.set_attention_backend` would also change what every other model
of the process uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from torch import Tensor, nn

from chatdit.tools.types import ToolError

SUPPORTED = ((0, 36), (0, 43))
"""From the first version on, before the second."""

SDPA_BACKENDS = frozenset(
    {"native", "_native_cudnn", "_native_efficient", "_native_flash", "_native_math", "_native_npu", "_native_xla"}
)
"""Those that end in torch's scaled dot product attention."""

DispatchedCall = Callable[..., Tensor]
"""(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa, _parallel_config), each (B, L, H, D)."""


def attention_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Every attention module of diffusers in the model, by its full name."""
    from diffusers.models.attention import AttentionModuleMixin
    from diffusers.models.attention_processor import Attention, MochiAttention

    for name, module in model.named_modules():
        if isinstance(module, Attention | MochiAttention | AttentionModuleMixin):
            yield name, cast(nn.Module, module)


def processor_of(module: nn.Module) -> Any:
    """The object that computes the attention of a module."""
    return cast(Any, module).processor


def dispatches(module: nn.Module) -> bool:
    """Whether a module's attention goes through diffusers' dispatch, so that a backend can be chosen for it."""
    return hasattr(processor_of(module), "_attention_backend")


def register_backend(name: str, compute: DispatchedCall) -> Any:
    """A new member of diffusers' enum of backends, whose calls `compute` answers.

    Raises:
        ToolError: this version of diffusers is built otherwise.
    """
    dispatch = _checked_dispatch()
    member = str.__new__(dispatch.AttentionBackendName, name)
    member._name_, member._value_ = name.upper(), name
    # context parallelism is our own (ulysses.py), and what is not sparse goes back to the backend chosen before
    dispatch._AttentionBackendRegistry.register(member, supports_context_parallel=True)(compute)
    return member


def remove_backend(member: Any) -> None:
    """Forget a member made by `register_backend`."""
    registry = _checked_dispatch()._AttentionBackendRegistry
    for table in (registry._backends, registry._constraints, registry._supported_arg_names):
        table.pop(member, None)
    registry._supports_context_parallel.discard(member.value)


def backend_name(chosen: Any) -> str:
    """What a processor's backend is called; None stands for the one that is active in the process."""
    if chosen is None:
        chosen = _checked_dispatch()._AttentionBackendRegistry._active_backend
    return str(getattr(chosen, "value", chosen))


def dispatch_to(chosen: Any, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """The call as diffusers makes it with the backend `chosen`, or with the active one for None."""
    dispatch = _checked_dispatch()
    parallel = options.pop("_parallel_config", None)
    out: Tensor = dispatch.dispatch_attention_fn(query, key, value, **options, backend=chosen, parallel_config=parallel)
    return out


def _checked_dispatch() -> Any:
    import diffusers
    from diffusers.models import attention_dispatch

    version = tuple(int(part) for part in diffusers.__version__.split(".")[:2])
    low, high = (".".join(map(str, bound)) for bound in SUPPORTED)
    if not SUPPORTED[0] <= version < SUPPORTED[1]:
        raise ToolError(f"diffusers is {diffusers.__version__}; policies attach to {low} up to, not including, {high}")
    registry = getattr(attention_dispatch, "_AttentionBackendRegistry", None)
    tables = (
        *("_backends", "_constraints", "_supported_arg_names", "_supports_context_parallel", "_active_backend"),
        "register",
    )
    missing = [name for name in tables if not hasattr(registry, name)]
    if missing:
        raise ToolError(f"diffusers {diffusers.__version__} has no {missing[0]} in its attention registry; update")
    return attention_dispatch
