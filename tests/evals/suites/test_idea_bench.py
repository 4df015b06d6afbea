"""Suites in IDEA-Bench's format: every quirk is loaded or named, and what is written is read back the same."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from chatdit.evals.suites.case import Case, Question
from chatdit.evals.suites.idea_bench import SuiteError, load_suite, sealed, select, write_case
from chatdit.evals.suites.official_groups import group_of


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("official_folder", Path(__file__).with_name("official_folder.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _builder()


def _only(root: Path) -> Case:
    suite = load_suite(root)
    assert len(suite.cases) == 1, suite.problems
    return suite.cases[0]


def test_a_case_is_read_with_all_it_says(tmp_path: Path) -> None:
    build.case(tmp_path / "dataset", "special_effect_adding_0001")
    case = _only(tmp_path)
    assert (case.id, case.task, case.task_name) == ("special_effect_adding_0001", "0085", "special effect adding")
    assert (case.category, case.output_count, case.split) == ("Is2I", 1, None)
    assert case.inputs == ("0001.jpg", "0002.jpg") and all(p.is_file() for p in case.pictures)
    assert case.instruction == "Add rain to the picture." and len(case.questions) == 6
    assert case.questions[1] == Question(text="Is it right 2?", zero="It is not 2.", one="It is 2.")


@pytest.mark.parametrize("root", ["", "dataset", "dataset/IDEA-Bench"])
def test_cases_are_found_wherever_they_lie(tmp_path: Path, root: str) -> None:
    for name in ("image_blending_artisic_collage_0001", "image_blur_filed_blur_0002", "3d_effect_three-view_0001"):
        build.case(tmp_path / root, name)
    assert {c.id for c in load_suite(tmp_path).cases} == {
        "image_blending_artisic_collage_0001", "image_blur_filed_blur_0002", "3d_effect_three-view_0001"
    }  # fmt: skip


@pytest.mark.parametrize(
    "shape",
    [
        {"questions": build.QUESTIONS},
        build.QUESTIONS,
        {f"question_{i}": q for i, q in enumerate(build.QUESTIONS, start=1)},
        [q["question"] for q in build.QUESTIONS],
    ],
)
def test_questions_are_read_in_every_shape(tmp_path: Path, shape: object) -> None:
    build.case(tmp_path, "a_0001", questions=shape)
    assert [q.text for q in _only(tmp_path).questions] == [q["question"] for q in build.QUESTIONS]


def test_numbered_questions_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    shuffled = {f"q{i}": build.QUESTIONS[i - 1] for i in (3, 1, 6, 2, 5, 4)}
    build.case(tmp_path, "a_0001", questions=shuffled)
    assert [q.text for q in _only(tmp_path).questions] == [q["question"] for q in build.QUESTIONS]


def test_mini_cases_say_which_pictures_a_question_is_about(tmp_path: Path) -> None:
    build.case(tmp_path, "a_0001", auto=True)
    assert all(q.inputs == ("0001.jpg",) and q.outputs == ("0001.jpg",) for q in _only(tmp_path).questions)


def test_pictures_of_any_type_are_taken_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    build.case(tmp_path, "a_0001", pictures=("0010.png", "0002.WEBP", "0001.JPG", "0003.bmp"))
    (tmp_path / "a_0001" / "notes.png").write_bytes(b"not numbered")
    assert _only(tmp_path).inputs == ("0001.JPG", "0002.WEBP", "0003.bmp", "0010.png")


@pytest.mark.parametrize(
    ("changed", "category"),
    [
        ({"image_reference": False, "multi_image_reference": False}, "T2I"),
        ({"image_reference": False, "multi_image_reference": False, "multi_image_output": True}, "T2Is"),
        ({"multi_image_reference": False}, "I2I"),
        ({}, "Is2I"),
        ({"multi_image_output": True, "output_image_count": 4}, "IS2Is"),
        ({"multi_image_reference": False, "multi_image_output": True, "output_image_count": 4}, "IS2Is"),
    ],
)
def test_a_category_follows_from_the_flags(tmp_path: Path, changed: dict[str, object], category: str) -> None:
    build.case(tmp_path, "a_0001", told=build.meta(**changed))
    assert _only(tmp_path).category == category


@pytest.mark.parametrize("table", [{"I2I": ["0085"]}, {"i2i": [85]}, {"0085": "I2I"}, {"85": "i2i"}])
def test_the_split_file_knows_better_than_the_flags(tmp_path: Path, table: object) -> None:
    build.case(tmp_path / "dataset", "a_0001")
    (tmp_path / "task_split.json").write_text(json.dumps(table))
    assert _only(tmp_path / "dataset").category == "I2I"


def test_what_is_wrong_is_named_and_left_out(tmp_path: Path) -> None:
    build.case(tmp_path, "good_0001")
    (build.case(tmp_path, "broken_0001") / "meta.json").write_text("{")
    (build.case(tmp_path, "no_eval_0001") / "eval.json").unlink()
    build.case(tmp_path, "five_0001", questions=build.QUESTIONS[:5])
    build.case(tmp_path, "no_words_0001", instruction=None)
    build.case(tmp_path, "no_pictures_0001", pictures=())
    (build.case(tmp_path, "torn_0001") / "0001.jpg").write_bytes(b"\xff\xd8 torn")
    build.case(tmp_path, "halved_0001", told=build.meta(split="third"))
    build.case(tmp_path / "again", "good_0001")
    suite = load_suite(tmp_path)
    assert [c.id for c in suite.cases] == ["good_0001"]
    for part in (
        "broken_0001/meta.json: no JSON", "no_eval_0001/eval.json: missing", "five_0001/eval.json: 5 questions",
        "no_words_0001/instruction.txt: missing", "no_pictures_0001: says that pictures go in", "0001.jpg: no picture",
        "split 'third'", "a second case good_0001",
    ):  # fmt: skip
        assert any(part in problem for problem in suite.problems), (part, suite.problems)
    assert all("case left out" in problem for problem in suite.problems)


def test_what_is_odd_is_named_and_kept(tmp_path: Path) -> None:
    build.case(tmp_path, "a_0001", told=build.meta(mood="sunny", output_image_count=None))
    odd = [{**q, "hint": "x"} for q in build.QUESTIONS]
    build.case(tmp_path, "b_0001", questions=odd)
    suite = load_suite(tmp_path)
    assert len(suite.cases) == 2 and suite.cases[0].output_count == 1
    told = "\n".join(suite.problems)
    assert "unknown field 'mood'" in told and "no output_image_count above 0; 1 assumed" in told
    assert told.count("unknown field 'hint'") == 6


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_cases_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SuiteError, match=r"no (suite|case) at .*(absent|empty)"):
        load_suite(tmp_path / name)


def _written(root: Path, **changed: object) -> Case:
    pictures = [Image.new("RGB", (32, 24), "red"), Image.new("RGB", (24, 32), "blue")]
    questions = tuple(
        Question(text=f"Q{i}", zero="no", one="yes", check=[{"kind": "count", "outputs": i}]) for i in range(6)
    )
    case = Case(
        id="object_editing_adding_0002", task="0007", task_name="adding", group="object editing", category="Is2I",
        split="test", instruction="Füge etwas hinzu.", folder=root / "object_editing_adding_0002",
        inputs=("0001.png", "0002.png"), output_count=1, questions=questions, sha256="0" * 64,
    )  # fmt: skip
    case = sealed(case.model_copy(update=changed), pictures)
    write_case(root, case, pictures)
    return case


def test_a_written_case_is_read_back_the_same(tmp_path: Path) -> None:
    case = _written(tmp_path)
    assert _only(tmp_path) == case and load_suite(tmp_path).problems == ()


def test_a_written_case_with_shown_pictures_is_read_back_the_same(tmp_path: Path) -> None:
    questions = tuple(Question(text=f"Q{i}", inputs=("0001.png",), outputs=("0001.jpg",)) for i in range(6))
    case = _written(tmp_path, questions=questions)
    assert _only(tmp_path) == case


def test_a_hash_tells_every_change_and_no_recompression(tmp_path: Path) -> None:
    case = _written(tmp_path / "a")
    assert _written(tmp_path / "b", instruction="Add something.").sha256 != case.sha256
    assert _written(tmp_path / "c", output_count=2).sha256 != case.sha256
    path = tmp_path / "a" / case.id / "0001.png"
    Image.open(path).save(path, compress_level=0)
    assert _only(tmp_path / "a").sha256 == case.sha256
    Image.new("RGB", (32, 24), (254, 0, 0)).save(path)
    assert _only(tmp_path / "a").sha256 != case.sha256


def test_a_part_of_a_suite_is_chosen(tmp_path: Path) -> None:
    flags = {"T2I": {"image_reference": False, "multi_image_reference": False}, "Is2I": {}}
    for category, changed in flags.items():
        for i in range(1, 5):
            told = build.meta(**changed, uid=f"000{i}", split="dev" if i % 2 else "test")
            pictures = () if category == "T2I" else ("0001.png",)
            build.case(tmp_path, f"{category.lower()}_000{i}", told=told, pictures=pictures)
    suite = load_suite(tmp_path)
    assert len(select(suite, split="dev").cases) == 4
    assert [c.category for c in select(suite, limit=3).cases].count("T2I") in (1, 2)
    assert {c.task for c in select(suite, tasks=["2"]).cases} == {"0002"}
    assert select(suite, limit=3) == select(suite, limit=3) and select(suite, limit=99).cases == suite.cases
    assert select(suite, limit=3).sha256 != suite.sha256
    with pytest.raises(SuiteError, match=r"no case of .* is left with tasks"):
        select(suite, tasks=["none such"])


def test_groups_are_found_by_the_names_of_folders() -> None:
    assert group_of("human_attribute_editing_age_0001") == "human attribute"
    assert group_of("3d_effect_generation_three-view_reference_0002") == "3d effect"
    assert group_of("landmark_generation_0001") is None
