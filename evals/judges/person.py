"""A person as judge: a page on this computer alone that asks a case's questions, blind and in random order."""

from __future__ import annotations

import hmac
import io
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path

from chatdit.evals.judges.judge import Verdict
from chatdit.evals.judges.person_http import ADDRESS, LocalServer, Refused, Reply
from chatdit.evals.judges.person_page import NOTE_LIMIT, STATIC, case_page, end_page, goodbye_page, static_file
from chatdit.evals.judges.person_sitting import Sheet, Sitting, ToJudge
from chatdit.tools.images import load_picture
from chatdit.tools.types import ToolError

Record = Callable[[str, Verdict], None]
"""Keeps a verdict of the system with this label, at once; the last one for a case is what counts."""


class PersonJudgeServer:
    """Serves a sitting while its `with` block runs; `url` is for the person alone."""

    def __init__(
        self,
        items: Iterable[ToJudge],
        record: Record,
        *,
        name: str,
        done: Iterable[tuple[str, Verdict]] = (),
        seed: int = 0,
        port: int = 0,
    ) -> None:
        """`done` are verdicts of earlier sittings with their labels; port 0 takes a free one.

        Raises:
            OSError: a picture cannot be read, or the port is taken.
            ValueError: the name is no name, or there is nothing to judge.
        """
        self.sitting = Sitting(items, name, done, seed)
        token = secrets.token_urlsafe(16)
        self._server = LocalServer(_PersonSite(self.sitting, record, f"/{token}"), port)
        self.url = f"http://{ADDRESS}:{self._server.server_address[1]}/{token}/"

    def __enter__(self) -> PersonJudgeServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, timeout: float | None = None) -> bool:
        """Until the person presses Finish, or so many seconds; whether they did. Ctrl-C ends it too."""
        return self._server.ended.wait(timeout)


class _PersonSite:
    """The pages of a sitting under a path that only its person knows."""

    def __init__(self, sitting: Sitting, record: Record, base: str) -> None:
        self._sitting, self._record, self._base = sitting, record, base
        self._lock = threading.Lock()

    def get(self, path: str) -> Reply:
        """A page, a picture, or a file that pages load."""
        match self._parts(path):
            case [] | [""]:
                return self._to(self._sitting.next_open())
            case ["case", key]:
                return self._case(key)
            case ["picture", key] if key in self._sitting.pictures:
                return _picture(self._sitting.pictures[key])
            case ["end"]:
                return Reply(end_page(self._sitting, self._base).encode())
            case [name] if name in STATIC:
                return Reply(static_file(name), STATIC[name])
        raise _nothing_here()

    def post(self, path: str, form: Mapping[str, str]) -> Reply:
        """The answers to a case, or the end."""
        match self._parts(path):
            case ["case", key]:
                return self._judge(self._sheet(key), form)
            case ["finish"]:
                return Reply(goodbye_page(self._sitting, self._base).encode(), last=True)
        raise _nothing_here()

    def _parts(self, path: str) -> list[str]:
        """What stands behind the token."""
        token, *rest = path.removeprefix("/").split("/")
        if not hmac.compare_digest(f"/{token}".encode(), self._base.encode()):
            raise _nothing_here()
        return rest

    def _sheet(self, key: str) -> Sheet:
        sheet = self._sitting.sheet(key)
        if sheet is None:
            raise _nothing_here()
        return sheet

    def _case(self, key: str) -> Reply:
        sheet = self._sheet(key)
        sheet.shown_at = time.monotonic()
        return Reply(case_page(self._sitting, sheet, self._base).encode())

    def _judge(self, sheet: Sheet, form: Mapping[str, str]) -> Reply:
        scores, note = read_answers(form, len(sheet.item.case.questions))
        verdict = self._sitting.verdict(sheet, scores, note)
        with self._lock:
            if verdict.answers != sheet.answers:
                self._keep(sheet, verdict)
        return self._to(self._sitting.next_open(sheet))

    def _keep(self, sheet: Sheet, verdict: Verdict) -> None:
        try:
            self._record(sheet.item.label, verdict)
        except Exception as error:  # whatever it is, the person must know that nothing was kept
            line = f"the answers could not be kept ({type(error).__name__}): go back and send them again"
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, line) from error
        sheet.answers = verdict.answers

    def _to(self, sheet: Sheet | None) -> Reply:
        place = f"case/{sheet.id}" if sheet else "end"
        return Reply(status=HTTPStatus.SEE_OTHER, location=f"{self._base}/{place}")


def read_answers(form: Mapping[str, str], questions: int) -> tuple[tuple[bool, ...], str]:
    """The answers in order, and the note.

    Raises:
        Refused: an answer is missing or neither 0 nor 1, there is an unknown field, or the note is too long.
    """
    names = [f"q{number}" for number in range(1, questions + 1)]
    if not form.keys() <= {*names, "note"}:
        raise Refused(HTTPStatus.BAD_REQUEST, f"unknown fields: expected {', '.join(names)} and note")
    unanswered = [name.removeprefix("q") for name in names if form.get(name) not in {"0", "1"}]
    if unanswered:
        raise Refused(HTTPStatus.BAD_REQUEST, f"expected 0 or 1 for each question; missing: {', '.join(unanswered)}")
    note = " ".join(form.get("note", "").split())
    if len(note) > NOTE_LIMIT:
        raise Refused(HTTPStatus.BAD_REQUEST, f"the note is too long: at most {NOTE_LIMIT:,} characters")
    return tuple(form[name] == "1" for name in names), note


def _picture(path: Path) -> Reply:
    """The pixels alone: format and metadata of the file could tell which system made it."""
    stream = io.BytesIO()
    try:
        load_picture(path).image.save(stream, "PNG", compress_level=1)
    except ToolError:
        raise Refused(HTTPStatus.NOT_FOUND, "this picture can no longer be read") from None
    return Reply(stream.getvalue(), "image/png", cache="private, max-age=86400, immutable")


def _nothing_here() -> Refused:
    return Refused(HTTPStatus.NOT_FOUND, "nothing is here: open the address that was printed")
