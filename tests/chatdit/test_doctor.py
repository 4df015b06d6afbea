"""Doctor: what it finds, and that one broken thing does not hide the others."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from chatdit.config import Settings
from chatdit.doctor import PACKAGES, Finding, examine


def _findings(**settings: object) -> dict[str, Finding]:
    return {found.name: found for found in examine(Settings.model_validate(settings))}


@contextmanager
def _endpoint(status: int, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """A loopback server that answers everything the same way; yields its address and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_sound_installation_has_no_failure_and_asks_no_endpoint(painter_folder: Path) -> None:
    found = _findings(model=str(painter_folder))
    assert {name for name, finding in found.items() if finding.status == "failure"} == set()
    assert set(PACKAGES) < set(found)
    assert "endpoint" not in found
    painter = found[f"painter {painter_folder}"]
    assert "3 files" in painter.detail and "sha256" in painter.detail


def test_doctor_leaves_nothing_behind(painter_folder: Path, own_home: Path) -> None:
    before = sorted(own_home.parent.rglob("*"))
    _findings(model=str(painter_folder))
    assert sorted(own_home.parent.rglob("*")) == before


def test_a_folder_without_weights_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    assert _findings(model=str(tmp_path))[f"painter {tmp_path}"].status == "failure"


def test_damaged_weights_are_a_failure(painter_folder: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(painter_folder, tmp_path / "damaged")
    weights = next(damaged.rglob("*.safetensors"))
    turned = bytearray(weights.read_bytes())
    turned[-1] ^= 1
    weights.write_bytes(turned)
    found = _findings(model=str(damaged))[f"painter {damaged}"]
    assert found.status == "failure" and "not those of its model_index.json" in found.detail


def test_pickle_weights_are_a_failure_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    found = _findings(model=str(tmp_path), planner="openai")
    assert "pickle" in found["painter"].detail
    assert "no key" in found["endpoint"].detail


def test_a_data_folder_below_a_file_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHATDIT_HOME", str(tmp_path / "file" / "chatdit"))
    assert _findings()["data folder"].status == "failure"


def test_an_endpoint_is_asked_once_with_the_key(painter_folder: Path) -> None:
    models = json.dumps({"object": "list", "data": [{"id": "small", "object": "model"}]}).encode()
    with _endpoint(200, models) as (address, asked):
        llm = {"base_url": address, "model": "small", "api_key": "sk-secret"}
        found = _findings(model=str(painter_folder), llm=llm)["endpoint"]
        other = _findings(model=str(painter_folder), llm=llm | {"model": "large"})["endpoint"]
    assert (found.status, other.status) == ("ok", "warning")
    assert asked == ["/v1/models Bearer sk-secret"] * 2
    assert "sk-secret" not in f"{found}{other}"


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (401, b"{}"), (200, b"<html>")])
def test_an_endpoint_that_misbehaves_is_a_failure(painter_folder: Path, status: int, body: bytes) -> None:
    with _endpoint(status, body) as (address, _):
        found = _findings(model=str(painter_folder), llm={"base_url": address})["endpoint"]
    assert found.status == "failure"
    assert "\n" not in found.detail


def test_an_endpoint_that_is_not_there_is_a_failure(painter_folder: Path) -> None:
    with _endpoint(200, b"") as (address, _):
        pass
    found = _findings(model=str(painter_folder), llm={"base_url": address})["endpoint"]
    assert found.status == "failure" and "does not answer" in found.detail
