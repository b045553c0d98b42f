"""Several targets at once, whatever is done on them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeprune.errors import DeviceError, EdgepruneError
from edgeprune.progress import SILENT, Progress, Task
from edgeprune.targets import Target
from edgeprune.transports import FakeTransport
from edgeprune.verbs.benching import together
from edgeprune.verbs.several import Asked, at_once

NAMES = ("raspberry-pi-4", "pixel-8", "host")


class Told:
    """Which tasks were shown, and which at the same time."""

    def __init__(self) -> None:
        self.names: list[str] = []

    @contextlib.contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Task]:
        self.names.append(name)
        with SILENT.task(name, total) as task:
            yield task

    def say(self, line: str) -> None:
        raise AssertionError(line)


@pytest.fixture
def asked(tmp_path: Path) -> list[Asked]:
    pi, pixel, host = map(Target.load, NAMES)
    return [
        Asked(host),
        Asked(pi, FakeTransport(tmp_path / "pi", where="pi@kitchen")),
        Asked(pixel, FakeTransport(tmp_path / "pixel", where="pixel@desk")),
    ]


def test_boards_at_the_same_time_each_with_its_line_and_this_machine_last(
    asked: list[Asked],
) -> None:
    both, told, order = threading.Barrier(2), Told(), []

    def work(one: Asked, shown: Progress) -> dict[str, Any]:
        if one.transport is not None:
            both.wait(30)  # broken where one waits for the other to end
        order.append(one.target.name)
        if one.target.name == "pixel-8":
            raise DeviceError("pixel@desk: cannot be reached")
        return {"schema": 1, "target": one.target.name}

    found = at_once(asked, work, told)
    assert list(found) == ["host", "raspberry-pi-4", "pixel-8"] and order[-1] == "host"
    assert sorted(told.names[:2]) == ["pixel-8", "raspberry-pi-4"] and told.names[2] == "host"
    assert isinstance(found["pixel-8"], EdgepruneError)
    facts = together(found)
    assert facts["targets"] == list(found)
    assert facts["measurements"] == [{"target": "host"}, {"target": "raspberry-pi-4"}]
    assert facts["failed"] == [{"target": "pixel-8", "error": "pixel@desk: cannot be reached"}]


def test_what_is_no_error_of_a_board_is_raised(asked: list[Asked]) -> None:
    for fault in (ZeroDivisionError, RuntimeError):

        def work(one: Asked, shown: Progress, fault: type[Exception] = fault) -> dict[str, Any]:
            raise fault

        with pytest.raises(fault):
            at_once(asked, work, SILENT)


def test_ctrl_c_gives_the_connections_up(
    asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The main thread hears it; whoever waits for a board wakes up, and nothing is begun."""
    talking = threading.Barrier(3)
    woken: list[bytes] = []

    def work(one: Asked, shown: Progress) -> dict[str, Any]:
        assert one.transport is not None, "this machine is not begun"
        talk = one.transport.talk(["cat"])
        talking.wait(30)
        woken.append(talk.stdout.read(1))
        one.transport.run(["true"])
        raise AssertionError("nothing is begun any more")

    def wait(running: Any) -> None:
        talking.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeprune.verbs.several.wait", wait)
    with pytest.raises(KeyboardInterrupt):
        at_once(asked, work, SILENT)
    assert woken == [b"", b""]


def test_targets_of_one_address_take_turns(tmp_path: Path) -> None:
    at_work: list[str] = []
    most: list[int] = []

    def work(one: Asked, shown: Progress) -> dict[str, Any]:
        at_work.append(one.target.name)
        most.append(len(at_work))
        at_work.remove(one.target.name)
        return {"target": one.target.name}

    same = [Asked(Target.load(n), FakeTransport(tmp_path, where="one")) for n in NAMES[:2]]
    assert list(at_once(same, work, SILENT)) == list(NAMES[:2]) and most == [1, 1]
