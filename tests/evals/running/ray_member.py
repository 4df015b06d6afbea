"""A run over two machines of a Ray cluster, one of which is lost. Run by test_ray_pool.py, in a network of its own.

ray_member.py SUITE OUT FAKE_SYSTEM NOTES
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

from chatdit.evals.running.ray_pool import ray_pool
from chatdit.evals.running.run_folder import RunFolder
from chatdit.evals.running.runner import run_suite
from chatdit.evals.suites.idea_bench import load_suite

SLOWLY = """
import runpy, sys, time
from pathlib import Path
from chatdit.evals.running.worker import Assignment
draw = runpy.run_path(sys.argv[1])["draw"]
for line in sys.stdin:
    time.sleep(1)
    print(draw(Assignment.model_validate_json(line), Path(sys.argv[2])).model_dump_json(), flush=True)
"""


def main(suite: str, out: str, system: str, notes: str) -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    draw = ray_pool(cluster.address, [sys.executable, "-P", "-c", SLOWLY, system, notes], 10)
    killer = threading.Timer(4, lambda: cluster.remove_node(second, allow_graceful=False))
    killer.start()
    results = run_suite(load_suite(Path(suite)), RunFolder(Path(out)), "fake", draw, seed=0)
    print(json.dumps({case: result.model_dump(mode="json") for case, result in results.items()}), flush=True)
    os._exit(0)  # the cluster is gone with the network that it lives in


if __name__ == "__main__":
    main(*sys.argv[1:])
