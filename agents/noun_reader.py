"""The noun phrases of a sentence: what is named, how it looks, and where it stands.

Modifiers before a subject belong to it ("a small red cat"), modifiers after it too ("the cat,
bigger, on the left"); with no subject at hand they change whatever the conversation is about
("make it bigger").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from chatdit.agents.clauses import FOCUS, Change, Clause, Noun
from chatdit.agents.instruction import Accessory, RelationKind
from chatdit.agents.lexer import Lexeme, next_subject
from chatdit.agents.lexicon import Kind

NOUN_WORDS: frozenset[Kind] = frozenset(
    ("article", "definite", "same", "another", "number", "vague", "size", "tint", "resize", "undrawable", "filler")
)
_IN_LIST: frozenset[Kind] = frozenset(("size", "tint", "and", "comma", "filler", "undrawable"))
_BEFORE_NOUN: frozenset[Kind] = frozenset(("size", "tint", "resize", "undrawable", "filler", "colour"))
_ONTO, _ON_IT = ("to", "of"), ("on it", "on its head", "on his head", "on her head", "to it", "from it")
Slot = Literal["scene", "removed", "old", "new", "old_place"]
"""What a subject named next is: part of the scene, removed, replaced, the replacement, or what to stand in for."""


class NounReader:
    """Reads noun phrases into a `Clause`; `actions` holds what each kind of word does."""

    def __init__(self, lexemes: list[Lexeme]) -> None:
        self.words = lexemes
        self.at = 0
        self.clause = Clause()
        self.slot: Slot = "scene"
        self.pending = Noun("")
        self.target: Noun | None = None
        self.link: tuple[RelationKind, int | None] | None = None
        self.old: Noun | None = None
        self.with_seen = False
        self.colour = ""
        """Of something worn that is about to be named."""
        self.dressed: tuple[int, Change] = (0, self.clause.change)
        """Behind which word somebody was dressed last, and where that is noted."""
        self.actions: dict[Kind, Callable[[Lexeme], None]] = {
            "subject": self._subject, "article": self._article, "definite": self._definite,
            "another": self._another, "number": self._number, "vague": self._vague, "size": self._modifier,
            "resize": self._modifier, "tint": self._modifier, "position": self._modifier,
            "relation": self._relation, "near": self._near, "side": self._side, "hidden": self._hidden,
            "locative": self._locative, "wear": self._wear, "worn": self._worn,
        }  # fmt: skip

    def _subject(self, word: Lexeme) -> None:
        noun, self.pending = self.pending, Noun("")
        noun.subject, noun.with_before = str(word.value), self.with_seen and not self.clause.nouns
        if word.plural and noun.count is None and noun.known == "new":
            noun.count, noun.vague = 2, True
        self.target = noun
        if self.slot == "removed":
            self.clause.removed.append(noun)
        elif self.slot == "old":
            self.old = noun
        elif self.slot == "old_place":
            self._replace_with_scene(noun)
        elif self.slot == "new" or self._is_replacement(noun):
            self.clause.replaced.append((self.old or self._last_known(), noun))
            self.slot = "scene"
        else:
            self._into_scene(noun)

    def _into_scene(self, noun: Noun) -> None:
        nouns = self.clause.nouns
        nouns.append(noun)
        index = len(nouns) - 1
        if self.link is not None:
            kind, first = self.link
            if first is not None:
                self.clause.links.append((first, kind, index))
                self.link = None
            elif index >= 1 or self._has_focus_link():
                self.clause.links.append((index, kind, index - 1 if index else FOCUS))
                self.link = None

    def _has_focus_link(self) -> bool:
        return bool(self.clause.pronoun) and not self.clause.nouns[:-1]

    def _is_replacement(self, noun: Noun) -> bool:
        """ "make it a dog", "make the cat a dog", "turn the cat into a dog"."""
        clause = self.clause
        before = self.words[: self.at - 1]
        joined = any(w.kind in ("and", "with", "comma", "relation", "near", "add") for w in before)
        verb = clause.verbs & {"make", "turn"}
        named = clause.pronoun == 1 or any(n.known != "new" for n in clause.nouns)
        return bool(verb and named and noun.known == "new" and not joined and self.link is None)

    def _last_known(self) -> Noun | None:
        """Takes the noun being replaced out of the scene's nouns; None stands for "it"."""
        return self.clause.nouns.pop() if self.clause.nouns else None

    def _replace_with_scene(self, old: Noun) -> None:
        """ "a dog instead of the cat": the other noun of the clause takes the place of `old`."""
        self.slot = "scene"
        if self.clause.nouns:
            self.clause.replaced.append((old, self.clause.nouns.pop()))
        else:
            self.old, self.slot = old, "new"

    def _article(self, _: Lexeme) -> None:
        self.pending.known = "new"

    def _definite(self, _: Lexeme) -> None:
        self.pending.known = "the"

    def _another(self, word: Lexeme) -> None:
        self.pending.known = "new" if word.value == "new" else "another"
        if word.value == "more":
            self.clause.verbs.add("add")

    def _number(self, word: Lexeme) -> None:
        if next_subject(self.words, self.at, NOUN_WORDS) is not None:
            self.pending.count = int(word.value)
        elif word.text == "both" and self.slot == "removed":
            self.clause.focus_gone, self.clause.pronoun = True, 2
        elif word.text == "both":
            self.clause.everything = True
        elif word.value == 1 or self._next_is("unknown", "undrawable"):
            return
        elif self.clause.pronoun or (self._next_text() == "of them" and not self.clause.nouns):
            self.clause.change.count = int(word.value)
        else:
            self.clause.unknown.append(word.text)

    def _vague(self, word: Lexeme) -> None:
        following = next_subject(self.words, self.at, NOUN_WORDS)
        if following is not None and self.words[following].plural:
            self.pending.count, self.pending.vague = int(word.value), True

    def _wear(self, _: Lexeme) -> None:
        if self.target is not None:
            self.target.predicated = True

    def _worn(self, word: Lexeme) -> None:
        """ "wearing a red hat", "with a bow", "put a hat on the fox", "take off the badge"."""
        taken, self.slot = self.slot == "removed" or not word.value, "scene"
        colour, self.colour = self.colour, ""
        self.pending = Noun("")
        change = self._wearer()
        if taken:
            change.bare = True
        else:
            change.worn = Accessory(kind=str(word.value), colour=colour)
            self.dressed = self.at, change

    def _wearer(self) -> Change:
        """Who wears what was just named: the subject it is put on, the one named before, or the focus."""
        if self._next_is("locative", "from") or self._next_text() in _ONTO:
            ahead = next_subject(self.words, self.at + 1, NOUN_WORDS)
            if ahead is not None:
                self.at += 1
                return self.pending.change
        if self._next_text() in _ON_IT:
            self.at += 1
            self.clause.pronoun = max(self.clause.pronoun, 1)
        elif self.target is not None:
            self.target.predicated = True
            return self.target.change
        return self.clause.change

    def _is_of_worn(self) -> bool:
        """Whether the colour that was just read is of something worn: "a red hat"."""
        at = self.at
        while at < len(self.words) and self.words[at].kind in ("size", "tint", "filler", "undrawable"):
            at += 1
        return at < len(self.words) and self.words[at].kind == "worn"

    def _dyes_worn(self) -> bool:
        """Whether it follows something worn: "a hat that is red", "make the bow blue"."""
        at, _ = self.dressed
        between = self.words[at : self.at - 1]
        return at > 0 and all(w.kind in ("filler", "into") or w.text in ("is", "that", "to") for w in between)

    def _modifier(self, word: Lexeme) -> None:
        if self._is_of_worn():
            self.colour = str(word.value) if word.kind == "tint" else self.colour
            return
        if word.kind == "tint" and word.value and self._dyes_worn():
            change = self.dressed[1]
            assert change.worn is not None
            change.worn = change.worn.model_copy(update={"colour": str(word.value)})
            return
        change = self._place_for(word)
        if word.kind == "tint" and change.tint and self._tells_apart(change):
            self.target.look, change.tint = change.tint, None  # type: ignore[union-attr]
        if word.kind == "tint" and change.tint not in (None, word.value):
            self.clause.questions.append(f"A subject has one colour: {change.tint} or {word.value}?")
        if word.kind == "size":
            change.size = word.value  # type: ignore[assignment]
        elif word.kind == "resize":
            change.resize = int(word.value)
        elif word.kind == "tint":
            change.tint = str(word.value)
        else:
            change.position = word.value  # type: ignore[assignment]

    def _tells_apart(self, change: Change) -> bool:
        """ "the blue fox" is told by its colour, and what follows changes it."""
        return self.target is not None and self.target.change is change and self.target.known == "the"

    def _place_for(self, word: Lexeme) -> Change:
        """The change that a modifier belongs to: the subject ahead, the subject just named, or the focus."""
        through = NOUN_WORDS if word.kind == "position" else _BEFORE_NOUN
        ahead = next_subject(self.words, self.at, through) is not None
        if ahead and (word.kind != "position" or self.target is None or self._after_separator()):
            return self.pending.change
        if self.target is not None:
            self.target.predicated = True
            return self.target.change
        if word.kind != "position" and self._list_leads_to_subject():
            return self.pending.change
        return self.clause.change

    def _after_separator(self) -> bool:
        return self.at >= 2 and self.words[self.at - 2].kind in ("and", "comma", "with")

    def _list_leads_to_subject(self) -> bool:
        """ "a red and large cat": modifiers joined by "and" or a comma before their subject."""
        return not self.clause.verbs & {"make", "turn"} and next_subject(self.words, self.at, _IN_LIST) is not None

    def _relation(self, word: Lexeme) -> None:
        self._relate(word.value)  # type: ignore[arg-type]

    def _near(self, word: Lexeme) -> None:
        self._relate("left of")
        self.clause.notices.append(
            f"The painter knows left of, right of, above and below; I read {word.text!r} as left of."
        )

    def _relate(self, kind: RelationKind) -> None:
        first = len(self.clause.nouns) - 1
        if self.at < len(self.words) and self.words[self.at].kind == "pronoun":
            self.at += 1
            self._relate_to_pronoun(kind, first)
            return
        focus_first = first < 0 and bool(self.clause.pronoun)
        self.link = (kind, FOCUS if focus_first else first if first >= 0 else None)

    def _relate_to_pronoun(self, kind: RelationKind, first: int) -> None:
        """ "a rocket above it": it is the noun before, else what the conversation is about."""
        if first >= 0:
            self.clause.links.append((first, kind, first - 1 if first else FOCUS))
        else:
            self.link = (kind, None)
        if first <= 0:
            self.clause.pronoun = 1

    def _side(self, word: Lexeme) -> None:
        self._relate_to_pronoun(word.value, len(self.clause.nouns) - 1)  # type: ignore[arg-type]

    def _hidden(self, word: Lexeme) -> None:
        self.clause.questions.append(
            f"I cannot draw {word.text!r}; I can place things left of, right of, above or below each other. Which one?"
        )

    def _locative(self, word: Lexeme) -> None:
        """ "on a horse" and "in a box": places known to the painter were told apart before."""
        if next_subject(self.words, self.at, NOUN_WORDS) is None:
            return
        if word.text in ("on", "onto"):
            self._relate("above")
            self.clause.notices.append(f"The painter sets things apart; I read {word.text!r} as above.")
        else:
            self._hidden(word)

    def _next_is(self, *kinds: Kind) -> bool:
        return self.at < len(self.words) and self.words[self.at].kind in kinds

    def _next_text(self) -> str:
        return self.words[self.at].text if self.at < len(self.words) else ""
