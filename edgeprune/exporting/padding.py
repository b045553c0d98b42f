"""Hidden axes as long as the blocks of a sparse encoding ask.

A fully connected kernel runs fast in 1×4 blocks along its inputs, which only an axis that four
divides has. Between two Dense layers the axis is ours: units with neither weights nor bias are
added to the first, rows of zeros to the second, and no output changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edgeprune.errors import ModelError
from edgeprune.models import named_layers, rebuilt
from edgeprune.models.calls import Call, calls, function_of

Array = npt.NDArray[Any]
L = keras.layers

BLOCK = 4
"""Inputs in a block of a float kernel (TensorFlow's ``dense_to_sparse_pass.cc``)."""
LEAST_ZEROS = 0.3
"""Share of zeros from which the converter encodes a kernel (``kMinSparsityLevel``)."""
LEAST_BLOCKS = 0.9
"""Share of the zeros that must lie in empty blocks for it to choose blocks
(``kBlockOverRandomSparsityRatio``)."""

_STILL = (
    *(L.Dropout, L.AlphaDropout, L.GaussianDropout, L.GaussianNoise, L.SpatialDropout1D),
    *(L.Identity, L.ActivityRegularization),
)
"""Layers that do nothing in inference."""
_UNARY = (L.ReLU, L.LeakyReLU, L.ELU)
_ACTIVATIONS = frozenset(
    getattr(keras.activations, name)
    for name in (
        *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish"),
        *("sigmoid", "hard_sigmoid", "hard_silu", "tanh", "softplus", "softsign", "log_sigmoid"),
    )
    if hasattr(keras.activations, name)
)
"""Of one element, and finite at every finite one, so that a row of zeros silences it."""


def padded(model: Any) -> Any:
    """``model`` with hidden axes that mostly-zero Dense kernels can be stored in blocks along.

    An axis is padded with one to three units where a Dense layer whose kernel the converter would
    store in blocks reads, through elementwise layers alone, all that another Dense layer gives.
    Names, inputs and outputs stay; outputs agree to float32 rounding.

    Returns:
        A new model; ``model`` itself where there is nothing to pad or it cannot be rebuilt.
    """
    names = {id(layer): name for name, layer in named_layers(model).items()}
    chains = [chain for chain in _chains(model) if all(id(layer) in names for layer in chain)]
    if not chains:
        return model
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for first, *between, last in chains:
        extra = -int(last.kernel.shape[0]) % BLOCK
        before[names[id(last)]] = after[names[id(first)]] = extra
        after |= {names[id(layer)]: extra for layer in between}
    touched = {names[id(layer)]: layer for chain in chains for layer in chain}
    values: dict[str, Array] = {}
    for name, layer in touched.items():
        values |= _values(name, layer, before.get(name, 0), after.get(name, 0))

    def edit(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return _edited(touched[name], config, after.get(name, 0)) if name in touched else config

    try:
        return rebuilt(model, values, edit)
    except ModelError:
        # Slower, not wrong: the kernel is then stored by rows.
        return model


def _chains(model: Any) -> Iterator[tuple[Any, ...]]:
    """The Dense layer before, what lies between, and the Dense layer whose kernel is for blocks."""
    graphs = list(_graphs(model, set()))
    times = Counter(id(call.layer) for _, found in graphs for call in found)
    for function, found in graphs:
        makers = {id(tensor): call for call in found for tensor in call.outputs}
        reads = Counter(id(tensor) for call in found for tensor in call.inputs)
        reads.update(id(tensor) for tensor in keras.tree.flatten(function.outputs))
        for call in found:
            if _plain(call, L.Dense, times) and _wants_blocks(call.layer):
                chain = _back(call, makers, reads, times)
                if chain is not None:
                    yield chain


def _graphs(model: Any, seen: set[int]) -> Iterator[tuple[Any, list[Call]]]:
    function = function_of(model)
    if function is None or id(function) in seen:
        return
    seen.add(id(function))
    found = calls(function)
    yield function, found
    for call in found:
        yield from _graphs(call.layer, seen)


def _back(
    call: Call, makers: Mapping[int, Call], reads: Counter[int], times: Counter[int]
) -> tuple[Any, ...] | None:
    """From a Dense layer up to the one that makes its inputs; ``None`` where the axis is not
    theirs alone."""
    chain = [call.layer]
    while True:
        (tensor,) = call.inputs
        maker = makers.get(id(tensor))
        if maker is None or reads[id(tensor)] != 1:
            return None
        chain.insert(0, maker.layer)
        if _plain(maker, L.Dense, times):
            return tuple(chain) if maker.layer.activation in _ACTIVATIONS else None
        if not _passes(maker, times):
            return None
        call = maker


def _plain(call: Call, kind: Any, times: Counter[int]) -> bool:
    """Whether this is the only call of a layer of exactly this kind, with one input and nothing
    set (but ``training=False``, which some layers say themselves)."""
    layer: Any = call.layer
    if type(layer) is not kind or times[id(layer)] != 1 or len(call.inputs) != 1:
        return False
    if {key for key, value in call.settings.items() if key != "training" or value is not False}:
        return False
    return not getattr(layer, "lora_enabled", False) and layer.quantization_mode is None


def _passes(call: Call, times: Counter[int]) -> bool:
    """Whether each output of a layer is its input at the same place, through a function that is
    finite wherever its argument is."""
    kind = type(call.layer)
    if not _plain(call, kind, times):
        return False
    if kind is L.BatchNormalization:
        return call.layer.axis in (-1, len(call.inputs[0].shape) - 1)
    if kind is L.Activation:
        return call.layer.activation in _ACTIVATIONS
    return kind in _STILL or kind in _UNARY


def _wants_blocks(layer: Any) -> bool:
    """Whether padding is what keeps the converter from storing a kernel well in blocks."""
    inputs = int(layer.kernel.shape[0])
    extra = -inputs % BLOCK
    if not extra:
        return False
    alive = np.pad(keras.ops.convert_to_numpy(layer.kernel) != 0, ((0, extra), (0, 0)))
    blocks = alive.reshape(-1, BLOCK, alive.shape[1]).any(axis=1)
    zeros, empty = 1 - alive.mean(), 1 - blocks.mean()
    return bool(zeros >= LEAST_ZEROS and empty > LEAST_BLOCKS * zeros)


def _values(name: str, layer: Any, before: int, after: int) -> dict[str, Array]:
    """The weights of a layer with so many more inputs and outputs, by name."""
    found = {}
    for weight in layer.weights:
        value = keras.ops.convert_to_numpy(weight)
        # Where a batch norm multiplies or divides, one leaves what passes as it is.
        fill = 1.0 if weight.name in ("gamma", "moving_variance") else 0.0
        widths = ((0, before), (0, after)) if value.ndim == 2 else ((0, after),)
        if len(value.shape):
            found[f"{name}/{weight.name}"] = np.pad(value, widths, constant_values=fill)
    return found


def _edited(layer: Any, config: Mapping[str, Any], after: int) -> Mapping[str, Any]:
    """The config of a wider layer; an initialiser may know the old width."""
    plain = {key: "zeros" for key in config if key.endswith("_initializer")}
    if isinstance(layer, L.Dense):
        plain["units"] = config["units"] + after
    return {**config, **plain}
