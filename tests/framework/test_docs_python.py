"""The examples of ``docs/python.md``, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeprune
from edgeprune.plans import Plan

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def test_the_worked_example(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    exec(compile(BLOCKS[0], PAGE.name, "exec"), names)
    size, difference, latency = map(float, capsys.readouterr().out.split())
    assert size == (here / "small.tflite").stat().st_size
    assert difference < 1e-4 and latency > 0
    plan = Plan.load(here / "plan.json")
    assert all(not mask.weight.startswith("class/") for mask in plan.masks)
    assert plan.why["reached"]["sparsity"] == pytest.approx(0.8, abs=0.01)


def test_the_loop_and_the_cut(here: Path) -> None:
    loop: dict[str, object] = {}
    exec(compile(BLOCKS[1], PAGE.name, "exec"), loop)
    assert isinstance(loop["plan"], Plan)
    cut: dict[str, object] = {}
    exec(compile(BLOCKS[2], PAGE.name, "exec"), cut)
    small = cut["small"]
    assert small.get_layer("first").units == 29  # type: ignore[attr-defined]


def test_recovery_and_a_loop_of_ones_own(here: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[3], PAGE.name, "exec"), names)
    for mask in names["plan"].masks:
        for model in (names["tuned"], names["taught"], names["sparse"]):
            kernel = np.asarray(model.get_layer(mask.weight.removesuffix("/kernel")).kernel)
            assert not kernel[~mask.keep].any() and kernel[mask.keep].any(), mask.weight


def test_the_table_of_functions_names_every_public_one() -> None:
    text = PAGE.read_text(encoding="utf-8")
    verbs = {name for name in edgeprune.__all__ if name.islower()}
    assert verbs == set(re.findall(r"^\| `(\w+)\(", text, re.M))
    nouns = {name for name in edgeprune.__all__ if not name.islower()}
    assert nouns - {"EdgepruneError"} <= set(re.findall(r"`(\w+)`", text))
