"""What becomes of one attention call of an attached model.

The model's forward says where text and picture stand and which step it is; the module's hook says which layer.
Both stay in force after the forward, because gradient checkpointing runs blocks again during the backward.

Layout legend: B batch, H heads, L queries, K keys, T text tokens, D head dim; tensors are (B, H, L, D).
"""

from __future__ import annotations

import copy
import inspect
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from chatdit.kernels.plan.block_axis import segment_tokens
from chatdit.kernels.policies.geometry import Geometry, Place
from chatdit.tools.dit.sparse_route import SparseAttention, Where, route_call
from chatdit.tools.runtime.architectures import Architecture, TokenLayout
from chatdit.tools.runtime.report import CallLog, Route
from chatdit.tools.runtime.ulysses import Parts, parts_of
from chatdit.tools.types import ToolError


@dataclass(frozen=True)
class Site:
    """An attention module: its full name, and its number among those over the picture (None for the others)."""

    name: str
    layer: int | None


@dataclass(frozen=True)
class CallOptions:
    """What an attention call says besides q, k and v."""

    mask: Tensor | None = None
    dropout: float = 0.0
    causal: bool = False
    scale: float | None = None
    shared: bool = False
    """Whether q, k and v are this device's part of a sequence that several share (diffusers' context parallelism)."""


@dataclass(frozen=True)
class Frame:
    """One forward of the model: where its tokens stand (or why that is unknown), its step, its policy."""

    layout: TokenLayout | str
    step: Place
    sparse: SparseAttention


@dataclass
class _Run:
    """A sampling run: `passes` forwards a step, each pass with a policy of its own."""

    steps: int
    policies: list[SparseAttention]
    forwards: int = 0


class Router:
    """Decides and computes; one for each attached model, used by one forward at a time."""

    def __init__(
        self, sparse: SparseAttention, architecture: Architecture, sites: Sequence[Site], model: nn.Module
    ) -> None:
        self.sparse = sparse
        self.log = CallLog()
        self.sites = tuple(sites)
        self._architecture = architecture
        self._layers = sum(site.layer is not None for site in sites)
        self._signature = inspect.signature(type(model).forward)
        self._frame: Frame | None = None
        self._run: _Run | None = None
        self._read: tuple[weakref.ref[Tensor], int, TokenLayout | str] | None = None

    def begin(self, steps: int, passes: int) -> None:
        """A new sampling run: steps count from 0, and policies remember nothing of earlier runs."""
        if steps < 1 or passes < 1:
            raise ToolError(f"a run has {steps} steps of {passes} passes; both must be at least 1")
        self._run = _Run(steps, [_fresh(self.sparse) for _ in range(passes)])

    # A compiled graph would note step and geometry after its attention calls, so that they saw those of the last one.
    @torch.compiler.disable(  # type: ignore[no-untyped-call, untyped-decorator]
        reason="a policy is attached: compile the model's repeated blocks instead of the model"
    )
    def enter(self, model: nn.Module, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """A forward of the model begins. Raises ToolError when its run is over."""
        bound = self._signature.bind_partial(model, *args, **kwargs)
        config: Mapping[str, object] = getattr(model, "config", {})
        step, sparse = self._next_step()
        self._frame = Frame(self._layout(bound.arguments, config), step, sparse)

    def leave(self, output: object) -> None:
        """The forward ends; the backward through `output` comes back to its frame, whatever ran in between."""
        frame = self._frame
        for tensor in _tensors(output):
            if tensor.requires_grad:
                tensor.register_hook(lambda _: self._resume(frame))  # type: ignore[no-untyped-call]

    def attend(self, number: int, q: Tensor, k: Tensor, v: Tensor, options: CallOptions) -> Tensor | None:
        """The output of a call of site `number`, or None where the caller has to compute it as ever."""
        site, keys = self.sites[number], k.shape[2]
        reason = _not_ours(site, q, k, options)
        if reason is not None or site.layer is None:
            self.log.add(site.name, q, keys, "passed", reason or "")
            return None
        if self._frame is None:
            self.log.add(site.name, q, keys, "dense", "the module was called without its model: where text stands is "
                         "unknown")  # fmt: skip
            return None
        layout = self._frame.layout
        if isinstance(layout, str):
            self.log.add(site.name, q, keys, "dense", layout)
            return None
        geometry = layout.geometry(keys)
        reason = _unfit(geometry, layout, q, options.mask)
        if geometry is None or reason is not None:
            self.log.add(site.name, q, keys, "passed", reason or "")
            return None
        return self._sparse(site, q, k, v, geometry, options)

    def parts(self, number: int, q: Tensor, k: Tensor, options: CallOptions, parallel: Any) -> Parts | None:
        """Where the tokens of a call that several devices share stand; None where diffusers has to compute it."""
        site = self.sites[number]
        found: Parts | str | None = _not_ours(site, q, k, options)
        if found is None and options.mask is not None:
            found = "a mask over a sequence that several devices share"
        if found is None:
            layout = self._frame.layout if self._frame else "the module was called without its model"
            found = layout if isinstance(layout, str) else parts_of(layout, parallel, q)
        if isinstance(found, str):
            self.log.add(site.name, q, k.shape[2], "passed", found)
            return None
        return found

    def _sparse(
        self, site: Site, q: Tensor, k: Tensor, v: Tensor, geometry: Geometry, options: CallOptions
    ) -> Tensor | None:
        assert self._frame is not None and site.layer is not None
        where = Where(self._frame.step, Place(site.layer, self._layers))
        valid = None if options.mask is None else _text_of(options.mask, geometry)
        routed = route_call(q, k, v, self._frame.sparse, geometry, where, valid_text=valid, scale=options.scale)
        route: Route = "dense" if routed.out is None else "sparse"
        self.log.add(site.name, q, k.shape[2], route, routed.reason, routed.density)
        return routed.out

    def _resume(self, frame: Frame | None) -> None:
        self._frame = frame

    def _next_step(self) -> tuple[Place, SparseAttention]:
        run = self._run
        if run is None:
            return Place(0, 1), _fresh(self.sparse)
        step, branch = divmod(run.forwards, len(run.policies))
        if step >= run.steps:
            raise ToolError(
                f"the run of {run.steps} steps and {len(run.policies)} passes is over, and the model is called again: "
                "begin a new run, or say how many passes a step takes"
            )
        run.forwards += 1
        return Place(step, run.steps), run.policies[branch]

    def _layout(self, arguments: Mapping[str, object], config: Mapping[str, object]) -> TokenLayout | str:
        """The layout of a call; values of a tensor are read once for each tensor."""
        source = arguments.get(self._architecture.reads) if self._architecture.reads else None
        if not isinstance(source, Tensor):
            return self._architecture.layout(arguments, config)
        known = self._read
        if known is None or known[0]() is not source or known[1] != source._version:
            found = self._architecture.layout(arguments, config)
            self._read = (weakref.ref(source), source._version, found)
            return found
        text = arguments.get("encoder_hidden_states")
        if isinstance(known[2], TokenLayout) and isinstance(text, Tensor):
            return replace(known[2], text_tokens=text.shape[1])
        return known[2]


def _fresh(sparse: SparseAttention) -> SparseAttention:
    return replace(sparse, policy=copy.deepcopy(sparse.policy))


def _not_ours(site: Site, q: Tensor, k: Tensor, options: CallOptions) -> str | None:
    """Why a call is no self-attention over the picture that a policy could speak of."""
    if q.shape[2] != k.shape[2]:
        return f"cross-attention: {q.shape[2]:,} queries meet {k.shape[2]:,} keys"
    if site.layer is None:
        return "no attention layer over the picture"
    if q.shape[1] != k.shape[1]:
        return f"{q.shape[1]} heads of queries share {k.shape[1]} of keys; policies take one for each"
    if options.causal or options.dropout > 0:
        return "causal attention" if options.causal else "attention with dropout"
    return None


def _unfit(geometry: Geometry | None, layout: TokenLayout, q: Tensor, mask: Tensor | None) -> str | None:
    """Why a sequence or its mask is not what the layout describes."""
    if geometry is None:
        body = layout.frames * layout.height * layout.width
        return f"{q.shape[2]:,} tokens; the model's grid has {body:,}, its text {layout.text_tokens:,}"
    if mask is None:
        return None
    if mask.dtype != torch.bool:
        return f"a mask of {mask.dtype}; only boolean ones can become key lengths"
    per_key = (mask.dim() == 4 and mask.shape[1:3] == (1, 1)) or (mask.dim() == 2 and mask.shape[0] == q.shape[0])
    if not per_key or mask.shape[-1] != q.shape[2]:
        return f"a mask of shape {tuple(mask.shape)}, not one value for each key"
    if not layout.text_masks:
        return "a mask, and nothing says that it hides text alone"
    if not geometry.text:
        return "a mask over a sequence without text"
    if mask.device.type == "cpu" and not _body_of(mask, geometry).all():
        return "a mask that hides tokens of the picture"
    return None


def _text_of(mask: Tensor, geometry: Geometry) -> Tensor:
    """(B, T): which text keys may be seen."""
    return mask.flatten(1)[:, segment_tokens(geometry.text, mask.device)]


def _body_of(mask: Tensor, geometry: Geometry) -> Tensor:
    hides = torch.ones(geometry.length, dtype=torch.bool)
    hides[segment_tokens(geometry.text, mask.device)] = False
    return mask.flatten(1)[:, hides]


def _tensors(output: object) -> list[Tensor]:
    """Tensors of a model's output: a tensor, a tuple of them, or a diffusers output object."""
    if isinstance(output, Tensor):
        return [output]
    values: Iterable[object] = output.values() if isinstance(output, Mapping) else ()
    if isinstance(output, Sequence):
        values = output
    return [value for value in values if isinstance(value, Tensor)]
