"""The table of ``boards.toml``: one recipe's files on three targets, in the README as it came.

``python -m examples.mnist.boards train`` trains the dense model where it is missing; ``table``
prints what the last run gave, and with ``--write`` keeps it and puts it into the README.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from edgeprune.cli.faults import guarded
from edgeprune.cli.terminal import Session
from edgeprune.errors import InputError
from edgeprune.files import write_bytes, write_json
from edgeprune.reporting import numbers
from examples.mnist.demo import HERE, trained

ROOT = HERE.parents[1]
RESULT = HERE / ".edgeprune" / "boards-result.json"
KEPT = ROOT / "benchmarks" / "results" / "boards.json"
README = ROOT / "README.md"
BEGIN, END = "<!-- make demo-boards -->\n", "<!-- end -->\n"
TITLES = {"raspberry-pi-4": "Raspberry Pi 4", "raspberry-pi-5": "Raspberry Pi 5"}


def facts_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the table shows of a run's result, to be kept."""
    keys = (
        "role", "target", "variant", "metric", "size_bytes", "median_ms", "instructions", "note",
    )  # fmt: skip
    return {
        "schema": 1,
        "host": platform.machine(),
        "method": result["method"],
        "sparsity": result["sparsity"],
        "released": sorted(result["released"]),
        "versions": {name: result["versions"][name] for name in ("ai-edge-litert", "onnxruntime")},
        "rows": [{key: row[key] for key in keys} for row in result["rows"]],
    }


def table(facts: Mapping[str, Any]) -> str:
    """Markdown: a row a file; measured on this machine, counted as the boards' cores."""
    rows = {(row["target"], row["role"], row["variant"]): row for row in facts["rows"]}
    targets = list(dict.fromkeys(row["target"] for row in facts["rows"]))
    heads = [_head(target, facts["host"]) for target in targets]
    lines = [f"| | accuracy | bytes | {' | '.join(heads)} |", "|---" * (3 + len(heads)) + "|"]
    for row in facts["rows"]:
        if row["target"] != targets[0]:
            continue
        cells = [
            _cell(rows[target, row["role"], row["variant"]], target == "host") for target in targets
        ]
        name = f"{'original' if row['role'] == 'before' else 'pruned'}, {row['variant']}"
        size = f"{row['size_bytes']:,}"
        lines.append(f"| {name} | {row['metric']:.2%} | {size} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _head(target: str, host: str) -> str:
    if target == "host":
        return f"this {host}, measured"
    return f"{TITLES.get(target, target)}, million instructions"


def _cell(row: Mapping[str, Any], timed: bool) -> str:
    if timed:
        return numbers.latency(row["median_ms"])
    return numbers.ABSENT if row["instructions"] is None else f"{row['instructions'] / 1e6:.3f}"


def page(text: str, made: str) -> str:
    """The README with the table between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise InputError(f"{README}: has no place for the table, {BEGIN.strip()} … {END.strip()}")
    return before + BEGIN + made + END + after


def shown(session: Session, write: bool) -> int:
    """Print the table of the last run; keep it with ``write``."""
    if not RESULT.is_file():
        raise InputError(f"{RESULT}: no run yet; make release RECIPE=examples/mnist/boards.toml")
    facts = facts_of(json.loads(RESULT.read_bytes()))
    made = table(facts)
    session.print(made)
    if write:
        write_json(KEPT, facts)
        write_bytes(README, page(README.read_text(), made).encode())
    return 0


def main(arguments: Sequence[str]) -> int:
    """``train`` or ``table [--write]``; exit code as ``edgeprune`` has them."""
    session = Session()
    session.home = HERE
    if arguments[:1] == ["train"]:
        session.hush()
        return guarded(session, lambda: trained(session.progress) or 0)
    return guarded(session, lambda: shown(session, "--write" in arguments))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
