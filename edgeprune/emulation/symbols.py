"""Which function of a shared library holds an address: its symbol table, read without trust."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.errors import EmulationError

_SECTION = np.dtype(
    [("name", "<u4"), ("type", "<u4"), ("flags", "<u8"), ("address", "<u8"), ("offset", "<u8"),
     ("size", "<u8"), ("link", "<u4"), ("info", "<u4"), ("align", "<u8"), ("each", "<u8")]
)  # fmt: skip
_SEGMENT = np.dtype(
    [("type", "<u4"), ("flags", "<u4"), ("offset", "<u8"), ("address", "<u8"), ("physical", "<u8"),
     ("size", "<u8"), ("memory", "<u8"), ("align", "<u8")]
)  # fmt: skip
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
     ("size", "<u8")]
)  # fmt: skip
_SYMTAB, _FUNCTION, _LOAD = 2, 2, 1


@dataclass(frozen=True)
class Symbols:
    """The functions of an ELF file, by address.

    Attributes:
        starts, ends: uint64, one entry a function, ``starts`` ascending.
        names: likewise.
        segments: what is loaded: file offset, address and size of each part, shape (n, 3).
    """

    starts: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.uint64]
    names: tuple[str, ...]
    segments: npt.NDArray[np.uint64]

    @classmethod
    def read(cls, path: Path) -> Symbols:
        """The symbol table of a 64-bit little-endian ELF file; empty where it was stripped.

        Raises:
            EmulationError: it is no such file, or damaged.
        """
        data = path.read_bytes()
        try:
            return cls._parsed(data)
        except (ValueError, IndexError) as error:
            raise EmulationError(f"{path}: no sound ELF file ({error})") from None

    @classmethod
    def _parsed(cls, data: bytes) -> Symbols:
        if data[:6] != b"\x7fELF\x02\x01" or len(data) < 64:
            raise ValueError("no 64-bit little-endian one")
        (programs, sections), (program_count, section_count) = (
            (_number(data, 0x20, 8), _number(data, 0x28, 8)),
            (_number(data, 0x38, 2), _number(data, 0x3C, 2)),
        )
        loaded = _table(data, programs, program_count, _SEGMENT)
        loaded = loaded[loaded["type"] == _LOAD]
        parts = np.stack([loaded["offset"], loaded["address"], loaded["size"]], axis=1)
        heads = _table(data, sections, section_count, _SECTION)
        for head in heads[heads["type"] == _SYMTAB]:
            count = int(head["size"]) // _SYMBOL.itemsize
            symbols = _table(data, int(head["offset"]), count, _SYMBOL)
            strings = heads[int(head["link"])]
            begin, size = int(strings["offset"]), int(strings["size"])
            if begin + size > len(data):
                raise ValueError("names after the end of the file")
            return cls._of(symbols, data[begin : begin + size], parts)
        none = np.zeros(0, np.uint64)
        return cls(none, none, (), parts)

    @classmethod
    def _of(cls, symbols: Any, strings: bytes, parts: npt.NDArray[np.uint64]) -> Symbols:
        kept = symbols[((symbols["info"] & 15) == _FUNCTION) & (symbols["section"] != 0)]
        kept = kept[np.argsort(kept["value"], kind="stable")]
        names = tuple(_text(strings, int(place)) for place in kept["name"])
        return cls(kept["value"], kept["value"] + kept["size"], names, parts)

    def addresses(self, offsets: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        """Where in memory, from the library's own start, what stands at file ``offsets`` lies."""
        found = offsets.copy()
        for begin, address, size in self.segments:
            inside = (offsets >= begin) & (offsets < begin + size)
            found[inside] = offsets[inside] - begin + address
        return found

    def owners(self, addresses: npt.NDArray[np.uint64]) -> list[str | None]:
        """The function at each address; ``None`` where none is known."""
        places = np.searchsorted(self.starts, addresses, side="right").astype(np.int64) - 1
        known = places >= 0
        known[known] = addresses[known] < self.ends[places[known]]
        return [
            self.names[place] if sure else None
            for place, sure in zip(places.tolist(), known.tolist(), strict=True)
        ]


def _number(data: bytes, place: int, size: int) -> int:
    return int.from_bytes(data[place : place + size], "little")


def _table(data: bytes, offset: int, count: int, kind: np.dtype[Any]) -> Any:
    if offset + count * kind.itemsize > len(data):
        raise ValueError("a table after its end")
    return np.frombuffer(data, kind, count, offset)


def _text(strings: bytes, place: int) -> str:
    end = strings.find(b"\0", place)
    return strings[place : end if end >= 0 else len(strings)].decode("utf-8", errors="replace")
