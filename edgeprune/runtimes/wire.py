"""Messages between a parent and its child: a JSON object, then arrays as they lie in memory.

Eight bytes (length of the JSON, number of arrays), the JSON, the arrays' bytes one after another;
their dtypes and shapes are in the JSON under ``"arrays"``. Nothing that could run code.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_HEAD = struct.Struct("<II")


def send(stream: BinaryIO, message: Mapping[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Write one message.

    Raises:
        OSError: the other side has gone.
    """
    solid = [np.ascontiguousarray(array) for array in arrays]
    about = [{"dtype": array.dtype.name, "shape": array.shape} for array in arrays]
    text = json.dumps({**message, "arrays": about}).encode()
    stream.write(_HEAD.pack(len(text), len(solid)))
    stream.write(text)
    for array in solid:
        stream.write(array.reshape(-1).view(np.uint8).data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], list[Array]]:
    """Read one message.

    Raises:
        EOFError: the other side has gone.
    """
    length, count = _HEAD.unpack(_exactly(stream, _HEAD.size))
    message = json.loads(_exactly(stream, length))
    arrays = []
    for about in message.pop("arrays")[:count]:
        array = np.empty(about["shape"], np.dtype(about["dtype"]))
        view = array.reshape(-1).view(np.uint8).data
        while len(view):
            read = stream.readinto(view)  # type: ignore[attr-defined]
            if not read:
                raise EOFError
            view = view[read:]
        arrays.append(array)
    return message, arrays


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
