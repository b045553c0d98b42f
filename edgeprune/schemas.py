"""The version that every file of ours carries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeprune.errors import VersionError
from edgeprune.files import SCHEMA


def check_schema(content: Mapping[str, Any], noun: str, path: Path | str) -> None:
    """Refuse a file that a newer edgeprune wrote; older ones, and those without a number, pass.

    Raises:
        VersionError: ``content["schema"]`` is above :data:`edgeprune.files.SCHEMA`, or no whole
            number.
    """
    found = content.get("schema", SCHEMA)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise VersionError(
            f"{path}: schema = {found!r} is no whole number; write schema = {SCHEMA}"
        )
    if found > SCHEMA:
        raise VersionError(
            f"{path}: {noun} of schema {found}; this edgeprune reads up to {SCHEMA}: upgrade it"
        )
