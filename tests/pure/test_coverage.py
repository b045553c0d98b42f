"""What the table of whole models has to show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS: list[dict[str, Any]] = json.loads((ROOT / "benchmarks/results/coverage.json").read_text())
ALLOWED = ("model input", "model output", "takes means over channels")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_nothing_keeps_its_size_for_comfort(row: dict[str, Any]) -> None:
    assert max(row["difference"]) <= 1e-9
    assert row["verified"] == ["tflite", "onnx"]
    assert all(reason.endswith(ALLOWED) for reason in row["fixed"]), row["fixed"]
    if row["source"] == "keras.applications":
        assert row["share"] >= 0.9
    page = (ROOT / "docs/coverage.md").read_text()
    assert f"| {row['name']} | {row['parameters']:,} |" in page
