"""A worker for tests: it draws one colour, and misbehaves where the instruction says so.

    fake_system.py FOLDER

"die", "hang", "babble" and "die once" do that; "ask" asks; "two" draws two pictures; "spoil" leaves what is no picture,
"boast" nothing at all. Each call leaves a line in FOLDER.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from PIL import Image

from chatdit.evals.running.worker import Answered, Assignment


def draw(told: Assignment, notes: Path) -> Answered:
    with (notes / "calls.txt").open("a") as file:
        gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        file.write(f"{told.case} {os.getpid()} {os.environ['OMP_NUM_THREADS']} {gpu}\n")
    wish = told.instruction.rstrip(".").lower()
    if wish == "die" or (wish == "die once" and not (notes / "died").exists()):
        (notes / "died").touch()
        os._exit(3)
    if wish == "hang":
        time.sleep(60)
    if wish == "babble":
        print("what?", flush=True)
        time.sleep(60)
    if wish == "ask":
        return Answered(status="asked", reply="Which colour?")
    if wish == "boast":
        return Answered(status="done")
    paths = [Path(told.folder) / f"{i}.png" for i in range(2 if wish == "two" else 1)]
    for i, path in enumerate(paths):
        Image.new("RGB", (32, 32), (told.seed % 256, 100 * i, len(told.inputs))).save(path)
    if wish == "spoil":
        paths[0].write_text("no picture")
    return Answered(status="done", pictures=tuple(map(str, paths)), reply="Drew it.", plan={"n": 1}, seconds=0.5)


if __name__ == "__main__":
    for line in sys.stdin:
        print(draw(Assignment.model_validate_json(line), Path(sys.argv[1])).model_dump_json(), flush=True)
