"""One sentence of one picture, read from left to right into a `Clause`.

The noun phrases are read by `NounReader`; here are the verbs that say what becomes of them, and
the words that point to other pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

from chatdit.agents.clauses import Clause, Noun
from chatdit.agents.lexer import Lexeme, next_subject
from chatdit.agents.lexicon import Kind
from chatdit.agents.noun_reader import NOUN_WORDS, NounReader


def read_clause(lexemes: Sequence[Lexeme]) -> Clause:
    """The meaning of one sentence, without looking at the conversation."""
    return _ClauseReader(list(lexemes)).read()


def _ends_kept(word: Lexeme) -> bool:
    verbs = ("make", "add", "put", "turn", "draw", "remove", "replace")
    return word.kind in ("comma", "and", "stop", *verbs) or word.text == "but"


class _ClauseReader(NounReader):
    def __init__(self, lexemes: list[Lexeme]) -> None:
        super().__init__(lexemes)
        self.actions |= {
            "same": self._same, "remove": self._remove, "gone": self._gone, "replace": self._replace,
            "swap": self._swap_places, "instead_of": self._instead_of, "with": self._with, "into": self._into,
            "and": self._and, "comma": self._comma, "pronoun": self._pronoun, "deictic": self._deictic,
            "attached": self._picture, "picture_number": self._picture, "ordinal": self._ordinal,
            "picture": self._picture_word, "aspect": self._aspect, "keep": self._keep, "each": self._everything,
            "background": lambda w: self.clause.backgrounds.append(str(w.value)),
            "style": lambda w: self.clause.styles.append(str(w.value)),
            "undrawable": lambda w: self.clause.left_out.append(w.text), "colour": self._colour,
            "negation": lambda w: self.clause.unknown.append(w.text),
            "or": self._or, "unknown": self._unknown, "way": self._way,
            **dict.fromkeys(("draw", "make", "put", "turn", "add", "again", "instead", "only"), self._verb),
        }  # fmt: skip

    def read(self) -> Clause:
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            action = self.actions.get(word.kind)
            if action is not None:
                action(word)
        self._finish()
        return self.clause

    def _deictic(self, word: Lexeme) -> None:
        if next_subject(self.words, self.at) is not None:
            self.pending.known = "the"
            self.pending.picture = word
        else:
            self.clause.picture = word

    def _same(self, _: Lexeme) -> None:
        if next_subject(self.words, self.at, NOUN_WORDS) is not None:
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

    def _verb(self, word: Lexeme) -> None:
        if word.kind == "draw" and self.clause.nouns:
            return
        self.clause.verbs.add(word.kind)
        if word.kind not in ("instead", "again", "only") and self.slot != "new":
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

    def _swap_places(self, _: Lexeme) -> None:
        """ "switch places", "put the fox on the other side"."""
        self.clause.verbs |= {"make", "replace"}
        self.clause.pronoun = max(self.clause.pronoun, 2 * (len(self.clause.nouns) < 2))

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

    def _picture(self, word: Lexeme, length: int = 1) -> None:
        """A picture that is pointed to by the last `length` words."""
        before = self.words[self.at - length - 1].kind if self.at > length else None
        follows_place = before in ("from", "locative", "filler", "definite")
        if self.clause.aspects and self.clause.aspects[-1] in ("style", "layout"):
            self.clause.models.append((word, "style" if self.clause.aspects.pop() == "style" else "layout"))
        elif self.at >= 3 and self.words[self.at - 3].text in ("as", "like") and self._previous_is("locative"):
            self.clause.models.append((word, "layout"))
        elif self.target is not None and follows_place:
            self.target.picture = word
        else:
            self.clause.picture = word

    def _previous_is(self, kind: Kind) -> bool:
        return self.words[self.at - 2].kind == kind

    def _ordinal(self, word: Lexeme) -> None:
        following = self.words[self.at] if self.at < len(self.words) else None
        named = following is not None and (following.kind == "picture" or following.value == 1)
        ends = self._ends_with_picture(following)
        if named:
            self.at += 1
        if named or ends:
            self._picture(word, 2 if named else 1)
            self.pending = Noun("")
        elif next_subject(self.words, self.at) is not None and word.value != 1:
            self.clause.unknown.append(word.text)

    def _ends_with_picture(self, following: Lexeme | None) -> bool:
        """ "the pig in the first": the picture is left unsaid."""
        before = [w.kind for w in self.words[max(0, self.at - 3) : self.at - 1]]
        ends = following is None or following.kind in ("stop", "comma")
        return ends and self.target is not None and before in (["locative", "definite"], ["filler", "definite"])

    def _picture_word(self, _: Lexeme) -> None:
        self.pending = Noun("")

    def _aspect(self, word: Lexeme) -> None:
        lends = self.at >= 2 and self.words[self.at - 2].text == "as" and word.value in ("style", "layout")
        if lends and self.clause.picture is not None:
            self.clause.models.append((self.clause.picture, "style" if word.value == "style" else "layout"))
            self.clause.picture = None
        else:
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

    def _way(self, word: Lexeme) -> None:
        self.clause.ways.append("upright" if word.value == "upright" else "afresh")

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
            change.size, change.tint = left.size or change.size, change.tint if left.tint is None else left.tint
            change.resize, change.position = left.resize or change.resize, left.position or change.position
            change.worn, change.bare = left.worn or change.worn, left.bare or change.bare
        if self.clause.is_only:
            self.clause.verbs.discard("instead")
        if "instead" in self.clause.verbs and self._is_new_alone():
            self.clause.replaced.append((None, self.clause.nouns.pop()))
        if self.slot in ("old", "new") and not self.clause.replaced:
            what = self.old.subject if self.old else "it"
            self.clause.questions.append(f"What should take the place of {what}?")

    def _is_new_alone(self) -> bool:
        """ "a dog instead": one new thing and no word of what it stands for."""
        clause = self.clause
        done = clause.replaced or clause.removed or clause.links or clause.pronoun or "add" in clause.verbs
        return len(clause.nouns) == 1 and clause.nouns[0].known == "new" and not done
