"""What a session draws with: the painter, the brain and the tools, each made when first needed."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from chatdit.agents.brain import Brain, BrainSettings, Painter, make_brain, with_sight
from chatdit.config import ConfigError, Settings, api_key
from chatdit.painter import LazyPainter
from chatdit.preset_brain import PresetBrain
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.tool import RunContext
from chatdit.tools.types import Progress

if TYPE_CHECKING:
    from chatdit.agents.graph import Deps

MOST_TEXT = 512
"""Text tokens that the longest caption of any painter has, FLUX.1's."""


class Workshop:
    """Made from settings; sessions may share one."""

    def __init__(self, settings: Settings, *, painter: LazyPainter | None = None, brain: Brain | None = None) -> None:
        self.settings = settings
        self.painter = painter or LazyPainter(settings.model, device=settings.device, dtype=settings.dtype)
        self._given_brain = brain

    @cached_property
    def brain(self) -> Brain:
        """The brain that the settings name. Raises ConfigError when they do not say how to reach it."""
        return self._given_brain or _brain(self.settings)

    def with_settings(self, settings: Settings) -> Workshop:
        """A workshop for other settings; a painter that they do not change stays loaded."""
        same_brain = (settings.planner, settings.llm) == (self.settings.planner, self.settings.llm)
        wanted = (settings.model, settings.device, settings.dtype)
        same_painter = wanted == (self.settings.model, self.settings.device, self.settings.dtype)
        return Workshop(
            settings,
            painter=self.painter if same_painter else None,
            brain=self._given_brain if same_brain else None,
        )

    def facts(self) -> Painter:
        """What brains know of the painter. Raises ConfigError for a model that is not there."""
        known = self.painter.defaults()
        return Painter(self.painter.name, known.open_vocabulary, known.width, known.height, known.max_panels)

    def attention(self) -> str:
        """The sparse attention in use and, where it is known before drawing, why it stays dense; "" for dense."""
        from chatdit.tools.runtime.cost_model import crossover

        name, known, device = self.settings.attention, self.painter.known_defaults(), self.painter.device_kind()
        if name == "dense":
            return ""
        label = f"{name} attention"
        if known is None or device is None:
            return label
        asked = self.settings.size if known.open_vocabulary else None
        width, height = asked or (known.width, known.height)
        measured = crossover(name, device)
        tokens, pays = width * height // known.token_size**2, measured.tokens
        if pays is not None and (measured.width or tokens + MOST_TEXT >= pays):
            return label  # the caption's length or the model's width may decide, so the result says it
        why = "was faster at no size measured" if pays is None else f"pays from {pays:,}"
        return f"{label} (stays dense: {tokens:,} tokens and text, {why})"

    def warm(self) -> None:
        """Load the graph and the painter on a thread behind."""
        self.painter.warm(also=_import_graph)

    def deps(
        self,
        artifacts: ArtifactStore,
        nodes: Path,
        *,
        size: tuple[int, int] | None = None,
        drawn_seeds: frozenset[int] = frozenset(),
        preview: bool = False,
    ) -> Deps:
        """Everything a turn works with; `nodes` is the folder of finished steps, `size` that of each picture."""
        from chatdit.agents.direct_brain import DirectBrain
        from chatdit.agents.graph import Deps
        from chatdit.agents.node_cache import NodeCache

        settings = self.settings
        attention = None if settings.attention == "dense" else settings.attention
        brain = with_sight(DirectBrain(self.brain), artifacts.open_image)
        return Deps(
            brain=PresetBrain(brain, size, settings.steps, settings.guidance, attention, drawn_seeds),
            tools=TOOLS,
            context=self.run_context(artifacts, preview=preview),
            cache=NodeCache(nodes, self.painter.weights_hash),
            device=self.painter.device,
            defaults=self.painter.defaults(),
        )

    def run_context(self, artifacts: ArtifactStore, *, preview: bool = False) -> RunContext:
        """What a single tool call may touch."""
        return RunContext(dit=self.painter.dit, store=artifacts, progress=_ignore, preview=preview)


def _brain(settings: Settings) -> Brain:
    if settings.planner == "offline":
        return make_brain("offline")
    if settings.planner == "table":
        from chatdit.agents.table_planner import TableBrain

        return TableBrain(make_brain("offline"))
    if settings.planner == "rephrase":
        from chatdit.agents.rephrase_planner import RephraseBrain

        return RephraseBrain(make_brain("offline"))
    llm, key = settings.llm, api_key(settings)
    if key is None and llm.base_url is None:
        raise ConfigError(
            "planner = 'openai' has no key: set OPENAI_API_KEY, llm.api_key_file, or llm.base_url for a local endpoint"
        )
    chosen = BrainSettings(base_url=llm.base_url, api_key=key, timeout=llm.timeout, fall_back=llm.fallback)
    return make_brain("openai", replace(chosen, model=llm.model) if llm.model else chosen)


def _import_graph() -> None:
    import chatdit.agents.graph  # noqa: F401 - the import is the work


def _ignore(progress: Progress) -> None:
    pass
