"""Two measurements of one interleaved run, compared block by block."""

from __future__ import annotations

import numpy as np

from edgeprune.errors import MeasurementError
from edgeprune.measurements import Measurement

ROUNDS = 10
"""Rounds of a measurement at least: every file is timed once in each, so the k-th of one file
and the k-th of another stood beside each other in time."""


def ratio(slow: Measurement, fast: Measurement) -> float:
    """How many times as fast ``fast`` is: the median over the rounds of the quotient of the
    rounds' medians. Both must come from one call of :func:`bench_files`, since machines drift.

    Raises:
        MeasurementError: measured on other targets, devices or numbers of threads.
    """
    for what in ("target", "threads", "device"):
        one, other = getattr(slow, what), getattr(fast, what)
        if one != other:
            raise MeasurementError(
                f"{slow.file} and {fast.file} were measured with another {what} "
                f"({one}, {other}); bench them in one call"
            )
    pairs = zip(slow.round_medians, fast.round_medians, strict=True)
    return float(np.median([one / other for one, other in pairs]))
