"""Ranges in pyproject.toml, pins in constraints.txt, and what is installed do not contradict each other."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins() -> dict[str, Version]:
    lines = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    split = [line.split("==") for line in lines if line]
    assert all(len(parts) == 2 for parts in split), "constraints.txt holds exact versions"
    return {canonicalize_name(name): Version(pin) for name, pin in split}


def needed() -> list[Requirement]:
    return [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]


@pytest.mark.parametrize("requirement", needed(), ids=lambda r: r.name)
def test_each_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    pin = pins().get(canonicalize_name(requirement.name))
    assert pin is not None, f"{requirement.name} is not in constraints.txt"
    assert requirement.specifier.contains(pin)


@pytest.mark.parametrize("requirement", needed(), ids=lambda r: r.name)
def test_each_dependency_is_installed_within_its_range(requirement: Requirement) -> None:
    if requirement.marker is None or requirement.marker.evaluate():
        assert requirement.specifier.contains(Version(version(requirement.name)).public)


def test_pins_name_no_build_and_no_index() -> None:
    """A local version such as +cpu exists on some indexes only; which build a machine takes is its own choice."""
    assert not [name for name, pin in pins().items() if pin.local]
    assert "://" not in (ROOT / "constraints.txt").read_text()


def test_the_tested_torch_brings_the_tested_triton() -> None:
    assert (str(pins()["torch"]), str(pins()["triton"])) == ("2.13.0", "3.7.1")


def test_licence_and_notice_are_packaged() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert set(PROJECT["license-files"]) == {"LICENSE", "NOTICE"}
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()
    notice = (ROOT / "NOTICE").read_text()
    assert "Noto Color Emoji" in notice and "SIL Open Font License" in notice and "Unicode License" in notice
