"""How often the pocket judge is right on the pocket suite's own questions; reports widen their intervals by it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from chatdit.evals.intervals import proportion
from chatdit.evals.judges.accuracy import Confusion, Notify, judge_accuracy
from chatdit.evals.judges.pocket_judge import PocketJudge
from chatdit.evals.records import commit, describe_device, versions
from chatdit.evals.suites.pocket_suite import POCKET_SHA256


def run(
    *, seed: int = 0, limit: int | None = None, notify: Notify = lambda what, done, total: None
) -> dict[str, object]:
    """A JSON record; `limit` takes that many cases, spread over all."""
    judge = PocketJudge()
    found = judge_accuracy(judge.reader, seed, limit, notify)
    return {
        "benchmark": "judge",
        "command": f"chatdit bench judge --seed {seed}{'' if limit is None else f' --limit {limit}'} --json",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "commit": commit(),
        "suite_sha256": POCKET_SHA256,
        "judge": {"name": judge.name, "fingerprint": judge.fingerprint},
        "device": describe_device(torch.device("cpu")),
        "versions": versions("diffusers"),
        "note": "answers on true renders of the suite's own cases, right ones and ones with mistakes made on purpose; "
        "false_yes is the share of what is not so that is answered yes, false_no of what is so that is answered no",
        "overall": _told(found.overall),
        "parts": _all(found.parts),
        "checks": _all(found.checks),
    }


def _all(confusions: Mapping[str, Confusion]) -> dict[str, dict[str, object]]:
    return {name: _told(confusions[name]) for name in sorted(confusions)}


def _told(counts: Confusion) -> dict[str, object]:
    told: dict[str, object] = {"right": counts.right.rounded()}
    for name, wrong, right in (
        ("false_yes", counts.false_yes, counts.true_no),
        ("false_no", counts.false_no, counts.true_yes),
    ):
        if wrong + right:
            told[name] = proportion([True] * wrong + [False] * right).rounded()
    return told
