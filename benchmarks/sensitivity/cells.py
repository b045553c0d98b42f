"""A cell: one method on one net, at one amount, with one seed; its result is one file."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.sensitivity.sets import BUILD
from edgeprune.files import canonical_json, digest_of, now, write_json
from edgeprune.versions import installed

RESULTS = Path(__file__).resolve().parent.parent / "results" / "sensitivity"
LIBRARIES = ("tensorflow", "keras", "numpy", "tensorflow-model-optimization")
Facts = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Cell:
    """What is measured at once.

    Attributes:
        task: name of the table it is in.
        net: name of the net.
        method: what is tried.
        amount: how much is asked for, as a share; 0 where the method gives a whole curve.
        seed: of everything random; dense nets differ by it too.
        settings: all else that decides the result. Another value measures the cell again.
        measure: does it; JSON values.
    """

    task: str
    net: str
    method: str
    amount: float
    seed: int
    settings: Mapping[str, Any] = field(repr=False)
    measure: Callable[[Cell], Facts] = field(repr=False)

    @property
    def name(self) -> str:
        """Unique, as ``--only`` and the files have it."""
        amount = f"-{self.amount:g}" if self.amount else ""
        return f"{self.task}/{self.net}/{self.method}{amount}-seed{self.seed}"

    @property
    def path(self) -> Path:
        """Where its result lies."""
        return RESULTS / f"{self.name}.json"

    @property
    def inputs(self) -> Facts:
        """What the result was made from."""
        facts = {
            "task": self.task, "net": self.net, "method": self.method, "amount": self.amount,
            "seed": self.seed, "settings": self.settings,
        }  # fmt: skip
        loaded: Facts = json.loads(canonical_json(facts))
        return loaded

    def result(self) -> Facts | None:
        """What was measured; ``None`` where nothing was, or from something else."""
        try:
            kept: Facts = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        return kept if kept["digest"] == digest_of(self.inputs) else None

    def run(self) -> Facts:
        """Measure and keep it."""
        start, worked = time.perf_counter(), time.process_time()
        figures = self.measure(self)
        facts = {
            **self.inputs,
            "digest": digest_of(self.inputs),
            "figures": figures,
            "seconds": round(time.perf_counter() - start, 1),
            "core_seconds": round(time.process_time() - worked, 1),
            "date": now()[:10],
            "versions": {name: installed(name) for name in LIBRARIES},
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, facts)
        return facts

    def claimed(self) -> FileLock:
        """A lock for who measures it; of several runs side by side one gets it."""
        path = BUILD / "claims" / f"{self.name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path, timeout=0)
