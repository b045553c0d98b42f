"""How much is gone after each round."""

from __future__ import annotations

from typing import Literal

from edgeprune.errors import PlanError
from edgeprune.files import nearest

Schedule = Literal["cubic", "linear", "constant"]
_NAMES = ("cubic", "linear", "constant")


def ramp(schedule: Schedule, target: float, rounds: int) -> tuple[float, ...]:
    """What to reach after round 1 … ``rounds``; never falls, and the last is ``target`` itself.

    ``cubic`` is s_t = target · (1 - (1 - t/rounds)³): much at first, while there is much that
    nobody misses (Zhu and Gupta, "To prune, or not to prune", 2017, with s_0 = 0);
    ``linear`` is target · t/rounds; ``constant`` is ``target`` in every round.

    Raises:
        PlanError: an unknown schedule, ``rounds`` below 1, ``target`` not in [0, 1).
    """
    if not 0 <= target < 1:
        raise PlanError(f"target {target}: a share from 0 to below 1 is needed")
    return tuple(target * part for part in parts(schedule, rounds))


def parts(schedule: Schedule, rounds: int) -> tuple[float, ...]:
    """Of the whole way, what is gone after round 1 … ``rounds``: as :func:`ramp`, the last is 1.

    Raises:
        PlanError: an unknown schedule, ``rounds`` below 1.
    """
    if schedule not in _NAMES:
        near = nearest(str(schedule), _NAMES)
        hint = f"; did you mean {near!r}?" if near else f"; known: {', '.join(_NAMES)}"
        raise PlanError(f"no schedule {schedule!r}{hint}")
    if rounds < 1:
        raise PlanError(f"rounds = {rounds}: at least one round is needed")
    shares = [step / rounds for step in range(1, rounds)]
    if schedule == "cubic":
        shares = [1 - (1 - share) ** 3 for share in shares]
    elif schedule == "constant":
        shares = [1.0] * len(shares)
    return (*shares, 1.0)
