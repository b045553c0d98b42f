"""What bench prints keeps to what is published of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from measured_results import around, measured
from pydantic import ValidationError

from edgeprune.benchmarking.comparing import compare
from edgeprune.benchmarking.conditions import State, between
from edgeprune.benchmarking.validity import validity
from edgeprune.contracts import BENCH, COUNT, Counted, Measured, Several
from edgeprune.counts import Count

STATE = State()
UNTOLD = between(STATE, STATE, 1, [0], 2)
MADE = {"edgeprune": "0.1", "python": "3.11.9", "commit": "abc", "dirty": False}


def timed(**about: Any) -> dict[str, Any]:
    found = measured("a.tflite", around(30), conditions=UNTOLD, **about)
    return {"schema": 1, **found.facts(), **validity(found), "source": MADE}


def read(facts: Any) -> Any:
    return BENCH.validate_json(json.dumps(facts))


def count(**about: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "artifact": "0", "file": "a", "target": "raspberry-pi-4", "runtime": "litert",
        "runtime_version": "2", "threads": 1, "core": "cortex-a72", "emulator": "qemu 7",
        "outputs_match": True, "difference": 0.0,
    }  # fmt: skip
    return {"schema": 1, **Count(**{**plain, **about}).facts()}


def test_figures_known_and_missing() -> None:
    for facts in (timed(), timed(outputs_match=False), timed(outputs_match=True, difference=0.0)):
        assert isinstance(read(facts), Measured)
    for facts in (
        count(instructions=7, kernels={"gemm": 7}),
        count(uncounted="no C compiler", unnamed="not counted"),
        count(outputs_match=False, difference=None),
    ):
        assert isinstance(read(facts), Counted)
        assert COUNT.validate_json(json.dumps(facts)) == read(facts)
    one, other = (
        measured(name, around(30, seed=k), conditions=UNTOLD) for k, name in enumerate("ab")
    )
    several = {
        "schema": 1, "targets": ["host", "x"], "measurements": [one.facts(), other.facts()],
        "comparisons": [compare(one, other, paired=True).facts(0.05)],
        "failed": [{"target": "x", "error": "x: cannot be reached"}],
    }  # fmt: skip
    assert isinstance(read(several), Several)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", 2),
        ("median_ms", "fast"),
        ("median_ms", None),
        ("median_ms", {"availability": "unavailable"}),
        ("latency_ns", [1.5]),
        ("emulated", True),
        ("new_key", 1),
    ],
)
def test_another_layout_is_none(key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        read({**timed(), key: value})
    with pytest.raises(ValidationError):
        read({k: v for k, v in timed().items() if k != "outputs_match"})
    with pytest.raises(ValidationError):
        read({**count(instructions=7, kernels={"gemm": 7}), "median_ms": 1.0})
