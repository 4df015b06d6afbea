"""How a person in a picture stands and what they wear, which no reader tells: found by drawing and comparing.

First a silhouette is laid over what the empty place does not explain; then clothes are tried on, and both are settled
together. Layout legend: H and W 256 pixels.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Literal

from torch import Tensor

from chatdit.tools.pocket.closer_look import placed
from chatdit.tools.pocket.figures import STANDING
from chatdit.tools.pocket.reading import Sighting
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import HAIRS, SKINS, Garment, Outfit, Placement, Scene
from chatdit.tools.pocket.sprite_fit import MARGIN, STEPS, Fit, Search, Stage, Window, moved
from chatdit.tools.pocket.vocabulary import BOTTOMS, GARMENT_TEXTURES, TINTS, TOPS

_LIMBS = ((0, 1), (2, 3), (4, 5), (6, 7))
"""Two joints each, as a pose has them: arms, then legs."""
_HEAD = 8
_ARM_POSES, _LEG_POSES = ((20, 60, 100, 140), (-10, 25, 60)), ((8, 20, 34), (-25, -5))
_TURNS = (6, 3)
"""Steps of a joint in each sweep after the first."""
_GARMENTS: Mapping[Literal["top", "bottom"], Mapping[str, Sequence[str]]] = {
    "top": {"colour": tuple(TINTS), "texture": GARMENT_TEXTURES, "kind": TOPS},
    "bottom": {"colour": tuple(TINTS), "texture": GARMENT_TEXTURES, "kind": BOTTOMS},
}
_UNDRESSED = Outfit(Garment(TOPS[0], "plain", "red"), Garment(BOTTOMS[0], "plain", "red"), 0, 0)


def best_figure(stage: Stage, picture: Tensor, sighting: Sighting, unlike: Tensor) -> Placement:
    """The person of a sighting as they fit picture (3, H, W), in [-1, 1], best.

    `unlike` is float (H, W): above 0 where a pixel speaks for the person, below where it speaks for the empty place.
    """
    start = replace(placed(sighting), worn=sighting.worn, outfit=_UNDRESSED, pose=STANDING)
    rough = _Silhouette(stage.renderer, replace(stage.scene, style="plain"), unlike).laid(start)
    search = Search(stage, picture, Window.around(sighting.box, MARGIN))
    fit = search.fit(rough)
    for step in STEPS[1:]:
        fit = search.settled(_dressed(search, fit), step)
    return fit.sprite


def _dressed(search: Search, fit: Fit) -> Fit:
    """The figure in the clothes, skin and hair that fit best, each in its turn."""
    for part, kinds in _GARMENTS.items():
        for field, values in kinds.items():
            outfit = _outfit(fit)
            garment: Garment = getattr(outfit, part)
            others = [replace(outfit, **{part: replace(garment, **{field: value})}) for value in values]  # type: ignore[arg-type]
            fit = search.better(fit, [replace(fit.sprite, outfit=other) for other in others])
    for field, count in (("skin", SKINS), ("hair", HAIRS)):
        others = [replace(_outfit(fit), **{field: number}) for number in range(count)]  # type: ignore[arg-type]
        fit = search.better(fit, [replace(fit.sprite, outfit=other) for other in others])
    return fit


def _outfit(fit: Fit) -> Outfit:
    assert fit.sprite.outfit is not None
    return fit.sprite.outfit


class _Silhouette:
    """A figure whose outline is laid over as much as possible of what speaks for it."""

    def __init__(self, renderer: Renderer, scene: Scene, unlike: Tensor) -> None:
        self._renderer, self._scene, self._unlike = renderer, scene, unlike

    def laid(self, figure: Placement) -> Placement:
        """The figure in the pose, and the kind of trousers, that cover the most."""
        for limb in _LIMBS:
            poses = product(*(_ARM_POSES if limb[0] < 4 else _LEG_POSES))
            figure = self._best([figure, *(_posed(figure, dict(zip(limb, pose, strict=True))) for pose in poses)])
        assert figure.outfit is not None
        bottoms = [replace(figure.outfit, bottom=replace(figure.outfit.bottom, kind=kind)) for kind in BOTTOMS]
        figure = self._best([replace(figure, outfit=outfit) for outfit in bottoms])
        for turn in _TURNS:
            moves = [(way, by) for way in ("left", "top", "side", "rotation", _HEAD) for by in (-2, 2)]
            figure = self._best([figure, *(moved(figure, way, by) for way, by in moves)])
            for first, second in _LIMBS:
                turns = product((-turn, 0, turn), repeat=2)
                figure = self._best([moved(moved(figure, first, a), second, b) for a, b in turns])
        return figure

    def _best(self, figures: Sequence[Placement]) -> Placement:
        drawn = self._renderer.render([self._scene] * len(figures), random.Random(0), [(f,) for f in figures])
        covers = [float((self._unlike * mask[0]).sum()) for mask in drawn.masks]
        return figures[max(range(len(figures)), key=covers.__getitem__)]


def _posed(figure: Placement, joints: Mapping[int, int]) -> Placement:
    return replace(figure, pose=tuple(joints.get(i, angle) for i, angle in enumerate(figure.pose)))
