"""The changes that one clause makes to one draft."""

from __future__ import annotations

from dataclasses import dataclass, field

from chatdit.agents.anaphora import Context, Known
from chatdit.agents.clauses import FOCUS, Change, Clause, Noun
from chatdit.agents.drafts import OPPOSITE, Draft, too_many
from chatdit.agents.instruction import Accessory, Element, RelationKind
from chatdit.tools.edit import EditWay
from chatdit.tools.pocket.vocabulary import SIZES, TINTS
from chatdit.tools.types import Role


@dataclass
class Built:
    """A draft, the pictures it comes from, and what to say about it."""

    draft: Draft
    sources: list[tuple[Known, Role]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    edited: bool = False
    base: Draft | None = None
    """The draft before an edit that must change it; None for new pictures and for another try."""
    ways: tuple[EditWay, ...] = ()
    """How a picture is changed, where no draft says that."""


class SceneEditor:
    """Applies one clause to one draft, in the order: replace, remove, name, change, place."""

    def __init__(self, clause: Clause, base: Draft, context: Context, built: Built) -> None:
        self.clause, self.base, self.context, self.built = clause, base, context, built
        self.elements = list(base.elements)
        self.relation: RelationKind | None = base.relation
        self.noun_at: dict[int, int] = {}

    def apply(self) -> Built:
        unnamed = [noun for noun in self.clause.mentions if not noun.subject]
        if not all([self._name_by_look(noun) for noun in unnamed]):
            return self.built
        self._replace()
        self._remove()
        for index, noun in enumerate(self.clause.nouns):
            self.noun_at[index] = self._name(noun)
        self._change_focus()
        self._relate()
        draft = Draft(tuple(self.elements), self.relation, self._background(), self._style())
        self.built.notices += self.clause.notices
        self.built.questions += self.clause.questions
        self.built.draft = draft
        self.built.ways = tuple(dict.fromkeys((*self.built.ways, *self.clause.ways)))
        return self.built

    def _name_by_look(self, noun: Noun) -> bool:
        """ "the red one" is the thing of that colour, "the small one" that of that size."""
        look, size = noun.look or noun.change.tint, noun.change.size
        alike = [e for e in self.elements if (not look or e.tint == look) and (not size or e.size == size)]
        if len(alike) == 1:
            noun.subject, noun.look = alike[0].subject, alike[0].tint
        elif self.elements:
            self._ask_which("take")
        else:
            self.built.questions.append("I do not know which one you mean. What should I draw?")
        return bool(noun.subject)

    def _replace(self) -> None:
        for old, new in self.clause.replaced:
            if len(self.elements) == 1 and old is None:
                at: int | None = 0
            elif old is None:
                self._ask_which("replace")
                continue
            else:
                at = self._index(old)
            if at is None:
                self._say_absent(old)
                self._name(new)
                continue
            before = self.elements[at]
            kept = Element(subject=new.subject)
            if new.picture is not None:
                kept = self._from_picture(new, kept)
            kept = kept.model_copy(update={"size": before.size, "position": before.position})
            same = before.subject == new.subject
            self.elements[at] = self._changed(before if same else kept, new.change, new.count)

    def _say_absent(self, noun: Noun | None) -> None:
        if noun is not None:
            self.built.notices.append(f"There was no {noun.subject} in that picture.")

    def _remove(self) -> None:
        if self.clause.focus_gone:
            if len(self.elements) > 1 and self.clause.pronoun != 2:
                self._ask_which("remove")
                return
            self.elements = []
        for noun in self.clause.removed:
            at = self._index(noun)
            if at is None and self.base.elements:
                self._say_absent(noun)
            elif at is not None:
                self._take_away(at, noun)
        if self.base.elements and not self.elements and not self.clause.nouns:
            self.built.questions.append("Nothing would be left in the picture. What should I draw instead?")

    def _take_away(self, at: int, noun: Noun) -> None:
        element = self.elements[at]
        fewer = element.count - (noun.count or 1) if noun.count or noun.known == "new" else 0
        if element.count > 1 and fewer > 0:
            self.elements[at] = element.model_copy(update={"count": fewer})
        else:
            del self.elements[at]
            self.relation = None

    def _name(self, noun: Noun) -> int:
        """Puts a named thing into the draft, or finds it there; returns its index."""
        at = self._index(noun)
        if at is not None and (noun.known in ("the", "same") or (noun.with_before and noun.count)):
            self.elements[at] = self._changed(self.elements[at], noun.change, noun.count)
            return at
        if at is not None and self._counts_on(noun, self.elements[at]):
            more = self.elements[at].count + (noun.count or 1)
            self.elements[at] = self._changed(self.elements[at], noun.change, min(more, 12))
            return at
        self.elements.append(self._carried(noun))
        return len(self.elements) - 1

    def _counts_on(self, noun: Noun, there: Element) -> bool:
        """ "a cat and another cat" are two cats, unless their looks or places tell them apart."""
        change = noun.change
        apart = (change.tint and change.tint != there.tint) or (change.size and change.size != there.size)
        return not apart and not change.position and not self.clause.links and (noun.known == "another" or self._adds())

    def _adds(self) -> bool:
        return "add" in self.clause.verbs or len(self.clause.nouns) > 1

    def _carried(self, noun: Noun) -> Element:
        plain = Element(subject=noun.subject)
        if noun.vague and noun.count is not None:
            self.built.notices.append(f"You did not say how many; I draw {noun.count}.")
        if noun.picture is not None:
            return self._from_picture(noun, plain)
        if noun.known not in ("the", "same"):
            return self._changed(plain, noun.change, noun.count)
        found = self.context.find(noun)
        if found is None:
            if noun.known == "same" and self.context.focus is not None:
                self.built.notices.append(f"I found no earlier {noun.subject}, so this is a new one.")
            return self._changed(plain, noun.change, noun.count)
        known, element = found
        self._uses(known, "subject")
        return self._changed(element.model_copy(update={"position": None}), noun.change, noun.count)

    def _from_picture(self, noun: Noun, plain: Element) -> Element:
        known = self.context.resolve(noun.picture) if noun.picture else "Which picture?"
        if isinstance(known, str):
            self.built.questions.append(known)
            return plain
        there = next((e for e in known.draft.elements if e.subject == noun.subject), None)
        if there is None and known.draft.elements:
            self.built.questions.append(f"I know of no {noun.subject} in {known.name}. What do you mean?")
        self._uses(known, "subject")
        return self._changed((there or plain).model_copy(update={"position": None}), noun.change, noun.count)

    def _uses(self, known: Known, role: Role) -> None:
        if all(known.name != other.name for other, _ in self.built.sources):
            self.built.sources.append((known, role))

    def _change_focus(self) -> None:
        change = self.clause.change
        if not change:
            return
        whole = self.clause.pronoun == 2 or self.clause.everything
        wearers = [at for at, element in enumerate(self.elements) if _wears(element, change)]
        if len(wearers) == 1 and not whole:
            self.elements[wearers[0]] = self._changed(self.elements[wearers[0]], change, None)
            return
        if len(self.elements) > 1 and not whole and not self.clause.nouns:
            self._ask_which("change")
            return
        self.elements = [self._changed(element, change, None) for element in self.elements]

    def _ask_which(self, verb: str) -> None:
        alike = len({element.subject for element in self.elements}) < len(self.elements)
        names = " or ".join(
            " ".join(filter(None, ("the", element.tint if alike else None, element.subject)))
            for element in self.elements
        )
        self.built.questions.append(f"Which one should I {verb}: {names}?")

    def _changed(self, element: Element, change: Change, count: int | None) -> Element:
        size = change.size or element.size
        if change.resize:
            wanted = SIZES.index(size) + change.resize
            size = SIZES[max(0, min(wanted, len(SIZES) - 1))]
            if wanted not in range(len(SIZES)):
                self.built.notices.append(f"The {element.subject} is already as {size} as the painter can draw it.")
        count = count or change.count or element.count
        if not 1 <= count <= 12:
            self.built.questions.append(too_many(element.subject, count))
        update = {
            "size": size,
            "tint": element.tint if change.tint is None else change.tint or None,
            "position": change.position or element.position,
            "count": max(1, min(count, 12)),
            "worn": None if change.bare else self._worn(element, change),
        }
        return element.model_copy(update=update)

    def _worn(self, element: Element, change: Change) -> Accessory | None:
        """What it wears then; a colour that was not said stays, or is red."""
        if change.worn is None or change.worn.colour:
            return change.worn or element.worn
        kept = element.worn.colour if element.worn and element.worn.kind == change.worn.kind else next(iter(TINTS))
        return change.worn.model_copy(update={"colour": kept})

    def _relate(self) -> None:
        for a, kind, b in self.clause.links:
            first, second = self._linked(a, b), self._linked(b, a)
            if first is None or second is None or first == second:
                self.built.questions.append(f"What stands {kind} what? I see only one thing there.")
                continue
            self.relation = kind if first < second else OPPOSITE[kind]
            for at in (first, second):
                self.elements[at] = self.elements[at].model_copy(update={"position": None})
        both_named = len(self.clause.nouns) == 2 or self.clause.pronoun == 2
        if "replace" in self.clause.verbs and not self.clause.replaced and both_named and len(self.elements) == 2:
            self.relation = OPPOSITE[self.relation or "left of"]

    def _linked(self, noun: int, other: int) -> int | None:
        """The element that one end of a relation means; "it" is the thing that the other end is not."""
        if noun != FOCUS:
            return self.noun_at.get(noun)
        rest = [at for at in range(len(self.elements)) if at != self.noun_at.get(other)]
        return rest[0] if rest else None

    def _index(self, noun: Noun) -> int | None:
        """Where `noun` stands; of several alike it is the one of the colour named."""
        alike = [at for at, element in enumerate(self.elements) if element.subject == noun.subject]
        look = noun.look or noun.change.tint
        return next((at for at in alike if look and self.elements[at].tint == look), alike[0] if alike else None)

    def _background(self) -> str | None:
        named = self.clause.backgrounds
        if len(dict.fromkeys(named)) > 1:
            rest = " and ".join(repr(name) for name in named[1:])
            self.built.notices.append(f"A picture has one background: I took {named[0]!r} and left out {rest}.")
        if not named and "background" in self.clause.aspects and not self.clause.kept:
            self.built.questions.append("Which background do you want?")
        if "the background" in self.clause.same_aspects or "background" in self.clause.same_aspects:
            focus = self.context.focus
            return named[0] if named else focus.draft.background if focus else self.base.background
        return named[0] if named else self.base.background

    def _style(self) -> str | None:
        for word, role in self.clause.models:
            known = self.context.resolve(word)
            if isinstance(known, str):
                self.built.questions.append(known)
                continue
            self._uses(known, role)
            if role == "style" and known.draft.style:
                return known.draft.style
        if len(set(self.clause.styles)) > 1:
            self.built.notices.append(f"A picture has one style: I took {self.clause.styles[0]!r}.")
        if "style" in self.clause.same_aspects and self.context.focus is not None:
            return self.context.focus.draft.style
        return self.clause.styles[0] if self.clause.styles else self.base.style


def _wears(element: Element, change: Change) -> bool:
    """Whether a change of something worn can mean this one: "take off the hat", "make the bow blue"."""
    kind = change.worn.kind if change.worn else None
    return (change.bare or kind is not None) and element.worn is not None and kind in (None, element.worn.kind)
