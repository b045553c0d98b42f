"""Arrays in an ``.npz``, the same whichever numpy writes them: never a pickled object.

``numpy.savez`` takes ``allow_pickle`` from 2.2 on; before, it stores an array of that name. Nor can
it store an array that is named as one of its own arguments.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from edgeprune.errors import DataError


def write_npz(
    file: Path | IO[bytes], arrays: Mapping[str, npt.ArrayLike], *, compressed: bool = False
) -> None:
    """Write ``arrays`` under exactly their names, in their order; the bytes are a function of them.

    Args:
        file: a path, whose suffix stays as it is, or a file open for writing.
        arrays: of numbers or text.
        compressed: take less room.

    Raises:
        DataError: an array of Python objects.
    """
    how = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", how) as archive:
        for name, value in arrays.items():
            array = np.asanyarray(value)
            if array.dtype.hasobject:
                raise DataError(
                    f"array {name!r} holds Python objects, which no .npz of ours does; "
                    "give numbers or text"
                )
            # As numpy does: an array's length is not known to the archive before it is written.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
