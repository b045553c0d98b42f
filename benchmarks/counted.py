"""The files that ``benchmarks.emulated`` counts, and what was counted of them earlier."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

CHANNELS = (64, 128, 128, 256, 256, 512, 512, 512)
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1)


@dataclass(frozen=True)
class Subject:
    """One file.

    Attributes:
        net: ``"mlp"``, ``"convolutions"`` or ``"convolutions 0.5"`` (half the channels).
        weights: ``"fp32"``, ``"fp16"``, ``"int8"`` or ``"dynamic"`` (int8, activations in floats).
        share: of the weights that is zero: of every Dense, or of every 1×1 convolution.
        block: neighbours that are zero together, inputs by outputs.
        a72: million instructions of an inference as a Cortex-A72, as counted earlier.
        a76: as a Cortex-A76.
        stored: leave the zeros out of the file, where there are some.
    """

    net: str
    weights: str
    share: float
    block: tuple[int, int]
    a72: float
    a76: float
    stored: bool = True

    @property
    def title(self) -> str:
        """For people."""
        zeros = "dense"
        if self.share:
            ins, outs = self.block
            form = f"in {ins} inputs" if ins > 1 else f"in {outs} outputs"
            zeros = f"{self.share:.0%} {form if ins * outs > 1 else 'scattered'}"
        return f"{self.net} {self.weights} {zeros}{'' if self.stored else ', zeros stored'}"


def _of(
    net: str, weights: str, *rows: tuple[float, tuple[int, int], float, float]
) -> list[Subject]:
    return [Subject(net, weights, *row) for row in rows]


ONE = (1, 1)
SUBJECTS = [
    *_of(
        "mlp", "fp32", (0, ONE, 0.3217, 0.3217),
        (0.90, ONE, 0.3217, 0.3217), (0.95, ONE, 0.3218, 0.3218), (0.97, ONE, 0.2818, 0.2818),
        (0.98, ONE, 0.2010, 0.2010), (0.99, ONE, 0.1177, 0.1177),
        (0.80, (4, 1), 0.4669, 0.4669), (0.85, (4, 1), 0.3582, 0.3582),
        (0.90, (4, 1), 0.2495, 0.2495), (0.95, (4, 1), 0.1409, 0.1409),
        (0.98, (4, 1), 0.0755, 0.0755), (0.95, (1, 4), 0.3217, 0.3217),
    ),
    *_of(
        "mlp", "int8", (0, ONE, 0.2178, 0.0998), (0.80, (16, 1), 0.2301, 0.2301),
        (0.90, (16, 1), 0.1547, 0.1547), (0.95, (16, 1), 0.1167, 0.1167),
        (0.95, (4, 1), 0.2193, 0.2193),
    ),
    *_of("mlp", "dynamic", (0, ONE, 0.2425, 0.1427)),
    *_of("mlp", "fp16", (0, ONE, 0.3218, 0.3218), (0.95, ONE, 0.3217, 0.3217)),
    *_of(
        "convolutions", "fp32", (0, ONE, 23.34, 22.31),
        (0.60, ONE, 23.34, 22.31), (0.65, ONE, 23.34, 22.31),
        (0.70, ONE, 16.53, 16.53), (0.70, (1, 2), 11.76, 11.76),
        (0.80, ONE, 12.16, 12.16), (0.80, (1, 2), 8.96, 8.96), (0.80, (1, 4), 10.22, 10.22),
        (0.90, ONE, 7.78, 7.78), (0.90, (1, 2), 6.17, 6.17), (0.90, (1, 4), 6.80, 6.80),
        (0.90, (1, 8), 6.81, 6.81), (0.95, ONE, 5.59, 5.59), (0.95, (1, 2), 4.77, 4.77),
    ),
    Subject("convolutions", "fp32", 0.90, ONE, 23.34, 22.31, stored=False),
    *_of("convolutions", "fp16", (0.90, ONE, 7.78, 7.78), (0.90, (1, 2), 6.17, 6.17)),
    *_of("convolutions", "int8", (0, ONE, 20.44, 7.82)),
    *_of("convolutions 0.5", "fp32", (0, ONE, 7.03, 6.79)),
    *_of("convolutions 0.5", "int8", (0, ONE, 6.78, 2.96)),
]  # fmt: skip


def model_of(net: str) -> Any:
    """The net, every weight random."""
    layers = keras.layers
    if net == "mlp":
        model = keras.Sequential(
            [
                layers.Input((784,)),
                layers.Dense(512, "relu"),
                layers.Dense(512, "relu"),
                layers.Dense(10),
            ]
        )
    else:
        model = separable(0.5 if net.endswith("0.5") else 1.0)
    random = np.random.default_rng(7)
    for variable in model.weights:
        shape = tuple(variable.shape)
        spread = 1 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.1
        variable.assign(random.normal(0, spread, shape))
    return model


def separable(width: float) -> Any:
    """A convolution and eight separable blocks, 96×96×3, padded alike on all sides.

    XNNPACK takes a net as a whole for its sparse kernels only where padding is a layer of its own.
    """
    layers = keras.layers
    inputs = keras.Input((96, 96, 3))
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.ReLU()(layers.Conv2D(int(32 * width), 3, strides=2)(x))
    for channels, stride in zip(CHANNELS, STRIDES, strict=True):
        x = layers.DepthwiseConv2D(3, strides=stride)(layers.ZeroPadding2D(1)(x))
        x = layers.Conv2D(int(channels * width), 1)(layers.ReLU()(x))
        x = layers.ReLU()(x)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def set_zero(model: Any, subject: Subject) -> None:
    """Exactly the share of the blocks of each kernel, drawn at random."""
    random = np.random.default_rng(0)
    ins, outs = subject.block
    for layer in model.layers:
        dense = isinstance(layer, keras.layers.Dense)
        pointwise = isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)
        if not (dense if subject.net == "mlp" else pointwise):
            continue
        value = np.asarray(layer.kernel)
        if value.shape[-2] % ins or value.shape[-1] % outs:
            continue
        keep = np.ones((value.shape[-2] // ins, value.shape[-1] // outs), bool)
        gone = random.permutation(keep.size)[: round(subject.share * keep.size)]
        keep.reshape(-1)[gone] = False
        layer.kernel.assign(value * np.repeat(np.repeat(keep, ins, 0), outs, 1))


def write(subject: Subject, path: Path) -> None:
    """Build the net and convert it."""
    import tensorflow as tf

    model = model_of(subject.net)
    set_zero(model, subject)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    optimize = tf.lite.Optimize
    converter.optimizations = [optimize.DEFAULT] if subject.weights != "fp32" else []
    if subject.share and subject.stored:
        converter.optimizations.append(optimize.EXPERIMENTAL_SPARSITY)
    if subject.weights == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    if subject.weights == "int8":
        examples = np.random.default_rng(1).random((8, 1, *model.input_shape[1:]), np.float32)
        converter.representative_dataset = lambda: ([example] for example in examples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    with contextlib.redirect_stdout(io.StringIO()):  # the converter lists the model's ports there
        path.write_bytes(converter.convert())
