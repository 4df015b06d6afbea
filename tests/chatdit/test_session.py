"""The Python API: say, look, undo, branch; every picture kept, every refusal one line."""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from chatdit.agents import verifier
from chatdit.agents.brain import EndpointError, InstructionError, Painter, Request
from chatdit.agents.events import Event, NodeFinished, NodeStarted, Parsed, Planned, Responded
from chatdit.agents.instruction import Instruction
from chatdit.agents.offline_brain import OfflineBrain
from chatdit.agents.plan import Plan
from chatdit.config import ConfigError, Settings, change_setting
from chatdit.painter import LazyPainter
from chatdit.replay import replay
from chatdit.session import Session, TurnEnded
from chatdit.session_errors import SessionBusy, SessionError, StoreError
from chatdit.store import SessionStore
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.catalogue import TOOLS
from chatdit.tools.types import Cancelled, Problem, ToolError
from chatdit.workshop import Workshop

MakeSession = Callable[..., Session]
TWO = "a cat on the beach, then a dog on the moon"


@dataclass
class Watched:
    """The offline brain, remembering what it was asked."""

    requests: list[Request] = field(default_factory=list)
    name: str = "offline"

    def parse(self, request: Request) -> Instruction:
        self.requests.append(request)
        return OfflineBrain().parse(request)

    def plan(
        self, instruction: Instruction, problems: Sequence[Problem] = (), *, painter: Painter, seed: int = 0
    ) -> Plan:
        return OfflineBrain().plan(instruction, problems, painter=painter, seed=seed)


def test_send_draws_and_records(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session(seed=7)
    turn = session.send(TWO)
    assert (turn.number, turn.status, turn.seed, turn.text) == (1, "done", 7, TWO)
    assert turn.plan is not None and [node.tool for node in turn.plan.nodes] == ["generate", "generate"]
    first, second = turn.images
    assert (first.number, second.number, first.seed, first.steps) == (1, 2, 7, 2)
    assert first.seed != second.seed
    assert first.path.name == f"0001-generate-{first.image.sha256[:8]}.png"
    assert first.path.parent == session.folder / "images"
    assert (first.width, first.height) == (64, 64)
    assert "#1: a cat on the beach" in turn.reply and "#2: a dog on the moon" in turn.reply
    saved = first.save(tmp_path / "cat.png")
    assert saved.read_bytes() == first.path.read_bytes()
    assert second.save(tmp_path / "cat.png") == tmp_path / "cat-2.png"


def test_every_warning_stands_in_the_reply(new_session: MakeSession) -> None:
    turn = new_session().send("a cat\x07 in the forest")
    assert turn.text == "a cat in the forest"
    assert any("control character" in warning for warning in turn.warnings)
    assert any("does not know: in, forest" in warning for warning in turn.warnings)
    assert all(f"Note: {warning}" in turn.reply for warning in turn.warnings)


def test_a_question_draws_nothing_and_is_part_of_the_conversation(new_session: MakeSession) -> None:
    session = new_session()
    turn = session.send("a glorb")
    assert (turn.status, turn.images) == ("asked", ())
    assert "glorb" in turn.reply and turn.questions
    assert session.history() == (turn,)


def test_stream_reports_in_order_and_ends_with_the_turn(new_session: MakeSession) -> None:
    events = list(new_session().stream(TWO))
    kinds = [type(event) for event in events if isinstance(event, (Parsed, Planned, NodeStarted, NodeFinished))]
    assert kinds == [Parsed, Planned, NodeStarted, NodeFinished, NodeStarted, NodeFinished]
    assert isinstance(events[-2], Responded)
    assert isinstance(events[-1], TurnEnded) and events[-1].turn.status == "done"


def test_a_picture_is_on_disk_when_its_step_is_reported(new_session: MakeSession) -> None:
    session = new_session()
    counts = [len(session.turns()[-1].images) for event in session.stream(TWO) if isinstance(event, NodeFinished)]
    assert counts == [1, 2]


def test_undo_and_redo_move_and_pictures_stay(new_session: MakeSession) -> None:
    brain = Watched()
    session = new_session(brain=brain)
    one, two = session.send("a cat"), session.send("a dog")
    assert session.undo() == two
    assert session.history() == (one,)
    assert session.picture(2).path.is_file()
    assert session.redo() == two and session.history() == (one, two)
    session.undo()
    three = session.send("a fox")
    assert [turn.number for turn in session.history()] == [1, 3]
    assert three.images[0].number == 3, "a number is never used again"
    assert [past.number for past in brain.requests[-1].pictures] == [1], "an undone picture is not referred to"
    with pytest.raises(SessionError, match="nothing to redo"):
        session.redo()
    session.undo()
    session.undo()
    with pytest.raises(SessionError, match="nothing to undo"):
        session.undo()


def test_undo_and_redo_survive_closing(new_session: MakeSession) -> None:
    session = new_session()
    turn = session.send("a cat")
    session.undo()
    session.close()
    again = new_session(resume=session.id)
    assert again.history() == ()
    assert again.redo() == turn


def test_the_brain_hears_of_what_was_said_and_drawn(new_session: MakeSession) -> None:
    brain = Watched()
    session = new_session(brain=brain)
    one = session.send("a cat on the beach")
    two = session.send("the same on the moon")
    request = brain.requests[-1]
    assert [(past.text, past.reply, past.pictures) for past in request.history] == [(one.text, one.reply, (1,))]
    (past,) = request.pictures
    assert (past.number, past.image, past.seed) == (1, one.images[0].image, one.images[0].seed)
    assert past.output.elements[0].subject == "cat"
    assert two.images[0].output.elements[0].subject == "cat"
    assert two.images[0].output.background == "moon"
    assert two.images[0].parents == (1,)


def test_branch_starts_from_a_turn_and_leaves_the_session_alone(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    one, two = session.send("a cat on the beach"), session.send("a dog")
    with session.branch(one) as other:
        assert other.id != session.id and other.history() == (one,)
        mine = other.send("the same on the moon")
        assert mine.images[0].number == 2 and mine.images[0].parents == (1,)
        assert mine.images[0].path.parent == other.folder / "images"
        assert [turn.text for turn in other.history()] == [one.text, mine.text]
        assert other.picture(1) == one.images[0]
    assert session.history() == (one, two)
    origins = {info.id: info.branched_from for info in Session.list(home=tmp_path / "home")}
    assert origins == {session.id: None, other.id: (session.id, 1)}


def test_go_to_an_earlier_turn(new_session: MakeSession) -> None:
    session = new_session()
    one = session.send("a cat")
    session.send("a dog")
    assert session.go_to(1) == one and session.history() == (one,)
    with pytest.raises(SessionError, match="there is no turn 9: there are #1 to #2"):
        session.go_to(9)
    with pytest.raises(SessionError, match="there is no picture #5: there are #1 to #2"):
        session.picture(5)


def test_a_declined_plan_draws_nothing(new_session: MakeSession) -> None:
    session = new_session()
    seen: list[Plan] = []

    def decline(plan: Plan) -> bool:
        seen.append(plan)
        return False

    turn = session.send(TWO, approve=decline)
    assert len(seen) == 1 and len(seen[0].nodes) == 2
    assert (turn.status, turn.images, session.history()) == ("declined", (), ())
    assert session.send(TWO, approve=False).status == "declined"
    assert session.send("a cat", approve=decline).status == "done", "a plan of one step is not asked about"
    assert len(seen) == 1


def test_an_edited_plan_runs_instead(new_session: MakeSession) -> None:
    def only_the_dog(plan: Plan) -> Plan:
        return plan.model_copy(update={"nodes": plan.nodes[1:], "outputs": plan.outputs[1:]})

    turn = new_session().send(TWO, approve=only_the_dog)
    assert [picture.output.description for picture in turn.images] == ["a dog on the moon"]
    assert turn.plan is not None and len(turn.plan.nodes) == 1


def test_a_contact_sheet_is_a_file_and_not_a_picture(new_session: MakeSession) -> None:
    def with_sheet(plan: Plan) -> Plan:
        node = plan.nodes[0]
        return plan.model_copy(
            update={"nodes": (node.model_copy(update={"args": {**node.args, "contact_sheet": True}}), *plan.nodes[1:])}
        )

    session = new_session()
    turn = session.send(TWO, approve=with_sheet)
    (sheet,) = (session.folder / "images").glob("*-contact-sheet-*.png")
    assert f"Contact sheet: {sheet}" in turn.reply
    assert len(turn.images) == 2 and sheet not in {picture.path for picture in turn.images}


@pytest.mark.parametrize(
    ("seed", "size", "words"), [(-1, None, "seed = -1"), (2**63, None, "seed"), (1, (0, 5), "size")]
)
def test_an_unusable_seed_or_size_is_refused(
    new_session: MakeSession, seed: int, size: tuple[int, int] | None, words: str
) -> None:
    session = new_session()
    with pytest.raises(ConfigError, match=words):
        session.send("a cat", seed=seed, size=size)
    assert session.turns() == ()


def test_attached_pictures_become_inputs(new_session: MakeSession, tmp_path: Path) -> None:
    brain = Watched()
    session = new_session(brain=brain)
    path = tmp_path / "red.png"
    Image.new("RGB", (40, 30), "red").save(path)
    one = session.send("a cat on the beach", images=[path, path.read_bytes(), Image.new("RGBA", (9, 9))])
    assert [entry.id for entry in brain.requests[-1].inputs] == ["input_1", "input_2", "input_3"]
    assert one.inputs[0].image == one.inputs[1].image
    session.send("a dog", images=[one.images[0]])
    (entry,) = brain.requests[-1].inputs
    assert (entry.picture, entry.image) == (1, one.images[0].image)


def test_size_steps_and_guidance_reach_the_picture(new_session: MakeSession) -> None:
    session = new_session(steps=1, guidance=1.5)
    (picture,) = session.send("a cat", size=(96, 32)).images
    assert (picture.width, picture.height, picture.steps) == (96, 32, 1)
    session.settings = change_setting(change_setting(session.settings, "size", "32x32"), "steps", 2)
    (picture,) = session.send("a cat").images
    assert (picture.width, picture.height, picture.steps) == (32, 32, 2)


def test_the_same_seed_is_the_same_picture_under_a_new_number(new_session: MakeSession) -> None:
    session = new_session()
    one, two = session.send("a cat", seed=3).images[0], session.send("a cat", seed=3).images[0]
    assert (one.image, one.cached, two.cached, two.number) == (two.image, False, True, 2)
    assert session.send("a cat", seed=4).images[0].image != one.image


def test_try_again_takes_another_seed_even_when_it_is_fixed(new_session: MakeSession) -> None:
    session = new_session(seed=3)
    one, two = session.send("a cat on the beach"), session.send("try again")
    assert two.status == "done"
    assert one.images[0].seed == 3 != two.images[0].seed


def test_out_folder_is_never_clobbered(new_session: MakeSession, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = new_session(out=str(out)).send("a cat", seed=3).images[0]
    first.path.write_bytes(b"something of the person's own")
    other = new_session(out=str(out)).send("a cat", seed=3).images[0]
    assert first.path.read_bytes() == b"something of the person's own"
    assert other.path == first.path.with_name(f"{first.path.stem}-2.png")


@pytest.mark.parametrize(
    ("text", "words"), [("", "is empty"), (" \n", "is empty"), ("\x00\x1b", "2 control"), ("a" * 2**20, "1,048,576")]
)
def test_unusable_words_are_refused_in_one_line(new_session: MakeSession, text: str, words: str) -> None:
    session = new_session()
    with pytest.raises(InstructionError, match=words) as caught:
        session.send(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert session.turns() == ()


def test_unreadable_pictures_are_refused_before_anything_is_recorded(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    (tmp_path / "notes.png").write_text("not a picture")
    for bad in (tmp_path / "notes.png", tmp_path / "absent.png", b"", Image.new("RGB", (0, 5))):
        with pytest.raises(ToolError) as caught:
            session.send("a cat", images=[bad])
        assert "\n" not in str(caught.value)
    with pytest.raises(ToolError, match=r"images=\[\.\.\.\]"):
        session.send("a cat", images=str(tmp_path / "notes.png"))
    assert session.turns() == ()


def test_an_unknown_model_is_a_setting_to_change(new_session: MakeSession) -> None:
    session = new_session()
    session.settings = change_setting(session.settings, "model", "no-such-model")
    session.warm()
    with pytest.raises(ConfigError, match="model = 'no-such-model' cannot be used"):
        session.send("a cat")
    assert session.turns() == ()


def test_closing_the_stream_cancels_and_finish_goes_on(new_session: MakeSession) -> None:
    session = new_session()
    events = session.stream(TWO)
    for event in events:
        if isinstance(event, NodeFinished):
            break
    cast("Iterator[Event]", events).close()  # type: ignore[attr-defined]
    broken = session.pending
    assert broken is not None and broken.status == "cancelled"
    assert [picture.number for picture in broken.images] == [1]
    assert [turn.number for turn in session.history()] == [1], "what was finished is kept and can be spoken of"
    turn = session.finish()
    assert (turn.status, len(turn.images)) == ("done", 2)
    assert session.history() == (turn,)


def test_ctrl_c_passes_through_and_keeps_the_session(new_session: MakeSession) -> None:
    session = new_session()

    def interrupt(plan: Plan) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.send(TWO, approve=interrupt)
    assert session.pending is not None and session.history() == ()
    assert session.finish(approve=True).status == "done"


def test_cancel_from_another_thread(new_session: MakeSession) -> None:
    session = new_session()
    with pytest.raises(Cancelled):
        for event in session.stream(TWO):
            if isinstance(event, NodeStarted):
                threading.Thread(target=session.cancel).start()
    assert session.send("a cat").status == "done"


def test_a_second_send_during_a_turn_is_refused(new_session: MakeSession) -> None:
    session = new_session()
    events = session.stream("a cat")
    next(events)
    with pytest.raises(SessionBusy, match="in the middle of a turn"):
        session.send("a dog")
    with pytest.raises(SessionBusy):
        session.undo()
    assert [event for event in events if isinstance(event, TurnEnded)]
    assert session.undo().text == "a cat"


def test_a_failing_brain_leaves_a_turn_that_can_be_tried_again(new_session: MakeSession) -> None:
    class Failing(Watched):
        def parse(self, request: Request) -> Instruction:
            if not self.requests:
                self.requests.append(request)
                raise ConnectionError("http://127.0.0.1:1 does not answer")
            return super().parse(request)

    session = new_session(brain=Failing())
    with pytest.raises(ConnectionError, match="does not answer"):
        session.send("a cat")
    broken = session.pending
    assert broken is not None and (broken.status, session.history()) == ("failed", ())
    assert "does not answer" in broken.reply
    assert session.finish().status == "done"


def test_a_repaired_picture_keeps_its_number_and_the_seed_it_was_drawn_with(
    new_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([True, False])  # the first picture looks blank
    monkeypatch.setattr(verifier, "is_blank", lambda pixels: next(answers, False))
    session = new_session(seed=5)
    turn = session.send(TWO)
    first, second = turn.images
    assert (first.number, first.seed, second.number) == (1, 6, 2)
    assert len(list((session.folder / "images").iterdir())) == 3, "the blank one stays on the disk"
    context = session._workshop.run_context(ArtifactStore(session.folder / "elsewhere"))
    assert replay(first.path, context, TOOLS).equal


def test_the_language_model_endpoint_is_wired(new_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="has no key"):
        new_session(planner="openai").send("a cat")
    nobody = {"base_url": "http://127.0.0.1:9/v1", "model": "m", "timeout": 2}
    session = new_session(planner="openai", llm=nobody)
    assert session.status.startswith("openai:m")
    turn = session.send("a cat on the beach")
    assert turn.status == "done" and any("127.0.0.1:9" in warning for warning in turn.warnings)
    strict = new_session(planner="openai", llm=nobody | {"fallback": False})
    with pytest.raises(EndpointError):
        strict.send("a cat on the beach")
    assert strict.pending is not None and strict.pending.status == "failed"


def test_the_table_planner_is_wired(new_session: MakeSession) -> None:
    turn = new_session(planner="table").send(TWO)
    assert turn.plan is not None and len(turn.plan.nodes) == 1
    assert turn.brain.startswith("table")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The system refuses to let any file grow beyond `size` bytes, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_line_and_loses_nothing(new_session: MakeSession) -> None:
    session = new_session(seed=5)
    one = session.send("a cat")
    with files_up_to(2000), pytest.raises((StoreError, ToolError), match="full") as caught:
        session.send(TWO)
    assert "\n" not in str(caught.value)
    assert one.images[0].path.is_file() and session.picture(1) == one.images[0]
    session.close()
    again = new_session(resume=session.id)
    assert again.history() == (one,)
    assert again.send(TWO).status == "done"


def test_a_damaged_or_newer_store_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "chatdit.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="damaged"):
        Session(home=tmp_path / "a")
    store = SessionStore(tmp_path / "b")
    with store._db.writing() as db:
        db.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreError, match="update chatdit"):
        Session(home=tmp_path / "b")
    (tmp_path / "c").write_text("a file where a folder should be")
    with pytest.raises(StoreError, match="cannot write"):
        Session(home=tmp_path / "c")


def test_keywords_change_what_a_given_workshop_has(painter: LazyPainter, painter_folder: Path, tmp_path: Path) -> None:
    workshop = Workshop(Settings(model=str(painter_folder), device="cpu"), painter=painter)
    with Session(planner="table", home=tmp_path, workshop=workshop) as session:
        turn = session.send("a cat")
    assert turn.brain.startswith("table") and turn.painter == painter.name
    with pytest.raises(ConfigError, match="nowhere"):
        Session(model=str(tmp_path / "nowhere"), home=tmp_path, workshop=workshop).send("a cat")


def test_a_store_of_the_first_layout_is_brought_up_to_date(tmp_path: Path) -> None:
    store = SessionStore(tmp_path)
    session = store.create_session()
    turn = store.begin_turn(session, "a cat", 1, folder=tmp_path / "out")
    assert turn.folder == tmp_path / "out"
    with store._db.writing() as db:
        db.execute("ALTER TABLE turn DROP COLUMN folder")
        db.execute("PRAGMA user_version = 1")
    store.close()
    again = SessionStore(tmp_path)
    assert again.turn(turn.id).folder is None and again.turn(turn.id).text == "a cat"
    assert again.begin_turn(session, "a dog", 2, folder=tmp_path / "here").folder == tmp_path / "here"


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys, chatdit; heavy = {'torch', 'langgraph', 'diffusers', 'openai', 'pydantic'} & set(sys.modules);"
        "assert not heavy, heavy; assert 'Session' in dir(chatdit); from chatdit import Session, Turn, Picture;"
        "assert 'torch' not in sys.modules and 'langgraph' not in sys.modules; print(Session.__name__)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("Session", 0), done.stderr
