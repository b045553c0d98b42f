"""What samples say: intervals hold what they promise, steps are found, the same tells nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.benchmarking.conditions import State, between, state
from edgeprune.benchmarking.statistics import (
    new_among,
    ratio_interval,
    steady,
    step,
    student,
    verdict,
)
from edgeprune.benchmarking.validity import doubts
from edgeprune.intervals import Interval, median_interval
from edgeprune.measurements import Measurement

POSITIVE = st.floats(1e-3, 1e6)


def covered(draw: Callable[[np.random.Generator], Interval | None], truth: float) -> float:
    """Share of 600 simulated intervals that hold the truth."""
    random = np.random.default_rng(6)
    found = [draw(random) for _ in range(600)]
    return sum(each is not None and each.low <= truth <= each.high for each in found) / 600


@pytest.mark.parametrize("n", [10, 25, 80])
def test_the_interval_of_a_median_holds_it(n: int) -> None:
    # Skewed, as latencies are; the median of exp(normal) is 1. The promise is 95 % or more.
    share = covered(lambda random: median_interval(random.lognormal(0, 0.3, n)), 1.0)
    assert 0.94 <= share < 1.0


def test_the_interval_is_of_order_statistics() -> None:
    # Tables of the sign test: of ten, the second and the ninth (97.9 %); six are the fewest.
    found = median_interval(list(range(10, 0, -1)))
    assert found == Interval(5.5, 2, 9)
    assert found.half_width == pytest.approx(3.5 / 5.5)
    assert median_interval([1, 2, 3, 4, 5]) is None
    assert median_interval([1, 2, 3, 4, 5, 6]) == Interval(3.5, 1, 6)
    assert median_interval([1, 2, 3], confidence=0.7) == Interval(2, 1, 3)


@given(st.lists(POSITIVE, min_size=6, max_size=60), st.floats(0.5, 4))
def test_an_interval_holds_its_estimate_and_scales(values: list[float], factor: float) -> None:
    found = median_interval(values)
    assert found is not None and min(values) <= found.low <= found.value <= found.high
    scaled = median_interval([factor * value for value in values])
    assert scaled is not None and scaled.low == pytest.approx(factor * found.low)


@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_of_a_ratio_holds_it(paired: bool) -> None:
    def draw(random: np.random.Generator) -> Interval:
        drift = random.lognormal(0, 0.2, 20) if paired else np.ones(20)
        before = drift * random.lognormal(0, 0.03, 20)
        return ratio_interval(before, 1.1 * drift * random.lognormal(0, 0.03, 20), paired=paired)

    assert covered(draw, 1.1) >= 0.92


def test_pairs_cancel_the_drift_that_both_went_through() -> None:
    random = np.random.default_rng(0)
    drift = np.linspace(1, 2, 20) * random.lognormal(0, 0.01, 20)
    before, after = drift, drift * 1.05 * random.lognormal(0, 0.005, 20)
    assert verdict(ratio_interval(before, after, paired=True), 0.02) == "slower"
    assert verdict(ratio_interval(before, after, paired=False), 0.02) == "cannot tell"


@given(st.lists(POSITIVE, min_size=1, max_size=40), st.booleans())
def test_equal_samples_cannot_be_told_apart(values: list[float], paired: bool) -> None:
    found = ratio_interval(values, values, paired=paired)
    assert found.low <= 1 <= found.high and verdict(found) == "cannot tell"


def test_a_verdict_needs_the_whole_interval_beyond_the_margin() -> None:
    assert verdict(Interval(0.9, 0.88, 0.97), 0.02) == "faster"
    assert verdict(Interval(0.9, 0.88, 0.985), 0.02) == "cannot tell"
    assert verdict(Interval(1.1, 1.021, 1.2), 0.02) == "slower"
    assert verdict(Interval(1.01, 1.001, 1.02)) == "slower"


def test_a_step_is_found_where_it_is() -> None:
    random = np.random.default_rng(3)
    series = np.concatenate([random.normal(1, 0.01, 9), random.normal(1.1, 0.01, 7)])
    found = step(series)
    assert found is not None and found.at == 9
    assert found.facts() == {
        "at": 9,
        "before": pytest.approx(1, abs=0.01),
        "after": pytest.approx(1.1, abs=0.01),
    }
    assert step(series[:7]) is None  # too few to tell
    assert step([1.0] * 30) is None
    # One per cent is no step worth a word, however clear.
    assert step([1.0] * 10 + [1.01] * 10) is None


def test_noise_is_seldom_a_step() -> None:
    random = np.random.default_rng(4)
    found = [step(random.lognormal(0, 0.1, 20)) for _ in range(300)]
    assert sum(each is not None for each in found) <= 9  # 1 % of 300, and a margin for luck


def test_a_warm_up_is_steady_when_it_stands_still() -> None:
    falling = [10.0, 8, 6, 5, 4.5]
    assert not steady(falling) and not steady([1.0, 1, 1, 1])
    assert steady([*falling, 4.01, 4.0, 4.02, 3.99, 4.0])
    assert not steady([1, 1, 1, 1, 1.1])


def test_quantiles_of_student() -> None:
    # Any table of them.
    for freedom, wanted in ((1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042)):
        assert student(freedom, 0.975) == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize("n", [3, 6, 20])
def test_a_new_result_is_judged_by_the_spread_of_the_history(n: int) -> None:
    def draw(random: np.random.Generator) -> Interval | None:
        *history, new = random.lognormal(0, 0.05, n + 1)
        return new_among(history, new)

    assert 0.92 <= covered(draw, 1.0) <= 0.98
    # What is clear in a quiet history is not in a loud one.
    quiet, loud = new_among([1, 1.01, 0.99, 1], 1.1), new_among([1, 1.2, 0.9, 1.1], 1.1)
    assert quiet is not None and loud is not None
    assert verdict(quiet) == "slower" and verdict(loud) == "cannot tell"
    assert new_among([1, 1], 2) is None


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_board_is_read_as_it_tells(tmp_path: Path) -> None:
    cpu = "sys/devices/system/cpu/cpu"
    files = {
        f"{cpu}0/cpufreq/scaling_governor": "ondemand\n",
        f"{cpu}1/cpufreq/scaling_governor": "performance\n",
        f"{cpu}0/cpufreq/scaling_cur_freq": "600000\n",
        f"{cpu}1/cpufreq/scaling_cur_freq": "1800000\n",
        f"{cpu}2/cpufreq/scaling_cur_freq": "2400000\n",
        f"{cpu}0/thermal_throttle/core_throttle_count": "3\n",
        "sys/class/thermal/thermal_zone0/temp": "48312\n",
        "sys/class/thermal/thermal_zone1/temp": "61000\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
        "proc/loadavg": "0.52 0.3 0.2 1/99 4\n",
        "proc/pressure/cpu": "some avg10=1.0 total=2500000\nfull avg10=0.00 total=9\n",
        "proc/stat": "cpu  1 2 3 4 5 6 7 300 0 0\n",
    }
    found = state(machine(tmp_path, files), cpus=[0, 1])
    assert found.governor == "ondemand, performance" and found.clock_mhz == 1800
    assert found.temperature_c == 61 and found.throttled == 3 and found.load == 0.52
    assert found.capped is True  # bit 2: throttled now
    assert found.waited_s == 2.5 and found.stolen_s == 3.0


def test_what_a_machine_does_not_tell_is_never_zero(tmp_path: Path) -> None:
    found = between(state(tmp_path, cpus=[0]), state(tmp_path, cpus=[0]), 1, [0], 2)
    for key in ("governor", "clock_mhz", "temperature_c", "throttled", "load", "waited", "stolen"):
        assert found[key]["availability"] == "unavailable" and found[key]["reason"], key
    proc = "processor\t: 0\ncpu MHz\t\t: 2000.5\n\nprocessor\t: 1\ncpu MHz\t\t: 3000\n"
    assert state(machine(tmp_path, {"proc/cpuinfo": proc}), cpus=[0]).clock_mhz == 2000.5


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (State(clock_mhz=1800), State(clock_mhz=1500), True),
        (State(clock_mhz=1800), State(clock_mhz=1750), False),
        (State(throttled=2), State(throttled=3), True),
        (State(throttled=2), State(throttled=2), False),
        (State(capped=False), State(capped=True), True),
        (State(capped=False), State(capped=False), False),
    ],
)
def test_throttling_is_seen(before: State, after: State, wanted: bool) -> None:
    assert between(before, after, 1, [0], 2)["throttled"] is wanted


def measurement(**about: Any) -> Measurement:
    plain: dict[str, Any] = {
        "artifact": "a", "file": "m.tflite", "target": "host", "runtime": "litert",
        "runtime_version": "2", "threads": 1, "latency_ns": (1000,) * 100,
        "peak_memory_bytes": 1, "steady": True, "elapsed_ns": 125_000,
    }  # fmt: skip
    return Measurement(**plain | about)


def test_doubts_are_said() -> None:
    assert doubts(measurement()) == ()
    (found,) = doubts(measurement(steady=False))
    assert "come to rest" in found
    stepped = tuple(np.repeat([1000] * 6 + [1500] * 6, 10).tolist())
    (found,) = doubts(measurement(latency_ns=stepped, rounds=12))
    assert "round 7 of 12: 0.001 to 0.0015 ms" in found
    hot = {"throttled": True, "waited": 0.5, "stolen": 0.1}
    found = " ".join(doubts(measurement(conditions=hot)))
    assert "throttled" in found and "50%" in found and "10%" in found
    quiet = {"throttled": False, "waited": {"availability": "unavailable", "reason": "x"}}
    assert doubts(measurement(conditions=quiet)) == ()


def test_throughput_is_measured_and_old_files_have_none() -> None:
    found = measurement(batch=4)
    assert found.throughput_per_s == pytest.approx(4 * 100 / 125e-6)
    again = Measurement.from_facts(found.facts())
    assert again == found
    old = {
        key: value
        for key, value in found.facts().items()
        if key not in ("batch", "rounds", "elapsed_ns", "warmup_runs", "steady", "stopped", "via")
    }
    read = Measurement.from_facts(old)
    assert read.batch == 1 and read.throughput_per_s is None
    assert read.facts()["throughput_per_s"]["availability"] == "unavailable"
    assert read.facts()["median_interval_ms"] == {"low": 0.001, "high": 0.001}
    few = measurement(latency_ns=(1, 2), rounds=2).facts()
    assert few["median_interval_ms"]["availability"] == "unavailable"
