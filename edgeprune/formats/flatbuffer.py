"""Flatbuffers read without trust: no offset is followed before it is known to lie in the file.

Layout: https://flatbuffers.dev/internals/. Fields are numbered as in the schema, from 0.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.formats.facts import Damage


class Table:
    """A table of a flatbuffer at ``at``.

    Raises:
        Damage: here and in every method, where anything lies outside the file.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        vtable = at - int(_number(data, at, "<i"))
        size = int(_number(data, vtable, "<H"))
        if size < 4 or size % 2 or vtable + size > len(data):
            raise Damage(f"a table at byte {at} without a valid layout")
        self._vtable, self._size = vtable, size

    @classmethod
    def root(cls, data: bytes, identifier: bytes) -> Table:
        """The root table of a file with this four-byte identifier."""
        if len(data) < 8 or data[4:8] != identifier:
            raise Damage(f"it does not carry the mark {identifier.decode()}")
        return cls(data, int(_number(data, 0, "<I")))

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """An integer field; ``kind`` as :mod:`struct` writes it (``"<i"``)."""
        place = self._place(field)
        return default if place is None else int(_number(self._data, place, kind))

    def table(self, field: int) -> Table | None:
        """A table field; ``None`` where it is absent."""
        place = self._place(field)
        return None if place is None else Table(self._data, self._follow(place))

    def text(self, field: int) -> str:
        """A string field; empty where it is absent."""
        return self.numbers(field, np.uint8).tobytes().decode("utf-8", errors="replace")

    def tables(self, field: int) -> list[Table]:
        """A vector of tables; empty where it is absent."""
        start, length = self._vector(field, 4)
        places = (start + 4 * index for index in range(length))
        return [Table(self._data, self._follow(place)) for place in places]

    def numbers(self, field: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """A vector of numbers, as a read-only view of the file; empty where it is absent."""
        kind = np.dtype(dtype).newbyteorder("<")
        start, length = self._vector(field, kind.itemsize)
        return np.frombuffer(self._data, kind, length, start)

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset = int(_number(self._data, self._vtable + entry, "<H"))
        return self._at + offset if offset else None

    def _follow(self, place: int) -> int:
        return place + int(_number(self._data, place, "<I"))

    def _vector(self, field: int, itemsize: int) -> tuple[int, int]:
        place = self._place(field)
        if place is None:
            return 0, 0
        start = self._follow(place)
        length = int(_number(self._data, start, "<I"))
        if start + 4 + length * itemsize > len(self._data):
            raise Damage(f"a list at byte {start} that goes on after the end of the file")
        return start + 4, length


def _number(data: bytes, at: int, kind: str) -> int:
    if at < 0 or at + struct.calcsize(kind) > len(data):
        raise Damage(f"it points to byte {at}, and has {len(data)}")
    return int(struct.unpack_from(kind, data, at)[0])
