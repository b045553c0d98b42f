"""Each formula against a slow reference, and what its scores do not depend on."""

from __future__ import annotations

from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgeprune.cli.options import Method, Normalization
from edgeprune.errors import InputError, PlanError
from edgeprune.graphs import Group
from edgeprune.models import kernels, named_weights, values_digest
from edgeprune.planning import make_plan
from edgeprune.plans import Plan
from edgeprune.recipes.pruning import OF_CHANNELS, Score
from edgeprune.scoring import METHODS, SCALES, score_all, score_model
from edgeprune.surgery import trace, zero

L = keras.layers
LOSS = "sparse_categorical_crossentropy"
OF_WEIGHTS = [name for name, formula in METHODS.items() if formula.of == "weights"]


def net() -> Any:
    keras.utils.set_random_seed(2)
    i = keras.Input((6, 6, 2))
    x = L.Conv2D(4, 3, name="conv")(i)
    x = L.BatchNormalization(name="norm")(x)
    x = L.Activation("tanh")(x)
    y = L.Conv2D(4, 1, padding="same", name="branch")(x)
    x = L.Add()([x, y])
    x = L.Dense(5, activation="sigmoid", name="hidden")(L.Flatten()(x))
    model = keras.Model(i, L.Dense(3, activation="softmax", name="out")(x))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name in ("bias", "beta", "moving_mean"):
            weight.assign(rng.normal(size=weight.shape) * 0.3)
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(rng.uniform(0.5, 1.5, size=weight.shape))
    return model


def data(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(count, 6, 6, 2)).astype("float32"), rng.integers(0, 3, count)


def split(*sizes: int) -> list[tuple[np.ndarray, np.ndarray]]:
    x, y = data(sum(sizes))
    ends = np.cumsum(sizes)
    return [(x[end - n : end], y[end - n : end]) for n, end in zip(sizes, ends, strict=True)]


def by_example(model: Any) -> dict[str, np.ndarray]:
    """(examples, …) gradients, one example after the other."""
    variables = {name: kernel.variable.value for name, kernel in kernels(model).items()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in variables}
    x, y = data()
    for row in range(len(x)):
        with tf.GradientTape() as tape:
            tape.watch(list(variables.values()))
            probability = model(x[row : row + 1], training=False)
            loss = keras.losses.sparse_categorical_crossentropy(y[row : row + 1], probability)[0]
        for name, value in zip(found, tape.gradient(loss, list(variables.values())), strict=True):
            found[name].append(np.asarray(value))
    return {name: np.stack(values) for name, values in found.items()}


def test_fisher_and_snip_agree_with_gradients_one_by_one() -> None:
    model = net()
    slow = by_example(model)
    values = {name: np.asarray(kernel.variable) for name, kernel in kernels(model).items()}
    scores = score_all(model, split(5, 7), ["fisher", "snip"], loss=LOSS, microbatch=1)
    products = {name: np.abs(values[name] * slow[name]).mean(axis=0) for name in slow}
    total = sum(value.sum() for value in products.values())
    for name, gradient in slow.items():
        wanted = 0.5 * values[name] ** 2 * (gradient**2).mean(axis=0)
        np.testing.assert_allclose(scores["fisher"].weights[name], wanted, rtol=1e-4, atol=1e-12)
        wanted = products[name] / total
        np.testing.assert_allclose(scores["snip"].weights[name], wanted, rtol=1e-4, atol=1e-9)


def test_obd_agrees_with_the_gauss_newton_matrix() -> None:
    """Squared error: H is 2/n for n outputs, so the diagonal is 2/n Σ_k (∂f_k/∂w)²."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), L.Dense(4, "tanh", name="a"), L.Dense(2)])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 3)).astype("float32")
    y = rng.normal(size=(3, 2)).astype("float32")
    variables = [kernel.variable.value for kernel in kernels(model).values()]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs = model(x)
    jacobians = tape.jacobian(outputs, variables)
    exact = {
        name: (np.asarray(j) ** 2).sum(axis=(0, 1)) * 2 / 2 / len(x)
        for name, j in zip(kernels(model), jacobians, strict=True)
    }
    many = [(np.repeat(x, 400, axis=0), np.repeat(y, 400, axis=0))]
    scores = score_model(model, many, method="obd", loss="mse")
    for name, kernel in kernels(model).items():
        wanted = 0.5 * np.asarray(kernel.variable) ** 2 * exact[name]
        # 1,200 draws: a few percent of the largest.
        np.testing.assert_allclose(scores.weights[name], wanted, atol=0.06 * wanted.max())


def test_obd_of_one_output_is_exact() -> None:
    """With one output nothing is left to chance: z² is 1."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), L.Dense(4, "tanh", name="a"), L.Dense(1)])
    x = np.random.default_rng(0).normal(size=(9, 3)).astype("float32")
    variables = [kernel.variable.value for kernel in kernels(model).values()]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs = model(x)
    jacobians = tape.jacobian(outputs, variables)
    scores = score_model(model, [(x, np.zeros((9, 1), "f"))], method="obd", loss="mse")
    for (name, kernel), jacobian in zip(kernels(model).items(), jacobians, strict=True):
        diagonal = 2 * (np.asarray(jacobian) ** 2).sum(axis=(0, 1)) / 9
        wanted = 0.5 * np.asarray(kernel.variable) ** 2 * diagonal
        np.testing.assert_allclose(scores.weights[name], wanted, rtol=1e-4, atol=1e-10)


def test_wanda_multiplies_by_the_norm_of_what_is_read() -> None:
    model = net()
    x, _ = data()
    inside = keras.Model(model.inputs, [model.get_layer(n).input for n in ("branch", "hidden")])
    branch, hidden = (np.asarray(y, "f8") for y in inside(x))
    halves = [(x[:5],), (x[5:],)]
    scores = score_model(model, halves, method="wanda")
    lamps = score_model(model, halves, method="wanda-lamp")
    norms = {
        "conv/kernel": np.sqrt((x.astype("f8") ** 2).sum(axis=(0, 1, 2)))[:, None],
        "branch/kernel": np.sqrt((branch**2).sum(axis=(0, 1, 2)))[:, None],
        "hidden/kernel": np.sqrt((hidden**2).sum(axis=0))[:, None],
    }
    for name, norm in norms.items():
        size = np.abs(np.asarray(kernels(model)[name].variable))
        np.testing.assert_allclose(scores.weights[name], size * norm, rtol=1e-5)
        squares = size.astype("f8") ** 2 * norm / np.sqrt(len(x))
        lamp = [value / squares[squares >= value].sum() for value in squares.ravel()]
        np.testing.assert_allclose(lamps.weights[name].ravel(), lamp, rtol=1e-4)


def stepped(model: Any, group: Group, channel: int, role: str, step: float) -> Any:
    """A copy in which all that makes (or reads) a channel does so a little more."""
    near = keras.models.clone_model(model)
    near.set_weights(model.get_weights())
    for member in group.members:
        if member.role == role:
            weight = named_weights(near)[member.weight]
            value = np.array(weight)
            member.lead(value)[member.channel == channel] *= 1 + step
            weight.assign(value)
    return near


def test_gates_agree_with_silencing_by_small_steps() -> None:
    """The gate's gradient is the change of an example's loss when all that reads the channel does
    so a little less."""
    model = net()
    graph = trace(model)
    x, y = data()
    scores = score_all(model, split(5, 7), ["gate", "gate-fisher"], loss=LOSS, graph=graph)
    for group in graph.free:
        for channel in range(group.size):
            change = []
            for step in (1e-2, -1e-2):
                near = stepped(model, group, channel, "reads", step)
                probability = near(x, training=False)
                change.append(keras.losses.sparse_categorical_crossentropy(y, probability))
            slope = (np.asarray(change[0], "f8") - np.asarray(change[1], "f8")) / 2e-2
            first = scores["gate"].channels[group.name][channel]
            second = scores["gate-fisher"].channels[group.name][channel]
            assert first == pytest.approx(np.abs(slope).mean(), rel=2e-2, abs=2e-5)
            assert second == pytest.approx(0.5 * (slope**2).mean(), rel=4e-2, abs=1e-6)


def test_molchanov_squares_the_sum_over_what_makes_a_channel() -> None:
    """Against the change of each micro-batch's loss when all that makes the channel shrinks a
    little: kernel, bias, gamma and beta together."""
    model = net()
    graph = trace(model)
    parts = split(5, 7)
    scores = score_model(model, parts, method="molchanov", loss=LOSS, graph=graph)
    for group in graph.free:
        for channel in range(group.size):
            squares = []
            for x, y in parts:
                loss = []
                for step in (1e-2, -1e-2):
                    near = stepped(model, group, channel, "makes", step)
                    each = keras.losses.sparse_categorical_crossentropy(y, near(x, training=False))
                    loss.append(np.asarray(each, "f8").mean())
                squares.append(((loss[0] - loss[1]) / 2e-2) ** 2)
            wanted = np.average(squares, weights=[5, 7])
            found = scores.channels[group.name][channel]
            assert found == pytest.approx(wanted, rel=5e-2, abs=2e-7)
    assert {name for name, value in scores.channels.items() if value.any()} == {
        group.name for group in graph.free
    }


def test_activity_is_of_what_is_read() -> None:
    keras.utils.set_random_seed(0)
    i = keras.Input((5,))
    x = L.Dense(6, activation="relu", name="a")(i)
    model = keras.Model(i, L.Dense(2)(x))
    x = np.random.default_rng(0).normal(size=(20, 5)).astype("float32")
    read = np.asarray(keras.Model(model.inputs, model.get_layer("a").output)(x))
    scores = score_all(model, [(x,)], ["apoz", "activation"], graph=trace(model))
    np.testing.assert_allclose(scores["apoz"].channels["a"], (read > 0).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scores["activation"].channels["a"], read.mean(axis=0), rtol=1e-5)


def test_lamp_random_and_scales_need_no_data() -> None:
    model = net()
    scores = score_all(model, None, ["lamp", "random", "bn-scale"], graph=trace(model), seed=3)
    kernel = np.asarray(kernels(model)["conv/kernel"].variable, "f8")
    squares = np.sort((kernel**2).reshape(-1))
    wanted = squares / np.cumsum(squares[::-1])[::-1]
    found = scores["lamp"].weights["conv/kernel"].reshape(-1)
    np.testing.assert_allclose(np.sort(found), np.sort(wanted), rtol=1e-5)
    assert found.argmax() == (kernel**2).reshape(-1).argmax() and found.max() == 1
    again = score_model(model, None, method="random", seed=3)
    other = score_model(model, None, method="random", seed=4)
    for name, value in scores["random"].weights.items():
        np.testing.assert_array_equal(again.weights[name], value)
        assert (other.weights[name] != value).any() and value.min() >= 0 and value.max() < 1
    gamma = np.abs(np.asarray(model.get_layer("norm").gamma))
    np.testing.assert_allclose(scores["bn-scale"].channels["conv"], gamma)
    assert scores["bn-scale"].facts["unscored"] == ["hidden"]


@pytest.mark.parametrize("method", [name for name, one in METHODS.items() if one.needs_data])
def test_scores_do_not_depend_on_what_is_in_memory(method: str) -> None:
    model = net()
    graph = trace(model)

    def scored(batches: Any, **how: Any) -> dict[str, np.ndarray]:
        one = score_model(model, batches, method=method, loss=LOSS, graph=graph, **how)
        return {**one.weights, **one.channels}

    before = values_digest(model)
    wanted = scored(split(4, 4, 4))
    others = [
        scored(split(4, 4, 4), chunk=3),
        scored(split(12), microbatch=4),
        scored(split(5, 7), microbatch=4, chunk=1),
        scored(split(1, 9, 2), microbatch=4),
    ]
    if METHODS[method].unit == "example":
        others += [scored(split(12)), scored(split(1, 11))]
    for other in others:
        assert set(other) == set(wanted)
        for name, value in wanted.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-5 * value.max())
    assert values_digest(model) == before


@pytest.mark.parametrize("method", ["taylor", "snip", "gradient", "molchanov"])
def test_the_micro_batch_is_part_of_the_score(method: str) -> None:
    model = net()
    graph = trace(model)
    one = score_model(model, split(12), method=method, loss=LOSS, graph=graph, microbatch=2)
    other = score_model(model, split(12), method=method, loss=LOSS, graph=graph)
    assert one.facts["microbatch"] == 2 and other.facts["microbatch"] == 12
    ones, others = ({**each.weights, **each.channels} for each in (one, other))
    assert any((abs(ones[n] - v) > 1e-3 * v.max()).any() for n, v in others.items())


def test_channel_scores_make_plans_that_silence_what_matters_least() -> None:
    model = net()
    graph = trace(model)
    scores = score_model(model, split(12), method="gate-fisher", loss=LOSS, graph=graph)
    plan = make_plan(scores, graph, channels=0.4)
    for cut in plan.cuts:
        left = np.setdiff1d(np.arange(graph[cut.group].size), cut.drop)
        given = scores.channels[cut.group]
        assert given[cut.drop].max() <= given[left].min()
    assert isinstance(plan, Plan) and plan.cuts
    zero(model, plan)
    with pytest.raises(PlanError, match="'gate-fisher' is of channels"):
        make_plan(scores, graph, sparsity=0.5)


@pytest.mark.parametrize("by", ["sum", "mean", "max", "l2"])
def test_layers_on_one_scale(by: str) -> None:
    model = net()
    scores = score_model(model, None, method="magnitude", normalize=by)
    scale = {"sum": np.sum, "mean": np.mean, "max": np.max, "l2": lambda v: np.sqrt((v**2).sum())}
    for value in scores.weights.values():
        assert scale[by](value.astype("f8")) == pytest.approx(1, rel=1e-5)
    with pytest.raises(InputError, match="no normalization 'sun'; did you mean 'sum'"):
        score_model(model, None, method="magnitude", normalize="sun")


def test_shared_recurrent_and_inner_readers_are_heard() -> None:
    """Called twice, inside a time-distributed layer and before an LSTM."""
    keras.utils.set_random_seed(0)
    i = keras.Input((7, 3))
    x = L.TimeDistributed(L.Dense(4, activation="tanh", name="each"), name="time")(i)
    shared = L.Dense(4, activation="tanh", name="twice")
    x = shared(shared(L.Dense(4, name="first")(x)))
    model = keras.Model(i, L.Dense(3, activation="softmax")(L.LSTM(5, name="lstm")(x)))
    graph = trace(model)
    x = np.random.default_rng(0).normal(size=(6, 7, 3)).astype("float32")
    y = np.arange(6) % 3
    scores = score_model(model, [(x, y)], method="gate", loss=LOSS, graph=graph)
    assert {"first", "time/layer"} <= set(scores.channels)
    assert all((value > 0).all() for value in scores.channels.values())
    assert scores.facts["unscored"] == ["lstm"]  # it reads its own state


def test_every_word_for_a_score_is_the_same_everywhere() -> None:
    assert list(METHODS) == [method.value for method in Method] == list(get_args(Score))
    assert {name for name, one in METHODS.items() if one.of == "channels"} == OF_CHANNELS
    assert list(SCALES) == [scale.value for scale in Normalization]
