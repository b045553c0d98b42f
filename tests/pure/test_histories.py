"""Results over time: kept with what made them, read as series, judged by their own spread."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_results import around, measured, save

from edgeprune.benchmarking.histories import read_history, save_result
from edgeprune.cli import main
from edgeprune.reporting.measured import blocks

BUSY = {"throttled": True}


def fill(folder: Path, medians_us: list[float], *, file: str = "m.tflite", **about: Any) -> None:
    """A result a day, of a commit each."""
    folder.mkdir(exist_ok=True)
    for day, median in enumerate(medians_us, 1):
        one = measured(
            file, around(median, 0.002, day), date=f"2026-01-{day:02}T00:00:00+00:00", **about
        )
        source = {"commit": f"{day:040x}", "dirty": day % 2 == 0}
        save(folder / f"bench-{file}-{day:02}-{len(about)}.json", one, source=source)


def asked(capfd: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, Any, str]:
    code = main(["bench", "history", *map(str, arguments), "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out) if out else None, err


QUIET_WEEK = [100.0, 101, 99.5, 100.5, 100, 99.8]


@pytest.mark.parametrize(
    ("medians", "outcome", "code"),
    [
        ([*QUIET_WEEK, 100.2], "holds", 0),
        ([*QUIET_WEEK, 90.0], "holds", 0),
        ([*QUIET_WEEK, 115.0], "broken", 3),
        ([*QUIET_WEEK, 105.0], "cannot tell", 4),
        # The same 15 % are nothing in a history that spreads as far itself.
        ([100.0, 112, 95, 108, 90, 104, 115], "cannot tell", 4),
        ([100.0, 100, 115], "cannot tell", 4),
    ],
)
def test_the_newest_is_judged_by_the_spread_of_those_before(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    medians: list[float],
    outcome: str,
    code: int,
) -> None:
    fill(tmp_path / "results", medians)
    told, facts, _ = asked(capfd, tmp_path / "results", "--max-slowdown", "0.05")
    (series,) = facts["series"]
    assert (series["outcome"], told) == (outcome, code)
    assert (outcome == "cannot tell") == bool(series["why"])
    if len(medians) < 4:
        assert series["ratio"] is None and "2 sound results" in series["why"]
    # Without a limit nothing is judged.
    told, facts, _ = asked(capfd, tmp_path / "results")
    assert told == 0 and "outcome" not in facts["series"][0]
    assert [each["commit"] for each in facts["series"][0]["entries"]] == [
        f"{day:040x}" for day in range(1, len(medians) + 1)
    ]


def test_results_in_doubt_are_neither_judged_nor_a_yardstick(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "a", QUIET_WEEK)
    newest = measured("m.tflite", around(200), conditions=BUSY, date="2026-02-01T00:00:00+00:00")
    save(tmp_path / "a/bench-z.json", newest, source={"commit": "f" * 40})
    code, facts, _ = asked(capfd, tmp_path / "a", "--max-slowdown", "0.05")
    assert code == 4 and "in doubt" in facts["series"][0]["why"]
    assert [each["valid"] for each in facts["series"][0]["entries"]] == [True] * 6 + [False]
    fill(tmp_path / "b", QUIET_WEEK, conditions=BUSY)
    fill(tmp_path / "b", QUIET_WEEK[:3], runtime="litert")
    code, facts, _ = asked(capfd, tmp_path / "b", "--max-slowdown", "0.05")
    assert code == 4


def test_other_devices_and_versions_are_series_of_their_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "results"
    fill(folder, [*QUIET_WEEK, 130.0], runtime_version="2.1.0")
    fill(folder, [*QUIET_WEEK, 100.1, 99.9], device={"cpu": "Y"}, threads=2)
    fill(folder, [10.0], file="other.onnx", runtime="onnxruntime", batch=4, target="host")
    code, facts, _ = asked(capfd, folder, "--max-slowdown", "0.05")
    assert [len(each["entries"]) for each in facts["series"]] == [7, 8, 1]
    # Only what the newest commit measured is judged: the old version's slowdown had its day.
    assert ["outcome" in each for each in facts["series"]] == [False, True, False]
    assert code == 0 and facts["series"][1]["outcome"] == "holds"
    _, facts, _ = asked(capfd, folder, "--file", "other.onnx")
    assert [each["file"] for each in facts["series"]] == ["other.onnx"]
    code, _, err = asked(capfd, folder, "--file", "none.onnx")
    assert code == 2 and "m.tflite, other.onnx" in err


def test_a_step_names_the_commit_it_came_with(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "results", [*QUIET_WEEK, *(1.2 * np.array(QUIET_WEEK))])
    _, facts, _ = asked(capfd, tmp_path / "results")
    found = facts["series"][0]["step"]
    assert found["at"] == 6 and found["commit"] == f"{7:040x}"
    assert main(["bench", "history", str(tmp_path / "results")]) == 0
    out = capfd.readouterr().out
    assert "changed with 00000000" in out and "▁" in out and "█" in out


def test_a_history_is_drawn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder, plot = tmp_path / "results", tmp_path / "history.svg"
    fill(folder, [*QUIET_WEEK, 120, 121, 119, 120, 121])
    fill(folder, [5.0], file="other.onnx", runtime="onnxruntime")
    assert asked(capfd, folder, "--plot", plot)[0] == 0
    drawn = plot.read_text()
    assert drawn.startswith("<svg") and "m.tflite on host" in drawn and "other.onnx" in drawn
    assert asked(capfd, folder, "--plot", tmp_path / "history.png")[0] == 2
    assert asked(capfd, folder, "--plot", folder / "bench-m.tflite-01-0.json" / "h.svg")[0] == 1


@pytest.mark.parametrize("make", ["nothing", "empty", "broken"])
def test_a_folder_without_results_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], make: str
) -> None:
    folder = tmp_path / "results"
    if make != "nothing":
        fill(folder, [] if make == "empty" else [1.0])
        (folder / "speed.json").write_text("{}")  # not of bench: left alone
    if make == "broken":
        (folder / "bench-x.json").write_text("{}")
    code, _, err = asked(capfd, folder)
    assert code == 2 and str(folder) in err and err.count("\n") == 1
    assert ("bench-x.json" in err) == (make == "broken")


def test_results_are_kept_under_time_and_commit(tmp_path: Path) -> None:
    facts = {**measured("m.tflite", around(1)).facts(), "source": {"commit": "abcdef1234"}}
    first, second = (save_result(facts, tmp_path / "results") for _ in range(2))
    assert first.name == "bench-20260102T030405Z-abcdef12.json"
    assert second.name == "bench-20260102T030405Z-abcdef12_2.json"
    several = {"measurements": [{**facts, "source": {"commit": {"availability": "unavailable"}}}]}
    assert save_result(several, tmp_path).name == "bench-20260102T030405Z-uncommitted.json"
    (series,) = read_history(tmp_path / "results")
    assert [each.path for each in series.entries] == [first, second]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["m.tflite", "--cold"], "--save keeps"),
        (["a.json", "b.json", "--compare"], "--save keeps"),
        (["m.tflite", "--via", "qemu", "--target", "raspberry-pi-4"], "--save keeps"),
        (["x/m.tflite", "y/m.tflite"], "one name"),
    ],
)
def test_what_cannot_be_kept_is_refused_before_any_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], word: str
) -> None:
    assert main(["bench", *arguments, "--save", str(tmp_path / "results")]) == 2
    assert word in capfd.readouterr().err and not (tmp_path / "results").exists()


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40))
def test_blocks_have_one_sign_a_value_in_its_order(values: list[float]) -> None:
    drawn = blocks(values)
    assert len(drawn) == len(values)
    assert drawn[int(np.argmin(values))] == "▁" == min(drawn)
    if max(values) > min(values):
        assert drawn[int(np.argmax(values))] == "█"
