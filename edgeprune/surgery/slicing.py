"""Positions of an axis when channels leave or change places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.surgery.booking import Origin, origin_of
from edgeprune.surgery.flows import Ids

Orders = Sequence[Ids | None]
"""For each origin, which of its channels stay, in their new order; ``None`` for all."""


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


def sliced(ids: Ids, origins: Sequence[Origin], orders: Orders) -> Ids:
    """Positions of an axis that stay, in their new order.

    Args:
        ids: channel at each position.
        origins: whose numbers they are.
        orders: what stays of each.
    """
    places = origin_of(origins, ids)
    first = int(places[0]) if places.size else -1
    order = orders[first] if first >= 0 else None
    if order is not None and (places == first).all():
        origin = origins[first]
        kind = order_of(ids, origin)
        grid = np.arange(ids.size)
        if kind == "tile":
            return grid.reshape(-1, origin.size)[:, order].reshape(-1)
        if kind == "repeat":
            return grid.reshape(origin.size, -1)[order].reshape(-1)
    stays = np.ones(ids.size, bool)
    for place in np.unique(places[places >= 0]).tolist():
        kept = orders[place]
        if kept is not None:
            mine = places == place
            stays[mine] = np.isin(ids[mine] - origins[place].start, kept)
    return np.flatnonzero(stays)


def sliced_by_all(lanes: Sequence[Ids], origins: Sequence[Origin], orders: Orders) -> Ids | None:
    """Positions that every lane of an axis lets stay; ``None`` where all stay where they are."""
    keep: Ids | None = None
    for ids in lanes:
        one = sliced(ids, origins, orders)
        if one.size == ids.size and (one[1:] > one[:-1]).all():
            continue
        keep = one if keep is None else keep[np.isin(keep, one)]
    return keep
