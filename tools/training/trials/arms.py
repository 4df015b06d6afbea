"""The arms of the training trials: what differs from the plain training, and what each is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from chatdit.tools.training.trials.alignment import AlignmentRecipe

REFERENCE_PIXELS = 128


@dataclass(frozen=True)
class Arm:
    """One way to train; a width is a multiple of 64, the width of a head."""

    name: str
    optimiser: Literal["muon", "adamw"] = "muon"
    """Of the matrices in the blocks; all else is AdamW's."""
    matrix_rate: float = 1.5e-3
    other_rate: float = 1e-3
    width: int = 384
    blocks: tuple[int, int] = (1, 7)
    """Double and single ones."""
    alignment: AlignmentRecipe | None = None
    stages: tuple[tuple[int, float], ...] = ((REFERENCE_PIXELS, 1.0),)
    """Side in pixels and share of the steps, one after another."""
    length: float = 1.0
    """Image tokens that it sees, in those of the plain arm."""
    flat: float = 0.6
    """Share of the steps before the rates fall."""
    baseline: str | None = "plain"
    control: str | None = None
    """The arm with a shuffled teacher."""

    @property
    def pixels(self) -> int:
        """Side of the pictures that it is measured on, those it ends with."""
        return self.stages[-1][0]

    def steps(self, reference: int) -> int:
        """How many steps show as many image tokens as `reference` steps at 128 pixels, times its length."""
        tokens = sum(share * (pixels / REFERENCE_PIXELS) ** 2 for pixels, share in self.stages)
        return max(1, round(self.length * reference / tokens))

    def pixels_at(self, share: float) -> int:
        """Side of the pictures once `share` of the steps have passed."""
        end = 0.0
        for pixels, part in self.stages:
            end += part
            if share < end - 1e-9:
                return pixels
        return self.pixels


_REPA = AlignmentRecipe("repa")
_HASTE = AlignmentRecipe("haste")
_SRA = AlignmentRecipe("sra")


def _with_control(name: str, alignment: AlignmentRecipe, control: str) -> Arm:
    return Arm(name, alignment=alignment, control=control)


def _control(name: str, alignment: AlignmentRecipe) -> Arm:
    return Arm(name, alignment=replace(alignment, shuffled=True))


DEFAULT_ARMS: tuple[Arm, ...] = (
    Arm("plain", baseline=None),
    Arm("muon-3e-3", matrix_rate=3e-3),
    Arm("muon-6e-3", matrix_rate=6e-3),
    Arm("adamw-1e-3", optimiser="adamw", matrix_rate=1e-3),
    Arm("adamw-3e-3", optimiser="adamw", matrix_rate=3e-3),
    Arm("deep", width=256, blocks=(1, 19)),
    Arm("wide", width=512, blocks=(1, 3)),
    Arm("doubles", blocks=(3, 2)),
    _with_control("repa", _REPA, "repa-shuffled"),
    _control("repa-shuffled", _REPA),
    _with_control("haste-steps", replace(_HASTE, stop="share"), "haste-shuffled"),
    _with_control("haste-cosine", replace(_HASTE, stop="cosine"), "haste-shuffled"),
    _with_control("haste-always", _HASTE, "haste-always-shuffled"),
    _control("haste-shuffled", replace(_HASTE, stop="share")),
    _control("haste-always-shuffled", _HASTE),
    _with_control("sra", _SRA, "sra-shuffled"),
    _with_control("sra-token-axis", replace(_SRA, axis="token"), "sra-token-axis-shuffled"),
    _control("sra-shuffled", _SRA),
    _control("sra-token-axis-shuffled", replace(_SRA, axis="token")),
    Arm("256-only", stages=((256, 1.0),), length=2.0, baseline=None),
    Arm("128-then-256", stages=((128, 2 / 3), (256, 1 / 3)), length=2.0, baseline="256-only"),
)
ARMS = {arm.name: arm for arm in DEFAULT_ARMS}


def chosen_arms(names: Iterable[str] | None) -> tuple[Arm, ...]:
    """The arms of these names, all for None.

    Raises:
        ValueError: there is no arm of a name.
    """
    chosen = tuple(ARMS if names is None else names)
    unknown = [name for name in chosen if name not in ARMS]
    if unknown:
        raise ValueError(f"no arm is called {unknown[0][:40]!r}: expected some of {', '.join(ARMS)}")
    return tuple(ARMS[name] for name in chosen)


def small_arm(arm: Arm) -> Arm:
    """The same arm with a tiny model, for a machine without a GPU."""
    alignment = arm.alignment and replace(arm.alignment, block=1, teacher_block=2, attention_blocks=(2,))
    double = min(2, arm.blocks[0])
    return replace(arm, width=64 * max(1, arm.width // 256), blocks=(double, 1), alignment=alignment)
