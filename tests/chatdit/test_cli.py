"""The command line: frozen flags, JSON shapes, exit codes, and what is loaded for help."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from PIL import Image

from chatdit import __version__, cli
from chatdit.session import Session
from chatdit.tools.generate import Generate

FROZEN = {
    "": ["--continue", "--help", "--model", "--out", "--planner", "--version", "--yes", "-c", "-h", "-y"],
    "bench": ["--help", "-h"],
    "bench attention": ["--device", "--help", "--json", "--only", "--peer-llsa", "--record", "-h"],
    "bench attention-steps": ["--help", "--json", "--policies", "--record", "--sides", "--tiny", "-h"],
    "bench autoencoder": [
        *("--cases", "--help", "--json", "--model", "--record", "--repeats", "--seed", "-h"),
    ],
    "bench crossover": ["--device", "--help", "--json", "--largest", "--record", "--repeats", "--threads", "-h"],
    "bench judge": ["--help", "--json", "--limit", "--record", "--seed", "-h"],
    "bench fidelity": ["--flux", "--help", "--json", "--record", "--seeds", "--side", "--steps", "-h"],
    "bench gather": ["--help", "--json", "--record", "--repeats", "--threads", "-h"],
    "bench llsa-training": [
        *("--device", "--help", "--json", "--out", "--record", "--seeds", "--side", "--steps", "-h"),
    ],
    "bench pocket": [
        *("--cases", "--guidance", "--help", "--json", "--model", "--reader", "--record", "--seed", "--speed"),
        *("--steps", "--workers", "-h"),
    ],
    "bench pocket-speed": [
        *("--device", "--guidance", "--help", "--json", "--model", "--record", "--repeats", "--steps", "-h"),
    ],
    "bench shared-steps": ["--help", "--json", "--policies", "--record", "--sides", "--tiny", "-h"],
    "bench sheet": ["--failures", "--help", "--model", "--seed", "-h"],
    "bench startup": ["--help", "--json", "--record", "--repeats", "-h"],
    "bench tools": [
        *("--beside", "--device", "--flux", "--help", "--json", "--model", "--record", "--repeats", "--side", "--tiny"),
        *("--tool", "-h"),
    ],
    "bench trials": ["--arms", "--device", "--help", "--json", "--out", "--record", "--seeds", "--steps", "-h"],
    "bench training": [
        *("--device", "--help", "--json", "--pixels", "--record", "--repeats", "--small", "-h"),
    ],
    "bench world": ["--batch", "--device", "--help", "--json", "--record", "--repeats", "-h"],
    "bench world-sheet": ["--help", "--seed", "-h"],
    "doctor": ["--help", "--json", "--model", "--planner", "-h"],
    "eval": ["--help", "-h"],
    "eval compare": ["--aggregation", "--help", "--json", "--judge", "-h"],
    "eval effects": ["--cases", "--help", "--json", "--model", "--record", "--seed", "--tool", "-h"],
    "eval judge": [
        *("--aggregation", "--fail-under", "--help", "--json", "--judge", "--max-cost", "--name", "--no-probe"),
        *("--page", "--prices", "--suite", "--votes", "-h"),
    ],
    "eval report": ["--aggregation", "--help", "--html", "--json", "--judge", "--record", "-h"],
    "eval run": [
        *("--aggregation", "--fail-under", "--help", "--json", "--judge", "--limit", "--max-cost", "--model"),
        *("--no-probe", "--out", "--prices", "--ray", "--resume", "--seed", "--split", "--system", "--timeout"),
        *("--votes", "--workers", "-h"),
    ],
    "export": ["--format", "--help", "--json", "--out", "-h"],
    "inspect": ["--help", "--json", "-h"],
    "plan": ["--help", "--image", "--json", "--model", "--planner", "--seed", "--size", "-h", "-i"],
    "replay": ["--help", "--json", "--model", "--out", "-h"],
    "resume": ["--help", "--json", "--out", "--yes", "-h", "-y"],
    "run": ["--attention", "--help", "--image", "--json", "--model", "--out", "--planner", "--seed", "--size", "--yes",
            "-h", "-i", "-y"],
    "sessions": ["--help", "--json", "-h"],
    "tools": ["--help", "--json", "-h"],
    "train": ["--help", "-h"],
    "train ic-lora": [
        *("--batch", "--device", "--dry-run", "--fresh", "--help", "--model", "--name", "--out", "--rank", "--rate"),
        *("--resume", "--samples", "--seed", "--steps", "-h"),
    ],
    "train pocket": [
        *("--check", "--device", "--fresh", "--help", "--method", "--minutes", "--out", "--pixels"),
        *("--rate", "--resume", "--seed", "--sitting", "--stage", "--start", "-h"),
    ],
}  # fmt: skip
TWO_STEPS = "a cat on the beach, then a dog on the moon"


class Said(NamedTuple):
    code: int
    out: str
    err: str


class CommandLine:
    """Runs `chatdit` in this process, on standard streams of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Said:
        self._monkeypatch.setattr(sys, "argv", ["chatdit", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as left:
            cli.main()
        out, err = self._capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Said(left.value.code, out, err)


@pytest.fixture
def chatdit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], painter_folder: Path, tmp_path: Path
) -> CommandLine:
    monkeypatch.setenv("CHATDIT_MODEL", str(painter_folder))
    monkeypatch.setenv("CHATDIT_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)


def test_the_flags_are_frozen() -> None:
    seen: dict[str, list[str]] = {}

    def walk(command: object, name: str) -> None:
        context = typer.Context(command, help_option_names=["-h", "--help"])  # type: ignore[arg-type]
        parameters = command.get_params(context)  # type: ignore[attr-defined]
        flags = {flag for p in parameters for flag in (*p.opts, *p.secondary_opts) if flag.startswith("-")}
        seen[name] = sorted(flags)
        for child, inner in getattr(command, "commands", {}).items():
            walk(inner, f"{name} {child}".strip())

    walk(typer.main.get_command(cli.app), "")
    assert seen == {name: sorted(flags) for name, flags in FROZEN.items()}


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(argument: str) -> None:
    heavy = ("torch", "diffusers", "transformers", "langgraph", "openai", "numpy", "PIL", "pydantic", "prompt_toolkit")
    code = (
        "import sys\nfrom chatdit.cli import main\n"
        f"sys.argv = ['chatdit', {argument!r}]\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert left.code == 0\n"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert ("chatdit " + __version__ if argument == "--version" else "Usage: chatdit") in done.stdout


def test_run_prints_its_json_shape_and_writes_the_pictures(chatdit: CommandLine, tmp_path: Path) -> None:
    said = chatdit("run", "a cat on the beach", "--json", "--out", "out", "--seed", "5", "--size", "64x96")
    assert said.code == 0
    data = json.loads(said.out)
    assert list(data) == ["session", "turn", "text", "images", "seconds", "warnings"]
    (image,) = data["images"]
    assert list(image) == ["path", "sha256", "tool", "seed", "size"]
    assert (image["tool"], image["seed"], image["size"]) == ("generate", 5, [64, 96])
    path = Path(image["path"])
    assert path.parent == tmp_path / "out"
    with Image.open(path) as picture:
        assert picture.size == (64, 96)
    assert data["turn"] == 1 and data["seconds"] > 0
    assert [info.id for info in Session.list()] == [data["session"]]


def test_run_says_when_sparse_attention_stays_dense(chatdit: CommandLine) -> None:
    said = chatdit("run", "a cat on the beach", "--attention", "llsa", "--json", "--seed", "5")
    data = json.loads(said.out)
    (warning,) = [warning for warning in data["warnings"] if "attention" in warning]
    assert said.code == 0 and warning.startswith("attention: llsa stayed dense: ") and warning in said.err
    dense = json.loads(chatdit("run", "a cat on the beach", "--json", "--seed", "5").out)
    assert not [warning for warning in dense["warnings"] if "attention" in warning]
    paths = [data["images"][0]["path"], dense["images"][0]["path"]]
    first, second = (Image.open(path).tobytes() for path in paths)
    assert first == second
    assert json.loads(chatdit("inspect", paths[0], "--json").out)["args"]["sampling"]["attention"] == "llsa"
    assert "attention: llsa stayed dense" in chatdit("inspect", paths[0]).out
    assert chatdit("replay", paths[0]).code == 0


def test_run_prints_result_lines_without_json(chatdit: CommandLine) -> None:
    said = chatdit("run", "a", "cat", "on", "the", "beach", "--seed", "5")
    assert said.code == 0
    assert said.out.startswith("#1 · generate · seed 5 · 2 steps · ")
    assert said.out.count("\n") == 1 and said.out.rstrip().endswith(".png")


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_run_reads_stdin(chatdit: CommandLine, arguments: tuple[str, ...]) -> None:
    said = chatdit("run", *arguments, "--json", stdin=b"a cat on the beach\n")
    assert said.code == 0 and len(json.loads(said.out)["images"]) == 1


def test_a_plan_of_several_steps_needs_yes_where_nobody_can_be_asked(chatdit: CommandLine) -> None:
    said = chatdit("run", TWO_STEPS, "--json")
    assert (said.code, said.out) == (3, "")
    assert said.err == (
        "error: the plan has 2 steps and was not approved: add --yes to run it, or see it with `chatdit plan`\n"
    )
    said = chatdit("run", TWO_STEPS, "--json", "--yes")
    assert said.code == 0 and len(json.loads(said.out)["images"]) == 2


def test_yes_shows_the_plan_on_stderr(chatdit: CommandLine) -> None:
    said = chatdit("run", TWO_STEPS, "--yes")
    assert said.code == 0
    assert "draw_2" in said.err and "draw_2" not in said.out
    assert said.out.count("#") == 2


def test_a_question_is_no_success(chatdit: CommandLine) -> None:
    said = chatdit("run", "a florble on the beach", "--json")
    data = json.loads(said.out)
    assert said.code == 1 and data["images"] == []
    assert "florble" in data["text"] and "florble" in said.err


def test_plan_prints_its_json_shape(chatdit: CommandLine, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "cat.png")
    said = chatdit("plan", "the same cat on the moon, then a big fire engine", "-i", "cat.png", "--json")
    assert said.code == 0
    data = json.loads(said.out)
    assert list(data) == ["instruction", "plan", "questions"]
    assert list(data["instruction"]) == ["inputs", "outputs"] and list(data["plan"]) == ["nodes", "outputs"]
    first, second = data["instruction"]["outputs"]
    assert list(first) == ["id", "description", "subjects", "background", "style", "references"]
    assert (first["subjects"], first["background"], first["references"]) == (["cat"], "moon", ["input_1"])
    assert second["subjects"] == ["fire truck"]
    assert [entry["id"] for entry in data["instruction"]["inputs"]] == ["input_1"]
    assert {node["tool"] for node in data["plan"]["nodes"]} == {"generate"}
    assert [output["id"] for output in data["plan"]["outputs"]] == ["output_1", "output_2"]
    assert Session.list() == ()


def test_plan_says_what_it_would_ask(chatdit: CommandLine) -> None:
    said = chatdit("plan", "a florble", "--json")
    data = json.loads(said.out)
    assert said.code == 0 and data["plan"]["nodes"] == []
    assert "florble" in data["questions"][0]


def test_plan_says_on_stderr_what_it_assumed(chatdit: CommandLine) -> None:
    said = chatdit("plan", "a happy \x1b[31mcat\x1b[0m", "--json")

    assert json.loads(said.out)["instruction"]["outputs"][0]["subjects"] == ["cat"]
    assert "You named no place" in said.err and "'happy'" in said.err and "control characters" in said.err


def test_a_fall_back_of_the_planner_shows_in_a_plan(chatdit: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PLANNER", "openai"), ("LLM__BASE_URL", "http://127.0.0.1:9/v1"), ("LLM__MODEL", "m")):
        monkeypatch.setenv(f"CHATDIT_{name}", value)

    said = chatdit("plan", "a cat on the beach", "--json")

    assert said.code == 0 and "the offline parser read this" in said.err


def test_a_size_that_nothing_can_draw_is_refused_at_once(chatdit: CommandLine) -> None:
    said = chatdit("run", "a cat", "--size", "9000x9000")

    assert said.code == 2 and said.err.startswith("error: size = '9000x9000'")


def test_what_breaks_off_is_finished_where_it_began(chatdit: CommandLine, tmp_path: Path) -> None:
    draw, calls = Generate.run, []

    def interrupted(self: Generate, *arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(self, *arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Generate, "run", interrupted)
        said = chatdit("run", TWO_STEPS, "--yes", "--out", "here")
    assert said.code == 130
    told = re.search(r"1 of 2 pictures are finished and kept; `chatdit resume (\S+)` draws the rest", said.err)
    assert told is not None

    again = chatdit("resume", told[1], "--yes", "--json")

    assert again.code == 0
    assert {Path(image["path"]).parent for image in json.loads(again.out)["images"]} == {tmp_path / "here"}


def test_a_wrong_folder_costs_no_drawing(chatdit: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Generate, "run", lambda *_: pytest.fail("it was drawn"))
        said = chatdit("run", "a cat", "--out", "file")

    assert said.code == 1 and "expected a writable folder" in said.err


def test_the_table_planner_is_one_of_three(chatdit: CommandLine) -> None:
    assert chatdit("plan", "a cat", "--planner", "table", "--json").code == 0
    said = chatdit("plan", "a cat", "--planner", "tarot")
    assert said.code == 2 and "tarot" in said.err and said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("run", "a cat", "--model", "no-such-model"), 2, "no-such-model"),
        (("run", "a cat", "--size", "big"), 2, "WIDTHxHEIGHT"),
        (("run", "a cat", "--attention", "magic"), 2, "'dense', 'llsa', 'clear'"),
        (("run", "a cat", "--seed", "-1"), 2, "seed"),
        (("run", "a cat", "--seed", "x"), 2, "--seed"),
        (("run", "a cat", "-i", "nowhere.png"), 1, "nowhere.png"),
        (("run", "a cat", "-i", "text.png"), 1, "text.png"),
        (("run", ""), 2, "the instruction is empty"),
        (("run", "\x01\x02"), 2, "control characters"),
        (("run", "cat " * 300_000), 2, "at most 20,000"),
        (("resume", "nope"), 2, "there is no session 'nope'"),
        (("resume",), 1, "there is no session to go on with"),
        (("export", "nope"), 2, "there is no session 'nope'"),
        (("export", "nope", "--format", "pdf"), 2, "expected md or html"),
        (("inspect", "nowhere.png"), 1, "does not exist"),
        (("inspect", "bare.png"), 1, "carries no chatdit recipe"),
        (("replay", "text.png"), 1, "cannot be read as a PNG"),
        (("bench", "attention-steps", "--policies", "magic"), 2, "expected some of llsa, clear"),
        (("bench", "attention-steps", "--sides", "100"), 2, "multiples of 16"),
        (("bench", "fidelity", "--side", "100"), 2, "a multiple of 64"),
        (("bench", "crossover", "--threads", "two"), 2, "expected 1,2"),
        (("bench", "gather", "--threads", "0"), 2, "expected 1,2"),
        (("bench", "shared-steps", "--tiny"), 2, "torchrun --no-python --nproc-per-node 2 chatdit bench shared-steps"),
        (("bench", "llsa-training", "--device", "abacus"), 2, "expected auto, cpu, cuda"),
        (("bench", "world", "--device", "cuda:99"), 2, "use that, or cpu"),
        (("bench", "tools", "--tool", "magic"), 2, "no tool called 'magic': expected some of generate, edit"),
        (("bench", "tools", "--flux", "--device", "cpu"), 2, "needs a CUDA device: run it on one, or add --tiny"),
        (("bench", "tools", "--tiny"), 2, "are of --flux: add it, or leave them out"),
        (("bench", "tools", "--flux", "--tiny", "--side", "100"), 2, "expected a multiple of 16"),
        (("bench", "tools", "--beside", "text.png"), 2, "is no record of `chatdit bench tools --json`"),
        (("train", "ic-lora", "pocket:dreams"), 2, "expected pocket:colouring or pocket:sandstorm"),
        (("train", "ic-lora", "pocket:growth", "--name", "My LoRA"), 2, "expected small letters, digits and dashes"),
        (("train", "ic-lora", "nowhere"), 1, "nowhere is no folder: expected one with card.json and samples"),
        (("train", "pocket", "--stage", "dream"), 2, "expected all, or one of autoencoder"),
        (("train", "pocket", "--stage", "few-step", "--method", "guess"), 2, "expected one of imitation, reflow"),
        (("train", "pocket", "--stage", "base", "--pixels", "100", "--device", "cpu"), 2, "expected one of 128, 256"),
        (("train", "pocket", "--stage", "base", "--device", "abacus"), 2, "expected auto, cpu, cuda"),
        (("train", "pocket", "--stage", "base", "--out", "empty", "--device", "cpu"), 1, "run the stage 'autoencoder'"),
        (("--yes", "run", "a cat"), 2, "put them after"),
    ],
)
def test_bad_input_is_one_clear_line_and_the_right_code(
    chatdit: CommandLine, tmp_path: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    said = chatdit(*arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err
    last = said.err.splitlines()[-1]
    assert len(last) < 400 and (last.lower().startswith("error: "))


def test_a_megabyte_on_stdin_is_refused(chatdit: CommandLine) -> None:
    said = chatdit("run", stdin=b"cat " * 300_000)
    assert (said.code, said.out) == (2, "")
    assert "at most 20,000" in said.err and said.err.count("\n") == 1


def test_an_unknown_config_key_is_named(chatdit: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "chatdit.toml").write_text("sede = 4\n")
    said = chatdit("plan", "a cat")
    assert said.code == 2 and "did you mean 'seed'?" in said.err


def test_inspect_and_replay_a_picture(chatdit: CommandLine) -> None:
    path = json.loads(chatdit("run", "a cat on the beach", "--json", "--out", "out").out)["images"][0]["path"]
    recipe = json.loads(chatdit("inspect", path, "--json").out)
    assert recipe["instruction"] == recipe["caption"] == "a cat on the beach"
    assert "caption: a cat on the beach" in chatdit("inspect", path).out
    said = chatdit("replay", path, "--json", "--out", "again")
    data = json.loads(said.out)
    assert said.code == 0 and data["equal"] is True
    with Image.open(path) as before, Image.open(data["written"]) as after:
        assert before.tobytes() == after.tobytes()


def test_replay_tells_a_changed_picture(chatdit: CommandLine, tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    path = json.loads(chatdit("run", "a cat on the beach", "--json").out)["images"][0]["path"]
    with Image.open(path) as picture:
        texts = PngInfo()
        texts.add_itxt("chatdit", str(picture.info["chatdit"]))
        changed = picture.convert("RGB")
        changed.putpixel((3, 2), (1, 2, 3))
        changed.save(tmp_path / "changed.png", pnginfo=texts)
    said = chatdit("replay", "changed.png")
    assert said.code == 1 and "the first at (3, 2)" in said.out


def test_sessions_export_and_resume(chatdit: CommandLine, tmp_path: Path) -> None:
    first = json.loads(chatdit("run", "a cat on the beach", "--json").out)
    (info,) = json.loads(chatdit("sessions", "--json").out)
    assert (info["id"], info["turns"], info["pictures"]) == (first["session"], 1, 1)
    assert "a cat on the beach" in chatdit("sessions").out
    written = json.loads(chatdit("export", first["session"], "--format", "html", "--out", "docs", "--json").out)
    assert "a cat on the beach" in Path(written["path"]).read_text()
    said = chatdit("resume", first["session"], "--json")
    assert said.code == 0 and json.loads(said.out) == first
    assert "has nothing to finish" in said.err


def test_a_session_in_use_is_not_taken(chatdit: CommandLine) -> None:
    with Session() as session:
        session.send("a cat on the beach")
        said = chatdit("resume", session.id)
    assert said.code == 1 and session.id in said.err and said.err.count("\n") == 1


def test_samples_of_a_lora_are_checked_without_training(chatdit: CommandLine) -> None:
    said = chatdit("train", "ic-lora", "pocket:colouring", "--samples", "4", "--name", "mine", "--dry-run")
    assert (said.code, said.out, said.err) == (0, "", "mine: 4 sets of 2 panels\n")


def test_tools_prints_schemas(chatdit: CommandLine) -> None:
    generate, edit, *others = json.loads(chatdit("tools", "--json").out)
    assert (generate["name"], edit["name"]) == ("generate", "edit")
    assert [tool["name"] for tool in others] == ["compose", "segment", "ic_lora", "layout", "subject", "story"]
    assert "panels" in generate["input_schema"]["properties"] and "boxes" in edit["input_schema"]["properties"]
    assert "generate" in chatdit("tools").out


def test_a_conversation_through_a_pipe(chatdit: CommandLine) -> None:
    lines = (
        "a cat on the beach\n/undo\n/redo\n/branch 1\na dog on the moon, then a fox on the beach\ny\n/history\n/quit\n"
    )
    said = chatdit(stdin=lines.encode())
    assert said.code == 0
    assert "undone: turn 1" in said.out and "branched from" in said.out
    assert said.out.count("· generate · seed") == 3
    assert "›" not in said.out and "\x1b" not in said.out
    assert "`chatdit -c` goes on with it" in said.out
    said = chatdit("-c", stdin=b"/history\n")
    assert "a dog on the moon, then a fox on the beach" in said.out


def test_a_failed_line_in_a_pipe_makes_the_exit_code_1(chatdit: CommandLine) -> None:
    said = chatdit(stdin=b"/show 9\na cat on the beach\n")
    assert said.code == 1
    assert "there is no picture #9" in said.out and "· generate · seed" in said.out
