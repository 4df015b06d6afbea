"""The page on which a person judges: over HTTP on loopback, blind, kept at once, and closed to everyone else."""

from __future__ import annotations

import http.client
import io
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from chatdit.evals.judges.judge import Verdict
from chatdit.evals.judges.judged_files import outputs_sha256
from chatdit.evals.judges.person import PersonJudgeServer, Record
from chatdit.evals.judges.person_http import MAX_BODY
from chatdit.evals.judges.person_page import NOTE_LIMIT, STATIC, static_file
from chatdit.evals.judges.person_sitting import Sitting, ToJudge
from chatdit.evals.suites.case import Case, Question

SYSTEMS = ("topsecret-flux", "topsecret-pocket")
FORM = "application/x-www-form-urlencoded"
ALL_YES = {f"q{n}": "1" for n in range(1, 7)}


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def line(self) -> str:
        """The one line of a refusal."""
        assert self.headers["Content-Type"].startswith("text/plain") and self.text.count("\n") == 1
        return self.text.strip()


@dataclass
class Browser:
    """Asks a server as a browser would."""

    server: PersonJudgeServer
    kept: list[tuple[str, Verdict]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return urlsplit(self.server.url).path.rstrip("/")

    @property
    def address(self) -> str:
        return urlsplit(self.server.url).netloc

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answered:
        connection = http.client.HTTPConnection(self.address, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): v for name, v in headers.items()})
            response = connection.getresponse()
            return Answered(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answered:
        return self.ask("GET", path)

    def page(self, path: str = "/") -> Answered:
        """The page that a redirect ends at."""
        found = self.get(self.base + path)
        return self.get(found.headers["Location"]) if found.status == 303 else found

    def post(self, path: str, form: dict[str, str], **headers: str) -> Answered:
        return self.ask("POST", path, urlencode(form).encode(), **{"Content_Type": FORM} | headers)

    def case(self, at: int) -> str:
        """The path of the sitting's page at a place."""
        return f"{self.base}/case/{self.server.sitting.sheets[at].id}"


@contextmanager
def serving(items: list[ToJudge], record: Record | None = None, done: list[tuple[str, Verdict]] | None = None,
            seed: int = 0) -> Iterator[Browser]:  # fmt: skip
    kept: list[tuple[str, Verdict]] = []
    keep: Record = record or (lambda label, verdict: kept.append((label, verdict)))
    with PersonJudgeServer(items, keep, name="ada", done=done or (), seed=seed) as server:
        yield Browser(server, kept)


def picture(path: Path, colour: tuple[int, int, int]) -> Path:
    """A picture whose file tells in its metadata who made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = PngInfo()
    told.add_text("model", "topsecret")
    Image.new("RGB", (24, 16), colour).save(path, pnginfo=told)
    return path


@pytest.fixture
def items(tmp_path: Path) -> list[ToJudge]:
    """Three cases, each answered by two systems with two pictures."""
    found = []
    for n in range(3):
        folder = tmp_path / "suite" / f"fox_{n:04d}"
        picture(folder / "0001.png", (n, 0, 0))
        questions = tuple(Question(text=f"Question {q}?", zero=f"zero {q}", one=f"one {q}") for q in range(1, 7))
        case = Case(
            id=f"fox_{n:04d}", task="0001", task_name="fox cards", group="fox", category="I2I",
            instruction=f"Draw <fox> number {n} & \"friends\".", folder=folder, inputs=("0001.png",), output_count=2,
            questions=questions, sha256=f"{n:064d}",
        )  # fmt: skip
        for s, system in enumerate(SYSTEMS):
            outputs = tuple(picture(tmp_path / system / case.id / f"000{k}.png", (n, s + 1, k)) for k in (1, 2))
            found.append(ToJudge(system, case, outputs))
    return found


@pytest.fixture
def browser(items: list[ToJudge]) -> Iterator[Browser]:
    with serving(items) as browser:
        yield browser


def pictures_in(page: str) -> list[str]:
    return re.findall(r'<img src="([^"]+)"', page)


def test_the_first_page_shows_request_pictures_and_questions(browser: Browser) -> None:
    page = browser.page().text
    case = browser.server.sitting.sheets[0].item.case

    assert f"Draw &lt;fox&gt; number {int(case.id[-1])} &amp; &quot;friends&quot;." in page and "1 of 6" in page
    assert len(pictures_in(page)) == 3 and page.count('alt="Output') == 2 and page.count('alt="Input') == 1
    for n in range(1, 7):
        assert f"Question {n}?" in page and f"zero {n}" in page and f"one {n}" in page
        assert page.count(f'name="q{n}"') == 2
    assert "checked" not in page


def test_nothing_names_the_system(browser: Browser) -> None:
    seen = [browser.get(browser.case(at)) for at in range(6)]
    seen += [browser.page("/end"), *(browser.get(url) for page in seen for url in pictures_in(page.text))]

    assert len(seen) == 6 + 1 + 18
    for answered in seen:
        everything = f"{answered.headers} {answered.body!r}"
        assert "topsecret" not in everything and "fox_000" not in everything and "0001.png" not in everything


def test_a_picture_is_its_pixels_and_no_more(items: list[ToJudge], tmp_path: Path) -> None:
    jpeg = tmp_path / "j" / "0001.jpg"
    jpeg.parent.mkdir()
    Image.new("RGB", (24, 16), (90, 90, 90)).save(jpeg, comment=b"topsecret")
    with serving([items[0]._replace(outputs=(jpeg,))]) as browser:
        url = pictures_in(browser.page().text)[-1]
        found = browser.get(url)

    assert found.headers["Content-Type"] == "image/png" and b"topsecret" not in found.body
    with Image.open(io.BytesIO(found.body)) as image:
        assert image.format == "PNG" and np.array_equal(np.asarray(image), np.asarray(Image.open(jpeg)))


def test_the_order_is_random_and_the_seed_decides(items: list[ToJudge]) -> None:
    def order(seed: int) -> list[tuple[str, str]]:
        return [(sheet.item.label, sheet.item.case.id) for sheet in Sitting(items, "ada", seed=seed).sheets]

    assert order(1) == order(1) and sorted(order(1)) == sorted(order(2))
    assert len({tuple(order(seed)) for seed in range(10)}) > 5
    ids = [{sheet.id for sheet in Sitting(items, "ada").sheets} for _ in range(2)]
    assert not ids[0] & ids[1]


def test_answers_are_kept_at_once_as_they_are(browser: Browser) -> None:
    sheet = browser.server.sitting.sheets[0]
    browser.get(browser.case(0))
    form = {"q1": "0", "q2": "0", "q3": "1", "q4": "0", "q5": "1", "q6": "1", "note": " two\r\nlines "}

    sent = browser.post(browser.case(0), form)

    assert (sent.status, sent.headers["Location"]) == (303, browser.case(1))
    ((label, verdict),) = browser.kept
    assert label == sheet.item.label and verdict.case == sheet.item.case.id
    assert [answer.score for answer in verdict.answers] == [False, False, True, False, True, True]  # no gating
    assert {answer.reason for answer in verdict.answers} == {"two lines"}
    assert verdict.judge == "person:ada" and verdict.fingerprint == browser.server.sitting.fingerprint
    assert verdict.case_sha256 == sheet.item.case.sha256
    assert verdict.outputs_sha256 == outputs_sha256(sheet.item.outputs)
    assert 0 <= verdict.seconds < 60
    assert "2 of 6" in browser.page().text


def test_back_shows_the_answers_and_only_changed_ones_are_kept_again(browser: Browser) -> None:
    browser.post(browser.case(0), {**ALL_YES, "q2": "0", "note": '"a" <b>'})
    back = re.search(r'data-back="([^"]+)"', browser.get(browser.case(1)).text)
    assert back is not None and back[1] == browser.case(0)

    page = browser.get(back[1]).text
    assert re.findall(r'name="(q\d)" value="(\d)" required checked', page) == [
        ("q1", "1"), ("q2", "0"), ("q3", "1"), ("q4", "1"), ("q5", "1"), ("q6", "1")]  # fmt: skip
    assert "&quot;a&quot; &lt;b&gt;</textarea>" in page

    browser.post(browser.case(0), {**ALL_YES, "q2": "0", "note": '"a" <b>'})
    assert len(browser.kept) == 1
    browser.post(browser.case(0), ALL_YES)
    assert [answer.score for answer in browser.kept[1][1].answers] == [True] * 6 and len(browser.kept) == 2


def test_skipped_cases_come_back_at_the_end(browser: Browser) -> None:
    def skip_from(at: int) -> str:
        found = re.search(r'data-next="([^"]+)"', browser.get(browser.case(at)).text)
        assert found is not None
        return found[1]

    assert skip_from(0) == browser.case(1) and skip_from(5) == browser.case(0)
    for at in range(1, 5):
        browser.post(browser.case(at), ALL_YES)
    assert browser.post(browser.case(5), ALL_YES).headers["Location"] == browser.case(0)
    assert skip_from(0) == f"{browser.base}/end"
    assert "5 of 6 judged" in browser.page("/end").text and browser.case(0) in browser.page("/end").text


def test_finish_ends_the_sitting(browser: Browser) -> None:
    for at in range(5):
        browser.post(browser.case(at), ALL_YES)
    sent = browser.post(browser.case(5), ALL_YES)
    assert sent.headers["Location"] == f"{browser.base}/end"
    assert "Every case is judged" in browser.page("/end").text and "Every case is judged" in browser.page().text
    assert not browser.server.wait(0)

    assert "closed" in browser.post(f"{browser.base}/finish", {}).text
    assert browser.server.wait(5)


def test_a_later_sitting_goes_on_where_the_first_one_ended(items: list[ToJudge]) -> None:
    with serving(items, seed=3) as first:
        for at in range(4):
            first.post(first.case(at), {**ALL_YES, "note": "seen"})
    with serving(items, seed=3, done=first.kept) as second:
        assert "5 of 6" in second.page().text and second.server.sitting.judged == 4
        assert "seen</textarea>" in second.get(second.case(0)).text
        second.post(second.case(4), ALL_YES)
        assert second.post(second.case(5), ALL_YES).headers["Location"] == f"{second.base}/end"
    assert len(second.kept) == 2


def test_other_pictures_judges_and_systems_are_not_taken_for_these(items: list[ToJudge]) -> None:
    with serving(items[:1]) as first:
        first.post(first.case(0), ALL_YES)
    ((label, verdict),) = first.kept

    def judged(label: str, verdict: Verdict) -> int:
        return Sitting(items[:1], "ada", [(label, verdict)]).judged

    assert judged(label, verdict) == 1
    assert judged("another", verdict) == 0
    assert judged(label, verdict.model_copy(update={"judge": "person:bob"})) == 0
    assert judged(label, verdict.model_copy(update={"outputs_sha256": "0" * 64})) == 0
    assert judged(label, verdict.model_copy(update={"case_sha256": "f" * 64})) == 0
    later = verdict.model_copy(update={"answers": verdict.answers[:0]})
    assert Sitting(items[:1], "ada", [(label, verdict), (label, later)]).judged == 0  # the last one counts


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({}, "missing: 1, 2, 3, 4, 5, 6"),
        ({**ALL_YES, "q3": ""}, "missing: 3"),
        ({**ALL_YES, "q3": "2"}, "missing: 3"),
        ({**ALL_YES, "q3": "yes"}, "missing: 3"),
        ({**ALL_YES, "q7": "1"}, "unknown fields"),
        ({**ALL_YES, "label": "topsecret-flux"}, "unknown fields"),
        ({**ALL_YES, "note": "x" * (NOTE_LIMIT + 1)}, "too long"),
    ],
)
def test_a_bad_form_is_refused_in_one_line(form: dict[str, str], says: str, browser: Browser) -> None:
    refused = browser.post(browser.case(0), form)
    assert refused.status == 400 and says in refused.line
    assert browser.kept == [] and browser.server.sitting.judged == 0


def test_a_long_note_in_any_script_fits(browser: Browser) -> None:
    assert browser.post(browser.case(0), {**ALL_YES, "note": "🦊" * NOTE_LIMIT}).status == 303
    assert browser.kept[0][1].answers[0].reason == "🦊" * NOTE_LIMIT


def test_bodies_that_are_no_form_are_refused(browser: Browser) -> None:
    def status(body: bytes, **headers: str) -> int:
        refused = browser.ask("POST", browser.case(0), body, **{"Content_Type": FORM} | headers)
        assert refused.line
        return refused.status

    whole = urlencode(ALL_YES).encode()
    assert status(whole, Content_Type="application/json") == 415
    assert status(whole, Content_Type="multipart/form-data; boundary=x") == 415
    assert status(whole + b"&q1=0") == 400
    assert status(whole + b"&note=%ff") == 400
    assert status(b"\xff\xfe") == 400
    assert status(b"&".join(b"x%d=1" % n for n in range(500))) == 400
    assert status(b"q1=" + b"1" * MAX_BODY) == 413
    assert status(b"q1=" + b"1" * 15 * MAX_BODY) == 413
    assert browser.kept == []


@pytest.mark.parametrize(("length", "status"), [("", 411), ("x", 411), ("-1", 411), ("+5", 411), ("9" * 30, 413)])
def test_a_body_without_an_honest_length_is_refused(length: str, status: int, browser: Browser) -> None:
    header = f"Content-Length: {length}\r\n" if length else ""
    answer = raw(browser, f"POST {browser.case(0)} HTTP/1.1\r\nHost: {browser.address}\r\n"
                          f"Content-Type: {FORM}\r\n{header}\r\n", "q1=1")  # fmt: skip
    assert answer.startswith(f"HTTP/1.0 {status} ")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1"])
def test_answers_of_foreign_pages_are_refused(origin: str, browser: Browser) -> None:
    refused = browser.post(browser.case(0), ALL_YES, Origin=origin)
    assert refused.status == 403 and "own pages only" in refused.line
    assert browser.kept == []
    assert browser.post(browser.case(0), ALL_YES, Origin=f"http://{browser.address}").status == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "", "127.0.0.1.evil.example:80"])
def test_another_host_name_gets_nothing(host: str, browser: Browser) -> None:
    for method in ("GET", "POST"):
        refused = browser.ask(method, browser.case(0), urlencode(ALL_YES).encode(), Host=host, Content_Type=FORM)
        assert refused.status == 421 and "Question" not in refused.line
    assert browser.kept == []
    port = browser.address.split(":")[1]
    assert browser.ask("GET", browser.case(0), Host=f"localhost:{port}").status == 200


def test_without_the_token_there_is_nothing(browser: Browser) -> None:
    key = browser.server.sitting.sheets[0].id
    for path in ("/", "/favicon.ico", f"/case/{key}", f"/wrong/case/{key}", browser.base[:-1], f"{browser.base}x/"):
        assert browser.get(path).status == 404 and "printed" in browser.get(path).line
        assert browser.post(path, ALL_YES).status == 404
    assert browser.kept == []
    with serving([browser.server.sitting.sheets[0].item]) as other:
        assert other.base != browser.base


@pytest.mark.parametrize(
    "path",
    ["/case/unknown", "/case", "/picture/unknown", "/picture/0001.png", "/picture/../picture/0001.png",
     "/picture/..%2f..%2f..%2fetc%2fpasswd", "/../../../../etc/passwd", "/picture//etc/passwd", "/person.py",
     "/page.css/../person.py", "/case/x/y", "/%00"],
)  # fmt: skip
def test_unknown_ids_and_paths_lead_nowhere(path: str, browser: Browser) -> None:
    assert browser.get(browser.base + path).status == 404
    assert browser.post(browser.base + path, ALL_YES).status == 404


def test_a_file_is_served_under_its_id_alone(browser: Browser) -> None:
    sheet = browser.server.sitting.sheets[0]
    for path in sheet.outputs.values():
        assert browser.get(f"{browser.base}/picture/{quote(str(path), safe='')}").status == 404
        assert browser.get(f"{browser.base}/picture/{path}").status == 404


def test_a_picture_that_is_gone_is_one_line_without_its_name(browser: Browser) -> None:
    (key, path), *_ = browser.server.sitting.sheets[0].outputs.items()
    path.unlink()
    gone = browser.get(f"{browser.base}/picture/{key}")
    assert gone.status == 404 and "no longer" in gone.line and path.name not in gone.line


def test_other_methods_are_refused_in_one_line(browser: Browser) -> None:
    for method in ("PUT", "DELETE", "OPTIONS"):
        refused = browser.ask(method, browser.case(0))
        assert refused.status == 501 and refused.line
    assert raw(browser, "no request at all\r\n\r\n").startswith("Bad request")


def test_what_cannot_be_kept_is_told_and_stays_open(items: list[ToJudge]) -> None:
    kept: list[Verdict] = []

    def record(label: str, verdict: Verdict) -> None:
        if not kept:
            kept.append(verdict)
            raise OSError(28, "No space left on device", "/runs/topsecret-flux/verdicts.jsonl")

    with serving(items, record) as browser:
        failed = browser.post(browser.case(0), ALL_YES)
        assert failed.status == 500 and "could not be kept (OSError)" in failed.line
        assert "topsecret" not in failed.line and browser.server.sitting.judged == 0
        assert browser.post(browser.case(0), ALL_YES).status == 303
        assert browser.server.sitting.judged == 1


def test_answers_at_the_same_time_are_kept_one_after_the_other(items: list[ToJudge]) -> None:
    now, overlaps = [0], [0]

    def record(label: str, verdict: Verdict) -> None:
        now[0] += 1
        overlaps[0] += now[0] > 1
        time.sleep(0.02)
        now[0] -= 1

    with serving(items, record) as browser, ThreadPoolExecutor(6) as pool:
        sent = list(pool.map(lambda at: browser.post(browser.case(at), ALL_YES).status, range(6)))
        assert sent == [303] * 6 and overlaps == [0] and browser.server.sitting.judged == 6


def test_pages_load_nothing_from_elsewhere_and_run_nothing_of_their_own(browser: Browser) -> None:
    page = browser.page()
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<style|style=|<script>|\son\w+=|javascript:", page.text)
    for url in re.findall(r'(?:src|href|action)="([^"]*)"', page.text):
        assert url.startswith(f"{browser.base}/")
    for name, kind in STATIC.items():
        found = browser.get(f"{browser.base}/{name}")
        assert (found.status, found.headers["Content-Type"], found.body) == (200, kind, static_file(name))
        assert b"//" not in found.body.replace(b"http://www.w3.org/2000/svg", b"").replace(b"// ", b"")
        assert b"url(" not in found.body and b"@import" not in found.body


def test_questions_say_which_pictures_they_are_about(items: list[ToJudge]) -> None:
    first = items[0].case.questions[0].model_copy
    questions = (
        first(update={"inputs": ("0001.jpg",), "outputs": ("0001.jpg", "0002.jpg")}),
        first(update={"text": "Is the number in the image the digit 2?", "outputs": ("0001.jpg",)}),
        *items[0].case.questions[2:],
    )
    item = items[0]._replace(case=items[0].case.model_copy(update={"questions": questions}))
    with serving([item]) as browser:
        page = browser.page().text
    assert "About input 1, outputs 1 and 2" in page
    assert "a card with the number of pictures made: 2." in page and page.count("<small>About") == 1


def test_the_server_listens_on_this_computer_alone(browser: Browser) -> None:
    assert urlsplit(browser.server.url).hostname == "127.0.0.1"
    with pytest.raises(OSError):
        PersonJudgeServer([s.item for s in browser.server.sitting.sheets], lambda label, verdict: None, name="ada",
                          port=int(browser.address.split(":")[1]))  # fmt: skip


@pytest.mark.parametrize("name", ["", "a@b", "a b", "../x", "a\nb", "x" * 41])
def test_a_name_that_is_no_name_is_refused(name: str, items: list[ToJudge]) -> None:
    with pytest.raises(ValueError, match="expected 1 to 40"):
        Sitting(items, name)


def test_an_empty_sitting_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to judge"):
        Sitting([], "ada")


def raw(browser: Browser, *parts: str) -> str:
    """What the server says to these bytes."""
    host, port = browser.address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("".join(parts).encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b"")).decode()
