"""Messages between a parent and its child: a JSON object, then arrays as they lie in memory.

Dtypes and shapes of the arrays are in the JSON under ``"arrays"``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from edgeprune.runtimes.frames import read_head, write_frame

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    Array = np.ndarray


def send(stream: BinaryIO, message: Mapping[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Write one message.

    Raises:
        OSError: the other side has gone.
    """
    solid = [np.ascontiguousarray(array) for array in arrays]
    about = [{"dtype": array.dtype.name, "shape": array.shape} for array in arrays]
    pieces = [array.reshape(-1).view(np.uint8).data for array in solid]
    write_frame(stream, {**message, "arrays": about}, pieces, sum(map(len, pieces)))


def receive(stream: BinaryIO) -> tuple[dict[str, Any], list[Array]]:
    """Read one message.

    Raises:
        EOFError: the other side has gone.
    """
    message, rest = read_head(stream)
    arrays = []
    for about in message.pop("arrays", ()):
        array = np.empty(about["shape"], np.dtype(about["dtype"]))
        rest -= array.nbytes
        if rest < 0:
            raise EOFError
        view = array.reshape(-1).view(np.uint8).data
        while len(view):
            read = stream.readinto(view)  # type: ignore[attr-defined]
            if not read:
                raise EOFError
            view = view[read:]
        arrays.append(array)
    if rest:
        raise EOFError
    return message, arrays
