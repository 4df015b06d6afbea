"""The memory of all sessions: one SQLite file in WAL mode; pixels lie in the artifact store beside it.

Turns form a tree over all sessions (`parent`), a session's `head` is the turn it stands at, and its
`redo` list holds the turns that undo has left. Rows are added and completed, never deleted.
"""

from __future__ import annotations

import difflib
import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from chatdit.agents.instruction import Instruction, InstructionInput, OutputSpec
from chatdit.agents.plan import Plan
from chatdit.database import Database
from chatdit.provenance import Recipe
from chatdit.records import Picture, SessionInfo, Turn, TurnStatus
from chatdit.session_errors import UnknownSession
from chatdit.tools.types import ImageRef


class SessionStore:
    """Sessions, turns and pictures under one folder. Threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._db = Database(root / "chatdit.db")

    def close(self) -> None:
        """Let go of the database file."""
        self._db.close()

    # --- sessions ---

    def create_session(self, origin: Turn | None = None) -> str:
        """A new session that stands at `origin`, or at nothing; returns its id."""
        now = time.time()
        head = origin.id if origin else None
        with self._db.writing() as db:
            name = f"{time.strftime('%Y%m%d', time.localtime(now))}-{secrets.token_hex(3)}"
            db.execute(
                "INSERT INTO session (id, created, updated, head, origin) VALUES (?, ?, ?, ?, ?)",
                (name, now, now, head, head),
            )
        return name

    def find_session(self, name: str) -> str:
        """The id that `name` is, or is the only beginning of. Raises UnknownSession with the nearest ids."""
        ids = [row["id"] for row in self._db.rows("SELECT id FROM session ORDER BY updated DESC")]
        matches = [name] if name in ids else [known for known in ids if name and known.startswith(name)]
        if len(matches) == 1:
            return matches[0]
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        if matches:
            raise UnknownSession(f"session {shown!r} could be {', '.join(matches[:5])}: give more of the id")
        near = difflib.get_close_matches(name[:80], ids, n=3, cutoff=0.4) or ids[:3]
        hint = f"the nearest are {', '.join(near)}" if near else "there are none yet"
        raise UnknownSession(f"there is no session {shown!r}: {hint}; `chatdit sessions` lists them all")

    def sessions(self) -> list[SessionInfo]:
        """All sessions, the one used last first."""
        rows = self._db.rows(
            """SELECT s.id, s.created, s.updated, o.session AS origin_session, o.number AS origin_number,
               coalesce((SELECT text FROM turn WHERE session = s.id ORDER BY number LIMIT 1), o.text, '') AS title,
               (SELECT count(*) FROM turn WHERE session = s.id) AS turns,
               (SELECT count(DISTINCT p.turn || '/' || p.number) FROM picture p JOIN turn t ON p.turn = t.id
                WHERE t.session = s.id) AS pictures
               FROM session s LEFT JOIN turn o ON s.origin = o.id
               WHERE o.id IS NOT NULL OR EXISTS (SELECT 1 FROM turn WHERE session = s.id) 
               ORDER BY s.updated DESC, s.rowid DESC"""
        )
        return [
            SessionInfo(
                id=row["id"], title=row["title"], created=row["created"], updated=row["updated"], turns=row["turns"],
                pictures=row["pictures"],
                branched_from=(row["origin_session"], row["origin_number"]) if row["origin_session"] else None,
            )
            for row in rows
        ]  # fmt: skip

    def head(self, session: str) -> int | None:
        """The turn that `session` stands at."""
        head: int | None = self._db.rows("SELECT head FROM session WHERE id = ?", session)[0]["head"]
        return head

    def redo_list(self, session: str) -> list[int]:
        """The turns that undo has left, the last one left at the end."""
        redo: list[int] = json.loads(self._db.rows("SELECT redo FROM session WHERE id = ?", session)[0]["redo"])
        return redo

    def move_head(self, session: str, head: int | None, redo: Sequence[int] = ()) -> None:
        """Let `session` stand at `head`."""
        with self._db.writing() as db:
            db.execute(
                "UPDATE session SET head = ?, redo = ?, updated = ? WHERE id = ?",
                (head, json.dumps(list(redo)), time.time(), session),
            )

    # --- turns ---

    def begin_turn(
        self,
        session: str,
        text: str,
        seed: int,
        *,
        size: tuple[int, int] | None = None,
        inputs: Sequence[InstructionInput] = (),
        warnings: Sequence[str] = (),
        brain: str = "",
        painter: str = "",
        folder: Path | None = None,
    ) -> Turn:
        """Record that something was said at the head of `session`; the head stays until the turn ends."""
        head = self.head(session)
        past = self.lineage(head)
        here = self._db.rows(
            """SELECT coalesce(max(t.number), 0) AS turns, coalesce(max(p.number), 0) AS pictures
               FROM turn t LEFT JOIN picture p ON p.turn = t.id WHERE t.session = ?""", session
        )[0]  # fmt: skip
        number = max([here["turns"], *(turn.number for turn in past)]) + 1
        first = max([here["pictures"], *(picture.number for turn in past for picture in turn.images)]) + 1
        with self._db.writing() as db:
            cursor = db.execute(
                """INSERT INTO turn (session, number, parent, text, seed, size, inputs, warnings, brain, painter,
                   first_picture, folder) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (session, number, head, text, seed, json.dumps(size) if size else None,
                 json.dumps([entry.model_dump(mode="json") for entry in inputs]), json.dumps(list(warnings)),
                 brain, painter, first, str(folder.absolute()) if folder else None),
            )  # fmt: skip
            db.execute("UPDATE session SET updated = ? WHERE id = ?", (time.time(), session))
        assert cursor.lastrowid is not None
        return self.turn(cursor.lastrowid)

    def record_instruction(self, turn: int, instruction: Instruction) -> None:
        """What the words of a turn were understood as."""
        self._set(turn, instruction=instruction.model_dump_json(round_trip=True))

    def record_plan(self, turn: int, plan: Plan) -> None:
        """The plan that runs, or did run."""
        self._set(turn, plan=plan.model_dump_json(by_alias=True))

    def reopen_turn(self, turn: int) -> None:
        """A turn that broke off runs again."""
        self._set(turn, status="running")

    def settle_turn(
        self, turn: int, status: TurnStatus, *, reply: str, warnings: Sequence[str], seconds: float
    ) -> None:
        """How a turn ended; `seconds` are those of this run and add up over resumed ones.

        A turn that said or drew something joins the conversation: the head moves to it.
        """
        drew = bool(self._pictures(turn))
        with self._db.writing() as db:
            db.execute(
                "UPDATE turn SET status = ?, reply = ?, warnings = ?, seconds = seconds + ? WHERE id = ?",
                (status, reply, json.dumps(list(warnings)), seconds, turn),
            )
            if drew or status in ("done", "asked"):
                db.execute(
                    """UPDATE session SET head = t.id, redo = '[]', updated = ? FROM turn t
                       WHERE t.id = ? AND session.id = t.session AND session.head IS NOT t.id""",
                    (time.time(), turn),
                )

    def turn(self, turn: int) -> Turn:
        """The turn with this key."""
        return self._turn(self._db.rows("SELECT * FROM turn WHERE id = ?", turn)[0])

    def turns(self, session: str) -> list[Turn]:
        """Everything said in `session`, undone and unfinished turns too, in order."""
        return [
            self._turn(row) for row in self._db.rows("SELECT * FROM turn WHERE session = ? ORDER BY number", session)
        ]

    def lineage(self, head: int | None) -> list[Turn]:
        """The line of conversation that ends at `head`, oldest first, across branches."""
        line: list[Turn] = []
        while head is not None:
            line.append(self.turn(head))
            head = line[-1].parent
        return line[::-1]

    # --- pictures ---

    def add_picture(self, turn: int, picture: Picture, recipe: Recipe) -> None:
        """Record a finished picture; one with the same number and pixels is already there and stays."""
        path = picture.path.absolute()
        with self._db.writing() as db:
            db.execute(
                """INSERT OR IGNORE INTO picture (turn, number, node, position, tool, seed, sha256, width, height, path,
                   output, parents, steps, seconds, cached, recipe)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
                (turn, picture.number, picture.node, picture.index, picture.tool, picture.seed, picture.image.sha256,
                 picture.width, picture.height,
                 str(path.relative_to(self.root) if path.is_relative_to(self.root) else path),
                 picture.output.model_dump_json(round_trip=True), json.dumps(picture.parents), picture.steps,
                 picture.seconds, picture.cached, recipe.model_dump_json()),
            )  # fmt: skip

    def find_picture(self, turn: int, number: int, sha256: str) -> Picture | None:
        """The picture with this number and these pixels, if it was recorded before."""
        rows = self._db.rows("SELECT * FROM picture WHERE turn = ? AND number = ? AND sha256 = ?", turn, number, sha256)
        return self._picture(rows[0]) if rows else None

    def recipe_of(self, sha256: str) -> Recipe | None:
        """How the pixels with this hash were first made, if they were made here."""
        rows = self._db.rows("SELECT recipe FROM picture WHERE sha256 = ? ORDER BY id LIMIT 1", sha256)
        return Recipe.model_validate_json(rows[0]["recipe"]) if rows else None

    def _set(self, turn: int, **columns: str) -> None:
        names = ", ".join(f"{name} = ?" for name in columns)
        with self._db.writing() as db:
            db.execute(f"UPDATE turn SET {names} WHERE id = ?", (*columns.values(), turn))

    def _pictures(self, turn: int) -> tuple[Picture, ...]:
        """The newest picture of each number: a repair leaves the earlier one in the table and on the disk."""
        rows = self._db.rows("SELECT * FROM picture WHERE turn = ? ORDER BY number, id", turn)
        newest = {row["number"]: row for row in rows}
        return tuple(self._picture(row) for row in newest.values())

    def _picture(self, row: sqlite3.Row) -> Picture:
        return Picture(
            number=row["number"],
            path=self.root / row["path"],
            image=ImageRef(sha256=row["sha256"], width=row["width"], height=row["height"]),
            tool=row["tool"],
            seed=row["seed"],
            node=row["node"],
            index=row["position"],
            output=OutputSpec.model_validate_json(row["output"]),
            parents=tuple(json.loads(row["parents"])),
            steps=row["steps"],
            seconds=row["seconds"],
            cached=bool(row["cached"]),
        )

    def _turn(self, row: sqlite3.Row) -> Turn:
        instruction, plan, size = row["instruction"], row["plan"], row["size"]
        return Turn(
            number=row["number"],
            text=row["text"],
            reply=row["reply"],
            plan=Plan.model_validate_json(plan) if plan else None,
            instruction=Instruction.model_validate_json(instruction) if instruction else None,
            images=self._pictures(row["id"]),
            seconds=row["seconds"],
            warnings=tuple(json.loads(row["warnings"])),
            status=row["status"],
            seed=row["seed"],
            session=row["session"],
            id=row["id"],
            parent=row["parent"],
            brain=row["brain"],
            painter=row["painter"],
            inputs=tuple(InstructionInput.model_validate(entry) for entry in json.loads(row["inputs"])),
            size=tuple(json.loads(size)) if size else None,
            first_picture=row["first_picture"],
            folder=Path(row["folder"]) if row["folder"] else None,
        )
