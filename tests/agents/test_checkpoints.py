"""Checkpoints hold JSON only, and a crafted one runs nothing. Tracing stays off whatever the shell says."""

from __future__ import annotations

import ast
import json
import os
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ormsgpack
import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

import chatdit.agents
from chatdit.agents.brain import PastPicture, PastTurn, Request
from chatdit.agents.checkpoints import CheckpointError, LockedSerializer
from chatdit.agents.graph import Conversation, Deps
from chatdit.agents.instruction import Instruction, OutputSpec
from chatdit.agents.state import fresh_state, request_of
from chatdit.tools.types import ImageRef

if TYPE_CHECKING:
    from tests.agents.conftest import Bench, ScriptedBrain

Session = Callable[[], Conversation]


class Payload:
    """Unpickles to a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def rows(marker: Path) -> dict[str, tuple[str, bytes]]:
    """Rows that would make `marker` if they were read without a lock."""
    touch = f"touch {marker}"
    one = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(("os", "system", touch))))
    many = ormsgpack.packb(ormsgpack.Ext(1, ormsgpack.packb(("os", "system", (touch,)))))
    inside = ormsgpack.packb(
        {"channel_values": {"plan": ormsgpack.Ext(1, ormsgpack.packb(("os", "system", (touch,))))}}
    )
    constructor = {"lc": 2, "type": "constructor", "id": ["os", "system"], "args": [touch]}
    return {
        "pickle": ("pickle", pickle.dumps(Payload(touch))),
        "one argument": ("msgpack", one),
        "arguments": ("msgpack", many),
        "inside a checkpoint": ("msgpack", inside),
        "json constructor": ("json", json.dumps(constructor).encode()),
    }


KINDS = tuple(rows(Path("marker")))


@pytest.fixture
def session(bench: Bench, scripted: Callable[[Instruction], ScriptedBrain]) -> Session:
    def open_session() -> Conversation:
        outputs = tuple(OutputSpec(id=f"output_{i}", description=f"caption {i}") for i in (1, 2))
        brain = scripted(Instruction(outputs=outputs))
        deps = Deps(brain=brain, tools=bench.tools, context=bench.context, cache=bench.cache)
        return Conversation(deps, bench.folder / "turns.sqlite", "session")

    return open_session


@pytest.mark.parametrize("kind", ["one argument", "arguments", "inside a checkpoint"])
def test_the_payloads_are_live_without_the_lock(kind: str, tmp_path: Path) -> None:
    JsonPlusSerializer().loads_typed(rows(tmp_path / "marker")[kind])
    assert (tmp_path / "marker").exists()


def test_the_pickle_is_live_where_pickle_is_allowed(tmp_path: Path) -> None:
    JsonPlusSerializer(pickle_fallback=True).loads_typed(rows(tmp_path / "marker")["pickle"])
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("table", ["checkpoints", "writes"])
def test_crafted_row_runs_nothing(kind: str, table: str, session: Session, bench: Bench, tmp_path: Path) -> None:
    with session() as conversation:
        list(conversation.start(Request("two pictures")))
    column = {"checkpoints": "checkpoint", "writes": "value"}[table]
    with sqlite3.connect(bench.folder / "turns.sqlite") as connection:
        connection.execute(f"UPDATE {table} SET type = ?, {column} = ?", rows(tmp_path / "marker")[kind])
    connection.close()
    with session() as conversation:
        for attempt in (
            conversation.continue_interrupted,
            lambda: conversation.resume(True),
            lambda: conversation.start(Request("again")),
        ):
            with pytest.raises(CheckpointError):
                list(attempt())
    assert not (tmp_path / "marker").exists()
    assert bench.runs == []


@pytest.mark.parametrize("kind", KINDS)
def test_locked_serializer_gives_plain_data_or_refuses(kind: str, tmp_path: Path) -> None:
    try:
        value = LockedSerializer().loads_typed(rows(tmp_path / "marker")[kind])
        assert "touch" in repr(value)
    except CheckpointError as error:
        assert kind in ("pickle", "json constructor") and "expected one of null, bytes, msgpack" in str(error)
    assert not (tmp_path / "marker").exists()


def test_damaged_row_is_one_clear_line() -> None:
    with pytest.raises(CheckpointError, match="row is damaged"):
        LockedSerializer().loads_typed(("msgpack", b"\xc1 not msgpack"))


def test_every_stored_value_is_json(session: Session, bench: Bench) -> None:
    with session() as conversation:
        list(conversation.start(Request("two pictures"), auto_approve=True))
    with sqlite3.connect(bench.folder / "turns.sqlite") as connection:
        stored = connection.execute("SELECT type, checkpoint FROM checkpoints").fetchall()
    connection.close()
    values = [ormsgpack.unpackb(blob, option=ormsgpack.OPT_NON_STR_KEYS)["channel_values"] for _, blob in stored]
    assert {kind for kind, _ in stored} == {"msgpack"}
    assert len(json.loads(json.dumps(values))) == len(values) > 5
    assert any(value.get("images") for value in values)


def test_request_survives_the_state() -> None:
    image = ImageRef(sha256="a" * 64, width=8, height=8)
    output = OutputSpec.model_validate({"id": "output_1", "description": "a cat", "elements": [{"subject": "cat"}]})
    request = Request("x", history=(PastTurn("y", pictures=(1,)),), pictures=(PastPicture(1, image, output, 5),))
    state: Any = json.loads(json.dumps(fresh_state(request, 3, False)))
    assert request_of(state) == request


def test_tracing_is_off_even_when_the_shell_wants_it() -> None:
    names = [f"{who}_{what}" for who in ("LANGSMITH", "LANGCHAIN") for what in ("TRACING", "TRACING_V2")]
    code = "import chatdit.agents.graph, langsmith.utils as u; print(u.tracing_is_enabled())"
    environment = {**os.environ, **dict.fromkeys(names, "true")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd="/")
    assert done.stdout.strip() == "False", done.stderr


def test_langgraph_is_imported_through_one_door() -> None:
    folder = Path(str(chatdit.agents.__file__)).parent
    importers = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            importers |= {path.name for name in names if name.partition(".")[0] in ("langgraph", "langchain_core")}
    assert importers == {"langgraph_untraced.py"}
