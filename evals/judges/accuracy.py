"""How often the pocket judge is right: on the pictures that would be right, and on ones that are wrong on purpose.

Both are renders, so that a reader without faults would answer from what the world says of them; that is the truth here.
Checks of pixels alone are counted like the others, and are the same for both.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from chatdit.evals.intervals import Estimate, proportion
from chatdit.evals.judges.check_rules import Look, Seen, why_not
from chatdit.evals.judges.checks import read_checks
from chatdit.evals.judges.pocket_judge import look_at
from chatdit.evals.pocket_asking import Reader
from chatdit.evals.sprite_fidelity import sighting_of
from chatdit.evals.suites.pocket_suite import Written, pocket_cases, rendered
from chatdit.evals.suites.pocket_tasks.stage import Frame, elsewhere, with_sprites
from chatdit.tools.pocket import world
from chatdit.tools.pocket.reading import Reading
from chatdit.tools.pocket.renderer import Renderer
from chatdit.tools.pocket.scene import PICTURE_PIXELS, Placement, Worn
from chatdit.tools.pocket.vocabulary import ACCESSORIES, BACKGROUNDS, DRAWABLE, STYLES, TINTS

Notify = Callable[[str, int, int], None]


@dataclass
class Confusion:
    """Truth against answer."""

    true_yes: int = 0
    false_yes: int = 0
    true_no: int = 0
    false_no: int = 0

    def add(self, truth: bool, said: bool) -> None:
        """Count one question."""
        if said:
            self.true_yes, self.false_yes = self.true_yes + truth, self.false_yes + (not truth)
        else:
            self.true_no, self.false_no = self.true_no + (not truth), self.false_no + truth

    @property
    def right(self) -> Estimate:
        """Share of right answers."""
        hits, misses = self.true_yes + self.true_no, self.false_yes + self.false_no
        return proportion([True] * hits + [False] * misses)


@dataclass
class Accuracy:
    """Of single questions, by how the pictures came to be, by tier, and by each kind of check."""

    overall: Confusion = field(default_factory=Confusion)
    parts: dict[str, Confusion] = field(default_factory=dict)
    checks: dict[str, Confusion] = field(default_factory=dict)

    def add(self, parts: Iterable[str], truth: bool, said: bool) -> None:
        """Count one question, in all and in these parts."""
        self.overall.add(truth, said)
        for part in parts:
            self.parts.setdefault(part, Confusion()).add(truth, said)


def judge_accuracy(
    reader: Reader, seed: int = 0, limit: int | None = None, notify: Notify = lambda what, done, total: None
) -> Accuracy:
    """The judge's answers to the suite's questions, on right pictures and on spoilt ones, beside the truth.

    `limit` takes that many cases, spread over all.
    """
    found, renderer = Accuracy(), Renderer()
    cases = list(pocket_cases())
    cases = cases if limit is None else cases[:: max(1, len(cases) // limit)][:limit]
    for i, written in enumerate(cases):
        rng = random.Random(f"{seed}-{written.id}")
        for what, wanted in (("right", written.draft.wanted), ("spoilt", spoilt(written.draft.wanted, rng))):
            _count(found, written, what, *_both(renderer, reader, written.draft.inputs, wanted))
        notify("cases", i + 1, len(cases))
    return found


def spoilt(frames: Sequence[Frame], rng: random.Random) -> tuple[Frame, ...]:
    """The pictures with one or two mistakes in them, or one picture fewer or twice."""
    made = list(frames)
    if len(made) > 1 and rng.random() < 0.2:
        which = rng.randrange(len(made) - 1)
        return tuple(made[:-1]) if rng.random() < 0.5 else (*made[:which], made[which + 1], *made[which + 1 :])
    for _ in range(rng.choice((1, 1, 2))):
        which = rng.randrange(len(made))
        made[which] = rng.choice(_FAULTS if made[which].sprites else _FAULTS_OF_EMPTY)(made[which], rng)
    return tuple(made)


def perfect(frame: Frame) -> Reading:
    """What a reader without faults says of a frame."""
    sightings = tuple(sighting_of(sprite) for sprite in frame.sprites)
    return Reading(sightings, frame.scene.background, frame.scene.style)


def _both(
    renderer: Renderer, reader: Reader, inputs: tuple[Frame, ...], outputs: tuple[Frame, ...]
) -> tuple[Seen, Seen]:
    """The pictures as they are, and as the reader sees them."""
    given, made = rendered(renderer, inputs), rendered(renderer, outputs)
    truth = Seen(
        tuple(Look(perfect(f), np.asarray(p)) for f, p in zip(inputs, given, strict=True)),
        tuple(Look(perfect(f), np.asarray(p)) for f, p in zip(outputs, made, strict=True)),
    )
    return truth, Seen(look_at(reader, given), look_at(reader, made))


def _count(found: Accuracy, written: Written, what: str, truth: Seen, said: Seen) -> None:
    for number, question in enumerate(written.draft.questions):
        checks = read_checks(question.check)
        parts = (what, f"tier {number // 2 + 1}", written.category)
        found.add(parts, why_not(checks, truth) is None, why_not(checks, said) is None)
        for check in checks:
            kind = found.checks.setdefault(check.kind, Confusion())
            kind.add(why_not([check], truth) is None, why_not([check], said) is None)


def _other_subject(frame: Frame, rng: random.Random) -> Frame:
    return _changed(frame, rng, subject=rng.choice(DRAWABLE))


def _other_tint(frame: Frame, rng: random.Random) -> Frame:
    return _changed(frame, rng, tint=rng.choice([None, *TINTS]))


def _other_clothes(frame: Frame, rng: random.Random) -> Frame:
    worn = None if rng.random() < 0.3 else Worn(rng.choice(ACCESSORIES), rng.choice(list(TINTS)))
    return _changed(frame, rng, worn=worn)


def _other_size(frame: Frame, rng: random.Random) -> Frame:
    which = rng.randrange(len(frame.sprites))
    sprite = frame.sprites[which]
    side = max(48, min(200, round(sprite.side * rng.choice((0.6, 1.5)))))
    left, top = (min(max(v, 0), PICTURE_PIXELS - side) for v in (sprite.left, sprite.top))
    return _moved(frame, which, replace(sprite, side=side, left=left, top=top))


def _other_spot(frame: Frame, rng: random.Random) -> Frame:
    which = rng.randrange(len(frame.sprites))
    sprite = frame.sprites[which]
    left, top = (rng.randint(0, max(0, PICTURE_PIXELS - sprite.side)) for _ in range(2))
    return _moved(frame, which, replace(sprite, left=left, top=top))


def _other_place(frame: Frame, rng: random.Random) -> Frame:
    return elsewhere(frame, rng.choice(list(BACKGROUNDS)))


def _other_style(frame: Frame, rng: random.Random) -> Frame:
    return elsewhere(frame, style=rng.choice(list(STYLES)))


def _fewer(frame: Frame, rng: random.Random) -> Frame:
    which = rng.randrange(len(frame.sprites))
    return Frame(frame.scene, tuple(s for i, s in enumerate(frame.sprites) if i != which))


def _changed(frame: Frame, rng: random.Random, **to: object) -> Frame:
    which = rng.randrange(len(frame.sprites))
    return _moved(frame, which, replace(frame.sprites[which], **to))  # type: ignore[arg-type]


def _moved(frame: Frame, which: int, sprite: Placement) -> Frame:
    """With one sprite exchanged, unless it would cover another."""
    others = [s for i, s in enumerate(frame.sprites) if i != which]
    if any(world.touch(sprite, other) for other in others):
        return frame
    sprites = [sprite if i == which else s for i, s in enumerate(frame.sprites)]
    return with_sprites(frame, *sprites)


_FAULTS_OF_EMPTY = (_other_place, _other_style)
_FAULTS: tuple[Callable[[Frame, random.Random], Frame], ...] = (
    _other_subject, _other_tint, _other_clothes, _other_size, _other_spot, _other_place, _other_style, _fewer,
)  # fmt: skip
