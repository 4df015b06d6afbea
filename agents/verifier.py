"""The verifier: is each picture there, of the size asked for, and more than an empty sheet?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from chatdit.agents.instruction import OutputSpec
from chatdit.agents.plan import Node, Plan
from chatdit.tools.artifacts import ArtifactStore
from chatdit.tools.tool import Tool
from chatdit.tools.types import ImageRef, Problem, ToolError, ToolOutput

MAX_REPAIRS = 2
BLANK_DEVIATION = 2.0
"""Grey levels of 255; a picture whose every channel deviates less from its mean shows nothing."""
_SEEDS = 2**63


def answers(plan: Plan, made: Mapping[str, ToolOutput]) -> dict[str, ImageRef]:
    """The picture of each output of the plan, as far as its node made it."""
    found = {}
    for output in plan.outputs:
        images = made[output.node].images if output.node in made else ()
        if output.index < len(images):
            found[output.id] = images[output.index]
    return found


def check_outputs(
    asked: Sequence[OutputSpec], images: Mapping[str, ImageRef], store: ArtifactStore
) -> tuple[Problem, ...]:
    """One problem for each picture that is missing, unreadable, blank or of another size than asked."""
    return tuple(problem for output in asked for problem in _check(output, images.get(output.id), store))


def is_blank(pixels: NDArray[np.generic]) -> bool:
    """Whether (H, W) or (H, W, C) pixels are near-constant in each channel, or not all finite.

    Integers are grey levels of 255; floats are fractions in [0, 1].
    """
    levels = pixels.astype(np.float64)
    if np.issubdtype(pixels.dtype, np.floating):
        levels *= 255.0
    if levels.size == 0 or not np.isfinite(levels).all():
        return True
    return bool((levels.std(axis=(0, 1)) < BLANK_DEVIATION).all())


def blank_nodes(plan: Plan, issues: Sequence[Problem], tools: Mapping[str, Tool]) -> tuple[str, ...]:
    """Nodes that made a blank picture and draw another one when given another seed."""
    blank = {issue.path.removeprefix("outputs.") for issue in issues if issue.code == "blank_picture"}
    makers = {output.node for output in plan.outputs if output.id in blank}
    return tuple(n.id for n in plan.nodes if n.id in makers and "sampling" in tools[n.tool].Input.model_fields)


def reseeded(plan: Plan, nodes: Collection[str]) -> Plan:
    """`plan` with the next seed for each of `nodes`."""
    return plan.model_copy(update={"nodes": tuple(_next(node) if node.id in nodes else node for node in plan.nodes)})


def _check(output: OutputSpec, image: ImageRef | None, store: ArtifactStore) -> list[Problem]:
    path = f"outputs.{output.id}"
    if image is None:
        return [Problem(path=path, code="missing_picture", expected="one picture", got="none")]
    problems = []
    if output.size is not None and (image.width, image.height) != output.size:
        expected, got = "{}x{} pixels".format(*output.size), f"{image.width}x{image.height}"
        problems.append(Problem(path=path, code="wrong_size", expected=expected, got=got))
    try:
        blank = is_blank(np.asarray(store.open_image(image)))
    except ToolError as error:
        return [*problems, Problem(path=path, code="unreadable_picture", expected="a sound file", got=str(error))]
    if blank:
        got = "one flat colour"
        problems.append(Problem(path=path, code="blank_picture", expected="a picture of something", got=got))
    return problems


def _next(node: Node) -> Node:
    sampling = node.args.get("sampling")
    settings: dict[str, JsonValue] = dict(sampling) if isinstance(sampling, dict) else {}
    seed = settings.get("seed", 0)
    settings["seed"] = (seed + 1) % _SEEDS if isinstance(seed, int) else 1
    return node.model_copy(update={"args": {**node.args, "sampling": settings}})
