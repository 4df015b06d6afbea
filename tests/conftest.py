"""What every test runs under: no network, fixed seeds, its own data folder, nothing of the user's environment.

The repository root comes off `sys.path`, because its folders `kernels`, `agents`, `evals` and `tools`
would shadow installed packages of those names (diffusers and transformers import `kernels`).
"""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
USERS_OWN = ("CHATDIT_", "OPENAI_", "LANGSMITH_", "LANGCHAIN_", "XDG_")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # on a busy machine, two threads that wait for each other take minutes longer
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "LANGSMITH_TRACING": "false", "NO_PROXY": "*"}

sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT]


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment before any library reads it, and close the network for good."""
    for name in [n for n in os.environ if n.startswith(USERS_OWN)]:
        del os.environ[name]
    os.environ.update(OFFLINE | ONE_THREAD)
    _close_the_network()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `gpu` where no CUDA device is, and say so."""
    marked = [item for item in items if "gpu" in item.keywords]
    if marked and not _has_cuda():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and torch finds none"))


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh CHATDIT_HOME (data and configuration) and empty XDG folders for each test."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("CHATDIT_HOME", str(home / "chatdit"))
    for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(home / kind.lower()))
    return home / "chatdit"


@pytest.fixture(autouse=True)
def fixed_seeds() -> Iterator[None]:
    """Python, NumPy and torch draw the same numbers in every test, in whatever order tests run."""
    random.seed(0)
    for name in ("numpy", "torch"):
        if name in sys.modules:
            _seed(name)
    yield


def _seed(name: str) -> None:
    if name == "numpy":
        import numpy

        numpy.random.seed(0)
    else:
        import torch

        torch.manual_seed(0)


def _has_cuda() -> bool:
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


def _is_local(host: object) -> bool:
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def _close_the_network() -> None:
    """Let sockets reach loopback and Unix paths alone; anything else, names included, fails at once."""
    real_connect, real_connect_ex = socket.socket.connect, socket.socket.connect_ex
    real_sendto, real_getaddrinfo = socket.socket.sendto, socket.getaddrinfo

    def refuse_unless_local(family: int, address: object) -> None:
        host = address[0] if isinstance(address, tuple) and address else address
        if family in (socket.AF_INET, socket.AF_INET6) and not _is_local(host):
            raise OSError(f"tests are offline: a socket to {address} was refused; bind servers to 127.0.0.1")

    def connect(sock: socket.socket, address: object) -> None:
        refuse_unless_local(sock.family, address)
        real_connect(sock, address)  # type: ignore[arg-type]

    def connect_ex(sock: socket.socket, address: object) -> int:
        refuse_unless_local(sock.family, address)
        return real_connect_ex(sock, address)  # type: ignore[arg-type]

    def sendto(sock: socket.socket, data: bytes, *flags_and_address: object) -> int:
        refuse_unless_local(sock.family, flags_and_address[-1])
        return real_sendto(sock, data, *flags_and_address)  # type: ignore[call-overload, no-any-return]

    def getaddrinfo(host: object, *args: object, **kwargs: object) -> object:
        if not _is_local(host):
            raise socket.gaierror(f"tests are offline: the name {host!r} was not looked up")
        return real_getaddrinfo(host, *args, **kwargs)  # type: ignore[arg-type]

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign, assignment]
    socket.socket.sendto = sendto  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]


@pytest.fixture(scope="session")
def pair() -> Callable[..., list[dict[str, Any]]]:
    """Runs a script twice with these arguments, as two processes of one team; gives the JSON that each prints."""
    return _pair


def _pair(script: Path, *arguments: str) -> list[dict[str, Any]]:
    shared = {
        **os.environ,
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    members = [
        subprocess.Popen(
            [sys.executable, "-P", str(script), *arguments],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        ends = [member.communicate(timeout=240) for member in members]
    finally:
        for member in members:
            member.kill()
    assert [member.returncode for member in members] == [0, 0], "\n".join(error for _, error in ends)
    return [json.loads(out) for out, _ in ends]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
