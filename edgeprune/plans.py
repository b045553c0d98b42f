"""What to remove: channels (cuts) and single connections (masks). Pure data.

:mod:`edgeprune.planning` makes plans, :mod:`edgeprune.surgery` carries them out.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import operator
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.costs import Cost
from edgeprune.errors import OutputError, PlanError
from edgeprune.files import SCHEMA, canonical_json, nearest, sha256_file, write_json, writing
from edgeprune.graphs import Graph, Group
from edgeprune.npz import write_npz
from edgeprune.patterns import Pattern
from edgeprune.schemas import check_schema


@dataclass(frozen=True, eq=False)
class Cut:
    """Channels of one group that leave.

    Attributes:
        group: name of the group.
        drop: int32, sorted, unique: the channels.
    """

    group: str
    drop: npt.NDArray[np.int32]

    def __repr__(self) -> str:
        return f"Cut({self.group!r}, {self.drop.size} channels)"


@dataclass(frozen=True, eq=False)
class Mask:
    """Connections of one weight that go.

    Attributes:
        weight: name of the weight.
        keep: bool in the weight's shape; False goes.
        pattern: name of a pattern (:mod:`edgeprune.patterns`), ``"none"`` for single weights.
    """

    weight: str
    keep: npt.NDArray[np.bool_]
    pattern: str = "none"

    def __repr__(self) -> str:
        gone = self.keep.size - int(self.keep.sum())
        return f"Mask({self.weight!r}, {gone:,} of {self.keep.size:,} go, pattern {self.pattern})"


@dataclass(frozen=True, eq=False)
class Plan:
    """What to remove from one model.

    Attributes:
        model: digest of the architecture it was made for (never of the values).
        cuts: channels; by group, each group once.
        masks: connections; by weight, each weight once.
        why: how it was decided (method, threshold, sparsity …); JSON values.

    Raises:
        PlanError: a group or a weight that is named more than once.
    """

    model: str
    cuts: tuple[Cut, ...] = ()
    masks: tuple[Mask, ...] = ()
    why: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for word, names in (
            ("cuts group", [cut.group for cut in self.cuts]),
            ("masks weight", [mask.weight for mask in self.masks]),
        ):
            for name, count in Counter(names).items():
                if count > 1:
                    raise PlanError(f"the plan {word} {name!r} {count} times; name it once")

    def __repr__(self) -> str:
        channels = sum(cut.drop.size for cut in self.cuts)
        gone = sum(mask.keep.size - int(mask.keep.sum()) for mask in self.masks)
        return (
            f"Plan({channels} channels of {len(self.cuts)} groups, {gone:,} weights of "
            f"{len(self.masks)} kernels, model {self.model[:8]})"
        )

    @classmethod
    def cut(cls, graph: Graph, channels: Mapping[str, Iterable[int]]) -> Plan:
        """A plan by hand: ``{"group name": [channel, …]}``.

        Raises:
            PlanError: an unknown or fixed group, what is no channel number, a channel out of range
                or named twice, or every channel of a group.
        """
        if not isinstance(graph, Graph):
            kind = type(graph).__name__
            raise PlanError(f"a plan is made in a Graph, not in a {kind}; edgeprune.trace gives it")
        if not isinstance(channels, Mapping):
            kind = type(channels).__name__
            raise PlanError(f"channels are given by group, {{name: [channel, …]}}, not as {kind}")
        cuts = [_asked(graph, name, asked) for name, asked in channels.items()]
        kept = tuple(cut for cut in cuts if cut.drop.size)
        return cls(model=graph.model, cuts=kept, why={"method": "by hand"})

    def cost(self, graph: Graph) -> Cost:
        """Parameters and MACs of the model when the channels that the plan names have left, as
        far as they can (:meth:`edgeprune.graphs.Graph.leaving`), and nothing else; masks leave no
        parameter.

        Raises:
            PlanError: the plan was made for another model, or does not fit its groups.
        """
        return graph.cost(graph.leaving(self.checked(graph))[0])

    def checked(self, graph: Graph) -> dict[str, npt.NDArray[np.int32]]:
        """By group, the channels that the plan cuts, which all may leave.

        Raises:
            PlanError: the plan was made for another model; a group that is not there or fixed, a
                channel out of range, or every channel of a group.
        """
        if graph.model != self.model:
            raise PlanError(
                f"this plan was made for the model {self.model[:12]}, the graph is of "
                f"{graph.model[:12]}; trace the model it was made for"
            )
        for cut in self.cuts:
            fitting(graph, cut)
        return {cut.group: cut.drop for cut in self.cuts}

    def digest(self) -> str:
        """sha256 (hex) of what the plan removes: model, cuts and masks; not of ``why``."""
        total = hashlib.sha256(canonical_json(self._facts()))
        for mask in sorted(self.masks, key=lambda mask: mask.weight):
            total.update(np.packbits(mask.keep).tobytes())
        return total.hexdigest()

    def _facts(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "cuts": {cut.group: cut.drop.tolist() for cut in self.cuts},
            "masks": {
                mask.weight: {
                    "pattern": mask.pattern,
                    "shape": list(mask.keep.shape),
                    "kept": int(mask.keep.sum()),
                }
                for mask in self.masks
            },
        }

    def save(self, path: Path | str) -> None:
        """Write ``path`` (JSON, diffable) and, where there are masks, its ``.npz`` beside it.

        The bytes are a function of the plan alone. The ``.npz`` is written first and the JSON
        holds its digest, so a run killed between the two leaves no plan that is half.

        Raises:
            OutputError: a file cannot be written, or the ``.npz`` that lies there is no plan's.
        """
        path = Path(path)
        if self.masks and (taken := taken_beside(path)):
            raise OutputError(f"cannot write {path}: {taken}")
        content = {"schema": SCHEMA, "digest": self.digest(), "why": dict(self.why)}
        content |= self._facts()
        if self.masks:
            bits = {mask.weight: np.packbits(mask.keep) for mask in self.masks}
            beside = path.with_suffix(".npz")
            with writing(beside) as temporary, temporary.open("wb") as file:
                write_npz(file, dict(sorted(bits.items())), compressed=True)
            content["bits"] = {"file": beside.name, "sha256": sha256_file(beside)}
        write_json(path, content)

    @classmethod
    def load(cls, path: Path | str) -> Plan:
        """Read what :meth:`save` wrote.

        Raises:
            PlanError: no such file, not a plan, a damaged one, or its ``.npz`` is missing or
                another one.
            VersionError: written by a newer edgeprune.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise PlanError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise PlanError(f"{path}: not a plan of edgeprune (JSON)") from error
        if not isinstance(content, dict):
            raise PlanError(f"{path}: not a plan of edgeprune (JSON object)")
        check_schema(content, "plan", path)
        try:
            cuts = tuple(_cut(group, drop) for group, drop in content["cuts"].items())
            masks = tuple(_read_masks(path, content))
            if not isinstance(content["model"], str):
                raise ValueError("model")
            plan = cls(content["model"], cuts, masks, dict(content.get("why", {})))
        except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
            raise PlanError(
                f"{path}: not a plan of edgeprune, or a damaged one ({_problem(error)}); "
                "make it anew with 'edgeprune plan'"
            ) from error
        if content.get("digest") not in (None, plan.digest()):
            raise PlanError(f"{path}: changed since it was written (its digest differs)")
        return plan


def taken_beside(path: Path) -> str | None:
    """Why a plan may not be saved as ``path``: what lies beside it, under the name that its masks
    would get, are not the masks of a plan. ``None`` where it may.

    The masks of a plan are known by themselves (packed bits under names of weights), or by the plan
    beside them, which holds their digest.
    """
    beside = path.with_suffix(".npz")
    if not beside.exists() or _are_masks(beside):
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(path.read_bytes())["bits"]["sha256"] == sha256_file(beside):
            return None
    return (
        f"its masks would replace {beside}, which holds no masks of a plan; name it otherwise, or "
        "move that file away"
    )


def _are_masks(file: Path) -> bool:
    try:
        with np.load(file, allow_pickle=False) as found:
            # Names first: to unpack a large set of data takes long.
            return all("/" in name for name in found.files) and all(
                found[name].dtype == np.uint8 and found[name].ndim == 1 for name in found.files
            )
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error):
        return False


def _asked(graph: Graph, name: Any, asked: Iterable[Any]) -> Cut:
    """What a plan by hand takes of one group."""
    if not isinstance(name, str):
        raise PlanError(f"groups are named by strings; got {name!r}")
    if name not in graph:
        raise PlanError(f"no group {name!r} in this model{_hint(graph, name)}")
    group = graph[name]
    if group.fixed is not None:
        raise PlanError(f"group {name!r} keeps its size: {group.fixed}")
    numbers = _numbers(name, asked)
    if numbers and (numbers[0] < 0 or numbers[-1] >= group.size):
        raise PlanError(
            f"group {name!r} has channels 0 to {group.size - 1}; asked for "
            f"{numbers[0] if numbers[0] < 0 else numbers[-1]}"
        )
    drop = np.asarray(numbers, np.int32)
    if np.unique(drop).size != drop.size:
        raise PlanError(f"group {name!r}: a channel is named twice")
    if drop.size == group.size:
        raise PlanError(f"group {name!r}: all {group.size} channels would go; leave at least one")
    return Cut(name, drop)


def _hint(graph: Graph, name: str) -> str:
    """The group that has the channels of a layer, or whose name is near."""
    for group in graph:
        for member in group.members:
            if member.role == "makes" and member.weight.startswith(f"{name}/"):
                return f"; the channels of layer {name!r} are those of group {group.name!r}"
    near = nearest(name, [group.name for group in graph])
    return f"; did you mean {near!r}?" if near else ""


def _numbers(group: str, asked: Iterable[Any]) -> list[int]:
    """Channel numbers in order; a mask of truth values is none, nor is a number with a fraction."""
    try:
        given = list(asked)
        if any(isinstance(one, bool | np.bool_) for one in given) or isinstance(asked, bytes):
            raise TypeError
        return sorted(map(operator.index, given))
    except TypeError:
        raise PlanError(
            f"group {group!r}: give its channels as whole numbers, such as [0, 3]; got {asked!r}"
        ) from None


def fitting(graph: Graph, cut: Cut) -> Group:
    """The group that ``cut`` is of.

    Raises:
        PlanError: it is not there or fixed, a channel is out of range, or all would go.
    """
    if cut.group not in graph:
        near = nearest(cut.group, [group.name for group in graph])
        hint = f"; did you mean {near!r}?" if near else ""
        raise PlanError(f"the plan cuts group {cut.group!r}, which this model has not{hint}")
    group = graph[cut.group]
    if group.fixed is not None:
        raise PlanError(f"the plan cuts group {group.name!r}, which keeps its size: {group.fixed}")
    drop = np.asarray(cut.drop)
    if drop.size and (drop.min() < 0 or drop.max() >= group.size):
        raise PlanError(
            f"the plan cuts channel {int(drop.max() if drop.min() >= 0 else drop.min())} of group "
            f"{group.name!r}, which has 0 to {group.size - 1}"
        )
    if np.unique(drop).size == group.size:
        raise PlanError(
            f"the plan cuts all {group.size} channels of group {group.name!r}; leave at least one"
        )
    return group


def _problem(error: Exception) -> str:
    text = " ".join(str(error).split())[:100]
    return f"no {text}" if isinstance(error, KeyError) else text


def _cut(group: str, drop: Any) -> Cut:
    if not isinstance(drop, list) or not all(type(channel) is int for channel in drop):
        raise ValueError(f"cut {group!r} is no list of channels")
    if any(low >= high for low, high in itertools.pairwise(drop)):
        raise ValueError(f"the channels of cut {group!r} are not in order, each once")
    return Cut(group, np.asarray(drop, np.int32))


def _mask(weight: str, facts: Any, bits: Mapping[str, npt.NDArray[Any]]) -> Mask:
    shape, pattern = facts["shape"], facts["pattern"]
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise ValueError(f"mask {weight!r}: its shape is no list of sizes")
    try:
        Pattern.parse(pattern)
    except PlanError as error:
        raise ValueError(f"mask {weight!r}: {error}") from None
    count = math.prod(shape)
    packed = bits[weight]
    if packed.dtype != np.uint8 or packed.shape != (-(-count // 8),):
        raise ValueError(f"mask {weight!r}: its bits do not fill its shape")
    return Mask(weight, np.unpackbits(packed, count=count).astype(bool).reshape(shape), pattern)


def _read_masks(path: Path, content: Mapping[str, Any]) -> list[Mask]:
    if not content["masks"]:
        return []
    beside = path.parent / content["bits"]["file"]
    try:
        if sha256_file(beside) != content["bits"]["sha256"]:
            raise PlanError(f"{path}: {beside.name} beside it belongs to another plan")
        with np.load(beside, allow_pickle=False) as file:
            bits = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise PlanError(f"{path}: {beside.name} is missing; it lies beside the plan") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise PlanError(f"{beside}: not the masks of a plan") from error
    return [_mask(weight, facts, bits) for weight, facts in content["masks"].items()]
