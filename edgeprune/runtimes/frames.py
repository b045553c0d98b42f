"""Messages as bytes: a head, a JSON object, and what follows it as it is. No numpy.

The head has the length of the JSON and of the rest. Nothing that could run code.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

_HEAD = struct.Struct("<IQ")
MOST_JSON = 64 * 2**20
MOST_REST = 16 * 2**30
"""Beyond these it is no message of ours: the other side printed something."""


def write_frame(
    stream: BinaryIO, message: Mapping[str, Any], rest: Iterable[Any] = (), length: int = 0
) -> None:
    """Write one message.

    Args:
        stream: where to.
        message: JSON values.
        rest: pieces of bytes behind it, one after another.
        length: of all pieces.

    Raises:
        OSError: the other side has gone.
    """
    text = json.dumps(message).encode()
    stream.write(_HEAD.pack(len(text), length))
    stream.write(text)
    for piece in rest:
        stream.write(piece)
    stream.flush()


def read_head(stream: BinaryIO) -> tuple[dict[str, Any], int]:
    """A message, and how many bytes follow it.

    Raises:
        EOFError: the other side has gone, or says what is no message.
    """
    length, rest = _HEAD.unpack(exactly(stream, _HEAD.size))
    if length > MOST_JSON or rest > MOST_REST:
        raise EOFError
    try:
        message = json.loads(exactly(stream, length))
    except ValueError:
        raise EOFError from None
    if not isinstance(message, dict):
        raise EOFError
    return message, rest


def exactly(stream: BinaryIO, size: int) -> bytes:
    """So many bytes.

    Raises:
        EOFError: the other side has gone.
    """
    data = stream.read(size)
    if data is None or len(data) < size:
        raise EOFError
    return data
