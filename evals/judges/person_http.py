"""HTTP for one person on this computer: what is refused before a page is asked, and the headers of every answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, Protocol
from urllib.parse import parse_qs, urlsplit

ADDRESS = "127.0.0.1"
MAX_BODY = 32 * 1024
"""Bytes of a form: a note of 2,000 characters takes 12 bytes a character at most."""
_MAX_FIELDS = 50
_FORM = "application/x-www-form-urlencoded"
_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class Refused(Exception):
    """A request that is not served, and one line that says why."""

    def __init__(self, status: HTTPStatus, line: str) -> None:
        super().__init__(line)
        self.status = status


class Reply(NamedTuple):
    """What goes back."""

    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: int = HTTPStatus.OK
    location: str = ""
    cache: str = "no-store"
    last: bool = False
    """After this one the server has done its work."""


class Site(Protocol):
    """What stands behind the server. Both raise Refused."""

    def get(self, path: str) -> Reply:
        """The page or picture at `path`."""
        ...

    def post(self, path: str, form: Mapping[str, str]) -> Reply:
        """What follows on a form."""
        ...


class LocalServer(ThreadingHTTPServer):
    """Serves a site on 127.0.0.1; port 0 takes a free one. `ended` is set once a last reply is sent."""

    daemon_threads = True

    def __init__(self, site: Site, port: int = 0) -> None:
        """Raises OSError when the port is taken."""
        super().__init__((ADDRESS, port), _Handler)
        self.site, self.ended = site, threading.Event()
        own_port = self.server_address[1]
        self.hosts = frozenset({f"{ADDRESS}:{own_port}", f"localhost:{own_port}"})


class _Handler(BaseHTTPRequestHandler):
    timeout = 30  # seconds that a connection may be silent
    server_version, sys_version = "chatdit", ""

    def do_GET(self) -> None:
        """A page, or one line that says why not."""
        self._answer(lambda: self._site().get(self._path()))

    def do_POST(self) -> None:
        """A form's answer, or one line that says why not."""
        self._answer(lambda: self._site().post(self._path(), self._form()))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """One line of plain text, where the library would send a page."""
        line = message or HTTPStatus(code).phrase
        self._send(Reply(f"{line}\n".encode(), "text/plain; charset=utf-8", code))

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the address holds the sitting's token."""

    def _answer(self, ask: Callable[[], Reply]) -> None:
        try:
            reply = ask()
        except Refused as refusal:
            self.send_error(refusal.status, str(refusal))
            return
        self._send(reply)
        if reply.last:
            self._local().ended.set()

    def _local(self) -> LocalServer:
        assert isinstance(self.server, LocalServer)
        return self.server

    def _site(self) -> Site:
        """The site, for requests to this server's own address alone: another name may be someone else's page."""
        if self.headers.get("Host", "") not in self._local().hosts:
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "this server answers under its own address only")
        return self._local().site

    def _path(self) -> str:
        return urlsplit(self.path).path

    def _form(self) -> dict[str, str]:
        body = self._body()
        origin = self.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc not in self._local().hosts:
            raise Refused(HTTPStatus.FORBIDDEN, "answers are taken from this server's own pages only")
        if self.headers.get("Content-Type", "").split(";")[0].strip().lower() != _FORM:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {_FORM}")
        try:
            fields = parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, "the form cannot be read: expected UTF-8 fields") from None
        if any(len(values) > 1 for values in fields.values()):
            raise Refused(HTTPStatus.BAD_REQUEST, "a field of the form is there twice: expected each once")
        return {name: values[0] for name, values in fields.items()}

    def _body(self) -> bytes:
        said = self.headers.get("Content-Length", "")
        if not (said.isascii() and said.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if len(said) > 9 or int(said) > MAX_BODY:
            self.rfile.read(min(int(said[:9]), 16 * MAX_BODY))  # or the client would miss the answer
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the form is too large: at most {MAX_BODY:,} bytes")
        return self.rfile.read(int(said))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "same-origin")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", reply.cache)
        if reply.location:
            self.send_header("Location", reply.location)
        self.end_headers()
        self.wfile.write(reply.body)
