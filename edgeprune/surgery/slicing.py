"""Positions of an axis when channels leave or change places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.surgery.rules.base import Ids
from edgeprune.surgery.tracing import Origin, Trace, origin_of


def origins_in(trace: Trace, ids: Ids) -> list[int]:
    """Places of the origins whose channels stand in ``ids``."""
    return [int(place) for place in np.unique(origin_of(trace.origins, ids)) if place >= 0]


def tiles(ids: Ids, origin: Origin) -> int:
    """How often ``ids`` runs through all channels of ``origin``, in order; 0 for anything else."""
    copies, rest = divmod(ids.size, origin.size)
    if rest or not copies:
        return 0
    one = np.arange(origin.start, origin.start + origin.size)
    return copies if np.array_equal(ids, np.tile(one, copies)) else 0


def order_of(ids: Ids, origin: Origin) -> str | None:
    """How the channels of ``origin`` stand in ``ids``: ``"tile"`` (0 1 2 0 1 2), ``"repeat"``
    (0 0 1 1 2 2), or ``None`` where they cannot change places."""
    if tiles(ids, origin):
        return "tile"
    copies, rest = divmod(ids.size, origin.size)
    one = np.arange(origin.start, origin.start + origin.size)
    if not rest and copies and np.array_equal(ids, np.repeat(one, copies)):
        return "repeat"
    return None


def sliced(ids: Ids, trace: Trace, orders: Sequence[Ids | None]) -> Ids:
    """Positions of an axis that stay, in their new order.

    Args:
        ids: channel at each position.
        trace: whose numbers they are.
        orders: for each origin, which of its channels stay, in their new order; ``None`` for all.
    """
    places = origin_of(trace.origins, ids)
    first = int(places[0]) if places.size else -1
    order = orders[first] if first >= 0 else None
    if order is not None and (places == first).all():
        origin = trace.origins[first]
        kind = order_of(ids, origin)
        grid = np.arange(ids.size)
        if kind == "tile":
            return grid.reshape(-1, origin.size)[:, order].reshape(-1)
        if kind == "repeat":
            return grid.reshape(origin.size, -1)[order].reshape(-1)
    stays = np.ones(ids.size, bool)
    for place, kept in enumerate(orders):
        if kept is not None:
            origin = trace.origins[place]
            mine = places == place
            stays[mine] = np.isin(ids[mine] - origin.start, kept)
    return np.flatnonzero(stays)
