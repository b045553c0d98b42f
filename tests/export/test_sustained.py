"""A file for minutes: its curve, and the gate at the start."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from export_nets import mlp

from edgeprune.benchmarking.conditions import State
from edgeprune.benchmarking.sustained import GATE_S, cooled, sustain
from edgeprune.cli import main
from edgeprune.contracts import BENCH
from edgeprune.errors import InputError, MeasurementError
from edgeprune.exporting import export_model
from edgeprune.runtimes import Runner
from edgeprune.targets import Target

HOST = Target.load("host")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "net.tflite"
    export_model(mlp(), path)
    return path


def test_a_machine_that_throttles_shows_in_the_last_part(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clock that each call of 1 ms inferences moves on; from 90 s on they take 2 ms.
    passed = itertools.count()
    clock = {"s": 0.0}

    def timed(self: Runner, runs: int, warmup: int = 0) -> list[int]:
        next(passed)
        one = 10**6 if clock["s"] < 90 else 2 * 10**6
        clock["s"] += runs * one / 1e9
        return [one] * runs

    monkeypatch.setattr(Runner, "time", timed)
    monkeypatch.setattr("edgeprune.benchmarking.sustained.monotonic", lambda: clock["s"])

    def look() -> State:
        return State(clock_mhz=1800 if clock["s"] < 90 else 900, temperature_c=40 + clock["s"] / 10)

    found = sustain(file, HOST, 240, look=look)
    assert (found.first_ms, found.last_ms) == (1, 2)
    facts = found.facts()
    assert facts["slowdown"] == 2 and facts["part_s"] == 60 and facts["sustained"]
    assert 30 <= len(facts["curve"]) <= 70 and facts["curve"][-1]["at_s"] >= 240
    assert facts["curve"][-1]["clock_mhz"] == 900 and facts["curve"][-1]["temperature_c"] > 60
    assert facts["conditions"]["throttled"] is True
    assert facts["start"] == {"temperature_c": 40, "wanted": None, "waited_s": 0.0}


def heated(*degrees: float | None) -> Any:
    """A machine that is as warm as this, look by look; the last stays."""
    each = itertools.chain(degrees, itertools.repeat(degrees[-1]))
    return lambda: State(temperature_c=next(each))


def test_the_gate_waits_until_it_is_cool() -> None:
    pauses: list[float] = []
    found = cooled(50, heated(70, 60, 52, 49), pauses.append)
    assert found == {"temperature_c": 49, "wanted": 50, "waited_s": sum(pauses)}
    assert len(pauses) == 3
    with pytest.raises(MeasurementError, match=r"70 °C after 300 s, and 50 were wanted"):
        cooled(50, heated(70), pauses.append)
    assert sum(pauses) >= GATE_S
    # Without a wish nothing waits; without a thermometer a wish cannot be granted.
    assert cooled(None, heated(70))["waited_s"] == 0
    assert cooled(None, heated(None))["availability"] == "unavailable"
    with pytest.raises(MeasurementError, match="tells no temperature"):
        cooled(50, heated(None))


def test_the_verb_runs_it(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(file), "--sustained", "2s", "--json", "-q"]) == 0
    facts = BENCH.validate_json(out := capfd.readouterr().out) and json.loads(out)
    assert facts["sustained"] and facts["curve"] and facts["seconds"] == 2
    assert sum(point["runs"] for point in facts["curve"]) > 100
    assert main(["bench", str(file), "--sustained", "0.05m", "-q"]) == 0
    out = capfd.readouterr().out
    assert "Sustained" in out and "first 1 s" in out


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--sustained", "soon"], "no time, such as"),
        (["--sustained", "-5m"], "no time, such as"),
        (["--sustained", "1s"], "least"),
        (["--start-below", "50"], "give both"),
        (["--sustained", "2s", "--warmup", "3"], "--warmup and --sustained do not go"),
        (["--sustained", "2s", "--cold"], "--cold and --sustained do not go"),
        (["--sustained", "2s", "--save", "r"], "--save keeps"),
        (["--sustained", "2s", "--csv"], "--csv"),
    ],
)
def test_what_does_not_fit_is_refused(
    file: Path, capfd: pytest.CaptureFixture[str], flags: list[str], word: str
) -> None:
    assert main(["bench", str(file), *flags]) == 2
    assert word in capfd.readouterr().err
    with pytest.raises(InputError, match="least"):
        sustain(file, HOST, 0.5)
