"""What the blocks of a FLUX transformer compute while it runs, taken by forward hooks.

Blocks are numbered from 1, double ones first. Hooks stay for one forward, so that a copy of the model has none.
Layout legend: B batch, N image tokens, S tokens of a stream, H heads, D head dim, C width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

Rope = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Wanted:
    """Which blocks are looked at."""

    hidden: tuple[int, ...] = ()
    attention: tuple[int, ...] = ()


@dataclass
class Seen:
    """What was computed during one forward."""

    hidden: dict[int, Tensor] = field(default_factory=dict)
    """By block: hidden state (B, N, C) of the image tokens after it."""
    _queries: dict[int, Tensor] = field(default_factory=dict)
    _keys: dict[int, Tensor] = field(default_factory=dict)
    _ropes: dict[int, Rope] = field(default_factory=dict)

    def queries_and_keys(self, block: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Queries and keys (B, N, H, D) of the last `tokens` tokens, the image's, as the block's attention read them.

        Raises:
            KeyError: this block's attention was not wanted, or did not run.
        """
        rope = self._ropes[block][0][-tokens:], self._ropes[block][1][-tokens:]
        return _turned(self._queries[block][:, -tokens:], rope), _turned(self._keys[block][:, -tokens:], rope)


def blocks_of(transformer: FluxTransformer2DModel) -> list[nn.Module]:
    """All blocks in the order in which they run."""
    return [*transformer.transformer_blocks, *transformer.single_transformer_blocks]


@contextmanager
def captured(transformer: FluxTransformer2DModel, wanted: Wanted) -> Iterator[Seen]:
    """Look at the forward that runs inside. Blocks must not be compiled.

    Raises:
        ValueError: there is no block of that number.
    """
    seen = Seen()
    with ExitStack() as hooks:
        for number in wanted.hidden:
            hooks.callback(_block(transformer, number).register_forward_hook(_hidden(seen, number)).remove)
        for number in wanted.attention:
            for handle in _on_attention(_block(transformer, number).get_submodule("attn"), seen, number):
                hooks.callback(handle.remove)
        yield seen


def _block(transformer: FluxTransformer2DModel, number: int) -> nn.Module:
    blocks = blocks_of(transformer)
    if not 1 <= number <= len(blocks):
        raise ValueError(f"block {number} of {len(blocks)}: expected 1 to {len(blocks)}")
    return blocks[number - 1]


def _hidden(seen: Seen, number: int) -> Callable[[nn.Module, object, tuple[Tensor, Tensor]], None]:
    def hook(module: nn.Module, args: object, output: tuple[Tensor, Tensor]) -> None:
        seen.hidden[number] = output[1]

    return hook


def _on_attention(attention: nn.Module, seen: Seen, number: int) -> Iterator[RemovableHandle]:
    def before(module: nn.Module, args: object, named: Mapping[str, Any]) -> None:
        seen._ropes[number] = named["image_rotary_emb"]

    def keep(kept: dict[int, Tensor]) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, args: object, output: Tensor) -> None:
            kept[number] = output

        return hook

    yield attention.register_forward_pre_hook(before, with_kwargs=True)
    # normalised and not yet turned: the text's are normalised elsewhere or stand before the image's
    yield attention.get_submodule("norm_q").register_forward_hook(keep(seen._queries))
    yield attention.get_submodule("norm_k").register_forward_hook(keep(seen._keys))


def _turned(x: Tensor, rope: Rope) -> Tensor:
    turned: Tensor = apply_rotary_emb(x, rope, sequence_dim=1)  # type: ignore[arg-type, assignment]
    return turned
