"""`chatdit eval`: a suite is run, judged, reported and compared from the command line."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from pydantic import JsonValue

from chatdit import cli
from chatdit.eval_worker import answer
from chatdit.evals.running.worker import Assignment
from chatdit.evals.suites.case import Case, Question
from chatdit.evals.suites.idea_bench import sealed, write_case
from chatdit.workshop import Workshop

PROGRAM = """
import pathlib, sys
from PIL import Image
told, out, *given = sys.argv[1:]
if "nothing" in told: sys.exit()
Image.new("RGB", (32, 32), "red").save(pathlib.Path(out) / "0001.png")
"""


class Said(NamedTuple):
    code: int
    out: str
    err: str


class CommandLine:
    """Runs `chatdit eval` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["chatdit", "eval", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = self._capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Said(left.value.code, out, err)


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.setenv("CHATDIT_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)


@pytest.fixture
def suite(tmp_path: Path) -> str:
    """Three cases: two that a red picture answers as far as counting goes, one that gets no picture."""
    root = tmp_path / "cases"
    counted: JsonValue = [{"kind": "count", "outputs": 1}]
    placed: JsonValue = [{"kind": "place", "picture": "out1", "background": "beach"}]
    checks = [*[counted] * 5, placed]
    for i, told in enumerate(("Draw a cat on the beach.", "Draw a dog on the moon.", "Draw nothing.")):
        questions = tuple(Question(text=f"Q{q}", check=check) for q, check in enumerate(checks))
        case = Case(
            id=f"drawing_{i:04d}", task="0001", task_name="drawing", group="drawing", category="T2I", instruction=told,
            folder=root / f"drawing_{i:04d}", output_count=1, questions=questions, sha256="0" * 64,
        )  # fmt: skip
        write_case(root, sealed(case, []), [])
    return str(root)


@pytest.fixture
def command(tmp_path: Path) -> tuple[str, ...]:
    program = tmp_path / "prog.py"
    program.write_text(PROGRAM)
    return "--system", "command", f"{sys.executable} {program} {{instruction}} {{out}} {{inputs}}"


def test_a_suite_is_run_and_judged(evaluate: CommandLine, suite: str, command: tuple[str, ...]) -> None:
    said = evaluate(suite, *command, "--out", "run", "--json", "--workers", "2")
    told = json.loads(said.out)
    assert said.code == 0 and told["system"] == "command" and told["judge"] == "pocket"
    assert told["counts"] == {"cases": 3, "missing": 1, "unreadable": 0}
    assert told["T2I"]["value"] in (pytest.approx(100 * 10 / 18, abs=0.01), pytest.approx(100 * 11 / 18, abs=0.01))
    assert (Path("run") / "outputs" / "command" / "drawing_0000" / "0001.jpg").is_file()


def test_a_run_goes_on_and_is_judged_without_drawing(
    evaluate: CommandLine, suite: str, command: tuple[str, ...]
) -> None:
    drawn = evaluate(suite, *command, "--out", "run", "--judge", "none")
    assert drawn.code == 0 and drawn.out == "run: 3 cases, 2 done, 1 asked, 0 failed\n"
    Path("prog.py").unlink()
    assert evaluate(suite, *command, "--out", "run", "--judge", "none", "--resume").code == 0
    judged = evaluate("judge", "run", "--json")
    assert judged.code == 0 and json.loads(judged.out)["counts"]["missing"] == 1


def test_scores_are_tabled_compared_and_put_on_a_page(
    evaluate: CommandLine, suite: str, command: tuple[str, ...]
) -> None:
    for name in ("one", "two"):
        assert evaluate(suite, *command, "--out", name).code == 0
    table = evaluate("report", "one", "two", "--html", "page.html")
    assert table.code == 0 and "overall" in table.out and "without a picture" in table.out
    assert "drawing_0002" in Path("page.html").read_text()
    both = json.loads(evaluate("report", "one", "two", "--json").out)
    assert [run["folder"] for run in both] == ["one", "two"]
    compared = json.loads(evaluate("compare", "one", "two", "--json").out)
    assert compared["paired"][0] == {
        "category": "overall", "difference": 0, "ci_low": 0, "ci_high": 0, "n": 3, "better": 0, "same": 3, "worse": 0
    }  # fmt: skip
    assert "less command" in evaluate("compare", "one", "two").out


def test_a_score_below_the_threshold_has_an_exit_code(
    evaluate: CommandLine, suite: str, command: tuple[str, ...]
) -> None:
    said = evaluate(suite, *command, "--out", "run", "--fail-under", "99")
    assert said.code == 5 and "is below 99" in said.err
    assert evaluate("judge", "run", "--fail-under", "5").code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("absent",), "no suite at absent: expected a folder of cases"),
        (("SUITE", "--system", "tabel"), "--system 'tabel' is not known: expected ours, table, rephrase, command; did"),
        (("SUITE", "--system", "command"), "--system command needs a command"),
        (("SUITE", "x {out} {instruction}"), "no other system takes one"),
        (("SUITE", "--system", "command", "prog"), "has no {out} or no {instruction}"),
        (("SUITE", "--split", "train"), "--split 'train' is not known: expected dev, test"),
        (("SUITE", "--split", "dev"), "no case of cases is left with split dev: it has 3"),
        (("judge", "nowhere"), "no run at nowhere: expected a folder with a manifest.json"),
        (("judge", "nowhere", "--judge", "gemini"), "--judge 'gemini' is not known: expected pocket, openai, person"),
        (("report", "nowhere"), "no run at nowhere"),
        (("compare", "nowhere", "elsewhere"), "no run at nowhere"),
        (("effects", "--tool", "paint", "--cases", "2"), "no claim of a tool 'paint': expected one of generate"),
        (("SUITE", "--ray", "127.0.0.1:1"), "--ray needs Ray"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    evaluate: CommandLine, suite: str, command: tuple[str, ...], arguments: tuple[str, ...], told: str
) -> None:
    if "--ray" in arguments and importlib.util.find_spec("ray") is not None:
        pytest.skip("Ray is installed")
    given = [suite if a == "SUITE" else a for a in arguments]
    given += [*command, "--out", "rayed"] if "--ray" in arguments else []
    said = evaluate(*given)
    assert said.code == 2 and told in said.err and said.err.count("\n") == 1 and not said.out


def test_another_configuration_is_not_gone_on_with(evaluate: CommandLine, suite: str, command: tuple[str, ...]) -> None:
    assert evaluate(suite, *command, "--out", "run").code == 0
    again = evaluate(suite, *command, "--out", "run")
    assert again.code == 2 and "holds a run already: go on with --resume" in again.err
    other = evaluate(suite, *command, "--out", "run", "--resume", "--seed", "4")
    assert other.code == 2 and "another configuration: seed 0 (now 4)" in other.err


def test_a_first_word_that_is_no_command_is_a_suite(evaluate: CommandLine, suite: str) -> None:
    assert "SUITE" in evaluate("run", "--help").out
    assert "report" in evaluate("--help").out


@pytest.mark.parametrize("planner", ["offline", "table", "rephrase"])
def test_our_own_systems_answer_a_case(planner: str, painter_folder: Path, tmp_path: Path) -> None:
    from chatdit.config import load_settings

    workshop = Workshop(load_settings({"planner": planner, "model": str(painter_folder), "device": "cpu"}))
    out = tmp_path / "out"
    out.mkdir()
    told = "Draw a cat on the beach, then the same cat on the moon."
    drawn = answer(Assignment(case="c", instruction=told, inputs=(), seed=3, folder=str(out)), workshop)
    assert drawn.status == "done" and len(drawn.pictures) == 2 and drawn.plan is not None
    for picture in drawn.pictures:
        with Image.open(picture) as opened:
            opened.load()
    nodes = drawn.plan["nodes"]  # type: ignore[index, call-overload]
    assert len(nodes) == (2 if planner == "rephrase" else 1)  # type: ignore[arg-type]
    asked = answer(Assignment(case="c", instruction="Draw a zorblax.", inputs=(), seed=3, folder=str(out)), workshop)
    assert asked.status == "asked" and "zorblax" in asked.reply
