"""The record of the pocket judge's own accuracy, and that reports use what it says."""

from __future__ import annotations

import json

from chatdit.evals.bench_judge import run
from chatdit.evals.judges.pocket_judge import ERRORS, PocketJudge
from chatdit.evals.records import RECORDS
from chatdit.evals.suites.pocket_suite import POCKET_SHA256


def test_a_record_is_made_of_a_few_cases() -> None:
    record = run(limit=6)
    overall, checks = record["overall"], record["checks"]
    assert isinstance(overall, dict) and overall["right"]["n"] == 2 * 6 * 6 and overall["right"]["value"] > 0.9
    assert isinstance(checks, dict) and checks["count"]["right"]["value"] == 1
    assert record["judge"] == {"name": "pocket", "fingerprint": PocketJudge().fingerprint}


def test_reports_widen_their_intervals_by_what_the_record_says() -> None:
    record = json.loads((RECORDS / "judge.json").read_text())
    assert record["suite_sha256"] == POCKET_SHA256
    no, yes = record["overall"]["false_yes"], record["overall"]["false_no"]
    wrong_yes, wrong_no = round(no["value"] * no["n"]), round(yes["value"] * yes["n"])
    assert (ERRORS.yes_wrong, ERRORS.no_right) == (wrong_yes, no["n"] - wrong_yes)
    assert (ERRORS.no_wrong, ERRORS.yes_right) == (wrong_no, yes["n"] - wrong_no)
    assert record["overall"]["right"]["ci_low"] >= 0.97, "what a judge of this project must reach"
