"""The dense nets that every method starts from, trained once for each seed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import keras
from filelock import FileLock

from benchmarks.sensitivity.sets import BUILD, Set, training
from edgeprune.files import digest_of, writing
from edgeprune.seeds import derived_seed

LOSS = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class Recipe:
    """How a dense net is trained: Adam, cosine rate, seeded.

    Attributes:
        data: the set.
        examples: training images, the first so many; all 60,000 where ``None``.
        epochs, rate, batch: of the training.
    """

    data: Set
    examples: int | None
    epochs: int
    rate: float = 1e-3
    batch: int = 128


@dataclass(frozen=True)
class Net:
    """One architecture and its training.

    Attributes:
        name: its own.
        build: from a framework (``keras`` or ``tf_keras``) to an untrained model of it, softmax
            at its end.
        recipe: how it is trained.
    """

    name: str
    build: Callable[[Any], Any]
    recipe: Recipe

    def facts(self) -> dict[str, Any]:
        """What decides the dense weights, but for the seed."""
        return {
            "net": self.name,
            "architecture": _architecture(self),
            "training": asdict(self.recipe),
        }

    def dense(self, seed: int) -> Any:
        """The trained model, from the disk where it was trained before."""
        key = digest_of({**self.facts(), "seed": seed})[:12]
        path = BUILD / "dense" / f"{self.name}-{seed}-{key}.keras"
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # others of this run wait for it
            if not path.exists():
                self._train(path, seed)
        return keras.models.load_model(path)

    def _train(self, path: Path, seed: int) -> None:
        recipe = self.recipe
        keras.backend.clear_session()
        keras.utils.set_random_seed(derived_seed(seed, "dense", self.name))
        data = training(recipe.data, recipe.examples)
        model = self.build(keras)
        steps = recipe.epochs * -(-len(data.x) // recipe.batch)
        rate = keras.optimizers.schedules.CosineDecay(recipe.rate, steps)
        model.compile(optimizer=keras.optimizers.Adam(rate), loss=LOSS, metrics=["accuracy"])
        model.fit(data.x, data.y, batch_size=recipe.batch, epochs=recipe.epochs, verbose=0)
        with writing(path) as temporary:
            model.save(temporary)


@cache
def _architecture(net: Net) -> str:
    """Digest of its configuration, whatever Keras called the layers this time."""
    text = json.dumps(net.build(keras).get_config(), default=str, sort_keys=True)
    names = dict.fromkeys(re.findall(r'"name": "([^"]*)"', text))
    for place, name in enumerate(names):
        text = text.replace(json.dumps(name), f'"{place}"')
    return digest_of(text)[:16]


def _perceptron(*widths: int) -> Callable[[Any], Any]:
    def build(K: Any) -> Any:
        L = K.layers
        layers = [K.Input((28, 28, 1)), L.Flatten()]
        layers += [L.Dense(width, "relu", name=f"hidden_{n}") for n, width in enumerate(widths, 1)]
        return K.Sequential([*layers, L.Dense(10, "softmax", name="classes")])

    return build


def _lenet_5(K: Any) -> Any:
    """LeNet-5 as Caffe has it: 20 and 50 filters of 5×5, 500 units; 431,080 parameters."""
    L = K.layers
    return K.Sequential(
        [
            K.Input((28, 28, 1)),
            L.Conv2D(20, 5, name="conv_1"), L.MaxPooling2D(),
            L.Conv2D(50, 5, name="conv_2"), L.MaxPooling2D(),
            L.Flatten(), L.Dense(500, "relu", name="hidden"),
            L.Dense(10, "softmax", name="classes"),
        ]
    )  # fmt: skip


def _convolutions(K: Any) -> Any:
    """Two convolutions and two dense layers, 108,618 parameters."""
    L = K.layers
    return K.Sequential(
        [
            K.Input((28, 28, 1)),
            L.Conv2D(16, 3, activation="relu", name="conv_1"), L.MaxPooling2D(),
            L.Conv2D(32, 3, activation="relu", name="conv_2"), L.MaxPooling2D(),
            L.Flatten(), L.Dense(128, "relu", name="hidden"),
            L.Dense(10, "softmax", name="classes"),
        ]
    )  # fmt: skip


def _normed(L: Any, x: Any, filters: int, size: int, stride: int = 1) -> Any:
    x = L.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
    return L.BatchNormalization()(x)


def _residual(K: Any) -> Any:
    """ResNet-8, batch norms on the shortcuts too; 78,426 parameters."""
    L = K.layers
    i = K.Input((28, 28, 1))
    x = L.ReLU()(_normed(L, i, 16, 3))
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = L.ReLU()(_normed(L, x, filters, 3, stride))
        y = _normed(L, y, filters, 3)
        if stride > 1:
            x = _normed(L, x, filters, 1, stride)
        x = L.ReLU()(L.Add()([x, y]))
    return K.Model(i, L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(x)))


def _separable(K: Any) -> Any:
    """Like MobileNet: a stem, five depthwise separable blocks."""
    L = K.layers
    i = K.Input((28, 28, 1))
    x = L.ReLU()(_normed(L, i, 16, 3))
    for filters, stride in ((32, 2), (64, 1), (64, 2), (128, 1), (128, 1)):
        x = L.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization()(x))
        x = L.ReLU()(_normed(L, x, filters, 1))
    return K.Model(i, L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(x)))


FEW = 20_000
"""Training images of the convolution nets on Fashion-MNIST, of 60,000."""

LENET_300 = Net("lenet-300-100", _perceptron(300, 100), Recipe("digits", None, 30))
LENET_300_50K = Net("lenet-300-100-50k", _perceptron(300, 100), Recipe("digits", 50_000, 30))
LENET_5 = Net("lenet-5-caffe", _lenet_5, Recipe("digits", None, 15))
MLP = Net("mlp-512-512", _perceptron(512, 512), Recipe("digits", None, 5))
CNN = Net("cnn", _convolutions, Recipe("fashion", FEW, 15))
RESNET = Net("resnet-8", _residual, Recipe("fashion", FEW, 15))
MOBILE = Net("mobilenet-like", _separable, Recipe("fashion", FEW, 15))
NETS = {net.name: net for net in (LENET_300, LENET_300_50K, LENET_5, MLP, CNN, RESNET, MOBILE)}
