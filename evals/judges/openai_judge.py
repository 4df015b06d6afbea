"""The openai judge: a vision-language model at any OpenAI-compatible endpoint answers every question several times.

It is sent the pictures themselves, unlike in the published script (IDEA-Bench, arXiv 2412.11767), which passes
them as text. Every vote is kept, so that a run that is stopped goes on and a second one costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from chatdit.agents.brain import BrainSettings, ModelReplyError
from chatdit.evals.judges.judge import Answer, Verdict
from chatdit.evals.judges.judge_costs import Ledger, Prices, Tokens
from chatdit.evals.judges.judge_endpoint import JudgeEndpoint, Reply
from chatdit.evals.judges.judge_pictures import read_pictures, shown_for
from chatdit.evals.judges.judge_probe import Probe
from chatdit.evals.judges.judge_prompt import PROMPT_VERSION, question_messages, read_score, repair_messages
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.judges.side_by_side import side_by_side
from chatdit.evals.judges.vote_cache import Vote, VoteCache
from chatdit.evals.suites.case import Case

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

TEMPERATURE = 0.7
"""At 0 three votes would be one vote said thrice."""


class _Ballot(NamedTuple):
    """A question on its way to the endpoint; `number` tells the votes on one question apart."""

    key: str
    messages: list[ChatCompletionMessageParam]
    number: int


class OpenAIJudge:
    """Answers each question by the majority of several votes. `ledger` counts what they cost."""

    def __init__(
        self,
        settings: BrainSettings,
        *,
        cache: Path,
        votes: int = 3,
        prices: Prices | None = None,
        max_cost_usd: float | None = None,
        temperature: float = TEMPERATURE,
        max_side: int = 1024,
        parallel: int = 4,
        probe: bool = True,
        probe_seed: int | None = None,
    ) -> None:
        """`max_side` pixels bound what is sent; `parallel` calls run at a time; `probe` asks first whether it can see.

        Raises:
            BudgetError: there is a limit but no prices.
            EndpointError: there is neither a key nor an endpoint of one's own.
            ValueError: no vote, no pixel or no call at a time.
        """
        if min(votes, max_side, parallel) < 1:
            raise ValueError(f"votes {votes}, max_side {max_side}, parallel {parallel}: expected at least 1 of each")
        self.name = f"openai:{settings.model}"
        self.fingerprint = _hash(settings.model, PROMPT_VERSION, votes, max_side, temperature)
        self.ledger = Ledger(prices, max_cost_usd)
        self._settings, self._votes, self._temperature = settings, votes, temperature
        self._max_side, self._parallel = max_side, parallel
        self._endpoint = JudgeEndpoint(settings, self.ledger)
        self._probe = Probe(probe_seed) if probe else None
        self._cache = VoteCache(cache)

    def __repr__(self) -> str:
        return f"OpenAIJudge({self.name!r}, votes={self._votes})"

    def verdict(self, case: Case, outputs: Sequence[Path]) -> Verdict:
        """An answer to each question, with what this took; votes that were kept from earlier cost nothing.

        Raises:
            BlindJudgeError: the model does not see pictures.
            BudgetError: the next call might cost more than may be spent; the votes so far are kept.
            EndpointError: the endpoint cannot be reached; the votes so far are kept.
            ToolError: a file is no picture.
        """
        started = time.perf_counter()
        answers, tokens = self._answers(case, outputs)
        prices = self.ledger.prices if self.ledger.spent_usd is not None else None
        return Verdict(
            case=case.id,
            case_sha256=case.sha256,
            outputs_sha256=outputs_sha256(outputs),
            judge=self.name,
            fingerprint=self.fingerprint,
            answers=answers,
            seconds=round(time.perf_counter() - started, 3),
            cost_usd=prices.cost_usd(tokens) if prices else None,
        )

    def _answers(self, case: Case, outputs: Sequence[Path]) -> tuple[tuple[Answer, ...], Tokens]:
        """The answers, and the tokens of the votes that were not kept from earlier."""
        ballots = self._ballots(case, outputs)
        kept = {ballot.key: vote for ballot in ballots if (vote := self._cache.get(ballot.key))}
        missing = [ballot for ballot in ballots if ballot.key not in kept]
        if missing and self._probe is not None:
            self._probe.check(self._endpoint)
        fresh = side_by_side([partial(self._cast, ballot) for ballot in missing], self._parallel)
        known = kept | {ballot.key: vote for ballot, vote in zip(missing, fresh, strict=True)}
        votes = [known[ballot.key] for ballot in ballots]
        answers = tuple(majority(votes[at : at + self._votes]) for at in range(0, len(votes), self._votes))
        return answers, _tokens_of(fresh)

    def _ballots(self, case: Case, outputs: Sequence[Path]) -> list[_Ballot]:
        """All votes of the first question, then of the second, ..."""
        pictures = read_pictures(case.pictures, outputs, self._max_side)
        ballots = []
        for question in case.questions:
            messages = question_messages(case, question, shown_for(question, pictures), len(pictures.outputs))
            sent = _hash(self._settings.model, _host(self._settings.base_url), PROMPT_VERSION, messages)
            ballots += [_Ballot(_hash(sent, self._temperature, n), messages, n) for n in range(self._votes)]
        return ballots

    def _cast(self, ballot: _Ballot) -> Vote:
        vote = self._ask(ballot)
        self._cache.put(ballot.key, vote)
        return vote

    def _ask(self, ballot: _Ballot) -> Vote:
        """The model's vote; a reply that cannot be read is sent back once with what is wrong."""
        first = self._send(ballot, ballot.messages)
        vote, tokens = _read(first.text), first.tokens
        if vote.score is None:
            second = self._send(ballot, [*ballot.messages, *repair_messages(first.text, vote.reason)])
            vote, tokens = _read(second.text), tokens.plus(second.tokens)
        return vote.model_copy(update={"prompt_tokens": tokens.prompt, "completion_tokens": tokens.completion})

    def _send(self, ballot: _Ballot, messages: Sequence[ChatCompletionMessageParam]) -> Reply:
        return self._endpoint.ask(messages, temperature=self._temperature, seed=ballot.number)


def majority(votes: Sequence[Vote]) -> Answer:
    """What most of the readable votes say, with the reason of the first that says so; None for a tie or none."""
    scores = tuple(vote.score for vote in votes)
    yes, no = scores.count(True), scores.count(False)
    if yes == no:
        tied = f"the votes are tied, {yes} to {no}" if yes else f"no vote could be read: {votes[0].reason}"
        return Answer(score=None, votes=scores, reason=tied)
    return Answer(score=yes > no, votes=scores, reason=next(v.reason for v in votes if v.score is (yes > no)))


def _read(text: str) -> Vote:
    """The vote in a reply; without a score, and with the problem for a reason, where it cannot be read."""
    try:
        score = read_score(text)
    except ModelReplyError as error:
        return Vote(score=None, reason=str(error))
    return Vote(score=score.yes, reason=score.reason)


def _tokens_of(votes: Sequence[Vote]) -> Tokens:
    return Tokens(sum(vote.prompt_tokens for vote in votes), sum(vote.completion_tokens for vote in votes))


def _host(base_url: str | None) -> str:
    return urlsplit(base_url or "https://api.openai.com/v1").netloc.rpartition("@")[2]


def _hash(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()
