"""How much a metric suffers when one place of a model loses more and more. Pure data;
:mod:`edgeprune.pipeline.scanning` makes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from edgeprune.drops import Drop
from edgeprune.errors import PlanError
from edgeprune.files import SCHEMA, write_json
from edgeprune.schemas import check_schema

Of = Literal["channels", "weights"]


@dataclass(frozen=True)
class Reading:
    """One point of a curve.

    Attributes:
        ratio: that was asked for.
        gone: that really went; whole channels and blocks round.
        drop: of the metric.
    """

    ratio: float
    gone: float
    drop: Drop


@dataclass(frozen=True)
class Curve:
    """One place that loses more and more, all others being whole.

    Attributes:
        name: of the group of channels, or of the weight.
        size: its channels, or its elements.
        readings: by ratio, ascending.
    """

    name: str
    size: int
    readings: tuple[Reading, ...]

    @property
    def mean(self) -> float:
        """The mean drop over the ratios: by it places are ranked."""
        return fmean(reading.drop.value for reading in self.readings)

    @property
    def error(self) -> float:
        """Of the mean, at most: the mean of the standard errors, as if all erred together, since
        the examples are the same."""
        return fmean(reading.drop.error for reading in self.readings)

    def harmless(self, confidence: float = 0.95) -> float:
        """The largest ratio up to which no drop is sure, 0 where the first one is."""
        best = 0.0
        for reading in self.readings:
            if reading.drop.interval(confidence)[0] > 0:
                break
            best = reading.ratio
        return best

    def facts(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> Curve:
        """From :meth:`facts`.

        Raises:
            KeyError, TypeError, ValueError: they are none.
        """
        readings = tuple(
            Reading(float(each["ratio"]), float(each["gone"]), Drop(**each["drop"]))
            for each in facts["readings"]
        )
        if not readings:
            raise ValueError("a curve without readings")
        return cls(str(facts["name"]), int(facts["size"]), readings)


@dataclass(frozen=True)
class Scan:
    """All curves of a model.

    Attributes:
        model: digest of the architecture.
        of: whether places lose channels or single weights.
        method: of the score, by which the lowest go first.
        metric: its name.
        before: of the unpruned model on the examples that judge.
        examples: how many these are.
        confidence: of the intervals.
        curves: in the model's order.
        skipped: places that have no curve, with the reason.
    """

    model: str
    of: Of
    method: str
    metric: str
    before: float
    examples: int
    confidence: float
    curves: tuple[Curve, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[Curve, ...]:
        """The curves, those that suffer most first."""
        return tuple(sorted(self.curves, key=lambda curve: -curve.mean))

    def facts(self) -> dict[str, Any]:
        """JSON values, with the interval of each drop and the figures of each curve."""
        curves = []
        for curve in self.curves:
            row = curve.facts()
            for reading, each in zip(row["readings"], curve.readings, strict=True):
                low, high = each.drop.interval(self.confidence)
                reading |= {"low": low, "high": high}
            row |= {"mean": curve.mean, "error": curve.error}
            row |= {"harmless": curve.harmless(self.confidence)}
            curves.append(row)
        return {
            "model": self.model,
            "of": self.of,
            "method": self.method,
            "metric": self.metric,
            "before": self.before,
            "examples": self.examples,
            "confidence": self.confidence,
            "curves": curves,
            "skipped": dict(self.skipped),
        }

    def save(self, path: Path | str) -> None:
        """Write JSON, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        write_json(Path(path), {"schema": SCHEMA, **self.facts()})

    @classmethod
    def load(cls, path: Path | str) -> Scan:
        """Read what :meth:`save` wrote.

        Raises:
            PlanError: no such file, or not a scan.
            VersionError: written by a newer edgeprune.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise PlanError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise _none(path) from error
        if not isinstance(content, dict):
            raise _none(path)
        check_schema(content, "scan", path)
        names = ("model", "of", "method", "metric", "before", "examples", "confidence", "skipped")
        try:
            values = {name: content[name] for name in names}
            curves = tuple(Curve.of_facts(facts) for facts in content["curves"])
            return cls(**values, curves=curves)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _none(path) from error


def _none(path: Path) -> PlanError:
    return PlanError(
        f"{path}: not a scan of edgeprune, or a damaged one; 'edgeprune scan' makes it"
    )
