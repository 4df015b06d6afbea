"""The documents say what is so: commands, folders, links, lengths, names."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(p.name for p in ROOT.glob("*.md"))
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def marked_block(mark: str) -> str:
    """The fenced block under `<!-- ci: mark -->`, which .ci/run executes."""
    match = re.search(rf"^<!-- ci: {mark} -->\n```sh\n(.*?)^```", text("README.md"), re.M | re.S)
    assert match, f"README.md has no block under <!-- ci: {mark} -->"
    return match[1]


def test_the_documents_are_there() -> None:
    assert set(DOCUMENTS) >= {"README.md", "ARCHITECTURE.md", "LOG.md", "CHANGELOG.md", "CONTRIBUTING.md"}


@pytest.mark.parametrize("mark", ["draw", "test"])
def test_ci_runs_the_commands_of_the_readme(mark: str) -> None:
    block = marked_block(mark)
    assert subprocess.run(["bash", "-n"], input=block, text=True, check=False).returncode == 0
    assert "venv" in block
    assert "-c constraints.txt" in block
    assert f"readme_command {mark})" in text(".ci/run")


def test_command_1_is_the_main_job() -> None:
    assert '.venv/bin/chatdit run "draw a fox and a rocket on the moon' in marked_block("draw")
    assert ".venv/bin/pytest" in marked_block("test")


def test_python_examples_name_what_exists() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", text("README.md"), re.M | re.S)
    assert blocks
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "chatdit":
                import chatdit

                assert all(hasattr(chatdit, alias.name) for alias in node.names)


def test_the_readme_lists_every_folder() -> None:
    listed = set(re.findall(r"^\| `(\w+)/`", text("README.md"), re.M))
    assert listed == {"agents", "chatdit", "evals", "kernels", "tests", "tools"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    missing = [target for target in LINK.findall(text(name)) if not (ROOT / target).exists()]
    assert not missing


def test_paths_in_architecture_exist() -> None:
    named = re.findall(r"`((?:agents|chatdit|evals|kernels|tools|tests|typings)/[\w./]*)`", text("ARCHITECTURE.md"))
    assert len(named) > 20
    assert not [path for path in named if not (ROOT / path).exists()]


def test_architecture_stays_readable() -> None:
    assert len(text("ARCHITECTURE.md").split()) < 900
