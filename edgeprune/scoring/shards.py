"""Shards that other processes gather: by paths, digests and numbers, never by a model.

The micro-batches are written to a folder that is there for the time of the pass, the model beside
them. A shard (:data:`~edgeprune.scoring.gathering.SHARD`) is a range of them.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edgeprune.errors import InputError
from edgeprune.models.forward import Parts, examples_of
from edgeprune.models.sending import Map, Sent
from edgeprune.npz import write_npz
from edgeprune.progress import SILENT, Progress
from edgeprune.scoring.gathering import SHARD, Hands, Shard, Start
from edgeprune.scoring.hiring import Terms, hired
from edgeprune.scoring.microbatches import micro_batches


@dataclass(frozen=True, eq=False)
class Job:
    """One shard.

    Attributes:
        model: in a folder with the micro-batches.
        terms: what is gathered.
        batches: numbers of the micro-batches.
        start: where they begin.
    """

    model: Sent
    terms: Terms
    batches: range
    start: Start


def gather_apart(
    model: Any,
    batches: Iterable[Any],
    terms: Terms,
    hands: Hands,
    apart: Map,
    *,
    microbatch: int | None = None,
    chunk: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """:func:`~edgeprune.scoring.gathering.gather`, the shards taken by ``apart``; the same bits.

    Memory: one micro-batch, and the sums of the shards that are not added yet. Disk: the data and
    the model once, in the temporary folder.

    Raises:
        InputError: a loss that cannot be sent to another process.
        DataError, TrainingError: as there.
    """
    _check_sent(terms)
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as name:
        folder = Path(name)
        sent = Sent.to(folder, model)
        waiting = micro_batches(batches, model, size=microbatch, chunk=chunk)
        sizes = [_written(folder, n, chunks) for n, chunks in enumerate(waiting)]
        jobs = list(_jobs(sent, terms, sizes))
        with progress.task("score", len(sizes) or None) as task:
            shards = _in_order(
                apart(gather_job, jobs), lambda n: task.advance(len(jobs[n].batches))
            )
            return hands.found(shards)


def gather_job(job: Job) -> Shard:
    """The sums of one shard."""
    hands = job.model.once(lambda model: hired(model, job.terms))
    return hands.shard((_read(job.model.folder, n) for n in job.batches), job.start)


def _jobs(model: Sent, terms: Terms, sizes: Sequence[int]) -> Iterator[Job]:
    for first in range(0, len(sizes), SHARD):
        numbers = range(first, min(first + SHARD, len(sizes)))
        yield Job(model, terms, numbers, Start(first, sum(sizes[:first])))


def _in_order(results: Iterable[tuple[int, Shard]], told: Callable[[int], None]) -> Iterator[Shard]:
    """Each shard as soon as those before it are there."""
    waiting: dict[int, Shard] = {}
    number = 0
    for index, shard in results:
        told(index)
        waiting[index] = shard
        while number in waiting:
            yield waiting.pop(number)
            number += 1


def _check_sent(terms: Terms) -> None:
    try:
        pickle.dumps(terms)
    except Exception as error:
        name = terms.judge.name
        raise InputError(
            f"loss {name!r} cannot be sent to other processes; define it at the top of a module, "
            "or score with one worker"
        ) from error


def _written(folder: Path, number: int, chunks: Sequence[Parts]) -> int:
    """One micro-batch on the disk, chunk by chunk; its examples."""
    arrays = {
        f"{chunk:04d}-{part}-{place:04d}": np.asarray(keras.ops.convert_to_numpy(array))
        for chunk, parts in enumerate(chunks)
        for part, several in enumerate(parts)
        for place, array in enumerate(several)
    }
    write_npz(_place(folder, number), arrays)
    return sum(map(examples_of, chunks))


def _read(folder: Path, number: int) -> list[Parts]:
    with np.load(_place(folder, number), allow_pickle=False) as file:
        chunks: dict[str, tuple[list[Any], list[Any], list[Any]]] = {}
        for name in sorted(file.files):
            chunk, part, _ = name.split("-")
            chunks.setdefault(chunk, ([], [], []))[int(part)].append(file[name])
    return [(tuple(x), tuple(y), tuple(w)) for x, y, w in chunks.values()]


def _place(folder: Path, number: int) -> Path:
    return folder / f"batch-{number:07d}.npz"
