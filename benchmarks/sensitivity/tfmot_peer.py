"""tfmot's own polynomial decay, from the same dense weights: carried over to tf_keras first.

The schedule is the one that its guide to pruning has, from half of the weights at the first step
to all that is asked for at the last one (``end = 1``), or one that is done earlier, which is kinder
to it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np

from benchmarks.sensitivity.nets import LOSS, Net
from benchmarks.sensitivity.sets import Examples
from edgeprune.seeds import derived_seed


@dataclass(frozen=True)
class Decay:
    """Settings of tfmot.

    Attributes:
        epochs, rate, batch: of Adam.
        start: share of zeros at the first step.
        end: share of the steps after which all are there.
        block: of Dense kernels, (in, out) as the kernel lies in Keras.
        cosine: the rate falls to 0 over all steps.
        frequency: steps from one choice of masks to the next.
    """

    epochs: int = 10
    rate: float = 1e-3
    batch: int = 128
    start: float = 0.5
    end: float = 1.0
    block: tuple[int, int] = (1, 1)
    cosine: bool = False
    frequency: int = 100

    def facts(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)


def carried(net: Net, dense: Any) -> Any:
    """The dense model in tf_keras; its outputs are compared.

    Raises:
        AssertionError: they differ.
    """
    import tf_keras

    model = net.build(tf_keras)
    pairs = zip(_weighted(dense), _weighted(model), strict=True)
    for mine, its in pairs:
        its.set_weights(mine.get_weights())
    x = np.random.default_rng(0).random((64, *dense.input_shape[1:]), np.float32)
    np.testing.assert_allclose(
        model(x).numpy(), np.asarray(dense(x)), atol=1e-5, err_msg=f"{net.name} in tf_keras"
    )
    return model


def _weighted(model: Any) -> list[Any]:
    """The layers with weights, in the order in which their kind was made."""
    layers = [layer for layer in model.layers if layer.weights]
    return sorted(layers, key=lambda layer: (type(layer).__name__, _number(layer.name)))


def _number(name: str) -> tuple[int, str]:
    last = name.rpartition("_")[2]
    return (int(last), "") if last.isdigit() else (0, name)


def pruned(net: Net, dense: Any, data: Examples, sparsity: float, seed: int, how: Decay) -> Any:
    """Prune by tfmot; a Keras 3 model of the same shapes."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    sparsity_of = tfmot.sparsity.keras
    # Names are counted anew: by them the layers of the two models are told.
    tf_keras.backend.clear_session()
    keras.backend.clear_session()
    tf_keras.utils.set_random_seed(derived_seed(seed, "tfmot", net.name))
    model = carried(net, dense)
    steps = how.epochs * -(-len(data.x) // how.batch)
    schedule = sparsity_of.PolynomialDecay(
        min(how.start, sparsity),
        sparsity,
        0,
        max(1, round(how.end * steps)),
        frequency=how.frequency,
    )
    wrapped = sparsity_of.prune_low_magnitude(
        model, pruning_schedule=schedule, block_size=how.block, block_pooling_type="AVG"
    )
    rate: Any = how.rate
    if how.cosine:
        rate = tf_keras.optimizers.schedules.CosineDecay(how.rate, steps)
    wrapped.compile(optimizer=tf_keras.optimizers.Adam(rate), loss=LOSS)
    wrapped.fit(
        data.x, data.y, batch_size=how.batch, epochs=how.epochs, verbose=0,
        callbacks=[sparsity_of.UpdatePruningStep()],
    )  # fmt: skip
    stripped = sparsity_of.strip_pruning(wrapped)
    new = keras.models.clone_model(dense)
    for its, mine in zip(_weighted(stripped), _weighted(new), strict=True):
        mine.set_weights(its.get_weights())
    return new
