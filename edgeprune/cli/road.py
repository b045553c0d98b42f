"""run, clean, report, init, schema: the one road and what belongs to it."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeprune.cli.common import verb
from edgeprune.cli.options import BoardAddresses, Json, Loss, Metric, Threads, Trust
from edgeprune.cli.terminal import Session

RECIPE = Path("edgeprune.toml")
RecipePath = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A recipe, or the folder it lies in.")
]


class Emulator(StrEnum):
    qemu = "qemu"


class Noun(StrEnum):
    recipe = "recipe"
    target = "target"
    bench = "bench"
    counted = "count"  # str has a method of the other name


def add(app: typer.Typer) -> None:
    """Put these verbs on ``app``."""
    verb(app, "run", framework=True)(run)
    verb(app, "report")(report)
    verb(app, "init", framework=True)(init)
    verb(app, "clean")(clean)
    verb(app, "schema")(schema)
    verb(app, "makefile")(makefile)


def run(
    session: Session,
    recipe: RecipePath = RECIPE,
    target: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only this target; repeatable.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key; repeatable."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few hundred samples, one epoch; never released.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the stages, and why each would run.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="For another run beside this recipe to end.")
    ] = False,
    depfile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write make's dependencies here.")
    ] = None,
    depfile_goal: Annotated[
        str | None, typer.Option(metavar="GOAL", help="Make's own name of what they make ($@).")
    ] = None,
    ssh: BoardAddresses = None,
    via: Annotated[
        Emulator | None,
        typer.Option("--via", help="qemu: count every file's instructions as each ARM target."),
    ] = None,
    trust_model: Trust = False,
    json: Json = False,
) -> int:
    """Do all of it: from recipe to released, measured files.

    Example:  edgeprune run edgeprune.toml --set prune.sparsity=0.95
    """
    from edgeprune import pipeline
    from edgeprune.cli.tables import near, result_parts, stages_table

    recipe = _file(recipe)
    session.home = recipe.parent
    given: dict[str, Any] = {
        "targets": tuple(target or ()),
        "sets": tuple(sets or ()),
        "quick": quick,
        "trust_model": trust_model,
        "ssh": tuple(ssh or ()),
        "emulated": via is Emulator.qemu,
    }
    if dry_run:
        stages = pipeline.dry_run(recipe, **given)
        session.result([vars(each) for each in stages], [stages_table(stages)], json=json)
        return 0
    result = pipeline.run(
        recipe,
        wait=wait,
        depfile=depfile,
        depfile_goal=depfile_goal,
        progress=session.progress,
        **given,
    )
    page = f"report: {near(pipeline.report_of(recipe, quick=quick))}"
    session.result(result.to_json(), [*result_parts(result), page], json=json)
    return int(result.exit_code)


def report(
    session: Session,
    result: Annotated[Path, typer.Argument(metavar="RESULT.json", help="From 'edgeprune run'.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help=".html or .md; else the table here."),
    ] = None,
    json: Json = False,
) -> None:
    """Show a run's result again: as a table, an HTML page, or Markdown.

    Example:  edgeprune report .edgeprune/result.json -o report.html
    """
    from edgeprune import verbs
    from edgeprune.cli.tables import result_parts

    found, facts = verbs.report_file(result, out)
    session.result(facts, result_parts(found) if out is None else f"{out}: written", json=json)


def init(
    session: Session,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A .keras or .h5 file, or module:function.")
    ],
    data: Annotated[
        str, typer.Option("--data", metavar="FILE", help="An .npz, a folder, or module:function.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where the recipe goes.")
    ] = RECIPE,
    loss: Loss = None,
    metric: Metric = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
    threads: Threads = 2,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Write a commented recipe for a model that runs unedited.

    Example:  edgeprune init model.keras --data d.npz -o edgeprune.toml
    """
    from edgeprune import verbs

    notes = verbs.init_file(
        model, data, out, loss=loss, metric=metric, force=force, threads=threads, trust=trust_model
    )
    if not json:
        for line in notes:
            session.say(line)
    line = f"{out}: written; next: edgeprune run {shlex.quote(str(out))} --quick"
    session.result({"file": str(out), "notes": list(notes)}, line, json=json)


def clean(
    session: Session,
    recipe: RecipePath = RECIPE,
    everything: Annotated[bool, typer.Option("--all", help="The logs too.")] = False,
) -> None:
    """Remove the build directory's stages and checkpoints; what is released stays.

    Example:  edgeprune clean edgeprune.toml
    """
    from edgeprune import pipeline
    from edgeprune.cli.tables import bytes_text
    from edgeprune.errors import InputError

    if not recipe.exists():
        raise InputError(f"{recipe}: no such file or folder; name a recipe or its folder")
    # The recipe is not read: a broken one can be cleaned too.
    beside = _file(recipe)
    session.home = beside.parent
    freed = pipeline.clean(beside, everything=everything)
    session.print(f"{recipe}: {bytes_text(freed)} freed")


def schema(
    session: Session,
    noun: Annotated[Noun, typer.Argument(metavar="recipe|target|bench|count", help="Of what.")],
) -> None:
    """Print the JSON Schema of a recipe or a device profile; editors complete from it.

    bench is what 'edgeprune bench --json' prints, count what it prints of an emulated file.

    Example:  edgeprune schema recipe > recipe.schema.json
    """
    from edgeprune import verbs

    session.print_json(verbs.schema_of(noun.value))


def _file(recipe: Path) -> Path:
    """The recipe that is meant: the file, or the one of the usual name in a folder."""
    return recipe / RECIPE if recipe.is_dir() else recipe


def makefile(session: Session) -> None:
    """Print where edgeprune.mk is, for a Makefile of your own to include.

    Example:  edgeprune makefile
    """
    from edgeprune import verbs

    session.print(str(verbs.makefile_path()))
