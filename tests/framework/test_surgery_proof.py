"""A cut is silence: whatever the chain and the plan, strip changes no output; and the proof can
fail."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from surgery_nets import built, float64, heads, images, inputs_for, proven, random_plan, woken

from edgeprune.models import macs, parameters
from edgeprune.plans import Cut, Plan
from edgeprune.surgery import strip_with_report, trace, zero
from edgeprune.surgery.flows import Part, Sent, replaced
from edgeprune.surgery.rules import RULES
from edgeprune.surgery.rules.convolution import ConvolutionRule, DepthwiseRule
from edgeprune.surgery.rules.normalization import BatchNormRule
from edgeprune.surgery.rules.shapes import PaddingRule

L = keras.layers
FEW = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    # Shrinking builds hundreds of models; the failing case is printed as it was found.
    phases=[Phase.explicit, Phase.generate],
)
MANY = settings(FEW, max_examples=300)
"""Of the nightly ring; other cases than the few, since hypothesis sizes what it draws by number."""
SEEDS = st.integers(0, 2**31 - 1)


def chain(body: Any, head: Any, seed: int) -> None:
    with float64():
        model = built([*body, *head], (11, 11, 3))
        assume(model is not None)
        x = inputs_for((11, 11, 3), seed)
        woken(model, x, seed)
        proven(model, random_plan(model, np.random.default_rng(seed)), x)


def perceptron(head: Any, seed: int) -> None:
    with float64():
        model = built(head, (9,))
        x = inputs_for((9,), seed)
        woken(model, x, seed)
        proven(model, random_plan(model, np.random.default_rng(seed)), x)


@FEW
@given(body=images(), head=heads(), seed=SEEDS)
def test_strip_of_random_chains_changes_no_output(body: Any, head: Any, seed: int) -> None:
    chain(body, head, seed)


@FEW
@given(head=heads(), seed=SEEDS)
def test_strip_of_random_perceptrons_changes_no_output(head: Any, seed: int) -> None:
    perceptron(head, seed)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@MANY
@given(body=images(), head=heads(), seed=SEEDS)
def test_strip_of_many_random_chains_changes_no_output(body: Any, head: Any, seed: int) -> None:
    chain(body, head, seed)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@MANY
@given(head=heads(), seed=SEEDS)
def test_strip_of_many_random_perceptrons_changes_no_output(head: Any, seed: int) -> None:
    perceptron(head, seed)


@pytest.mark.parametrize(
    "layers",
    [
        [L.Conv1D(6, 3, activation="relu"), L.BatchNormalization(), L.MaxPooling1D(2),
         L.Conv1D(5, 1, use_bias=False, activation="sigmoid"), L.GlobalAveragePooling1D()],
        [L.Conv1D(6, 3, padding="causal"), L.ZeroPadding1D(1), L.SpatialDropout1D(0.2),
         L.Conv1D(4, 2), L.AveragePooling1D(2, padding="same"), L.Flatten()],
        [L.Dense(6, activation="tanh"), L.Rescaling(0.5, 0.1), L.Dense(5), L.Reshape((60,))],
        [L.Dense(6, activation="tanh"), L.Reshape((3, 4, 6)), L.Conv2D(4, 2), L.Reshape((-1, 4)),
         L.GlobalMaxPooling1D()],
        [L.Flatten(), L.Dense(12), L.Reshape((1, 1, 12)), L.Conv2D(5, 1, activation="relu"),
         L.Reshape((5,))],
    ],
)  # fmt: skip
def test_sequences(layers: list[Any]) -> None:
    with float64():
        rebuilt = [
            type(layer).from_config({**layer.get_config(), "dtype": "float64"}) for layer in layers
        ]
        model = keras.Sequential([keras.Input((12, 3)), *rebuilt, L.Dense(4, name="last")])
        x = inputs_for((12, 3), 3)
        woken(model, x, 3)
        graph = trace(model)
        assert graph.free
        for seed in range(3):
            proven(model, random_plan(model, np.random.default_rng(seed)), x)


def test_costs_of_a_channel_are_exact() -> None:
    model = built(
        [
            ("Conv2D", {"filters": 6, "kernel_size": 3, "strides": 2, "padding": "same"}),
            ("BatchNormalization", {}),
            ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}),
            ("Conv2D", {"filters": 5, "kernel_size": 1, "use_bias": False}),
            ("Flatten", {}),
            ("Dense", {"units": 7}),
            ("Dense", {"units": 3}),
        ],
        (11, 11, 3),
    )
    x = inputs_for((11, 11, 3), 0).astype("float32")
    woken(model, x, 0)
    for group in trace(model).free:
        plan = Plan(trace(model).model, (Cut(group.name, np.array([1], np.int32)),))
        small, _ = strip_with_report(zero(model, plan))
        assert macs(model) - macs(small) == group.macs, group.name
        assert parameters(model) - parameters(small) == group.parameters, group.name


def _net_for_mutants() -> tuple[Any, Any]:
    model = built(
        [
            ("Conv2D", {"filters": 6, "kernel_size": 3, "activation": "sigmoid"}),
            ("BatchNormalization", {}),
            ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "activation": "tanh"}),
            ("Conv2D", {"filters": 6, "kernel_size": 1, "activation": "sigmoid"}),
            (
                "Conv2D",
                {"filters": 5, "kernel_size": 3, "padding": "same", "activation": "sigmoid"},
            ),
            ("ZeroPadding2D", {}),
            ("Conv2D", {"filters": 5, "kernel_size": 3, "activation": "relu"}),
            ("Flatten", {}),
            ("Dense", {"units": 4}),
        ],
        (11, 11, 3),
    )
    x = inputs_for((11, 11, 3), 1)
    woken(model, x, 1)
    return model, x


class _TiledDepthwise(DepthwiseRule):
    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        sent = super().send(call, inputs, book)
        ids = np.tile(inputs[0][-1][0], call.layer.depth_multiplier)
        return replace(sent, outputs=(replaced(sent.outputs[0], -1, (ids,)),))


class _ForgetsBeta(BatchNormRule):
    def constant(self, call: Any, weights: Any, values: Any) -> Any:
        return super().constant(call, {k: v for k, v in weights.items() if k != "beta"}, values)


class _FoldsBehindPadding(ConvolutionRule):
    def folds(self, call: Any, part: Part) -> None:
        return None


class _PadsWithTheConstant(PaddingRule):
    def constant(self, call: Any, weights: Any, values: Any) -> Any:
        return values[0]


class _ForgetsTheMean(BatchNormRule):
    def send(self, call: Any, inputs: Any, book: Any) -> Sent:
        sent = super().send(call, inputs, book)
        kept = tuple(part for part in sent.parts if part.weight != "moving_mean")
        return replace(sent, parts=kept)


MUTANTS = {
    "depthwise in the wrong order": (L.DepthwiseConv2D, _TiledDepthwise()),
    "beta forgotten": (L.BatchNormalization, _ForgetsBeta()),
    "a member forgotten": (L.BatchNormalization, _ForgetsTheMean()),
    "constants folded across padding": (L.Conv2D, _FoldsBehindPadding()),
    "constants kept behind zero padding": (L.ZeroPadding2D, _PadsWithTheConstant()),
}


def _attempts(model: Any, x: Any) -> None:
    """Filters that are emptied but keep their bias: constants on every tensor; and cuts."""
    for seed in range(4):
        proven(model, random_plan(model, np.random.default_rng(seed)), x)


def test_the_net_for_mutants_passes_unmutated() -> None:
    with float64():
        _attempts(*_net_for_mutants())


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, rule = MUTANTS[name]
    monkeypatch.setitem(RULES, kind, rule)  # type: ignore[arg-type]
    with float64():
        model, x = _net_for_mutants()
        with pytest.raises(Exception) as caught:  # a shape that no longer fits is caught too
            _attempts(model, x)
        assert caught.traceback[-1].path != Path(__file__), "the mutant itself is at fault"
