"""``edgeprune run``: the one road, stage by stage, from a recipe to what is released."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeprune.errors import RecipeError
from edgeprune.files import nearest, write_bytes, write_json, writing
from edgeprune.measurements import Measurement
from edgeprune.pipeline.depfiles import depfile_text
from edgeprune.pipeline.inputs import Inputs, InputsChanged
from edgeprune.pipeline.quick import quick_recipe
from edgeprune.pipeline.steps import Step, Table
from edgeprune.pipeline.timings import Timings
from edgeprune.progress import SILENT, Progress
from edgeprune.recipes import Recipe
from edgeprune.results import Result
from edgeprune.targets import Target
from edgeprune.workspace import Workspace

BUILD = ".edgeprune"
DEFAULT = "edgeprune"
"""Stem of the recipe whose reports carry no name of their own."""


@dataclass(frozen=True)
class StageState:
    """A line of ``--dry-run``.

    Attributes:
        stage: its name.
        done: these inputs have been through it.
        why: why not, otherwise ``None``.
        estimate_s: seconds it is likely to take, from earlier runs of it (a ``--quick`` one
            counts, scaled by its work); ``None`` where none is known.
    """

    stage: str
    done: bool
    why: str | None
    estimate_s: float | None


def workspace_of(recipe: Path | str, *, quick: bool = False) -> Workspace:
    """The build directory beside a recipe; quick runs have their own inside it."""
    root = Path(recipe).resolve().parent / BUILD
    return Workspace(root / "quick" if quick else root)


def run(
    recipe: Path | str | Recipe,
    *,
    targets: Sequence[str] = (),
    sets: Iterable[str] = (),
    quick: bool = False,
    wait: bool = False,
    depfile: Path | str | None = None,
    trust_model: bool = False,
    progress: Progress = SILENT,
) -> Result:
    """Carry out a recipe: what is already done is kept, the rest is redone, files are released.

    Args:
        recipe: its file, or the recipe itself.
        targets: of the recipe's, those to release for; none: all.
        sets: ``key=value`` over the recipe's.
        quick: a few hundred samples and one epoch, in a build directory of its own; nothing is
            released.
        wait: for another run in the same build directory to end (otherwise that is an error).
        depfile: where to write, as compilers do, which files the result depends on.
        trust_model: load Lambda layers.
        progress: where stages are shown.

    Returns:
        The result; :attr:`Result.exit_code` is 3 where a gate is broken.

    Raises:
        EdgepruneError: see :mod:`edgeprune.errors`; finished stages are kept.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, sets)
    road = _Road(recipe, targets, quick=quick, trust_model=trust_model, progress=progress)
    with road.workspace.lock(wait=wait):
        road.check_output()
        road.foretell()
        result = road.run()
        if depfile is not None:
            goals = [road.released(target) / "manifest.json" for target in road.targets]
            write_bytes(depfile, depfile_text(goals, road.prerequisites()))
        return result


def dry_run(
    recipe: Path | str | Recipe,
    *,
    targets: Sequence[str] = (),
    sets: Iterable[str] = (),
    quick: bool = False,
    trust_model: bool = False,
) -> list[StageState]:
    """What :func:`run` would do: every stage, whether it is done, why not, and how long."""
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, sets)
    road = _Road(recipe, targets, quick=quick, trust_model=trust_model, progress=SILENT)
    return road.states()


def clean(recipe: Path | str, *, everything: bool = False) -> int:
    """Remove what runs of a recipe have built (not what was released); the bytes set free."""
    freed = workspace_of(recipe, quick=True).clean(everything=everything)
    return freed + workspace_of(recipe).clean(everything=everything)


class _Road:
    def __init__(
        self,
        recipe: Recipe,
        targets: Sequence[str],
        *,
        quick: bool,
        trust_model: bool,
        progress: Progress,
    ) -> None:
        self.quick = quick
        self.progress = progress
        self.recipe = quick_recipe(recipe) if quick else recipe
        self.targets = _chosen(recipe, targets)
        self.workspace = workspace_of(recipe.path, quick=quick)
        self.inputs = Inputs(self.recipe, self.workspace, trust_model=trust_model)
        # Quick runs leave their timings here too: they are what a first estimate is made of.
        file = workspace_of(recipe.path).root / "timings.json"
        self._timings = Timings(file, self.inputs.train_examples)

    def run(self) -> Result:
        # What a module:function returns is known when it is called; one that changed makes the
        # keys anew, once.
        try:
            work = self._stages()
        except InputsChanged:
            self.inputs = Inputs(self.recipe, self.workspace, trust_model=self.inputs.trust_model)
            work = self._stages()
        return self._finish(work)

    def states(self) -> list[StageState]:
        return [
            StageState(
                step.name, step.stage.done, step.stage.why_not(), self._timings.estimate(step)
            )
            for step in self._steps()
        ]

    def check_output(self) -> None:
        """Fail now, not after the training, where the release could not be written.

        Raises:
            OutputError: the output folder cannot be made or written.
        """
        if self.quick:
            return
        folder = self.recipe.resolve(self.recipe.output)
        made = not folder.exists()
        with writing(folder / ".probe") as temporary:
            temporary.touch()
        (folder / ".probe").unlink()
        if made:
            folder.rmdir()

    def foretell(self) -> None:
        """Say now which gates no run on this machine can evaluate."""
        from edgeprune.benchmarking import unreachable

        for target in self.targets:
            gates, reason = self.recipe.gates_for(target.name), unreachable(target)
            if gates.max_latency_ms is not None and reason is not None:
                outcome = {
                    "break": 'it will count as broken (unmeasured = "allow" accepts it)',
                    "allow": 'unmeasured = "allow" accepts it',
                }[gates.unmeasured]
                self.progress.say(f"note: max_latency_ms cannot be judged: {reason}; {outcome}")

    def released(self, target: Target) -> Path:
        """Where the files of a target go."""
        return self.recipe.resolve(self.recipe.output) / target.name

    def prerequisites(self) -> list[Path]:
        return [*self.inputs.files(), *(target.path for target in self.targets)]

    def _steps(self) -> list[Step]:
        return Table(self.recipe, self.inputs, self.workspace, self.targets).steps()

    def _stages(self) -> Any:
        from edgeprune.pipeline.work import Work

        steps = self._steps()
        named = {step.name: step for step in steps}
        targets = {target.name: target for target in self.targets}
        work = Work(self.recipe, self.inputs, named, targets, self.progress)
        for step in steps:
            if step.stage.done:
                continue
            with self.progress.task(step.name, None):
                started = time.monotonic()
                with step.stage.write() as folder:
                    work.do(step, folder)
                self._timings.remember(step, time.monotonic() - started)
        return work

    def _finish(self, work: Any) -> Result:
        from edgeprune.pipeline.assembling import Assembly
        from edgeprune.pipeline.releasing import release

        assembly = Assembly(work, quick=self.quick)
        result = assembly.result(self.targets)
        released, held = {}, {}
        for target in self.targets:
            broken = [v.gate for v in result.broken if v.target == target.name]
            if self.quick:
                continue
            if broken:
                held[target.name] = "broken: " + ", ".join(dict.fromkeys(broken))
                release(assembly, result, target, self._own("held") / target.name)
            elif not assembly.files(target):
                held[target.name] = f"none of {', '.join(assembly.formats)} runs there"
            else:
                release(assembly, result, target, self.released(target))
                released[target.name] = str(self.released(target))
        notes = [
            f"{name}: {self.released(target)} holds the release of an earlier run"
            for target in self.targets
            if (name := target.name) in held and self.released(target).exists()
        ]
        result = replace(result, released=released, held=held, notes=(*result.notes, *notes))
        self._report(result, assembly.measurements(self.targets))
        return result

    def _report(self, result: Result, measurements: Sequence[Measurement]) -> None:
        from edgeprune import reporting

        page = reporting.html(result, measurements)
        write_json(self._own("result.json"), result.to_json())
        write_bytes(self._own("report.html"), page.encode())
        write_bytes(self._own("report.md"), reporting.markdown(result).encode())

    def _own(self, name: str) -> Path:
        """A place of this recipe's in the build directory, which recipes of one folder share."""
        stem = self.recipe.path.stem
        return self.workspace.root / (name if stem == DEFAULT else f"{stem}-{name}")


def _chosen(recipe: Recipe, names: Sequence[str]) -> tuple[Target, ...]:
    known = [section.name for section in recipe.targets]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
            raise RecipeError([f"{recipe.name}: no [[targets]] named {name!r}; {hint}"])
    beside = [recipe.base / "targets"]
    return tuple(Target.load(name, beside) for name in known if not names or name in names)
