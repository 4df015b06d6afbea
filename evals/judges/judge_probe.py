"""Whether an endpoint sees pictures at all: some take them, drop them in silence, and answer from the text."""

from __future__ import annotations

import random
import threading

from chatdit.agents.brain import EndpointError
from chatdit.agents.reply_json import excerpt
from chatdit.evals.judges.judge_endpoint import JudgeEndpoint, RefusedError
from chatdit.evals.judges.judge_pictures import CARD_PIXELS, encoded, number_card
from chatdit.evals.judges.judge_prompt import numbers_in, probe_messages


class BlindJudgeError(EndpointError):
    """The judge's model does not see the pictures that it is sent."""


class Probe:
    """Asks for the number on a card, once. Threads may share it."""

    def __init__(self, seed: int | None = None) -> None:
        """`seed` decides the number; None draws one that nobody can know."""
        self.number = random.Random(seed).randint(100, 999)
        self._passed, self._lock = False, threading.Lock()

    def check(self, endpoint: JudgeEndpoint) -> None:
        """Nothing when the model reads the card, now or earlier.

        Raises:
            BlindJudgeError: it reads something else, or the endpoint refuses pictures.
            BudgetError: the call might cost more than may be spent.
            EndpointError: the endpoint cannot be reached.
        """
        with self._lock:
            if self._passed:
                return
            said = self._ask(endpoint)
            if numbers_in(said) != {self.number}:
                raise _blind(f"shown a card with {self.number}, it said {excerpt(said)}")
            self._passed = True

    def _ask(self, endpoint: JudgeEndpoint) -> str:
        card = encoded(number_card(self.number), CARD_PIXELS)
        try:
            return endpoint.ask(probe_messages(card), temperature=0.0, seed=0).text
        except RefusedError as error:
            raise _blind(str(error)) from None


def _blind(why: str) -> BlindJudgeError:
    return BlindJudgeError(f"the judge cannot see pictures: {why}; choose a vision model, or --no-probe")
