"""One sentence of one picture, read from left to right into a `Clause`.

Modifiers before a subject belong to it ("a small red cat"), modifiers after it too ("the cat,
bigger, on the left"); with no subject at hand they change whatever the conversation is about
("make it bigger").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from chatdit.agents.clauses import FOCUS, Change, Clause, Noun
from chatdit.agents.instruction import RelationKind
from chatdit.agents.lexer import Lexeme, next_subject
from chatdit.agents.lexicon import Kind

_NOUN_WORDS: frozenset[Kind] = frozenset(
    ("article", "definite", "same", "another", "number", "vague", "size", "tint", "resize", "undrawable", "filler")
)
_IN_LIST: frozenset[Kind] = frozenset(("size", "tint", "and", "comma", "filler", "undrawable"))
_BEFORE_NOUN: frozenset[Kind] = frozenset(("size", "tint", "resize", "undrawable", "filler", "colour"))
Slot = Literal["scene", "removed", "old", "new", "old_place"]


def read_clause(lexemes: Sequence[Lexeme]) -> Clause:
    """The meaning of one sentence, without looking at the conversation."""
    return _Reader(list(lexemes)).read()


def _ends_kept(word: Lexeme) -> bool:
    verbs = ("make", "add", "put", "turn", "draw", "remove", "replace")
    return word.kind in ("comma", "and", "stop", *verbs) or word.text == "but"


class _Reader:
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
        self.actions: dict[Kind, Callable[[Lexeme], None]] = {
            "subject": self._subject, "article": self._article, "definite": self._definite, "same": self._same,
            "another": self._another, "number": self._number, "vague": self._vague, "size": self._modifier,
            "resize": self._modifier, "tint": self._modifier, "position": self._modifier,
            "background": lambda w: self.clause.backgrounds.append(str(w.value)),
            "style": lambda w: self.clause.styles.append(str(w.value)),
            "relation": self._relation, "near": self._near, "side": self._side, "hidden": self._hidden,
            "locative": self._locative,
            "remove": self._remove, "gone": self._gone, "replace": self._replace, "instead_of": self._instead_of,
            "with": self._with, "into": self._into, "and": self._and, "comma": self._comma,
            "pronoun": self._pronoun, "deictic": self._deictic, "attached": self._picture,
            "picture_number": self._picture, "ordinal": self._ordinal, "picture": self._picture_word,
            "aspect": self._aspect, "keep": self._keep, "each": self._everything,
            "undrawable": lambda w: self.clause.left_out.append(w.text), "colour": self._colour,
            "negation": lambda w: self.clause.unknown.append(w.text),
            "or": self._or, "unknown": self._unknown,
        }  # fmt: skip
        for verb in ("draw", "make", "put", "turn", "add", "again", "instead", "only"):
            self.actions[verb] = self._verb

    def read(self) -> Clause:
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            action = self.actions.get(word.kind)
            if action is not None:
                action(word)
        self._finish()
        return self.clause

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

    def _deictic(self, word: Lexeme) -> None:
        if next_subject(self.words, self.at) is not None:
            self.pending.known = "the"
            self.pending.picture = word
        else:
            self.clause.picture = word

    def _same(self, _: Lexeme) -> None:
        if next_subject(self.words, self.at, _NOUN_WORDS) is not None:
            self.pending.known = "same"
            return
        following = self.words[self.at] if self.at < len(self.words) else None
        if following is not None and (following.kind == "aspect" or following.text in ("background", "style", "place")):
            self.clause.same_aspects.append(following.text)
            self.at += 1
        elif following is not None and following.kind in ("background", "style"):
            return
        else:
            self.clause.same_picture = True

    def _another(self, _: Lexeme) -> None:
        self.pending.known = "another"

    def _number(self, word: Lexeme) -> None:
        if next_subject(self.words, self.at, _NOUN_WORDS) is not None:
            self.pending.count = int(word.value)
        elif not (word.value == 1 or word.text == "both"):
            self.clause.unknown.append(word.text)

    def _vague(self, word: Lexeme) -> None:
        following = next_subject(self.words, self.at, _NOUN_WORDS)
        if following is not None and self.words[following].plural:
            self.pending.count, self.pending.vague = int(word.value), True

    def _modifier(self, word: Lexeme) -> None:
        change = self._place_for(word)
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

    def _place_for(self, word: Lexeme) -> Change:
        """The change that a modifier belongs to: the subject ahead, the subject just named, or the focus."""
        through = _NOUN_WORDS if word.kind == "position" else _BEFORE_NOUN
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
        if next_subject(self.words, self.at, _NOUN_WORDS) is None:
            return
        if word.text in ("on", "onto"):
            self._relate("above")
            self.clause.notices.append(f"The painter sets things apart; I read {word.text!r} as above.")
        else:
            self._hidden(word)

    def _verb(self, word: Lexeme) -> None:
        if word.kind == "draw" and self.clause.nouns:
            return
        self.clause.verbs.add(word.kind)
        if word.kind not in ("instead", "again", "only"):
            self.slot = "scene"

    def _remove(self, _: Lexeme) -> None:
        self.slot = "removed"

    def _gone(self, _: Lexeme) -> None:
        """What was named last has left: "the rocket has left", "the cat and the rocket are gone"."""
        if not self.clause.nouns:
            self.clause.focus_gone = True
            return
        self.clause.verbs.add("gone")
        self.clause.removed.append(self.clause.nouns.pop())
        while self.clause.nouns and self._joined_before_gone():
            self.clause.removed.append(self.clause.nouns.pop())
        self.target = None

    def _joined_before_gone(self) -> bool:
        named = [w for w in self.words[: self.at] if w.kind in ("subject", "and", "comma", "background")]
        return (
            len(named) >= 3 and named[-2].kind == "and" and named[-3].kind == "subject" and not self.clause.removed[1:]
        )

    def _replace(self, word: Lexeme) -> None:
        self.clause.verbs.add(word.kind)
        self.slot = "old"

    def _instead_of(self, _: Lexeme) -> None:
        self.slot = "old_place"

    def _with(self, _: Lexeme) -> None:
        if self.slot == "old":
            self._to_new()
            return
        self.slot = "scene"
        self.with_seen = True

    def _into(self, _: Lexeme) -> None:
        if self.slot == "old":
            self._to_new()

    def _to_new(self) -> None:
        self.slot = "new"
        self.target = None

    def _and(self, _: Lexeme) -> None:
        if self.slot == "old" and self.old is not None:
            self._swap()

    def _swap(self) -> None:
        """ "swap the cat and the rocket": both stay and their relation turns round."""
        if self.old is not None:
            self.clause.nouns.append(self.old)
        self.clause.verbs.add("make")
        self.old, self.slot = None, "scene"

    def _comma(self, _: Lexeme) -> None:
        if self.slot == "removed":
            self.slot = "scene"

    def _pronoun(self, word: Lexeme) -> None:
        if self.slot == "old" and word.value == 2:
            self._swap()
            self.clause.pronoun = 2
        elif self.slot == "old":
            self.old = None
            self.clause.pronoun = max(self.clause.pronoun, int(word.value))
        elif self.slot == "removed":
            self.clause.focus_gone = True
            self.clause.pronoun = int(word.value)
        elif self.clause.nouns:
            self.clause.everything = self.clause.everything or word.value == 2
        else:
            self.clause.pronoun = max(self.clause.pronoun, int(word.value))

    def _picture(self, word: Lexeme) -> None:
        follows_place = self.at >= 2 and self.words[self.at - 2].kind in ("from", "locative", "filler", "definite")
        if self.clause.aspects and self.clause.aspects[-1] in ("style", "layout"):
            self.clause.models.append((word, "style" if self.clause.aspects.pop() == "style" else "layout"))
        elif self.target is not None and follows_place:
            self.target.picture = word
        else:
            self.clause.picture = word

    def _ordinal(self, word: Lexeme) -> None:
        following = self.words[self.at] if self.at < len(self.words) else None
        named = following is not None and (following.kind == "picture" or following.value == 1)
        if named:
            self.at += 1
            self._picture(word)
            self.pending = Noun("")
        elif next_subject(self.words, self.at) is not None and word.value != 1:
            self.clause.unknown.append(word.text)

    def _picture_word(self, _: Lexeme) -> None:
        self.pending = Noun("")

    def _aspect(self, word: Lexeme) -> None:
        self.clause.aspects.append(str(word.value))

    def _keep(self, word: Lexeme) -> None:
        """ "keep the background": the words after it, up to a comma or a new verb, say what stays."""
        kept = []
        while self.at < len(self.words) and not _ends_kept(self.words[self.at]):
            kept.append(self.words[self.at].text)
            self.at += 1
        self.clause.kept.append(" ".join(kept) or "everything")
        self.clause.verbs.add(word.kind)

    def _everything(self, _: Lexeme) -> None:
        self.clause.everything = True

    def _colour(self, word: Lexeme) -> None:
        self.clause.unknown.append(word.text)

    def _or(self, _: Lexeme) -> None:
        self.clause.questions.append("I draw exactly what is asked: which side of the 'or' do you want?")

    def _unknown(self, word: Lexeme) -> None:
        self.clause.unknown.append(word.text)
        self.pending = Noun("")

    def _finish(self) -> None:
        """Modifiers and words that still wait for a subject belong to the one named last, or to the focus."""
        left = self.pending.change
        if left:
            change = self.target.change if self.target else self.clause.change
            change.size, change.tint = left.size or change.size, left.tint or change.tint
            change.resize, change.position = left.resize or change.resize, left.position or change.position
        if self.slot in ("old", "new") and not self.clause.replaced:
            what = self.old.subject if self.old else "it"
            self.clause.questions.append(f"What should take the place of {what}?")
