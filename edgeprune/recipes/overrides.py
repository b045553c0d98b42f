"""``--set key=value``: one value of a recipe, for this run."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from typing import Any


def apply(content: dict[str, Any], sets: Iterable[str]) -> tuple[list[str], list[str]]:
    """Write ``sets`` into ``content`` (in place); the dotted keys set, and the faults.

    A value is read as TOML, and as a string where it is none. A table that is written short, as
    a string (``model = "m.keras"``), becomes its long form where a key of it is set.
    """
    keys, faults = [], []
    for text in sets:
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            faults.append(f"--set {text}: not key=value; write for example finetune.epochs=2")
            continue
        if _put(content, parts, _value(value.strip())):
            keys.append(".".join(parts))
        else:
            faults.append(f"--set {text}: '{key.strip()}' leads through what is no table")
    return keys, faults


def _value(text: str) -> Any:
    try:
        content = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return content["value"] if len(content) == 1 else text


def _put(content: dict[str, Any], parts: list[str], value: Any) -> bool:
    here: Any = content
    for depth, part in enumerate(parts):
        if isinstance(here, list):
            if not part.isdecimal() or int(part) >= len(here):
                return False
            index: Any = int(part)
        elif isinstance(here, dict):
            index = part
        else:
            return False
        if depth == len(parts) - 1:
            here[index] = value
            return True
        if isinstance(here, dict):
            here.setdefault(index, {})
        if isinstance(here[index], str):
            here[index] = {"path": here[index]}
        here = here[index]
    return False
