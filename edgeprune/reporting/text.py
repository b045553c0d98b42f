"""A result as Markdown, short enough for a pull request."""

from __future__ import annotations

from edgeprune.reporting.tables import (
    Table,
    endings,
    gains,
    gate_table,
    headline,
    portable,
    remarks,
    row_tables,
    summary,
)
from edgeprune.results import Result

_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>|#~"})


def markdown(result: Result) -> str:
    """A pull request's comment: the verdict first, tables, then what should be known."""
    parts = [f"## edgeprune: {escaped(headline(result))}", f"{escaped(summary(result))}."]
    won = gains(result)
    if won:
        parts.append(
            _table(
                ("after", "smaller", "faster", "drop"),
                [tuple(map(escaped, each)) for each in won],
                1,
            )
        )
    for table in [*row_tables(result, wide=True), gate_table(result)]:
        if table is not None:
            parts += drawn_table(table)
    lines = [*endings(portable(result)), *remarks(result)]
    if lines:
        parts.append("\n".join(f"- {escaped(line)}" for line in lines))
    return "\n\n".join(parts) + "\n"


def drawn_table(table: Table) -> list[str]:
    """A table as parts of Markdown: title, rows, notes."""
    rows = []
    for cells, mark in zip(table.rows, table.marks, strict=True):
        told = [escaped(cell) for cell in cells]
        rows.append(tuple(f"**{cell}**" if mark == "broken" and cell else cell for cell in told))
    parts = [f"### {escaped(table.title)}", _table(table.columns, rows, table.words)]
    if table.notes:
        parts.append("<br>\n".join(f"<sub>{escaped(note)}</sub>" for note in table.notes))
    return parts


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]], words: int) -> str:
    rule = ["---" if place < words else "---:" for place in range(len(columns))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, rule, *rows))


def escaped(text: str) -> str:
    """``text`` that Markdown shows as it is, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
