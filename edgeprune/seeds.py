"""Seeds that depend on the recipe and the stage, never on the process' state."""

from __future__ import annotations

import hashlib


def derived_seed(seed: int, *names: str | int) -> int:
    """A seed of 31 bits from the recipe's ``seed`` and where it is used (stage, epoch …)."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
