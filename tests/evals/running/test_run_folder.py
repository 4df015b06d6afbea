"""A run's folder is one run's, drawn into by one process, and may grow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from chatdit.evals.judges.judge import Answer, Verdict
from chatdit.evals.running.foreign_results import adopt
from chatdit.evals.running.run_folder import Manifest, Result, RunFolder, RunFolderError, config_sha256
from chatdit.evals.suites.case import Suite

MakeSuite = Callable[..., Suite]
HOLDS = """
import sys
from pathlib import Path
from chatdit.evals.running.run_folder import RunFolder
with RunFolder(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


def manifest(**changed: object) -> Manifest:
    values = {"suite": "s", "suite_sha256": "0" * 64, "system": "x", "command": ["a", "b"], "seed": 0, "weights": "w"}
    values |= {name: value for name, value in changed.items() if name in values}
    told = {"suite_root": None, "split": None, "limit": None} | changed | values
    return Manifest.model_validate(
        {**told, "config_sha256": config_sha256(values), "versions": {}, "commit": "", "started": "2026"}  # type: ignore[arg-type]
    )


def test_a_run_may_go_on_with_more_cases(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin(manifest(limit=5, split="dev"))
    folder.begin(manifest(limit=None, split=None).model_copy(update={"started": "2027"}))
    assert (folder.manifest.limit, folder.manifest.split, folder.manifest.started) == (None, None, "2026")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"weights": "v"}, "weights 'w' (now 'v')"),
        ({"command": ["a", "c"]}, "command 'a b' (now 'a c')"),
        ({"suite_sha256": "1" * 64}, "suite_sha256 000000000000 (now 111111111111)"),
        ({"system": "y", "seed": 4}, "system 'x' (now 'y'), seed 0 (now 4)"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path: Path, changed: dict[str, object], told: str) -> None:
    folder = RunFolder(tmp_path)
    folder.begin(manifest())
    with pytest.raises(RunFolderError) as error:
        folder.begin(manifest(**changed))
    assert str(error.value) == f"{tmp_path} holds a run of another configuration: {told}; name another --out"


def test_one_process_at_a_time_draws_into_a_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    other = subprocess.Popen(
        [sys.executable, "-P", "-c", HOLDS, str(folder.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None and other.stdout.readline() == b"held\n"
    with pytest.raises(RunFolderError, match="another process draws into"), folder.held():
        pytest.fail("it was held twice")
    other.kill()
    other.communicate()
    with folder.held():
        folder.check(resume=False)


def test_half_written_lines_are_cut_off_with_a_note(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.add(Result(case="a", case_sha256="0" * 64, status="done", seed=1))
    assert folder.mend() == ()
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b'{"case":"b"')
    (note,) = folder.mend()
    assert note.startswith(f"{tmp_path / 'results.jsonl'}: a half-written last line was cut off")
    assert list(folder.results()) == ["a"] and (tmp_path / "results.jsonl").read_bytes().endswith(b"}\n")


def test_what_was_being_drawn_when_a_process_was_killed_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "drawing" / "left").mkdir(parents=True)
    with RunFolder(tmp_path).scratch() as place:
        assert place.parent == tmp_path and list(place.iterdir()) == []
    assert list(tmp_path.iterdir()) == []


def test_verdicts_of_judges_whose_names_make_one_file_name_are_told_apart(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for judge, score in (("openai:a/b", True), ("openai:a:b", False)):
        folder.add_verdict(
            Verdict(
                case="c", case_sha256="0" * 64, outputs_sha256="0" * 64, judge=judge, fingerprint="f",
                answers=(Answer(score=score),) * 6,
            )
        )  # fmt: skip
    assert len(list((tmp_path / "verdicts").iterdir())) == 1
    assert folder.verdicts("openai:a/b")["c"].answers[0].score is True
    assert folder.verdicts("openai:a:b")["c"].answers[0].score is False


def test_scores_are_written_for_each_judge(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_scores("person:ann", {"overall": 3})
    assert (tmp_path / "scores" / "person-ann.json").read_text() == '{\n "overall": 3\n}\n'


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(path)


def test_another_systems_pictures_become_a_run(make_suite: MakeSuite, tmp_path: Path) -> None:
    suite, theirs = make_suite("one", "two"), tmp_path / "theirs"
    _picture(theirs / "outputs" / "their-model" / "task_0001" / "0001.jpg")
    there = adopt(RunFolder(theirs), suite, str(suite.root))
    assert RunFolder(theirs).manifest == there
    assert (there.system, there.suite_sha256, there.weights) == ("their-model", suite.sha256, "unknown")
    bare = tmp_path / "bare"
    _picture(bare / "task_0000" / "0001.png")
    assert adopt(RunFolder(bare), suite, None).system == "bare"


def test_pictures_of_nothing_or_of_several_systems_are_refused(make_suite: MakeSuite, tmp_path: Path) -> None:
    suite, theirs = make_suite("one", "two"), tmp_path / "theirs"
    _picture(theirs / "outputs" / "a" / "other_0001" / "0001.jpg")
    with pytest.raises(RunFolderError, match=r"no picture for any case of small: expected outputs/<system>/<case>"):
        adopt(RunFolder(theirs), suite, None)
    _picture(theirs / "outputs" / "b" / "task_0001" / "0001.jpg")
    with pytest.raises(RunFolderError, match=r"has outputs of a, b: judge each by itself, as .*outputs/a"):
        adopt(RunFolder(theirs), suite, None)
    assert adopt(RunFolder(theirs / "outputs" / "b"), suite, None).system == "b"
