"""Every formula, by the name that recipes use."""

from __future__ import annotations

from collections.abc import Mapping

from edgeprune.scoring.formulas import gradient, magnitude, taylor
from edgeprune.scoring.formulas.formula import Formula

METHODS: Mapping[str, Formula] = {
    "taylor": taylor.FORMULA,
    "gradient": gradient.FORMULA,
    "magnitude": magnitude.FORMULA,
}

__all__ = ["METHODS", "Formula"]
