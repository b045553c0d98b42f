"""What ``--dry-run`` says of time: what is fixed, what grows, and what is not known."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from edgeprune.cli.tables import stages_table
from edgeprune.pipeline import dry_run, run
from edgeprune.pipeline.road import StageState
from edgeprune.pipeline.timings import Clock, Timings
from edgeprune.progress import SILENT


def step(kind: str, units: int, name: str = "") -> Any:
    return SimpleNamespace(
        name=name or kind, kind=kind, units=units, stage=SimpleNamespace(done=False)
    )


def clocked(steps: int, first: float, each: float) -> Clock:
    """A clock that has seen one training; its first step took ``first`` seconds."""
    time = [0.0]
    clock = Clock(SILENT, lambda: time[0])
    with clock.task("fine-tune", steps) as task:
        task.advance(0)
        for number in range(steps):
            time[0] += each if number else first
            task.advance()
    return clock


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "real.json", tmp_path / "quick.json"


def test_only_what_trains_is_scaled(files: tuple[Path, Path]) -> None:
    real, quick = files
    # 400 examples, one epoch: 4 s before the first step has ended, then 3 steps of 0.1 s.
    tried = Timings(quick, real, lambda: 400)
    tried.remember(step("round", 1), 5.3, clocked(4, 4.0, 0.1))
    tried.remember(step("recover", 0), 0.4, Clock(SILENT))
    tried.remember(step("export", 1), 2.0, Clock(SILENT))
    whole = Timings(real, quick, lambda: 40_000)
    assert whole.estimate(step("round", 3)) == pytest.approx(5.0 + 0.4 * 300)
    assert whole.estimate(step("recover", 0)) == pytest.approx(0.4)
    assert whole.estimate(step("export", 1)) == pytest.approx(2.0)
    assert whole.estimate(step("recover", 2)) is None, "it never trained"
    assert whole.estimate(step("bench", 1)) is None
    # The same again takes the same.
    assert tried.estimate(step("round", 1)) == pytest.approx(5.0 + 0.4)


def test_another_round_tells_of_one_that_never_ran(files: tuple[Path, Path]) -> None:
    timings = Timings(*files, lambda: 100)
    timings.remember(step("round", 1, "round-2"), 3.0, clocked(4, 1.0, 0.5))
    assert timings.estimate(step("round", 1, "round-7")) == pytest.approx(1.5 + 2.0)


def test_a_resumed_training_counts_whole(files: tuple[Path, Path]) -> None:
    time = [0.0]
    clock = Clock(SILENT, lambda: time[0])
    with clock.task("fine-tune", 100) as task:
        task.advance(90)  # the epochs of the killed run, told at once
        for _ in range(10):
            time[0] += 0.2
            task.advance()
    assert clock.growing == pytest.approx(20.0)


def test_spoilt_timings_are_none(files: tuple[Path, Path]) -> None:
    for content in ("", "[]", '{"export": 3}', '{"export": {"seconds": 1, "work": 1}}'):
        files[0].write_text(content)
        assert Timings(*files, lambda: 1).estimate(step("export", 1)) is None


def test_a_quick_run_is_no_measure_of_what_does_not_grow(project: Path) -> None:
    recipe = project / "edgeprune.toml"
    assert {state.estimate_s for state in dry_run(recipe)} == {None}
    run(recipe, quick=True)
    quick = json.loads((project / ".edgeprune" / "quick" / "timings.json").read_text())
    assert not (project / ".edgeprune" / "timings.json").exists()
    found = {state.stage: state.estimate_s for state in dry_run(recipe)}
    assert set(found) == set(quick) and None not in found.values()
    for name in set(found) - {"round-1", "round-2"}:
        known = quick[name]["fixed"] + (quick[name]["growing"] or 0)
        assert found[name] == pytest.approx(known), f"{name} does not train"
    for name in ("round-1", "round-2"):  # two epochs for one, of as many examples
        grown = found[name] - quick[name]["fixed"]
        ratio = grown / quick[name]["growing"]
        assert ratio == pytest.approx(2.0), name
        assert 0 < grown < 5

    run(recipe)
    real = (project / ".edgeprune" / "timings.json").read_bytes()
    run(recipe, quick=True, sets=["seed=4"])
    assert (project / ".edgeprune" / "timings.json").read_bytes() == real


def shown(*estimates: float | None) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    states = [StageState(f"s{i}", False, "never run", each) for i, each in enumerate(estimates)]
    console.print(stages_table([*states, StageState("check", True, None, 0.0)]))
    return " ".join(console.export_text().split())


def test_the_sum_says_what_is_not_in_it() -> None:
    assert "about 3.0 s in all" in shown(1.0, 2.0)
    part = shown(1.0, None, None)
    assert "about 1.0 s, and 2 stages of unknown length" in part and "in all" not in part
    none = shown(None, None)
    assert "unknown before a first run" in none and "0.0 s" not in none
    assert none.count("unknown") == 3
    assert "about" not in shown()
