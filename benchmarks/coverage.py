"""What surgery can do with every architecture of ``keras.applications``: ``docs/coverage.md``.

For each: random weights, woken so that inputs matter; 30 % and 70 % of the channels of every free
group cut at random; the stripped model against the silenced one in float64; then saved, loaded,
trained for a step, and exported. ``python -m benchmarks.coverage [NAME …] [--write]``.
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

from edgeprune.costs import Cost
from edgeprune.errors import ExportError
from edgeprune.exporting import export_model
from edgeprune.graphs import Graph
from edgeprune.models import load_model, macs, named_layers, named_weights, parameters, save_model
from edgeprune.plans import Plan
from edgeprune.surgery import accounted, strip, strip_with_report, trace, zero

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "coverage.json"
PAGE = HERE.parent / "docs" / "coverage.md"
SMALL = (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0",
    "EfficientNetV2B0", "DenseNet121", "NASNetMobile", "ResNet50", "ResNet50V2", "InceptionV3",
    "Xception", "ConvNeXtTiny",
)  # fmt: skip
SLOW = (
    "VGG16", "VGG19", "ResNet101", "ResNet152", "ResNet101V2", "ResNet152V2", "DenseNet169",
    "DenseNet201", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4",
    "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B1", "EfficientNetV2B2",
    "EfficientNetV2B3", "EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L", "NASNetLarge",
    "InceptionResNetV2", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge",
)  # fmt: skip
SIZE = {"InceptionV3": 96, "Xception": 96, "InceptionResNetV2": 96, "NASNetLarge": 96}
TOLERANCE = 1e-9


@dataclass
class Row:
    """One architecture.

    Attributes:
        name: as in ``keras.applications``.
        parameters: of the whole model.
        groups: channel groups that some weight sits on.
        free: those that may lose channels.
        share: of the parameters in kernels that a free group can shrink.
        difference: largest difference between silenced and stripped, as a share of the largest
            output, at 30 % and at 70 %.
        left: share of the parameters that is left, at 30 % and at 70 %.
        seconds: trace, zero and strip at 30 %, together.
        exported: the formats that the stripped model was written in.
        fixed: the other groups' reasons, and how often each.
    """

    name: str
    parameters: int
    groups: int
    free: int
    share: float
    difference: tuple[float, float]
    left: tuple[float, float]
    seconds: float
    exported: tuple[str, ...]
    fixed: dict[str, int]


def built(name: str, policy: str) -> Any:
    """The architecture without its softmax: random weights under a dtype policy."""
    size = SIZE.get(name, 64)
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(policy)
    try:
        make = getattr(keras.applications, name)
        return make(
            weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
        )
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def woken(model: Any, seed: int) -> np.ndarray:
    """Shake biases, gammas and betas, take batch-norm statistics from a batch, and return it.

    Raises:
        AssertionError: two inputs have the same outputs, so that nothing could be proven.
    """
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name in ("bias", "beta"):
            variable.assign(rng.normal(size=variable.shape) * 0.3)
        elif variable.name == "gamma":
            variable.assign(rng.uniform(0.5, 1.5, size=variable.shape))
    shape = model.inputs[0].shape[1:]
    x = rng.normal(size=(4, *shape)) * 60 + np.array([40, 90, 150, 210]).reshape(-1, 1, 1, 1)
    norms = [
        layer
        for layer in named_layers(model).values()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(x, training=True)
    y = np.asarray(model(x, training=False))
    assert np.abs(y[0] - y[1]).max() > 1e-2 * np.abs(y).max(), "answers the same for two inputs"
    return x


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


def covered(name: str) -> Row:
    """Everything that is asked of one architecture.

    Raises:
        AssertionError: what must hold does not.
    """
    model = built(name, "float64")
    x = woken(model, 0)
    graph = trace(model)
    differences, left, seconds = [], [], 0.0
    for share in (0.3, 0.7):
        plan = random_cut(graph, share, 1)
        start = time.process_time()
        zeroed = zero(model, plan)
        small, report = strip_with_report(zeroed)
        seconds = seconds or time.process_time() - start
        wanted, got = np.asarray(zeroed(x)), np.asarray(small(x))
        difference = float(np.abs(wanted - got).max() / np.abs(wanted).max())
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
        name, parameters(model), len(graph.groups), len(graph.free),
        prunable_share(model, graph), (differences[0], differences[1]), (left[0], left[1]),
        seconds, tuple(_travelled(name)), reasons,
    )  # fmt: skip


def _travelled(name: str) -> Iterator[str]:
    """The stripped float32 model saved, loaded, trained for a step and exported."""
    model = built(name, "float32")
    small = strip(zero(model, random_cut(trace(model), 0.3, 1)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.keras"
        save_model(small, path)
        loaded = load_model(path)
        loaded.compile("sgd", "mse")
        x = np.zeros((2, *model.inputs[0].shape[1:]), np.float32)
        loaded.fit(x, np.zeros((2, 10)), verbose=0)
        for suffix in ("tflite", "onnx"):
            try:
                export_model(loaded, Path(folder) / f"small.{suffix}")
            except ExportError as error:
                print(f"{name}: {error}", file=sys.stderr)
            else:
                yield suffix


def page(rows: list[Row]) -> str:
    """The table as Markdown."""
    lines = [
        "# What is followed of `keras.applications`",
        "",
        "Made by `make coverage`: random weights, woken; 30 % and 70 % of the channels of every",
        "free group cut at random; *difference* is the largest between the stripped and the",
        "silenced model in float64, as a share of the largest output. *Prunable* is the share of",
        "the parameters in weights that a free group can shrink. *Seconds* are CPU time of zero",
        "and strip at 30 %. Each was then saved, loaded, trained for a step, and written in the",
        "formats named.",
        "",
        "| model | parameters | groups | free | prunable | left at 30 % / 70 % | difference "
        "| seconds | written |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.name} | {row.parameters:,} | {row.groups} | {row.free} | {row.share:.1%} "
            f"| {row.left[0]:.0%} / {row.left[1]:.0%} | {max(row.difference):.0e} "
            f"| {row.seconds:.1f} | {', '.join(row.exported)} |"
        )
    lines += ["", "What keeps its size, and why:", ""]
    for row in rows:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in row.fixed.items())
        lines.append(f"- {row.name}: {reasons}")
    return "\n".join([*lines, ""])


def kept() -> dict[str, Row]:
    """What an earlier run measured, by name."""
    if not RESULTS.exists():
        return {}
    return {row["name"]: Row(**row) for row in json.loads(RESULTS.read_text())}


def main(arguments: list[str]) -> int:
    """Cover what is named (or the small ones) and print it; ``--slow`` takes the large ones too,
    ``--write`` puts each into the table as it comes, beside what was measured before."""
    names = [name for name in arguments if not name.startswith("--")]
    names = names or [*SMALL, *(SLOW if "--slow" in arguments else ())]
    for name in names:
        keras.backend.clear_session()
        gc.collect()
        row = covered(name)
        print(json.dumps(asdict(row)), flush=True)
        if "--write" in arguments:
            rows = {**kept(), name: row}
            ordered = [rows[each] for each in (*SMALL, *SLOW) if each in rows]
            RESULTS.write_text(json.dumps([asdict(each) for each in ordered], indent=1) + "\n")
            PAGE.write_text(page(ordered))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
