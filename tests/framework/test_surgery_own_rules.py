"""A rule for a user's own layer, as docs/layers.md writes it: the page's own code is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import float64, inputs_for, random_plan, woken

from edgeprune.surgery import strip, trace, zero

PAGE = Path(__file__).resolve().parents[2] / "docs" / "layers.md"
L = keras.layers


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's blocks of Python define; the first one is a sketch on a model."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"keras": keras}
    for block in blocks[1:]:
        exec(block, names)
    return names


@pytest.mark.parametrize("name", ["Swish2", "Gain"])
def test_channels_pass_through_a_layer_of_the_users(page: dict[str, Any], name: str) -> None:
    with float64():
        i = keras.Input((6,))
        x = page[name](name="own")(L.Dense(8, activation="tanh", name="first")(i))
        model = keras.Model(i, L.Dense(3, name="head")(x))
        data = inputs_for((6,), 0)
        woken(model, data, 0)
        graph = trace(model)
        assert graph["first"].fixed is None
        weights = {member.weight for member in graph["first"].members}
        assert ("own/gain" in weights) == (name == "Gain")
        for seed in range(4):
            zeroed = zero(model, random_plan(model, np.random.default_rng(seed)))
            small = strip(zeroed)
            assert np.allclose(zeroed(data), small(data), rtol=0, atol=1e-9)
        assert small.get_layer("first").units < 8


def test_a_subclass_inherits_no_rule(page: dict[str, Any]) -> None:
    class Other(page["Swish2"]):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return keras.ops.cumsum(x, axis=-1)

    i = keras.Input((6,))
    x = Other(name="own")(L.Dense(8, name="first")(i))
    graph = trace(keras.Model(i, L.Dense(3)(x)))
    assert "own (Other): no rule for this class" in str(graph["first"].fixed)
