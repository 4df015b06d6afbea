"""The pages of a sitting as HTML: everything that comes from outside is escaped, and nothing names a system."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

from chatdit.evals.judges.judge import Answer
from chatdit.evals.judges.judge_pictures import CARD_QUESTION, number_of
from chatdit.evals.judges.person_sitting import Sheet, Sitting
from chatdit.evals.suites.case import Question

NOTE_LIMIT = 2000
"""Characters of a note."""
STATIC = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""Files that pages load, with their types."""


def static_file(name: str) -> bytes:
    """One of STATIC."""
    return _package_file(f"person_{name}").encode()


def case_page(sitting: Sitting, sheet: Sheet, base: str) -> str:
    """A case with its pictures and questions; `base` is the path in front of every link."""
    following = sitting.next_open(sheet)
    previous = sitting.before(sheet)
    case, outputs = sheet.item.case, len(sheet.outputs)
    content = Template(_package_file("person_case.html")).substitute(
        task=escape(case.task_name),
        instruction=escape(case.instruction.strip()),
        first=len(sheet.inputs),
        inputs=_pictures("Input", sheet.inputs, base),
        outputs=_pictures("Output", sheet.outputs, base),
        action=f"{base}/case/{sheet.id}",
        skip=f"{base}/case/{following.id}" if following else f"{base}/end",
        back=f"{base}/case/{previous.id}" if previous else f"{base}/case/{sheet.id}",
        questions="\n".join(_question(i, q, sheet.answers, outputs) for i, q in enumerate(case.questions)),
        note=escape(sheet.note),
        note_limit=NOTE_LIMIT,
    )
    ahead = [f"{base}/picture/{key}" for key in (following.inputs | following.outputs if following else ())]
    return _page(sitting, f"{sitting.position(sheet) + 1} of {len(sitting.sheets)}", content, base, ahead)


def end_page(sitting: Sitting, base: str) -> str:
    """After the last case: what is left, and the button that ends the sitting."""
    following = sitting.next_open()
    if following is None:
        heading, words = "Thank you", "Every case is judged. Go back if you want to change an answer."
        link = f'<a class="button quiet" href="{base}/case/{sitting.sheets[-1].id}">Back</a>'
    else:
        heading = f"{sitting.judged} of {len(sitting.sheets)} judged"
        words = "Every answer so far is kept. You can leave now and go on another time."
        link = f'<a class="button quiet" href="{base}/case/{following.id}">Go on</a>'
    button = '<button class="button" type="submit">Finish</button>'
    content = _said(heading, words, f'<form method="post" action="{base}/finish">{link}{button}</form>')
    return _page(sitting, f"{sitting.judged} of {len(sitting.sheets)} judged", content, base)


def goodbye_page(sitting: Sitting, base: str) -> str:
    """The last page."""
    content = _said("The sitting is closed", "Everything is kept. You can close this window.", "")
    return _page(sitting, f"{sitting.judged} of {len(sitting.sheets)} judged", content, base)


def _page(sitting: Sitting, count: str, content: str, base: str, ahead: Sequence[str] = ()) -> str:
    return Template(_package_file("person_page.html")).substitute(
        title=f"{count} · Judging",
        base=base,
        ahead=" ".join(ahead),
        total=len(sitting.sheets),
        judged=sitting.judged,
        count=count,
        content=content,
    )


def _pictures(kind: str, keys: Iterable[str], base: str) -> str:
    shown = [_picture(f"{kind} {i}", i, f"{base}/picture/{key}") for i, key in enumerate(keys, start=1)]
    if not shown:
        return ""
    count = f"{len(shown)} picture{'s' if len(shown) > 1 else ''}"
    layout = {1: " single", 3: " three"}.get(len(shown), "")
    return (
        f'<h2>{kind}s <small>{count}</small></h2><div class="pictures {kind.lower()}s{layout}">{"".join(shown)}</div>'
    )


def _picture(words: str, number: int, url: str) -> str:
    return f'<button type="button" class="picture"><img src="{url}" alt="{words}"><span>{number}</span></button>'


def _question(index: int, question: Question, answers: Sequence[Answer], outputs: int) -> str:
    given = answers[index].score if index < len(answers) else None
    about = _about(question, outputs)
    return (
        f'      <li><fieldset id="q{index + 1}"><legend><b>{index + 1}.</b> {escape(question.text.strip())}'
        f"{f'<small>{about}</small>' if about else ''}</legend>"
        f'<div class="choices">{_choice(index, 1, question.one, given is True)}'
        f"{_choice(index, 0, question.zero, given is False)}</div></fieldset></li>"
    )


def _choice(index: int, value: int, standard: str, chosen: bool) -> str:
    word = "Yes" if value else "No"
    return (
        f'<label class="choice {word.lower()}"><input type="radio" name="q{index + 1}" value="{value}" required'
        f"{' checked' if chosen else ''}><b>{word}</b> <span>{escape(standard)}</span></label>"
    )


def _about(question: Question, outputs: int) -> str:
    """Which pictures the question is about, where it is not about all."""
    if CARD_QUESTION in question.text:
        return f"The image in question is a card with the number of pictures made: {outputs}."
    named = [(w, n) for w, n in (("input", question.inputs), ("output", question.outputs)) if n]
    return "About " + ", ".join(_numbers(*both) for both in named) if named else ""


def _numbers(word: str, names: Sequence[str]) -> str:
    numbers = [number_of(name) for name in names]
    return f"{word}{'s' if len(numbers) > 1 else ''} {' and '.join(numbers)}"


def _said(heading: str, words: str, form: str) -> str:
    return f'<main class="said"><h1>{heading}</h1><p>{words}</p>{form}</main>'


def _package_file(name: str) -> str:
    return files("chatdit.evals.judges").joinpath(name).read_text(encoding="utf-8")
