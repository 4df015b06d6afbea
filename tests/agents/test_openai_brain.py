"""The openai brain against a loopback endpoint that answers well, badly, or not at all."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from chatdit.agents.brain import (
    BrainSettings,
    EndpointError,
    InstructionError,
    ModelReplyError,
    Painter,
    PastPicture,
    PastTurn,
    Request,
    make_brain,
    with_sight,
)
from chatdit.agents.instruction import Element, InstructionInput, OutputSpec
from chatdit.agents.openai_brain import OpenAIBrain
from chatdit.tools.types import ImageRef

_PATH = Path(__file__).with_name("chat_server.py")
_SPEC = importlib.util.spec_from_file_location("chat_server", _PATH)
assert _SPEC is not None and _SPEC.loader is not None
server = importlib.util.module_from_spec(_SPEC)
sys.modules["chat_server"] = server
_SPEC.loader.exec_module(server)

KEY = "sk-very-secret-123"
POCKET = Painter()
FLUX = Painter("flux", open_vocabulary=True, width=1024, height=1024)
CAT = {
    "subject": "cat",
    "count": 1,
    "size": "medium",
    "tint": None,
    "position": None,
    "worn": None,
    "worn_colour": None,
}


def brain_for(url: str, *, fall_back: bool = True, timeout: float = 5.0, retries: int = 0) -> OpenAIBrain:
    settings = BrainSettings("m", url, SecretStr(KEY), timeout=timeout, max_retries=retries, fall_back=fall_back)
    brain = make_brain("openai", settings)
    assert isinstance(brain, OpenAIBrain)
    return brain


def reply(*outputs: dict[str, Any], **other: object) -> str:
    whole = {"inputs": [], "outputs": list(outputs), "same_identity": False, "new_seed": False}
    return json.dumps({**whole, "keep": [], "questions": [], "notices": [], **other})


def output(*elements: dict[str, Any], **other: object) -> dict[str, Any]:
    whole = {"description": "a picture", "elements": list(elements or (CAT,)), "relation": None}
    return {**whole, "background": "beach", "style": None, "references": [], **other}


def picture(letter: str = "a", width: int = 64, height: int = 64) -> ImageRef:
    return ImageRef(sha256=letter * 64, width=width, height=height)


GOOD = reply(output())


def said(request: dict[str, Any]) -> str:
    return json.dumps(request["messages"])


def test_a_structured_reply_becomes_an_instruction() -> None:
    dog = {**CAT, "subject": "puppy", "tint": "crimson"}
    answer = reply(output(CAT, dog, relation="left of"), output(background="sea", references=["output_1"]),
                   same_identity=True)  # fmt: skip
    with server.serving(server.says(answer)) as endpoint:
        brain = brain_for(endpoint.base_url)

        instruction = brain.parse(Request("a cat and a red dog, then the cat in the sea"))

    assert [o.description for o in instruction.outputs] == ["a cat left of a red dog on the beach", "a cat under water"]
    assert instruction.outputs[1].references == ("output_1",)
    assert instruction.same_identity and not instruction.notices
    assert brain.name == "openai:m" and brain.failure is None


def test_the_request_holds_schema_vocabulary_history_and_key() -> None:
    past = PastPicture(3, picture(), OutputSpec(id="output_1", description="a fox in space"))
    request = Request("make it red", history=(PastTurn("a fox in space", "done", (3,)),), pictures=(past,))
    with server.serving(server.says(reply(output(references=["#3"])))) as endpoint:
        instruction = brain_for(endpoint.base_url).parse(request)
        sent = endpoint.requests[0]

        assert sent["response_format"]["json_schema"]["strict"] is True
        assert sent["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
        assert "fire truck" in said(sent) and "Picture #3: a fox in space" in said(sent)
        assert endpoint.authorization == [f"Bearer {KEY}"]
    assert [(given.id, given.picture) for given in instruction.inputs] == [("input_1", 3)]


def test_usage_is_added_up() -> None:
    with server.serving(server.says(GOOD)) as endpoint:
        brain = brain_for(endpoint.base_url)
        brain.parse(Request("a cat"))
        brain.parse(Request("a cat"))

    assert (brain.usage.calls, brain.usage.prompt_tokens, brain.usage.completion_tokens) == (2, 22, 14)


@pytest.mark.parametrize(
    "content",
    [
        f"Here is the plan:\n```json\n{GOOD}\n```\nEnjoy!",
        f"<think>the person {{wants}} a cat</think>{GOOD}",
        f"thinking without an opening tag {{}} </think> {GOOD}",
        f"Sure! {{not json}} {GOOD} and more",
    ],
)
def test_prose_fences_and_thoughts_around_the_object_are_ignored(content: str) -> None:
    with server.serving(server.says(content)) as endpoint:
        instruction = brain_for(endpoint.base_url, fall_back=False).parse(Request("a cat"))

        assert len(endpoint.requests) == 1
    assert instruction.outputs[0].description == "a cat on the beach"


def test_a_refused_schema_goes_into_the_prompt_and_is_remembered() -> None:
    with server.serving(server.refuses_schema(server.says(GOOD))) as endpoint:
        for _ in range(2):
            instruction = brain_for(endpoint.base_url, fall_back=False).parse(Request("a cat"))
            assert instruction.outputs[0].subjects == ("cat",)

        assert ["response_format" in sent for sent in endpoint.requests] == [True, False, False]
        assert "JSON schema" in said(endpoint.requests[1]) and "JSON schema" not in said(endpoint.requests[0])


def test_an_endpoint_that_refuses_everything_is_not_written_off() -> None:
    with server.serving(server.fails(400), server.fails(400), server.says(GOOD)) as endpoint:
        with pytest.raises(EndpointError, match="HTTP 400"):
            brain_for(endpoint.base_url, fall_back=False).parse(Request("a cat"))
        brain_for(endpoint.base_url, fall_back=False).parse(Request("a cat"))

        assert ["response_format" in sent for sent in endpoint.requests] == [True, False, True]


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        ('{"outputs": [', "no_json"),
        ("I would love to help!", "no_json"),
        ('{"picture": "a cat"}', "wrong_schema"),
        (reply(output({**CAT, "subject": "rokcet"})), "such as rocket"),
        (reply(output(background="atlantis")), "unknown_background"),
        (reply(output(style="cubist")), "unknown_style"),
        (reply(output({**CAT, "tint": "black"})), "unknown_tint"),
        (reply(output({**CAT, "count": 7})), "at most 4"),
        (reply(output({**CAT, "count": 70})), "[count]"),
        (reply(output(*({**CAT, "subject": name} for name in ("cat", "dog", "fox", "owl")))), "cannot_draw"),
        (reply(output(references=["#9"])), "bad_reference"),
        (reply(), "1 to 24 outputs"),
    ],
    ids=lambda value: value[:40],
)
def test_one_repair_turn_carries_the_problems(first: str, complaint: str) -> None:
    with server.serving(server.says(first), server.says(GOOD)) as endpoint:
        instruction = brain_for(endpoint.base_url, fall_back=False).parse(Request("a cat"))

        assert len(endpoint.requests) == 2
        assert complaint in endpoint.requests[1]["messages"][-1]["content"]
    assert instruction.outputs[0].description == "a cat on the beach"


BAD = [
    (lambda: server.fails(500), EndpointError, "HTTP 500"),
    (
        lambda: server.fails(401, '{"error": {"message": "bad key sk-very-secret-123"}}'),
        EndpointError,
        r"bad key \*\*\*",
    ),
    (lambda: server.fails(404), EndpointError, "HTTP 404"),
    (lambda: server.fails(200, "<html><body>Login</body></html>", "text/html"), EndpointError, "Login"),
    (lambda: server.fails(200, '{"id": "c1", "choi'), EndpointError, "127.0.0.1"),
    (lambda: server.fails(200, '{"object": "list", "data": []}'), EndpointError, "no chat completion"),
    (lambda: server.fails(200, "[]"), EndpointError, "127.0.0.1"),
    (lambda: server.drops, EndpointError, "127.0.0.1"),
    (lambda: server.says("no JSON, sorry"), ModelReplyError, "after one repair"),
    (lambda: server.says('{"wrong": 1}'), ModelReplyError, "after one repair"),
    (lambda: server.says(""), ModelReplyError, "empty"),
    (lambda: server.says("{" * 5000), ModelReplyError, "after one repair"),
]


@pytest.mark.parametrize(("behaviour", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_a_broken_endpoint_raises_one_clear_line_without_the_key(
    behaviour: Any, error: type[Exception], message: str
) -> None:
    with server.serving(behaviour()) as endpoint, pytest.raises(error, match=message) as raised:
        brain_for(endpoint.base_url, fall_back=False).parse(Request("a cat on the beach"))

    assert KEY not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(("behaviour", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_a_broken_endpoint_falls_back_visibly(behaviour: Any, error: type[Exception], message: str) -> None:
    with server.serving(behaviour()) as endpoint:
        brain = brain_for(endpoint.base_url)
        instruction = brain.parse(Request("a cat on the beach"))

    assert instruction.outputs[0].description == "a cat on the beach"
    assert "openai:m failed" in instruction.notices[0] and "offline parser" in instruction.notices[0]
    assert isinstance(brain.failure, error) and KEY not in instruction.notices[0]


@pytest.mark.parametrize("waits", [server.hangs, server.drips])
def test_a_hanging_endpoint_is_given_up_after_the_timeout(waits: Callable[..., None]) -> None:
    with server.serving(waits) as endpoint:
        started = time.perf_counter()
        instruction = brain_for(endpoint.base_url, timeout=0.2, retries=9).parse(Request("a cat on the beach"))
        seconds = time.perf_counter() - started

    assert "no answer within 0.2 s" in instruction.notices[0]
    assert seconds < 5


def test_503_then_success_is_retried() -> None:
    with server.serving(server.fails(503), server.fails(503), server.says(GOOD)) as endpoint:
        instruction = brain_for(endpoint.base_url, retries=2, fall_back=False).parse(Request("a cat"))

        assert len(endpoint.requests) == 3
    assert instruction.notices == ()


def test_nobody_listening_is_an_endpoint_error() -> None:
    with server.serving(server.says(GOOD)) as endpoint:
        url = endpoint.base_url
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1"):
        brain_for(url, fall_back=False).parse(Request("a cat"))


def test_no_key_and_no_endpoint_say_what_to_set() -> None:
    with pytest.raises(EndpointError, match="OPENAI_API_KEY"):
        OpenAIBrain(BrainSettings(fall_back=False)).parse(Request("a cat"))


def test_too_long_a_text_never_reaches_the_endpoint() -> None:
    with server.serving(server.says(GOOD)) as endpoint:
        with pytest.raises(InstructionError):
            brain_for(endpoint.base_url).parse(Request("x" * 1_000_000))

        assert endpoint.requests == []


def test_questions_of_the_model_are_asked_and_nothing_is_drawn() -> None:
    with server.serving(server.says(reply(output(), questions=["Which cat?"]))) as endpoint:
        instruction = brain_for(endpoint.base_url).parse(Request("that cat"))

    assert instruction.questions == ("Which cat?",)
    assert instruction.outputs == ()


def test_an_open_painter_keeps_the_models_words() -> None:
    horse = {**CAT, "subject": "white horse", "tint": "pearl"}
    answer = reply(output(horse, description="An astronaut rides a white horse through Paris.", background="Paris"))
    with server.serving(server.says(answer)) as endpoint:
        instruction = brain_for(endpoint.base_url, fall_back=False).parse(Request("...", painter=FLUX))

        assert "fire truck" not in said(endpoint.requests[0])
    assert instruction.outputs[0].description == "An astronaut rides a white horse through Paris."
    assert instruction.outputs[0].elements == (Element(subject="white horse", tint="pearl"),)


def inputs(*refs: ImageRef) -> Sequence[InstructionInput]:
    return tuple(InstructionInput(id=f"input_{n}", image=ref) for n, ref in enumerate(refs, start=1))


def test_attached_pictures_are_sent_small_and_get_their_role() -> None:
    answer = reply(output(references=["input_1"]), inputs=[{"id": "input_1", "role": "edit_target", "description": ""}])
    request = Request("make this a beach", inputs=tuple(inputs(picture(width=3000, height=1500))))
    with server.serving(server.says(answer)) as endpoint:
        brain = with_sight(brain_for(endpoint.base_url), lambda ref: Image.new("RGB", (ref.width, ref.height), "red"))
        instruction = brain.parse(request)
        url = endpoint.requests[0]["messages"][1]["content"][2]["image_url"]["url"]

    assert url.startswith("data:image/jpeg;base64,") and len(url) < 40_000
    assert instruction.inputs[0].role == "edit_target"
    assert instruction.outputs[0].references == ("input_1",)


def test_an_endpoint_that_takes_no_pictures_gets_the_text_alone() -> None:
    def blind(handler: Any) -> None:
        images = "image_url" in json.dumps(handler.script.requests[-1])
        (server.fails(400) if images else server.says(reply(output(references=["input_1"]))))(handler)

    request = Request("this cat on the beach", inputs=tuple(inputs(picture())))
    with server.serving(blind) as endpoint:
        brain = brain_for(endpoint.base_url, fall_back=False)
        instruction = brain.seeing(lambda ref: Image.new("RGB", (64, 64))).parse(request)

    assert any("takes no pictures" in notice for notice in instruction.notices)
    assert brain.usage.calls == 3


def test_the_key_is_in_no_repr() -> None:
    brain = brain_for("http://127.0.0.1:1/v1")

    assert KEY not in repr(brain) + repr(brain.settings) + repr(vars(brain))


def test_the_offline_brain_loads_neither_torch_nor_openai() -> None:
    program = (
        "import sys; from chatdit.agents.brain import make_brain, Request, with_sight;"
        "b = with_sight(make_brain('offline'), None); b.parse(Request('a cat on the beach'));"
        "sys.exit(sum(name in sys.modules for name in ('torch', 'openai', 'langgraph', 'diffusers')))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", program], check=False).returncode == 0


def test_the_openai_brain_plans_like_the_offline_one() -> None:
    brain = brain_for("http://127.0.0.1:1/v1")
    instruction = make_brain("offline").parse(Request("a cat on the beach"))

    assert brain.plan(instruction, painter=POCKET, seed=1) == make_brain("offline").plan(
        instruction, painter=POCKET, seed=1
    )
