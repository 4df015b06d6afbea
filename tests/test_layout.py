"""The house of ARCHITECTURE.md: every folder with code is a package, and imports point downwards."""

from __future__ import annotations

import ast
import os
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("agents", "chatdit", "evals", "kernels", "tools")
NOT_CODE = {"build", "dist", "out", "runs", "chatdit-out", "typings", "node_modules", "venv", "env"}
MAX_LINES = 400

MAY_IMPORT = {
    "chatdit.kernels.errors": (),
    "chatdit.kernels.triton_device": ("chatdit.kernels.errors",),
    "chatdit.kernels.plan": ("chatdit.kernels.errors",),
    "chatdit.kernels.llsa": ("chatdit.kernels.errors", "chatdit.kernels.triton_device", "chatdit.kernels.plan"),
    "chatdit.kernels.blocks": (
        "chatdit.kernels.errors",
        "chatdit.kernels.triton_device",
        "chatdit.kernels.plan",
        "chatdit.kernels.llsa",
    ),
    "chatdit.kernels.search": ("chatdit.kernels.triton_device",),
    "chatdit.kernels": (
        "chatdit.kernels.errors",
        "chatdit.kernels.triton_device",
        "chatdit.kernels.plan",
        "chatdit.kernels.llsa",
        "chatdit.kernels.blocks",
    ),
    "chatdit.kernels.policies": ("chatdit.kernels",),
    "chatdit.tools.types": (),
    "chatdit.tools.dit": ("chatdit.tools.types", "chatdit.kernels"),
    "chatdit.tools.runtime": ("chatdit.tools.types", "chatdit.tools.dit", "chatdit.kernels"),
    "chatdit.tools.pocket": ("chatdit.tools.types", "chatdit.tools.dit"),
    "chatdit.tools.training": (
        "chatdit.tools.types",
        "chatdit.tools.dit",
        "chatdit.tools.runtime",
        "chatdit.tools.pocket",
        "chatdit.kernels",
    ),
    "chatdit.tools": (
        "chatdit.tools.types",
        "chatdit.tools.dit",
        "chatdit.tools.runtime",
        "chatdit.tools.pocket",
        "chatdit.tools.training",
        "chatdit.kernels",
    ),
    "chatdit.agents": ("chatdit.tools",),
    "chatdit.evals": ("chatdit.agents", "chatdit.tools", "chatdit.kernels"),
    "chatdit": ("chatdit.evals", "chatdit.agents", "chatdit.tools", "chatdit.kernels"),
}
"""Floor -> floors below it. A module belongs to the longest floor that is a prefix of its name, and
whatever a floor may import, it may import with all floors inside it."""

PICKLE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PICKLE_CALLS = {"torch.load", "torch.save", "torch.hub.load", "torch.package"}


@dataclass(frozen=True)
class Module:
    name: str
    path: Path
    tree: ast.Module

    def at(self, node: ast.AST) -> str:
        return f"{self.path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def modules() -> tuple[Module, ...]:
    found = []
    for path in sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts if parts[0] == "chatdit" else ("chatdit", *parts)
        name = ".".join(parts).removesuffix(".__init__")
        found.append(Module(name, path, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


MODULES = modules()
NAMES = {module.name for module in MODULES}


def imports(module: Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every imported module by its full name, wherever in the file the import stands."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            base = node.module or ""
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node, full if full in NAMES else base


def is_in(name: str, floor: str) -> bool:
    return name == floor or name.startswith(f"{floor}.")


def floor_of(name: str) -> str:
    return max((floor for floor in MAY_IMPORT if is_in(name, floor)), key=len)


def allowed(importer: str, imported: str) -> bool:
    """Whether the module may import the other: same floor, or one that the table names."""
    mine, theirs = floor_of(importer), floor_of(imported)
    return mine == theirs or any(is_in(theirs, floor) for floor in MAY_IMPORT[mine])


def dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join(reversed([*parts, node.id])) if isinstance(node, ast.Name) else ""


def off(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def folders_with_code() -> set[str]:
    found = set()
    for folder, below, files in os.walk(ROOT):
        below[:] = [b for b in below if not (b.startswith((".", "__")) or b in NOT_CODE or b.endswith(".egg-info"))]
        if any(name.endswith(".py") for name in files):
            found.add(Path(folder).relative_to(ROOT).as_posix())
    return {folder for folder in found if folder.split("/")[0] != "tests"}


def settings() -> dict[str, object]:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    assert isinstance(tool, dict)
    return tool


def test_every_folder_with_code_is_a_listed_package() -> None:
    setuptools = settings()["setuptools"]
    assert isinstance(setuptools, dict)
    listed = {name if name == "chatdit" else name.removeprefix("chatdit.") for name in setuptools["packages"]}
    assert folders_with_code() == {name.replace(".", "/") for name in listed}
    for folder in folders_with_code():
        assert (ROOT / folder / "__init__.py").is_file(), f"{folder} lacks __init__.py"
    assert setuptools["package-dir"] == {
        "chatdit": "chatdit",
        **{f"chatdit.{f}": f for f in FOLDERS if f != "chatdit"},
    }


def test_package_data_is_there() -> None:
    """Each pattern of package-data matches a file, so that the wheel is not silently empty."""
    setuptools = settings()["setuptools"]
    assert isinstance(setuptools, dict)
    for package, patterns in setuptools["package-data"].items():
        folder = ROOT / (package if package == "chatdit" else package.removeprefix("chatdit.").replace(".", "/"))
        for pattern in patterns:
            assert any(p.is_file() for p in folder.glob(pattern)), f"{package}: nothing matches {pattern}"


@pytest.mark.parametrize("folder", [f for f in FOLDERS if f != "chatdit"])
def test_the_type_checkers_see_the_folder_through_a_link(folder: str) -> None:
    link = ROOT / "typings" / "chatdit" / folder
    assert link.is_symlink()
    assert link.resolve() == ROOT / folder
    pyright = settings()["pyright"]
    assert isinstance(pyright, dict)
    assert f"typings/chatdit/{folder}" in pyright["include"]


def test_imports_point_downwards() -> None:
    upward = [
        f"{module.at(node)}: {module.name} imports {name}"
        for module in MODULES
        for node, name in imports(module)
        if is_in(name, "chatdit") and not allowed(module.name, name)
    ]
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize(
    ("importer", "imported", "expected"),
    [
        ("chatdit.agents.plan", "chatdit.tools.types", True),
        ("chatdit.tools.dit.model", "chatdit.tools.types", True),
        ("chatdit.tools.dit.model", "chatdit.tools.generate", False),
        ("chatdit.tools.dit.model", "chatdit.tools.pocket.scene", False),
        ("chatdit.tools.generate", "chatdit.tools.pocket.scene", True),
        ("chatdit.tools.runtime.attach", "chatdit.tools.dit.sparse_route", True),
        ("chatdit.tools.dit.sparse_route", "chatdit.tools.runtime.cost_model", False),
        ("chatdit.tools.pocket.scene", "chatdit.tools.training.base", False),
        ("chatdit.tools.types", "chatdit.tools.artifacts", False),
        ("chatdit.kernels.gather", "chatdit.tools.types", False),
        ("chatdit.evals.runner", "chatdit.session", False),
        ("chatdit.evals.runner", "chatdit", False),
        ("chatdit.cli", "chatdit.evals.runner", True),
    ],
)
def test_the_direction_rule(importer: str, imported: str, expected: bool) -> None:
    assert allowed(importer, imported) is expected


def test_imports_are_absolute_and_start_with_chatdit() -> None:
    wrong = []
    for module in MODULES:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                wrong.append(f"{module.at(node)}: relative import")
        for node, name in imports(module):
            if name.split(".")[0] in {"agents", "tools", "kernels", "evals", "tests"}:
                wrong.append(f"{module.at(node)}: imports {name}, expected chatdit.{name}")
    assert not wrong, "\n".join(wrong)


def test_kernels_know_torch_and_triton_only() -> None:
    known = {"torch", "triton", "chatdit", "__future__"} | set(sys.stdlib_module_names)
    foreign = [
        f"{module.at(node)}: {name}"
        for module in MODULES
        if is_in(module.name, "chatdit.kernels")
        for node, name in imports(module)
        if name.split(".")[0] not in known
    ]
    assert not foreign, "\n".join(foreign)


def test_nothing_reads_or_writes_pickles() -> None:
    found = []
    for module in MODULES:
        found += [f"{module.at(n)}: import {m}" for n, m in imports(module) if m.split(".")[0] in PICKLE_MODULES]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and dotted(node) in PICKLE_CALLS:
                found.append(f"{module.at(node)}: {dotted(node)}")
            if isinstance(node, ast.ImportFrom):
                named = {f"{node.module}.{alias.name}" for alias in node.names}
                found += [f"{module.at(node)}: from {name}" for name in sorted(named & PICKLE_CALLS)]
            if (
                isinstance(node, ast.keyword)
                and node.arg in {"allow_pickle", "pickle_fallback"}
                and not off(node.value)
            ):
                found.append(f"{module.at(node.value)}: {node.arg} must be False")
    assert not found, "\n".join(found)


def test_modules_stay_short() -> None:
    lengths = {m.path.relative_to(ROOT).as_posix(): len(m.path.read_text().splitlines()) for m in MODULES}
    too_long = {path: lines for path, lines in lengths.items() if lines > MAX_LINES}
    assert not too_long, f"split these, or say here why not: {too_long}"


def test_no_module_is_named_for_nothing() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert not [m.name for m in MODULES if m.name.rsplit(".", 1)[-1] in vague]
