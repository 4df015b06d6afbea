"""Another system's results, which have pictures and nothing else, made a run that can be judged and compared."""

from __future__ import annotations

import time

from pydantic import JsonValue

from chatdit.evals.running.kept_pictures import systems_of
from chatdit.evals.running.run_folder import Manifest, RunFolder, RunFolderError, config_sha256
from chatdit.evals.suites.case import Suite


def adopt(folder: RunFolder, suite: Suite, suite_root: str | None) -> Manifest:
    """Write the manifest of pictures that lie in `outputs/<system>/<case>/0001.jpg` or `<case>/0001.jpg`.

    Raises:
        RunFolderError: there is none for any case, or there are several systems'.
    """
    systems = systems_of(folder.path)
    if len(systems) > 1:
        one = folder.path / "outputs" / systems[0]
        raise RunFolderError(f"{folder.path} has outputs of {', '.join(systems)}: judge each by itself, as {one}")
    if not any(folder.pictures(case.id) for case in suite.cases):
        expected = "expected outputs/<system>/<case>/0001.jpg"
        raise RunFolderError(f"{folder.path} has no picture for any case of {suite.name}: {expected}")
    name = systems[0] if systems else folder.path.absolute().name
    manifest = _manifest(suite, suite_root, name)
    folder.rewrite(manifest)
    return manifest


def _manifest(suite: Suite, suite_root: str | None, system: str) -> Manifest:
    known: dict[str, JsonValue] = {"suite": suite.name, "suite_sha256": suite.sha256, "system": system}
    return Manifest(
        suite=suite.name,
        suite_root=suite_root,
        suite_sha256=suite.sha256,
        split=None,
        limit=None,
        system=system,
        command=(),
        seed=0,
        weights="unknown",
        config_sha256=config_sha256({**known, "command": [], "seed": 0, "weights": "unknown"}),
        versions={},
        commit="unknown",
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
