"""Every tool there is, by name. Importing this loads no model code; tools do when they run."""

from __future__ import annotations

from chatdit.tools.compose import Compose
from chatdit.tools.edit import Edit
from chatdit.tools.generate import Generate
from chatdit.tools.ic_lora import IcLora
from chatdit.tools.layout import LayoutTool
from chatdit.tools.segment import Segment
from chatdit.tools.story import StoryTool
from chatdit.tools.subject import SubjectTool
from chatdit.tools.tool import Tool
from chatdit.tools.types import ToolError, ToolSpec

TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (Generate(), Edit(), Compose(), Segment(), IcLora(), LayoutTool(), SubjectTool(), StoryTool())
}


def tool(name: str) -> Tool:
    """The tool called `name`; raises ToolError naming those there are."""
    try:
        return TOOLS[name]
    except KeyError:
        raise ToolError(f"no tool called {name[:80]!r}: expected one of {', '.join(TOOLS)}; see /help tools") from None


def specs() -> tuple[ToolSpec, ...]:
    """What each tool takes and gives, as JSON schemas, in the order of the catalogue."""
    return tuple(tool.spec() for tool in TOOLS.values())
