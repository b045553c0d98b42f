"""Kinds of values that several tables of a recipe have."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Annotated

from pydantic import Field
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


def each_once(values: Sequence[Hashable]) -> Sequence[Hashable]:
    """A list that names something, and nothing twice."""
    for value in values:
        if values.count(value) > 1:
            raise PydanticCustomError("rule", "names {value} twice", {"value": repr(value)})
    if not values:
        raise PydanticCustomError("rule", "is an empty list; name at least one")
    return values
