"""What is in an ``.npz`` of ours: exactly what was given, and no object."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from edgeprune.errors import DataError
from edgeprune.npz import write_npz
from edgeprune.plans import Mask, Plan
from edgeprune.scores import Scores

NAMES = ["file", "allow_pickle", "a/b", "args", "kwds", "compressed"]
"""Some are arguments of numpy's own function, in one version or another."""


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_holds_exactly_the_names_that_were_given(tmp_path: Path, compressed: bool) -> None:
    arrays = {name: np.arange(n, dtype="f4") for n, name in enumerate(NAMES)}
    arrays["text"] = np.array(["é", "b"])
    write_npz(tmp_path / "a.npz", arrays, compressed=compressed)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file.files == [*NAMES, "text"]
        for name, value in arrays.items():
            np.testing.assert_array_equal(file[name], value)
            assert file[name].dtype == value.dtype


def test_the_bytes_are_numpys_own_and_always_the_same() -> None:
    arrays = {"b": np.eye(3), "a": np.arange(4).reshape(2, 2).T, "c": np.float32(2)}
    ours, again, theirs = io.BytesIO(), io.BytesIO(), io.BytesIO()
    write_npz(ours, arrays)
    write_npz(again, arrays)
    np.savez(theirs, **arrays)
    assert ours.getvalue() == again.getvalue() == theirs.getvalue()


@pytest.mark.parametrize("value", [{"a": 1}, [None], np.zeros(2, [("x", "O")])])
def test_no_object_is_written(value: object) -> None:
    file = io.BytesIO()
    with pytest.raises(DataError, match=r"array 'odd' holds Python objects.*; give numbers"):
        write_npz(file, {"odd": value})  # type: ignore[dict-item]
    assert b"odd" not in file.getvalue()


def test_plans_and_scores_hold_no_other_array(tmp_path: Path) -> None:
    """numpy 2.1's savez(allow_pickle=False) stores an array of that name."""
    scores = Scores("taylor", "0" * 64, {"a/kernel": np.ones((2, 3), "f4")}, {}, {}, {})
    scores.save(tmp_path / "s.npz")
    plan = Plan("0" * 64, (), (Mask("a/kernel", np.eye(2, 3, dtype=bool)),))
    plan.save(tmp_path / "p.json")
    for name, wanted in (("s", ["header", "weights/a/kernel"]), ("p", ["a/kernel"])):
        with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as file:
            assert file.files == wanted
