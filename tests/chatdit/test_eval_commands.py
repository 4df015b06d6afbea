"""`chatdit eval`: a suite is run, judged, reported and compared from the command line."""

from __future__ import annotations

import importlib.util
import io
import json
import shutil
import signal
import subprocess
import sys
import time
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
        (
            ("effects", "--tool", "paint", "--cases", "2"),
            "no claim of a tool 'paint': expected one of edit, ",
        ),
        (("SUITE", "--ray", "127.0.0.1:1"), "--ray needs Ray"),
        (("SUITE", "--ray", "127.0.0.1:1", "--workers", "2"), "--workers 2 does not go with --ray"),
        (("pockte",), "expected a folder of cases in IDEA-Bench's format, or pocket; did you mean pocket?"),
        (("jugde", "run"), "no suite at jugde"),
        (("SUITE", "--judge", "opnai"), "--judge 'opnai' is not known: expected pocket, openai, person, none; did you"),
        (("SUITE", "--judge", "openai", "--prices", "2"), "--prices '2': expected two numbers, such as 2.5,10"),
        (("SUITE", "--votes", "5"), "--votes is for --judge openai and does not go with pocket: leave one of them out"),
        (("SUITE", "--judge", "none", "--max-cost", "1"), "--max-cost is for --judge openai and does not go with none"),
        (("judge", "nowhere", "--no-probe"), "--no-probe is for --judge openai"),
        (("judge", "nowhere", "--name", "Ada"), "--name is for --judge person and does not go with pocket"),
        (("SUITE", "--aggregation", "groop"), "--aggregation 'groop' is not known: expected group, task, mini; did"),
        (("SUITE", "--aggregation", "mini"), "3 cases: the mini script averages exactly 51"),
        (
            ("SUITE", "--model", "pocket", "--system", "command", "x {out} {instruction}"),
            "--model 'pocket' is for this",
        ),
        (("SUITE", "--model", "no-such-model"), "no-such-model"),
        (("judge", "."), ". has no manifest.json: name the suite that its pictures are for with --suite"),
        (("judge", "cases", "--suite", "SUITE"), "cases has no picture for any case of cases"),
        (("judge", "cases", "--suite", "nowhere"), "no suite at nowhere"),
        (("judge", "nowhere", "--suite", "SUITE"), "no folder nowhere: expected one with outputs/<system>/<case>"),
        (("judge", "nowhere", "--aggregation", "sum"), "--aggregation 'sum' is not known"),
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
    assert not list(Path().rglob("results.jsonl")), "it was drawn"


def test_another_configuration_is_not_gone_on_with(evaluate: CommandLine, suite: str, command: tuple[str, ...]) -> None:
    assert evaluate(suite, *command, "--out", "run").code == 0
    again = evaluate(suite, *command, "--out", "run")
    assert again.code == 2 and "holds a run already: go on with --resume" in again.err
    other = evaluate(suite, *command, "--out", "run", "--resume", "--seed", "4")
    assert other.code == 2 and "another configuration: seed 0 (now 4)" in other.err


def test_scores_are_kept_with_the_run(evaluate: CommandLine, suite: str, command: tuple[str, ...]) -> None:
    said = evaluate(suite, *command, "--out", "run", "--json")
    assert json.loads(Path("run/scores/pocket.json").read_text()) == json.loads(said.out)
    told = json.loads(Path("run/manifest.json").read_text())
    assert (told["system"], told["model"], told["planner"], told["weights"]) == ("command", None, None, "unknown")


def test_a_run_may_grow(evaluate: CommandLine, suite: str, command: tuple[str, ...]) -> None:
    few = evaluate(suite, *command, "--out", "run", "--limit", "1", "--json")
    assert json.loads(few.out)["counts"]["cases"] == 1
    half = Path("run/results.jsonl")
    half.write_bytes(half.read_bytes() + b'{"case":')
    all_cases = evaluate(suite, *command, "--out", "run", "--resume", "--json")
    assert json.loads(all_cases.out)["counts"] == {"cases": 3, "missing": 1, "unreadable": 0}
    assert "note: run/results.jsonl: a half-written last line was cut off" in all_cases.err
    lines = [json.loads(line)["case"] for line in half.read_text().splitlines()]
    assert sorted(lines) == ["drawing_0000", "drawing_0001", "drawing_0002"], "each was drawn once"


def test_another_systems_pictures_are_judged_and_compared(
    evaluate: CommandLine, suite: str, command: tuple[str, ...]
) -> None:
    ours = json.loads(evaluate(suite, *command, "--out", "run", "--json").out)
    shutil.copytree("run/outputs/command", "theirs/outputs/their-model")
    said = evaluate("judge", "theirs", "--suite", suite, "--json")
    told = json.loads(said.out)
    assert said.code == 0 and told["system"] == "their-model" and told["counts"] == ours["counts"]
    assert evaluate("compare", "run", "theirs").code == 0
    Path(suite).rename("moved")
    assert evaluate("judge", "theirs").code == 2
    assert json.loads(evaluate("judge", "theirs", "--suite", "moved", "--json").out)["overall"] == told["overall"]


def test_a_judge_out_of_reach_costs_no_picture(
    evaluate: CommandLine, suite: str, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    keyless = evaluate(suite, *command, "--out", "run", "--judge", "openai")
    assert keyless.code == 4 and keyless.err.count("\n") == 1 and not Path("run").exists()
    monkeypatch.setenv("CHATDIT_LLM__BASE_URL", "http://127.0.0.1:9/v1")
    said = evaluate(suite, *command, "--out", "run", "--judge", "openai")
    assert said.code == 4 and len(Path("run/results.jsonl").read_text().splitlines()) == 3


def test_a_person_judges_on_a_page(
    evaluate: CommandLine, suite: str, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from chatdit.evals.judges.person import PersonJudgeServer

    def leave(self: PersonJudgeServer, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(PersonJudgeServer, "wait", leave)
    evaluate(suite, *command, "--out", "run", "--judge", "none")
    said = evaluate("judge", "run", "--page", "--name", "ann", "--json")
    assert said.code == 0 and "judge at http://127.0.0.1:" in said.err and "go on with the same command" in said.err
    assert json.loads(said.out)["judge"] == "person:ann" and json.loads(said.out)["counts"]["missing"] == 3
    unnamed = evaluate("judge", "run", "--judge", "person", "--name", "a/b")
    assert unnamed.code == 2 and "the judge's name 'a/b'" in unnamed.err


def test_ctrl_c_keeps_what_is_finished(suite: str, tmp_path: Path) -> None:
    program = "import sys, time; time.sleep(300) if 'dog' in sys.argv[1] else print('Which?')"
    template = f"{sys.executable} -c {json.dumps(program)} {{instruction}} {{out}}"
    words = ["eval", suite, "--system", "command", template, "--judge", "none", "--out", str(tmp_path / "run")]
    code = "import sys; from chatdit.cli import main; sys.argv[0] = 'chatdit'; main()"
    process = subprocess.Popen([sys.executable, "-P", "-c", code, *words], stderr=subprocess.PIPE, text=True)
    results, deadline = tmp_path / "run" / "results.jsonl", time.monotonic() + 60
    while not results.is_file():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in said
    assert [json.loads(line)["case"] for line in results.read_text().splitlines()] == ["drawing_0000"]
    assert not (tmp_path / "run" / "drawing").exists()


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
