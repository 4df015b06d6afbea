"""Checks: questions of the pocket suite as data, so that a reader of pictures can answer them.

A question's check is a list of these, all of which must hold. Pictures are named `out1`, `out2`, ... and `in1`, `in2`,
... in their order; shares are fractions of the picture's side.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, TypeAdapter

from chatdit.tools.pocket.captions import noun_phrase
from chatdit.tools.pocket.scene import Position, RelationKind, Thing, Worn
from chatdit.tools.pocket.vocabulary import BACKGROUNDS, SUBJECTS
from chatdit.tools.types import Box, Data

Picture = Annotated[str, StringConstraints(pattern=r"^(in|out)[1-9][0-9]?$")]
Way = Literal["right", "left", "down", "up"]


class Count(Data):
    """There are exactly so many pictures."""

    kind: Literal["count"] = "count"
    outputs: int

    def tell(self) -> str:
        """The check as a clause."""
        return f"there {'is' if self.outputs == 1 else 'are'} exactly {_plural(self.outputs, 'picture')}"


class Shows(Data):
    """A subject is seen, with what is said of it."""

    kind: Literal["shows"] = "shows"
    picture: Picture
    subject: str
    count: int | None = None
    tint: str | None = None
    worn: str | None = None
    worn_colour: str | None = None

    def tell(self) -> str:
        """The check as a clause."""
        worn = Worn(self.worn, self.worn_colour or "") if self.worn else None
        thing = Thing(self.subject, self.count or 1, tint=self.tint, worn=worn)
        return f"{_told(self.picture)} shows {'exactly ' if self.count else ''}{noun_phrase(thing)}"


class Only(Data):
    """Exactly these subjects are seen, as many of each, and no other."""

    kind: Literal["only"] = "only"
    picture: Picture
    things: dict[str, int]

    def tell(self) -> str:
        """The check as a clause."""
        named = " and ".join(noun_phrase(Thing(s, n)) for s, n in self.things.items()) or "no subject at all"
        return f"{_told(self.picture)} shows {named} and nothing besides"


class Absent(Data):
    """A subject is not seen."""

    kind: Literal["absent"] = "absent"
    picture: Picture
    subject: str

    def tell(self) -> str:
        """The check as a clause."""
        many = SUBJECTS[self.subject].plural if self.subject in SUBJECTS else self.subject
        return f"{_told(self.picture)} shows no {many}"


class Bare(Data):
    """A subject wears nothing."""

    kind: Literal["bare"] = "bare"
    picture: Picture
    subject: str

    def tell(self) -> str:
        """The check as a clause."""
        return f"the {self.subject} in {_told(self.picture)} wears nothing"


class Place(Data):
    """The background."""

    kind: Literal["place"] = "place"
    picture: Picture
    background: str

    def tell(self) -> str:
        """The check as a clause."""
        return f"{_told(self.picture)} plays {BACKGROUNDS[self.background].phrase}"


class Drawn(Data):
    """The style."""

    kind: Literal["drawn"] = "drawn"
    picture: Picture
    style: str

    def tell(self) -> str:
        """The check as a clause."""
        return f"{_told(self.picture)} is in {self.style if self.style != 'plain' else 'full-colour'} style"


class Stands(Data):
    """One subject stands so to another."""

    kind: Literal["stands"] = "stands"
    picture: Picture
    first: str
    relation: RelationKind
    second: str

    def tell(self) -> str:
        """The check as a clause."""
        return f"in {_told(self.picture)} the {self.first} is {self.relation} the {self.second}"


class At(Data):
    """A subject's middle lies in a part of the picture."""

    kind: Literal["at"] = "at"
    picture: Picture
    subject: str
    position: Position

    def tell(self) -> str:
        """The check as a clause."""
        where = {"top": "at the top", "bottom": "at the bottom", "middle": "in the middle"}
        return f"the {self.subject} in {_told(self.picture)} is {where.get(self.position, 'on the ' + self.position)}"


class Sized(Data):
    """A subject's side as a share of the picture's."""

    kind: Literal["sized"] = "sized"
    picture: Picture
    subject: str
    at_least: float = 0.0
    at_most: float = 1.0

    def tell(self) -> str:
        """The check as a clause."""
        low, high = f"{self.at_least:.0%}", f"{self.at_most:.0%}"
        return f"the {self.subject} in {_told(self.picture)} takes {low} to {high} of the picture's side"


class Turned(Data):
    """A subject's angle in degrees, counterclockwise."""

    kind: Literal["turned"] = "turned"
    picture: Picture
    subject: str
    within: float

    def tell(self) -> str:
        """The check as a clause."""
        return f"the {self.subject} in {_told(self.picture)} stands upright, within {self.within:g} degrees"


class Grows(Data):
    """A subject is larger (or smaller, for a factor below 1) in each picture than in the one before."""

    kind: Literal["grows"] = "grows"
    pictures: tuple[Picture, ...]
    subject: str
    factor: float

    def tell(self) -> str:
        """The check as a clause."""
        way = "larger" if self.factor > 1 else "smaller"
        return f"the {self.subject} gets {way} from picture to picture"


class Moves(Data):
    """A subject stands further that way in each picture than in the one before."""

    kind: Literal["moves"] = "moves"
    pictures: tuple[Picture, ...]
    subject: str
    way: Way
    by: float = 0.06

    def tell(self) -> str:
        """The check as a clause."""
        return f"the {self.subject} moves {self.way} from picture to picture"


class SameHero(Data):
    """All pictures show one identity: subject, tint and what it wears, apart from the company named."""

    kind: Literal["same_hero"] = "same_hero"
    pictures: tuple[Picture, ...]
    company: tuple[str, ...] = ()
    looks: bool = True
    """Whether tint and things worn count too."""

    def tell(self) -> str:
        """The check as a clause."""
        how = "the very same character" if self.looks else "the same kind of subject"
        return f"{_listed(self.pictures)} show {how}"


class SamePlace(Data):
    """All pictures have one background, whichever it is."""

    kind: Literal["same_place"] = "same_place"
    pictures: tuple[Picture, ...]

    def tell(self) -> str:
        """The check as a clause."""
        return f"{_listed(self.pictures)} have the same background"


class SameStyle(Data):
    """All pictures have one style, whichever it is."""

    kind: Literal["same_style"] = "same_style"
    pictures: tuple[Picture, ...]

    def tell(self) -> str:
        """The check as a clause."""
        return f"{_listed(self.pictures)} are drawn in the same style"


class Layout(Data):
    """What is seen in one picture stands at the same spots in another, whatever stands there."""

    kind: Literal["layout"] = "layout"
    before: Picture
    after: Picture
    but: tuple[str, ...] = ()
    """Subjects of `before` that may go."""

    def tell(self) -> str:
        """The check as a clause."""
        but = f", apart from the {' and the '.join(self.but)}" if self.but else ""
        return f"what stands in {_told(self.before)} stands at the same spots in {_told(self.after)}{but}"


class Kept(Data):
    """Pixels outside the boxes are as they were."""

    kind: Literal["kept"] = "kept"
    before: Picture
    after: Picture
    outside: tuple[Box, ...] = ()
    levels: float = 6.0
    """Grey levels of 255 that pixels may differ on average."""

    def tell(self) -> str:
        """The check as a clause."""
        return f"nothing else has changed between {_told(self.before)} and {_told(self.after)}"


class Sharper(Data):
    """A picture has more fine detail than another."""

    kind: Literal["sharper"] = "sharper"
    before: Picture
    after: Picture
    factor: float = 1.5

    def tell(self) -> str:
        """The check as a clause."""
        return f"{_told(self.after)} is clearly sharper than {_told(self.before)}"


class Different(Data):
    """No two pictures are the same."""

    kind: Literal["different"] = "different"
    pictures: tuple[Picture, ...]

    def tell(self) -> str:
        """The check as a clause."""
        return f"{_listed(self.pictures)} are different pictures"


Check = Annotated[
    Count | Shows | Only | Absent | Bare | Place | Drawn | Stands | At | Sized | Turned | Grows | Moves | SameHero
    | SamePlace | SameStyle | Layout | Kept | Sharper | Different,
    Field(discriminator="kind"),
]  # fmt: skip
_CHECKS: TypeAdapter[tuple[Check, ...]] = TypeAdapter(tuple[Check, ...])


def read_checks(data: JsonValue) -> tuple[Check, ...]:
    """The checks that a question's `check` holds.

    Raises:
        pydantic.ValidationError: it is something else.
    """
    return _CHECKS.validate_python(data)


def write_checks(checks: tuple[Check, ...]) -> JsonValue:
    """The checks as plain data."""
    written: JsonValue = _CHECKS.dump_python(checks, mode="json", exclude_defaults=False)
    return written


def _told(picture: str) -> str:
    return f"input {picture[2:]}" if picture.startswith("in") else f"picture {picture[3:]}"


def _listed(pictures: tuple[str, ...]) -> str:
    named = [_told(p) for p in pictures]
    return f"{', '.join(named[:-1])} and {named[-1]}"


def _plural(count: int, noun: str) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
    return f"{words[count] if count < len(words) else count} {noun}{'' if count == 1 else 's'}"
