"""The sensitivity scan: one place after another loses more and more, all others being whole.

The data is cut in two by seed: one part scores, the other judges. Every point is a plan that is
tried by writing zeros into one copy of the model. The drop is taken example by example against the
unpruned model, so it has an interval, and noise need not be read as a signal.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.datasets import Dataset
from edgeprune.errors import KEPT, InputError, PlanError
from edgeprune.feeding import split_count
from edgeprune.files import digest_of, write_json
from edgeprune.models import Task, settings_digest, values_digest
from edgeprune.models.marks import Judge
from edgeprune.models.sending import Map
from edgeprune.models.tasks import Predict
from edgeprune.patterns import Pattern
from edgeprune.pipeline.trying_apart import Answers, answers, plan_of, prepared
from edgeprune.planning import excluded, from_group
from edgeprune.planning.cutting import is_excluded
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.scans import Curve, Of, Reading, Scan
from edgeprune.scores import Scores
from edgeprune.scoring import METHODS, score_model
from edgeprune.seeds import derived_seed
from edgeprune.surgery import Trial, trace
from edgeprune.versions import versions

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SCORED = 2048
"""Most examples that score; a half of the data where that is less."""
POINTS = "points"
"""The folder, in that of a scan, where finished curves lie."""


@dataclass(frozen=True)
class Sweep:
    """What to scan.

    Attributes:
        of: whether places lose channels or single weights.
        ratios: ascending, each above 0 and below 1.
        pattern: of single weights; blocks, or none.
        exclude: globs over names of weights, layers or groups.
        examples: most that judge; all that do not score where absent.
        confidence: of the intervals.

    Raises:
        PlanError: a value out of its range.
    """

    of: Of = "channels"
    ratios: tuple[float, ...] = RATIOS
    pattern: str = "none"
    exclude: tuple[str, ...] = ()
    examples: int | None = None
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if self.of not in ("channels", "weights"):
            raise PlanError(f"a scan is of channels or of weights, not of {self.of!r}")
        if not self.ratios:
            raise PlanError("ratios: name at least one, such as 0.5")
        for ratio in self.ratios:
            if not 0 < ratio < 1:
                raise PlanError(f"ratios: {ratio} is no share between 0 and 1")
        if self.examples is not None and self.examples < 2:
            raise PlanError(f"examples = {self.examples}: at least 2 have to judge")
        if not 0.5 <= self.confidence < 1:
            raise PlanError(
                f"confidence = {self.confidence}: a share from 0.5 to below 1 is needed"
            )
        pattern = Pattern.parse(self.pattern)
        if pattern.quota is not None:
            raise PlanError(f"pattern {self.pattern!r} says itself how much goes; scan blocks")
        if pattern.size > 1 and self.of == "channels":
            raise PlanError(f"pattern {self.pattern!r} is of single weights; scan these")


@dataclass
class Scanning:
    """One scan.

    Attributes:
        model: never changed.
        data: with labels, of a role that may decide.
        task: loss and metric.
        method: name of the score.
        sweep: what to scan.
        microbatch: of the scoring.
        seed: of the split, of scores and of the bootstrap.
        folder: where each finished curve is kept, and found again; nowhere where absent.
        apart: where the points are tried, if not here; the curves are the same.
        progress: where the work is shown.
    """

    model: Any
    data: Dataset
    task: Task
    method: str
    sweep: Sweep
    microbatch: int = 32
    seed: int = 0
    folder: Path | None = None
    apart: Map | None = None
    progress: Progress = SILENT
    reused: int = field(default=0, init=False)
    """Curves that lay in the folder already."""
    _saved: int = field(default=0, init=False)

    def run(self) -> Scan:
        """Make every curve that is not there yet.

        Raises:
            PlanError: a glob that matches nothing, or no place that can lose anything.
            InputError: a score of channels for single weights, or an unknown one.
            DataError: no labels, or too few examples.
        """
        self._check_method()
        scoring, judging = self._parts()
        self._graph = trace(self.model)
        self._scores = self._scored(scoring)
        names, skipped = self._places()
        if not names:
            reasons = "; ".join(dict.fromkeys(skipped.values())) or "it has none"
            raise PlanError(f"no place of this model can lose {self.sweep.of}: {reasons}")
        self._judge = Judge(self.task, judging, self.model, seed=self.seed)
        key = self._key(scoring, judging)
        curves: dict[str, Curve] = {}
        for name in names:
            found = self._kept({**key, "place": name})
            if found is not None:
                curves[name] = found
        self.reused = len(curves)
        waiting = [name for name in names if name not in curves]
        self._saved = len(curves)
        try:
            with self.progress.task("scan", len(names)) as shown:
                shown.advance(len(curves), "kept from before")
                for curve in self._made(waiting, judging):
                    curves[curve.name] = curve
                    self._keep({**key, "place": curve.name}, curve)
                    shown.advance(note=curve.name)
        except BaseException as error:
            if self._saved and self.folder is not None:
                error.add_note(KEPT.format(f"{self._saved} of {len(names)} curves", self.folder))
            raise
        return Scan(
            self._scores.model, self.sweep.of, self.method, self.task.metric_name,
            self._judge.metric, judging.examples, self.sweep.confidence,
            tuple(curves[name] for name in names), skipped,
        )  # fmt: skip

    def _check_method(self) -> None:
        formula = METHODS.get(self.method)
        if formula is not None and self.sweep.of == "weights" and formula.of == "channels":
            raise InputError(
                f"score {self.method!r} is of channels and says nothing of single weights; scan "
                "channels, or take another score"
            )

    def _parts(self) -> tuple[Dataset, Dataset]:
        """What scores, and what judges."""
        formula = METHODS.get(self.method)
        judging, scoring = self.data, self.data
        if formula is None or formula.needs_data:
            count = min(SCORED, self.data.examples // 2)
            judging, scoring = split_count(self.data, count, derived_seed(self.seed, "scan"))
        most = self.sweep.examples
        if most is not None and most < judging.examples:
            order = np.random.default_rng(derived_seed(self.seed, "examples"))
            index = order.permutation(judging.examples)[:most]
            judging = judging.subset(np.sort(index))
        return scoring, judging

    def _scored(self, data: Dataset) -> Scores:
        return score_model(
            self.model,
            data.batches(self.microbatch),
            method=self.method,
            loss=self.task.loss,
            graph=self._graph,
            seed=derived_seed(self.seed, "scan", "score"),
            progress=self.progress,
        )

    def _places(self) -> tuple[list[str], dict[str, str]]:
        """The names that get a curve, and those that get none, with the reason."""
        graph, scores = self._graph, self._scores
        groups = [group.name for group in graph]
        out = excluded(self.sweep.exclude, {**scores.weights, **graph.weights}, groups)
        if self.sweep.of == "weights":
            names = [name for name in scores.weights if name not in out]
            small = {name: "it has one element" for name in names if scores.weights[name].size < 2}
            return [name for name in names if name not in small], small
        found, skipped = [], {}
        for group in graph:
            if is_excluded(group, out):
                continue
            if group.fixed is not None:
                skipped[group.name] = group.fixed
                continue
            try:
                from_group(scores, graph, group.name, self.sweep.ratios[0])
                found.append(group.name)
            except PlanError:
                skipped[group.name] = "no scored weight touches it, or no part of it can leave"
        return found, skipped

    def _made(self, names: Sequence[str], judging: Dataset) -> Iterator[Curve]:
        """Each curve as soon as it is whole."""
        if self.apart is None:
            trial = Trial(self.model, self._graph)
            for name in names:
                yield self._curve(name, trial)
            return
        ratios, sweep = self._ratios, self.sweep
        with prepared(self.model, self._scores, judging, sweep.of, sweep.pattern) as bare:
            points = [bare.at(name, ratio) for name in names for ratio in ratios]
            found: dict[str, dict[float, Reading]] = {name: {} for name in names}
            for index, given in self.apart(answers, points):
                name, ratio = points[index].place, points[index].ratio
                readings = found[name]
                readings[ratio] = self._reading(
                    self._plan(name, ratio), name, ratio, _in_turn(given)
                )
                if len(readings) == len(ratios):
                    ordered = tuple(readings[ratio] for ratio in ratios)
                    yield Curve(name, self._size(name), ordered)

    @property
    def _ratios(self) -> list[float]:
        return sorted(set(self.sweep.ratios))

    def _curve(self, name: str, trial: Trial) -> Curve:
        readings = []
        for ratio in self._ratios:
            plan = self._plan(name, ratio)
            trial.silence(plan)
            readings.append(self._reading(plan, name, ratio, trial.predict))
        return Curve(name, self._size(name), tuple(readings))

    def _reading(self, plan: Plan, name: str, ratio: float, predict: Predict) -> Reading:
        drop = self._judge.drop(self._judge.marks(predict))
        return Reading(ratio, _taken(plan) / self._size(name), drop)

    def _plan(self, name: str, ratio: float) -> Plan:
        sweep = self.sweep
        return plan_of(self._scores, self._graph, sweep.of, sweep.pattern, name, ratio)

    def _size(self, name: str) -> int:
        if self.sweep.of == "channels":
            return int(self._graph[name].size)
        return int(self._scores.weights[name].size)

    def _key(self, scoring: Dataset, judging: Dataset) -> dict[str, Any]:
        """Everything that can change a curve."""
        return {
            "values": values_digest(self.model),
            "settings": settings_digest(self.model),
            "task": self.task.facts(),
            "scoring": scoring.digest,
            "judging": judging.digest,
            "method": self.method,
            "of": self.sweep.of,
            "ratios": sorted(set(self.sweep.ratios)),
            "pattern": self.sweep.pattern,
            "microbatch": self.microbatch,
            "seed": self.seed,
            "versions": versions(),
        }

    def _file(self, key: Mapping[str, Any]) -> Path | None:
        return None if self.folder is None else self.folder / POINTS / f"{digest_of(key)[:16]}.json"

    def _kept(self, key: Mapping[str, Any]) -> Curve | None:
        """The curve of before, where its inputs are unchanged; a damaged one is made anew."""
        path = self._file(key)
        if path is None or not path.exists():
            return None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(path.read_bytes())
            if content["key"] == key:
                return Curve.of_facts(content["curve"])
        return None

    def _keep(self, key: Mapping[str, Any], curve: Curve) -> None:
        path = self._file(key)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {"key": key, "curve": curve.facts()})
            self._saved += 1


def _in_turn(given: Answers) -> Predict:
    """Gives the answers that were made elsewhere, batch by batch."""
    told = iter(given)
    return lambda _: next(told)


def _taken(plan: Plan) -> int:
    cut = sum(int(each.drop.size) for each in plan.cuts)
    return cut + sum(mask.keep.size - int(mask.keep.sum()) for mask in plan.masks)
