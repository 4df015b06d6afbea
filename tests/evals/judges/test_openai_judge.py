"""The openai judge against a loopback endpoint: votes, repairs, what is kept, what it costs, and whether it sees."""

from __future__ import annotations

import base64
import io
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from chatdit.agents.brain import BrainSettings, EndpointError
from chatdit.evals.judges.agreement import fleiss_kappa, vote_agreement
from chatdit.evals.judges.judge import Answer, Judge, Verdict
from chatdit.evals.judges.judge_costs import BudgetError, Ledger, Prices, Tokens
from chatdit.evals.judges.judge_probe import BlindJudgeError, Probe
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.judges.openai_judge import OpenAIJudge, majority
from chatdit.evals.judges.side_by_side import side_by_side
from chatdit.evals.judges.vote_cache import Vote, VoteCache
from chatdit.evals.suites.case import Case, Question

KEY = "sk-very-secret-123"
PROBE_SEED = 5
YES, NO = ('{"reason": "well done", "score": 1}', '{"reason": "no fox", "score": 0}')
Says = Callable[[dict[str, Any]], "str | Response"]


class Endpoint:
    """A chat-completions endpoint that answers each request by `says`, and keeps what it was sent."""

    def __init__(self, server: HTTPServer) -> None:
        self.base_url = server.url_for("/v1")
        self.sent: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.says: Says = lambda request: YES
        self.usage: dict[str, int] | None = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        asked = json.loads(request.get_data())
        self.sent.append(asked)
        self.keys.append(request.headers.get("Authorization"))
        said = self.says(asked)
        if isinstance(said, Response):
            return said
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return Response(json.dumps({**whole, "usage": self.usage}), content_type="application/json")


@dataclass
class Bench:
    """An endpoint, and a case of two questions about one input and one output."""

    endpoint: Endpoint
    folder: Path
    case: Case
    outputs: list[Path]

    def judge(self, cache: str = "cache", timeout: float = 10.0, probe: bool = False, **options: Any) -> OpenAIJudge:
        settings = BrainSettings("m", self.endpoint.base_url, SecretStr(KEY), timeout=timeout, max_retries=0)
        return OpenAIJudge(settings, cache=self.folder / cache, probe=probe, probe_seed=PROBE_SEED, **options)

    def answers(self, **options: Any) -> tuple[Answer, ...]:
        return self.judge(**options).verdict(self.case, self.outputs).answers

    @property
    def sent(self) -> list[dict[str, Any]]:
        return self.endpoint.sent


@pytest.fixture(scope="module")
def server() -> Iterator[HTTPServer]:
    running = HTTPServer(host="127.0.0.1", threaded=True)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def bench(server: HTTPServer, tmp_path: Path) -> Bench:
    (tmp_path / "case").mkdir()
    Image.new("RGB", (32, 16), (10, 10, 10)).save(tmp_path / "case" / "0001.png")
    noise = np.random.default_rng(7).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "0001.png")
    questions = (Question(text="Is there a fox?", one="There is."), Question(text="Is it red?", outputs=("0001.jpg",)))
    case = Case(
        id="fox_0001", task="0001", task_name="fox", group="fox", category="I2I", instruction="Draw a fox.",
        folder=tmp_path / "case", inputs=("0001.png",), output_count=1, questions=questions, sha256="c" * 64,
    )  # fmt: skip
    server.clear()
    return Bench(Endpoint(server), tmp_path, case, [tmp_path / "0001.png"])


def question_of(asked: dict[str, Any]) -> str:
    return str(asked["messages"][1]["content"][-1]["text"])


def pictures_of(asked: dict[str, Any]) -> list[Any]:
    parts = [
        part for message in asked["messages"] if isinstance(message["content"], list) for part in message["content"]
    ]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",", 1)[1]))).convert("RGB")) for url in urls]


def by_vote(*answers: str) -> Says:
    """The same answers to each question, by the number of the vote."""
    return lambda asked: answers[asked["seed"]]


def test_each_question_gets_its_votes_and_their_majority(bench: Bench) -> None:
    def says(asked: dict[str, Any]) -> str:
        return (YES, NO, YES)[asked["seed"]] if "fox" in question_of(asked) else NO

    bench.endpoint.says = says
    judge: Judge = bench.judge()

    first, second = judge.verdict(bench.case, bench.outputs).answers

    assert first == Answer(score=True, votes=(True, False, True), reason="well done")
    assert second == Answer(score=False, votes=(False, False, False), reason="no fox")
    assert judge.name == "openai:m" and len(bench.sent) == 6


def test_the_request_holds_the_pictures_themselves(bench: Bench) -> None:
    bench.answers(votes=1, parallel=1)

    given, made = np.asarray(Image.open(bench.case.pictures[0])), np.asarray(Image.open(bench.outputs[0]))
    for asked, named in zip(bench.sent, ([given, made], [given, made]), strict=True):
        found = pictures_of(asked)
        assert len(found) == len(named) and all(map(np.array_equal, found, named))
    assert bench.sent[0]["response_format"] == {"type": "json_object"} and bench.sent[0]["temperature"] == 0.7
    assert bench.endpoint.keys == [f"Bearer {KEY}"] * 2


def test_votes_differ_by_seed(bench: Bench) -> None:
    bench.answers(votes=4, temperature=0.3)

    for words in ("fox", "red"):
        asked = [sent for sent in bench.sent if f"{words}?" in question_of(sent)]
        assert sorted(sent["seed"] for sent in asked) == [0, 1, 2, 3]
        assert {sent["temperature"] for sent in asked} == {0.3}


def test_an_unreadable_reply_is_sent_back_once_with_the_problem(bench: Bench) -> None:
    bench.endpoint.says = lambda asked: YES if len(asked["messages"]) == 4 else '{"score": 7}'
    answers = bench.answers(votes=1, parallel=1)

    assert [answer.score for answer in answers] == [True, True]
    said, repair = bench.sent[1]["messages"][2:]
    assert said == {"role": "assistant", "content": '{"score": 7}'} and "must be 0 or 1, got '7'" in repair["content"]
    assert len(pictures_of(bench.sent[1])) == 2 and len(bench.sent) == 4


def test_a_vote_that_stays_unreadable_counts_for_nothing(bench: Bench) -> None:
    bench.endpoint.says = by_vote("What a picture!", NO, NO)
    answer = bench.answers()[0]
    assert answer == Answer(score=False, votes=(None, False, False), reason="no fox")

    bench.endpoint.says = by_vote("", YES, NO)
    tied = bench.answers(cache="b")[0]
    assert tied == Answer(score=None, votes=(None, True, False), reason="the votes are tied, 1 to 1")

    bench.endpoint.says = by_vote("Nice.", "Nice.", "Nice.")
    mute = bench.answers(cache="c")[0]
    assert mute.score is None and mute.votes == (None,) * 3 and "could be read" in mute.reason and "Nice" in mute.reason


def test_a_refusal_to_answer_is_unreadable(bench: Bench) -> None:
    refusal = {"role": "assistant", "content": None, "refusal": "I cannot judge this."}
    choice = {"index": 0, "finish_reason": "stop", "message": refusal}
    body = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})
    bench.endpoint.says = lambda asked: Response(body, content_type="application/json")

    answer = bench.answers(votes=1)[0]

    assert answer.score is None and "I cannot judge this." in answer.reason


def test_a_second_run_asks_nothing(bench: Bench) -> None:
    bench.endpoint.says = by_vote(YES, "Nice.", NO)
    first = bench.answers()
    calls = len(bench.sent)
    bench.endpoint.says = lambda asked: Response("", 500)

    assert bench.answers(probe=True) == first
    assert len(bench.sent) == calls == 8


def test_what_changes_the_question_is_asked_anew(bench: Bench) -> None:
    def calls(**options: Any) -> int:
        before = len(bench.sent)
        bench.answers(votes=1, **options)
        return len(bench.sent) - before

    assert (calls(), calls()) == (2, 0)
    bench.case = bench.case.model_copy(update={"instruction": "Draw a wolf."})
    assert calls() == 2
    one, other = bench.case.questions
    bench.case = bench.case.model_copy(update={"questions": (one, other.model_copy(update={"zero": "It is not."}))})
    assert calls() == 1
    assert calls(temperature=0.1) == 2
    Image.new("RGB", (60, 40), "red").save(bench.outputs[0])
    assert calls() == 2


def test_more_votes_keep_those_that_are_there(bench: Bench) -> None:
    bench.answers(votes=1)
    bench.answers(votes=3)

    assert sorted(asked["seed"] for asked in bench.sent) == [0, 0, 1, 1, 2, 2]


def test_a_run_that_breaks_off_goes_on_where_it_was(bench: Bench) -> None:
    bench.endpoint.says = lambda asked: YES if len(bench.sent) <= 4 else Response("", 503)
    with pytest.raises(EndpointError, match="HTTP 503"):
        bench.answers(parallel=1)
    assert len(bench.sent) == 5

    bench.endpoint.says = lambda asked: YES
    answers = bench.answers(parallel=1)
    assert [answer.votes for answer in answers] == [(True, True, True)] * 2 and len(bench.sent) == 7


def test_a_damaged_vote_is_asked_again(bench: Bench) -> None:
    bench.answers(votes=1)
    files = sorted((bench.folder / "cache").rglob("*.json"))
    assert len(files) == 2 and not any(KEY in file.read_text() for file in files)
    files[0].write_text('{"score": tr')

    assert [a.score for a in bench.answers(votes=1)] == [True, True]
    assert len(bench.sent) == 3
    assert Vote.model_validate_json(files[0].read_text()).score is True


def test_a_vote_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*names: object) -> None:
        raise KeyboardInterrupt

    cache = VoteCache(tmp_path)
    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(KeyboardInterrupt):
        cache.put("ab" * 32, Vote(score=True))
    assert cache.get("ab" * 32) is None and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_verdict_says_what_it_cost(bench: Bench) -> None:
    judge = bench.judge(prices=Prices(2.0, 10.0))

    verdict = judge.verdict(bench.case, bench.outputs)

    assert verdict.cost_usd == pytest.approx(6 * (1000 * 2 + 100 * 10) / 1e6)
    assert judge.ledger.spent_usd == pytest.approx(verdict.cost_usd)
    assert (verdict.case, verdict.case_sha256, verdict.judge) == ("fox_0001", "c" * 64, "openai:m")
    assert verdict.fingerprint == judge.fingerprint and verdict.outputs_sha256 == outputs_sha256(bench.outputs)
    assert judge.verdict(bench.case, bench.outputs).cost_usd == 0
    assert bench.judge().verdict(bench.case, bench.outputs).cost_usd is None


def test_repairs_are_paid_for_too(bench: Bench) -> None:
    bench.endpoint.says = lambda asked: YES if len(asked["messages"]) == 4 else "Nice."
    verdict = bench.judge(votes=1, prices=Prices(1.0, 0.0)).verdict(bench.case, bench.outputs)
    assert verdict.cost_usd == pytest.approx(4 * 1000 / 1e6)


def test_an_endpoint_that_counts_no_tokens_has_no_known_cost(bench: Bench) -> None:
    bench.endpoint.usage = None
    assert bench.judge(prices=Prices(1, 1)).verdict(bench.case, bench.outputs).cost_usd is None
    with pytest.raises(BudgetError, match="counts no tokens"):
        bench.answers(cache="b", prices=Prices(1, 1), max_cost_usd=1)


def test_the_limit_stops_before_the_call_that_would_pass_it(bench: Bench) -> None:
    prices = Prices(1000.0, 0.0)  # a dollar for each call
    with pytest.raises(BudgetError, match=r"has cost 3\.0000 USD .* limit of 3\.5 USD"):
        bench.answers(prices=prices, max_cost_usd=3.5, parallel=1)
    assert len(bench.sent) == 3

    bench.answers(prices=prices, max_cost_usd=3.5, parallel=1)
    assert len(bench.sent) == 6


def test_calls_under_way_count_towards_the_limit() -> None:
    ledger = Ledger(Prices(1e6, 0.0), max_cost_usd=3.0)
    ledger.begin()
    ledger.end(Tokens(1, 0))
    ledger.begin()
    ledger.begin()
    with pytest.raises(BudgetError):
        ledger.begin()
    ledger.end(None)
    ledger.begin()
    assert ledger.spent_usd == 1.0


def test_a_limit_of_nothing_or_without_prices_calls_nobody(bench: Bench) -> None:
    with pytest.raises(BudgetError, match="needs prices"):
        bench.judge(max_cost_usd=1)
    with pytest.raises(BudgetError):
        bench.answers(prices=Prices(1, 1), max_cost_usd=0)
    assert bench.sent == []


def test_the_probe_is_asked_once_before_the_first_question(bench: Bench) -> None:
    number = Probe(PROBE_SEED).number
    bench.endpoint.says = lambda asked: YES if len(asked["messages"]) == 2 else f'{{"number": {number}}}'
    judge = bench.judge(probe=True)

    judge.verdict(bench.case, bench.outputs)
    judge.verdict(bench.case.model_copy(update={"instruction": "Draw a wolf."}), bench.outputs)

    assert [len(asked["messages"]) for asked in bench.sent] == [1, *[2] * 12]
    (card,) = pictures_of(bench.sent[0])
    assert card.shape == (512, 512, 3) and (card < 50).any()
    assert str(number) not in json.dumps(bench.sent[0]["messages"][0]["content"][1])


BLIND = ("I cannot see a picture.", '{"number": 111}', f"{Probe(PROBE_SEED).number} or 111", "",
         Response('{"error": {"message": "no images"}}', 400))  # fmt: skip


@pytest.mark.parametrize("answer", BLIND)
def test_a_judge_that_does_not_see_is_found_out(answer: str | Response, bench: Bench) -> None:
    bench.endpoint.says = lambda asked: answer
    with pytest.raises(BlindJudgeError, match=r"cannot see pictures: .*choose a vision model, or --no-probe"):
        bench.answers(probe=True)

    assert all(len(asked["messages"]) == 1 for asked in bench.sent)
    bench.endpoint.says = lambda asked: YES
    assert bench.answers(probe=False)[0].score is True


def test_probes_differ_unless_seeded() -> None:
    assert Probe(3).number == Probe(3).number
    assert len({Probe().number for _ in range(20)}) > 10
    assert all(100 <= Probe(seed).number <= 999 for seed in range(200))


def test_parameters_that_an_endpoint_refuses_are_left_out(bench: Bench) -> None:
    def says(asked: dict[str, Any]) -> str | Response:
        for name in ("temperature", "response_format"):
            if name in asked:
                return Response(json.dumps({"error": {"message": f"{name} is not supported"}}), 400)
        return YES

    bench.endpoint.says = says
    answers = bench.answers(parallel=1, votes=1)

    assert [answer.score for answer in answers] == [True, True]
    assert ["temperature" in asked for asked in bench.sent] == [True, False, False, False]
    assert ["response_format" in asked for asked in bench.sent] == [True, True, False, False]
    assert all("seed" in asked for asked in bench.sent)


BROKEN = [
    (Response("", 500), "HTTP 500"),
    (Response(json.dumps({"error": {"message": f"bad key {KEY}"}}), 401), r"bad key \*\*\*"),
    (Response("<html>Login</html>", content_type="text/html"), "Login"),
    (Response('{"id": "c", "choi', content_type="application/json"), r"127\.0\.0\.1"),
    (Response('{"object": "list"}', content_type="application/json"), "no chat completion"),
]


@pytest.mark.parametrize(("answer", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_broken_endpoint_is_one_line_without_the_key(answer: Response, message: str, bench: Bench) -> None:
    bench.endpoint.says = lambda asked: answer
    judge = bench.judge(prices=Prices(1, 1), max_cost_usd=5)
    with pytest.raises(EndpointError, match=message) as raised:
        judge.verdict(bench.case, bench.outputs)
    assert KEY[:6] not in str(raised.value) and "\n" not in str(raised.value)
    assert KEY not in repr(judge) and not (bench.folder / "cache").exists()


def test_no_part_of_the_key_is_left_where_a_long_line_is_cut(bench: Bench) -> None:
    for length in range(240, 300, 5):
        body = json.dumps({"error": {"message": "x" * length + KEY}})
        bench.endpoint.says = lambda asked, body=body: Response(body, 401)  # type: ignore[misc]
        with pytest.raises(EndpointError, match="xxx") as raised:
            bench.answers(parallel=1)
        assert KEY[:4] not in str(raised.value)


def test_a_password_in_the_address_is_not_shown(bench: Bench) -> None:
    bench.endpoint.says = lambda asked: Response("", 500)
    url = bench.endpoint.base_url.replace("//", "//me:hush@")
    judge = OpenAIJudge(BrainSettings("m", url, max_retries=0), cache=bench.folder, probe=False)
    with pytest.raises(EndpointError) as raised:
        judge.verdict(bench.case, bench.outputs)
    assert "hush" not in str(raised.value) and "HTTP 500" in str(raised.value)


def test_a_slow_endpoint_is_given_up(bench: Bench) -> None:
    released = threading.Event()

    def says(asked: dict[str, Any]) -> str:
        released.wait(20)
        return YES

    bench.endpoint.says = says
    started = time.perf_counter()
    try:
        with pytest.raises(EndpointError, match=r"no answer within 0\.3 s"):
            bench.answers(timeout=0.3)
    finally:
        released.set()
    assert time.perf_counter() - started < 10


def test_no_key_and_no_endpoint_say_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="OPENAI_API_KEY"):
        OpenAIJudge(BrainSettings(), cache=tmp_path)


def test_calls_run_side_by_side_and_no_more_than_allowed(bench: Bench) -> None:
    three = threading.Barrier(3)
    now, most, lock = [0], [0], threading.Lock()

    def says(asked: dict[str, Any]) -> str:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        three.wait(10)  # breaks unless three calls are there at once
        with lock:
            now[0] -= 1
        return by_vote(YES, NO, YES)(asked)  # type: ignore[return-value]

    bench.endpoint.says = says
    answers = bench.answers(parallel=3)

    assert most == [3] and [answer.votes for answer in answers] == [(True, False, True)] * 2


def test_the_first_error_stops_what_has_not_begun() -> None:
    begun: list[int] = []

    def call(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    with pytest.raises(ValueError, match="two"):
        side_by_side([partial(call, n) for n in range(50)], threads=1)
    assert begun == [0, 1, 2]
    assert side_by_side([partial(int, n) for n in range(50)], threads=8) == list(range(50))
    assert side_by_side([], threads=4) == []


def test_ctrl_c_waits_for_nobody_and_begins_nothing_more() -> None:
    begun: list[int] = []
    released, ended, main = threading.Event(), threading.Event(), threading.get_ident()

    def call(number: int) -> None:
        begun.append(number)
        if number == 1:
            signal.pthread_kill(main, signal.SIGINT)
            released.wait(20)
            ended.set()

    with pytest.raises(KeyboardInterrupt):
        side_by_side([partial(call, n) for n in range(50)], threads=1)
    assert not ended.is_set()
    released.set()
    assert ended.wait(20)
    assert begun == [0, 1]


def test_the_fingerprint_is_of_what_may_change_answers(bench: Bench) -> None:
    def of(**options: Any) -> str:
        return bench.judge(**options).fingerprint

    changed = [of(votes=5), of(temperature=0.0), of(max_side=512)]
    assert len({of(), *changed}) == 4
    assert of() == of(parallel=1, probe=True, prices=Prices(1, 1))
    other = OpenAIJudge(BrainSettings("other", bench.endpoint.base_url), cache=bench.folder)
    assert other.fingerprint != of()


@pytest.mark.parametrize("options", [{"votes": 0}, {"parallel": 0}, {"max_side": 0}])
def test_nothing_at_all_is_refused(options: dict[str, Any], bench: Bench) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        bench.judge(**options)


def test_majority_gives_the_reason_of_its_own_side() -> None:
    votes = [Vote(score=False, reason="a"), Vote(score=True, reason="b"), Vote(score=True, reason="c")]
    assert majority(votes) == Answer(score=True, votes=(False, True, True), reason="b")
    votes[2] = Vote(score=False, reason="c")
    assert majority(votes) == Answer(score=False, votes=(False, True, False), reason="a")


def test_agreement_is_measured_over_questions_with_several_votes() -> None:
    verdict = Verdict(
        case="fox_0001", case_sha256="c" * 64, outputs_sha256="0" * 64, judge="openai:m", fingerprint="f",
        answers=(answer(True, True, True), answer(False, False, False), answer(True, False, True),
                 answer(True, True, None), answer(None, None), answer(True)),
    )  # fmt: skip

    found = vote_agreement([verdict])

    assert found.questions == 5 and found.unreadable_votes == 3
    assert found.unanimous is not None and found.unanimous.value == 0.4 and found.unanimous.n == 5
    # yes: 7 of 11 votes; agreeing pairs: 1, 1, 1/3, 1
    chance = (7 / 11) ** 2 + (4 / 11) ** 2
    assert found.fleiss_kappa == pytest.approx(((10 / 3) / 4 - chance) / (1 - chance))


def test_kappa_has_its_known_values() -> None:
    assert fleiss_kappa([(True, True), (False, False)]) == 1
    assert fleiss_kappa([(True, False), (True, False)]) == -1
    assert fleiss_kappa([(True, True, False), (False, False, True)] * 3) == pytest.approx(-1 / 3)
    assert fleiss_kappa([(True, True), (True, True)]) is None
    assert fleiss_kappa([(True,), ()]) is None
    assert vote_agreement([]).unanimous is None


def answer(*votes: bool | None) -> Answer:
    return Answer(score=None, votes=votes)
