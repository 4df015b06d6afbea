"""What one sentence says about one picture: what it names, removes, replaces and changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from chatdit.agents.instruction import Accessory, Position, RelationKind
from chatdit.agents.lexer import Lexeme
from chatdit.agents.lexicon import Kind
from chatdit.tools.edit import EditWay
from chatdit.tools.pocket.vocabulary import Size

FOCUS = -1
"""In a link: the thing the conversation is about, which the clause calls "it"."""


@dataclass
class Change:
    """What modifiers ask of one thing; None leaves it as it is."""

    size: Size | None = None
    resize: int = 0
    tint: str | None = None
    """Empty for the thing's own colours."""
    position: Position | None = None
    count: int | None = None
    """How many there shall be, where no subject was named: "make it four"."""
    worn: Accessory | None = None
    """Without a colour when none was said."""
    bare: bool = False
    """Whether it shall wear nothing any more."""

    def __bool__(self) -> bool:
        looks = self.size or self.resize or self.tint is not None or self.worn or self.bare
        return bool(looks or self.position or self.count)


@dataclass
class Noun:
    """One mention of a subject. `known` tells "a cat" (new), "the cat" and "the same cat" apart.

    "The red one" has no subject yet; the picture that it is said of names it.
    """

    subject: str
    count: int | None = None
    vague: bool = False
    known: Literal["new", "the", "same", "another"] = "new"
    change: Change = field(default_factory=Change)
    picture: Lexeme | None = None
    """Where it comes from: "the cat from picture 2"."""
    look: str | None = None
    """The tint it is told by: "make the blue fox green"."""
    with_before: bool = False
    predicated: bool = False
    """Something is said of it after its name: "the cat is red"."""


@dataclass
class Clause:
    """Everything one sentence says about one picture."""

    nouns: list[Noun] = field(default_factory=list)
    removed: list[Noun] = field(default_factory=list)
    replaced: list[tuple[Noun | None, Noun]] = field(default_factory=list)
    links: list[tuple[int, RelationKind, int]] = field(default_factory=list)
    change: Change = field(default_factory=Change)
    backgrounds: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    aspects: list[str] = field(default_factory=list)
    verbs: set[Kind] = field(default_factory=set)
    pronoun: int = 0
    """0 none, 1 "it", 2 "they"."""
    focus_gone: bool = False
    same_picture: bool = False
    same_aspects: list[str] = field(default_factory=list)
    picture: Lexeme | None = None
    """The picture that the whole sentence is about."""
    models: list[tuple[Lexeme, Literal["style", "layout"]]] = field(default_factory=list)
    """Pictures that lend their style or layout: "in the style of image 2"."""
    ways: list[EditWay] = field(default_factory=list)
    everything: bool = False
    kept: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    @property
    def mentions(self) -> list[Noun]:
        """Everything named, wherever it stands in the sentence."""
        return [*self.nouns, *self.removed, *(old for old, _ in self.replaced if old is not None)]

    @property
    def is_edit(self) -> bool:
        """True when the sentence changes an existing picture rather than describing a new one."""
        names_nothing = not self.nouns and bool(self.change or self.backgrounds or self.styles or self.aspects)
        acts = bool(self.replaced or self.focus_gone or self.same_picture or (self.removed and not self.nouns))
        told = bool(self.nouns) and all(noun.known == "the" and noun.predicated for noun in self.nouns)
        told = told and not self.backgrounds and "draw" not in self.verbs
        on_known = any(noun.known in ("the", "another") for noun in self.nouns) or not self.nouns
        verb = "add" in self.verbs or (bool(self.verbs & {"make", "put", "turn", "keep", "instead"}) and on_known)
        placed = "put" in self.verbs or bool(self.nouns and self.nouns[0].with_before)
        return (
            names_nothing
            or acts
            or told
            or "gone" in self.verbs
            or verb
            or placed
            or bool(self.pronoun and not self.is_only)
            or self.is_again
            or bool(self.ways)
        )

    def counts_on(self, subjects: Sequence[str]) -> bool:
        """ "another cat" where a cat is: one more of it, unless it is to be drawn anew or elsewhere."""
        more = bool(self.nouns) and all(n.known == "another" and n.subject in subjects for n in self.nouns)
        return more and not self.backgrounds and "draw" not in self.verbs

    @property
    def speaks_of_all(self) -> bool:
        """True for "make them blue" and "both at night", which name nothing and no picture."""
        named = self.nouns or self.removed or self.replaced or self.models or self.picture
        return (self.pronoun == 2 or self.everything) and not named and "replace" not in self.verbs

    @property
    def is_again(self) -> bool:
        """True for "try again" and "draw it again"; "put it on the beach again" asks for another place."""
        says = self.nouns or self.change or self.backgrounds or self.styles
        return "again" in self.verbs and not (says and self.verbs & {"put", "make", "turn", "add"})

    @property
    def is_only(self) -> bool:
        return "only" in self.verbs
