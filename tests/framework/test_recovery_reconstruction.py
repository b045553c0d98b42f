"""Least squares: layers answer as the dense model's, from inputs alone, and zeros stay zero."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import inputs_for, outputs_of, random_plan, woken
from zoo_nets import ZOO

import edgeprune
from edgeprune.errors import DataError, ModelError, PlanError, TrainingError
from edgeprune.models import clone, kernels, load_model, named_weights, save_model, values_digest
from edgeprune.pipeline.reconstructing import reconstructed
from edgeprune.plans import Mask, Plan
from edgeprune.recovery import Reconstruction, reestimate_batchnorm

L = keras.layers
NIGHTLY = pytest.mark.nightly


def arrays(shape: tuple[int, ...], count: int = 64, seed: int = 0) -> np.ndarray:
    """Examples that differ in mean and spread, as pictures do."""
    parts = [inputs_for(shape, seed + part) for part in range(count // 4)]
    return np.concatenate(parts).astype(np.float32)


def built(*layers: Any, shape: tuple[int, ...]) -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input(shape), *layers])


def cut_of(model: Any, share: float, seed: int = 0) -> Plan:
    """A share of every free group, at random."""
    random = np.random.default_rng(seed)
    graph = edgeprune.trace(model)
    return Plan.cut(
        graph,
        {
            group.name: random.choice(group.size, round(share * group.size), replace=False)
            for group in graph.free
            if 0 < round(share * group.size) < group.size
        },
    )


def masked(model: Any, share: float, seed: int = 0) -> Plan:
    """The given share of each kernel masked at random."""
    random = np.random.default_rng(seed)
    masks = [
        Mask(name, random.random(tuple(kernel.variable.shape)) >= share)
        for name, kernel in kernels(model).items()
    ]
    return Plan(edgeprune.trace(model).model, (), tuple(masks))


def error_of(model: Any, dense: Any, x: Any) -> float:
    """Relative error of the outputs."""
    wrong, right = 0.0, 0.0
    for one, other in zip(outputs_of(model, x), outputs_of(dense, x), strict=True):
        wrong, right = wrong + ((one - other) ** 2).sum(), right + (other**2).sum()
    return float(np.sqrt(wrong / right))


def report_of(pruned: Any, dense: Any, x: Any, **more: Any) -> tuple[Any, Reconstruction]:
    return reconstructed(pruned, dense, [(x,)], **more)


def residual(seed: int = 0) -> tuple[Any, np.ndarray]:
    """A small residual net with settled statistics, and its inputs."""
    keras.utils.set_random_seed(seed)

    def norm(x: Any, name: str, *, active: bool = True) -> Any:
        x = L.BatchNormalization(name=name)(x)
        return L.ReLU()(x) if active else x

    def conv(x: Any, name: str, **more: Any) -> Any:
        return L.Conv2D(12, 3, padding="same", use_bias=False, name=name, **more)(x)

    inputs = keras.Input((8, 8, 3))
    x = norm(conv(inputs, "stem"), "stem_bn")
    for block in ("one", "two"):
        y = norm(conv(x, f"{block}_a"), f"{block}_a_bn")
        y = norm(conv(y, f"{block}_b"), f"{block}_b_bn", active=False)
        x = L.ReLU()(L.Add(name=f"{block}_sum")([x, y]))
    model = keras.Model(inputs, L.Dense(5, name="head")(L.GlobalAveragePooling2D()(x)))
    x = smooth(96, seed)
    woken(model, x, seed)
    random = np.random.default_rng(seed)
    for variable in named_weights(model).values():
        # Each channel has a twin that is nearly alike: trained nets say things twice too.
        value = np.array(variable)
        if value.shape[-1] == 12:
            value[..., 6:] = value[..., :6] * random.normal(1, 0.02, value[..., :6].shape)
            variable.assign(value)
    return model, x


TWINS = dict.fromkeys(("stem", "one_a", "two_a"), (2, 7, 9, 10))
"""30 % of each group, of no pair both."""


def smooth(count: int, seed: int) -> np.ndarray:
    """Pictures whose neighbours are alike: what one pixel lacks, others tell."""
    random = np.random.default_rng(seed)
    coarse = random.normal(size=(count, 3, 3, 3))
    return np.asarray(keras.ops.image.resize(coarse, (8, 8), "bilinear"), np.float32)


# -- the solution -------------------------------------------------------------------------------


def test_a_dense_layer_gets_the_weights_of_numpy_s_least_squares() -> None:
    model = built(L.Dense(9, "relu", name="one"), L.Dense(4, name="two"), shape=(6,))
    x = arrays((6,), 400)
    woken(model, x, 0)
    pruned = edgeprune.strip(edgeprune.zero(model, cut_of(model, 0.4)))
    new = edgeprune.reconstruct(pruned, model, x)
    inner = np.asarray(new.get_layer("one")(x), np.float64)
    rows = np.concatenate([inner, np.ones((len(x), 1))], axis=1)
    best = np.linalg.lstsq(rows, np.asarray(model(x), np.float64), rcond=None)[0]
    least = ((rows @ best - np.asarray(model(x))) ** 2).sum()
    got = ((np.asarray(new(x)) - np.asarray(model(x))) ** 2).sum()
    assert least < got < 1.02 * least


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_convolution_gets_the_weights_of_numpy_s_least_squares(padding: str) -> None:
    model = built(
        L.Conv2D(6, 1, activation="relu", name="one"),
        L.Conv2D(4, 3, padding=padding, strides=2, name="two"),
        shape=(7, 7, 2),
    )
    x = arrays((7, 7, 2), 40)
    woken(model, x, 0)
    pruned = edgeprune.strip(edgeprune.zero(model, cut_of(model, 0.5)))
    new = edgeprune.reconstruct(pruned, model, x)
    inner = np.asarray(new.get_layer("one")(x))
    if padding == "same":
        inner = np.pad(inner, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(inner, (3, 3), axis=(1, 2))[:, ::2, ::2]
    rows = windows.reshape(-1, 9 * inner.shape[-1]).astype(np.float64)
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    right = np.asarray(model(x), np.float64).reshape(len(rows), -1)
    least = ((rows @ np.linalg.lstsq(rows, right, rcond=None)[0] - right) ** 2).sum()
    got = ((np.asarray(new(x)).reshape(right.shape) - right) ** 2).sum()
    assert least < got < 1.02 * least


def test_every_layer_of_a_residual_net_gets_better_and_the_output_twenty_times() -> None:
    model, x = residual()
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), TWINS))
    new, report = report_of(zeroed, model, x)
    assert error_of(new, model, x) == pytest.approx(report.after, rel=1e-3)
    assert error_of(zeroed, model, x) == pytest.approx(report.before, rel=1e-3)
    assert report.after < report.before / 20
    inner = [layer for layer in report.layers if layer.layer not in ("stem", "head")]
    assert [layer.layer for layer in inner] == ["one_a", "one_b", "two_a", "two_b"]
    for layer in inner:
        assert layer.after is not None and layer.before is not None
        assert layer.after < layer.before / 8, layer
    assert report.examples == 96
    held_out = smooth(96, 5)
    assert error_of(new, model, held_out) < error_of(zeroed, model, held_out) / 10


def test_the_last_layer_of_a_branch_makes_up_for_what_the_skip_lost() -> None:
    """The skip itself is not solved: all that is wrong in it must come from the branch."""
    inputs = keras.Input((8,))
    x = L.Dense(8, name="in")(inputs)
    skip = L.Activation("tanh")(x)
    branch = L.Dense(8, "relu", name="a")(inputs)
    out = L.Add()([skip, L.Dense(8, use_bias=False, name="b")(branch)])
    model = keras.Model(inputs, L.Dense(3, name="head")(L.Activation("tanh")(out)))
    x = arrays((8,), 200)
    woken(model, x, 1)
    pruned = clone(model)
    pruned.get_layer("in").bias.assign_add(np.full(8, 0.7))
    first = next(one for one in report_of(pruned, model, x)[1].layers if one.layer == "b")
    assert first.reason is None
    assert first.before > 0.1 and first.after < first.before / 2


def test_a_constant_goes_into_the_mean_of_the_batch_norm_behind() -> None:
    model = built(
        L.Dense(16, "sigmoid", name="one"),
        L.Dense(6, use_bias=False, name="two"),
        L.BatchNormalization(name="bn"),
        L.Dense(3, name="head"),
        shape=(6,),
    )
    x = arrays((6,), 256)
    woken(model, x, 0)
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), {"one": range(10)}))
    new, report = report_of(zeroed, model, x)
    old_mean, mean = (named_weights(one)["bn/moving_mean"] for one in (zeroed, new))
    assert np.abs(np.asarray(old_mean) - np.asarray(mean)).max() > 1e-3
    for name in ("bn/moving_variance", "bn/gamma", "bn/beta"):
        assert (np.asarray(named_weights(new)[name]) == named_weights(zeroed)[name]).all()
    assert report.after < 0.8 * report.before


# -- zeroed, stripped, of every kind --------------------------------------------------------------


KINDS = {"siamese", "autoencoder", "slices", "mixer", "product", "volumes"}


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, marks=() if make.__name__ in KINDS else NIGHTLY) for make in ZOO],
    ids=lambda make: make.__name__,
)
def test_zeroed_and_stripped_become_the_same_function(make: Callable[[], Any]) -> None:
    keras.utils.set_random_seed(0)
    model = make()
    shapes = [tuple(length or 6 for length in one.shape[1:]) for one in model.inputs]
    x = [arrays(shape, 16, seed) for seed, shape in enumerate(shapes)]
    woken(model, [one[:4] for one in x], 0)
    plan = Plan(edgeprune.trace(model).model, random_plan(model, np.random.default_rng(1)).cuts)
    zeroed = edgeprune.zero(model, plan)
    stripped = edgeprune.strip(zeroed)
    batches = [(tuple(x) if len(x) > 1 else x[0],)]
    new, report = reconstructed(zeroed, model, batches)
    small, _ = reconstructed(stripped, model, batches)
    for one, other in zip(outputs_of(new, x), outputs_of(small, x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4 * max(np.abs(one).max(), 1e-3))
    assert report.after <= report.before * 1.01
    if report.before > 0.4:
        assert report.after < report.before


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(6, 3, dilation_rate=2, padding="same", name="two"),
        L.Conv2D(6, (1, 3), strides=(1, 2), name="two"),
        pytest.param(L.Conv2D(6, 3, groups=2, padding="same", name="two"), marks=NIGHTLY),
        L.Conv2DTranspose(6, 3, strides=2, padding="same", name="two"),
        pytest.param(L.Conv2DTranspose(6, 2, strides=3, name="two"), marks=NIGHTLY),
        L.SeparableConv2D(6, 3, padding="same", name="two"),
        L.Dense(6, name="two"),
        L.EinsumDense("abcd,def->abcef", (6, 6, 2, 3), bias_axes="ef", name="two"),
        L.EinsumDense("...d,de->...e", (6,), bias_axes="e", name="two"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_each_kind_of_layer_is_solved(layer: Any) -> None:
    model = built(
        L.Conv2D(8, 3, padding="same", activation="relu", name="one"),
        layer,
        L.Flatten(),
        L.Dense(3, name="head"),
        shape=(6, 6, 2),
    )
    x = np.asarray(smooth(64, 0)[:, :6, :6, :2])
    woken(model, x, 0)
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), {"one": [1, 2, 5, 6]}))
    rows = {row.layer: row for row in report_of(zeroed, model, x)[1].layers}
    assert rows["one"].reason == "it answers as the dense layer does"
    assert rows["two"].reason is None
    assert rows["two"].after < 0.8 * rows["two"].before


def test_a_depthwise_layer_is_solved_where_its_input_changed() -> None:
    model = built(
        L.Conv2D(8, 3, padding="same", activation="relu", name="one"),
        L.Conv2D(6, 1, activation="relu", name="mix"),
        L.DepthwiseConv2D(3, depth_multiplier=2, name="depth"),
        L.GlobalAveragePooling2D(),
        L.Dense(3, name="head"),
        shape=(8, 8, 3),
    )
    x = smooth(64, 0)
    woken(model, x, 0)
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), {"one": [1, 2, 5, 6]}))
    rows = {row.layer: row for row in report_of(zeroed, model, x)[1].layers}
    assert rows["depth"].reason is None
    assert rows["depth"].after < 0.8 * rows["depth"].before


def test_what_cannot_be_solved_says_why() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 4))
    x = L.Dense(8, name="one")(inputs)
    x = L.LSTM(6, name="lstm")(x)
    x = L.Dense(6, kernel_constraint="non_neg", name="positive")(x)
    model = keras.Model(inputs, L.Dense(3, name="head")(x))
    x = arrays((5, 4))
    woken(model, x, 0)
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), {"one": [1, 2, 5]}))
    reasons = {row.layer: row.reason for row in report_of(zeroed, model, x)[1].layers}
    assert reasons["lstm/cell"] == "it is not known how LSTMCell sums up"
    assert reasons["positive"] == "its kernel has a constraint"
    assert reasons["head"] is None


def test_channels_that_lie_along_the_positions_of_a_layer() -> None:
    """A Dense over time, channel by channel: its rows are fewer than the dense model's."""
    model = built(
        L.Dense(6, "relu", name="one"), L.Permute((2, 1)), L.Dense(4, name="over_time"),
        L.Flatten(), L.Dense(3, name="head"), shape=(5, 3),
    )  # fmt: skip
    x = arrays((5, 3), 200)
    woken(model, x, 0)
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), {"one": [0, 4]}))
    _, report = report_of(edgeprune.strip(zeroed), model, x)
    rows = {row.layer: row for row in report.layers}
    assert rows["over_time"].reason == "channels have left along the positions of its output"
    assert rows["head"].after < rows["head"].before


def test_layers_of_which_nothing_is_left() -> None:
    """Masks took every weight, constants went into biases: any channel will do for those."""
    model = built(
        L.Dense(6, "relu", name="one"), L.Dense(5, "relu", name="two"), L.Dense(3, name="head"),
        shape=(4,),
    )  # fmt: skip
    x = arrays((4,), 64)
    woken(model, x, 0)
    masks = [
        Mask(name, np.zeros(tuple(kernel.variable.shape), bool))
        for name, kernel in kernels(model).items()
        if name != "head/kernel"
    ]
    zeroed = edgeprune.zero(model, Plan(edgeprune.trace(model).model, (), tuple(masks)))
    small = edgeprune.strip(zeroed)
    assert small.get_layer("two").units == 1
    assert edgeprune.reconstruct(small, model, x).count_params() == small.count_params()


def test_a_layer_in_a_nested_model_and_one_that_is_called_twice() -> None:
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((8,)), L.Dense(12, "relu", name="wide"), L.Dense(8, name="narrow")],
        name="inner",
    )
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.Dense(3, name="head")(inner(L.ReLU()(inner(inputs)))))
    x = arrays((8,), 200)
    woken(model, x, 0)
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), {"inner/wide": range(5)}))
    new, report = report_of(zeroed, model, x)
    rows = {row.layer: row for row in report.layers}
    assert rows["inner/narrow"].reason is None
    assert rows["inner/narrow"].rows == 400  # both calls
    assert report.after < 0.8 * report.before
    small = edgeprune.reconstruct(edgeprune.strip(zeroed), model, x)
    np.testing.assert_allclose(small(x), new(x), atol=1e-4)


# -- masks ----------------------------------------------------------------------------------------


def test_masks_get_the_exact_constrained_solution() -> None:
    model = built(L.Dense(7, "relu", name="one"), L.Dense(4, name="two"), shape=(12,))
    x = arrays((12,), 400)
    woken(model, x, 0)
    plan = masked(model, 0.5)
    plan = Plan(plan.model, (), (plan.masks[0],))
    zeroed = edgeprune.zero(model, plan)
    new, report = report_of(zeroed, model, x)
    keep, kernel = plan.masks[0].keep, np.asarray(named_weights(new)["one/kernel"])
    assert (kernel[~keep] == 0).all()
    assert report.layers[0].after < 0.9 * report.layers[0].before
    target = x.astype(np.float64) @ np.asarray(named_weights(model)["one/kernel"])
    for column in range(7):
        rows = np.concatenate([x[:, keep[:, column]], np.ones((len(x), 1))], axis=1)
        best = np.linalg.lstsq(rows.astype(np.float64), target[:, column], rcond=None)[0]
        least = ((rows @ best - target[:, column]) ** 2).sum()
        bias = np.asarray(named_weights(new)["one/bias"])[column]
        bias = bias - np.asarray(named_weights(model)["one/bias"])[column]
        got = ((x @ kernel[:, column] + bias - target[:, column]) ** 2).sum()
        assert least - 1e-6 <= got < 1.05 * least + 1e-4


def test_the_update_one_by_one_is_close_to_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeprune.recovery.reconstruction import solving

    random = np.random.default_rng(0)
    mixed = random.normal(size=(500, 24)) + random.normal(size=(500, 1))
    free = random.random((24, 9)) < 0.6
    truth = mixed @ random.normal(size=(24, 9))
    moments = solving.Moments.of(1, 24, 9)
    moments.add(mixed[None], truth[None])
    exact = solving.ridged(moments, free[None], 1e-6)
    monkeypatch.setattr(solving, "EXACT", 0.0)
    monkeypatch.setattr(solving, "_CUBES", 0.0)
    quick = solving.ridged(moments, free[None], 1e-6)
    assert (quick[0][~free] == 0).all() and (exact[0][~free] == 0).all()
    assert not np.array_equal(quick, exact)
    errors = [float(moments.left(one).sum()) for one in (exact, quick, np.zeros_like(exact))]
    assert errors[0] < errors[1] < 1.3 * errors[0] < errors[2]


def test_channels_and_masks_together() -> None:
    model, x = residual()
    plan = Plan(
        edgeprune.trace(model).model,
        Plan.cut(edgeprune.trace(model), TWINS).cuts,
        masked(model, 0.3).masks,
    )
    zeroed = edgeprune.zero(model, plan)
    new, report = report_of(zeroed, model, x)
    for name, kernel in kernels(zeroed).items():
        there = np.asarray(kernel.variable) != 0
        assert (np.asarray(named_weights(new)[name])[~there] == 0).all(), name
    assert report.after < report.before / 4
    small = edgeprune.reconstruct(edgeprune.strip(zeroed), model, x)
    assert error_of(small, model, x) == pytest.approx(report.after, rel=0.05)


# -- finding the channels -------------------------------------------------------------------------


def test_after_batch_norm_statistics_were_taken_anew_and_through_a_file(tmp_path: Path) -> None:
    model, x = residual()
    stripped = reestimate_batchnorm(
        edgeprune.strip(edgeprune.zero(model, Plan.cut(edgeprune.trace(model), TWINS))), [(x,)]
    )
    save_model(stripped, tmp_path / "small.keras")
    save_model(model, tmp_path / "dense.keras")
    small, dense = (load_model(tmp_path / f"{name}.keras") for name in ("small", "dense"))
    new = edgeprune.reconstruct(small, dense, x)
    assert error_of(new, model, x) < error_of(stripped, model, x) / 5
    save_model(new, tmp_path / "new.keras")
    np.testing.assert_allclose(load_model(tmp_path / "new.keras")(x), new(x), atol=1e-5)


def test_a_stripped_model_that_was_trained_since_needs_its_plan() -> None:
    model, x = residual()
    plan = Plan.cut(edgeprune.trace(model), TWINS)
    stripped = edgeprune.strip(edgeprune.zero(model, plan))
    stripped.compile("adam", "mse")
    stripped.fit(x, np.zeros((len(x), 5)), epochs=1, verbose=0)
    with pytest.raises(PlanError, match=r"^layer 'stem': .* give plan=") as raised:
        edgeprune.reconstruct(stripped, model, x)
    assert "\n" not in str(raised.value)
    new = edgeprune.reconstruct(stripped, model, x, plan=plan)
    assert error_of(new, model, x) < error_of(stripped, model, x) / 3
    assert new.compiled


def test_vectors_of_equal_numbers_tell_nothing() -> None:
    """A bias that nobody trained fits any channels: it must not be taken for a find."""
    model = built(L.Dense(8, "relu", name="one"), L.Dense(3, name="two"), shape=(5,))
    x = arrays((5,), 64)
    stripped = edgeprune.strip(edgeprune.zero(model, cut_of(model, 0.5)))
    for kernel in kernels(stripped).values():
        kernel.variable.assign(kernel.variable * 1.01)
    with pytest.raises(PlanError, match="layer 'one': no channels of the dense model have"):
        edgeprune.reconstruct(stripped, model, x)


def test_a_plan_holds_its_zeros_and_must_be_the_right_one() -> None:
    model, x = residual()
    plan = Plan.cut(edgeprune.trace(model), TWINS)
    zeroed = edgeprune.zero(model, plan)
    grown = clone(zeroed)
    for kernel in kernels(grown).values():
        kernel.variable.assign_add(np.full(kernel.variable.shape, 1e-3))
    new = edgeprune.reconstruct(grown, model, x, plan=plan)
    for name, kernel in kernels(zeroed).items():
        there = np.asarray(kernel.variable) != 0
        assert (np.asarray(named_weights(new)[name])[~there] == 0).all(), name
    other = cut_of(built(L.Dense(6), L.Dense(2), shape=(4,)), 0.5)
    with pytest.raises(PlanError, match="the plan was made for the model"):
        edgeprune.reconstruct(zeroed, model, x, plan=other)
    with pytest.raises(PlanError, match="layer 'stem': the plan makes 'stem/kernel'"):
        edgeprune.reconstruct(edgeprune.strip(zeroed), model, x, plan=cut_of(model, 0.5))


def test_batch_norms_that_were_folded() -> None:
    model, x = residual()
    plan = Plan.cut(edgeprune.trace(model), TWINS)
    zeroed = edgeprune.zero(model, plan)
    folded = edgeprune.strip(zeroed, fold_batchnorm=True)
    assert len(folded.layers) < len(model.layers)
    for more in ({}, {"plan": plan}):
        new = edgeprune.reconstruct(folded, model, x, **more)
        assert error_of(new, model, x) < error_of(zeroed, model, x) / 10


def test_equal_channels_are_told_apart_as_little_as_they_need_be() -> None:
    model = built(L.Dense(6, "relu", name="one"), L.Dense(3, name="two"), shape=(5,))
    x = arrays((5,), 128)
    woken(model, x, 0)
    kernel = np.array(model.get_layer("one").kernel)
    kernel[:, 4] = kernel[:, 1]
    model.get_layer("one").kernel.assign(kernel)
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), {"one": [0, 5]}))
    new = edgeprune.reconstruct(zeroed, model, x)
    small = edgeprune.reconstruct(edgeprune.strip(zeroed), model, x)
    np.testing.assert_allclose(small(x), new(x), atol=1e-4)


def test_attention_whose_keys_became_narrower() -> None:
    """Strip multiplies the queries to make up for the width: what they aim at is multiplied too."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 8))
    x = L.Dense(8, "relu", name="in")(inputs)
    x = L.MultiHeadAttention(2, 6, name="mha")(x, x)
    model = keras.Model(inputs, L.Dense(3, name="head")(L.GlobalAveragePooling1D()(x)))
    x = arrays((6, 8), 128)
    woken(model, x, 0)
    graph = edgeprune.trace(model)
    cuts = {group.name: range(group.size // 3) for group in graph.free if group.size > 2}
    zeroed = edgeprune.zero(model, Plan.cut(graph, cuts))
    stripped = edgeprune.strip(zeroed)
    assert stripped.get_layer("mha").key_dim < 6
    _, report = report_of(stripped, model, x)
    _, other = report_of(zeroed, model, x)
    assert report.after < report.before / 2
    assert report.after == pytest.approx(other.after, rel=0.05)
    rows = {row.layer: row for row in report.layers}
    assert rows["mha/query_dense"].after < 0.8 * rows["mha/query_dense"].before


# -- what comes in --------------------------------------------------------------------------------


def test_the_models_given_stay_as_they_are_and_two_runs_give_the_same_bytes() -> None:
    model, x = residual()
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), TWINS))
    before = values_digest(model), values_digest(zeroed)
    first = edgeprune.reconstruct(zeroed, model, x)
    assert (values_digest(model), values_digest(zeroed)) == before
    assert values_digest(edgeprune.reconstruct(zeroed, model, x)) == values_digest(first)
    for one in (model, zeroed, first):
        for layer in one.layers:
            assert "call" not in vars(layer)
    assert first.get_layer("one_sum") is not zeroed.get_layer("one_sum")


def test_inputs_in_every_form() -> None:
    keras.utils.set_random_seed(0)
    one, two = keras.Input((4,), name="one"), keras.Input((3,), name="two")
    x = L.Dense(8, "relu", name="mix")(L.Concatenate()([one, two]))
    model = keras.Model([one, two], L.Dense(2, name="head")(x))
    a, b = arrays((4,)), arrays((3,), seed=9)
    woken(model, [a[:4], b[:4]], 0)
    zeroed = edgeprune.zero(model, cut_of(model, 0.5))
    import tensorflow as tf

    halves = [((a[:32], b[:32]), np.zeros(32)), ((a[32:], b[32:]), np.zeros(32))]
    expected = edgeprune.reconstruct(zeroed, model, (a, b))
    for inputs in (
        {"two": b, "one": a},
        ((a, b), np.zeros(64)),
        halves,
        [(a[:32], b[:32]), (a[32:], b[32:])],
        tf.data.Dataset.from_tensor_slices(((a, b), np.zeros(64))).batch(32),
    ):
        new = edgeprune.reconstruct(zeroed, model, inputs)
        np.testing.assert_allclose(new([a, b]), expected([a, b]), atol=1e-5)


def test_what_does_not_fit_is_one_line() -> None:
    model, x = residual()
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), TWINS))
    other = built(L.Dense(4, name="d"), shape=(3,))
    before = values_digest(zeroed), values_digest(model)
    make = edgeprune.reconstruct
    small = edgeprune.strip(zeroed)
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ModelError, "layer 'stem'", lambda: make(zeroed, other, x)),
        (ModelError, "layer 'stem'", lambda: make(model, small, x)),
        (DataError, r"array 'x' is \(n, 8, 8, 1\)", lambda: make(zeroed, model, x[..., :1])),
        (DataError, "at least two", lambda: make(zeroed, model, x[:1])),
        (DataError, "generator", lambda: make(zeroed, model, iter([x]))),
        (TrainingError, "NaN or infinite", lambda: make(zeroed, model, [x * 1e30])),
        (ModelError, "edgeprune.load", lambda: make("a.keras", model, x)),
    ]
    for kind, text, call in cases:
        with pytest.raises(kind, match=text) as raised:
            call()
        assert "\n" not in str(raised.value)
    assert (values_digest(zeroed), values_digest(model)) == before


def test_batch_norm_statistics_take_inputs_in_the_same_forms() -> None:
    model, x = residual()
    zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), TWINS))
    expected = values_digest(reestimate_batchnorm(zeroed, [(x,)]))
    assert values_digest(edgeprune.reestimate_batchnorm(zeroed, x)) == expected
    assert values_digest(edgeprune.reestimate_batchnorm(zeroed, [x])) == expected
    with pytest.raises(DataError):
        edgeprune.reestimate_batchnorm(zeroed, x[..., :1])


def test_the_answers_of_a_half_precision_model_get_better_too() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model, x = residual()
        zeroed = edgeprune.zero(model, Plan.cut(edgeprune.trace(model), TWINS))
        new, report = report_of(zeroed, model, x)
    finally:
        keras.config.set_dtype_policy("float32")
    assert report.after < report.before / 5
    assert all(weight.dtype == "float32" for weight in new.weights)


def test_a_plan_of_masks_where_batch_norms_were_folded() -> None:
    """No shape changed, and yet the model is another one than the plan was made for."""
    model, x = residual()
    plan = masked(model, 0.6)
    folded = edgeprune.strip(edgeprune.zero(model, plan), fold_batchnorm=True)
    assert len(folded.layers) < len(model.layers)
    without = edgeprune.reconstruct(folded, model, x)
    grown = clone(folded)
    for kernel in kernels(grown).values():
        kernel.variable.assign_add(np.full(kernel.variable.shape, 1e-3))
    for given in (folded, grown):
        new = edgeprune.reconstruct(given, model, x, plan=plan)
        assert error_of(new, model, x) == pytest.approx(error_of(without, model, x), rel=0.05)
        for name, kernel in kernels(folded).items():
            there = np.asarray(kernel.variable) != 0
            assert (np.asarray(named_weights(new)[name])[~there] == 0).all(), name


def test_with_its_plan_no_channel_is_looked_for() -> None:
    """Narrower keys scale the queries, and a mask took what tells the keys apart: by their values
    the channels cannot be found, and the plan alone says which are left."""
    inputs = keras.Input((5, 6))
    attention = L.MultiHeadAttention(2, 4, name="attention")
    model = keras.Model(inputs, L.Dense(3, name="last")(L.Flatten()(attention(inputs, inputs))))
    x = arrays((5, 6), 96)
    woken(model, x, 0)
    graph = edgeprune.trace(model)
    key = next(name for name in kernels(model) if "key" in name)
    width = next(g for g in graph if (g.name.split(":")[0], g.size) == ("attention", 4))
    keep = np.ones(kernels(model)[key].variable.shape, bool)
    keep[..., 1] = False
    plan = Plan(graph.model, Plan.cut(graph, {width.name: [0]}).cuts, (Mask(key, keep),))
    stripped = edgeprune.strip(edgeprune.zero(model, plan))
    assert kernels(stripped)[key].variable.shape == (6, 2, 3)
    with pytest.raises(PlanError, match="give plan="):
        edgeprune.reconstruct(stripped, model, x)
    new = edgeprune.reconstruct(stripped, model, x, plan=plan)
    assert error_of(new, model, x) < error_of(stripped, model, x)


def test_after_an_inexact_cut_with_its_plan_and_without() -> None:
    inputs = keras.Input((6, 8))
    h = L.Dense(12, name="in")(inputs)
    h = L.LayerNormalization(name="norm")(L.Add()([h, L.Dense(12, "gelu", name="mid")(h)]))
    model = keras.Model(inputs, L.Dense(3, name="out")(L.GlobalAveragePooling1D()(h)))
    x = arrays((6, 8), 200)
    woken(model, x, 0)
    graph = edgeprune.trace(model, inexact=True)
    (group,) = (one for one in graph if one.inexact)
    plan = Plan.cut(graph, {group.name: [1, 4, 9]})
    small = edgeprune.cut(model, plan)
    assert kernels(small)["in/kernel"].variable.shape == (8, 9)
    found = [edgeprune.reconstruct(small, model, x, plan=one) for one in (None, plan)]
    for one, two in zip(found[0].weights, found[1].weights, strict=True):
        np.testing.assert_array_equal(one, two)
    assert error_of(found[0], model, x) < error_of(small, model, x) / 2
