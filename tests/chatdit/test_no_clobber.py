"""Files appear whole or not at all, and never replace another."""

from __future__ import annotations

import errno
import resource
import threading
from pathlib import Path

import pytest

from chatdit.no_clobber import disk_error, new_folder, write_new
from chatdit.session_errors import StoreError


def test_names_are_numbered_and_equal_bytes_count_as_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.png"
    assert write_new(path, b"1") == path
    assert write_new(path, b"1") == path
    assert write_new(path, b"22") == path.with_name("a-2.png")
    assert write_new(path, b"3") == path.with_name("a-3.png")
    assert path.read_bytes() == b"1"
    assert [new_folder(tmp_path / "out").name for _ in range(3)] == ["out", "out-2", "out-3"]
    assert not list(path.parent.glob(".part*"))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "target")
    assert write_new(tmp_path / "a.png", b"1") == tmp_path / "a-2.png"
    assert not (tmp_path / "target").exists()


def test_many_writers_get_a_name_each(tmp_path: Path) -> None:
    written: list[Path] = []
    threads = [
        threading.Thread(target=lambda i=i: written.append(write_new(tmp_path / "a", bytes([i])))) for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(written)) == 12
    assert {path.read_bytes() for path in written} == {bytes([i]) for i in range(12)}


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StoreError, match="the disk is full"):
            write_new(tmp_path / "a", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_errors_name_the_path_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file.*expected a writable folder"):
        write_new(tmp_path / "file" / "a", b"")
    with pytest.raises(StoreError, match=r"cannot write"):
        new_folder(tmp_path / "file" / "a" / "b")
    assert "full" in str(disk_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "a"))
