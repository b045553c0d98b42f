"""What a run shows: progress, the final table, and nothing of the libraries' own chatter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

SETS = (
    "prune.rounds=1",
    "finetune.epochs=1",
    'export.formats=["fp32", "fp32-sparse", "onnx-fp32"]',
)
CHATTER = re.compile(
    r"tensorflow|cuda|oneDNN|absl|XNNPACK|WARNING|INFO|Saved artifact|TFLite", re.I
)


def shown(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """``edgeprune run`` in a process of its own, with nothing set that would hush a library."""
    loud = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "GRPC_", "COLUMNS"))}
    sets = [part for each in SETS for part in ("--set", each)]
    return subprocess.run(
        [sys.executable, "-m", "edgeprune", "run", "edgeprune.toml", *sets, *more],
        cwd=folder,
        env={**loud, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_run_on_the_screen(project: Path) -> None:
    """``-v`` names every stage as it ends; the table comes on stdout; plain where no terminal."""
    done = shown(project, "-v")
    assert done.returncode == 0, done.stderr
    for stage in (
        "check", "export-before-fp32", "round-1", "fine-tune", "strip", "evaluate",
        "evaluate the original", "evaluate the original as fp32",
        "evaluate the pruned as fp32-sparse", "bench-host",
    ):  # fmt: skip
        assert re.search(rf"^{stage}: done in ", done.stderr, re.M), stage
    assert "\x1b" not in done.stdout + done.stderr
    assert CHATTER.search(done.stderr) is None, CHATTER.search(done.stderr)
    table = done.stdout
    for word in ("before", "after", "accuracy", "MACs", "median", "p95", "max_metric_drop"):
        assert word in table, word
    assert "released to dist/host" in table
    # The first of a kind is "model", further ones say which they are.
    released = {path.name for path in (project / "dist" / "host").iterdir()}
    assert {"model.tflite", "model-fp32-sparse.tflite", "model.onnx"} <= released

    # Results and errors only: the table is the result.
    quiet = shown(project, "-q")
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert "max_metric_drop" in quiet.stdout and "released to dist/host" in quiet.stdout
    assert "report: .edgeprune/report.html" in quiet.stdout
    broken = shown(project, "-q", "--set", "gates.max_bytes=10")
    assert broken.returncode == 3
    assert "max_bytes" in broken.stdout and "BROKEN" in broken.stdout
    planned = shown(project, "--dry-run", "--set", "prune.sparsity=0.7")
    assert planned.returncode == 0 and planned.stderr == ""
    lines = {line.split()[0]: line for line in planned.stdout.splitlines() if line.split()}
    assert "sparsity 0.6 → 0.7" in lines["round-1"]
    assert "done" in lines["check"]
