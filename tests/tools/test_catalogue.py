"""The catalogue: explicit, with complete schemas, and light to import."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chatdit.tools.catalogue import TOOLS, specs, tool
from chatdit.tools.types import ToolError, ToolSpec


def test_names_are_the_tools_own() -> None:
    assert "generate" in TOOLS
    for name, entry in TOOLS.items():
        assert entry.name == name and entry.version and entry.summary.endswith(".")
        assert tool(name) is entry


def test_an_unknown_tool_is_one_clear_line() -> None:
    with pytest.raises(ToolError, match="no tool called 'genrate': expected one of generate") as caught:
        tool("genrate")
    assert "\n" not in str(caught.value)


def test_specs_are_json_and_say_what_a_planner_needs() -> None:
    spec = ToolSpec.model_validate_json(json.dumps(specs()[0].model_dump()))
    assert spec.name == "generate"
    properties = spec.input_schema["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == {"panels", "references", "context", "sampling", "contact_sheet"}
    assert properties["panels"]["maxItems"] == 12 and properties["panels"]["minItems"] == 1
    assert properties["context"]["enum"] == ["separate", "canvas", "sequence"]
    assert spec.input_schema["additionalProperties"] is False
    assert spec.input_schema["required"] == ["panels"]
    outputs = spec.output_schema["properties"]
    assert isinstance(outputs, dict) and {"images", "seeds", "contact_sheet", "warnings"} <= set(outputs)


def test_importing_the_catalogue_loads_no_model_code() -> None:
    code = (
        "import sys; from chatdit.tools.catalogue import specs; specs(); "
        "print([m for m in ('torch', 'diffusers', 'transformers', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
