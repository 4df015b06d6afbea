"""Somebody else's system as a command."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from chatdit.evals.running.command_system import arguments, draw, worker_command
from chatdit.evals.running.worker import Assignment, Worker

PROGRAM = """
import pathlib, sys
from PIL import Image
out, seed, told, *pictures = sys.argv[1:]
if told.startswith("fail"): sys.exit("no luck")
if told.startswith("ask"): print("Which one?"); sys.exit()
Image.new("RGB", (8, 8), (int(seed), len(pictures), 0)).save(pathlib.Path(out) / "0001.png")
print("working"); print("done:", told)
"""


@pytest.fixture
def template(tmp_path: Path) -> str:
    (tmp_path / "prog.py").write_text(PROGRAM)
    return f"{sys.executable} {tmp_path / 'prog.py'} {{out}} {{seed}} {{instruction}} {{inputs}}"


def _assignment(tmp_path: Path, instruction: str) -> Assignment:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    return Assignment(case="a", instruction=instruction, inputs=("x.png", "y z.png"), seed=7, folder=str(out))


def test_places_are_filled_in_as_whole_words() -> None:
    values = {"instruction": 'say "hi" ; rm -rf /', "seed": "3", "out": "o"}
    words = arguments("prog --seed={seed} {instruction} {inputs} {out}", values, ("a b.png", "c.png"))
    assert words == ["prog", "--seed=3", 'say "hi" ; rm -rf /', "a b.png", "c.png", "o"]
    assert arguments("prog {inputs} {out}", values, ()) == ["prog", "o"]
    told = values | {"instruction": "write {seed} and {out} and {inputs}"}
    assert arguments("prog {instruction} {other}", told, ("a.png",)) == ["prog", told["instruction"], "{other}"]


def test_a_command_is_run_for_a_case(template: str, tmp_path: Path) -> None:
    answered = draw(template, _assignment(tmp_path, "a cat; rm x"))
    assert (answered.status, answered.reply) == ("done", "done: a cat; rm x")
    with Image.open(answered.pictures[0]) as picture:
        assert picture.getpixel((0, 0)) == (7, 2, 0)


def test_a_command_that_fails_or_asks_is_told(template: str, tmp_path: Path) -> None:
    failed = draw(template, _assignment(tmp_path, "fail now"))
    assert failed.status == "failed" and failed.error == "the command ended with code 1: no luck"
    asked = draw(template, _assignment(tmp_path, "ask me"))
    assert (asked.status, asked.reply) == ("asked", "Which one?")
    assert draw(template, _assignment(tmp_path, "a\0b")).status == "failed"
    absent = draw("no-such-program {instruction} {out}", _assignment(tmp_path, "a"))
    assert absent.status == "failed" and "no-such-program" in absent.error


def test_it_is_a_worker_like_any_other(template: str, tmp_path: Path) -> None:
    worker = Worker(worker_command(template), tmp_path / "log", threads=1)
    assert worker.draw(_assignment(tmp_path, "a cat"), 30).status == "done"
    worker.close()
    assert "working" in (tmp_path / "log").read_text()


def test_the_instruction_is_also_in_a_file(tmp_path: Path) -> None:
    template = "cp {instruction_file} {out}/copied.txt"
    draw(template, _assignment(tmp_path, "a cat\non a mat"))
    assert (tmp_path / "out" / "copied.txt").read_text() == "a cat\non a mat\n"


def test_a_command_does_not_read_what_is_said_to_its_worker(tmp_path: Path) -> None:
    reads = "import sys; print(len(sys.stdin.read())); sys.stdout.buffer.write(bytes([255, 10]))"
    worker = Worker(
        worker_command(f"{sys.executable} -c {shlex.quote(reads)} {{out}} {{instruction}}"), tmp_path / "log", threads=1
    )
    for _ in range(2):
        answered = worker.draw(_assignment(tmp_path, "a cat"), 30)
        assert (answered.status, answered.reply) == ("asked", "\ufffd")
    worker.close()
    assert (tmp_path / "log").read_text().split() == ["0", "\ufffd"] * 2


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("", "an empty command: expected one such as"),
        ("prog", "has no {out} or no {instruction}: expected a command such as"),
        ("prog {instruction}", "has no {out} or no {instruction}"),
        ("prog {out}", "has no {out} or no {instruction}"),
        ("prog {out} {instructions}", "has no {out} or no {instruction}"),
        ("prog {out} '{instruction}", "cannot be split into words (No closing quotation): close its quotes"),
        ("prog {out} {instruction} --images={inputs}", "'--images={inputs}' has {inputs} within a word"),
    ],
)
def test_a_command_that_is_told_too_little_is_refused(template: str, told: str) -> None:
    with pytest.raises(ValueError) as error:
        worker_command(template)
    assert told in str(error.value)


def test_the_module_answers_until_its_input_ends(template: str) -> None:
    assert subprocess.run(worker_command(template), input=b"", capture_output=True).returncode == 0
