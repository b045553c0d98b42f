"""Models that hold Functional and Sequential ones: each of those is cut, its ends stay."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
from surgery_nets import inputs_for

from edgeprune.errors import ModelError
from edgeprune.exporting import export_model
from edgeprune.models import clone, named_weights
from edgeprune.plans import Plan
from edgeprune.surgery import cut, strip_with_report, trace, zero
from edgeprune.verification import verify_file

L = keras.layers
X = (inputs_for((8, 8, 3), 0).astype("float32"), inputs_for((8, 8, 3), 1).astype("float32"))


@keras.saving.register_keras_serializable("edgeprune-tests")
class Pair(keras.Model):
    """Two images through one encoder, what tells them apart through towers."""

    def __init__(self, encoder: Any, towers: Any = (), **settings: Any) -> None:
        super().__init__(**settings)
        self.encoder = encoder
        self.towers = list(towers)
        self.head = L.Dense(3, name="head")

    def call(self, x: Any) -> Any:
        apart = self.encoder(x[0]) - self.encoder(x[1])
        for tower in self.towers:
            apart = tower(apart)
        return self.head(apart)

    def get_config(self) -> dict[str, Any]:
        kept = keras.saving.serialize_keras_object
        inner = {"encoder": kept(self.encoder), "towers": [kept(tower) for tower in self.towers]}
        return {**super().get_config(), **inner}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Pair:
        opened = keras.saving.deserialize_keras_object
        towers = [opened(tower) for tower in config.pop("towers")]
        return cls(opened(config.pop("encoder")), towers, **config)


@keras.saving.register_keras_serializable("edgeprune-tests")
class Builder(keras.Model):
    """Makes its inner model from a number in its config."""

    def __init__(self, width: int = 8, **settings: Any) -> None:
        super().__init__(**settings)
        self.width = width
        self.body = keras.Sequential([keras.Input((5,)), L.Dense(width, "relu"), L.Dense(4)])

    def call(self, x: Any) -> Any:
        return self.body(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width}


def _pair() -> Any:
    keras.utils.set_random_seed(0)
    i = keras.Input((8, 8, 3), name="image")
    x = L.Conv2D(8, 3, activation="relu", name="first")(i)
    x = L.Add()([x, L.Conv2D(8, 3, padding="same", name="second")(x)])
    x = L.Dense(5, name="end")(L.GlobalAveragePooling2D()(x))
    tower = keras.Sequential(
        [keras.Input((5,), name="apart"), L.Dense(9, "relu", name="up"), L.Dense(4, name="down")],
        name="tower",
    )
    model = Pair(keras.Model(i, x, name="encoder"), [tower], name="pair")
    model(X)
    return model


def _half(model: Any) -> Plan:
    graph = trace(model)
    return Plan.cut(graph, {group.name: range(0, group.size, 2) for group in graph.free})


def test_every_model_inside_is_traced() -> None:
    fixed = {group.name: group.fixed for group in trace(_pair())}
    assert fixed == {
        "encoder/image": "model input",
        "encoder/first": None,
        "encoder/end": "model output",
        "apart": "model input",
        "towers/0/up": None,
        "towers/0/down": "model output",
    }


def test_the_whole_road(tmp_path: Any) -> None:
    model = _pair()
    before = [np.array(value) for value in model.get_weights()]
    silent = zero(model, _half(model))
    small, report = strip_with_report(silent)
    assert report.removed == {"encoder/first": 4, "towers/0/up": 5}
    assert type(small) is Pair
    for made in (silent, small, cut(model, _half(model)), clone(model)):
        assert made.built and made.get_build_config() == model.get_build_config()
    assert small.count_params() < model.count_params() == silent.count_params()
    small.summary(print_fn=lambda *_, **__: None)
    assert [value.shape for value in small.encoder.get_layer("second").weights] == [
        (3, 3, 4, 4),
        (4,),
    ]
    np.testing.assert_allclose(small(X), silent(X), atol=1e-6)
    assert np.abs(np.asarray(model(X)) - np.asarray(small(X))).max() > 1e-3
    np.testing.assert_array_equal(small(X), cut(model, _half(model))(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        strip_with_report(silent)[0].save(tmp_path / "small.keras")
    again = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(again(X), small(X))
    inputs = tuple(inputs_for((8, 8, 3), seed).astype("float32").repeat(10, 0) for seed in (2, 3))
    for suffix in ("tflite", "onnx"):
        verify_file(export_model(again, tmp_path / f"small.{suffix}"), again, inputs)
    small.compile("adam", "mse")
    small.fit(X, np.zeros((4, 3)), verbose=0)
    for old, value in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, value)
    assert "get_config" not in vars(model.encoder)


def test_a_functional_model_around_it_is_cut_too() -> None:
    inner = _pair()
    ends = [keras.Input((8, 8, 3), name="one"), keras.Input((8, 8, 3), name="other")]
    before = L.Conv2D(3, 1, name="before")
    x = inner([before(end) for end in ends])
    model = keras.Model(ends, L.Dense(2, name="out")(L.Dense(6, "relu", name="after")(x)))
    assert {group.name for group in trace(model).free} == {
        "pair/encoder/first",
        "pair/towers/0/up",
        "after",
    }
    silent = zero(model, _half(model))
    small = strip_with_report(silent)[0]
    np.testing.assert_allclose(small(list(X)), silent(list(X)), atol=1e-6)
    assert small.get_layer("pair").encoder.get_layer("first").filters == 4
    assert small.get_layer("after").units == 3


def test_a_config_that_does_not_hold_the_inner_model() -> None:
    model = Builder()
    model(np.zeros((1, 5)))
    copy = clone(model)
    for one, other in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    graph = trace(model)
    plan = Plan.cut(graph, {graph.free[0].name: [0, 1]})
    silent = zero(model, plan)
    assert not np.any(next(iter(named_weights(silent).values())).numpy()[:, :2])
    with pytest.raises(ModelError, match="its get_config must serialise that model"):
        cut(model, plan)


def test_a_model_without_shapes_says_how_to_go_on(tmp_path: Any) -> None:
    with pytest.raises(
        Exception, match=r"call it on data once, or .* keras.Model\(x, model\(x\)\)"
    ):
        export_model(Builder(), tmp_path / "m.tflite")


def test_a_model_that_was_never_called_is_refused() -> None:
    inner = keras.Sequential([keras.Input((8, 8, 3)), L.Flatten(), L.Dense(4)], name="tower")
    model = Pair(inner, name="pair")
    with pytest.raises(ModelError, match="'head' has no weights yet; call the model once"):
        trace(model)
    model(X)
    assert trace(model)
