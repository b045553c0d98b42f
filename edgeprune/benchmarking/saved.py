"""Results of bench, read from files: checked like whatever comes from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError
from edgeprune.measurements import Measurement, wrong_outputs
from edgeprune.schemas import check_schema

WANTED = "the JSON of 'edgeprune bench FILE --json'"


@dataclass(frozen=True)
class Saved:
    """One measurement of a file of results.

    Attributes:
        measurement: with its samples.
        source: what made it: ``commit``, ``dirty``, versions; empty where the file does not say.
        path: of the file.
    """

    measurement: Measurement
    source: Mapping[str, Any]
    path: Path


def read_saved(path: Path) -> list[Saved]:
    """The measurements of a file that ``bench --json`` or ``--save`` wrote.

    Raises:
        InputError: no such file, no such JSON, a key that is missing or makes no sense, a count of
            instructions, cold starts, or outputs that were wrong.
        VersionError: a newer edgeprune wrote it.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; save one with: edgeprune bench FILE --json"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not {WANTED} ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not {WANTED} (a JSON object)")
    check_schema(content, "a result of bench", path)
    each = content.get("measurements", [content])
    if not isinstance(each, list) or not each:
        raise InputError(f"{path}: holds no measurement; give {WANTED}")
    return [_read(facts, path) for facts in each]


def _read(facts: Any, path: Path) -> Saved:
    if not isinstance(facts, dict):
        raise InputError(f"{path}: not {WANTED} (a measurement that is no object)")
    name = facts.get("file", "a file")
    if facts.get("emulated"):
        raise InputError(
            f"{path}: {name} was counted, not timed; instructions repeat and need no statistics"
        )
    if facts.get("cold"):
        raise InputError(
            f"{path}: {name} has cold starts, which are not compared; leave out --cold"
        )
    if wrong_outputs({"target": "", "file": name, **facts}):
        raise InputError(f"{path}: {name} gave wrong outputs; its latency is no result")
    try:
        measurement = Measurement.from_facts(facts)
        samples, rounds = measurement.latency_ns, measurement.rounds
        if not 0 < rounds <= len(samples) or min(samples) <= 0:
            raise ValueError("latency_ns")
        for name in ("device", "conditions"):
            if not isinstance(getattr(measurement, name), dict):
                raise ValueError(name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: not {WANTED} (wrong or missing: {error})") from error
    source = facts.get("source")
    return Saved(measurement, source if isinstance(source, dict) else {}, path)
