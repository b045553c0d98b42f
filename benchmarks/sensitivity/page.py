"""``docs/sensitivity.md`` and its plots, from the results alone."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sensitivity.promises import Table, spread
from benchmarks.sensitivity.tasks import TASKS, Task
from edgeprune.files import write_bytes

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE = DOCS / "sensitivity.md"
PLOTS = DOCS / "sensitivity"
HEAD = """# What sensitivity buys, beside its peers

Made by `make bench-sensitivity` from the files in `benchmarks/results/sensitivity/`, one for each
task, net, method, amount and seed; nothing here is written by hand. Every method starts from the
same dense weights (the page is refused where digests differ) and sees the training images as often.
The 10,000 test images are opened once a cell, when nothing is left to decide. Rates, ramps and
epochs, though, were first tried in earlier sessions with the test images of seed 0 in view; of the
peers `tfmot-tuned` and `magnitude` have the same ones.

Figures are means over the seeds, lowest to highest in brackets; *lost* is in points of accuracy
(below 0: better than dense). A dash is not measured yet, an empty place is not asked for, and
nothing is called held before all its cells are measured.
"""
COLOURS = ("#0b7a75", "#d1495b", "#8d6a9f", "#edae49", "#30638e", "#777777")


def write_page() -> None:
    """Write the page and its plots."""
    tables = {task.name: Table(task.cells()) for task in TASKS}
    for task in TASKS:
        if plotted := plot(task, tables[task.name]):
            PLOTS.mkdir(parents=True, exist_ok=True)
            write_bytes(PLOTS / f"{task.name}.svg", plotted)
    write_bytes(PAGE, page(tables).encode())


def page(tables: dict[str, Table] | None = None) -> str:
    """The text."""
    tables = tables or {task.name: Table(task.cells()) for task in TASKS}
    return HEAD + _cost(tables) + "".join(_section(task, tables[task.name]) for task in TASKS)


def _cost(tables: dict[str, Table]) -> str:
    """What all of it took; by the clock where a cell does not say how long a core worked."""
    cells = {cell.name: cell for table in tables.values() for cell in table.cells}
    kept = [result for cell in cells.values() if (result := cell.result()) is not None]
    hours = sum(each.get("core_seconds", each["seconds"]) for each in kept) / 3600
    return (
        f"\n{len(kept)} of {len(cells)} cells are measured; they took {hours:.1f} hours of one "
        "core (by the clock, other work beside them, where a cell does not say).\n"
    )


def _section(task: Task, table: Table) -> str:
    lines = [f"\n## {task.title}\n", f"{task.told}\n"]
    if table.done() < len(table.cells):
        lines.append(f"{table.done()} of {len(table.cells)} cells are measured.\n")
    lines += [*_rows(task, table), ""]
    if (PLOTS / f"{task.name}.svg").exists():
        lines.append(f"![{task.title}](sensitivity/{task.name}.svg)\n")
    verdicts = [promise(table) for promise in task.promises]
    if verdicts:
        lines += ["| asked for | | measured |", "|---|---|---|"]
        words = {True: "held", False: "**not held**", None: "–"}
        lines += [f"| {each.text} | {words[each.held]} | {each.told or '–'} |" for each in verdicts]
        lines.append("")
    return "\n".join(lines)


def _rows(task: Task, table: Table) -> list[str]:
    amounts = list(dict.fromkeys(cell.amount for cell in table.cells))
    heads = [task.head(amount) for amount in amounts]
    found = [f"| net | method | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for net in dict.fromkeys(cell.net for cell in table.cells) if task.figure == "error" else ():
        dense = table.so_far("dense_error", net=net)[0]
        shown = spread(sorted(set(dense))) if dense else "–"
        found.append(f"| {net} | dense | {' | '.join([shown] * len(amounts))} |")
    for net, method in dict.fromkeys((cell.net, cell.method) for cell in table.cells):
        shown = []
        for amount in amounts:
            values, of = table.so_far(task.figure, net=net, method=method, amount=amount)
            if not of:
                shown.append("")
                continue
            rest = f", {len(values)} of {of} seeds" if len(values) < of else ""
            shown.append(spread(values) + rest if values else "–")
        found.append(f"| {net} | {method} | {' | '.join(shown)} |")
    return found


def plot(task: Task, table: Table) -> bytes | None:
    """A panel for each net: the figure over the amounts, or a front over the MACs; ``None`` where
    nothing is measured."""
    import matplotlib
    from matplotlib.figure import Figure

    nets = list(dict.fromkeys(cell.net for cell in table.cells))
    figure = Figure(figsize=(4.0 * len(nets) + 0.6, 3.2), layout="constrained")
    drawn = False
    for place, net in enumerate(nets):
        axes = figure.add_subplot(1, len(nets), place + 1)
        methods = list(dict.fromkeys(cell.method for cell in table.matching(net=net)))
        for colour, method in zip(COLOURS, methods, strict=False):
            if line := _line(task, table, net, method):
                axes.plot(*line, color=colour, label=method, marker="o", ms=3, lw=1.4)
                drawn = True
        axes.set_title(net, fontsize=10)
        axes.set_xlabel(task.axis)
        axes.grid(color="#dddddd", lw=0.6)
        if place == 0:
            axes.set_ylabel(task.unit)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    if not drawn:
        return None
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": task.name, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _line(task: Task, table: Table, net: str, method: str) -> tuple[Any, ...] | None:
    """The front of the first seed where the result is one; else a line through the means."""
    cells = table.matching(net=net, method=method)
    kept = [result for cell in cells if (result := cell.result()) is not None]
    front = task.figure.replace("area", "front")
    if kept and front != task.figure:
        return tuple(zip(*sorted(kept[0]["figures"][front]), strict=True))
    points = []
    for amount in sorted({cell.amount for cell in cells}):
        values, _ = table.so_far(task.figure, net=net, method=method, amount=amount)
        if values:
            points.append((100 * amount, float(np.mean(values))))
    return tuple(zip(*points, strict=True)) if points else None
