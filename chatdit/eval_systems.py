"""The systems that `chatdit eval` knows by name: what draws a case, and what its results depend on."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import JsonValue

from chatdit.config import load_settings
from chatdit.devices import visible_gpus
from chatdit.evals.records import commit, versions
from chatdit.evals.running import command_system
from chatdit.evals.running.run_folder import Manifest, config_sha256
from chatdit.evals.suites.case import Split, Suite
from chatdit.evals.suites.named_suite import POCKET
from chatdit.exit_codes import UsageError
from chatdit.settings_model import Settings

SYSTEMS: Mapping[str, str | None] = {"ours": None, "table": "table", "rephrase": "rephrase"}
"""The planner of each system of this project; None is the one that the settings name."""
COMMAND = "command"
NAMES = (*SYSTEMS, COMMAND)
CHANGING = ("device", "dtype", "steps", "guidance", "size", "attention")
"""Settings beside planner and model that change results."""


@dataclass(frozen=True)
class System:
    """What draws cases."""

    name: str
    worker: tuple[str, ...]
    """The command line of its worker."""
    settings: Settings | None
    """None of somebody else's system."""

    def weights(self) -> str:
        """The hash of its weights. Raises ConfigError for a model that is not there."""
        if self.settings is None:
            return "unknown"
        from chatdit.workshop import Workshop

        return Workshop(self.settings).painter.weights_hash()

    def gpus(self) -> tuple[str, ...]:
        """The GPUs that its workers may be spread over; none where the settings name the device."""
        return visible_gpus() if self.settings is None or self.settings.device in ("auto", "cuda") else ()


def named_system(name: str, template: str | None, model: str | None) -> System:
    """The system of this name; `template` is the command of `command`, `model` the painter of the others.

    Raises UsageError or ConfigError.
    """
    one_of(name, NAMES, "--system")
    if (name == COMMAND) != (template is not None):
        expected = 'after the suite, and no other system takes one: "prog {instruction} {out}"'
        raise UsageError(f"--system command needs a command {expected}")
    if template is None:
        settings = load_settings({"model": model, "planner": SYSTEMS[name]})
        return System(name, (sys.executable, "-P", "-m", "chatdit.eval_worker", *told_settings(settings)), settings)
    if model is not None:
        raise UsageError(f"--model {model[:40]!r} is for this project's systems: put it into the command")
    try:
        return System(name, tuple(command_system.worker_command(template)), None)
    except ValueError as error:
        raise UsageError(str(error)) from error


def told_settings(settings: Settings) -> list[str]:
    """All settings that change results as `name=value`; a worker that is given them draws the same anywhere."""
    told = {"planner": settings.planner, "model": settings.model}
    plain = Settings()
    told |= {n: getattr(settings, n) for n in CHANGING if getattr(settings, n) != getattr(plain, n)}
    if settings.size is not None:
        told["size"] = "{}x{}".format(*settings.size)
    if settings.planner == "openai" and settings.llm.model is not None:
        told["llm.model"] = settings.llm.model
    return [f"{name}={value}" for name, value in told.items()]


def manifest(system: System, suite: Suite, asked: str, split: Split | None, limit: int | None, seed: int) -> Manifest:
    """What a run of `suite`, asked for under the name `asked`, is before it begins."""
    command = system.worker[1:]  # which Python runs it changes nothing
    changing: dict[str, JsonValue] = {
        "suite": suite.name,
        "suite_sha256": suite.sha256,
        "system": system.name,
        "seed": seed,
        "weights": system.weights(),
    }
    settings = system.settings
    return Manifest.model_validate(
        {
            **changing,
            "command": command,
            "model": None if settings is None else settings.model,
            "planner": None if settings is None else settings.planner,
            "suite_root": suite_root(asked),
            "split": split,
            "limit": limit,
            "config_sha256": config_sha256({**changing, "command": list(command)}),
            "versions": versions("diffusers"),
            "commit": commit(),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
    )


def suite_root(asked: str) -> str | None:
    """Where a suite lies; None for the pocket suite, which each run writes for itself."""
    return None if asked == POCKET else str(Path(asked).expanduser().absolute())


def one_of(name: str, known: tuple[str, ...], option: str) -> str:
    """The name. Raises UsageError with the nearest for one that is not known."""
    if name not in known:
        near = get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{option} {name[:40]!r} is not known: expected {', '.join(known)}{hint}")
    return name
