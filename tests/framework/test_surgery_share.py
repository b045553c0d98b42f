"""Nothing keeps its size for comfort: each kernel of the small nets can shrink, or stands here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attention_nets
import pytest
import recurrent_nets
import zoo_nets

from edgeprune.models import kernels
from edgeprune.surgery import trace

NETS: dict[str, Callable[[], Any]] = {
    **{make.__name__: make for make in zoo_nets.ZOO},
    **{name: net.make for name, net in attention_nets.NETS.items()},
    **{f"recurrent {name}": net.make for name, net in recurrent_nets.NETS.items()},
}
IN, OUT = "model input", "model output"
SCORES = "attention scores read it, and no exact zero arrives"
DOT = "a dot product reads it, and no exact zero arrives"
MEANS = "ln takes means over channels"
EXCEPTIONS: Mapping[str, Mapping[str, set[str]]] = {
    "product": {"left": {IN, DOT}, "right": {IN, DOT}, "head": {OUT}},
    "constants": {"head": {OUT}},  # it reads what a constant matrix makes
    "encoder": {"embed": {IN, MEANS}, "out": {MEANS, OUT}},
    "scores": {"h": {IN, SCORES}, "i": {IN, SCORES}, "out3": {SCORES, OUT}},
    "dots": {"e": {IN, DOT}, "f": {IN, DOT}, "out0": {OUT}, "out1": {OUT}, "out2": {OUT}},
    "norm groups": {"out": {"g3 takes means over channels", OUT}},
    "unit": {"out": {"the length over channels reads it, and no exact zero arrives", OUT}},
}
"""By net and layer whose kernel no free group can shrink: the reasons, all of them inputs, outputs
or channels that are mixed without weights."""


@pytest.mark.parametrize("name", NETS)
def test_every_kernel_has_an_axis_that_can_shrink_or_is_an_exception(name: str) -> None:
    model = NETS[name]()
    graph = trace(model)
    free = {member.weight for group in graph.free for member in group.members}
    stuck = {
        weight.removesuffix("/kernel"): {
            str(group.fixed) for group in graph for one in group.members if one.weight == weight
        }
        for weight in kernels(model)
        if weight not in free
    }
    assert stuck == EXCEPTIONS.get(name, {})


def test_every_exception_is_of_a_net() -> None:
    assert set(EXCEPTIONS) <= set(NETS)
