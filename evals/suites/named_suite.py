"""A suite by the name that people give it: `pocket`, or a folder."""

from __future__ import annotations

from pathlib import Path

from chatdit.evals.suites.case import Suite
from chatdit.evals.suites.idea_bench import SuiteError, load_suite
from chatdit.evals.suites.pocket_suite import POCKET_SHA256, write_pocket_suite

POCKET = "pocket"


def open_suite(name: str, kept_in: Path) -> Suite:
    """The suite; the pocket suite is written into the folder `kept_in`, unless it is there already.

    Raises:
        SuiteError: there is no such folder, no case in it, or the pocket suite is not the one it should be.
    """
    if name != POCKET:
        return load_suite(Path(name).expanduser())
    suite = _kept(kept_in) or write_pocket_suite(kept_in)
    if suite.sha256 != POCKET_SHA256:
        raise SuiteError(
            f"the pocket suite came out as {suite.sha256[:12]}, expected {POCKET_SHA256[:12]}: the package is changed"
        )
    return suite


def _kept(folder: Path) -> Suite | None:
    try:
        suite = load_suite(folder, POCKET)
    except SuiteError:
        return None
    return suite if suite.sha256 == POCKET_SHA256 and not suite.problems else None
