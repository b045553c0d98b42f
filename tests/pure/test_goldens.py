"""Golden inputs in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeprune.errors import InputError
from edgeprune.goldens import NAME, Golden

X = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_they_come_back_as_they_went(tmp_path: Path) -> None:
    made = Golden((X, X.astype(np.int32)), (X[:, :1],), 0.01)
    path = tmp_path / NAME
    made.save(path)
    again = Golden.beside(tmp_path / "model.tflite")
    assert again is not None and again.tolerance == 0.01
    for one, other in zip(
        (*made.inputs, *made.expected), (*again.inputs, *again.expected), strict=True
    ):
        assert one.dtype == other.dtype and np.array_equal(one, other)
    before = path.read_bytes()
    made.save(path)
    assert path.read_bytes() == before
    assert Golden.beside(tmp_path / "elsewhere" / "model.tflite") is None
    np.savez(path, input_0=X, output_0=X)  # as anybody writes them
    assert Golden.load(path).tolerance == 1e-4 and Golden.load(path).measure == "relative"
    Golden((X,), (X,), 0.1, "rms").save(path)
    assert Golden.load(path).measure == "rms"


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"input_0": X}, "no input_0 or no output_0"),
        ({"output_0": X}, "no input_0 or no output_0"),
        ({"input_0": X, "output_0": X[:2]}, "arrays of [2, 3] examples"),
        ({"input_0": X[:0], "output_0": X[:0]}, "arrays of [0] examples"),
        ({"input_0": np.float32(1), "output_0": X}, "arrays of [0, 3] examples"),
        ({"input_0": X, "output_0": X, "tolerance": np.float64("nan")}, "tolerance = nan"),
        ({"input_0": X, "output_0": X, "tolerance": X}, "no file of golden inputs"),
        ({"input_0": X, "output_0": X, "measure": np.str_("far")}, "measure = 'far'; one of"),
        ({"input_0": np.array([object()]), "output_0": X}, "no file of golden inputs"),
    ],
)
def test_what_is_none_is_one_line(tmp_path: Path, arrays: Any, fault: str) -> None:
    path = tmp_path / NAME
    np.savez(path, **arrays)
    with pytest.raises(InputError) as caught:
        Golden.load(path)
    assert str(path) in str(caught.value) and fault in str(caught.value)
    path.write_bytes(b"no archive")
    with pytest.raises(InputError, match="no file of golden inputs"):
        Golden.load(path)
