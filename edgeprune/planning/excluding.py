"""Which weights a glob keeps out of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from edgeprune.errors import PlanError
from edgeprune.files import nearest


def layers_of(weight: str) -> tuple[str, ...]:
    """The layers a weight lies in: ``a/b/kernel`` lies in ``a/b`` and in ``a``."""
    parts = weight.split("/")
    return tuple("/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1))


def excluded(globs: Sequence[str], weights: Iterable[str], groups: Iterable[str]) -> frozenset[str]:
    """The names, of weights and of groups, that ``globs`` match.

    A weight or group is matched by its own name or by that of a layer it lies in; ``*`` also
    crosses ``/``.

    Raises:
        PlanError: a glob that matches nothing.
    """
    named = list(dict.fromkeys([*weights, *groups]))
    found: set[str] = set()
    for glob in globs:
        hit = [n for n in named if any(fnmatchcase(m, glob) for m in (n, *layers_of(n)))]
        if not hit:
            known = {*named, *(layer for name in named for layer in layers_of(name))}
            near = nearest(glob, known)
            hint = f"did you mean {near!r}?" if near else "see 'edgeprune inspect' for the names"
            raise PlanError(f"exclude {glob!r} matches no layer, weight or group; {hint}")
        found.update(hit)
    return frozenset(found)
