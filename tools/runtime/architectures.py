"""Where text and picture stand in a model's sequence, read from the arguments of its call.

One entry for each architecture that is known; others are described by the caller. Nothing is read from the
device but Flux's position ids, and those once for each tensor of ids.

Layout legend: L tokens of a sequence, N = F·H·W tokens of the grid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from chatdit.kernels.plan.block_axis import Segment
from chatdit.kernels.policies.geometry import Geometry
from chatdit.tools.types import ToolError

Arguments = Mapping[str, object]
"""A model call's arguments by name."""


@dataclass(frozen=True)
class TokenLayout:
    """A grid of `frames` x `height` x `width` tokens in raster order, and text before or behind it.

    `text_masks` promises that boolean key masks of the model hide text alone; without it masked calls stay dense.
    """

    height: int
    width: int
    frames: int = 1
    text_tokens: int = 0
    text: Literal["first", "last"] = "first"
    text_masks: bool = False

    def geometry(self, tokens: int) -> Geometry | None:
        """The geometry of a sequence of so many tokens: grid and text, or the grid alone; None for others."""
        body = self.frames * self.height * self.width
        if tokens == body:
            return Geometry(self.height, self.width, self.frames)
        if tokens != body + self.text_tokens:
            return None
        start = 0 if self.text == "first" else body
        return Geometry(self.height, self.width, self.frames, (Segment(start, start + self.text_tokens),))


@dataclass(frozen=True)
class Architecture:
    """Full names of a model's self-attention modules over the picture, and how its arguments give the layout.

    `layout` answers with a reason where the arguments do not describe one grid. Where it has to read a tensor's
    values, `reads` names that argument, so that they are read once for each tensor.
    """

    self_attention: re.Pattern[str]
    layout: Callable[[Arguments, Mapping[str, object]], TokenLayout | str]
    reads: str | None = None


def architecture_of(model: torch.nn.Module) -> Architecture | None:
    """The table's entry for a model's class or one of its bases."""
    return next((ARCHITECTURES[kind.__name__] for kind in type(model).__mro__ if kind.__name__ in ARCHITECTURES), None)


def described(layout: TokenLayout | Callable[[Arguments], TokenLayout | str]) -> Architecture:
    """An architecture that the caller describes: any attention module whose sequence has the layout's length."""
    if isinstance(layout, TokenLayout):
        return Architecture(re.compile(".*"), lambda arguments, config: layout)
    return Architecture(re.compile(".*"), lambda arguments, config: layout(arguments))


def panels_of(ids: Tensor) -> list[tuple[int, int]] | None:
    """Rows and columns of each raster that position ids (N, 3), on the CPU, run through; None if they do not.

    Coordinates are panel, row, column. A raster that goes on in the next row of the same columns is one.
    """
    found, place = [], ids.to(torch.int64)
    while len(place):
        panel, row, column = place[0].tolist()
        along = torch.arange(len(place))
        same_row = (place[:, 0] == panel) & (place[:, 1] == row) & (place[:, 2] == column + along)
        width = _leading(same_row)
        expected = torch.stack([torch.full_like(along, panel), row + along // width, column + along % width], dim=1)
        covered = _leading((place == expected).all(dim=1))
        if covered % width:
            return None
        found.append((covered // width, width))
        place = place[covered:]
    return found


def _leading(holds: Tensor) -> int:
    """How many entries from the first on are True."""
    return int(holds.to(torch.uint8).cumprod(0).sum())


def _as_frames(panels: Sequence[tuple[int, int]]) -> tuple[int, int, int] | None:
    """Panels of one size, as frames, rows and columns."""
    return (len(panels), *panels[0]) if len(set(panels)) == 1 else None


def _flux(arguments: Arguments, config: Mapping[str, object]) -> TokenLayout | str:
    ids = _tensor(arguments, "img_ids")
    panels = panels_of((ids[0] if ids.dim() == 3 else ids).cpu())
    grid = _as_frames(panels) if panels else None
    if grid is None:
        return f"img_ids run through panels of {panels or 'no raster'}; policies need panels of one size"
    return TokenLayout(grid[1], grid[2], grid[0], _text_tokens(arguments))


def _qwen(arguments: Arguments, config: Mapping[str, object]) -> TokenLayout | str:
    shapes = arguments.get("img_shapes")
    if not isinstance(shapes, Sequence) or not shapes:
        return "img_shapes is missing; it says how large the picture is"
    samples = {tuple(map(tuple, [s] if isinstance(s[0], int) else s)) for s in shapes}
    sizes = {shape[1:] for sample in samples for shape in sample}
    if len(samples) > 1 or len(sizes) > 1:
        return f"img_shapes holds {sorted(samples)}; policies need panels of one size, equal in the batch"
    (sample,) = samples
    frames = sum(shape[0] for shape in sample)
    _, height, width = sample[0]
    return TokenLayout(height, width, frames, _text_tokens(arguments), text_masks=True)


def _sd3(arguments: Arguments, config: Mapping[str, object]) -> TokenLayout | str:
    height, width = _tensor(arguments, "hidden_states").shape[-2:]
    patch = _number(config, "patch_size")
    return TokenLayout(height // patch, width // patch, 1, _text_tokens(arguments), "last")


def _wan(arguments: Arguments, config: Mapping[str, object]) -> TokenLayout | str:
    sides = _tensor(arguments, "hidden_states").shape[-3:]
    patch = config["patch_size"]
    assert isinstance(patch, Sequence)
    frames, height, width = (side // int(p) for side, p in zip(sides, patch, strict=True))
    return TokenLayout(height, width, frames)


def _hunyuan(arguments: Arguments, config: Mapping[str, object]) -> TokenLayout | str:
    frames, height, width = _tensor(arguments, "hidden_states").shape[-3:]
    patch, depth = _number(config, "patch_size"), _number(config, "patch_size_t")
    text = _text_tokens(arguments)
    return TokenLayout(height // patch, width // patch, frames // depth, text, "last", text_masks=True)


def _cogvideox(arguments: Arguments, config: Mapping[str, object]) -> TokenLayout | str:
    frames, _, height, width = _tensor(arguments, "hidden_states").shape[-4:]
    patch = _number(config, "patch_size")
    depth = _number(config, "patch_size_t") if config.get("patch_size_t") is not None else 1
    return TokenLayout(height // patch, width // patch, -(-frames // depth), _text_tokens(arguments))


def _ltx(arguments: Arguments, config: Mapping[str, object]) -> TokenLayout | str:
    sides = [arguments.get(name) for name in ("height", "width", "num_frames")]
    if not all(isinstance(side, int) for side in sides):
        return "num_frames, height and width are not given to the model; they say how large the video is"
    height, width, frames = (int(str(side)) for side in sides)
    return TokenLayout(height, width, frames)


def _tensor(arguments: Arguments, name: str) -> Tensor:
    found = arguments.get(name)
    if not isinstance(found, Tensor):
        raise ToolError(f"the model was called with {name} = {type(found).__name__}; expected a tensor")
    return found


def _text_tokens(arguments: Arguments) -> int:
    return _tensor(arguments, "encoder_hidden_states").shape[1]


def _number(config: Mapping[str, object], name: str) -> int:
    return int(str(config[name]))


_STREAMS = re.compile(r"(single_)?transformer_blocks\.\d+\.attn")
_FIRST = re.compile(r"transformer_blocks\.\d+\.attn1")

ARCHITECTURES: dict[str, Architecture] = {
    "FluxTransformer2DModel": Architecture(_STREAMS, _flux, reads="img_ids"),
    "QwenImageTransformer2DModel": Architecture(_STREAMS, _qwen),
    "SD3Transformer2DModel": Architecture(re.compile(r"transformer_blocks\.\d+\.attn2?"), _sd3),
    "WanTransformer3DModel": Architecture(re.compile(r"blocks\.\d+\.attn1"), _wan),
    "HunyuanVideoTransformer3DModel": Architecture(_STREAMS, _hunyuan),
    "CogVideoXTransformer3DModel": Architecture(_FIRST, _cogvideox),
    "LTXVideoTransformer3DModel": Architecture(_FIRST, _ltx),
}
