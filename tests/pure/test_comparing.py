"""Saved results beside each other: verdicts, limits, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_results import around, measured, save

from edgeprune.benchmarking.comparing import compare, outcome
from edgeprune.cli import main
from edgeprune.intervals import Interval


def asked(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    code = main(["bench", "--compare", *arguments, "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out) if out else None, err


@pytest.mark.parametrize(
    ("after_us", "verdict", "outcome_", "code"),
    [
        (60, "faster", "holds", 0),
        (100.5, "cannot tell", "holds", 0),
        (106, "slower", "cannot tell", 4),
        (130, "slower", "broken", 3),
    ],
)
def test_two_results_get_a_verdict_and_a_limit_an_exit_code(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    after_us: float,
    verdict: str,
    outcome_: str,
    code: int,
) -> None:
    before = save(tmp_path / "before.json", measured("old.tflite", around(100)))
    after = save(tmp_path / "after.json", measured("new.tflite", around(after_us, seed=2)))
    told, facts, _ = asked(capfd, before, after, "--max-slowdown", "0.05")
    (found,) = facts["comparisons"]
    assert (found["verdict"], found["outcome"], told) == (verdict, outcome_, code)
    assert found["low"] <= found["ratio"] <= found["high"] and not found["paired"]
    assert found["ratio"] == pytest.approx(after_us / 100, rel=0.02)
    # Without a limit a verdict is no failure.
    told, facts, _ = asked(capfd, before, after)
    assert told == 0 and "outcome" not in facts["comparisons"][0]


def test_files_are_matched_by_name_and_the_worst_outcome_decides(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one = [measured(name, around(100)) for name in ("a.tflite", "b.tflite", "gone.tflite")]
    other = [
        measured("b.tflite", around(130)),
        measured("a.tflite", around(106)),
        measured("new.tflite", around(1)),
    ]
    before, after = save(tmp_path / "1.json", *one), save(tmp_path / "2.json", *other)
    code, facts, _ = asked(capfd, before, after, "--max-slowdown", "0.05")
    found = {each["after"]["file"]: each["outcome"] for each in facts["comparisons"]}
    assert found == {"b.tflite": "broken", "a.tflite": "cannot tell"} and code == 3
    code, _, err = asked(capfd, before, save(tmp_path / "3.json", *other[2:]))
    assert code == 2 and "nothing in common" in err


def test_the_files_of_one_result_are_paired(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    drift = np.linspace(100, 200, 12)
    both = [measured("a.tflite", drift), measured("b.tflite", 0.9 * drift)]
    code, facts, _ = asked(capfd, save(tmp_path / "run.json", *both))
    (found,) = facts["comparisons"]
    assert code == 0 and found["paired"] and found["verdict"] == "faster"
    assert found["high"] - found["low"] < 0.001  # the drift of 100 % is not in it
    code, _, err = asked(capfd, save(tmp_path / "one.json", both[0]))
    assert code == 2 and "holds one file" in err


def test_results_in_doubt_are_not_judged_across_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    busy = {"throttled": True}
    before = save(tmp_path / "before.json", measured("m.tflite", around(100)))
    after = save(tmp_path / "after.json", measured("m.tflite", around(150), conditions=busy))
    code, facts, _ = asked(capfd, before, after, "--max-slowdown", "0.05")
    (found,) = facts["comparisons"]
    assert code == 4 and found["verdict"] == "cannot tell" and "throttled" in found["notes"][0]
    # In turns both went through it.
    one, other = measured("a", around(100)), measured("b", around(150), conditions=busy)
    assert compare(one, other, paired=True).verdict == "slower"


@pytest.mark.parametrize(
    ("about", "word"),
    [
        ({"device": {"cpu": "Y"}}, "another cpu (X, Y)"),
        ({"runtime_version": "2.1.0"}, "another runtime version (2.3.0, 2.1.0)"),
        ({"runtime": "onnxruntime"}, "another runtime (litert, onnxruntime)"),
        ({"threads": 4, "batch": 8}, "another threads (1, 4) and another batch (1, 8)"),
        ({"target": "raspberry-pi-4", "via": "ssh"}, "another target (host, raspberry-pi-4)"),
    ],
)
def test_other_devices_and_versions_are_refused_unless_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], about: dict[str, Any], word: str
) -> None:
    before = save(tmp_path / "before.json", measured("m.tflite", around(100)))
    after = save(tmp_path / "after.json", measured("m.tflite", around(50), **about))
    code, facts, err = asked(capfd, before, after)
    assert code == 2 and facts is None and word in err and "--anyway" in err
    code, facts, _ = asked(capfd, before, after, "--anyway")
    assert code == 0 and facts["comparisons"][0]["verdict"] == "faster"


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("no json", "not the JSON of"),
        ("[1]", "a JSON object"),
        ('{"schema": 99}', "schema 99"),
        ('{"measurements": []}', "no measurement"),
        ('{"measurements": [3]}', "no object"),
        ('{"file": "m.tflite"}', "missing: 'artifact'"),
        ('{"file": "m.tflite", "emulated": true, "instructions": 5}', "counted, not timed"),
        ('{"file": "m.tflite", "cold": true}', "cold starts"),
        ('{"file": "m.tflite", "outputs_match": false}', "wrong outputs"),
    ],
)
def test_what_is_no_result_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: str, word: str
) -> None:
    good = save(tmp_path / "good.json", measured("m.tflite", around(100)))
    (tmp_path / "bad.json").write_text(content)
    code, _, err = asked(capfd, good, str(tmp_path / "bad.json"))
    assert code == 2 and word in err and "bad.json" in err and err.count("\n") == 1


@pytest.mark.parametrize("key", ["latency_ns", "rounds", "device"])
def test_figures_that_make_no_sense_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], key: str
) -> None:
    good = save(tmp_path / "good.json", measured("m.tflite", around(100)))
    wrong = {"latency_ns": [1, 0], "rounds": 10**6, "device": "fast"}[key]
    bad = save(tmp_path / "bad.json", measured("m.tflite", around(100)), **{key: wrong})
    code, _, err = asked(capfd, good, bad)
    assert code == 2 and "bad.json" in err


def test_flags_of_comparing_that_do_not_fit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = save(tmp_path / "a.json", measured("m.tflite", around(100)))
    assert asked(capfd, file, file, file)[0] == 2
    assert asked(capfd, file, str(tmp_path / "none.json"))[0] == 2
    (tmp_path / "m.tflite").write_bytes(b"x")
    assert main(["bench", str(tmp_path / "m.tflite"), "--max-slowdown", "0.1"]) == 2
    assert "second file" in capfd.readouterr().err
    assert main(["bench", "--compare", file, file, "--max-slowdown", "-1"]) == 2


@given(st.floats(0.2, 5), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 0.05))
def test_a_limit_has_three_outcomes_and_noise_widens_the_third(
    value: float, down: float, up: float, most: float, margin: float
) -> None:
    narrow = Interval(value, value * (1 - down / 2), value * (1 + up / 2))
    wide = Interval(value, value * (1 - down), value * (1 + up))
    found = outcome(wide, most, margin)
    # What is said of a wide interval is said of a narrow one, and of one without a margin.
    if found != "cannot tell":
        assert outcome(narrow, most, margin) == found == outcome(wide, most)
    if found == "broken":
        assert wide.low > 1 + most
    if found == "holds":
        assert wide.high <= 1 + most
