"""What a judge's calls cost, and the limit that they keep. Prices are US dollars for a million tokens."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import NamedTuple

_MILLION = 1_000_000


class BudgetError(RuntimeError):
    """The next call might cost more than may be spent; what was answered is kept."""


class Tokens(NamedTuple):
    """What an endpoint counted for a call."""

    prompt: int = 0
    completion: int = 0

    def plus(self, other: Tokens) -> Tokens:
        """Both together."""
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)


@dataclass(frozen=True)
class Prices:
    """What a model's tokens cost."""

    input_per_million: float
    output_per_million: float

    def cost_usd(self, tokens: Tokens) -> float:
        """The price of these tokens."""
        return (tokens.prompt * self.input_per_million + tokens.completion * self.output_per_million) / _MILLION


class Ledger:
    """Counts what calls cost. Threads may share it."""

    def __init__(self, prices: Prices | None = None, max_cost_usd: float | None = None) -> None:
        """Raises BudgetError for a limit without prices, which nothing could keep."""
        if max_cost_usd is not None and prices is None:
            raise BudgetError(
                f"a limit of {max_cost_usd:g} USD needs prices: name those of a million tokens in and out"
            )
        self.prices, self.max_cost_usd = prices, max_cost_usd
        self._spent, self._dearest = 0.0, 0.0
        self._open, self._uncounted = 0, False
        self._lock = threading.Lock()

    @property
    def spent_usd(self) -> float | None:
        """What all calls so far have cost; None without prices, or when an endpoint counted no tokens."""
        return None if self.prices is None or self._uncounted else self._spent

    def begin(self) -> None:
        """Before a call.

        Raises:
            BudgetError: with those under way it might pass the limit, each being as dear as the dearest so far.
        """
        with self._lock:
            expected = self._spent + self._dearest * (self._open + 1)
            limit = self.max_cost_usd
            if limit is not None and (expected > limit or self._spent >= limit):
                raise BudgetError(
                    f"judging has cost {self._spent:.4f} USD and the next call may pass the limit of "
                    f"{limit:g} USD; what was answered is kept: raise the limit to go on"
                )
            self._open += 1

    def end(self, tokens: Tokens | None) -> None:
        """After a call that counted so many tokens; None when it failed.

        Raises:
            BudgetError: the endpoint counts no tokens, so that the limit cannot be kept.
        """
        with self._lock:
            self._open -= 1
            if tokens is None or self.prices is None:
                return
            cost = self.prices.cost_usd(tokens)
            self._spent, self._dearest = self._spent + cost, max(self._dearest, cost)
            self._uncounted |= tokens == Tokens()
        if self._uncounted and self.max_cost_usd is not None:
            raise BudgetError(
                f"the endpoint counts no tokens, so a limit of {self.max_cost_usd:g} USD cannot be kept: "
                "judge without the limit"
            )
