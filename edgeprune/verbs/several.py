"""Several targets at once: a thread for each board, this machine last and alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.errors import EdgepruneError, Interrupted
from edgeprune.progress import Progress
from edgeprune.transports import Breakable
from edgeprune.verbs.sources import Facts

if TYPE_CHECKING:
    from edgeprune.targets import Target
    from edgeprune.transports import Transport


@dataclass(frozen=True)
class Asked:
    """A target, and how it is reached.

    Attributes:
        target: its profile.
        transport: to its board; ``None``: nothing leaves this machine.
        python: to use there, where that is said.
    """

    target: Target
    transport: Transport | None = None
    python: str | None = None


Work = Callable[[Asked, Progress], Facts]
Found = dict[str, "Facts | EdgepruneError"]


def at_once(asked: Sequence[Asked], work: Work, progress: Progress) -> Found:
    """Do ``work`` on every target; of one that fails the error stands in the place of its facts.

    Boards work at the same time, targets of one address one after the other. What runs on this
    machine comes last, one after the other, when nothing else of ours is at work on it.

    Returns:
        By target, in the order asked for.

    Raises:
        KeyboardInterrupt: Ctrl-C; every board was told to end, and was cleaned.
    """
    places: dict[str, list[Asked]] = {}
    here: list[Asked] = []
    for each in asked:
        if each.transport is None or each.transport.via == "local":
            here.append(each)
        else:
            places.setdefault(each.transport.where, []).append(each)
    found: Found = {}
    breakable = [
        [
            Asked(each.target, Breakable(each.transport), each.python)
            for each in one
            if each.transport
        ]
        for one in places.values()
    ]
    with ThreadPoolExecutor(max(1, len(breakable)), "board") as pool:
        running = [pool.submit(_in_turn, one, work, progress, found) for one in breakable]
        try:
            wait(running)
        except KeyboardInterrupt:
            for one in breakable:
                for each in one:
                    assert isinstance(each.transport, Breakable)
                    each.transport.give_up()
            raise
    for future in running:
        future.result()
    _in_turn(here, work, progress, found)
    return {each.target.name: found[each.target.name] for each in asked}


def _in_turn(asked: Sequence[Asked], work: Work, progress: Progress, found: Found) -> None:
    for each in asked:
        try:
            # From the start, while it connects and warms up too.
            with progress.task(each.target.name, None):
                found[each.target.name] = work(each, progress)
        except Interrupted:
            raise
        except EdgepruneError as error:
            found[each.target.name] = error
