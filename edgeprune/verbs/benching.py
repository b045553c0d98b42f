"""The verb bench: on which targets, by which connections, and what becomes of one that fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.errors import ArtifactError, EdgepruneError, InputError
from edgeprune.files import SCHEMA
from edgeprune.progress import SILENT, Progress
from edgeprune.verbs.sources import Facts, there

if TYPE_CHECKING:
    from edgeprune.targets import Target
    from edgeprune.verbs.several import Asked

Announce = Callable[[str], None]


def bench_paths(
    artifacts: Sequence[Path],
    *,
    targets: Sequence[str] = ("host",),
    threads: int | None = None,
    via: str | None = None,
    ssh: Sequence[str] = (),
    adb: Sequence[str] = (),
    announce: Announce = lambda line: None,
    progress: Progress = SILENT,
    **timing: Any,
) -> Facts:
    """Time files, interleaved, on targets; of a microcontroller, say whether they fit. ``timing``
    is what :func:`~edgeprune.verbs.measuring.timed_facts` takes further.

    Via ``"ssh"`` they run on the target's board, and so they do where ``ssh``, the environment or
    the user's list of boards says where it is; via ``"local"`` on this machine, as the target.
    Outputs are compared with this machine's engine.

    Via ``"qemu"`` they run in the emulated ARM as the target's core: one file gives one
    :class:`~edgeprune.counts.Count`, several give them under ``measurements``. Where that is not
    set up it is, and ``announce`` is told what will be downloaded.

    Several targets give what each gave under ``measurements``, ``footprints`` and ``comparisons``,
    and under ``failed`` the error of each that gave nothing; boards are measured at the same time.

    Args:
        ssh: addresses of boards, ``user@host`` or ``target=user@host``.
        adb: serial numbers, likewise.
    """
    from edgeprune.benchmarking.reaching import connection, may_be_board
    from edgeprune.targets import Target
    from edgeprune.transports import addressed
    from edgeprune.verbs.several import Asked, at_once

    profiles = [Target.load(name) for name in dict.fromkeys(targets)]
    for artifact in artifacts:
        there(artifact, ArtifactError)
    _check(profiles, via, (*ssh, *adb), timing)
    alone = len(profiles) == 1
    boards = [each.name for each in profiles if alone or may_be_board(each)]
    places, serials = addressed(ssh, boards), addressed(adb, boards, "--adb")

    def work(one: Asked, shown: Progress) -> Facts:
        return _benched(artifacts, one, threads, via, announce, shown, timing)

    with contextlib.ExitStack() as stack:
        asked = []
        for each in profiles:
            transport = python = None
            if via != "qemu" and each.name in boards:
                said = places.get(each.name)
                transport, python = connection(
                    each, said, via, adb=serials.get(each.name), alone=len(boards) == 1
                )
                if transport is not None:
                    stack.callback(transport.clean)
            asked.append(Asked(each, transport, python))
        if alone:
            return work(asked[0], progress)
        return together(at_once(asked, work, progress))


def timed_targets(targets: Sequence[str], via: str | None) -> bool:
    """Whether files are timed on all of these: not emulated, and on no microcontroller.

    Raises:
        RecipeError: no such profile.
    """
    from edgeprune.targets import Target

    return via != "qemu" and not any(Target.load(name).micro for name in targets)


def together(found: Mapping[str, Facts | EdgepruneError]) -> Facts:
    """What several targets gave, as one object; the errors of those that failed are in it."""
    gave = {name: each for name, each in found.items() if not isinstance(each, EdgepruneError)}
    lists: Facts = {"measurements": []}
    for each in gave.values():
        lists["measurements"] += each.get("measurements", [_bare(each)])
        for key in ("footprints", "comparisons"):
            if key in each:
                lists.setdefault(key, []).extend(each[key])
    failed = [
        {"target": name, "error": str(each)}
        for name, each in found.items()
        if isinstance(each, EdgepruneError)
    ]
    return {"schema": SCHEMA, "targets": list(found), **lists, "failed": failed}


def _bare(facts: Facts) -> Facts:
    return {key: value for key, value in facts.items() if key != "schema"}


_TIMING = (
    "batch", "seconds", "runs", "warmup", "cold", "max_slowdown", "sustained", "start_below",
    "profile_nodes",
)  # fmt: skip


def _check(
    profiles: Sequence[Target], via: str | None, ssh: Sequence[str], timing: Mapping[str, Any]
) -> None:
    """Refuse what has no meaning where nothing is timed."""
    micro = next((each.name for each in profiles if each.micro), None)
    if via != "qemu" and micro is None:
        return
    given = [name for name in _TIMING if timing.get(name) not in (None, False)]
    if given:
        flag = given[0].removesuffix("_nodes").replace("_", "-")
        why = "--via qemu times nothing" if via == "qemu" else f"nothing is timed on {micro}"
        raise InputError(f"--{flag} is of timed runs; {why}")
    if ssh and via == "qemu":
        raise InputError("--ssh and --adb name a board, and --via qemu emulates one; give one")


def _benched(
    artifacts: Sequence[Path],
    asked: Asked,
    threads: int | None,
    via: str | None,
    announce: Announce,
    progress: Progress,
    timing: Mapping[str, Any],
) -> Facts:
    """One target."""
    from edgeprune.benchmarking import fit_files
    from edgeprune.verbs.measuring import timed_facts

    target = asked.target
    if via == "qemu":
        return _emulated(artifacts, target, threads, announce, progress)
    if target.micro:
        fits = [each.facts() for each in fit_files(artifacts, target, progress=progress)]
        return {"schema": SCHEMA, "target": target.name, "measurements": [], "footprints": fits}
    return timed_facts(
        artifacts,
        target,
        threads=threads,
        transport=asked.transport,
        python=asked.python,
        progress=progress,
        **timing,
    )


def _emulated(
    artifacts: Sequence[Path],
    profile: Target,
    threads: int | None,
    announce: Announce,
    progress: Progress,
) -> Facts:
    from edgeprune.benchmarking import count_files
    from edgeprune.emulation import Land, qemu_cpu
    from edgeprune.errors import EmulationError
    from edgeprune.verbs.emulating import emulate
    from edgeprune.verbs.measuring import gathered

    qemu_cpu(profile)
    if Land.found() is None:
        try:
            emulate(setup=True, announce=announce, progress=progress)
        except EmulationError as error:
            raise EmulationError(
                f"the emulated ARM is not set up ({error}); run: edgeprune targets emulate --setup"
            ) from error
    land = Land.required()
    found = count_files(artifacts, profile, land, threads=threads, progress=progress)
    return gathered(profile.name, [each.facts() for each in found])
