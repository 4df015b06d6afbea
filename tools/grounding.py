"""Things in real pictures: Grounding DINO finds the boxes that a phrase names, SAM 2 the mask of a box or of points.

Both are loaded through transformers from folders on this machine that somebody named; nothing is ever downloaded.
Pictures are prepared here, since SAM 2's own processor needs torchvision, which is no dependency.
Layout legend: Q queries, T tokens, N prompts, M masks; boxes and points are in fractions of the picture.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from chatdit.tools.segment import GROUNDING_VARIABLE, SAM_VARIABLE
from chatdit.tools.types import Box, ToolError

if TYPE_CHECKING:
    from transformers import GroundingDinoForObjectDetection, PreTrainedTokenizerBase, Sam2Model

M = TypeVar("M")

SHORT_SIDE, LONG_SIDE = 800, 1333
"""Pixels to which Grounding DINO's pictures are scaled, as its own processor does."""
MIN_SCORE = 0.35
SAME_BOX = 0.7
"""Overlap, as a share of both together, from which on two boxes are of one thing."""
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours, which both models were trained on."""


@dataclass(frozen=True)
class GroundingFolders:
    """Where the two models lie; None for one that nobody named."""

    grounding: Path | None = None
    sam: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> GroundingFolders:
        """The folders that the environment names."""
        values = os.environ if environ is None else environ
        named = [Path(text).expanduser() if (text := values.get(n, "").strip()) else None for n in _VARIABLES]
        return cls(*named)

    @property
    def named(self) -> bool:
        """Whether anybody named one."""
        return self != GroundingFolders()


class Spotted(NamedTuple):
    """A box that a phrase names; `score` in [0, 1] is how sure the model is."""

    box: Box
    score: float


class Grounder:
    """Both models, each loaded when it is first needed."""

    def __init__(self, folders: GroundingFolders, device: torch.device | str = "cpu") -> None:
        self._folders, self._device = folders, torch.device(device)

    def check(self, *, phrase: bool) -> None:
        """Raises ToolError, in one line, unless every model that it takes is named; a phrase takes both."""
        missing = [_MODELS["sam"]] if self._folders.sam is None else []
        missing += [_MODELS["grounding"]] if phrase and self._folders.grounding is None else []
        if missing:
            raise ToolError(
                f"real pictures are cut out by models that nobody named: expected "
                f"{' and '.join(f'{v} to name a folder with {m}' for v, m in missing)}; "
                "get them from huggingface.co, set the variable, and ask again"
            )

    @torch.no_grad()
    def boxes(self, picture: Image.Image, phrase: str) -> list[Spotted]:
        """What `phrase` names in an RGB picture, the surest first.

        Raises:
            ToolError: the model is not there.
        """
        words = self._tokenizer(prompt(phrase), return_tensors="pt").to(self._device)
        pixels = _normalised(picture, _dino_size(picture.size))[None].to(self._device)
        ones = torch.ones(1, *pixels.shape[-2:], dtype=torch.int64, device=self._device)
        said = self._dino(pixel_values=pixels, pixel_mask=ones, **words)
        # (Q, T): the score of a query is that of the token that it matches best
        scores = said.logits[0].float().sigmoid().amax(dim=1).cpu()
        return _apart([_spotted(b, s) for b, s in zip(said.pred_boxes[0].float().cpu(), scores.tolist(), strict=True)])

    @torch.no_grad()
    def masks(
        self,
        picture: Image.Image,
        boxes: Sequence[Box] = (),
        points: Sequence[Sequence[tuple[float, float]]] = (),
    ) -> list[Image.Image]:
        """One mask of an RGB picture, mode L, 255 the thing, for each box or else for each group of points.

        Boxes and groups of points may be given together, as many of each; groups are of one length.

        Raises:
            ToolError: the model is not there.
        """
        model = self._sam
        side = _side(model)
        scale = torch.tensor([side, side], dtype=torch.float32)
        asked: dict[str, Tensor] = {}
        if boxes:
            corners = torch.tensor([[b.x1, b.y1, b.x2, b.y2] for b in boxes])
            asked["input_boxes"] = (corners * scale.repeat(2))[None].to(self._device)
        if points:
            asked["input_points"] = (torch.tensor([list(group) for group in points]) * scale)[None].to(self._device)
        pixels = _normalised(picture, (side, side))[None].to(self._device)
        # one point may mean a part or the whole, so that the surest of three masks counts; a box is plain
        said = model(pixel_values=pixels, multimask_output=not boxes, **asked)
        best = said.iou_scores[0].argmax(dim=1)
        logits = said.pred_masks[0][torch.arange(len(best)), best][:, None].float()
        full = F.interpolate(logits, size=(picture.height, picture.width), mode="bilinear", align_corners=False)
        return [Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)) for mask in (full[:, 0] > 0).cpu().numpy()]

    @cached_property
    def _dino(self) -> GroundingDinoForObjectDetection:
        from transformers import GroundingDinoForObjectDetection

        return _loaded(GroundingDinoForObjectDetection, _folder("grounding", self._folders.grounding), self._device)

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        folder = _folder("grounding", self._folders.grounding)
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise _unreadable(folder, error) from error
        return tokenizer

    @cached_property
    def _sam(self) -> Sam2Model:
        from transformers import Sam2Model

        return _loaded(Sam2Model, _folder("sam", self._folders.sam), self._device)


def prompt(phrase: str) -> str:
    """A phrase as Grounding DINO reads it: in small letters, a full stop behind each thing."""
    things = [part.strip(" .") for part in re.split(r",|\band\b|\.", phrase.lower())]
    return " ".join(f"{thing}." for thing in things if thing)


_VARIABLES = (GROUNDING_VARIABLE, SAM_VARIABLE)
_MODELS = {
    "grounding": (GROUNDING_VARIABLE, "IDEA-Research/grounding-dino-tiny"),
    "sam": (SAM_VARIABLE, "facebook/sam2.1-hiera-tiny"),
}


def _folder(which: str, folder: Path | None) -> Path:
    """The folder, if it is one with a model. Raises ToolError otherwise."""
    variable, model = _MODELS[which]
    if folder is None or not (folder / "config.json").is_file():
        holds = "nobody named" if folder is None else f"names {str(folder)!r}, which holds no config.json"
        raise ToolError(
            f"{variable} {holds}: expected a folder with {model}; get it from huggingface.co, and set the variable"
        )
    return folder


def _loaded(kind: type[M], folder: Path, device: torch.device) -> M:
    """The model in a folder, from safetensors alone. Raises ToolError when it holds another."""
    try:
        model, report = kind.from_pretrained(  # type: ignore[attr-defined]
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise _unreadable(folder, error) from error
    if report["missing_keys"]:
        raise ToolError(
            f"{str(folder)!r} lacks {len(report['missing_keys'])} weights of {kind.__name__}: "
            "expected the whole model; get it again"
        )
    ready: M = model.to(device).eval()
    return ready


def _side(model: Sam2Model) -> int:
    """Pixels of the square that the model sees."""
    size = getattr(model.config.prompt_encoder_config, "image_size", None)
    if not isinstance(size, int):
        raise ToolError(f"this SAM 2 sees pictures of {size} pixels: expected a square; use {_MODELS['sam'][1]}")
    return size


def _unreadable(folder: Path, error: Exception) -> ToolError:
    cause = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    return ToolError(f"cannot read the model in {str(folder)!r} ({cause}): expected its files as they were published")


def _dino_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height: the shorter side at SHORT_SIDE, unless the longer one would pass LONG_SIDE."""
    scale = min(SHORT_SIDE / min(size), LONG_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _normalised(picture: Image.Image, size: tuple[int, int]) -> Tensor:
    """float (3, height, width) of a picture stretched to `size`, with ImageNet's mean and spread taken out."""
    resized = picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    levels = torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)
    return ((levels - torch.tensor(_MEAN)) / torch.tensor(_SPREAD)).permute(2, 0, 1).contiguous()


def _spotted(box: Tensor, score: float) -> Spotted | None:
    """From middle, width and height in fractions; None where nothing of it lies in the picture."""
    x, y, width, height = box.tolist()
    x1, y1, x2, y2 = (min(1.0, max(0.0, v)) for v in (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return Spotted(Box(x1=x1, y1=y1, x2=x2, y2=y2), score) if x1 < x2 and y1 < y2 else None


def _apart(found: Sequence[Spotted | None]) -> list[Spotted]:
    """The sure ones, the surest of those that lie on one another."""
    sure = sorted((s for s in found if s is not None and s.score > MIN_SCORE), key=lambda s: -s.score)
    kept: list[Spotted] = []
    for one in sure:
        if all(_overlap(one.box, other.box) < SAME_BOX for other in kept):
            kept.append(one)
    return kept


def _overlap(a: Box, b: Box) -> float:
    width, height = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    shared = max(0.0, width) * max(0.0, height)
    both = (a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - shared
    return shared / both
