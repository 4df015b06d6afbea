"""A chat-completions endpoint on 127.0.0.1 that answers from a script and can misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Handler"], None]


@dataclass
class Server:
    """Where it listens, what it was asked, and what it does next; the last behaviour repeats."""

    base_url: str
    behaviours: list[Behaviour] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    authorization: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def next_behaviour(self) -> Behaviour:
        return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the script's next behaviour."""

    script: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.script.requests.append(json.loads(body))
        self.script.authorization.append(self.headers.get("Authorization", ""))
        self.script.next_behaviour()(self)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test output quiet."""

    def reply(self, status: int, body: str, kind: str = "application/json") -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)


def says(content: str) -> Behaviour:
    """A proper completion whose message is `content`."""
    completion = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18},
    }
    return lambda handler: handler.reply(200, json.dumps(completion))


def fails(status: int, body: str = '{"error": {"message": "no"}}', kind: str = "application/json") -> Behaviour:
    """An answer with this HTTP status."""
    return lambda handler: handler.reply(status, body, kind)


def hangs(handler: Handler) -> None:
    """Never answers, until the server closes."""
    handler.script.released.wait(30)
    handler.close_connection = True


def drips(handler: Handler) -> None:
    """Sends a blank now and then and never ends."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    while not handler.script.released.wait(0.05):
        handler.wfile.write(b" ")
    handler.close_connection = True


def drops(handler: Handler) -> None:
    """Closes the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"id": "c1", "choi')
    handler.close_connection = True


def refuses_schema(then: Behaviour) -> Behaviour:
    """Answers 400 to `response_format`, otherwise does `then`."""

    def behave(handler: Handler) -> None:
        if "response_format" in handler.script.requests[-1]:
            handler.reply(400, '{"error": {"message": "response_format is not supported"}}')
        else:
            then(handler)

    return behave


@contextmanager
def serving(*behaviours: Behaviour) -> Iterator[Server]:
    """A running server with this script."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script = Server(f"http://127.0.0.1:{server.server_address[1]}/v1", list(behaviours))
    server.RequestHandlerClass = type("ScriptedHandler", (Handler,), {"script": script})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        script.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
