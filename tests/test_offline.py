"""The guard of conftest.py holds: loopback works, everything else fails without a packet."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")])
def test_a_socket_to_another_machine_is_refused(family: socket.AddressFamily, address: str) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as sock, pytest.raises(OSError, match="tests are offline"):
        sock.connect((address, 443))
    with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match="tests are offline"):
        sock.sendto(b"x", (address, 53))


def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(OSError, match="not looked up"):
        socket.create_connection(("example.invalid", 443), timeout=1)


def test_loopback_and_unix_sockets_work(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5) as client,
    ):
        client.sendall(b"ping")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(4) == b"ping"
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        client.connect(path)
        assert client.getpeername() == path


def test_every_test_has_its_own_home(own_home: Path) -> None:
    assert os.environ["CHATDIT_HOME"] == str(own_home)
    assert not own_home.exists()
    assert not any(name.startswith("OPENAI_") for name in os.environ)


def test_the_repository_root_is_off_the_path() -> None:
    assert ROOT not in [Path(entry).resolve() for entry in sys.path]
