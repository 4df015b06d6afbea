"""Terminal pictures: protocol by environment alone, cells that carry the right colours, exact escapes."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from chatdit.terminal_image import (
    Protocol,
    TerminalImage,
    Wanted,
    choose_protocol,
    fit_cells,
    iterm2_escape,
    kitty_escape,
    path_link,
)

XTERM = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    ("environ", "is_tty", "wanted", "expected"),
    [
        (XTERM, True, "auto", "blocks"),
        (XTERM, False, "auto", "off"),
        (XTERM, False, "kitty", "off"),
        (XTERM | {"NO_COLOR": "1"}, True, "auto", "off"),
        (XTERM | {"NO_COLOR": ""}, True, "auto", "blocks"),
        (XTERM | {"NO_COLOR": "1"}, True, "blocks", "blocks"),
        ({"TERM": "dumb"}, True, "auto", "off"),
        ({}, True, "auto", "off"),
        ({"TERM": "xterm-kitty"}, True, "auto", "kitty"),
        (XTERM | {"KITTY_WINDOW_ID": "1"}, True, "auto", "kitty"),
        (XTERM | {"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/t,1,0"}, True, "auto", "blocks"),
        (XTERM | {"TERM_PROGRAM": "ghostty"}, True, "auto", "kitty"),
        (XTERM | {"TERM_PROGRAM": "iTerm.app"}, True, "auto", "iterm2"),
        (XTERM | {"TERM_PROGRAM": "WezTerm"}, True, "auto", "iterm2"),
        (XTERM | {"TERM_PROGRAM": "iTerm.app", "STY": "1.x"}, True, "auto", "blocks"),
        (XTERM, True, "off", "off"),
    ],
)
def test_the_protocol_follows_the_environment(
    environ: dict[str, str], is_tty: bool, wanted: Wanted, expected: Protocol
) -> None:
    assert choose_protocol(environ, is_tty, wanted) == expected


@pytest.mark.parametrize(
    ("size", "cells"),
    [
        ((256, 256), (40, 20)),
        ((512, 256), (40, 10)),
        ((256, 512), (20, 20)),
        ((4000, 1), (40, 1)),
        ((1, 4000), (1, 20)),
    ],
)
def test_cells_keep_the_aspect(size: tuple[int, int], cells: tuple[int, int]) -> None:
    assert fit_cells(size, 40, 20) == cells


def _printed(image: TerminalImage, **options: object) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=30, _environ={})
    console.print(image)
    return file.getvalue()


def test_half_blocks_carry_both_pixels_of_a_cell() -> None:
    image = Image.new("RGB", (2, 2))
    image.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), (9, 8, 7)])
    out = _printed(TerminalImage(image, "blocks", columns=2, rows=1))
    assert out.count("▀") == 2
    assert re.findall(r"38;2;(\d+;\d+;\d+);48;2;(\d+;\d+;\d+)", out) == [("255;0;0", "0;0;255"), ("0;255;0", "9;8;7")]


def test_half_blocks_stay_inside_a_narrow_terminal() -> None:
    lines = re.sub(
        r"\x1b\[[0-9;]*m", "", _printed(TerminalImage(Image.new("RGB", (64, 64)), "blocks", 200, 200))
    ).split("\n")
    assert {len(line) for line in lines if line} == {30}
    assert len([line for line in lines if line]) == 15


def test_off_prints_nothing() -> None:
    assert _printed(TerminalImage(Image.new("RGB", (8, 8)), "off")).strip() == ""


def test_kitty_chunks_join_to_the_png() -> None:
    image = Image.effect_noise((96, 96), 90).convert("RGB")
    escape = kitty_escape(image, 10, 5)
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", escape)
    assert "".join(f"\x1b_G{head};{data}\x1b\\" for head, data in pieces) == escape
    assert len(pieces) > 1
    assert all(len(data) <= 4096 for _, data in pieces)
    assert pieces[0][0] == "a=T,f=100,q=2,c=10,r=5,m=1"
    assert [head for head, _ in pieces[1:]] == ["m=1"] * (len(pieces) - 2) + ["m=0"]
    decoded = Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces))))
    assert decoded.tobytes() == image.tobytes()


def test_iterm2_escape_holds_the_png_and_its_length() -> None:
    image = Image.new("RGB", (8, 4), "teal")
    match = re.fullmatch(r"\x1b]1337;File=inline=1;size=(\d+);width=6;height=2;preserveAspectRatio=1:(.*)\x07",
                         iterm2_escape(image, 6, 2))  # fmt: skip
    assert match
    png = base64.b64decode(match[2])
    assert len(png) == int(match[1])
    assert Image.open(io.BytesIO(png)).getpixel((0, 0)) == (0, 128, 128)


@pytest.mark.parametrize("protocol", ["kitty", "iterm2"])
def test_graphics_escapes_pass_rich_unbroken(protocol: Protocol) -> None:
    image = Image.effect_noise((64, 64), 90).convert("RGB")
    escape = {"kitty": kitty_escape, "iterm2": iterm2_escape}[protocol](image, 20, 10)
    assert escape in _printed(TerminalImage(image, protocol, 20, 10))


def test_the_path_is_a_link_on_a_terminal_and_plain_text_in_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a b.png"
    linked, plain = io.StringIO(), io.StringIO()
    Console(file=linked, force_terminal=True, width=300, _environ={}).print(path_link(path))
    Console(file=plain, width=300, _environ={}).print(path_link(path))
    assert "\x1b]8;id=" in linked.getvalue() and "a%20b.png" in linked.getvalue()
    assert plain.getvalue() == f"{path}\n"


def test_a_short_path_is_what_one_would_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.chdir(tmp_path)

    assert path_link(tmp_path / "out" / "a.png", short=True).plain == "out/a.png"
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    assert path_link(tmp_path / "me" / "a.png", short=True).plain == "~/a.png"
    assert path_link(tmp_path / "me" / "a.png").plain == str(tmp_path / "me" / "a.png")
