"""How far a judge's votes agree with one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chatdit.evals.intervals import Estimate, proportion
from chatdit.evals.judges.judge import Verdict


@dataclass(frozen=True)
class Agreement:
    """Of questions that were asked at least twice."""

    questions: int
    unanimous: Estimate | None
    """Share of questions whose votes could all be read and are the same; None without questions."""
    fleiss_kappa: float | None
    """None when chance alone would agree: no two votes of a question, or all votes of all questions the same."""
    unreadable_votes: int


def vote_agreement(verdicts: Iterable[Verdict]) -> Agreement:
    """Agreement within the questions of these verdicts, each with its own votes."""
    ballots = [answer.votes for verdict in verdicts for answer in verdict.answers if len(answer.votes) > 1]
    unanimous = [None not in votes and len(set(votes)) == 1 for votes in ballots]
    readable = [[vote for vote in votes if vote is not None] for votes in ballots]
    return Agreement(
        questions=len(ballots),
        unanimous=proportion(unanimous) if unanimous else None,
        fleiss_kappa=fleiss_kappa(readable),
        unreadable_votes=sum(votes.count(None) for votes in ballots),
    )


def fleiss_kappa(ballots: Iterable[Sequence[bool]]) -> float | None:
    """Agreement beyond chance, 1 at most, 0 as by chance; None where chance alone would always agree.

    Ballots of a single vote are left out. Their lengths may differ: each agrees by its own pairs of votes, and
    the shares of yes and no are of all votes. Source: Fleiss 1971, Measuring nominal scale agreement among
    many raters, equations 1 to 7; with one length for all it is that statistic exactly.
    """
    counts = [(sum(votes), len(votes)) for votes in ballots if len(votes) > 1]
    if not counts:
        return None
    yes_share = sum(yes for yes, _ in counts) / sum(total for _, total in counts)
    by_chance = yes_share**2 + (1 - yes_share) ** 2
    if by_chance == 1:
        return None
    found = sum(_agreeing_pairs(yes, total) for yes, total in counts) / len(counts)
    return (found - by_chance) / (1 - by_chance)


def _agreeing_pairs(yes: int, total: int) -> float:
    """Share of the pairs of votes that agree (equation 2)."""
    no = total - yes
    return (yes * (yes - 1) + no * (no - 1)) / (total * (total - 1))
