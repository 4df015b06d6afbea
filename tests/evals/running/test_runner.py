"""Suites are run by workers that may die, hang or babble; what is finished stays, and is not done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from chatdit.evals.judges.judge import Answer, Verdict
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.running.json_lines import BrokenLineError
from chatdit.evals.running.pool import draw_all
from chatdit.evals.running.run_folder import Manifest, Result, RunFolder, RunFolderError, config_sha256
from chatdit.evals.running.runner import case_seed, judge_run, local_pool, run_suite, score_run
from chatdit.evals.running.worker import Assignment, Worker, WorkerLost
from chatdit.evals.suites.case import Case, Suite
from chatdit.tools.images import load_picture

MakeSuite = Callable[..., Suite]


def manifest(suite: Suite, **changed: object) -> Manifest:
    values = {
        "suite": suite.name,
        "suite_sha256": suite.sha256,
        "system": "fake",
        "command": ["x"],
        "seed": 0,
        "weights": "w",
    } | changed
    return Manifest(
        **values,  # type: ignore[arg-type]
        suite_root=str(suite.root), split=None, limit=None, versions={}, commit="", started="2026-01-01T00:00:00Z",
        config_sha256=config_sha256(values),  # type: ignore[arg-type]
    )  # fmt: skip


def _run(suite: Suite, tmp_path: Path, command: Sequence[str], workers: int = 1, timeout: float = 20) -> RunFolder:
    folder = RunFolder(tmp_path / "out")
    folder.begin(manifest(suite))
    run_suite(suite, folder, "fake", local_pool(folder, command, workers, timeout), seed=0)
    return folder


def _calls(tmp_path: Path) -> list[list[str]]:
    return [line.split() for line in (tmp_path / "calls.txt").read_text().splitlines()]


def test_every_case_leaves_a_line_and_its_pictures_in_both_layouts(
    make_suite: MakeSuite, system: list[str], tmp_path: Path
) -> None:
    suite = make_suite("one", "two", "ask")
    folder = _run(suite, tmp_path, system)
    results = folder.results()
    assert [r.status for r in results.values()] == ["done", "done", "asked"]
    assert results["task_0001"].pictures == ("0001.png", "0002.png") and results["task_0002"].reply == "Which colour?"
    assert results["task_0001"].plan == {"n": 1} and results["task_0001"].seconds == 0.5
    with Image.open(folder.path / "originals/task_0001/0002.png") as picture:
        assert picture.convert("RGB").getpixel((5, 5)) == (case_seed(0, "task_0001") % 256, 100, 1)
    official = folder.path / "outputs/fake/task_0001"
    assert sorted(p.name for p in official.iterdir()) == ["0001.jpg", "0002.jpg"]
    assert len({call[1] for call in _calls(tmp_path)}) == 1, "one worker, one process"


def test_a_second_run_does_only_what_is_missing(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    suite = make_suite("one", "two", "ask")
    folder = _run(suite, tmp_path, system)
    lines = (folder.path / "results.jsonl").read_bytes().splitlines(keepends=True)
    (folder.path / "results.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:20])
    _run(suite, tmp_path, system)
    assert [call[0] for call in _calls(tmp_path)] == ["task_0000", "task_0001", "task_0002", "task_0002"]
    assert len(RunFolder(tmp_path / "out").results()) == 3


def test_a_changed_case_is_run_again(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    suite = make_suite("one", "two")
    folder = _run(suite, tmp_path, system)
    other = suite.cases[0].model_copy(update={"sha256": "1" * 64})
    changed = suite.model_copy(update={"cases": (other, suite.cases[1])})
    run_suite(changed, folder, "fake", local_pool(folder, system, 1), seed=0)
    assert [call[0] for call in _calls(tmp_path)].count("task_0000") == 2


@pytest.mark.parametrize(
    ("wish", "told"), [("die", "ended with code 3"), ("hang", "no answer within"), ("babble", "did not answer in JSON")]
)
def test_a_worker_that_misbehaves_costs_its_case_and_no_other(
    make_suite: MakeSuite, system: list[str], tmp_path: Path, wish: str, told: str
) -> None:
    folder = _run(make_suite("one", wish, "two"), tmp_path, system, timeout=6)
    results = folder.results()
    assert [results[c].status for c in sorted(results)] == ["done", "failed", "done"]
    assert told in results["task_0001"].error
    assert [call[0] for call in _calls(tmp_path)].count("task_0001") == 2, "tried twice"


@pytest.mark.parametrize(("wish", "told"), [("spoil", "0.png' is not a picture"), ("boast", "and made no picture")])
def test_what_is_no_picture_fails_its_case_and_no_other(
    make_suite: MakeSuite, system: list[str], tmp_path: Path, wish: str, told: str
) -> None:
    folder = _run(make_suite("one", wish, "two"), tmp_path, system)
    results = folder.results()
    assert [results[c].status for c in sorted(results)] == ["done", "failed", "done"]
    assert told in results["task_0001"].error and folder.pictures("task_0001") == ()


def test_a_case_that_a_worker_died_on_is_tried_again(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    result = _run(make_suite("die once", "one"), tmp_path, system).results()["task_0000"]
    assert (result.status, result.retries) == ("done", 1)


def test_failed_cases_are_run_again_later(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    suite = make_suite("die once")
    folder = RunFolder(tmp_path / "out")
    folder.begin(manifest(suite))
    folder.add(Result(case="task_0000", case_sha256=suite.cases[0].sha256, status="failed", seed=1))
    (tmp_path / "died").touch()
    assert _run(suite, tmp_path, system).results()["task_0000"].status == "done"


def test_workers_share_the_cases_and_the_cores(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    _run(make_suite(*["one"] * 12), tmp_path, system, workers=2)
    calls = _calls(tmp_path)
    assert len(calls) == 12 and len({call[1] for call in calls}) == 2


def test_a_command_that_is_not_there_is_said(make_suite: MakeSuite, tmp_path: Path) -> None:
    result = _run(make_suite("one"), tmp_path, [str(tmp_path / "absent")]).results()["task_0000"]
    assert result.status == "failed" and "cannot be started" in result.error and "absent" in result.error


def test_ending_early_ends_the_workers(system: list[str], tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    out.mkdir()
    given = [
        Assignment(case=f"c{i}", instruction=w, inputs=(), seed=i, folder=str(out))
        for i, w in enumerate(("one", "hang"))
    ]
    answers = draw_all(given, lambda n: Worker(system, tmp_path / "log", 1), 1, 60)
    assert next(answers)[1].status == "done"
    pid = int(_calls(tmp_path)[0][1])
    answers.close()
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_ctrl_c_keeps_what_is_finished(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    suite = make_suite("one", "hang")
    program = (
        "import sys; from pathlib import Path; from chatdit.evals.suites.idea_bench import load_suite\n"
        "from chatdit.evals.running.run_folder import RunFolder\n"
        "from chatdit.evals.running.runner import local_pool, run_suite\n"
        "folder = RunFolder(Path(sys.argv[2])); suite = load_suite(Path(sys.argv[1]), 'small')\n"
        "run_suite(suite, folder, 'fake', local_pool(folder, sys.argv[3:], 1), seed=0)\n"
    )
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-P", "-c", program, str(suite.root), str(out), *system],
                               stderr=subprocess.PIPE)  # fmt: skip
    deadline = time.monotonic() + 60
    while len(RunFolder(out).results()) < 1 or len(_calls(tmp_path)) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said and list(RunFolder(out).results()) == ["task_0000"]
    assert not _alive(int(_calls(tmp_path)[0][1]))


def test_a_run_of_another_configuration_is_refused(make_suite: MakeSuite, tmp_path: Path) -> None:
    suite, folder = make_suite("one"), RunFolder(tmp_path / "out")
    folder.check(resume=False)
    folder.begin(manifest(suite))
    folder.begin(manifest(suite))
    with pytest.raises(RunFolderError, match=r"another configuration: seed 0 \(now 5\); name another --out"):
        folder.begin(manifest(suite, seed=5))
    with pytest.raises(RunFolderError, match="holds a run already: go on with --resume"):
        folder.check(resume=False)
    folder.check(resume=True)


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="is not empty and holds no run"):
        RunFolder(tmp_path).check(resume=True)
    with pytest.raises(RunFolderError, match="no run at"):
        _ = RunFolder(tmp_path).manifest
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(RunFolderError, match="cannot be read"):
        _ = RunFolder(tmp_path).manifest


def test_a_broken_line_in_the_middle_is_named(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    folder = _run(make_suite("one", "two"), tmp_path, system)
    lines = (folder.path / "results.jsonl").read_text().splitlines(keepends=True)
    (folder.path / "results.jsonl").write_text('{"case": 3}\n' + "".join(lines))
    with pytest.raises(BrokenLineError, match=r"results.jsonl, line 1 cannot be read .*: take the line out"):
        folder.results()


class _CountingJudge:
    """Says yes to everything, and counts how often it was asked."""

    name, fingerprint = "counting/judge", "f"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def verdict(self, case: Case, outputs: Sequence[Path]) -> Verdict:
        self.asked.append(case.id)
        for path in outputs:
            load_picture(path)
        return Verdict(
            case=case.id, case_sha256=case.sha256, outputs_sha256=outputs_sha256(outputs), judge=self.name,
            fingerprint=self.fingerprint, answers=(Answer(score=True),) * 6,
        )  # fmt: skip


def test_a_judge_is_asked_once_about_the_same_pictures(
    make_suite: MakeSuite, system: list[str], tmp_path: Path
) -> None:
    suite = make_suite("one", "two", "ask")
    folder, judge = _run(suite, tmp_path, system), _CountingJudge()
    verdicts = judge_run(suite, folder, judge)
    assert judge.asked == ["task_0000", "task_0001"] == sorted(verdicts)
    assert judge_run(suite, folder, judge) == verdicts and len(judge.asked) == 2
    assert folder.judges() == ("counting/judge",)
    Image.new("RGB", (32, 32), "white").save(folder.path / "originals/task_0001/0001.png")
    judge_run(suite, folder, judge)
    judge.fingerprint = "other"
    judge_run(suite, folder, judge)
    assert judge.asked[2:] == ["task_0001", "task_0000", "task_0001"]
    scores = score_run(suite, verdicts)
    assert scores.missing == 1 and scores.categories["T2I"].value == 50 and scores.categories["I2I"].value == 100


def test_what_a_judge_cannot_open_is_counted_as_unanswered(
    make_suite: MakeSuite, system: list[str], tmp_path: Path
) -> None:
    suite, judge = make_suite("one", "two"), _CountingJudge()
    folder = _run(suite, tmp_path, system)
    (folder.path / "originals/task_0000/0001.png").write_text("no picture")
    verdicts = judge_run(suite, folder, judge)
    assert {a.score for a in verdicts["task_0000"].answers} == {None}
    assert "0001.png" in verdicts["task_0000"].answers[0].reason
    assert score_run(suite, verdicts).unreadable == 6
    assert judge_run(suite, folder, judge) == verdicts and judge.asked == ["task_0000", "task_0001"]


def test_results_of_other_people_are_judged_where_they_lie(make_suite: MakeSuite, tmp_path: Path) -> None:
    suite = make_suite("one", "two")
    theirs = tmp_path / "theirs" / "outputs" / "their-model" / "task_0001"
    theirs.mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(theirs / "0001.jpg")
    judge = _CountingJudge()
    assert list(judge_run(suite, RunFolder(tmp_path / "theirs"), judge)) == ["task_0001"]


def test_seeds_are_of_the_case_and_the_run_alone() -> None:
    seeds = {case_seed(s, c) for s in (0, 1) for c in ("a_0001", "a_0002")}
    assert len(seeds) == 4 and all(0 <= s < 2**31 for s in seeds)
    assert case_seed(0, "a_0001") == case_seed(0, "a_0001")


def test_a_worker_starts_anew_after_it_was_lost(system: list[str], tmp_path: Path) -> None:
    worker = Worker(system, tmp_path / "log", threads=1)
    one, die = (Assignment(case=w, instruction=w, inputs=(), seed=1, folder=str(tmp_path)) for w in ("one", "die"))
    assert worker.draw(one, 20).status == "done"
    with pytest.raises(WorkerLost, match="code 3"):
        worker.draw(die, 20)
    assert worker.draw(one, 20).status == "done"
    worker.close()
    worker.close()
    assert len({call[1] for call in _calls(tmp_path)}) == 2


def test_workers_are_spread_over_gpus(
    make_suite: MakeSuite, system: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    suite = make_suite(*["one"] * 8)
    folder = RunFolder(tmp_path / "out")
    folder.begin(manifest(suite))
    run_suite(suite, folder, "fake", local_pool(folder, system, 3, gpus=("0", "2")), seed=0)
    given = dict(sorted({call[1]: call[3] for call in _calls(tmp_path)}.items()))
    assert set(given.values()) <= {"0", "2"} and "0" in given.values()
    one = RunFolder(tmp_path / "alone")
    one.begin(manifest(suite))
    run_suite(suite, one, "fake", local_pool(one, system, 1, gpus=("5",)), seed=0)
    assert _calls(tmp_path)[-1][3] == "all", "a single GPU is left as it is"
