"""What plan and prune are asked for beside numbers: budgets, a latency table, profiles."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeprune.errors import InputError, PlanError
from edgeprune.verbs.sources import Facts

BUDGETS = ("max_macs", "max_parameters", "max_bytes", "max_latency_ms")


def cuts(asked: Mapping[str, Any]) -> bool:
    """Whether channels are asked for, by their share or by a budget."""
    return any(asked.get(name) is not None for name in ("channels", *BUDGETS))


def profiled(
    targets: Sequence[str], latency: Path | None, asked: Mapping[str, Any], *, fixed: bool = False
) -> Facts:
    """The latency table, and the multiple that the profiles ask for where none is said; ``fixed``:
    channels are cut whatever is asked."""
    found: Facts = {}
    timed = asked.get("max_latency_ms") is not None
    if latency is not None:
        if not timed:
            raise InputError(f"--latency {latency}: add --max-latency-ms, or leave it out")
        found["latency"] = _table(latency)
    if not targets:
        return found
    if not (fixed or cuts(asked)):
        raise InputError(
            "--target gives a multiple for channels: add --channels or a budget, or leave it out"
        )
    from edgeprune.targets import Target, common_multiple

    profiles = [Target.load(name) for name in targets]
    if "multiple" not in asked:
        found["multiple"] = common_multiple(profiles)
    tables = {each.name: each.latency for each in profiles if each.latency is not None}
    if timed and latency is None and len(tables) > 1:
        raise InputError(f"{' and '.join(tables)} have a latency table each; say --latency FILE")
    if timed and latency is None and tables:
        found["latency"] = next(iter(tables.values())).model_dump()
    return found


def _table(path: Path) -> Any:
    """A latency table from JSON or TOML."""
    from edgeprune.documents import read_toml
    from edgeprune.planning import Latency

    if not path.exists():
        raise InputError(
            f"{path}: no such file; a latency table is JSON or TOML that has milliseconds per kept "
            "channel, by group"
        )
    if path.suffix == ".toml":
        content: Any = read_toml(path, "latency table", "")
    else:
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a latency table in JSON ({error})") from None
    try:
        return Latency.of(content)
    except PlanError as error:
        raise InputError(f"{path}: {error}") from None


def planned(plan: Any) -> Facts:
    """What a plan takes, and why; JSON values."""
    kept = sum(int(mask.keep.sum()) for mask in plan.masks)
    total = sum(int(mask.keep.size) for mask in plan.masks)
    return {
        "digest": plan.digest(),
        "masks": len(plan.masks),
        "masked_sparsity": 1 - kept / total if total else 0.0,
        "channels": {cut.group: int(cut.drop.size) for cut in plan.cuts},
        "why": dict(plan.why),
    }
