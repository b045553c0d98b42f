"""A scan as data: what is a loss and what is noise, ranks, files, and the plot."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from edgeprune.drops import Drop
from edgeprune.errors import PlanError, VersionError
from edgeprune.reporting import curves_plot
from edgeprune.scans import Curve, Reading, Scan


def curve(name: str, *drops: float, error: float = 0.01) -> Curve:
    ratios = [0.1 * (place + 1) for place in range(len(drops))]
    readings = [Reading(r, r, Drop(d, error, d, 400)) for r, d in zip(ratios, drops, strict=True)]
    return Curve(name, 40, tuple(readings))


SCAN = Scan(
    model="m" * 64, of="channels", method="taylor", metric="accuracy", before=0.9, examples=400,
    confidence=0.95, curves=(curve("a", 0, 0.01, 0.05), curve("b", 0.1, 0.2, 0.3)),
    skipped={"in": "model input"},
)  # fmt: skip


def test_what_suffers_most_comes_first_and_noise_is_no_loss() -> None:
    assert [each.name for each in SCAN.ranked] == ["b", "a"]
    a, b = SCAN.curves
    assert a.mean == pytest.approx(0.02) and a.error == pytest.approx(0.01)
    assert a.harmless() == pytest.approx(0.2) and b.harmless() == 0
    # After the first sure loss nothing counts, whatever a later ratio seems to say.
    assert curve("c", 0, 0.05, 0).harmless() == pytest.approx(0.1)


def test_it_survives_a_file(tmp_path) -> None:
    SCAN.save(tmp_path / "scan.json")
    assert Scan.load(tmp_path / "scan.json") == SCAN
    row = json.loads((tmp_path / "scan.json").read_text())["curves"][0]["readings"][2]
    assert row["low"] == pytest.approx(0.05 - 1.96 * 0.01, abs=1e-4)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1, "curves": [3]}'])
def test_what_is_no_scan_is_refused_by_name(tmp_path, text) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(PlanError, match=r"s\.json: not a scan of edgeprune"):
        Scan.load(tmp_path / "s.json")
    with pytest.raises(PlanError, match=r"none\.json: no such file"):
        Scan.load(tmp_path / "none.json")


def test_a_scan_of_a_newer_version_is_refused(tmp_path) -> None:
    (tmp_path / "s.json").write_text('{"schema": 99}')
    with pytest.raises(VersionError):
        Scan.load(tmp_path / "s.json")


def test_the_plot_is_a_file_of_its_own_with_a_panel_a_place() -> None:
    svg = curves_plot(SCAN)
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg") and root.get("viewBox")
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("text")]
    assert texts.index("b") < texts.index("a")
    assert "--after:#0f7b6c" in svg and "prefers-color-scheme:dark" in svg
    assert curves_plot(SCAN) == svg
    assert curves_plot(replace(SCAN, curves=(curve("flat", 0, 0),)))
