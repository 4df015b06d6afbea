"""An OpenAI-compatible endpoint as a judge needs it: one counted reply for a prompt, and never the key in an error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from chatdit.agents.brain import BrainSettings, EndpointError
from chatdit.agents.deadline import within
from chatdit.agents.openai_brain import NO_KEY
from chatdit.agents.reply_json import excerpt
from chatdit.evals.judges.judge_costs import Ledger, Tokens

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI
    from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

OPTIONAL = ("response_format", "seed", "temperature")
"""Parameters that are left out when an endpoint refuses them: one that it names, or the next of these."""


class RefusedError(EndpointError):
    """The endpoint is there and refuses this request, whatever is left out of it."""


class Reply(NamedTuple):
    """What a model said, empty when it said nothing, and what was counted."""

    text: str
    tokens: Tokens


class JudgeEndpoint:
    """Asks one model; threads may share it."""

    def __init__(self, settings: BrainSettings, ledger: Ledger) -> None:
        """Raises EndpointError when there is neither a key nor an endpoint of one's own."""
        self.settings, self.ledger = settings, ledger
        self._taken = frozenset(OPTIONAL)
        self._key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._client = self._connect()

    def __repr__(self) -> str:
        return f"JudgeEndpoint({self.settings.model!r}, base_url={_address(self.settings.base_url)!r})"

    def ask(self, messages: Sequence[ChatCompletionMessageParam], *, temperature: float, seed: int) -> Reply:
        """The model's reply.

        Raises:
            BudgetError: the call might cost more than may be spent.
            RefusedError: the endpoint takes no such request, pictures perhaps.
            EndpointError: it cannot be reached, or does not answer within the settings' timeout.
        """
        self.ledger.begin()
        tokens = None
        try:
            completion = self._complete(messages, temperature, seed)
            reply = Reply(self._text(completion), _counted(completion))
            tokens = reply.tokens
        finally:
            self.ledger.end(tokens)
        return reply

    def _connect(self) -> OpenAI:
        import openai

        if not self._key and self.settings.base_url is None:
            raise EndpointError("no key for the judge: set OPENAI_API_KEY, or a base_url of your own endpoint")
        return openai.OpenAI(
            api_key=self._key or NO_KEY,
            base_url=self.settings.base_url,
            timeout=self.settings.timeout,
            max_retries=self.settings.max_retries,
        )

    def _complete(
        self, messages: Sequence[ChatCompletionMessageParam], temperature: float, seed: int
    ) -> ChatCompletion:
        sent = before = self._taken
        while True:
            try:
                with self._plain_errors():
                    return within(self.settings.timeout, partial(self._create, messages, sent, temperature, seed))
            except RefusedError as error:
                if not sent:
                    self._taken = before  # none of them was the fault
                    raise
                self._taken = sent = sent - {_to_drop(sent, str(error))}

    def _create(
        self, messages: Sequence[ChatCompletionMessageParam], sent: frozenset[str], temperature: float, seed: int
    ) -> ChatCompletion:
        from openai import omit

        return self._client.chat.completions.create(
            model=self.settings.model,
            messages=messages,
            response_format={"type": "json_object"} if "response_format" in sent else omit,
            seed=seed if "seed" in sent else omit,
            temperature=temperature if "temperature" in sent else omit,
        )

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        """Every failure of the client as an EndpointError."""
        import openai

        try:
            yield
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise RefusedError(self._line(_status(error))) from None
        except (openai.APITimeoutError, TimeoutError):
            raise EndpointError(self._line(f"no answer within {self.settings.timeout:g} s")) from None
        except openai.APIStatusError as error:
            raise EndpointError(self._line(_status(error))) from None
        except ValueError as error:
            raise EndpointError(self._line(f"that is no chat completion: {error}")) from None
        except openai.OpenAIError as error:
            raise EndpointError(self._line(str(error) or type(error).__name__)) from None

    def _text(self, completion: ChatCompletion) -> str:
        choices = getattr(completion, "choices", None)
        if not choices:
            raise EndpointError(self._line(f"that is no chat completion: {excerpt(str(completion))}"))
        message = choices[0].message
        said = (message.content or getattr(message, "refusal", None)) if message is not None else None
        return str(said or "").strip()

    def _line(self, reason: str) -> str:
        """One line that never holds the key, not even a part of it at the cut."""
        clean = reason.replace(self._key, "***") if self._key else reason
        return f"{_address(self.settings.base_url)}: {' '.join(clean.split())[:300]}"


def _address(base_url: str | None) -> str:
    """Where the endpoint is, without a password or key that its address may hold."""
    if base_url is None:
        return "the default endpoint"
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _to_drop(sent: frozenset[str], complaint: str) -> str:
    in_order = [name for name in OPTIONAL if name in sent]
    return next((name for name in in_order if name in complaint), in_order[0])


def _status(error: APIStatusError) -> str:
    """ "HTTP 404: no such model"; the client begins its message with the number as well."""
    return f"HTTP {error.status_code}: {error.message.removeprefix(f'Error code: {error.status_code}').lstrip(' -')}"


def _counted(completion: ChatCompletion) -> Tokens:
    usage = getattr(completion, "usage", None)
    return Tokens(usage.prompt_tokens or 0, usage.completion_tokens or 0) if usage else Tokens()
