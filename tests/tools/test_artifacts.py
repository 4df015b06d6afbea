"""The artifact store: whole blobs or none, equal content once, damage noticed."""

from __future__ import annotations

import errno
import os
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from chatdit.tools.artifacts import ArtifactStore, png_bytes
from chatdit.tools.types import ImageRef, MaskRef, ToolError


def noise(seed: int = 0, size: tuple[int, int] = (24, 16)) -> Image.Image:
    levels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


def files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file())


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    assert "expected" in text or "free some space" in text
    return text


def test_a_picture_comes_back_pixel_for_pixel(tmp_path: Path) -> None:
    store, picture = ArtifactStore(tmp_path), noise()
    ref = store.put_image(picture)
    assert (ref.width, ref.height) == picture.size
    assert store.open_image(ref).tobytes() == picture.tobytes()
    assert store.path(ref) == tmp_path / ref.sha256[:2] / f"{ref.sha256}.png"
    assert store.has(ref.sha256) and not store.has("0" * 64)


def test_metadata_does_not_change_the_bytes() -> None:
    bare, dressed = noise(), noise()
    dressed.info = {"dpi": (300, 300), "icc_profile": b"x" * 200, "transparency": (0, 0, 0), "comment": "hello"}
    assert png_bytes(bare) == png_bytes(dressed)
    assert png_bytes(noise(1)) != png_bytes(bare)


def test_equal_pictures_are_one_file_and_it_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(tmp_path)
    ref = store.put_image(noise())
    monkeypatch.setattr(os, "write", lambda *_: pytest.fail("an existing blob was written again"))
    assert store.put_image(noise()) == ref
    assert files(tmp_path) == [store.path(ref)]


def test_json_is_canonical(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    sha = store.put_json({"b": [1, 2.5, None], "a": "fünf"})
    assert store.put_json({"a": "fünf", "b": [1, 2.5, None]}) == sha
    assert store.get_json(sha) == {"a": "fünf", "b": [1, 2.5, None]}
    assert store.has(sha)


def test_only_rgb_is_stored(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"mode RGBA.*expected RGB") as caught:
        ArtifactStore(tmp_path).put_image(Image.new("RGBA", (4, 4)))
    one_line(caught.value)


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n\x1a\n truncated", b"{}"])
def test_a_damaged_blob_is_one_clear_error_and_putting_it_again_repairs_it(tmp_path: Path, damage: bytes) -> None:
    store = ArtifactStore(tmp_path)
    ref = store.put_image(noise())
    store.path(ref).write_bytes(damage)
    with pytest.raises(ToolError, match="is damaged") as caught:
        store.open_image(ref)
    assert ref.sha256[:12] in one_line(caught.value)
    assert store.put_image(noise()) == ref
    assert store.open_image(ref).tobytes() == noise().tobytes()


def test_a_flipped_bit_in_json_is_noticed(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    sha = store.put_json([1, 2, 3])
    place = tmp_path / sha[:2] / f"{sha}.json"
    place.write_bytes(b"[1,2,4]")
    with pytest.raises(ToolError, match="is damaged"):
        store.get_json(sha)


def test_a_missing_blob_names_itself_and_the_folder(tmp_path: Path) -> None:
    ref = ImageRef(sha256="ab" * 32, width=1, height=1)
    with pytest.raises(ToolError, match=re.escape(str(tmp_path))) as caught:
        ArtifactStore(tmp_path).open_image(ref)
    assert "abababababab" in one_line(caught.value)


def test_a_ref_with_the_wrong_size_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    ref = store.put_image(noise(size=(24, 16)))
    with pytest.raises(ToolError, match=r"24x16.*16x24"):
        store.open_image(ref.model_copy(update={"width": 16, "height": 24}))


def test_a_mask_comes_back_level_for_level(tmp_path: Path) -> None:
    store, mask = ArtifactStore(tmp_path), noise().getchannel("R")
    ref = store.put_mask(mask)
    assert (ref.kind, ref.width, ref.height) == ("mask", *mask.size)
    found = store.open_mask(ref)
    assert found.mode == "L" and found.tobytes() == mask.tobytes()
    assert store.put_mask(mask) == ref and files(tmp_path) == [store.path(ref)]


@pytest.mark.parametrize("mode", ["RGB", "1", "LA", "I", "F"])
def test_only_one_channel_of_8_bits_is_stored_as_a_mask(tmp_path: Path, mode: str) -> None:
    with pytest.raises(ToolError, match=rf"mode {mode}: expected L") as caught:
        ArtifactStore(tmp_path).put_mask(Image.new(mode, (4, 4)))
    one_line(caught.value)
    assert files(tmp_path) == []


def test_a_picture_is_no_mask(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    picture = store.put_image(noise())
    with pytest.raises(ToolError, match=r"mode RGB: expected a mask") as caught:
        store.open_mask(MaskRef(sha256=picture.sha256, width=picture.width, height=picture.height))
    one_line(caught.value)


def test_a_mask_of_another_size_damaged_or_missing_is_refused(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    ref = store.put_mask(noise(size=(24, 16)).getchannel("G"))
    with pytest.raises(ToolError, match=r"24x16.*16x24") as caught:
        store.open_mask(ref.model_copy(update={"width": 16, "height": 24}))
    one_line(caught.value)
    store.path(ref).write_bytes(b"")
    with pytest.raises(ToolError, match="is damaged"):
        store.open_mask(ref)
    with pytest.raises(ToolError, match="is not in"):
        store.open_mask(MaskRef(sha256="ab" * 32, width=1, height=1))


@pytest.mark.parametrize("name", ["../../etc/passwd", "AB" * 32, "", "ab" * 31, "ab" * 32 + "\n"])
def test_only_digests_name_blobs(tmp_path: Path, name: str) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(ToolError, match="64 hexadecimal digits") as caught:
        store.has(name)
    one_line(caught.value)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_clear_error_and_leaves_no_partial_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = ArtifactStore(tmp_path)
    kept = store.put_image(noise(1))
    real, calls = os.write, []

    def full_after_some(handle: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(code, os.strerror(code))
        return real(handle, data[:100])

    monkeypatch.setattr(os, "write", full_after_some)
    with pytest.raises(ToolError, match="the disk is full") as caught:
        store.put_image(noise(2))
    one_line(caught.value)
    assert len(calls) == 2
    assert files(tmp_path) == [store.path(kept)]
    monkeypatch.undo()
    assert store.open_image(store.put_image(noise(2))).tobytes() == noise(2).tobytes()


def test_an_interrupt_while_writing_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ArtifactStore(tmp_path).put_image(noise())
    assert files(tmp_path) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(ToolError, match="expected a writable folder") as caught:
        ArtifactStore(tmp_path / "store").put_json(1)
    one_line(caught.value)


def test_a_blob_is_never_seen_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte goes into a temporary file of the same folder; the name appears after fsync."""
    order: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        order.append("fsync")
        real_fsync(handle)

    def replace(part: Path, target: Path) -> Path:
        assert part.parent == target.parent and not target.exists()
        order.append("replace")
        return real_replace(part, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    ArtifactStore(tmp_path).put_json("x" * 10_000)
    assert order == ["fsync", "replace", "fsync"]


def test_threads_may_put_the_same_picture_at_once(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    refs: list[ImageRef] = []
    threads = [threading.Thread(target=lambda: refs.append(store.put_image(noise(7)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refs) == 8 and len(set(refs)) == 1
    assert files(tmp_path) == [store.path(refs[0])]


def test_a_stored_png_carries_no_text(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "secret prompt")
    noise().save(tmp_path / "in.png", pnginfo=info)
    store = ArtifactStore(tmp_path / "store")
    with Image.open(tmp_path / "in.png") as picture:
        ref = store.put_image(picture.convert("RGB"))
    assert b"secret" not in store.path(ref).read_bytes()
