"""Plots as inline SVG. Colours are the page's CSS variables, so that light and dark both fit; ids
and bytes are a function of the numbers alone."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from typing import Any

from edgeprune.reporting import numbers
from edgeprune.results import LayerChange, Result, Round, Row
from edgeprune.scans import Scan

COLOURS = {
    "ink": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "before": "#040404",
    "after": "#050505",
    "mark": "#060606",
}
"""What matplotlib draws with, and which variable of the page takes its place."""

WIDTH_IN = 4.25
"""306 points: on a screen of 360 pixels one point is one pixel, so that text stays readable."""

MOST_LAYERS = 48
"""Bars drawn of the layers; the page's table holds them all."""

MOST_ROUNDS = 6
"""Rounds that are named below the plot of them."""

WIDE_IN = 8.5
"""Of a plot that is a file of its own."""

MOST_CURVES = 36
"""Panels of a scan; its JSON holds all curves."""

ACROSS = 3
PANEL_IN = 1.6
PAPER = "#14171a"
SHADES = (
    {"ink": "#1c2024", "muted": "#5d666f", "line": "#dfe3e7", "before": "#8c97a3",
     "after": "#0f7b6c", "mark": "#b4530a"},
    {"ink": "#e6e9ec", "muted": "#9aa4ae", "line": "#343b42", "before": "#77828e",
     "after": "#3fbfa9", "mark": "#f0a35e"},
)  # fmt: skip
"""The page's colours, light and dark, for a plot that is a file of its own."""

_LABEL = 19
_FONT = 10


def layers_plot(layers: Sequence[LayerChange]) -> str:
    """What is left of each kernel: the outline is the original, the bar what remains."""
    shown = list(layers)
    if len(shown) > MOST_LAYERS:
        largest = sorted(layers, key=lambda layer: -layer.nonzero)[:MOST_LAYERS]
        shown = [layer for layer in layers if layer in largest]
    figure, axes = _figure(len(shown))
    for place, layer in enumerate(shown):
        left = layer.nonzero_after / layer.nonzero if layer.nonzero else 0.0
        axes.barh(place, 1, 0.56, color=COLOURS["before"], alpha=0.28)
        axes.barh(place, left, 0.56, color=COLOURS["after"])
        gone = "all gone" if layer.shape_after is None else numbers.share(left)
        axes.text(1.03, place, gone, va="center", color=COLOURS["ink"])
    _named(axes, [layer.weight.removesuffix("/kernel") for layer in shown])
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    return drawn(figure, "layers", "share of each kernel's weights that is left")


def size_plot(rows: Sequence[Row]) -> str:
    """Bytes of each file, and of it gzipped."""
    figure, axes = _figure(len(rows))
    for place, row in enumerate(rows):
        axes.barh(place, row.size_bytes, 0.56, color=COLOURS[row.role])
        axes.plot([row.gzip_bytes] * 2, [place - 0.36, place + 0.36], color=COLOURS["mark"], lw=1.8)
    _sided(axes, rows, [numbers.size(row.size_bytes) for row in rows])
    _ticks(axes, max(max(row.size_bytes, row.gzip_bytes) for row in rows), numbers.size)
    return drawn(figure, "size", "bytes of each file; the mark is its size after gzip")


def latency_plot(rows: Sequence[Row]) -> str:
    """Median latency of each file that was measured, with a whisker to the 95th percentile."""
    figure, axes = _figure(len(rows))
    for place, row in enumerate(rows):
        median, p95 = row.median_ms or 0.0, row.p95_ms or row.median_ms or 0.0
        axes.barh(place, median, 0.56, color=COLOURS[row.role])
        axes.plot([median, p95], [place] * 2, color=COLOURS["mark"], lw=1.4)
        axes.plot([p95] * 2, [place - 0.18, place + 0.18], color=COLOURS["mark"], lw=1.4)
    _sided(axes, rows, [numbers.latency(row.median_ms) for row in rows])
    _ticks(axes, max(row.p95_ms or row.median_ms or 0.0 for row in rows), numbers.latency)
    target = rows[0].target
    return drawn(figure, f"latency-{target}", f"median latency on {target}, whisker to the p95")


def rounds_plot(result: Result) -> str:
    """The validation metric, round by round, evenly apart however close their sparsities are; the
    sparsity stands below the round."""
    figure = blank(2.45)
    axes = figure.add_axes((0.175, 0.25, 0.775, 0.72))
    turns = [turn for turn in result.rounds if turn.metric is not None]
    metric = [turn.metric or 0.0 for turn in turns]
    axes.plot(
        [turn.number for turn in turns], metric, color=COLOURS["after"], lw=1.8, marker="o", ms=5
    )
    if metric:
        room = (max(metric) - min(metric)) * 0.25 or abs(metric[0]) * 0.01 or 0.01
        axes.set_ylim(min(metric) - room, max(metric) + room)
    told = _told(result.rounds)
    axes.set_xticks(
        [turn.number for turn in told],
        [f"{turn.number}\n{100 * turn.sparsity:.3g} %" for turn in told],
    )
    axes.set_xlim(result.rounds[0].number - 0.4, result.rounds[-1].number + 0.4)
    axes.set_xlabel("round, and the sparsity it reached", color=COLOURS["muted"])
    axes.grid(axis="y", color=COLOURS["line"], lw=0.6)
    plain(axes)
    axes.tick_params(colors=COLOURS["muted"], length=0)
    return drawn(figure, "rounds", f"{result.metric} on the validation split after each round")


def curves_plot(scan: Scan) -> str:
    """A panel for each place, those that suffer most first: the metric's drop by ratio, with the
    band of its interval; all of one scale."""
    curves = scan.ranked[:MOST_CURVES]
    rows = math.ceil(len(curves) / ACROSS)
    figure = blank(0.62 + PANEL_IN * rows, WIDE_IN)
    bands = [
        [reading.drop.interval(scan.confidence) for reading in curve.readings] for curve in curves
    ]
    most = max(max(reading.drop.value for reading in curve.readings) for curve in curves)
    top = max(most, max(high for band in bands for _, high in band) / 3, 1e-6) * 1.1
    for place, (curve, band) in enumerate(zip(curves, bands, strict=True)):
        axes = figure.add_subplot(rows, ACROSS, place + 1)
        gone = [reading.ratio for reading in curve.readings]
        axes.fill_between(gone, *zip(*band, strict=True), color=COLOURS["before"], alpha=0.28, lw=0)
        drops = [reading.drop.value for reading in curve.readings]
        axes.plot(gone, drops, color=COLOURS["after"], lw=1.6, marker="o", ms=3)
        axes.axhline(0, color=COLOURS["line"], lw=0.8)
        axes.set_title(_short(curve.name.removesuffix("/kernel")), color=COLOURS["ink"], loc="left")
        axes.set_xlim(0, 1)
        axes.set_ylim(-top / 8, top)
        axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        axes.set_yticks([0, most], ["0", numbers.drop(most)] if most > 0 else ["0", ""])
        plain(axes)
        axes.tick_params(colors=COLOURS["muted"], length=0)
    figure.supxlabel(
        f"share of {scan.of} that goes; up: {scan.metric} lost", color=COLOURS["muted"]
    )
    figure.tight_layout(pad=0.5)
    label = f"drop of {scan.metric} by the share of {scan.of} that each place loses"
    return standalone(drawn(figure, "scan", label))


def standalone(svg: str) -> str:
    """A plot as a file of its own: with the page's colours, light and dark."""
    light, dark = (
        "svg{" + "".join(f"--{name}:{value};" for name, value in shade.items()) + "}"
        for shade in SHADES
    )
    dark += f"svg{{background:{PAPER}}}"
    style = f"<style>{light}@media(prefers-color-scheme:dark){{{dark}}}</style>"
    end = svg.index(">", svg.index("<svg")) + 1
    return svg[:end] + style + svg[end:] + "\n"


def _told(rounds: Sequence[Round]) -> Sequence[Round]:
    """As many rounds as there is room for their names, evenly apart, the last among them."""
    return rounds[:: -math.ceil(len(rounds) / MOST_ROUNDS)][::-1]


def blank(height: float, width: float = WIDTH_IN) -> Any:
    """An empty figure; inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _figure(bars: int) -> tuple[Any, Any]:
    height = 0.27 * bars + 0.32
    figure = blank(height)
    axes = figure.add_axes((0.39, 0.26 / height, 0.395, 1 - 0.30 / height))
    axes.set_ylim(bars - 0.5, -0.5)
    plain(axes)
    axes.spines["bottom"].set_visible(False)
    axes.grid(axis="x", color=COLOURS["line"], lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=COLOURS["muted"])
    return figure, axes


def plain(axes: Any) -> None:
    """Axes with a line below, and no frame."""
    axes.patch.set_visible(False)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_color(COLOURS["line"])
        axes.spines[side].set_visible(side == "bottom")


def _named(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    for label in axes.get_yticklabels():
        label.set_color(COLOURS["ink"])


def _sided(axes: Any, rows: Sequence[Row], values: Sequence[str]) -> None:
    from matplotlib.transforms import blended_transform_factory

    _named(axes, [f"{row.role} {row.variant}" for row in rows])
    beside = blended_transform_factory(axes.transAxes, axes.transData)
    for place, value in enumerate(values):
        axes.text(1.03, place, value, va="center", color=COLOURS["ink"], transform=beside)


def _ticks(axes: Any, most: float, told: Any) -> None:
    """Zero and the end: two words say the scale, more would touch on a narrow screen."""
    axes.set_xlim(0, most or 1)
    axes.set_xticks([0, (most or 1) / 2, most or 1], ["0", "", told(most)])


def _short(name: str) -> str:
    """The ends of a long name tell more than its middle."""
    if len(name) <= _LABEL:
        return name
    half = (_LABEL - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def drawn(figure: Any, name: str, label: str) -> str:
    """A figure as inline SVG; ``label`` is read to those who do not see it."""
    import matplotlib

    name = re.sub(r"[^A-Za-z0-9-]", "-", name)
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"edgeprune-{name}",
        "font.family": "sans-serif",
        "font.size": _FONT,
    }
    file = io.StringIO()
    with matplotlib.rc_context(settings):
        for text in figure.findobj(match=lambda item: hasattr(item, "set_fontsize")):
            text.set_fontsize(_FONT)
        figure.savefig(
            file, format="svg", transparent=True,
            metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")),
        )  # fmt: skip
    return _inlined(file.getvalue(), name, label)


def _inlined(svg: str, name: str, label: str) -> str:
    """Fit for a page: no prologue, no size of its own, ids that no other plot has, CSS colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", f'<svg role="img" aria-label="{_attribute(label)}"', 1)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    for variable, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r"font: [^;\"]*;?", f"font-size: {_FONT}px;", svg)
    return re.sub(r"\n\s*", "\n", svg).strip()


def _attribute(text: str) -> str:
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, entity)
    return text
