"""From what the stages left to one :class:`~edgeprune.results.Result`: facts only, nothing runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from edgeprune.files import now
from edgeprune.measurements import Measurement, wrong_outputs
from edgeprune.pipeline.gates import judge, no_file, unjudged
from edgeprune.pipeline.steps import before_variants, deciding
from edgeprune.pipeline.work import Work
from edgeprune.plans import Plan
from edgeprune.results import LayerChange, Result, Round, Row, Verdict
from edgeprune.targets import Target


def released_name(variant: str, formats: tuple[str, ...]) -> str:
    """Name of a variant in ``dist/<target>/``: the first of its kind is ``model``, further ones
    say which they are."""
    suffix = ".onnx" if variant.startswith("onnx") else ".tflite"
    first = next(v for v in formats if v.startswith("onnx") == variant.startswith("onnx"))
    if variant == first:
        return f"model{suffix}"
    return f"model-{variant.removeprefix('onnx-')}{suffix}"


class Assembly:
    """Reads the finished stages of a run."""

    def __init__(self, work: Work, *, quick: bool) -> None:
        self.work = work
        self.quick = quick
        self.formats = work.recipe.export.formats
        self.check: dict[str, Any] = work.read("check", "check.json")
        self.evaluation: dict[str, Any] = work.read("evaluate", "evaluation.json")
        variant = before_variants(self.formats)[0]
        self.before: dict[str, Any] = work.read(f"export-before-{variant}", "numbers.json")
        self.after: dict[str, Any] = work.read("recover", "recover.json")

    @property
    def sparsity(self) -> float:
        """1 - (non-zero kernel weights now) / (kernel weights of the original)."""
        now = sum(kernel["nonzero"] for kernel in self.after["kernels"].values())
        whole = sum(_size(kernel["shape"]) for kernel in self.before["kernels"].values())
        return 1 - now / whole

    @property
    def plan(self) -> Plan:
        """What the last round within the budget removed."""
        return Plan.load(self.work.file(self.work.settled, "plan.json"))

    @property
    def inexact(self) -> dict[str, str]:
        """The groups whose cut changed the outputs, with the reason."""
        return dict(self.work.read("strip", "strip.json")["inexact"])

    def files(self, target: Target) -> list[str]:
        """The variants that are released for a target."""
        return [variant for variant in self.formats if target.takes(variant)]

    def rows(self, target: Target) -> list[Row]:
        """Before and after, file by file, as the target has them."""
        variants = self.files(target)
        rows = [
            self._row("before", variant, target) for variant in before_variants(tuple(variants))
        ]
        return rows + [self._row("after", variant, target) for variant in variants]

    def artifact(self, role: str, variant: str) -> dict[str, Any]:
        """Facts read back from a file."""
        facts: dict[str, Any] = self.work.read(f"export-{role}-{variant}", "artifact.json")
        return facts

    def bench(self, target: Target) -> dict[str, Any]:
        """What was measured on a target."""
        facts: dict[str, Any] = self.work.read(f"bench-{target.name}", "bench.json")
        return facts

    def counts(self, target: Target) -> dict[str, Any] | None:
        """What was counted in the emulated target; ``None`` where nobody asks for it."""
        step = f"count-{target.name}"
        if step not in self.work.steps:
            return None
        facts: dict[str, Any] = self.work.read(step, "counts.json")
        return facts

    def wrong(self, target: Target) -> list[str]:
        """The files to be released whose outputs on the target's board are wrong, a line each."""
        return [
            line
            for key, facts in self.bench(target)["files"].items()
            if key.startswith("after-") and (line := wrong_outputs(facts))
        ]

    def measurements(self, targets: Iterable[Target]) -> list[Measurement]:
        """Every measurement with its raw samples."""
        return [
            Measurement.from_facts(facts)
            for target in targets
            for facts in self.bench(target)["files"].values()
            if not wrong_outputs(facts)
        ]

    def result(self, targets: Iterable[Target]) -> Result:
        """Everything, without what release adds."""
        targets = tuple(targets)
        rows = [row for target in targets for row in self.rows(target)]
        return Result(
            recipe=self.work.recipe.path.name,
            metric=self.check["metric_name"],
            higher_is_better=self.check["higher_is_better"],
            method=self.work.method,
            sparsity=self.sparsity,
            rows=tuple(rows),
            gates=tuple(self._verdicts(targets, rows)),
            layers=self._layers(),
            rounds=self._rounds(),
            notes=self._notes(targets),
            plan=self.plan.digest(),
            quick=self.quick,
            versions=self.versions(),
            facts=self._facts(),
        )

    def versions(self) -> dict[str, str]:
        """Of edgeprune and of every library that decided something."""
        return deciding(self.work.inputs, self.formats)

    def _row(self, role: str, variant: str, target: Target) -> Row:
        artifact = self.artifact(role, variant)
        numbers = self.before if role == "before" else self.after
        bench = self.bench(target)
        measured = bench["files"].get(f"{role}-{variant}")
        metric = self.evaluation["files"].get(f"{role}-{variant}")
        name = artifact["file"] if role == "before" else released_name(variant, self.formats)
        row = Row(
            role=role,
            target=target.name,
            file=name,
            variant=variant,
            metric=metric,
            drop=None if metric is None else self._drop(metric),
            parameters=numbers["parameters"],
            nonzero=numbers["nonzero"],
            macs=numbers["macs"],
            size_bytes=artifact["size_bytes"],
            gzip_bytes=artifact["gzip_bytes"],
            note=bench["note"],
        )
        counts = self.counts(target)
        counts = counts.get("before") if counts is not None and role == "before" else counts
        if counts is not None:
            reason = counts["notes"].get(variant, "")
            count = None if reason else counts["files"][variant]["instructions"]
            row = replace(row, instructions=count, uncounted=reason)
        if measured is None:
            return row
        if wrong := wrong_outputs(measured):
            return replace(row, note=f"{wrong}, so its latency is no result")
        return replace(
            row,
            median_ms=measured["median_ms"],
            p95_ms=measured["p95_ms"],
            peak_memory_bytes=measured["peak_memory_bytes"],
        )

    def _drop(self, metric: float) -> float | None:
        baseline: float | None = self.evaluation["model"]
        if baseline is None:
            return None
        return baseline - metric if self.check["higher_is_better"] else metric - baseline

    def _verdicts(self, targets: Iterable[Target], rows: list[Row]) -> Iterable[Verdict]:
        for target in targets:
            gates = self.work.recipe.gates_for(target.name, target.gates)
            if not self.files(target):
                yield from unjudged(gates, target.name, no_file(target, self.formats))
            for row in rows:
                if row.target == target.name and row.role == "after":
                    yield from judge(gates, row, self.sparsity)

    def _layers(self) -> tuple[LayerChange, ...]:
        changes = []
        after: Mapping[str, Any] = self.after["kernels"]
        for name, kernel in self.before["kernels"].items():
            now = after.get(name)
            changes.append(
                LayerChange(
                    name,
                    tuple(kernel["shape"]),
                    kernel["nonzero"],
                    None if now is None else tuple(now["shape"]),
                    0 if now is None else now["nonzero"],
                )
            )
        return tuple(changes)

    def _rounds(self) -> tuple[Round, ...]:
        rounds = []
        for number in range(1, self.work.recipe.prune.rounds + 1):
            facts = self.work.read(f"round-{number}", "round.json")
            if not facts["skipped"]:
                note = _why_unused(facts)
                rounds.append(Round(number, facts["sparsity"], facts["metric"], note))
        return tuple(rounds)

    def _notes(self, targets: Iterable[Target]) -> tuple[str, ...]:
        notes = list(self.check["notes"])
        if self.quick:
            notes.append("a quick run: few samples, one epoch, nothing is released")
        if "search" in self.work.steps:
            notes.append(self.work.read("search", "search.json")["line"])
        notes += self.work.read("strip", "strip.json")["lines"]
        notes += [self.after["repaired"]] if "repaired" in self.after else []
        notes += self.after.get("idle", ())
        for variant in self.formats:
            found = self.work.read(f"verify-after-{variant}", "verification.json")
            notes += [f"{variant}: {warning}" for warning in found.get("warnings", ())]
        notes += [
            f"{target.name}: {self.bench(target)['note']}"
            for target in targets
            if self.bench(target)["note"]
        ]
        for target in targets:
            counts = self.counts(target) or {"notes": {}}
            notes += [
                f"{target.name}: {variant}: {note}" for variant, note in counts["notes"].items()
            ]
        return tuple(notes)

    def _facts(self) -> dict[str, Any]:
        inputs = self.work.inputs
        facts = {
            "seed": self.work.recipe.seed,
            "output": self.work.recipe.output,
            "baseline": self.evaluation["model"],
            "inexact": self.inexact,
            "examples": self.evaluation["examples"],
            "model": inputs.model_identity(),
            "data": {
                role: inputs.data_identity(role) for role in ("train", "calibrate", "evaluate")
            },
            "date": now(),
        }
        if "rehearse" in self.work.steps:
            facts["rehearsal"] = self.work.read("rehearse", "rehearsal.json")["metrics"]
        if "search" in self.work.steps:
            facts["search"] = self.work.read("search", "search.json")
        return facts


def _why_unused(facts: Mapping[str, Any]) -> str:
    if not facts["spent"]:
        return ""
    return "beyond max_drop: not used" if facts["metric"] is not None else "no number: not used"


def _size(shape: Iterable[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size
