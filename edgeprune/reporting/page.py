"""A result as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeprune.measurements import Measurement
from edgeprune.reporting import numbers, plots
from edgeprune.reporting.tables import (
    Table,
    counterpart,
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


def html(result: Result, measurements: Sequence[Measurement] = ()) -> str:
    """One self-contained page: tables, plots as inline SVG, light and dark, from 360 px up.

    Args:
        result: of a run.
        measurements: raw samples; their spread and their machine are shown where given.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("edgeprune.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        result=result,
        headline=headline(result),
        good=not result.broken and not result.quick,
        summary=summary(result),
        tiles=_tiles(result),
        gains=gains(result),
        tables=row_tables(result, wide=True),
        gates=gate_table(result),
        plots=[(caption, Markup(svg)) for caption, svg in _plots(result)],
        layers=_layers(result),
        measured=_measured(measurements),
        endings=endings(portable(result)),
        notes=remarks(result),
        facts=_facts(result),
    )


def _tiles(result: Result) -> list[tuple[str, str]]:
    """The four numbers that people look for first: of the smallest file after, on the first
    target that it was measured on."""
    after = [row for row in result.rows if row.role == "after"]
    tiles = [("of the connections gone", numbers.share(result.sparsity))]
    if not after:
        return tiles
    best = min(after, key=lambda row: (row.size_bytes, row.median_ms is None))
    before = counterpart(result, best)
    if before is not None:
        tiles.append((f"smaller: {best.file}", numbers.ratio(before.size_bytes, best.size_bytes)))
        if best.median_ms is not None and before.median_ms is not None:
            speed = numbers.ratio(before.median_ms, best.median_ms)
            tiles.append((f"as fast, on {best.target}", speed))
    if best.drop is not None:
        tiles.append((f"{result.metric} lost", numbers.drop(best.drop).removeprefix("+")))
    return tiles


def _plots(result: Result) -> list[tuple[str, str]]:
    found = []
    if result.layers:
        found.append(("What is left of each kernel", plots.layers_plot(result.layers)))
    files = list({(row.role, row.variant): row for row in result.rows}.values())
    if files:
        found.append(("Size; the mark is the size after gzip", plots.size_plot(files)))
    for target in dict.fromkeys(row.target for row in result.rows):
        timed = [row for row in result.rows if row.target == target and row.median_ms is not None]
        if timed:
            caption = f"Median latency on {target}; the whisker ends at the 95th percentile"
            found.append((caption, plots.latency_plot(timed)))
    if len(result.rounds) > 1:
        caption = f"{result.metric} on the validation split, round by round"
        found.append((caption, plots.rounds_plot(result)))
    return found


def _layers(result: Result) -> Table | None:
    if not result.layers:
        return None
    rows = []
    for layer in result.layers:
        left = layer.nonzero_after / layer.nonzero if layer.nonzero else 0.0
        rows.append(
            (
                layer.weight,
                _shape(layer.shape),
                "–" if layer.shape_after is None else _shape(layer.shape_after),
                f"{layer.nonzero:,}",
                f"{layer.nonzero_after:,}",
                numbers.share(left),
            )
        )
    return Table(
        title="Kernels",
        columns=("kernel", "shape", "after", "non-zero", "after", "left"),
        rows=tuple(rows),
        marks=("",) * len(rows),
    )


def _measured(measurements: Sequence[Measurement]) -> Table | None:
    if not measurements:
        return None
    rows = [
        (
            each.file,
            each.target,
            f"{each.runtime} {each.runtime_version}",
            str(each.threads),
            str(len(each.latency_ns)),
            numbers.latency(each.median_ms),
            numbers.latency(each.iqr_ms),
            numbers.latency(each.p95_ms),
            numbers.size(each.peak_memory_bytes),
        )
        for each in measurements
    ]
    machines = dict.fromkeys(
        ", ".join(f"{key}: {value}" for key, value in each.device.items()) for each in measurements
    )
    return Table(
        title="Measurements",
        columns=(
            "file", "target", "runtime", "threads", "runs", "median", "IQR", "p95", "peak memory",
        ),
        rows=tuple(rows),
        marks=("",) * len(rows),
        notes=tuple(filter(None, machines)),
        words=3,
    )  # fmt: skip


def _facts(result: Result) -> list[tuple[str, str]]:
    facts: dict[str, Any] = {"recipe": result.recipe, "plan": result.plan, **result.facts}
    facts |= {f"version of {name}": version for name, version in result.versions.items()}
    return [
        (name.replace("_", " "), _told(value))
        for name, value in facts.items()
        if value not in (None, "", {}, [])
    ]


def _told(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_told(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
