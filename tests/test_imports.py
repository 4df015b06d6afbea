"""What starting the command costs, and that it is not led astray by the folder it is started from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHATDIT = Path(sysconfig.get_path("scripts")) / "chatdit"
HEAVY = {"torch", "langgraph", "diffusers", "transformers", "openai", "triton", "langchain_core"}

HUGGING_FACE_KERNELS = """
class Anything:  # a decorator that changes nothing, a base class, a record
    def __init__(self, *arguments, **keywords): pass
    def __call__(self, decorated=None, *arguments, **keywords): return decorated

def __getattr__(name):
    if name.startswith("__"): raise AttributeError(name)
    return Anything
"""

WITNESS = """
import atexit, json, os, sys
from importlib.machinery import PathFinder

def tell():
    found = {"bare": PathFinder.find_spec("kernels", sys.path).origin}
    for name in ("kernels", "chatdit.kernels", "diffusers"):
        found[name] = getattr(sys.modules.get(name), "__file__", None)
    with open(os.environ["WITNESS"], "w") as file:
        json.dump(found, file)

atexit.register(tell)
"""


def started(*arguments: str, extra_path: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the console script from the repository root, as a person would; -X importtime lists imports on stderr."""
    env = {**os.environ, "PYTHONPATH": extra_path, "NO_COLOR": "1", **environment}
    command = [sys.executable, "-X", "importtime", str(CHATDIT), *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)


def said(process: subprocess.CompletedProcess[str]) -> str:
    """Standard error without the import times."""
    return "\n".join(line for line in process.stderr.splitlines() if not line.startswith("import time:"))


def imported(process: subprocess.CompletedProcess[str]) -> set[str]:
    lines = [line for line in process.stderr.splitlines() if line.startswith("import time:")]
    assert len(lines) > 20, said(process)
    return {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in lines}


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(flag: str) -> None:
    process = started(flag)
    assert process.returncode == 0, said(process)
    assert "chatdit" in process.stdout.lower()
    assert not HEAVY & imported(process)


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys, chatdit; print(*{m.split('.')[0] for m in sys.modules})"
    out = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(out.stdout.split())
    assert "chatdit" in out.stdout.split()


def test_the_root_does_not_shadow_an_installed_kernels_package(tmp_path: Path) -> None:
    """diffusers and transformers import Hugging Face's `kernels`; the folder of that name at the root is ours."""
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text(HUGGING_FACE_KERNELS)
    info = tmp_path / "kernels-0.18.5.dist-info"  # a version that transformers imports when it finds it
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kernels\nVersion: 0.18.5\n")
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    told = tmp_path / "told.json"
    command = ("run", "a cat on the beach", "--json", "--seed", "1", "--out", str(tmp_path / "out"))
    process = started(*command, extra_path=str(tmp_path), WITNESS=str(told))
    assert process.returncode == 0, said(process)
    assert len(json.loads(process.stdout)["images"]) == 1
    found = json.loads(told.read_text())
    assert Path(found["bare"]).is_relative_to(tmp_path), "a bare `import kernels` finds the folder at the root"
    assert Path(found["kernels"]).is_relative_to(tmp_path), "transformers did not get the installed package"
    assert Path(found["chatdit.kernels"]).resolve() == ROOT / "kernels" / "__init__.py"
    assert found["diffusers"]
