"""What fits a microcontroller: verdicts, and what the interpreter prints, read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.errors import MeasurementError
from edgeprune.footprints import Estimate, Footprint, Use
from edgeprune.runtimes.tflite_micro import Arena, parsed

PRINTED = """\
[RecordingMicroAllocator] Arena allocation total 4448 bytes
[RecordingMicroAllocator] Arena allocation head 2048 bytes
[RecordingMicroAllocator] Arena allocation tail 2400 bytes
[RecordingMicroAllocator] 'TfLiteEvalTensor data' used 360 bytes with alignment overhead \
(requested 360 bytes for 15 allocations)
"""


def use(used: int, limit: int = 1000, tight: float = 0.1) -> Use:
    return Use(used, limit, tight, "measured")


@pytest.mark.parametrize(
    ("used", "verdict", "margin"),
    [
        (0, "fits", 1000),
        (900, "fits", 100),
        (901, "tight", 99),
        (1000, "tight", 0),
        (1001, "too big", -1),
    ],
)
def test_verdicts(used: int, verdict: str, margin: int) -> None:
    found = use(used)
    assert (found.verdict, found.margin_bytes) == (verdict, margin)
    assert found.facts()["margin"] == margin / 1000
    assert use(1000, tight=0).verdict == "fits", "nothing has to stay free"


@given(st.integers(0, 2000), st.integers(0, 2000))
def test_a_file_is_no_better_than_its_worse_memory(flash: int, ram: int) -> None:
    order = ("fits", "tight", "too big")
    print_ = Footprint("0" * 64, "f.tflite", "m", "tflite-micro", "0", use(flash), use(ram))
    verdicts = (use(flash).verdict, use(ram).verdict)
    assert print_.verdict == max(verdicts, key=order.index)
    assert print_.facts()["verdict"] == print_.verdict


def test_what_is_not_measured_says_so() -> None:
    estimate = Estimate("ethos-u-vela 5.2.0", 0.01, 1e5, 4000, 30_000, 30, 2)
    facts = Footprint(
        "0" * 64, "f.tflite", "m", "ethos-u-vela", "5.2.0", use(1),
        Use(2, 1000, 0.1, "estimated"), estimate=estimate,
    ).facts()  # fmt: skip
    assert facts["latency"]["availability"] == "unavailable" and facts["latency"]["reason"]
    assert facts["estimate"]["availability"] == "estimated"
    assert facts["ram"]["source"] == "estimated" and facts["flash"]["source"] == "measured"
    assert facts["arena"] == {}


def test_the_arena_is_read_from_what_is_printed() -> None:
    assert parsed("noise\n" + PRINTED, "f") == Arena(total=4448, head=2048, tail=2400)


@pytest.mark.parametrize("missing", ["total", "head", "tail"])
def test_a_line_that_is_missing_is_an_error(missing: str) -> None:
    text = "\n".join(line for line in PRINTED.splitlines() if f"allocation {missing}" not in line)
    with pytest.raises(
        MeasurementError, match=f"f printed no 'Arena allocation {missing} … bytes'"
    ):
        parsed(text, "f")


def test_parts_that_do_not_make_the_whole_are_an_error() -> None:
    with pytest.raises(MeasurementError, match="4448 bytes with parts of 2048 and 2399"):
        parsed(PRINTED.replace("2400", "2399"), "f")
