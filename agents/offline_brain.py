"""The offline brain: English instructions read by rules, over the painter's vocabulary.

No model and no network. The same words in the same conversation always give the same Instruction;
what the rules cannot read is asked about by name, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chatdit.agents.anaphora import Context, Known, context_of
from chatdit.agents.answers import with_open_question
from chatdit.agents.borrowed_looks import without_borrowed_looks
from chatdit.agents.brain import MAX_PICTURES, Painter, Request, check_length
from chatdit.agents.clause_reader import read_clause
from chatdit.agents.clauses import Clause
from chatdit.agents.drafts import DEFAULT_BACKGROUND, Draft, can_draw, fit, output_of, same_picture
from chatdit.agents.instruction import Instruction, OutputSpec
from chatdit.agents.lexer import Lexeme, lex
from chatdit.agents.open_vocabulary import describe_freely
from chatdit.agents.picture_works import plan_work, split_off_work
from chatdit.agents.plan import Plan
from chatdit.agents.planner import plan_instruction
from chatdit.agents.scene_editor import Built
from chatdit.agents.scene_edits import amend, build
from chatdit.agents.segments import Segment, has_content, split_pictures
from chatdit.agents.side_remarks import without_side_remarks
from chatdit.agents.unknown_words import left_out, questions_about
from chatdit.agents.work_grammar import WorkRequest
from chatdit.tools.pocket.vocabulary import BACKGROUNDS
from chatdit.tools.types import Problem


class OfflineBrain:
    """Deterministic parser and planner; the fall-back of every other brain."""

    name = "offline"

    def parse(self, request: Request) -> Instruction:
        """What `request` asks for.

        Raises:
            InstructionError: the text is longer than MAX_TEXT characters.
        """
        check_length(request.text)
        borrowed = without_borrowed_looks(request)
        read = self._parsed(borrowed.request)
        notices = [f"Of image {number} I take nothing but the look that you name." for number in borrowed.lenders]
        return read.model_copy(update={"notices": (*read.notices, *notices)}) if notices else read

    def _parsed(self, request: Request) -> Instruction:
        text, work = split_off_work(request.text)
        worked = _Parse(replace(request, text=text)).worked(work) if work is not None else None
        return worked or _Parse(request).instruction()

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        """The default plan; it follows from the instruction alone, so `problems` cannot change it."""
        return plan_instruction(instruction, painter, seed)


class _Parse:
    """One message being read; collects outputs, questions and notices in order."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.open_vocabulary = request.painter.open_vocabulary
        self.lexemes = _without_masks(with_open_question(request.text, request.history), request)
        self.context = context_of(request, [_described(given.description) for given in request.inputs])
        self.outputs: list[OutputSpec] = []
        self.questions: list[str] = []
        self.notices: list[str] = []
        self.kept: list[str] = []
        self.unknown: list[str] = []
        self.left_out: list[str] = []
        if not self.open_vocabulary:
            self.lexemes, self.left_out = without_side_remarks(self.lexemes)
        self.new_seed = False
        self.default_place = False

    def instruction(self) -> Instruction:
        self._read_segments()
        self._use_attachments()
        if not self.open_vocabulary:
            self.questions += questions_about(self.unknown, self.lexemes)
            self.notices += left_out(self.left_out)
        if not self.outputs and not self.questions:
            self.questions.append("What should I draw? Name one or two subjects, for example a cat or a rocket.")
        if self.default_place and not self.questions:
            self.notices.append(f"You named no place, so I draw it {BACKGROUNDS[DEFAULT_BACKGROUND].phrase}.")
        agree = any(name.startswith("output_") for output in self.outputs for name in output.references)
        return Instruction(
            inputs=tuple(self.context.inputs),
            outputs=tuple(self.outputs),
            keep=tuple(dict.fromkeys(self.kept)),
            same_identity=agree,
            new_seed=self.new_seed,
            questions=tuple(dict.fromkeys(self.questions)),
            notices=tuple(dict.fromkeys(self.notices)),
        )

    def worked(self, request: WorkRequest) -> Instruction | None:
        """The instruction to draw what the words ask for, if anything, and then to do `request`; None if it is none."""
        drawn = self.instruction() if self.lexemes else Instruction(inputs=tuple(self.context.inputs))
        if drawn.questions:
            return drawn
        work = plan_work(request, self.context, self.outputs)
        if work is None:
            return None
        if isinstance(work, str):
            return drawn.model_copy(update={"questions": (work,), "outputs": ()})
        changed = {"inputs": tuple(self.context.inputs), "outputs": (*drawn.outputs, *work.gives), "works": (work,)}
        return drawn.model_copy(update=changed)

    def _read_segments(self) -> None:
        known = len(self.context.past) + len(self.context.attached)
        segments = split_pictures(self.lexemes, known, MAX_PICTURES)
        self.questions += segments.questions
        self.notices += segments.notices
        if len(segments.items) > MAX_PICTURES:
            self.questions.append(
                f"That is {len(segments.items)} pictures; I draw at most {MAX_PICTURES} at a time. Which?"
            )
            return
        for segment in segments.items:
            self._read_segment(segment)

    def _read_segment(self, segment: Segment) -> None:
        clauses = [read_clause(words) for words in _sentences(segment.lexemes)]
        for clause in clauses:
            self._note(clause)
        for context in self._contexts(clauses):
            self._read_clauses(clauses, segment, context)

    def _contexts(self, clauses: Sequence[Clause]) -> list[Context]:
        """Where the clauses apply: "make both blue" after two pictures means each of them."""
        context = self.context
        drawn = [known for known in context.past if known.number in context.last_turn]
        of_all = bool(clauses) and clauses[0].speaks_of_all and clauses[0].is_edit
        if len(drawn) < 2 or not of_all or context.outputs or context.attached:
            return [context]
        return [replace(context, past=[known], outputs=[]) for known in drawn]

    def _read_clauses(self, clauses: Sequence[Clause], segment: Segment, context: Context) -> None:
        built: Built | None = None
        unknown = [word for clause in clauses for word in clause.unknown]
        for clause in clauses:
            if built is None:
                built = build(clause, context, same_subjects=segment.repeats)
            else:
                built = amend(clause, built, context)
        if built is None:
            return
        free = bool(self.open_vocabulary and (unknown or self.left_out))
        if unknown and not built.draft.elements:
            built.questions = []
        if unknown:
            built.base = None
        self._finish(built, segment, free)

    def _note(self, clause: Clause) -> None:
        self.unknown += clause.unknown
        self.left_out += clause.left_out
        self.kept += clause.kept
        self.new_seed = self.new_seed or clause.is_again

    def _finish(self, built: Built, segment: Segment, free: bool) -> None:
        """Fits the draft to the painter and records it as the next output."""
        joins = built.edited and built.base is not None and len(built.base.elements) == 1
        fitted = fit(built.draft, has_reference=bool(built.sources or self.context.attached), joins=joins)
        questions = [*built.questions, *(fitted.questions if built.draft.elements else ())]
        self.notices += [*built.notices, *fitted.notices]
        if free:
            self._record(fitted.draft, built, describe_freely(segment.lexemes, built))
            return
        if built.base is not None and not questions and not built.ways and same_picture(fitted.draft, built.base):
            questions.append("That would change nothing in the picture. What should change?")
        self.questions += questions
        if built.draft.elements and not questions:
            self._record(fitted.draft, built, None)

    def _record(self, draft: Draft, built: Built, description: str | None) -> None:
        if draft.background is None and description is None:
            self.default_place = True
        references = [self.context.refer(known, role) for known, role in built.sources]
        output = output_of(draft, len(self.outputs) + 1, references, description)
        told = description is None and not self.open_vocabulary and all(known.shows for known, _ in built.sources)
        if told and all(can_draw(element.subject) for element in draft.elements):
            output = output.model_copy(update={"told": True})
        if built.edited and built.sources:
            self.kept.append("everything else")
            output = output.model_copy(update={"ways": built.ways})
        self.outputs.append(output)
        drawn = Draft(output.elements, draft.relation, output.background, output.style)
        self.context.outputs.append(Known("output", output.id, drawn, shows=output if output.told else None))

    def _use_attachments(self) -> None:
        """Pictures attached but not mentioned are references for the first output, and the person is told."""
        used = {name for output in self.outputs for name in output.references}
        unused = [known.name for known in self.context.attached if known.name not in used]
        if not unused or not self.outputs:
            return
        first = self.outputs[0]
        subjects = " and the ".join(first.subjects) or "subject"
        # the look that they lend stands in no caption
        self.outputs[0] = first.model_copy(update={"references": (*first.references, *unused), "told": False})
        names = ", ".join(name.replace("input_", "image ") for name in unused)
        self.notices.append(f"You did not say what {names} is for; I use it as the look of the {subjects}.")


def _without_masks(lexemes: Sequence[Lexeme], request: Request) -> list[Lexeme]:
    """The words without numbers of attached masks, which show nothing: "image 2 is the mask"."""
    masks = {number for number, given in enumerate(request.inputs, start=1) if given.role == "mask"}
    return [w for w in lexemes if not (w.kind == "picture_number" and w.text[:1] != "#" and int(w.value) in masks)]


def _sentences(lexemes: Sequence[Lexeme]) -> list[list[Lexeme]]:
    sentences: list[list[Lexeme]] = [[]]
    for lexeme in lexemes:
        if lexeme.kind == "stop":
            sentences.append([])
        else:
            sentences[-1].append(lexeme)
    return [words for words in sentences if has_content(words)]


def _described(description: str) -> Draft:
    """What an attached picture shows, when its description is one the rules can read."""
    words = lex(description[:400])
    if not words or any(word.kind in ("unknown", "colour") for word in words):
        return Draft()
    clause = read_clause(words)
    return build(clause, Context([], [])).draft if clause.nouns and not clause.is_edit else Draft()
