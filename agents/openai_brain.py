"""The openai brain: any OpenAI-compatible endpoint as parser, with a ladder of fall-backs.

Structured reply -> plain reply with the schema in the prompt and tolerant extraction -> one repair
turn that carries the problems -> the offline brain, with a notice (or an error when that is off).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from chatdit.agents.brain import (
    BrainSettings,
    EndpointError,
    ModelReplyError,
    Painter,
    Request,
    Usage,
    check_length,
)
from chatdit.agents.deadline import within
from chatdit.agents.instruction import Instruction
from chatdit.agents.model_reply import Checked, Reply, check_reply
from chatdit.agents.offline_brain import OfflineBrain
from chatdit.agents.plan import Plan
from chatdit.agents.planner import plan_instruction
from chatdit.agents.prompts import OpenImage, data_url, repair_prompt, request_prompt, schema_prompt, system_prompt
from chatdit.agents.reply_json import excerpt, extract_object
from chatdit.tools.types import Problem

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI
    from openai.types.chat import (
        ChatCompletion,
        ChatCompletionContentPartParam,
        ChatCompletionMessageParam,
    )
    from openai.types.shared_params import ResponseFormatJSONSchema

NO_KEY = "not-needed"
"""Sent to endpoints of one's own that take no key; the client refuses to start without one."""


@dataclass
class Capability:
    """What an endpoint has shown that it cannot do."""

    schema: bool = True
    images: bool = True


@cache
def capability(base_url: str | None, model: str) -> Capability:
    """What is known of `model` at `base_url`, kept for the life of the process."""
    return Capability()


class OpenAIBrain:
    """Reads messages with a language model. `usage` adds up tokens; `failure` is why it last fell back."""

    def __init__(self, settings: BrainSettings, open_image: OpenImage | None = None) -> None:
        self.settings = settings
        self.name = f"openai:{settings.model}"
        self.usage = Usage()
        self.failure: EndpointError | ModelReplyError | None = None
        self._open_image = open_image
        self._offline = OfflineBrain()
        self._capability = capability(settings.base_url, settings.model)

    def __repr__(self) -> str:
        return f"OpenAIBrain({self.name!r}, base_url={self.settings.base_url!r})"

    def seeing(self, open_image: OpenImage) -> OpenAIBrain:
        """The same brain, which also sees attached pictures; usage is counted together."""
        other = copy.copy(self)
        other._open_image = open_image
        return other

    def parse(self, request: Request) -> Instruction:
        """What `request` asks for.

        Raises:
            InstructionError: the text is longer than MAX_TEXT characters.
            EndpointError, ModelReplyError: the model failed, and `settings.fall_back` is off.
        """
        check_length(request.text)
        self.failure = None
        try:
            return self._ask(request)
        except (EndpointError, ModelReplyError) as error:
            self.failure = error
            if not self.settings.fall_back:
                raise
            return self._fall_back(request, error)

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """The default plan of the model's instruction; planning needs no second opinion while one tool draws."""
        return plan_instruction(instruction, painter, seed)

    def _fall_back(self, request: Request, error: Exception) -> Instruction:
        instruction = self._offline.parse(request)
        notice = f"{self.name} failed ({error}), so the offline parser read this."
        return instruction.model_copy(update={"notices": (notice, *instruction.notices)})

    def _ask(self, request: Request) -> Instruction:
        chat = _Chat(self.settings, self._capability, self.usage)
        messages = self._messages(request)
        reply = chat.send(messages)
        checked = _read(reply, request)
        if checked.problems:
            messages.append({"role": "assistant", "content": reply})
            messages.append({"role": "user", "content": repair_prompt(checked.problems)})
            checked = _read(chat.send(messages), request)
        if checked.problems:
            first = checked.problems[0]
            raise ModelReplyError(f"the reply is still unusable after one repair: {first}")
        dropped = ("The language model takes no pictures, so it only read the text.",)
        unseen = bool(request.inputs) and self._open_image is not None and not self._capability.images
        notices = (*checked.instruction.notices, *(dropped if unseen else ()))
        return checked.instruction.model_copy(update={"notices": notices})

    def _messages(self, request: Request) -> list[ChatCompletionMessageParam]:
        parts: list[ChatCompletionContentPartParam] = [{"type": "text", "text": request_prompt(request)}]
        if self._open_image is not None:
            for given in request.inputs:
                parts.append({"type": "text", "text": f"{given.id}:"})
                parts.append({"type": "image_url", "image_url": {"url": data_url(self._open_image(given.image))}})
        return [
            {"role": "system", "content": system_prompt(request.painter)},
            {"role": "user", "content": parts if len(parts) > 1 else request_prompt(request)},
        ]


def _read(reply: str, request: Request) -> Checked:
    try:
        return check_reply(extract_object(reply), request)
    except ModelReplyError as error:
        problem = Problem(path="reply", code="no_json", expected="one JSON object", got=str(error))
        return Checked(problems=(problem,))


class _Chat:
    """One endpoint; every failure of it is an EndpointError or a ModelReplyError without the key."""

    def __init__(self, settings: BrainSettings, known: Capability, usage: Usage) -> None:
        self.settings, self.capability, self.usage = settings, known, usage
        self._key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.client = self._connect()

    def send(self, messages: list[ChatCompletionMessageParam]) -> str:
        """The text of the model's reply, by the best way that the endpoint knows."""
        import openai

        known = replace(self.capability)
        while True:
            try:
                return self._text(within(self.settings.timeout, lambda: self._create(messages)))
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if not self._step_down(messages):
                    self.capability.schema, self.capability.images = known.schema, known.images
                    raise EndpointError(self._line(_status(error))) from None
            except (openai.APITimeoutError, TimeoutError):
                raise EndpointError(self._line(f"no answer within {self.settings.timeout:g} s")) from None
            except openai.APIStatusError as error:
                raise EndpointError(self._line(_status(error))) from None
            except ValueError as error:
                raise EndpointError(self._line(f"that is no chat completion: {error}")) from None
            except openai.OpenAIError as error:
                raise EndpointError(self._line(str(error) or type(error).__name__)) from None

    def _connect(self) -> OpenAI:
        import openai

        if not self._key and self.settings.base_url is None:
            raise EndpointError("no key for the language model: set OPENAI_API_KEY, or a base_url of your own endpoint")
        return openai.OpenAI(
            api_key=self._key or NO_KEY,
            base_url=self.settings.base_url,
            timeout=self.settings.timeout,
            max_retries=self.settings.max_retries,
        )

    def _create(self, messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
        """One completion; the schema is sent as `response_format`, or in the prompt when that was refused."""
        self.usage.calls += 1
        messages = messages if self.capability.images else [_without_images(message) for message in messages]
        if self.capability.schema:
            return self.client.chat.completions.create(
                model=self.settings.model, messages=messages, response_format=_response_format()
            )
        schema: ChatCompletionMessageParam = {"role": "system", "content": schema_prompt()}
        return self.client.chat.completions.create(model=self.settings.model, messages=[*messages, schema])

    def _step_down(self, messages: list[ChatCompletionMessageParam]) -> bool:
        """After a refusal: do without the schema, then without pictures; False when nothing is left to drop."""
        if self.capability.schema:
            self.capability.schema = False
            return True
        if self.capability.images and any(_without_images(message) != message for message in messages):
            self.capability.images = False
            return True
        return False

    def _text(self, completion: ChatCompletion) -> str:
        choices = getattr(completion, "choices", None)
        if not choices:
            raise EndpointError(self._line(f"that is no chat completion: {excerpt(str(completion))}"))
        if completion.usage is not None:
            self.usage.prompt_tokens += completion.usage.prompt_tokens or 0
            self.usage.completion_tokens += completion.usage.completion_tokens or 0
        message = choices[0].message
        if message is None or not (message.content or "").strip():
            refusal = getattr(message, "refusal", None)
            raise ModelReplyError(self._line(f"the reply is empty{f': {refusal}' if refusal else ''}"))
        return str(message.content)

    def _line(self, reason: str) -> str:
        """One line that never holds the key."""
        where = self.settings.base_url or "the default endpoint"
        # hidden before the line is cut, which could leave half of the key
        line = f"{where}: {' '.join(reason.split())}"
        return (line.replace(self._key, "***") if self._key else line)[: len(where) + 302]


def _status(error: APIStatusError) -> str:
    """ "HTTP 404: no such model"; the client begins its message with the number as well."""
    return f"HTTP {error.status_code}: {error.message.removeprefix(f'Error code: {error.status_code}').lstrip(' -')}"


def _response_format() -> ResponseFormatJSONSchema:
    schema: dict[str, object] = Reply.model_json_schema()
    return {"type": "json_schema", "json_schema": {"name": "instruction", "schema": schema, "strict": True}}


def _without_images(message: ChatCompletionMessageParam) -> ChatCompletionMessageParam:
    content = message.get("content")
    if message["role"] != "user" or not isinstance(content, list):
        return message
    texts = [part["text"] for part in content if part["type"] == "text"]
    return {"role": "user", "content": "\n".join(texts)}
