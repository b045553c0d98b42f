"""What bench found, as other people's tools read it."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from measured_results import around, measured, save

from edgeprune.cli import main
from edgeprune.reporting.exchange import FORMATS

KINDS = {
    "junit": "junit.xml",
    "markdown": "bench.md",
    "github-action-benchmark": "action.json",
    "bencher": "bmf.json",
}


def timed() -> dict[str, Any]:
    """Two files timed together."""
    one = measured("a<b>&.tflite", around(100), threads=4, elapsed_ns=10**7)
    other = measured("b.tflite", around(50), threads=4, batch=8)
    return {
        "measurements": [{**each.facts(), "doubts": ["hot"]} for each in (one, other)],
        "comparisons": [],
    }


def compared(tmp_path: Path, after_us: float, *flags: str) -> int:
    before = save(tmp_path / "before.json", measured("m.tflite", around(100)))
    after = save(tmp_path / "after.json", measured("m.tflite", around(after_us, seed=2)))
    reports = [f"--report={kind}={tmp_path / name}" for kind, name in KINDS.items()]
    return main(["bench", "--compare", before, after, "-q", *reports, *flags])


def test_every_format_is_written_in_full() -> None:
    assert set(FORMATS) == set(KINDS)
    for write in FORMATS.values():
        text = write(timed())
        assert text.endswith("\n") and text == write(timed())


def test_github_action_benchmark_reads_it() -> None:
    found = json.loads(FORMATS["github-action-benchmark"](timed()))
    assert isinstance(found, list)
    for each in found:  # its type CustomBenchmarkResult: strings, and a number
        assert set(each) <= {"name", "unit", "value", "range", "extra"}
        assert isinstance(each["value"], float) and each["unit"] == "ms"
        assert all(isinstance(each[key], str) for key in each if key != "value")
    assert found[0]["name"] == "a<b>&.tflite on host, 4 threads"
    assert found[1]["name"] == "b.tflite on host, 4 threads, batch 8"
    assert found[0]["value"] == pytest.approx(0.1, rel=0.02) and found[0]["range"][0] == "±"


def test_bencher_reads_it() -> None:
    found = json.loads(FORMATS["bencher"](timed()))
    one = found["a<b>&.tflite on host, 4 threads"]
    latency = one["latency"]  # nanoseconds
    assert latency["lower_value"] <= latency["value"] <= latency["upper_value"]
    assert latency["value"] == pytest.approx(100_000, rel=0.02)
    assert one["throughput"] == {"value": pytest.approx(60 / 0.01)}  # a second
    # What was not measured is left out, never zero.
    assert set(found["b.tflite on host, 4 threads, batch 8"]) == {"latency"}


def test_markdown_escapes_what_is_in_names() -> None:
    text = FORMATS["markdown"](timed())
    assert "a\\<b\\>&.tflite" in text and "| median |" in text and "warning: hot" in text


@pytest.mark.parametrize(
    ("after_us", "code", "tag"), [(60, 0, None), (130, 3, "failure"), (106, 4, "skipped")]
)
def test_junit_fails_where_a_limit_is_broken_and_skips_where_none_can_tell(
    tmp_path: Path, after_us: float, code: int, tag: str | None
) -> None:
    assert compared(tmp_path, after_us, "--max-slowdown", "0.05") == code
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    cases = suite.findall("testcase")
    assert suite.attrib["tests"] == str(len(cases)) == "2"
    assert suite.attrib["failures"] == str(int(tag == "failure"))
    assert suite.attrib["skipped"] == str(int(tag == "skipped")) and suite.attrib["errors"] == "0"
    latency, slowdown = cases
    assert latency.attrib["classname"] == "host"
    assert float(latency.attrib["time"]) == pytest.approx(after_us / 1e6, rel=0.02)
    assert [child.tag for child in slowdown] == ([tag] if tag else [])
    if tag:
        assert "at most 5.0% slower" in slowdown[0].attrib["message"]


def test_a_wrong_output_is_a_failure_and_its_latency_no_result() -> None:
    facts = timed()
    facts["measurements"][0] |= {"outputs_match": False, "difference": 0.5}
    suite = ET.fromstring(FORMATS["junit"](facts)).find("testsuite")
    assert suite is not None and suite.attrib["failures"] == "1"
    right, wrong = suite.findall("testcase")
    assert right.attrib["name"].startswith("b.tflite")
    assert wrong.attrib["name"] == "a<b>&.tflite: outputs" and wrong[0].tag == "failure"
    assert len(json.loads(FORMATS["bencher"](facts))) == 1


def test_a_history_is_reported_by_its_newest(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    for day, median in enumerate((100, 101, 99, 100.5, 130), 1):
        date = f"2026-01-0{day}T00:00:00+00:00"
        one = measured("m.tflite", around(median, 0.002), date=date)
        save(folder / f"bench-{day}.json", one, source={"commit": f"{day:040x}", "dirty": True})
    reports = [f"--report={kind}={tmp_path / name}" for kind, name in KINDS.items()]
    asked = ["bench", "history", str(folder), "--max-slowdown", "0.05", "-q", *reports]
    assert main(asked) == 3
    (found,) = json.loads((tmp_path / "action.json").read_text())
    assert found["value"] == pytest.approx(0.13, rel=0.02) and "00000000*" in found["extra"]
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None and suite.attrib["failures"] == "1"
    assert "broken" in (tmp_path / "bench.md").read_text()
    (latency,) = json.loads((tmp_path / "bmf.json").read_text()).values()
    assert latency["latency"]["value"] == pytest.approx(130_000, rel=0.02)


def test_a_ci_jobs_summary_is_appended_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert compared(tmp_path, 60) == 0 and compared(tmp_path, 60) == 0
    text = summary.read_text()
    assert text.startswith("# before\n") and text.count("## edgeprune bench") == 2
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "none" / "summary.md"))
    capfd.readouterr()
    assert compared(tmp_path, 60) == 1
    assert "GITHUB_STEP_SUMMARY" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("report", "code", "word"),
    [
        ("junt=x.xml", 2, "did you mean 'junit'"),
        ("junit", 2, "junit=FILE"),
        ("pdf=x.pdf", 2, "formats are junit, markdown"),
        ("junit=before.json/x.xml", 1, "before.json"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    report: str,
    code: int,
    word: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "before.json", measured("m.tflite", around(100)))
    # The second result is not there: the report is looked at before any file is read.
    asked = ["bench", "--compare", "before.json", "none.json", "--report", report]
    assert main(asked) == code
    assert word in capfd.readouterr().err
    cold = ["bench", "m.tflite", "--cold", "--report", "junit=x.xml"]
    assert main(cold) == 2
    assert "not of counts or cold starts" in capfd.readouterr().err
