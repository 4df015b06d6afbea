"""Builds folders in IDEA-Bench's format, with every field and quirk. No case of the data set is among them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

QUESTIONS = [
    {"question": f"Is it right {i}?", "0_point_standard": f"It is not {i}.", "1_point_standard": f"It is {i}."}
    for i in range(1, 7)
]


def meta(**changed: object) -> dict[str, object]:
    """The fields of the data set's own card, changed in places; a value of None takes one out."""
    told = {
        "task_name": "special effect adding",
        "num_of_cases": 3,
        "image_reference": True,
        "multi_image_reference": True,
        "multi_image_output": False,
        "uid": "0085",
        "output_image_count": 1,
        "case_id": "0001",
    } | changed
    return {name: value for name, value in told.items() if value is not None}


def case(
    root: Path,
    name: str,
    *,
    told: dict[str, object] | None = None,
    questions: object = None,
    pictures: Sequence[str] = ("0001.jpg", "0002.jpg"),
    auto: bool = False,
    instruction: str | None = "Add rain to the picture.",
) -> Path:
    """One case's folder below `root`."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps(meta() if told is None else told))
    (folder / "eval.json").write_text(json.dumps({"questions": QUESTIONS} if questions is None else questions))
    if instruction is not None:
        (folder / "instruction.txt").write_text(instruction + "\n")
    for i, picture in enumerate(pictures):
        Image.new("RGB", (40 + 8 * i, 30), (60 * i, 90, 200)).save(folder / picture)
    if auto:
        lines = [
            {"question": q["question"], "input_images": ["0001.jpg"], "output_images": ["0001.jpg"]} for q in QUESTIONS
        ]
        (folder / "auto_eval.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    return folder
