"""Commands that look at the installation: `tools` and `doctor`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from chatdit.config import load_settings
from chatdit.exit_codes import FAILURE, OK

_MARKS = {"ok": ("ok", "green"), "warning": ("warning", "yellow"), "failure": ("FAILURE", "red")}


def list_tools(*, as_json: bool) -> None:
    """`chatdit tools`."""
    from chatdit.tools.catalogue import specs

    if as_json:
        print(json.dumps([spec.model_dump(mode="json") for spec in specs()], indent=2))
        return
    table = Table("tool", "version", "what it does", box=None, pad_edge=False, header_style="dim")
    for spec in specs():
        table.add_row(spec.name, spec.version, Text(spec.summary))
    Console().print(table)


def run_doctor(flags: Mapping[str, object], *, as_json: bool) -> int:
    """`chatdit doctor`: the exit code, 1 when something is not in place."""
    from chatdit.doctor import Finding, examine

    findings: list[Finding] = []
    console = Console()
    for finding in examine(load_settings(flags)):
        findings.append(finding)
        if not as_json:
            word, style = _MARKS[finding.status]
            remedy = f" - {finding.remedy}" if finding.remedy else ""
            line = Text.assemble((f"{word:8}", style), f"{finding.name}: {finding.detail}{remedy}")
            console.print(line, soft_wrap=True)
    healthy = all(finding.status != "failure" for finding in findings)
    if as_json:
        print(json.dumps({"ok": healthy, "findings": [asdict(finding) for finding in findings]}, indent=2))
    return OK if healthy else FAILURE
