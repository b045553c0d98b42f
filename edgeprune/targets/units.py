"""Numbers with units: what is far beyond any device was written in another unit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError


def _within(unit: str, most: float, least: float = 1, base: int = 1024) -> Callable[[float], float]:
    """Refuses what is more than ``most``, and guesses what was meant: the value in a smaller unit,
    where that makes at least ``least``, the smallest that is likely."""

    def check(value: float) -> float:
        if value <= most:
            return value
        meant = (value / base**power for power in (3, 2, 1))
        hint = next((guess for guess in meant if least <= guess <= most), None)
        raise PydanticCustomError(
            "rule",
            "is in {unit}, and {value} is more than any device has ({most}){hint}",
            {
                "unit": unit,
                "value": f"{value:.0f}",
                "most": f"{most:,.0f}",
                "hint": f"; did you mean {hint:g}?" if hint is not None else "",
            },
        )

    return check


Megahertz = Annotated[
    float, Field(gt=0), AfterValidator(_within("MHz", 10_000, least=16, base=1000))
]
Megatransfers = Annotated[
    float, Field(gt=0), AfterValidator(_within("MT/s", 20_000, least=16, base=1000))
]
FirstLevel = Annotated[int, Field(ge=1), AfterValidator(_within("KiB", 1024, least=4))]
"""A cache of the first level."""
Kibibytes = Annotated[int, Field(ge=1), AfterValidator(_within("KiB", 2**20, least=16))]
Mebibytes = Annotated[int, Field(ge=1), AfterValidator(_within("MiB", 2**24, least=16))]
Bits = Annotated[int, Field(ge=8), AfterValidator(_within("bits", 8192))]
