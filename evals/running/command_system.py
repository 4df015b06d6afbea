"""Somebody else's system as a worker: a command that is run once for each case.

    chatdit eval pocket --system command "python draw.py {instruction} --out {out} --images {inputs}"

`{instruction}` is the text, `{instruction_file}` a file that holds it, `{inputs}` the reference pictures as any number
of arguments, `{seed}` a number, `{out}` the folder where the command leaves 0001.png (or .jpg, ...) and so on. No shell
is between: a text stays one argument whatever it holds.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from chatdit.evals.running.worker import Answered, Assignment
from chatdit.evals.suites.official_fields import pictures_in

INPUTS = "{inputs}"
_PLACE = re.compile(r"\{(instruction|instruction_file|seed|out)\}")
_EXAMPLE = 'such as "python draw.py {instruction} --out {out} --images {inputs}"'
_LONGEST_REPLY = 2000


def worker_command(template: str) -> list[str]:
    """The command line of a worker that runs `template`.

    Raises:
        ValueError: it is empty, cannot be split, has neither {out} nor an instruction, or {inputs} within a word.
    """
    words = _words(template)
    places = {match[1] for word in words for match in _PLACE.finditer(word)}
    if "out" not in places or not places & {"instruction", "instruction_file"}:
        raise ValueError(f"{template!r} has no {{out}} or no {{instruction}}: expected a command {_EXAMPLE}")
    joined = next((word for word in words if INPUTS in word and word != INPUTS), None)
    if joined is not None:
        raise ValueError(f"{joined!r} has {{inputs}} within a word: expected it alone, {_EXAMPLE}")
    return [sys.executable, "-P", "-m", "chatdit.evals.running.command_system", template]


def arguments(template: str, values: Mapping[str, str], inputs: Sequence[str]) -> list[str]:
    """The words of one call: a word `{inputs}` becomes as many as there are pictures."""
    words: list[str] = []
    for word in _words(template):
        # in one pass, because a text may itself hold what looks like a place
        words += inputs if word == INPUTS else [_PLACE.sub(lambda place: values[place[1]], word)]
    return words


def draw(template: str, assignment: Assignment) -> Answered:
    """Run the command for one case. What it prints goes to the log; its last line is the reply."""
    folder, started = Path(assignment.folder), time.perf_counter()
    command = arguments(template, _values(assignment), assignment.inputs)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, encoding="utf-8", errors="replace"
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL in the instruction
        return Answered(status="failed", error=f"{command[0]} cannot be run: {error}")
    sys.stderr.write(done.stdout + done.stderr)
    seconds = time.perf_counter() - started
    said = (done.stdout or done.stderr).strip().splitlines()
    reply = said[-1][:_LONGEST_REPLY] if said else ""
    if done.returncode != 0:
        told = f"the command ended with code {done.returncode}: {reply}"
        return Answered(status="failed", seconds=seconds, error=told)
    pictures = tuple(str(folder / name) for name in pictures_in(folder))
    return Answered(status="done" if pictures else "asked", pictures=pictures, reply=reply, seconds=seconds)


def _values(assignment: Assignment) -> dict[str, str]:
    """What stands in for each place but {inputs}; the instruction is also put in its file."""
    folder = Path(assignment.folder)
    told = folder.with_name(f"{folder.name}.txt")
    told.write_text(assignment.instruction + "\n", encoding="utf-8")
    return {
        "instruction": assignment.instruction,
        "instruction_file": str(told),
        "seed": str(assignment.seed),
        "out": str(folder),
    }


def _words(template: str) -> list[str]:
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise ValueError(f"{template!r} cannot be split into words ({error}): close its quotes") from None
    if not words:
        raise ValueError(f"an empty command: expected one {_EXAMPLE}")
    return words


def main() -> None:
    """Answer assignments from stdin until it ends."""
    answers = sys.stdout
    for line in sys.stdin:
        answers.write(draw(sys.argv[1], Assignment.model_validate_json(line)).model_dump_json() + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
