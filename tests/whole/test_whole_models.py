"""Whole models go the whole road: cut, compared, counted, saved, trained, exported and verified.

``make whole`` runs all of it, ``make nightly`` what is not large. The models of other people are
fetched with the ordinary client of the package registry.
"""

from __future__ import annotations

import gc
import json
from dataclasses import asdict

import keras
import pytest

from benchmarks.coverage import RESULTS, covered
from benchmarks.mltk import RESULTS as OPENED
from benchmarks.subjects import SLOW, SMALL, Subject, application, files, nets
from edgeprune.errors import ModelError

ROWS = {row["name"]: row for row in json.loads(RESULTS.read_text())}
REFUSED = {
    row["file"].removesuffix(".h5")
    for row in json.loads(OPENED.read_text())["models"]
    if not row["opens"]
}
PINNED = ("parameters", "groups", "free", "share", "left", "verified", "fixed")


def check(subject: Subject) -> None:
    """It goes the whole road, and is as the table says, if it stands there, to the last channel."""
    keras.backend.clear_session()
    gc.collect()
    row = json.loads(json.dumps(asdict(covered(subject))))
    wanted = ROWS.get(row["name"], row)
    assert {key: row[key] for key in PINNED} == {key: wanted[key] for key in PINNED}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.nightly) for name in SMALL), *SLOW]
)
def test_an_architecture(name: str) -> None:
    check(application(name))


@pytest.mark.nightly
@pytest.mark.parametrize("subject", nets(), ids=lambda subject: subject.name)
def test_a_small_net(subject: Subject) -> None:
    check(subject)


@pytest.mark.timeout(3600)
def test_what_other_people_trained() -> None:
    refused = set()
    for subject in files():
        try:
            check(subject)
        except ModelError:
            refused.add(subject.name)
    assert refused == REFUSED
