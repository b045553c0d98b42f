"""Processes of this machine, started fresh (spawn: a framework with threads does not survive a
fork)."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from edgeprune.errors import InputError, WorkerError
from edgeprune.executors.executor import Executor, Item, Result
from edgeprune.executors.here import Here

DEATHS = 3
"""Pools in a row that may break without one result between."""


def of_workers(workers: int) -> Executor:
    """One worker is this process; more are a pool.

    Raises:
        InputError: less than one.
    """
    return Here() if workers == 1 else Pool(workers)


def shared(workers: int) -> Callable[..., Any] | None:
    """The ``map`` of so many workers; ``None`` for one, where nothing need be sent anywhere.

    Raises:
        InputError: less than one.
    """
    executor = of_workers(workers)
    return None if isinstance(executor, Here) else executor.map


class Pool:
    """A pool that lives as long as one :meth:`map`.

    A script that uses it keeps its own work under ``if __name__ == "__main__":``, since each worker
    imports it.

    Args:
        workers: processes at once.

    Raises:
        InputError: less than one.
    """

    def __init__(self, workers: int) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise InputError(f"workers = {workers}: a whole number from 1 up is needed")
        self._workers = workers

    def map(
        self, fn: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[tuple[int, Result]]:
        """As they come. Where a worker dies, the pool is made anew and only what has no result yet
        runs again.

        Raises:
            WorkerError: pools broke :data:`DEATHS` times in a row and nothing came between.
        """
        left = dict(enumerate(items))
        deaths = 0
        while left:
            before = len(left)
            try:
                for index, result in self._round(fn, left):
                    del left[index]
                    yield index, result
            except BrokenProcessPool as error:
                deaths = deaths + 1 if len(left) == before else 1
                if deaths == DEATHS:
                    raise WorkerError(
                        f"worker processes died {deaths} times and finished nothing (memory, or a "
                        "script whose work is not under 'if __name__ == \"__main__\":'); use fewer "
                        "workers, or one"
                    ) from error

    def _round(
        self, fn: Callable[[Item], Result], left: dict[int, Item]
    ) -> Iterator[tuple[int, Result]]:
        """One pool's results, until it breaks."""
        pool = ProcessPoolExecutor(
            min(self._workers, len(left)),
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_deaf,
        )
        whole = False
        try:
            waiting, broken = _submitted(pool, fn, left)
            while waiting:
                done = wait(waiting, return_when=FIRST_COMPLETED).done
                # What came back before the pool broke counts, and comes first.
                for future in sorted(done, key=lambda each: each.exception() is not None):
                    yield waiting.pop(future), future.result()
            if broken is not None:
                raise broken
            whole = True
        finally:
            if not whole:
                _end(pool)
            pool.shutdown(cancel_futures=True)


def _submitted(
    pool: ProcessPoolExecutor, fn: Callable[[Item], Any], left: dict[int, Item]
) -> tuple[dict[Future[Any], int], BrokenProcessPool | None]:
    """The items on their way, and why the rest is not, where the pool broke already."""
    waiting: dict[Future[Any], int] = {}
    try:
        for index, item in left.items():
            waiting[pool.submit(fn, item)] = index
    except BrokenProcessPool as error:
        return waiting, error
    return waiting, None


def _deaf() -> None:
    """Ctrl-C reaches the whole group: the parent decides what becomes of its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(pool: ProcessPoolExecutor) -> None:
    """Nobody waits for what the workers still do."""
    for process in list((getattr(pool, "_processes", None) or {}).values()):
        process.terminate()
