"""Put a sparse attention policy on any diffusers model, and take it off again.

    with attach(model, Llsa()) as attachment:
        attachment.begin(steps=28)
        ...                             # sample
        print(attachment.report().table())

Models that go through diffusers' dispatch get a backend of our own; modules that call torch's scaled dot
product attention themselves are watched by a function mode that their own hooks enter and leave, so that what
gradient checkpointing runs again is routed too.

Layout legend: B batch, H heads, L tokens, D head dim.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from chatdit.kernels.policies.geometry import Policy
from chatdit.tools.dit.sparse_route import SparseAttention
from chatdit.tools.runtime import compiled_call, cost_model
from chatdit.tools.runtime.architectures import Arguments, TokenLayout, architecture_of, described
from chatdit.tools.runtime.diffusers_backend import (
    SDPA_BACKENDS,
    attention_modules,
    backend_name,
    dispatch_to,
    dispatches,
    processor_of,
    register_backend,
    remove_backend,
)
from chatdit.tools.runtime.report import CoverageReport
from chatdit.tools.runtime.router import CallOptions, Router, Site
from chatdit.tools.types import ToolError

LAYER = "_chatdit_layer"
"""Attribute of an attached module: its number as a CPU tensor, which a compiled block takes as an input."""

_numbers = itertools.count()


def attach(
    model: nn.Module,
    policy: Policy,
    *,
    geometry: TokenLayout | Callable[[Arguments], TokenLayout | str] | None = None,
    dense_below: int | None = None,
) -> Attachment:
    """Route the model's attention over the picture through `policy` until `detach`.

    `geometry` says where text and grid stand, for models that are not in the table of architectures: a layout,
    or a function of the call's arguments. `dense_below` is the number of tokens from which calls are sparse;
    None asks the cost model for this policy and device. To compile, compile the repeated blocks of the model.

    Raises:
        ToolError: the model has a policy already, is unknown and comes without geometry, has no attention of
            diffusers, or this diffusers is not one that policies attach to.
    """
    architecture = described(geometry) if geometry is not None else architecture_of(model)
    if architecture is None:
        raise ToolError(f"where text and picture stand in a {type(model).__name__} is not known; say it with geometry=")
    modules = list(attention_modules(model))
    if not modules:
        raise ToolError(f"{type(model).__name__} has no attention module of diffusers; nothing to attach to")
    for name, module in modules:
        _refuse_attached(name, module)
    device = next(iter(model.parameters())).device
    name = cost_model.name_of(policy)
    pays = cost_model.crossover(name, device.type)
    if dense_below is not None:
        pays = cost_model.Crossover(dense_below, "as asked")
    layers = itertools.count()
    sites = [Site(name, next(layers) if architecture.self_attention.fullmatch(name) else None) for name, _ in modules]
    router = Router(SparseAttention(name, policy, pays.tokens, pays.origin, pays.width), architecture, sites, model)
    return Attachment(model, router, [module for _, module in modules])


def _refuse_attached(name: str, module: nn.Module) -> None:
    if LAYER in module.__dict__:
        raise ToolError(f"{name or 'the model'} has a sparse policy attached already: detach that one first")
    backend = getattr(processor_of(module), "_attention_backend", None)
    if backend_name(backend).startswith("_chatdit_"):
        raise ToolError(f"{name} shares its attention processor with a model that has a policy: detach that one first")


@dataclass
class _Place:
    """What an attached module was like before."""

    module: nn.Module
    processor: Any
    backend: Any = None
    dispatching: bool = False
    seen: list[int] = field(default_factory=list)


class Attachment:
    """A policy at work in a model; made by `attach`. One forward at a time, like the model itself."""

    def __init__(self, model: nn.Module, router: Router, modules: list[nn.Module]) -> None:
        self.attached = True
        self._router = router
        self._layer = torch.tensor(-1)
        self._mode = _SdpaMode(self)
        self._number = next(_numbers)
        self._places = [_Place(m, processor_of(m), dispatching=dispatches(m)) for m in modules]
        self._member = register_backend(f"_chatdit_{self._number}", self._dispatched)
        compiled_call.announce(self._number, self._compute)
        self._handles: list[RemovableHandle] = []
        self._install(model)

    def begin(self, steps: int, passes: int = 1) -> None:
        """Start a sampling run of so many steps, with `passes` calls of the model in each.

        The step that policies hear of is a count of the model's calls since then; two passes a step are what
        pipelines do that compute guidance in a call of its own, and each pass has a policy of its own. Without
        a run each call counts as the only step of one. Raises ToolError for numbers below 1.
        """
        self._router.begin(steps, passes)

    def report(self) -> CoverageReport:
        """Every attention call since attaching, with its route and the reason."""
        return CoverageReport(self._router.sparse.name, self._router.log.calls(), tuple(self._notes()))

    def clear(self) -> None:
        """Empty the report."""
        self._router.log.clear()

    def detach(self, *, force: bool = False) -> None:
        """Take the policy off; the model computes as before, bit for bit.

        Raises:
            ToolError: it is off already, or a backend or processor was changed after attaching. With `force`
                such changes stay as they are.
        """
        if not self.attached:
            raise ToolError("this policy is detached already")
        changed = [site.name for site, place in self._sites() if self._changed(place)]
        if changed and not force:
            raise ToolError(
                f"the attention backend or processor of {changed[0]} was changed after attaching: set it back, or "
                "detach(force=True), which leaves it as it is now"
            )
        self.attached = False
        for handle in self._handles:
            handle.remove()
        for place in self._places:
            del place.module.__dict__[LAYER]
            if place.dispatching and not self._changed(place):
                _set_backend(place)
        compiled_call.withdraw(self._number)
        remove_backend(self._member)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.attached:
            self.detach(force=error is not None)

    def _install(self, model: nn.Module) -> None:
        self._handles.append(model.register_forward_pre_hook(self._enter_model, with_kwargs=True))
        self._handles.append(model.register_forward_hook(self._leave_model))
        first = RemovableHandle.next_id
        for number, place in enumerate(self._places):
            setattr(place.module, LAYER, torch.tensor(number))
            # Compiled blocks are guarded by the numbers of their hooks: equal ones let all layers share a graph.
            RemovableHandle.next_id = first
            self._handles.append(place.module.register_forward_pre_hook(self._enter))
            self._handles.append(place.module.register_forward_hook(self._leave, always_call=True))
            if place.dispatching:
                # an instance without a value of its own shows that of its class
                place.backend = vars(place.processor).get("_attention_backend", _CLASS_VALUE)
                place.processor._attention_backend = self._member

    def _sites(self) -> list[tuple[Site, _Place]]:
        return list(zip(self._router.sites, self._places, strict=True))

    def _changed(self, place: _Place) -> bool:
        if processor_of(place.module) is not place.processor:
            return True
        return place.dispatching and place.processor._attention_backend is not self._member

    def _notes(self) -> list[str]:
        chosen = {backend_name(_previous(place)) for place in self._places if place.dispatching}
        return [
            f"backend {name!r} was chosen before attaching: it computes what is not sparse" for name in sorted(chosen)
            if name not in SDPA_BACKENDS
        ]  # fmt: skip

    def _enter_model(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._router.enter(model, args, kwargs)

    def _leave_model(self, model: nn.Module, args: tuple[Any, ...], output: object) -> None:
        self._router.leave(output)

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._layer = getattr(module, LAYER)
        if not dispatches(module):
            self._mode.__enter__()  # type: ignore[no-untyped-call]
        if not torch.compiler.is_compiling():
            self._places[int(self._layer)].seen.append(self._router.log.total)

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: object) -> None:
        if not dispatches(module):
            self._mode.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        if torch.compiler.is_compiling():
            return
        number = int(getattr(module, LAYER))
        place = self._places[number]
        if self._router.log.total == place.seen.pop():
            self._router.log.add_unseen(self._router.sites[number].name, self._why_unseen(place))

    def _why_unseen(self, place: _Place) -> str:
        if place.dispatching and self._changed(place):
            now = backend_name(getattr(processor_of(place.module), "_attention_backend", None))
            return f"backend {now!r} was chosen after attaching: attach again to route it"
        return f"{type(processor_of(place.module)).__name__} does not call torch's scaled dot product attention"

    def _dispatched(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
        _parallel_config: Any = None,
    ) -> Tensor:
        """What diffusers' dispatch calls, with tensors of (B, L, H, D)."""
        options = CallOptions(attn_mask, dropout_p, is_causal, scale, _parallel_config is not None)
        query, key, value = _autocast(query, key, value)
        if torch.compiler.is_compiling():
            return compiled_call.call(self._number, self._layer, query, key, value, options, enable_gqa)
        return self._compute(int(self._layer), query, key, value, options, enable_gqa)

    def routed(self, q: Tensor, k: Tensor, v: Tensor, options: CallOptions) -> Tensor | None:
        """What the function mode asks: the output (B, H, L, D), or None for what stays as it is."""
        return self._router.attend(int(self._layer), q, k, v, options)

    def compiled(self, q: Tensor, k: Tensor, v: Tensor, options: CallOptions, gqa: bool) -> Tensor:
        """The same from inside a compiled block: always an output."""
        q, k, v = (x.permute(0, 2, 1, 3) for x in (q, k, v))
        return compiled_call.call(self._number, self._layer, q, k, v, options, gqa).permute(0, 2, 1, 3)

    def _compute(
        self, number: int, query: Tensor, key: Tensor, value: Tensor, options: CallOptions, gqa: bool
    ) -> Tensor:
        q, k, v = (x.permute(0, 2, 1, 3) for x in (query, key, value))
        if options.shared:
            out = self._compute_shared(number, q, k, v, options, gqa)
        else:
            routed = self._router.attend(number, q, k, v, options)
            out = self._dense(number, q, k, v, options, gqa) if routed is None else routed
        return out.permute(0, 2, 1, 3)

    def _compute_shared(self, number: int, q: Tensor, k: Tensor, v: Tensor, options: CallOptions, gqa: bool) -> Tensor:
        # from the processor, since a compiled block's operator can't be given it
        parallel = self._places[number].processor._parallel_config
        parts = self._router.parts(number, q, k, options, parallel)
        if parts is None:
            return self._dense(number, q, k, v, options, gqa, parallel)
        q, k, v = (parts.gather(x) for x in (q, k, v))
        out = self._router.attend(number, q, k, v, options)
        return parts.scatter(self._dense(number, q, k, v, options, gqa) if out is None else out)

    def _dense(
        self, number: int, q: Tensor, k: Tensor, v: Tensor, options: CallOptions, gqa: bool, parallel: Any = None
    ) -> Tensor:
        place = self._places[number]
        chosen = _previous(place) if place.dispatching else "native"
        q, k, v = (x.permute(0, 2, 1, 3) for x in (q, k, v))
        out = dispatch_to(
            chosen, q, k, v, attn_mask=options.mask, dropout_p=options.dropout, is_causal=options.causal,
            scale=options.scale, enable_gqa=gqa, _parallel_config=parallel,
        )  # fmt: skip
        return out.permute(0, 2, 1, 3)


def _autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """As autocast gives them to torch's scaled dot product attention: all but fp64 in its dtype, where it is on."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    dtype = torch.get_autocast_dtype(device)
    return tuple(x if x.dtype == torch.float64 else x.to(dtype) for x in tensors)


_CLASS_VALUE = object()


def _previous(place: _Place) -> Any:
    return type(place.processor)._attention_backend if place.backend is _CLASS_VALUE else place.backend


def _set_backend(place: _Place) -> None:
    if place.backend is _CLASS_VALUE:
        del place.processor._attention_backend
    else:
        place.processor._attention_backend = place.backend


class _SdpaMode(TorchFunctionMode):
    """Routes the calls of torch's scaled dot product attention made while a module's hooks keep it entered."""

    def __init__(self, attachment: Attachment) -> None:
        super().__init__()
        self._attachment = attachment

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            out = self._route(*args, **kwargs)
            if out is not None:
                return out
        return func(*args, **kwargs)

    def _route(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor | None:
        options = CallOptions(attn_mask, dropout_p, is_causal, scale)
        query, key, value = _autocast(query, key, value)
        if torch.compiler.is_compiling():
            return self._attachment.compiled(query, key, value, options, enable_gqa)
        return self._attachment.routed(query, key, value, options)
