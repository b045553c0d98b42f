"""Random chains, woken so that a proof on them can fail; what the surgery tests share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st

from edgeprune.graphs import Graph
from edgeprune.models import named_layers, named_weights, values_digest
from edgeprune.models.names import named_states
from edgeprune.plans import Cut, Mask, Plan
from edgeprune.surgery import strip_with_report, trace, zero
from edgeprune.surgery.booking import origins_in
from edgeprune.surgery.tracing import traced

L = keras.layers
LISTENS = False
"""Whether a proof also asks that no output hears of what is cut; the mutation ring does."""
ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh", "elu", "gelu", "hard_sigmoid")


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Models built inside compute in float64."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before)
        keras.config.set_dtype_policy(before)


@st.composite
def images(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Layers from an image to a vector."""
    conv = st.fixed_dictionaries(
        {
            "filters": st.integers(3, 7),
            "kernel_size": st.sampled_from([1, 2, 3]),
            "strides": st.sampled_from([1, 1, 2]),
            "padding": st.sampled_from(["same", "valid"]),
            "use_bias": st.booleans(),
            "activation": st.sampled_from(ACTIVATIONS),
        }
    )
    depthwise = st.fixed_dictionaries(
        {
            "kernel_size": st.sampled_from([1, 3]),
            "depth_multiplier": st.sampled_from([1, 2]),
            "padding": st.sampled_from(["same", "valid"]),
            "use_bias": st.booleans(),
            "activation": st.sampled_from(ACTIVATIONS),
        }
    )
    pool = st.fixed_dictionaries(
        {"pool_size": st.just(2), "padding": st.sampled_from(["same", "valid"])}
    )
    norm = st.fixed_dictionaries({"scale": st.booleans(), "center": st.booleans()})
    layer = st.one_of(
        st.tuples(st.just("Conv2D"), conv),
        st.tuples(st.just("Conv2D"), conv),
        st.tuples(st.just("DepthwiseConv2D"), depthwise),
        st.tuples(st.just("BatchNormalization"), norm),
        st.tuples(st.sampled_from(["MaxPooling2D", "AveragePooling2D"]), pool),
        st.tuples(st.sampled_from(["ReLU", "LeakyReLU", "ELU", "ZeroPadding2D"]), st.just({})),
        st.tuples(st.just("Dropout"), st.just({"rate": 0.5})),
    )
    first = draw(st.tuples(st.just("Conv2D"), conv))
    middle = draw(st.lists(layer, min_size=1, max_size=5))
    end = draw(st.sampled_from(["Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"]))
    return [first, *middle, (end, {})]


@st.composite
def heads(draw: st.DrawFn) -> list[tuple[str, dict[str, Any]]]:
    """Layers from a vector to logits."""
    dense = st.fixed_dictionaries(
        {
            "units": st.integers(3, 11),
            "use_bias": st.booleans(),
            "activation": st.sampled_from(ACTIVATIONS),
        }
    )
    layer = st.one_of(
        st.tuples(st.just("Dense"), dense),
        st.tuples(st.just("BatchNormalization"), st.just({})),
        st.tuples(st.just("Activation"), st.just({"activation": "softplus"})),
    )
    return [*draw(st.lists(layer, min_size=1, max_size=3)), ("Dense", {"units": 4})]


def built(layers: list[tuple[str, dict[str, Any]]], shape: tuple[int, ...]) -> Any | None:
    """A Functional model of ``layers``; ``None`` where the image becomes too small for one."""
    x = inputs = keras.Input(shape)
    for number, (kind, config) in enumerate(layers):
        if "padding" in config and config["padding"] == "valid" and min(x.shape[1:-1]) < 4:
            config = {**config, "padding": "same"}
        x = getattr(L, kind)(name=f"{kind.lower()}_{number}", **config)(x)
        if len(x.shape) > 2 and min(x.shape[1:-1]) < 1:
            return None
    return keras.Model(inputs, x)


def inputs_for(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Four examples, each with a mean and a spread of its own: pooling does not level them."""
    rng = np.random.default_rng(seed)
    column = (4,) + (1,) * len(shape)
    return rng.normal(size=(4, *shape)) * rng.uniform(0.5, 2, column) + np.array(
        [-1.5, -0.5, 0.6, 1.7]
    ).reshape(column)


def woken(model: Any, x: Any, seed: int) -> np.ndarray:
    """Give ``model`` weights under which inputs matter, and return its outputs for ``x``.

    A fresh random net answers the same for every input, so that nothing proven on it means
    anything: weights are drawn wide, biases and betas shaken, and batch-norm statistics taken from
    ``x`` itself.
    """
    # A saturated net answers the same, and so does a chain of sigmoids that is too gentle.
    for attempt, gain in enumerate((1.6, 4.0, 0.8, 8.0, 0.4, 1.6, 16.0, 4.0)):
        rng = np.random.default_rng([seed, attempt])
        for variable in model.weights:
            if variable.name.endswith("kernel"):
                fan = max(1, int(np.prod(variable.shape[:-1])))
                variable.assign(rng.normal(size=variable.shape) * gain / np.sqrt(fan))
            elif variable.name in ("bias", "beta"):
                variable.assign(rng.normal(size=variable.shape) * 0.4)
            elif variable.name in ("gamma", "alpha"):
                variable.assign(rng.uniform(0.5, 1.5, size=variable.shape))
        _settle(model, x)
        if all(_tells_apart(y) for y in outputs_of(model, x)):
            return outputs_of(model, x)[0]
    raise AssertionError("this net answers the same for two inputs: nothing can be proven on it")


def _tells_apart(y: np.ndarray) -> bool:
    scale = np.abs(y).max()
    return bool(np.isfinite(scale) and np.abs(y[0] - y[1]).max() > 1e-2 * scale)


def outputs_of(model: Any, x: Any) -> list[np.ndarray]:
    """Every output for one array, or one for each input."""
    x = x[0] if isinstance(x, list) and len(x) == 1 else x
    return [np.asarray(y) for y in keras.tree.flatten(model(x, training=False))]


def proven(model: Any, plan: Plan, x: Any, *, most: float = 1e-9) -> Any:
    """Zero and strip ``model``; assert that a cut is silence; return the stripped model.

    Outputs agree to ``most`` of the largest (1e-9 where the model computes in float64), the model
    given is as it was, a second strip finds nothing, and what was cut is gone or its reason is in
    the report.
    """
    before = values_digest(model)
    zeroed = zero(model, plan)
    small, report = strip_with_report(zeroed)
    again, second = strip_with_report(small)
    assert values_digest(again) == values_digest(small), "a second strip found something"
    assert not second.removed and not second.left
    # The second time from the states that the first one left.
    for _ in range(2 if named_states(model) else 1):
        for expected, got in zip(outputs_of(zeroed, x), outputs_of(small, x), strict=True):
            assert np.abs(expected - got).max() <= most * max(np.abs(expected).max(), 1e-3)
    assert values_digest(model) == before, "the input model changed"
    stays = {(kept.layer, channel) for kept in report.kept for channel in kept.channels}
    graph, old, new = trace(model), named_weights(model), named_weights(small)
    for cut in plan.cuts:
        gone = [channel for channel in cut.drop.tolist() if (cut.group, channel) not in stays]
        for member in graph[cut.group].members:
            if member.weight not in new or member.channel.ndim > 1:
                continue
            length = old[member.weight].shape[member.axis] - np.isin(member.channel, gone).sum()
            assert new[member.weight].shape[member.axis] <= length, (cut.group, member)
    if LISTENS:
        _unheard(model, graph, zeroed, plan, x, most)
    return small


def _unheard(model: Any, graph: Graph, zeroed: Any, plan: Plan, x: Any, most: float) -> None:
    """Assert that whatever makes a channel that is cut may be anything: no output hears of it,
    since each weight that reads it is zero.

    ``zeroed`` is not itself any more then. Channels that are read without weights are left out:
    there the zero that arrives is what silences them.
    """
    found = traced(model)
    numbers = [demand.ids for step in found.steps for demand in step.demands]
    asked = {
        found.origins[place].name for ids in numbers for place in origins_in(found.origins, ids)
    }
    weights, states = named_weights(zeroed), named_states(zeroed)
    rng = np.random.default_rng(0)
    kept = {name: np.array(state) for name, state in states.items()}
    before = outputs_of(zeroed, x)
    for name, state in kept.items():
        states[name].assign(state)
    for cut in plan.cuts:
        for member in graph[cut.group].members if cut.group not in asked else ():
            if member.role == "makes":
                value = np.array(weights[member.weight])
                drop = np.isin(member.channel, cut.drop)
                member.lead(value)[drop] = member.lead(rng.normal(size=value.shape))[drop]
                weights[member.weight].assign(value)
    for expected, got in zip(before, outputs_of(zeroed, x), strict=True):
        difference = np.abs(expected - got).max()
        assert difference <= most * max(np.abs(expected).max(), 1e-3), "a channel is heard"


def _settle(model: Any, x: Any) -> None:
    x = x[0] if isinstance(x, list) and len(x) == 1 else x
    layers = named_layers(model).values()
    norms = [layer for layer in layers if isinstance(layer, L.BatchNormalization)]
    old = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(x, training=True)
    for layer, momentum in zip(norms, old, strict=True):
        layer.momentum = momentum


def random_plan(model: Any, rng: np.random.Generator) -> Plan:
    """Cuts of free groups, masks that empty whole filters, and scattered ones."""
    graph = trace(model)
    cuts = []
    for group in graph.free:
        drop = np.flatnonzero(rng.random(group.size) < rng.choice([0.0, 0.3, 0.7]))
        if 0 < drop.size < group.size:
            cuts.append(Cut(group.name, drop.astype(np.int32)))
    masks = []
    for group in graph.groups:
        for member in group.members:
            name = member.weight
            if member.role == "makes" and name.endswith("kernel") and rng.random() < 0.5:
                shape = named_weights(model)[name].shape
                keep = np.ones(shape, bool)
                np.moveaxis(keep, member.axis, 0)[rng.random(shape[member.axis]) < 0.4] = False
                masks.append(Mask(name, keep & (rng.random(shape) < rng.choice([1.0, 0.6]))))
    return Plan(graph.model, tuple(cuts), tuple({mask.weight: mask for mask in masks}.values()))
