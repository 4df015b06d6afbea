"""A killed process loses nothing that was finished, and no session is held by two."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chatdit.agents.events import NodeFinished, NodeStarted
from chatdit.session import Session, TurnEnded
from chatdit.session_errors import SessionBusy, SessionError, UnknownSession
from chatdit.session_lock import SessionLock

SCRIPT = Path(__file__).with_name("killed_session.py")
MakeSession = Callable[..., Session]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, painter_folder: Path) -> tuple[Path, str]:
    """A home, and the session in it whose process was killed while it drew the second of three pictures."""
    home = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-P", str(SCRIPT), str(home), str(painter_folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return home, done.stdout.strip()


def test_after_kill_9_only_what_is_missing_is_drawn(
    new_session: MakeSession, killed: tuple[Path, str], tmp_path: Path
) -> None:
    home = shutil.copytree(killed[0], tmp_path / "copy")
    session = new_session(resume=killed[1], home=home)
    broken = session.pending
    assert broken is not None and broken.status == "running"
    assert [picture.number for picture in broken.images] == [1]
    before = broken.images[0].path.read_bytes(), broken.images[0].path.stat().st_mtime_ns
    assert session.history() == ()

    events = list(session.stream_finish())
    started = [event.id for event in events if isinstance(event, NodeStarted)]
    finished = [(event.id, event.cached) for event in events if isinstance(event, NodeFinished)]
    assert started == ["draw_2", "draw_3"]
    assert finished == [("draw_1", True), ("draw_2", False), ("draw_3", False)]

    last = events[-1]
    assert isinstance(last, TurnEnded)
    turn = last.turn
    assert (turn.status, turn.number, turn.seed) == ("done", 1, 11)
    assert [picture.number for picture in turn.images] == [1, 2, 3]
    assert turn.images[0] == broken.images[0]
    assert before == (turn.images[0].path.read_bytes(), turn.images[0].path.stat().st_mtime_ns)
    assert len(list((session.folder / "images").iterdir())) == 3
    assert session.history() == (turn,)
    assert session.pending is None
    with pytest.raises(SessionError, match="no interrupted turn"):
        session.finish()


def test_a_turn_broken_off_before_its_first_picture_ends_in_the_folder_it_was_asked_for(
    new_session: MakeSession, tmp_path: Path
) -> None:
    session = new_session(out=tmp_path / "out")
    for event in session.stream("a cat on the beach"):
        if isinstance(event, NodeStarted):
            session.cancel()
            break
    session.close()
    turn = new_session(resume=session.id).finish()
    assert [picture.path.parent for picture in turn.images] == [tmp_path / "out"]


def test_what_is_resumed_is_what_would_have_been_drawn(
    new_session: MakeSession, killed: tuple[Path, str], tmp_path: Path
) -> None:
    home = shutil.copytree(killed[0], tmp_path / "copy")
    broken = new_session(resume=killed[1], home=home)
    resumed = broken.finish()
    whole = new_session(home=tmp_path / "elsewhere", seed=11).send(resumed.text)
    assert not any(picture.cached for picture in whole.images)
    assert [p.path.read_bytes() for p in resumed.images] == [p.path.read_bytes() for p in whole.images]


def test_saying_something_else_gives_the_broken_turn_up(
    new_session: MakeSession, killed: tuple[Path, str], tmp_path: Path
) -> None:
    home = shutil.copytree(killed[0], tmp_path / "copy")
    session = new_session(resume=killed[1], home=home)
    turn = session.send("a rocket")
    assert session.pending is None
    assert [picture.number for picture in turn.images] == [2], "number 1 is taken and stays so"
    assert session.picture(1).path.is_file()
    assert [past.number for past in session.history()] == [1, 2], "what it had drawn belongs to the conversation"


def test_a_session_is_held_by_one(new_session: MakeSession, tmp_path: Path) -> None:
    session = new_session()
    with pytest.raises(SessionBusy, match=rf"{session.id} is in use by process {os.getpid()} \(this one\)"):
        new_session(resume=session.id)
    session.close()
    assert new_session(resume=session.id).id == session.id


def test_the_lock_names_another_process_and_ends_with_it(tmp_path: Path) -> None:
    holder = (
        "import sys; from pathlib import Path; from chatdit.session_lock import SessionLock\n"
        "lock = SessionLock(Path(sys.argv[1]), 's'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-P", "-c", holder, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(SessionBusy, match=f"process {process.pid}:"):
            SessionLock(tmp_path / "lock", "s")
        process.kill()
    SessionLock(tmp_path / "lock", "s").release()


def test_an_unknown_id_names_the_nearest(new_session: MakeSession) -> None:
    session = new_session()
    session.close()
    wrong = session.id[:-1] + ("0" if session.id[-1] != "0" else "1")
    with pytest.raises(UnknownSession, match=session.id) as caught:
        new_session(resume=wrong)
    assert "\n" not in str(caught.value)
    assert new_session(resume=session.id[:-2]).id == session.id


def test_an_ambiguous_or_absent_id(new_session: MakeSession, tmp_path: Path) -> None:
    with pytest.raises(UnknownSession, match="there are none yet"):
        Session.resume("x", home=tmp_path / "empty")
    assert new_session().id != new_session().id
    with pytest.raises(UnknownSession, match="give more of the id"):
        new_session(resume="2")


def test_latest_is_the_one_used_last(new_session: MakeSession, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no session to go on with"):
        Session.latest(home=tmp_path / "home")
    first, second, silent = new_session(), new_session(), new_session()
    second.send("a cat")
    first.send("a dog")
    infos = Session.list(home=tmp_path / "home")
    assert [(info.id, info.title, info.turns, info.pictures) for info in infos] == [
        (first.id, "a dog", 1, 1),
        (second.id, "a cat", 1, 1),
    ]
    assert silent.id not in {info.id for info in infos}
    first.close()
    with Session.latest(home=tmp_path / "home") as again:
        assert again.id == first.id and again.history()[0].text == "a dog"
