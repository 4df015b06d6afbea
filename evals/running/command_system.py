"""Somebody else's system as a worker: a command that is run once for each case.

    chatdit eval pocket --system command "python draw.py {instruction} --out {out} --images {inputs}"

`{instruction}` is the text, `{instruction_file}` a file that holds it, `{inputs}` the reference pictures as any number
of arguments, `{seed}` a number, `{out}` the folder where the command leaves 0001.png (or .jpg, ...) and so on.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from chatdit.evals.running.worker import Answered, Assignment
from chatdit.evals.suites.official_fields import pictures_in

PLACES = ("instruction", "instruction_file", "inputs", "seed", "out")


def worker_command(template: str) -> list[str]:
    """The command line of a worker that runs `template`.

    Raises:
        ValueError: it is empty, cannot be split, or has neither {out} nor an instruction.
    """
    words = shlex.split(template)
    if not words:
        raise ValueError('an empty command: expected one such as "python draw.py {instruction} {out}"')
    if "{out}" not in template or "{instruction" not in template:
        raise ValueError(f"{template!r} has no {{out}} or no {{instruction}}: the command must be told both")
    return [sys.executable, "-P", "-m", "chatdit.evals.running.command_system", template]


def arguments(template: str, values: Mapping[str, str], inputs: tuple[str, ...]) -> list[str]:
    """The words of one call: a word `{inputs}` becomes as many as there are pictures."""
    words: list[str] = []
    for word in shlex.split(template):
        if word == "{inputs}":
            words += inputs
            continue
        for name, value in values.items():
            word = word.replace("{" + name + "}", value)
        words.append(word)
    return words


def draw(template: str, assignment: Assignment) -> Answered:
    """Run the command for one case. What it prints goes to the log; its last line is the reply."""
    folder = Path(assignment.folder)
    told = folder.parent / f"{folder.name}.txt"
    told.write_text(assignment.instruction + "\n", encoding="utf-8")
    values = {
        "instruction_file": str(told),
        "instruction": assignment.instruction,
        "seed": str(assignment.seed),
        "out": str(folder),
    }
    started = time.perf_counter()
    try:
        done = subprocess.run(arguments(template, values, assignment.inputs), capture_output=True, text=True)
    except OSError as error:
        return Answered(status="failed", error=f"{error.strerror}: {error.filename}")
    sys.stderr.write(done.stdout + done.stderr)
    seconds = time.perf_counter() - started
    pictures = tuple(str(folder / name) for name in pictures_in(folder))
    said = (done.stdout or done.stderr).strip().splitlines()
    reply = said[-1][:2000] if said else ""
    if done.returncode != 0:
        return Answered(
            status="failed", seconds=seconds, error=f"the command ended with code {done.returncode}: {reply}"
        )
    if not pictures:
        return Answered(status="asked", seconds=seconds, reply=reply)
    return Answered(status="done", pictures=pictures, reply=reply, seconds=seconds)


def main() -> None:
    """Answer assignments from stdin until it ends."""
    answers = sys.stdout
    for line in sys.stdin:
        answers.write(draw(sys.argv[1], Assignment.model_validate_json(line)).model_dump_json() + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
