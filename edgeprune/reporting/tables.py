"""The facts of a result as tables of text: one content for terminal, HTML and Markdown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgeprune.reporting import numbers
from edgeprune.results import Result, Row, Verdict


@dataclass(frozen=True)
class Table:
    """Text in rows.

    Attributes:
        title: what it is of.
        columns: heads; the first ``words`` of them hold words, the others numbers.
        rows: as many cells each as columns.
        marks: one per row: ``"before"``, ``"after"``, ``"broken"``, ``"kept"``, ``"allowed"``.
        notes: lines below.
        words: how many of the first columns are text.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...]
    notes: tuple[str, ...] = ()
    words: int = 1


COLUMNS = (
    "", "variant", "metric", "drop", "params", "non-zero", "MACs", "size", "gzip", "median", "p95",
)  # fmt: skip


def row_tables(result: Result, *, wide: bool = False) -> list[Table]:
    """Before and after by artifact, a table a target.

    ``wide`` has the files' names too, for which 100 columns have no room.
    """
    tables = []
    for target in dict.fromkeys(row.target for row in result.rows):
        rows = [row for row in result.rows if row.target == target]
        counted = any(row.instructions is not None for row in rows)
        columns = (*COLUMNS, "instr.") if counted else COLUMNS
        tables.append(
            Table(
                title=f"{target}: {result.metric}, before and after",
                columns=("", "file", "variant", *columns[2:]) if wide else columns,
                rows=tuple(_cells(row, wide, counted) for row in rows),
                marks=tuple(row.role for row in rows),
                notes=_remarks(rows),
                words=3 if wide else 2,
            )
        )
    return tables


def _cells(row: Row, wide: bool, counted: bool) -> tuple[str, ...]:
    return (
        row.role,
        *((row.file,) if wide else ()),
        row.variant,
        numbers.metric(row.metric),
        "" if row.role == "before" else numbers.drop(row.drop),
        numbers.count(row.parameters),
        numbers.count(row.nonzero),
        numbers.count(row.macs),
        numbers.size(row.size_bytes),
        numbers.size(row.gzip_bytes),
        numbers.latency(row.median_ms),
        numbers.latency(row.p95_ms),
        *((numbers.count(row.instructions),) if counted else ()),
    )


def _remarks(rows: list[Row]) -> tuple[str, ...]:
    """Why there is no value, once where all rows share the reason."""
    notes: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            notes.setdefault(row.note, []).append(f"{row.role} {row.variant}")
        elif row.median_ms is None:
            notes.setdefault("latency not measured", []).append(f"{row.role} {row.variant}")
    return tuple(
        note if len(names) == len(rows) else f"{', '.join(names)}: {note}"
        for note, names in notes.items()
    )


def gate_table(result: Result) -> Table | None:
    """Every gate on every file; ``None`` without gates."""
    if not result.gates:
        return None
    return Table(
        title="Gates",
        columns=("gate", "target", "file", "limit", "value", "verdict"),
        rows=tuple(_verdict(verdict) for verdict in result.gates),
        marks=tuple(_mark(verdict) for verdict in result.gates),
        notes=tuple(
            dict.fromkeys(
                f"{verdict.gate} on {verdict.target}: {verdict.note}"
                for verdict in result.gates
                if verdict.note
            )
        ),
        words=3,
    )


def _verdict(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.gate,
        verdict.target,
        verdict.file,
        gate_value(verdict.gate, verdict.limit),
        "not measured" if verdict.value is None else gate_value(verdict.gate, verdict.value),
        {"broken": "BROKEN", "allowed": "allowed", "kept": "kept"}[_mark(verdict)],
    )


def _mark(verdict: Verdict) -> str:
    if verdict.broken:
        return "broken"
    return "allowed" if verdict.value is None else "kept"


def gate_value(gate: str, value: float) -> str:
    """A limit or a value, exact enough that the comparison can be seen."""
    if gate in ("max_bytes", "max_instructions"):
        return f"{value:,.0f}"
    if gate == "max_latency_ms":
        return f"{value:.4g} ms"
    if gate == "min_sparsity":
        return f"{value:.4f}"
    return f"{value:.4f}" if abs(value) >= 1e-3 or not value else f"{value:.2g}"


def gains(result: Result) -> list[tuple[str, str, str, str]]:
    """For each artifact after: (target and file, size ratio, speed ratio, metric drop) against the
    one before in the same format."""
    found = []
    for row in result.rows:
        if row.role == "before":
            continue
        before = counterpart(result, row)
        found.append(
            (
                f"{row.target} {row.variant}",
                numbers.ratio(before.size_bytes if before else None, row.size_bytes),
                numbers.ratio(before.median_ms if before else None, row.median_ms),
                numbers.drop(row.drop),
            )
        )
    return found


def counterpart(result: Result, row: Row) -> Row | None:
    """The original's dense file in the same format on the same target."""
    onnx = row.variant.startswith("onnx")
    same = [
        other
        for other in result.rows
        if other.role == "before"
        and other.target == row.target
        and other.variant.startswith("onnx") == onnx
    ]
    return same[0] if same else None


def portable(result: Result) -> Result:
    """The result with places as the recipe's folder has them: a page is read on other machines,
    and no business of theirs is where that folder lies."""
    output = result.facts.get("output")
    if output is None:
        return result
    return replace(result, released={name: f"{output}/{name}" for name in result.released})


def endings(result: Result) -> list[str]:
    """Where things went, and why not: a line a target."""
    lines = [f"{target}: released to {place}" for target, place in result.released.items()]
    lines += [f"{target}: held back: {why}" for target, why in result.held.items()]
    if result.quick:
        lines.append("quick: a rehearsal on few samples; nothing of it is for release")
    return lines


def summary(result: Result) -> str:
    """One line on the whole: sparsity, score, rounds."""
    rounds = f", {len(result.rounds)} rounds" if len(result.rounds) > 1 else ""
    return f"sparsity {numbers.share(result.sparsity)}, scored by {result.method}{rounds}"


def headline(result: Result) -> str:
    """The verdict in a few words."""
    if result.quick:
        return "quick run, nothing released"
    if result.broken:
        gates = len(result.broken)
        return f"{gates} gate{'s' if gates > 1 else ''} broken"
    if result.held:
        return f"held back: {', '.join(result.held)}"
    return f"released for {', '.join(result.released)}" if result.released else "done"


def remarks(result: Result) -> list[str]:
    """The result's notes, without those that stand below a table already."""
    shown = {f"{row.target}: {row.note}" for row in result.rows if row.note}
    return [note for note in result.notes if note not in shown]
