"""The report: what a page holds, and what is gathered from runs on disk."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from chatdit.evals.intervals import Estimate
from chatdit.evals.judges.judge import Answer, Verdict
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.report.gather import compare_runs, judged_run, suite_record, write_report
from chatdit.evals.report.page import Made, PageDifference, SystemRun, page
from chatdit.evals.running.run_folder import Manifest, Result, RunFolder, RunFolderError, Status, config_sha256
from chatdit.evals.suites.case import Case, Question, Suite
from chatdit.evals.suites.idea_bench import load_suite, sealed, write_case

EVIL = "</script><img src=x onerror=alert(1)>"


def _suite(root: Path, count: int = 4) -> Suite:
    for i in range(count):
        pictures = [Image.new("RGB", (16, 16), "blue")] * (i % 2)
        case = Case(
            id=f"task_{i:04d}", task=f"000{i}", task_name=f"task {i}", group=f"group {i // 2}",
            category="I2I" if i % 2 else "T2I", instruction=f"Draw {i}. {EVIL}", folder=root / f"task_{i:04d}",
            inputs=("0001.png",) * (i % 2), output_count=1,
            questions=tuple(Question(text=f"Question {q}?") for q in range(6)), sha256="0" * 64,
        )  # fmt: skip
        write_case(root, sealed(case, pictures), pictures)
    return load_suite(root, "small")


def _run(tmp_path: Path, suite: Suite, system: str, right: int, judge: str = "pocket", seed: int = 0) -> Path:
    """A run whose first `right` cases are all right; the last case has no picture."""
    folder = RunFolder(tmp_path / system)
    values: dict[str, object] = {"suite": "small", "suite_sha256": suite.sha256, "system": system, "command": ["x"],
                                 "seed": seed, "weights": "w"}  # fmt: skip
    folder.begin(
        Manifest(
            **values,  # type: ignore[arg-type]
            suite_root=str(suite.root), split=None, limit=None, versions={"torch": "2"}, commit="abc",
            started="2026-01-02T00:00:00Z", config_sha256=config_sha256(values),  # type: ignore[arg-type]
        )
    )  # fmt: skip
    for i, case in enumerate(suite.cases):
        pictures: tuple[Path, ...] = ()
        if i + 1 < len(suite.cases):
            made = tmp_path / "made.png"
            Image.new("RGB", (300, 200), (i, 0, 0)).save(made)
            folder.keep(system, case.id, [made])
            pictures = folder.pictures(case.id)
            answers = tuple(Answer(score=i < right, reason="" if i < right else f"{EVIL} seen") for _ in range(6))
            folder.add_verdict(
                Verdict(case=case.id, case_sha256=case.sha256, outputs_sha256=outputs_sha256(pictures), judge=judge,
                        fingerprint="f", answers=answers)
            )  # fmt: skip
        status: Status = "done" if pictures else "asked"
        folder.add(Result(case=case.id, case_sha256=case.sha256, status=status, reply="Drew it.", seed=1, seconds=2.0,
                          plan={"nodes": [system]}))  # fmt: skip
    return folder.path


def _data(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    told: dict[str, object] = json.loads(found[1])
    return told


def test_a_page_holds_every_case_of_every_system(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite")
    runs = [judged_run(_run(tmp_path, suite, name, right)) for name, right in (("ours", 3), ("table", 1))]
    html = write_report(runs, tmp_path / "deep" / "report.html").read_text()
    data = _data(html)
    assert [s["name"] for s in data["systems"]] == ["ours", "table"]  # type: ignore[attr-defined]
    assert data["systems"][0]["scores"]["T2I"]["value"] == 100  # type: ignore[index]
    assert data["systems"][0]["scores"]["I2I"]["value"] == 50  # type: ignore[index]
    cases = {c["id"]: c for c in data["cases"]}  # type: ignore[attr-defined]
    assert len(cases) == 4 and cases["task_0003"]["systems"]["ours"]["status"] == "asked"
    table = cases["task_0001"]["systems"]["table"]
    assert table["score"] == 0 and [a["gated"] for a in table["answers"]] == [False] * 2 + [True] * 4
    assert cases["task_0003"]["systems"]["table"]["answers"][0]["reason"] == "there is no picture"
    assert '"nodes"' in table["plan"] and table["seconds"] == 2
    assert any(p["category"] == "overall" and p["value"] == 50 for p in data["paired"])  # type: ignore[attr-defined]
    images = data["images"]
    assert all(str(i).startswith("data:image/webp;base64,") for i in images)  # type: ignore[attr-defined]
    assert len(images) == 2 + 3 + 3, "each picture once"  # type: ignore[arg-type]


def test_nothing_that_is_said_can_become_a_part_of_the_page(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite")
    html = write_report([judged_run(_run(tmp_path, suite, "ours", 0))], tmp_path / "r.html").read_text()
    assert EVIL not in html and html.count("</script>") == 2
    assert "default-src 'none'" in html and "http" not in html.split("<script")[0].replace("http-equiv", "")
    data = _data(html)
    assert EVIL in data["cases"][0]["instruction"]  # type: ignore[index]


def test_a_page_says_what_its_numbers_may_not_be_compared_with(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite")
    data = _data(write_report([judged_run(_run(tmp_path, suite, "ours", 2))], tmp_path / "r.html").read_text())
    assert "Not comparable with published IDEA-Bench numbers" in str(data["stamp"])
    assert "judged by pocket" in str(data["about"]) and "4 cases" in str(data["about"])


def test_a_picture_that_is_gone_leaves_a_grey_one(tmp_path: Path) -> None:
    made = Made("done", (tmp_path / "gone.png",), (Answer(score=True),) * 6, (False,) * 6, 100.0)
    one = Estimate(100, 90, 100, 1)
    suite = _suite(tmp_path / "suite", 1)
    system = SystemRun("ours", {"overall": one}, {}, {suite.cases[0].id: made})
    difference = PageDifference("a", "b", "overall", one, (1, 0, 0))
    data = _data(page("t", "a", "s", suite.cases, [system], [difference]))
    assert len(data["images"]) == 1 and data["paired"][0]["counts"] == [1, 0, 0]  # type: ignore[arg-type, index]


def test_a_record_has_the_systems_and_their_differences(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite")
    runs = [judged_run(_run(tmp_path, suite, name, right)) for name, right in (("ours", 3), ("table", 1))]
    record = suite_record(runs)
    assert record["suite_hash"] == suite.sha256 and record["split"] == "all" and record["commit"] == "abc"
    systems = record["systems"]
    assert isinstance(systems, dict) and list(systems) == ["ours", "table"]
    assert {"overall", "T2I", "I2I"} <= set(systems["ours"]) and systems["ours"]["T2I"]["value"] == 100
    assert systems["ours"]["cases"] == {"done": 3, "asked": 1, "failed": 0}
    assert systems["ours"]["seconds_in_cases"] == 8.0 and systems["table"]["commit"] == "abc"
    paired = record["paired"]
    assert isinstance(paired, list) and paired[0]["a"] == "ours" and paired[0]["difference"] == 50


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite")
    ours = judged_run(_run(tmp_path, suite, "ours", 3))
    seeded = judged_run(_run(tmp_path, suite, "seeded", 3, seed=5))
    person = judged_run(_run(tmp_path, suite, "person", 3, judge="person:ann"))
    tasks = judged_run(ours.folder.path, aggregation="task")
    for other, what in ((seeded, "seeds"), (person, "judges"), (tasks, "aggregations")):
        with pytest.raises(RunFolderError, match=f"have other {what}"):
            compare_runs(ours, other)


def test_a_suite_that_changed_since_is_refused(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite")
    path = _run(tmp_path, suite, "ours", 3)
    (tmp_path / "suite" / "task_0000" / "instruction.txt").write_text("Draw something else.")
    with pytest.raises(RunFolderError, match="is a run of another state of small"):
        judged_run(path)


def test_which_judge_is_asked_for_where_there_are_several_or_none(tmp_path: Path) -> None:
    suite = _suite(tmp_path / "suite")
    path = _run(tmp_path, suite, "ours", 3)
    folder = RunFolder(path)
    first = folder.verdicts("pocket")["task_0000"]
    folder.add_verdict(first.model_copy(update={"judge": "person:ann"}))
    with pytest.raises(RunFolderError, match=r"verdicts of person:ann, pocket: name one with --judge"):
        judged_run(path)
    assert judged_run(path, "person:ann").scores.missing == 3
    for file in (path / "verdicts").iterdir():
        file.unlink()
    with pytest.raises(RunFolderError, match="has no verdicts"):
        judged_run(path)
