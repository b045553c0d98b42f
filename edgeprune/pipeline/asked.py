"""What prune is asked for, checked before a model is opened: no framework is loaded here.

The rules are those of a recipe's ``[prune]`` (:class:`edgeprune.recipes.Prune`), so that what a
recipe refuses, the command line and Python refuse too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import ValidationError

from edgeprune.errors import PlanError
from edgeprune.planning import Budgets, Latency
from edgeprune.recipes import BUDGETS, Prune
from edgeprune.recoveries import NEEDS, which_train

_NUMBERS = ("sparsity", "channels")
_ONE = {"multiple": 1}
"""What Python's arguments say where nothing is asked for, and a recipe leaves out."""


def check_asked(
    asked: Mapping[str, Any], *, method: str | Sequence[str] | None, recover: Sequence[str]
) -> None:
    """Refuse what contradicts itself, lacks something, or asks for nothing.

    Args:
        asked: keywords of :func:`edgeprune.prune`; what a recipe has not is left out.
        method: the score, or several.
        recover: names of steps; one that is none is another's matter.

    Raises:
        PlanError: with what to do. A number that is out of its range is refused later, by what
            takes it.
    """
    table = asked.get("latency")
    limits: dict[str, Any] = {name: asked.get(name) for name in BUDGETS}
    Budgets(**limits, latency=None if table is None else Latency.of(table))
    content = {name: _plain(asked[name]) for name in Prune.model_fields if _says(asked, name)}
    content.pop("latency", None)
    if method is not None:
        content["score"] = method if isinstance(method, str) else tuple(method)
    try:
        Prune.model_validate(content)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            if fault["type"] == "rule":
                raise PlanError(f"prune {fault['msg']}") from None
            if fault["type"] == "float_type":
                name, given = fault["loc"][0], fault["input"]
                raise PlanError(f"{name} = {given!r}: a number is needed") from None
    shares = {name: content[name] for name in _NUMBERS if name in content}
    if shares and not any(shares.values()) and not any(name in content for name in BUDGETS):
        said = ", ".join(f"{name} = {value:g}" for name, value in shares.items())
        raise PlanError(f"nothing of this model would go: {said} asks for none; ask for more")
    if not which_train(step for step in recover if step in NEEDS):
        _check_untrained(content)


def _check_untrained(content: Mapping[str, Any]) -> None:
    if content.get("inexact"):
        raise PlanError(
            "inexact changes the outputs, and only fine-tuning sets that right: put 'finetune' "
            "or 'distill' into recover, or use plan and cut"
        )
    if content.get("ramp"):
        raise PlanError("a ramp grows while a model trains: put 'finetune' or 'distill' in recover")


def _says(asked: Mapping[str, Any], name: str) -> bool:
    """Whether more is said than where nothing is."""
    value = asked.get(name)
    field = Prune.model_fields[name]
    if value is None or (isinstance(value, Sequence) and not value):
        return False
    return bool(value != _ONE.get(name, field.default))


def _plain(value: Any) -> Any:
    """As a recipe would have it: numpy's numbers are Python's, a list is a tuple."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(value) if isinstance(value, list) else value
