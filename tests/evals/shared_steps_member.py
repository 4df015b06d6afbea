"""One of two processes that share the steps of a small model. Run by test_bench_shared_steps.py."""

from __future__ import annotations

import json

from chatdit.evals import bench_shared_steps

if __name__ == "__main__":
    print(json.dumps(bench_shared_steps.run(sides=(256,), policies=("draft",), tiny=True)))
