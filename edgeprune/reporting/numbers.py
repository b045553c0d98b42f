"""Numbers as people read them."""

from __future__ import annotations

ABSENT = "–"
_STEPS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: int | None) -> str:
    """Parameters, multiply-accumulates: ``669.7k``, ``1.24M``; below 10,000 in full."""
    if value is None:
        return ABSENT
    if abs(value) < 10_000:
        return f"{value:,}"
    for step, unit in _STEPS:
        if abs(value) >= 0.9995 * step:
            return f"{_three(value / step)}{unit}"
    return f"{value:,}"


def size(value: int | None) -> str:
    """Bytes in decimal units: ``147 kB``, ``2.68 MB``."""
    if value is None:
        return ABSENT
    for step, unit in _STEPS:
        if abs(value) >= 0.9995 * step:
            return f"{_three(value / step)} {unit}B"
    return f"{value} B"


def latency(value: float | None) -> str:
    """Milliseconds: ``29.6 µs``, ``1.24 ms``, ``2.5 s``."""
    if value is None:
        return ABSENT
    if value < 1:
        return f"{_three(value * 1000)} µs"
    if value < 1000:
        return f"{_three(value)} ms"
    return f"{_three(value / 1000)} s"


def metric(value: float | None) -> str:
    """In the metric's own unit; four places below 10, four digits above."""
    if value is None:
        return ABSENT
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.4g}"


def drop(value: float | None) -> str:
    """How much worse: ``+0.0012`` lost, ``−0.0003`` gained."""
    if value is None:
        return ABSENT
    text = metric(abs(value))
    if not float(text):
        return "0"
    return f"{'+' if value > 0 else '−'}{text}"


def share(value: float | None) -> str:
    """``94.98 %``."""
    return ABSENT if value is None else f"{value * 100:.2f} %"


def ratio(before: float | None, after: float | None) -> str:
    """How many times less: ``18.2×``."""
    if not before or not after:
        return ABSENT
    return f"{_three(before / after)}×"


def _three(value: float) -> str:
    """Three digits, no more places than they need: 147, 29.6, 1.24."""
    size = abs(value)
    return f"{value:.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
