"""``edgeprune run``: the one road, stage by stage, from a recipe to what is released."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgeprune.errors import InputError, RecipeError
from edgeprune.files import check_file, check_folder, nearest, write_bytes, write_json
from edgeprune.measurements import Measurement
from edgeprune.pipeline.boards import Boards, failed_before
from edgeprune.pipeline.depfiles import depfile_text, folders
from edgeprune.pipeline.foreseeing import FORESEEN, foresee
from edgeprune.pipeline.gates import foretold, no_file
from edgeprune.pipeline.inputs import Inputs, InputsChanged
from edgeprune.pipeline.quick import quick_recipe
from edgeprune.pipeline.record import Record
from edgeprune.pipeline.rounding import is_open, rounded, told
from edgeprune.pipeline.steps import Step, Table
from edgeprune.pipeline.timings import Clock, Timings
from edgeprune.progress import SILENT, Progress
from edgeprune.recipes import Recipe, is_function
from edgeprune.results import Result
from edgeprune.targets import Target
from edgeprune.workspace import Workspace

BUILD = ".edgeprune"
Made = TypeVar("Made")
DEFAULT = "edgeprune"
"""Stem of the recipe whose reports carry no name of their own."""


@dataclass(frozen=True)
class StageState:
    """A line of ``--dry-run``.

    Attributes:
        stage: its name.
        done: these inputs have been through it.
        why: why not, otherwise ``None``.
        estimate_s: seconds it is likely to take, from earlier runs of it (where there is none,
            from a ``--quick`` one: what trains is scaled, the rest taken as it was); ``None``
            where none is known.
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
    depfile_goal: str | None = None,
    trust_model: bool = False,
    ssh: Sequence[str] = (),
    emulated: bool = False,
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
        depfile: where to write, as compilers do, which files the result depends on; written
            before the release, so that what is released is newer.
        depfile_goal: make's own name of what the rule makes; otherwise the manifests' paths.
        trust_model: load Lambda layers.
        ssh: where the targets' boards are, ``user@host`` or ``target=user@host``; else as the
            environment or the user's list of boards says.
        emulated: count the instructions of every file as each ARM target's core.
        progress: where stages are shown.

    Returns:
        The result; :attr:`Result.exit_code` is 3 where a gate is broken.

    Raises:
        EdgepruneError: see :mod:`edgeprune.errors`; finished stages are kept.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, sets)
    road = _Road(
        recipe, targets, quick=quick, trust_model=trust_model, ssh=ssh, emulated=emulated,
        progress=progress,
    )  # fmt: skip
    if quick and depfile is not None:
        raise InputError("a quick run releases nothing that make could depend on: no depfile of it")
    if depfile is not None:
        check_file(depfile)
    with road.workspace.lock(wait=wait):
        road.check_output()
        road.foretell()
        return road.run(depfile, depfile_goal)


def dry_run(
    recipe: Path | str | Recipe,
    *,
    targets: Sequence[str] = (),
    sets: Iterable[str] = (),
    quick: bool = False,
    trust_model: bool = False,
    ssh: Sequence[str] = (),
    emulated: bool = False,
) -> list[StageState]:
    """What :func:`run` would do: every stage, whether it is done, why not, and how long.

    Nothing is written, so it may be asked while a run goes on.

    Raises:
        InputError: what the check would refuse without reading data: see
            :func:`edgeprune.pipeline.foreseeing.foresee`.
    """
    if not isinstance(recipe, Recipe):
        recipe = Recipe.load(recipe, sets)
    road = _Road(
        recipe, targets, quick=quick, trust_model=trust_model, ssh=ssh, emulated=emulated,
        progress=SILENT, writes=False,
    )  # fmt: skip
    return road.states()


def clean(recipe: Path | str, *, everything: bool = False) -> int:
    """Remove what runs of a recipe have built (not what was released); the bytes set free."""
    freed = workspace_of(recipe, quick=True).clean(everything=everything)
    return freed + workspace_of(recipe).clean(everything=everything)


def report_of(recipe: Path | str, *, quick: bool = False) -> Path:
    """Where a run of ``recipe`` leaves its report page."""
    return _place_of(Path(recipe), workspace_of(recipe, quick=quick), "report.html")


def _place_of(recipe: Recipe | Path, workspace: Workspace, name: str) -> Path:
    """A place of a recipe's in the build directory, which recipes of one folder share."""
    stem = (recipe.path if isinstance(recipe, Recipe) else recipe).stem
    return workspace.root / (name if stem == DEFAULT else f"{stem}-{name}")


class _Road:
    def __init__(
        self,
        recipe: Recipe,
        targets: Sequence[str],
        *,
        quick: bool,
        trust_model: bool,
        ssh: Sequence[str],
        emulated: bool,
        progress: Progress,
        writes: bool = True,
    ) -> None:
        self.quick = quick
        self.emulated = emulated
        self.progress = progress
        self.targets = _chosen(recipe, targets)
        self.boards = Boards.of(self.targets, ssh)
        # One model for every target, also where a run releases for a few of them.
        self.profiles = _chosen(recipe, ()) if is_open(recipe) else self.targets
        self._rounding = told(recipe, self.profiles)
        recipe = rounded(recipe, self.profiles)
        self.recipe = quick_recipe(recipe) if quick else recipe
        self.workspace = workspace_of(recipe.path, quick=quick)
        record = Record(self.workspace, writes=writes)
        self.inputs = Inputs(self.recipe, self.workspace, trust_model=trust_model, record=record)
        # Of quick runs the first estimates of others are made.
        other = workspace_of(recipe.path, quick=not quick)
        mine, others = (place.root / "timings.json" for place in (self.workspace, other))
        self._timings = Timings(mine, others, lambda: self.inputs.train_examples())

    def run(self, depfile: Path | str | None = None, goal: str | None = None) -> Result:
        work = self._settled(self._stages)
        if depfile is not None:
            goals = [self.released(target) / "manifest.json" for target in self.targets]
            write_bytes(depfile, depfile_text([goal] if goal else goals, self.prerequisites()))
        return self._finish(work)

    def _settled(self, make: Callable[[], Made]) -> Made:
        """What ``make`` gives. What a module:function returns is known when it is called; one that
        changed makes the keys anew, once for each.

        Raises:
            EdgepruneError: one that returns something else at each call.
        """
        changed: set[str] = set()
        while True:
            try:
                return make()
            except InputsChanged as change:
                if change.what in changed:
                    raise change.again() from None
                changed.add(change.what)
                self.inputs = self.inputs.anew()

    def states(self) -> list[StageState]:
        return self._settled(self._states)

    def _states(self) -> list[StageState]:
        return [
            StageState(
                step.name,
                step.stage.done and not failed_before(step),
                "its board failed" if failed_before(step) else step.stage.why_not(),
                self._timings.estimate(step),
            )
            for step in self._foreseen()
        ]

    def check_output(self) -> None:
        """Fail now, not after the training, where the release could not be written.

        Raises:
            OutputError: the output folder cannot be made or written.
        """
        if self.quick:
            return
        check_folder(self.recipe.resolve(self.recipe.output))

    def foretell(self) -> None:
        """Say now what the targets make of the widths, and which gates cannot be judged, or can
        hardly be kept."""
        from edgeprune.benchmarking import uncountable, unreachable

        if self._rounding:
            self.progress.say(f"note: {self._rounding}")
        for target in self.targets:
            gates = self.recipe.gates_for(target.name, target.gates)
            counted = gates.max_instructions is not None
            uncounted = uncountable(target) if counted else None
            untimed = None if self.boards.said(target) else unreachable(target)
            for line in foretold(self.recipe, target, untimed, uncounted):
                self.progress.say(f"note: {line}")

    def released(self, target: Target) -> Path:
        """Where the files of a target go."""
        return self.recipe.resolve(self.recipe.output) / target.name

    def prerequisites(self) -> list[Path]:
        """Files whose change, and folders in which a new file, must rebuild."""
        recipe = self.recipe
        data = (recipe.data.train, recipe.data.calibrate, recipe.data.evaluate)
        patterns = [recipe.model.path, *recipe.model.depends]
        patterns += [place for s in data if s is not None for place in (s.path, *s.depends)]
        # What runs write themselves is no input, even where a glob takes it in.
        ours = (workspace_of(recipe.path).root, recipe.resolve(recipe.output))
        found = {
            folder
            for pattern in patterns
            if not is_function(pattern)
            for folder in folders(pattern, recipe.base)
            if not any(folder.is_relative_to(place) for place in ours)
        }
        profiles = {path: None for target in self.profiles for path in target.chain}
        return [*self.inputs.files(), *sorted(found), *profiles]

    def _steps(self) -> list[Step]:
        return Table(
            self.recipe, self.inputs, self.workspace, self.targets, self.boards, self.emulated
        ).steps()

    def _foreseen(self) -> list[Step]:
        """The steps, once what they would be refused for was looked for; where none of those that
        it concerns is to be done, it was looked for before."""
        steps = self._steps()
        if not all(step.stage.done for step in steps if step.kind in FORESEEN):
            foresee(self.inputs)
        return steps

    def _stages(self) -> Any:
        from edgeprune.pipeline.work import Work

        steps = self._foreseen()
        named = {step.name: step for step in steps}
        targets = {target.name: target for target in self.targets}
        work = Work(self.recipe, self.inputs, named, targets, self.progress, self.boards)
        for step in steps:
            if not step.stage.done or failed_before(step):
                self._carry_out(work, step)
            work.say_what_cannot_hold(step)
        return work

    def _carry_out(self, work: Any, step: Step) -> None:
        with self.progress.task(step.name, None):
            started, work.progress = time.monotonic(), Clock(self.progress)
            with step.stage.write() as folder:
                work.do(step, folder)
            self._timings.remember(step, time.monotonic() - started, work.progress)

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
            wrong = assembly.wrong(target)
            if (broken or wrong) and assembly.files(target):
                gates = "broken: " + ", ".join(dict.fromkeys(broken))
                held[target.name] = "; ".join([*wrong, *([gates] if broken else [])])
                release(assembly, result, target, self._own("held") / target.name)
            elif not assembly.files(target):
                held[target.name] = no_file(target, assembly.formats)
            else:
                release(assembly, result, target, self.released(target))
                released[target.name] = str(self.released(target))
        notes = [
            f"{name}: {self.recipe.output}/{name} holds the release of an earlier run"
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
        return _place_of(self.recipe, self.workspace, name)


def _chosen(recipe: Recipe, names: Sequence[str]) -> tuple[Target, ...]:
    known = [section.name for section in recipe.targets]
    for name in names:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near!r}?" if near else f"it has {', '.join(known)}"
            raise RecipeError([f"{recipe.name}: no [[targets]] named {name!r}; {hint}"])
    beside = [recipe.base / "targets"]
    return tuple(Target.load(name, beside) for name in known if not names or name in names)
