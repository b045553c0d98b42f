"""``make demo``: train an MLP on the MNIST digits, prune it three ways, one table of all."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune.cli.faults import guarded
from edgeprune.cli.tables import Whole
from edgeprune.cli.terminal import Session
from edgeprune.pipeline import run
from edgeprune.pipeline.gates import EXACT, beyond
from edgeprune.progress import Progress
from edgeprune.results import Result, Row

HERE = Path(__file__).resolve().parent
MODEL = HERE / "mlp.keras"
ROADS = ("size", "speed", "channels", "gradient")
MOST_LOST = 0.003
SPEED_UP = 2.3
"""Least ratio of the speed road on x86-64; nothing is promised for other CPUs."""


@dataclass(frozen=True)
class Promise:
    """One line under the table: what was promised, what came out."""

    road: str
    text: str
    kept: bool | None


def trained(progress: Progress) -> None:
    """Train the dense model, unless it lies there already."""
    if MODEL.exists() and MODEL.stat().st_mtime > (HERE / "train.py").stat().st_mtime:
        progress.say(f"{MODEL.name} is there already; delete it to train it again")
        return
    from examples.mnist.train import EPOCHS, train

    with progress.task("train the dense model", EPOCHS) as task:
        train(MODEL, told=lambda note: task.advance(note=note))


def before(result: Result) -> Row:
    """The dense TFLite file."""
    return next(row for row in result.rows if row.role == "before" and row.variant == "fp32")


def after(result: Result, suffix: str = ".tflite") -> Row:
    """The pruned file."""
    rows = [row for row in result.rows if row.role == "after"]
    return next(row for row in rows if row.file.endswith(suffix))


def speed_up(result: Result) -> float:
    """Dense over pruned median latency, both TFLite, timed interleaved."""
    dense, pruned = before(result).median_ms, after(result).median_ms
    assert dense and pruned
    return dense / pruned


def promises(results: dict[str, Result]) -> list[Promise]:
    """What the demo promises, and whether it holds."""
    found = []
    for road in ("size", "speed", "channels"):
        row = after(results[road])
        drop = row.drop
        assert drop is not None and row.metric is not None
        text = f"{drop * 100:+.2f} points lost, at most {MOST_LOST * 100:.1f}"
        found.append(Promise(road, text, not beyond(drop, MOST_LOST, row.metric + abs(drop))))
    for road, least in (("size", 0.95), ("speed", 0.93)):
        share = results[road].sparsity
        text = f"{share:.2%} of the connections gone, at least {least:.0%}"
        found.append(Promise(road, text, share >= least - EXACT))
    dense, small = before(results["size"]).size_bytes, after(results["size"]).size_bytes
    found.append(
        Promise("size", f"1/{dense / small:.1f} of the bytes, at most 1/12", small * 12 <= dense)
    )
    ratio = speed_up(results["speed"])
    if platform.machine() in ("x86_64", "AMD64"):
        text = f"{ratio:.2f} times as fast, at least {SPEED_UP}"
        found.append(Promise("speed", text, ratio >= SPEED_UP))
    else:
        text = f"{ratio:.2f} times as fast; no target is set for this CPU ({platform.machine()})"
        found.append(Promise("speed", text, None))
    macs = after(results["channels"]).macs / before(results["channels"]).macs
    found.append(Promise("channels", f"{macs:.0%} of the MACs, at most half", macs <= 0.5))
    return found


def main_table(results: dict[str, Result]) -> Any:
    """Dense and every road, a row each."""
    from rich.table import Table

    table = Table(title="MLP 784-512-512-10 on the 10,000 digits never touched before", box=None)
    for name in (
        "road",
        "score",
        "accuracy",
        "lost",
        "gone",
        "MACs",
        "tflite",
        "onnx",
        "tflite ms",
        "speed",
    ):
        table.add_column(name, justify="left" if name in ("road", "score") else "right")
    first = next(iter(results.values()))
    dense = before(first)
    table.add_row(
        "dense", "", f"{dense.metric:.2%}", "", "", f"{dense.macs:,}", f"{dense.size_bytes:,}",
        f"{next(r for r in first.rows if r.variant == 'onnx-fp32').size_bytes:,}",
        f"{dense.median_ms:.4f}", "1.00",
    )  # fmt: skip
    for road, result in results.items():
        row = after(result)
        table.add_row(
            "S_i by itself" if road == "gradient" else road,
            result.method,
            f"{row.metric:.2%}",
            f"{(row.drop or 0) * 100:+.2f}",
            f"{result.sparsity:.1%}",
            f"{row.macs:,}",
            f"{row.size_bytes:,}",
            f"{after(result, '.onnx').size_bytes:,}",
            f"{row.median_ms:.4f}",
            f"{speed_up(result):.2f}",
        )
    return table


def rehearsal_table(results: dict[str, Result]) -> Any:
    """Accuracy on the validation split, by road and score."""
    from rich.table import Table

    table = Table(title="Rehearsals: accuracy on the validation split after a few epochs", box=None)
    table.add_column("road")
    rehearsed = {
        road: r.facts["rehearsal"] for road, r in results.items() if "rehearsal" in r.facts
    }
    scores = list(next(iter(rehearsed.values())))
    for score in scores:
        table.add_column(score, justify="right")
    for road, metrics in rehearsed.items():
        best = results[road].method
        table.add_row(road, *(f"{metrics[s]:.2%}{' *' if s == best else ''}" for s in scores))
    return table


def demo(session: Session) -> int:
    """All of it; 0, or 3 where a promise is broken."""
    started = time.monotonic()
    session.hush()
    progress = session.progress
    trained(progress)
    results = {}
    for road in ROADS:
        progress.say(f"── {road} " + "─" * (60 - len(road)))
        results[road] = run(HERE / f"{road}.toml", progress=progress)
    for table in (rehearsal_table(results), main_table(results)):
        session.print(Whole(table))  # no number is cut off, however narrow the terminal
    kept = promises(results)
    for promise in kept:
        word = {True: "kept  ", False: "BROKEN", None: "      "}[promise.kept]
        session.print(f"{word}  {promise.road:<9} {promise.text}")
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    session.print(
        f"{minutes} min {seconds} s; files in {_near(HERE / 'dist')}, a report page for each road:"
    )
    for road in ROADS:
        session.print(f"  {_near(HERE / '.edgeprune' / f'{road}-report.html')}")
    return 0 if all(promise.kept is not False for promise in kept) else 3


def _near(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def main(arguments: Sequence[str] = ()) -> int:
    """Run the demo; exit code as ``edgeprune`` has them."""
    session = Session()
    session.home = HERE
    return guarded(session, lambda: demo(session))


if __name__ == "__main__":
    raise SystemExit(main())
