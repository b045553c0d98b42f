"""Facts on the screen: no name is broken, whatever the width; without a terminal no line is."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from edgeprune.cli.tables import drawn, facts_tables
from edgeprune.cli.terminal import Session
from edgeprune.reporting.tables import Table

LONG = "a_block/batch_normalization/moving_variance"
REASON = "the layer a_block/add is a wall, of a class that no rule follows"
FACTS = {
    "name": "m",
    "values": "c02a" * 16,
    "groups": [
        {
            "name": "a_block/convolution_of_the_stem",
            "size": 32,
            "fixed": REASON,
            "inexact": None,
            "macs_per_channel": 123_456,
            "parameters_per_channel": 78,
            "members": [{"weight": LONG, "axis": 0, "role": "follows"}] * 3,
        }
    ],
}


def shown(width: int, item: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    console.print(item, crop=False)
    return file.getvalue()


@pytest.mark.parametrize("width", [30, 60, 80, 100, 200])
def test_a_name_is_never_broken(width: int) -> None:
    text = "".join(shown(width, table) for table in facts_tables("model.keras", FACTS))
    assert text.count(LONG) == 3 and text.count("a_block/convolution_of_the_stem") == 1
    assert "c02a" * 16 in text and "123,456" in text


def test_on_a_terminal_what_may_wrap_wraps() -> None:
    *_, group = facts_tables("model.keras", FACTS)
    lines = shown(80, group).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > len(shown(300, group).splitlines())
    assert REASON in " ".join(shown(80, group).split())


def test_a_column_that_may_wrap_gives_way_to_names() -> None:
    records = [{"kernel": LONG, "kind": "convolution", "sides": "inputs and outputs of it"}]
    *_, table = facts_tables("m", {"kernels": records})
    lines = shown(80, table).splitlines()
    assert max(map(len, lines)) <= 80 and any(LONG in line for line in lines)
    assert "inputs and outputs of it" in shown(100, table)


def test_without_a_terminal_nothing_wraps(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A runner of tests may have set it; whoever sets it asks for that width.
    monkeypatch.delenv("COLUMNS", raising=False)
    note = "host: " + "it cannot be reached from here, because of a reason that is long " * 4
    session = Session()
    for part in [*facts_tables("model.keras", FACTS), Text(note)]:
        session.print(part)
    session.print(drawn(Table("t", ("a",), (("b",),), ("",), notes=(note,))))
    out = capfd.readouterr().out
    assert f"follows  {LONG}[0], {LONG}[0], {LONG}[0]" in out
    assert out.count(note.strip()) == 2
    assert REASON in out
    assert max(map(len, out.splitlines())) < 400  # and nothing is padded to some width
