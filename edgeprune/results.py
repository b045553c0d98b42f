"""What one run of a recipe gave: the facts behind the table, the report and the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgeprune.files import SCHEMA


@dataclass(frozen=True)
class Row:
    """One artifact on one target.

    Attributes:
        role: ``"before"`` (the original, exported the same way) or ``"after"``.
        target: name of the profile.
        file: name of the file.
        variant: ``"fp32"``, ``"fp32-sparse"``, ``"onnx-fp32"``.
        metric: of the file, through its runtime, on the evaluation set.
        drop: original's metric less this one, in the metric's unit, positive is worse.
        parameters: of the model behind it.
        nonzero: non-zero parameters of it.
        macs: multiply-accumulates per example, dense.
        size_bytes, gzip_bytes: of the file.
        median_ms, p95_ms, peak_memory_bytes: as measured; ``None`` where not.
        note: why something was not measured.
        instructions: of one inference, counted in an emulated target; ``None`` where not.
        uncounted: why they were not, where a gate asks for them.
    """

    role: str
    target: str
    file: str
    variant: str
    metric: float | None
    drop: float | None
    parameters: int
    nonzero: int
    macs: int
    size_bytes: int
    gzip_bytes: int
    median_ms: float | None = None
    p95_ms: float | None = None
    peak_memory_bytes: int | None = None
    note: str = ""
    instructions: int | None = None
    uncounted: str = ""


@dataclass(frozen=True)
class Verdict:
    """One gate on one file.

    Attributes:
        gate: ``"max_metric_drop"``, ``"max_bytes"``, ``"max_latency_ms"``,
            ``"max_instructions"``, ``"min_sparsity"``.
        target, file: what was judged.
        limit: from the recipe.
        value: found; ``None`` where it could not be evaluated.
        broken: the promise does not hold.
        note: why there is no value, or that the recipe allows that.
    """

    gate: str
    target: str
    file: str
    limit: float
    value: float | None
    broken: bool
    note: str = ""


@dataclass(frozen=True)
class LayerChange:
    """One kernel before and after.

    Attributes:
        weight: its name.
        shape: before.
        nonzero: before.
        shape_after: after (``None``: the layer left).
        nonzero_after: after.
    """

    weight: str
    shape: tuple[int, ...]
    nonzero: int
    shape_after: tuple[int, ...] | None
    nonzero_after: int


@dataclass(frozen=True)
class Round:
    """One turn of score, plan, zero, recover; the metric is the validation split's, ``None`` where
    it was no finite number."""

    number: int
    sparsity: float
    metric: float | None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """Everything a run gave.

    Attributes:
        recipe: name of its file.
        metric: name of the metric.
        higher_is_better: its direction.
        method: the score that decided.
        sparsity: 1 - (non-zero kernel weights now) / (kernel weights of the original).
        rows: before and after, by target and artifact.
        gates: every verdict.
        layers: every kernel.
        rounds: every round.
        released: by target, the folder in ``dist/``.
        held: by target, why it was not released.
        notes: what the user should know (splits made, units kept, chance level …).
        plan: digest of the plan.
        quick: nothing of it is for release.
        versions: of edgeprune and the libraries used.
        facts: seeds, digests of model, data and recipe, dates; JSON values.
    """

    recipe: str
    metric: str
    higher_is_better: bool
    method: str
    sparsity: float
    rows: tuple[Row, ...]
    gates: tuple[Verdict, ...] = ()
    layers: tuple[LayerChange, ...] = ()
    rounds: tuple[Round, ...] = ()
    released: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    plan: str = ""
    quick: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def broken(self) -> tuple[Verdict, ...]:
        """The gates that are broken."""
        return tuple(verdict for verdict in self.gates if verdict.broken)

    @property
    def exit_code(self) -> int:
        """0, or 3 where a gate is broken or a target got nothing."""
        return 3 if self.broken or self.held else 0

    def to_json(self) -> dict[str, Any]:
        """JSON values; :meth:`from_json` reads them."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], path: Path | str = "result.json") -> Result:
        """Read what :meth:`to_json` gave.

        Raises:
            InputError: not a result.
            VersionError: written by a newer edgeprune.
        """
        from edgeprune.errors import InputError
        from edgeprune.schemas import check_schema

        check_schema(content, "result", path)
        values = {key: value for key, value in content.items() if key != "schema"}
        try:
            for key, noun in (("rows", Row), ("gates", Verdict), ("rounds", Round)):
                values[key] = tuple(noun(**item) for item in values[key])
            values["layers"] = tuple(_layer(item) for item in values["layers"])
            values["notes"] = tuple(values["notes"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise InputError(f"{path}: not a result of 'edgeprune run' ({error})") from error


def _layer(item: Mapping[str, Any]) -> LayerChange:
    after = item["shape_after"]
    return LayerChange(
        item["weight"],
        tuple(item["shape"]),
        item["nonzero"],
        None if after is None else tuple(after),
        item["nonzero_after"],
    )
