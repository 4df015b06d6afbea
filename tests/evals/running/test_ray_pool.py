"""A run over two machines of a Ray cluster, one of which is lost on the way."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from chatdit.evals.suites.case import Suite

MakeSuite = Callable[..., Suite]
ALONE = (
    *("unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
    *("sh", "-c", 'ip link set lo up; exec "$@"', "sh"),
)
"""A network with nothing in it but this machine, for Ray listens on every one it finds; its processes end together."""


def _alone() -> bool:
    tools = shutil.which("unshare") and shutil.which("ip")
    return bool(tools) and subprocess.run((*ALONE, "true"), capture_output=True).returncode == 0


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra: pip install 'chatdit[ray]'")
@pytest.mark.skipif(not _alone(), reason="needs unshare and ip, to keep Ray in a network of its own")
def test_a_lost_machine_costs_no_case(make_suite: MakeSuite, system: list[str], tmp_path: Path) -> None:
    suite = make_suite(*["one"] * 8, "two", "ask", "die")
    member = Path(__file__).with_name("ray_member.py")
    told = (str(suite.root), str(tmp_path / "out"), system[2], str(tmp_path))
    done = subprocess.run(
        (*ALONE, sys.executable, "-P", str(member), *told), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads(done.stdout.splitlines()[-1])
    failures = {c: r["error"] for c, r in results.items() if r["error"]}
    assert [results[c]["status"] for c in sorted(results)] == ["done"] * 9 + ["asked", "failed"], failures
    assert any(r["retries"] for r in results.values()), "the lost machine's case was given to the other"
    assert "code 3" in results["task_0010"]["error"]
    with Image.open(tmp_path / "out/originals/task_0008/0002.png") as picture:
        assert picture.size == (32, 32)
