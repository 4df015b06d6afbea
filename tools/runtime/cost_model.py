"""From how many tokens a sparse policy is worth its trouble, by device and policy.

The table holds what was measured and nothing else: on a device without an entry a policy does as it is asked.
"""

from __future__ import annotations

from typing import NamedTuple


class Crossover(NamedTuple):
    """Calls of fewer `tokens` are faster dense, None being all that were measured; `origin` says who did that.

    On a GPU small calls cost what their launches cost, so that wide ones pay earlier; `width` is the batch times heads
    times head dim that was measured. On a CPU both kinds of attention grow with it alike.
    """

    tokens: int | None
    origin: str
    width: int | None = None


_CPU = "one thread, evals/records/crossover.json"
_GPU = "NVIDIA H200, evals/records/crossover_cuda.json"
_POCKET_WIDTH = 6 * 64

# (device kind, policy) -> tokens of the shortest sequence from which on the policy was faster than dense attention.
_MEASURED: dict[tuple[str, str], Crossover] = {
    ("cpu", "llsa"): Crossover(2336, _CPU),
    ("cpu", "clear"): Crossover(9248, _CPU),
    ("cpu", "draft"): Crossover(2336, _CPU),
    ("cpu", "svg2"): Crossover(None, _CPU),
    ("cpu", "adaspa"): Crossover(2336, _CPU),
    ("cpu", "nabla"): Crossover(4128, _CPU),
    ("cpu", "vsa"): Crossover(9248, _CPU),
    ("cpu", "efficient-vdit"): Crossover(None, _CPU),
    ("cpu", "tesa"): Crossover(1056, _CPU),
    ("cuda", "llsa"): Crossover(36896, _GPU, _POCKET_WIDTH),
    ("cuda", "clear"): Crossover(36896, _GPU, _POCKET_WIDTH),
    ("cuda", "draft"): Crossover(36896, _GPU, _POCKET_WIDTH),
    ("cuda", "svg2"): Crossover(None, _GPU, _POCKET_WIDTH),
    ("cuda", "adaspa"): Crossover(16416, _GPU, _POCKET_WIDTH),
    ("cuda", "nabla"): Crossover(36896, _GPU, _POCKET_WIDTH),
    ("cuda", "vsa"): Crossover(36896, _GPU, _POCKET_WIDTH),
    ("cuda", "efficient-vdit"): Crossover(None, _GPU, _POCKET_WIDTH),
    ("cuda", "tesa"): Crossover(36896, _GPU, _POCKET_WIDTH),
}


def crossover(policy: str, device: str) -> Crossover:
    """Where `policy` starts to pay on a kind of device ("cpu", "cuda"); 0 tokens where no one has measured it."""
    return _MEASURED.get((device, policy), Crossover(0, f"not measured on {device}"))


def name_of(policy: object) -> str:
    """The name a person gives to a policy, or its class's for one that has none."""
    from chatdit.kernels.policies.catalogue import POLICIES

    return next((name for name, kind in POLICIES.items() if type(policy) is kind), type(policy).__name__)
