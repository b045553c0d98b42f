"""Every formula, by the name that recipes use."""

from __future__ import annotations

from collections.abc import Mapping

from edgeprune.scoring.formulas import (
    activation,
    apoz,
    bn_scale,
    fisher,
    gate,
    gate_fisher,
    gradient,
    lamp,
    magnitude,
    molchanov,
    obd,
    random,
    snip,
    taylor,
    wanda,
    wanda_lamp,
)
from edgeprune.scoring.formulas.formula import Formula

METHODS: Mapping[str, Formula] = {
    module.FORMULA.name: module.FORMULA
    for module in (
        taylor, gradient, snip, fisher, obd, wanda, wanda_lamp, magnitude, lamp, random,
        gate, gate_fisher, molchanov, apoz, activation, bn_scale,
    )
}  # fmt: skip

__all__ = ["METHODS", "Formula"]
