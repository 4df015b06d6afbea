"""What is known of a LoRA beside its weights: how many panels it makes, how they lie, what is said of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from chatdit.tools.panels import MAX_PANELS, MAX_SIDE, MIN_SIDE, Layout, tags
from chatdit.tools.types import Data

LoraName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]
Family = Literal["pocket", "flux"]


class LoraCard(Data):
    """An In-Context LoRA (arXiv 2410.23775) and how to ask it. Panels count from 1, row by row."""

    name: LoraName
    family: Family = "flux"
    """Of which painters it is: those of pocket's closed vocabulary, or FLUX.1."""
    summary: str = Field(default="", max_length=300)
    """What it makes, in words for the person; an open-vocabulary painter reads it too."""
    trigger: str = Field(default="", max_length=60)
    """The word in front of its captions, such as `[MOVIE-SHOTS]`; painters of a closed vocabulary read none."""
    rows: int = Field(default=1, ge=1, le=4)
    columns: int = Field(ge=1, le=4)
    tags: tuple[str, ...] = ()
    """What its captions call the panels; none means LEFT, RIGHT, TOP and so on."""
    captions: tuple[str, ...] = ()
    """What is said of each panel, `{}` standing for what is asked; none means just that."""
    given: tuple[int, ...] = ()
    """Panels that it was trained to be shown."""
    alike: bool = False
    """Whether everything stands on one spot in all panels; where, is settled before drawing, as for other pictures."""
    chained: bool = False
    """Whether its panels are of a kind, so that more of them can be drawn group by group, each shown the first."""
    width: int | None = Field(default=None, ge=MIN_SIDE, le=MAX_SIDE)
    height: int | None = Field(default=None, ge=MIN_SIDE, le=MAX_SIDE)
    """Pixels of the whole canvas; None leaves each panel the painter's own size."""
    rank: int | None = None
    base_weights: str = ""
    """SHA-256 of the weights that it was trained on, if it was trained here."""

    @model_validator(mode="after")
    def _counts_agree(self) -> LoraCard:
        if self.panels < 2 or self.panels > MAX_PANELS:
            raise ValueError(f"{self.rows} rows of {self.columns} are {self.panels} panels, expected 2 to {MAX_PANELS}")
        for name, told in (("tags", self.tags), ("captions", self.captions)):
            if told and len(told) != self.panels:
                raise ValueError(f"{len(told)} {name} for {self.panels} panels, expected one each")
        if any(not 1 <= panel <= self.panels for panel in self.given):
            raise ValueError(f"given panels {list(self.given)}, expected numbers from 1 to {self.panels}")
        return self

    @property
    def panels(self) -> int:
        return self.rows * self.columns

    @property
    def layout(self) -> Layout:
        return Layout(self.rows, self.columns, self.panels)

    @property
    def named_panels(self) -> tuple[str, ...]:
        """A tag for each panel."""
        return self.tags or tuple(tags(self.layout))

    def told(self, asked: str, panel: int) -> str:
        """What is said of a panel when `asked` is wanted."""
        return self.captions[panel - 1].replace("{}", asked) if self.captions else asked

    def joint(self, captions: tuple[str, ...]) -> str:
        """All panels in the grammar of the released LoRAs: `[TRIGGER] summary; [LEFT] ...; [RIGHT] ...`."""
        head = f"{self.trigger} {self.summary or f'a set of {self.panels} pictures'}".strip().rstrip(".")
        named = zip(self.named_panels, captions, strict=True)
        return "; ".join([head, *(f"[{tag}] {caption.strip().rstrip('.;')}" for tag, caption in named)]) + "."


_SCENES = ("SCENE-1", "SCENE-2", "SCENE-3")
_RELEASED: tuple[tuple[str, int, int, int, int, str], ...] = (
    ("couple-profile", 2048, 1024, 1, 2, "two matching profile pictures of a couple"),
    ("film-storyboard", 1024, 1536, 3, 1, "three shots of a film in order"),
    ("font-design", 1792, 1216, 2, 2, "one typeface in four uses"),
    ("home-decoration", 1344, 1728, 2, 2, "four rooms of a home in one style"),
    ("portrait-illustration", 1152, 1088, 1, 2, "a portrait photograph and its illustration"),
    ("portrait-photography", 1344, 1728, 2, 2, "four photographs of one person"),
    ("ppt-templates", 1984, 1152, 2, 2, "four slides of one template"),
    ("sandstorm-visual-effect", 1408, 1600, 2, 1, "a scene, and the same scene in a sandstorm"),
    ("sparklers-visual-effect", 960, 1088, 2, 1, "a scene, and the same scene with sparklers"),
    ("visual-identity-design", 1472, 1024, 1, 2, "a logo, and the same logo on a product"),
)
_TRIGGERS = {
    "film-storyboard": "[MOVIE-SHOTS]",
    "sandstorm-visual-effect": "[SANDSTORM-PSA]",
    "sparklers-visual-effect": "[REAL-SPARKLERS-OVERLAYS]",
}
_CHAINED = ("film-storyboard", "home-decoration", "portrait-photography", "ppt-templates")

RELEASED: dict[str, LoraCard] = {
    name: LoraCard(
        name=name,
        summary=summary,
        trigger=_TRIGGERS.get(name, ""),
        rows=rows,
        columns=columns,
        tags=_SCENES if name == "film-storyboard" else (),
        chained=name in _CHAINED,
        width=width,
        height=height,
        rank=16,
    )
    for name, width, height, rows, columns, summary in _RELEASED
}
"""The ten LoRAs that the paper's authors released, with their canvases (huggingface.co/ali-vilab/In-Context-LoRA)."""
