"""What each stage does: from the folders of the stages before it, and the inputs, into its own.

One function a kind; the key of a stage says which of these inputs it may read.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.datasets import Dataset
from edgeprune.errors import ArtifactError, EmulationError, MeasurementError, TrainingError
from edgeprune.files import now, write_json
from edgeprune.pipeline.boards import Boards, golden
from edgeprune.pipeline.gates import beyond, finite, no_file
from edgeprune.pipeline.goals import Goal
from edgeprune.pipeline.inputs import Inputs
from edgeprune.pipeline.original import BATCH, tried
from edgeprune.pipeline.recovering import Settings, idle_steps
from edgeprune.pipeline.rounds import Material, Rounds, rehearse
from edgeprune.pipeline.searching import Searching, Terms
from edgeprune.pipeline.steps import Step
from edgeprune.plans import Plan
from edgeprune.progress import Part, Progress
from edgeprune.recipes import Recipe
from edgeprune.recoveries import without_training
from edgeprune.recovery import Teaching
from edgeprune.targets import Target
from edgeprune.variants import VARIANTS

BENCH_SECONDS = 1.0
"""Timed at most for each file of a target, beyond the runs that are always made."""
VERIFIED = 128
"""Calibration examples on which a file is compared with its model (32 at least)."""


@dataclass
class Work:
    """Carries out steps; what the stages before left is read through ``steps``."""

    recipe: Recipe
    inputs: Inputs
    steps: Mapping[str, Step]
    targets: Mapping[str, Target]
    progress: Progress
    boards: Boards = field(default_factory=Boards)
    _traced: tuple[str, Any] | None = None

    def do(self, step: Step, folder: Path) -> None:
        """Run ``step`` into ``folder``."""
        import keras

        from edgeprune.models.engine import set_up
        from edgeprune.seeds import derived_seed

        set_up(self.recipe.threads, self.recipe.device)
        # Names and random numbers start the same whether the stages before ran in this process.
        keras.backend.clear_session()
        keras.utils.set_random_seed(derived_seed(self.recipe.seed, step.name))
        kinds: dict[str, Callable[[Step, Path], None]] = {
            "check": self._check,
            "check-evaluate": self._check_evaluate,
            "rehearse": self._rehearse,
            "search": self._search,
            "round": self._round,
            "strip": self._strip,
            "recover": self._recover,
            "export": self._export,
            "try": self._try,
            "verify": self._verify,
            "evaluate": self._evaluate,
            "bench": self._bench,
            "count": self._count,
        }
        with self.inputs.read_by(step.kind):
            kinds[step.kind](step, folder)

    # -- before anything is trained -----------------------------------------------------------

    def _check(self, step: Step, folder: Path) -> None:
        """The original on a slice of the validation split: a loss that does not fit or a metric
        that is NaN ends the run, one at chance level is said at once."""
        task, roles = self.inputs.task, self.inputs.roles
        found = tried(
            task,
            self.inputs.model,
            roles.validation,
            scaled=self.recipe.data.train.scale is not None,
        )
        notes = [*self.inputs.model_notes, *roles.notes, *found.notes]
        for note in notes:
            self.progress.say(f"note: {note}")
        facts = {
            "metric": found.metric,
            "metric_name": task.metric_name,
            "higher_is_better": task.higher_is_better,
            "examples": found.examples,
            "classes": list(self.recipe.classes or roles.validation.classes or ()),
            "notes": notes,
        }
        write_json(folder / "check.json", facts)

    def _check_evaluate(self, step: Step, folder: Path) -> None:
        """The evaluation set's shapes, ranges and labels, before the work that it is to judge; no
        answer of a model to it."""
        data = self._evaluation()
        write_json(folder / "check.json", {"examples": data.examples})

    # -- the rounds ---------------------------------------------------------------------------

    def _rehearse(self, step: Step, folder: Path) -> None:
        prune = self.recipe.prune
        method, metrics = rehearse(
            self.inputs.model,
            prune.score,
            self.goal,
            self.settings,
            self.material,
            epochs=prune.rehearsal_epochs,
            progress=self.progress,
        )
        facts = {"method": method, "metrics": {name: finite(m) for name, m in metrics.items()}}
        write_json(folder / "rehearsal.json", facts)

    def _search(self, step: Step, folder: Path) -> None:
        """The largest share within ``max_drop``, one shot: scored by the calibration data, as the
        first round is, and judged by the validation split."""
        prune, material = self.recipe.prune, self.material
        assert prune.search is not None and prune.max_drop is not None
        found = Searching(
            self.inputs.model,
            material.validation,
            material.task,
            self.method,
            Goal.of(prune),
            Terms(prune.max_drop, prune.search, prune.folds, prune.grid),
            material.microbatch,
            self.recipe.seed,
            calibrate=material.calibrate,
            recover=without_training(self.recipe.recover),
            progress=self.progress,
        ).run()
        self.progress.say(found.line())
        write_json(folder / "search.json", {**found.facts(), "line": found.line()})

    def _round(self, step: Step, folder: Path) -> None:
        """One turn; after a round that spent the budget the rest leave only a word of it."""
        number = step.facts["number"]
        before = self.read(f"round-{number - 1}", "round.json") if number > 1 else None
        if before and before["spent"]:
            facts = {"skipped": True, "spent": True, "baseline": before["baseline"]}
            write_json(folder / "round.json", facts)
            return
        model, plan = self.inputs.model, None
        if number > 1:
            model = self.model_of(f"round-{number - 1}")
            plan = Plan.load(self.file(f"round-{number - 1}", "plan.json"))
        rounds = self._loop()
        for line in idle_steps(self.inputs.model, self.recipe.recover) if number == 1 else ():
            self.progress.say(f"note: {line}")
        baseline = before["baseline"] if before else self.material.measure(self.inputs.model)
        baseline = math.nan if baseline is None else baseline
        turn = rounds.turn(number, model, plan, checkpoint=step.stage.scratch)
        self._save(turn.model, folder)
        turn.plan.save(folder / "plan.json")
        turn.scores.save(folder / "scores.npz")
        facts = {
            "skipped": False,
            "number": number,
            "metric": finite(turn.metric),
            "sparsity": turn.sparsity,
            "baseline": finite(baseline),
            "spent": rounds.spent(turn.metric, baseline),
            "method": self.method,
        }
        write_json(folder / "round.json", facts)

    def _strip(self, step: Step, folder: Path) -> None:
        from edgeprune.surgery import accounted, cut_with_report, strip_with_report

        name = self.settled
        model, plan = self.model_of(name), Plan.load(self.file(name, "plan.json"))
        if self.recipe.prune.inexact:
            stripped, report = cut_with_report(model, plan)
        else:
            stripped, report = strip_with_report(model, plan=plan)
        report = accounted(self.inputs.model, stripped, report, plan)
        self._save(stripped, folder)
        facts = {"round": name, "lines": list(report.lines()), **report.facts()}
        write_json(folder / "strip.json", facts)

    def _recover(self, step: Step, folder: Path) -> None:
        """The steps once more after strip, ``last_epochs`` of fine-tuning. An inexact cut is
        recovered in any case."""
        model = self.model_of("strip")
        tune = self.recipe.finetune
        rounds = self._loop()
        store = step.stage.scratch
        repaired: dict[str, Any] = {}
        if self.read("strip", "strip.json")["inexact"]:
            epochs = tune.last_epochs or tune.epochs
            plan = Plan.load(self.file(self.settled, "plan.json"))
            model, repair = rounds.repair(model, plan, epochs=epochs, checkpoint=store)
            line = repair.line(self.inputs.task.metric_name)
            if not tune.last_epochs:
                line += " (finetune.epochs, as finetune.last_epochs is 0)"
            repaired = {"repaired": line}
        else:
            shown = Part(self.progress, "after strip")
            model = rounds.recover(
                model, seed="recover", epochs=tune.last_epochs, checkpoint=store, progress=shown
            )
        self._save(model, folder)
        idle = idle_steps(self.inputs.model, self.recipe.recover)
        write_json(folder / "recover.json", {**self._numbers(model), **repaired, "idle": idle})

    # -- files --------------------------------------------------------------------------------

    def _export(self, step: Step, folder: Path) -> None:
        from edgeprune.verification import export_tried

        role, variant = step.facts["role"], step.facts["variant"]
        forms = self._forms(role)
        path = folder / f"model{VARIANTS[variant].suffix}"
        artifact = export_tried(forms, path, variant, calibration=self._calibration(variant))
        write_json(folder / "artifact.json", artifact.facts())
        if role == "before":
            write_json(folder / "numbers.json", self._numbers(forms.model))

    def _try(self, step: Step, folder: Path) -> None:
        """A sparse form of the original with the zeros that magnitude would give it."""
        from edgeprune.surgery import zero
        from edgeprune.verification import export_tried

        variant, prune = step.facts["variant"], self.recipe.prune
        facts: dict[str, Any] = {"tried": False}
        if prune.threshold is None:  # Which leaves what no magnitude tells.
            model = zero(self.inputs.model, Goal.of(prune).foretold(self.inputs.model))
            artifact = export_tried(
                model, folder / f"model{VARIANTS[variant].suffix}", variant,
                calibration=self._calibration(variant), batch=self.recipe.export.batch,
            )  # fmt: skip
            artifact.path.unlink()
            facts = {"tried": True, "stored": dict(artifact.stored)}
        write_json(folder / "trial.json", facts)

    def _forms(self, role: str) -> Any:
        """What the variants of the original or of the pruned model are converted by: one trace."""
        from edgeprune.exporting import Forms

        if self._traced is None or self._traced[0] != role:
            model = self.inputs.model if role == "before" else self.model_of("recover")
            self._traced = (role, Forms(model, batch=self.recipe.export.batch))
        return self._traced[1]

    def _calibration(self, variant: str) -> Any:
        """Inputs that the ranges of whole numbers are taken from; never of the evaluation set."""
        if not VARIANTS[variant].calibrated:
            return None
        return self._calibrating(self.recipe.export.calibration_examples)

    def _calibrating(self, examples: int) -> list[Any]:
        """The inputs of the first calibration examples, in batches."""
        calibrate = self.inputs.roles.calibrate
        part = calibrate.subset(np.arange(min(examples, calibrate.examples)))
        return [batch[0] for batch in part.batches(BATCH)]

    def _verify(self, step: Step, folder: Path) -> None:
        from edgeprune.verification import verify_file

        role, variant = step.facts["role"], step.facts["variant"]
        model = self.inputs.model if role == "before" else self.model_of("recover")
        verification = verify_file(
            self.artifact_path(role, variant),
            model,
            self._calibrating(VERIFIED),
            tolerance=self.recipe.export.tolerance(variant),
            variant=variant,
        )
        write_json(folder / "verification.json", verification.facts())
        if role == "before":
            self._try_metric(variant, folder)

    def _try_metric(self, variant: str, folder: Path) -> None:
        """The metric of the exported original through its runtime, on the slice that the check
        was made on: a metric that fails there fails before anything is trained, and what the
        export alone costs is said where it is more than a gate allows."""
        from edgeprune.runtimes import Runner

        task, check = self.inputs.task, self.read("check", "check.json")
        part = self.inputs.roles.validation.subset(np.arange(check["examples"]))
        with Runner(self.artifact_path("before", variant)) as runner:
            metric = task.evaluate(runner.predict, part.batches(BATCH))
        if not math.isfinite(metric):
            raise TrainingError(
                f"{task.metric_name} of the original as {variant} is {metric} on {part.examples} "
                f"examples of train, and {check['metric']:.4g} in Keras; use another metric or "
                "format"
            )
        facts = {"metric": metric, "drop": task.drop(check["metric"], metric)}
        write_json(folder / "metric.json", {**facts, "examples": part.examples})

    def say_what_cannot_hold(self, step: Step) -> None:
        """After the original's file was tried: the gates that the export alone breaks, by target,
        before anything is trained."""
        if step.kind != "verify" or step.facts["role"] != "before":
            return
        variant, tried = step.facts["variant"], self.read(step.name, "metric.json")
        formats = [v for v in self.recipe.export.formats if v.removesuffix("-sparse") == variant]
        for target in self.targets.values():
            limit = self.recipe.gates_for(target.name, target.gates).max_metric_drop
            if limit is None or not any(map(target.takes, formats)):
                continue
            if beyond(tried["drop"], max(limit, 0.0), abs(tried["metric"]) + abs(tried["drop"])):
                self.progress.say(
                    f"note: {target.name}: max_metric_drop = {limit:g} can hardly be kept: the "
                    f"original as {variant} already loses {tried['drop']:.4g} on "
                    f"{tried['examples']} examples of train"
                )

    def _evaluate(self, step: Step, folder: Path) -> None:
        """The one stage that judges by the evaluation set: the model, and each file by its
        runtime."""
        from edgeprune.runtimes import Runner

        task, data = self.inputs.task, self._evaluation()

        def judged(what: str, predict: Any) -> float | None:
            with self.progress.task(f"evaluate {what}", None):
                return finite(task.evaluate(predict, data.batches(BATCH)))

        files: dict[str, float | None] = {}
        original = judged("the original", task.model_predict(self.inputs.model))
        for role, variant in step.facts["files"]:
            with Runner(self.artifact_path(role, variant)) as runner:
                what = f"the {'original' if role == 'before' else 'pruned'} as {variant}"
                files[f"{role}-{variant}"] = judged(what, runner.predict)
        facts = {"examples": data.examples, "model": original, "files": files}
        write_json(folder / "evaluation.json", facts)

    def _evaluation(self) -> Dataset:
        data: Dataset = self.inputs.roles.evaluate()
        self.inputs.check_returned("evaluate", data.digest)
        return data

    def _bench(self, step: Step, folder: Path) -> None:
        """Every file that the target runs, interleaved; a target out of reach leaves its reason,
        and a board that failed is tried again by the next run."""
        from edgeprune.benchmarking import bench_files
        from edgeprune.benchmarking.reaching import place_of

        target = self.targets[step.facts["target"]]
        files = [(role, variant) for role, variant in step.facts["files"] if target.takes(variant)]
        paths = [self.artifact_path(role, variant) for role, variant in files]
        facts: dict[str, Any] = {"files": {}, "note": ""}
        if not files:
            after = [variant for role, variant in step.facts["files"] if role == "after"]
            facts["note"] = no_file(target, after)
            write_json(folder / "bench.json", facts)
            return
        transport, python = self.boards.transport(target)
        asked = [] if transport is None else [golden(self, *each) for each in files]
        try:
            with place_of(target, transport, python) as place:
                measured = bench_files(
                    paths, target, seconds=BENCH_SECONDS, place=place, golden=asked,
                    progress=self.progress,
                )  # fmt: skip
        except (MeasurementError, ArtifactError) as error:
            if transport is None and isinstance(error, ArtifactError):
                raise
            facts["note"] = str(error)
            if transport is not None:
                # What is kept goes into reports and releases, which name no hosts.
                facts["note"] = (
                    f"not measured: {facts['note'].replace(transport.where, 'its board')}"
                )
                facts["failed"] = True
                self.progress.say(f"note: {target.name}: not measured: {error}")
        else:
            facts["date"] = now()
            for (role, variant), measurement in zip(files, measured, strict=True):
                # Before and after, the files have one name: say which this is.
                measured_file = {**measurement.facts(), "file": f"{role} {variant}"}
                facts["files"][f"{role}-{variant}"] = measured_file
        write_json(folder / "bench.json", facts)

    def _count(self, step: Step, folder: Path) -> None:
        """Instructions of every file that the target runs, emulated; one that cannot be counted
        leaves its reason. The original's files are counted for the table alone."""
        target = self.targets[step.facts["target"]]
        facts = self._counted(target, "after", step.facts["files"])
        if step.facts["befores"]:
            facts["before"] = self._counted(target, "before", step.facts["befores"])
        write_json(folder / "counts.json", facts)

    def _counted(self, target: Target, role: str, variants: Iterable[str]) -> dict[str, Any]:
        from edgeprune.benchmarking import count_files
        from edgeprune.emulation import Land

        facts: dict[str, Any] = {"files": {}, "notes": {}}
        for variant in filter(target.takes, variants):
            path = self.artifact_path(role, variant)
            try:
                (count,) = count_files([path], target, Land.required(), progress=self.progress)
            except (EmulationError, MeasurementError) as error:
                facts["notes"][variant] = str(error)
                continue
            facts["files"][variant] = {**count.facts(), "file": f"{role} {variant}"}
            if not count.outputs_match:
                facts["notes"][variant] = "emulated, the file's outputs are not this machine's"
            elif count.instructions is None:
                facts["notes"][variant] = count.uncounted
        return facts

    # -- what the stages share ----------------------------------------------------------------

    def file(self, step: str, name: str) -> Path:
        """A file that a finished stage left."""
        return self.steps[step].stage.folder / name

    def read(self, step: str, name: str) -> Any:
        """A JSON file that a finished stage left."""
        return json.loads(self.file(step, name).read_bytes())

    def artifact_path(self, role: str, variant: str) -> Path:
        """An exported file."""
        return self.file(f"export-{role}-{variant}", f"model{VARIANTS[variant].suffix}")

    def model_of(self, step: str) -> Any:
        """The model that a finished stage left."""
        from edgeprune.models import load_model

        return load_model(self.file(step, "model.keras"), trust=self.inputs.trust_model)

    @property
    def method(self) -> str:
        """The score that decides: the recipe's, or the rehearsal's choice."""
        if "rehearse" in self.steps:
            return str(self.read("rehearse", "rehearsal.json")["method"])
        return self.recipe.prune.score[0]

    @property
    def settled(self) -> str:
        """The last round within the budget.

        Raises:
            PlanError: the first one already spent it.
        """
        found = None
        for number in range(1, self.recipe.prune.rounds + 1):
            facts = self.read(f"round-{number}", "round.json")
            if facts["skipped"] or facts["spent"]:
                break
            found = f"round-{number}"
        if found is None:
            first = self.read("round-1", "round.json")
            metric, before = (
                math.nan if value is None else value
                for value in (first["metric"], first["baseline"])
            )
            raise self._loop().spent_at_once(metric, before)
        return found

    @property
    def goal(self) -> Goal:
        """The recipe's ``[prune]``, with what a search found."""
        found = self.read("search", "search.json") if "search" in self.steps else {}
        return Goal.of(self.recipe.prune, found.get("share"))

    @property
    def settings(self) -> Settings:
        """The recipe's ``recover`` and ``[finetune]``."""
        tune = self.recipe.finetune
        return Settings(
            steps=self.recipe.recover,
            epochs=tune.epochs,
            learning_rate=tune.learning_rate,
            batch=tune.batch,
            patience=tune.patience,
            decay=tune.decay,
            teaching=Teaching(**self.recipe.distill.model_dump()),
        )

    @cached_property
    def material(self) -> Material:
        """Data and task of the rounds; never the evaluation set."""
        roles = self.inputs.roles
        return Material(
            roles.train,
            roles.validation,
            roles.calibrate,
            self.inputs.task,
            microbatch=self.recipe.data.microbatch,
            seed=self.recipe.seed,
            workers=self.recipe.workers,
        )

    def _loop(self) -> Rounds:
        return Rounds(
            self.inputs.model, self.method, self.goal, self.settings, self.material, self.progress
        )

    def _save(self, model: Any, folder: Path) -> None:
        from edgeprune.models import save_model

        save_model(model, folder / "model.keras")

    def _numbers(self, model: Any) -> dict[str, Any]:
        from edgeprune.models import kernels, macs, nonzero, parameters, values_digest

        found = {
            name: {
                "shape": [int(size) for size in kernel.variable.shape],
                "nonzero": int(np.count_nonzero(np.asarray(kernel.variable))),
            }
            for name, kernel in kernels(model).items()
        }
        return {
            "parameters": parameters(model),
            "nonzero": nonzero(model),
            "macs": macs(model),
            "digest": values_digest(model),
            "kernels": found,
        }
