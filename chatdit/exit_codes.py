"""What the process says when it ends: one table from error class to exit code, one line for a person.

Classes are named, not imported, so that `chatdit --version` and a usage error stay light.
"""

from __future__ import annotations

OK = 0
FAILURE = 1
USAGE = 2
NOT_APPROVED = 3
ENDPOINT_UNREACHABLE = 4
SCORE_BELOW_THRESHOLD = 5
INTERRUPTED = 130

BY_CLASS: dict[str, int] = {
    "chatdit.config.ConfigError": USAGE,
    "chatdit.exit_codes.UsageError": USAGE,
    "chatdit.exit_codes.NotApproved": NOT_APPROVED,
    "chatdit.session_errors.UnknownSession": USAGE,
    "chatdit.session_errors.SessionError": FAILURE,
    "chatdit.evals.suites.idea_bench.SuiteError": USAGE,
    "chatdit.evals.running.json_lines.BrokenLineError": USAGE,
    "chatdit.evals.running.run_folder.RunFolderError": USAGE,
    "chatdit.evals.scoring.ScoringError": USAGE,
    "chatdit.evals.judges.judge_costs.BudgetError": FAILURE,
    "chatdit.agents.brain.InstructionError": USAGE,
    "chatdit.agents.brain.EndpointError": ENDPOINT_UNREACHABLE,
    "chatdit.agents.brain.ModelReplyError": FAILURE,
    "chatdit.tools.types.ToolError": FAILURE,
    "chatdit.tools.types.Cancelled": INTERRUPTED,
    "chatdit.agents.plan.PlanError": FAILURE,
    "builtins.KeyboardInterrupt": INTERRUPTED,
    "builtins.OSError": FAILURE,
}


class UsageError(Exception):
    """A command line that cannot be carried out as written; the message says what would do."""


class NotApproved(Exception):
    """A plan that nobody approved; nothing was drawn."""


def exit_code(error: BaseException) -> int | None:
    """The exit code of an error that is meant for people, or None for one that is a fault of ours."""
    for cls in type(error).__mro__:
        code = BY_CLASS.get(f"{cls.__module__}.{cls.__qualname__}")
        if code is not None:
            return code
    return None


def one_line(error: BaseException) -> str:
    """The message of an error on one line, control characters shown as blanks."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
