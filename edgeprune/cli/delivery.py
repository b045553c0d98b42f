"""export, verify, bench, inspect: exported files, and what is in any file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from edgeprune.cli.common import verb
from edgeprune.cli.measured import MaxSlowdown, Reports
from edgeprune.cli.options import BoardAddresses, Data, Json, Model, Out, Serials, Threads, Trust
from edgeprune.cli.ranges import NOT_NEGATIVE, POSITIVE, duration, option, whole
from edgeprune.cli.terminal import Session


class Variant(StrEnum):
    """The names of :mod:`edgeprune.variants`."""

    fp32 = "fp32"
    fp32_sparse = "fp32-sparse"
    fp16 = "fp16"
    fp16_sparse = "fp16-sparse"
    dynamic = "dynamic"
    dynamic_sparse = "dynamic-sparse"
    int8 = "int8"
    int8_sparse = "int8-sparse"
    int8_float_io = "int8-float-io"
    int8_float_io_sparse = "int8-float-io-sparse"
    int16x8 = "int16x8"
    int16x8_sparse = "int16x8-sparse"
    onnx_fp32 = "onnx-fp32"


FORMATS = (
    "What to write: fp32 fp16 dynamic int8 int8-float-io int16x8, each with -sparse too, or "
    "onnx-fp32."
)


class Via(StrEnum):
    local = "local"
    ssh = "ssh"
    adb = "adb"
    qemu = "qemu"


ArtifactPath = Annotated[Path, typer.Argument(metavar="ARTIFACT", help="A .tflite or .onnx file.")]


def add(app: typer.Typer) -> None:
    """Put these verbs on ``app``."""
    verb(app, "export", framework=True)(export)
    verb(app, "verify", framework=True)(verify)
    verb(app, "bench", framework=True)(bench)
    verb(app, "inspect", framework=True)(inspect)


def export(
    session: Session,
    model: Model,
    variant: Annotated[
        Variant, typer.Option("--format", "--variant", metavar="NAME", help=FORMATS)
    ],
    out: Out,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help="Examples that calibrate int8 and int16x8."),
    ] = None,
    examples: Annotated[int, option(takes=whole(1), help="So many of them.")] = 256,
    sparse: Annotated[
        bool,
        typer.Option("--sparse", help="ONNX: sparse initialisers where they are smaller."),
    ] = False,
    batch: Annotated[int, option(takes=whole(1), help="Examples per inference.")] = 1,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Write a .tflite or .onnx that works, and read back what is in it.

    The file is run beside the model first. One that its engine refuses, or that answers something
    else, is not written; the message names the nearest format that works.

    Example:  edgeprune export small.keras --format fp32-sparse -o small.tflite
    """
    from edgeprune import verbs

    source = verbs.Source(model, data, trust=trust_model)
    facts = verbs.export_file(
        source, out, variant=variant.value, sparse=sparse, batch=batch, examples=examples
    )
    stored = [name for name, kind in facts["stored"].items() if kind != "dense"]
    line = (
        f"{out}: {facts['variant']}, {facts['size_bytes']:,} bytes "
        f"({facts['gzip_bytes']:,} gzipped), {len(stored)} of {len(facts['stored'])} tensors "
        "stored sparse"
    )
    session.result(facts, line, json=json)


def verify(
    session: Session,
    artifact: ArtifactPath,
    model: Annotated[
        Path, typer.Option("--model", metavar="MODEL", help="What it was exported from.")
    ],
    data: Data,
    tolerance: Annotated[
        float | None,
        option(takes=NOT_NEGATIVE, help="Of the largest output, for each; else the variant's own."),
    ] = None,
    variant: Annotated[
        Variant | None,
        typer.Option("--variant", metavar="NAME", help="Of the file; else as its bytes say."),
    ] = None,
    examples: Annotated[int, option(takes=whole(32), help="How many are compared.")] = 256,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Compare a file with its model, each in its own runtime.

    Example:  edgeprune verify small.tflite --model small.keras --data d.npz
    """
    from edgeprune import verbs

    source = verbs.Source(model, str(data), trust=trust_model)
    facts = verbs.verify_file(
        source,
        artifact,
        tolerance=tolerance,
        variant=None if variant is None else variant.value,
        examples=examples,
    )
    whole_numbers = facts["measure"] == "rms"
    key, what = ("relative", "")
    if whole_numbers:
        key, what = "relative_rms", " (root mean square)"
    lines = []
    for output in facts["outputs"]:
        agreement = output["top1_agreement"]
        same = "" if agreement is None else f", top-1 agrees on {agreement:.2%}"
        lines.append(
            f"{artifact}: {output['output']} within {output[key]:.1e} of the largest "
            f"output{what} on {facts['samples']} examples (allowed {facts['tolerance']:.0e}){same}"
        )
    lines += [f"{artifact}: warning: {warning}" for warning in facts["warnings"]]
    session.result(facts, lines, json=json)


def bench(
    session: Session,
    artifacts: Annotated[
        list[Path], typer.Argument(metavar="ARTIFACT...", help="Files, timed interleaved.")
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A profile, see 'edgeprune targets'; repeatable; host."),
    ] = None,
    runs: Annotated[
        int | None, option(takes=whole(5), help="Timed runs of each file at least; 50.")
    ] = None,
    warmup: Annotated[
        int | None, option(takes=whole(0), help="Untimed runs at least, until it is steady; 10.")
    ] = None,
    threads: Annotated[
        int | None, option(takes=whole(1), help="Of the runtime; else the profile's.")
    ] = None,
    batch: Annotated[
        int | None, option(takes=whole(1), help="Examples of one inference; else the file's.")
    ] = None,
    seconds: Annotated[
        float | None,
        option(takes=POSITIVE, help="Of each file, at most, until its median is known to 2 %; 10."),
    ] = None,
    cold: Annotated[
        bool, typer.Option("--cold", help="Every run a fresh process, the file out of the cache.")
    ] = False,
    via: Annotated[
        Via | None,
        typer.Option("--via", help="The connection; qemu emulates, counts, and gives no time."),
    ] = None,
    ssh: BoardAddresses = None,
    adb: Serials = None,
    sustained: Annotated[
        float | None,
        typer.Option(
            "--sustained",
            metavar="TIME",
            parser=duration,
            help="Without a pause for so long (90s, 10m): the first minute beside the last.",
        ),
    ] = None,
    start_below: Annotated[
        float | None,
        option(
            "--start-below", takes=POSITIVE, help="Of --sustained: wait until the machine is at °C."
        ),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Where the time goes, node by node.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="ARTIFACT is before.json after.json, of bench --json."),
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare other devices, runtimes, threads too.")
    ] = False,
    max_slowdown: MaxSlowdown = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FOLDER", help="Keep the result there, for bench history."),
    ] = None,
    report: Reports = None,
    csv: Annotated[bool, typer.Option("--csv", help="Print a line a file, as CSV.")] = False,
    json: Json = False,
) -> int:
    """Time files on a target, A B A B; of a microcontroller, say whether they fit.

    A file that is too big for a microcontroller ends with exit code 3. A board is reached over ssh,
    and its outputs are compared with this machine's: a wrong one ends with exit code 1. Several
    boards work at the same time; one that fails leaves the others' results, and ends with 1. With
    --via qemu files run in the ARM build of their engine, which is set up where it is not there.

    Example:  edgeprune bench dense.tflite small.tflite --target host
    """
    from edgeprune import verbs
    from edgeprune.cli.measured import compare_parts, ended, found_parts, outputs, shown

    targets, connection = tuple(target or ("host",)), None if via is None else via.value
    timed = not compare and verbs.timed_targets(targets, connection)
    wanted = outputs(
        artifacts, report, save, csv=csv, json=json, cold=cold, saved=compare,
        timed=compare or (timed and not (cold or profile) and sustained is None),
    )  # fmt: skip
    if compare:
        facts = verbs.compare_saved(artifacts, anyway=anyway, max_slowdown=max_slowdown)
        return shown(session, facts, compare_parts(facts), wanted)
    facts = verbs.bench_paths(
        artifacts,
        targets=targets,
        threads=threads,
        via=connection,
        ssh=tuple(ssh or ()),
        adb=tuple(adb or ()),
        announce=session.say,
        progress=session.progress,
        runs=runs,
        warmup=warmup,
        batch=batch,
        seconds=seconds,
        cold=cold,
        max_slowdown=max_slowdown,
        sustained=sustained,
        start_below=start_below,
        profile_nodes=profile,
    )
    return ended(session, facts, shown(session, facts, found_parts(facts), wanted))


def inspect(
    session: Session,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help=".keras .h5 .tflite .onnx, or module:function.")
    ],
    groups: Annotated[
        bool, typer.Option("--groups", help="Which channels live or die together.")
    ] = False,
    inexact: Annotated[
        bool,
        typer.Option("--inexact", help="Free what is mixed without weights, marked as inexact."),
    ] = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="What it asks for, and what can leave."),
    ] = None,
    threads: Threads = 2,
    trust_model: Trust = False,
    json: Json = False,
) -> None:
    """Say what a model or an exported file is, or what a plan would leave of it.

    Example:  edgeprune inspect model.keras --groups
    """
    from edgeprune import verbs
    from edgeprune.cli.accounts import account_tables
    from edgeprune.cli.tables import facts_tables

    source = verbs.Source(file, trust=trust_model, threads=threads)
    facts = verbs.inspect_path(source, groups=groups, inexact=inexact, plan=plan)
    if plan is None:
        parts = facts_tables(str(file), facts)
    else:
        parts = account_tables(f"{plan} on {file}", facts["plan"])
    session.result(facts, parts, json=json)
