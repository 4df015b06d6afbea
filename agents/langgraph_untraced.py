"""The one door to langgraph. It reports runs to a tracing service when the user's shell asks for that
on behalf of other programs, so tracing is switched off before langgraph is imported.
"""

from __future__ import annotations

import os

for _switch in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
    os.environ[_switch] = "false"

from langchain_core.runnables import RunnableConfig  # noqa: E402
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer  # noqa: E402
from langgraph.checkpoint.sqlite import SqliteSaver  # noqa: E402
from langgraph.graph import END, START, StateGraph  # noqa: E402
from langgraph.graph.state import CompiledStateGraph  # noqa: E402
from langgraph.runtime import Runtime  # noqa: E402
from langgraph.types import Command, Interrupt, StateSnapshot, interrupt  # noqa: E402

__all__ = [
    "END",
    "START",
    "Command",
    "CompiledStateGraph",
    "Interrupt",
    "JsonPlusSerializer",
    "RunnableConfig",
    "Runtime",
    "SqliteSaver",
    "StateGraph",
    "StateSnapshot",
    "interrupt",
]
