"""What a layer reads, and how the loss depends on it: as if a gate of ones stood on the input of
every layer that reads channels with weights.

To silence a channel is to zero the weights that read it, so the gate stands where they read: what
lies between the layer that makes a channel and those that read it (batch norm, activation, pooling,
a residual) needs no rule. The gradient of a gate is Σ x · ∂L/∂x over positions, for each example
and channel, from one backward pass (Molchanov et al., "Importance Estimation for Neural Network
Pruning", CVPR 2019, section 3.2). The product is taken of what the backward pass gives anyway, so
that nothing is multiplied on the way forward.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgeprune.graphs import Graph, Member
from edgeprune.models import kernels, named_layers
from edgeprune.models.names import Kernel
from edgeprune.models.tapping import Calling, called_as

_L = keras.layers
_SPATIAL = (
    _L.Conv1D, _L.Conv2D, _L.Conv3D, _L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose,
    _L.DepthwiseConv1D, _L.DepthwiseConv2D,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that can be listened to.

    Attributes:
        layer: the one that is called: a cell's is its recurrent layer.
        axis: of its input, on which the channels lie.
    """

    layer: Any
    axis: int


@dataclass(eq=False)
class Heard:
    """What one call read.

    Attributes:
        reader: the layer.
        x: its input, which no other layer is given.
    """

    reader: Reader
    x: Any

    def last(self, value: Any) -> Any:
        """``value``, in the shape of ``x``, with the channels last."""
        axis = self.reader.axis
        return value if axis == -1 else tf.experimental.numpy.moveaxis(value, axis, -1)


@dataclass(frozen=True, eq=False)
class Ears:
    """The layers of a model that are listened to.

    Attributes:
        kernels: by name of a kernel, its reader; those that cannot be listened to are left out.
        groups: by name of a group all of whose readers can: reader and channel of each position.
    """

    kernels: Mapping[str, Reader]
    groups: Mapping[str, tuple[tuple[Reader, npt.NDArray[np.int32]], ...]] = field(
        default_factory=dict
    )


def ears(model: Any, graph: Graph | None = None) -> Ears:
    """What of ``model`` can be listened to; groups only with its graph."""
    cells = {
        id(layer.cell): layer for layer in named_layers(model).values() if isinstance(layer, _L.RNN)
    }
    readers: dict[tuple[int, int], Reader] = {}
    found: dict[str, Reader] = {}
    for name, kernel in kernels(model).items():
        place = _axis(name, kernel)
        if place is None:
            continue
        layer = cells.get(id(kernel.layer), kernel.layer)
        found[name] = readers.setdefault((id(layer), place), Reader(layer, place))
    groups = {}
    for group in graph.free if graph else ():
        reads = [member for member in group.members if member.role == "reads"]
        if reads and all(_whole(member, found) for member in reads):
            groups[group.name] = tuple(
                (found[member.weight], member.channel.reshape(-1)) for member in reads
            )
    return Ears(found, groups)


def _whole(member: Member, readers: Mapping[str, Reader]) -> bool:
    """Whether the member's axis is the one that its kernel's reader is listened to on."""
    recurrent = member.weight.endswith("recurrent_kernel")
    return member.weight in readers and not recurrent


def _axis(name: str, kernel: Kernel) -> int | None:
    """The axis of the layer's input that the kernel reads; ``None`` where there is none."""
    layer = kernel.layer
    own = name.rpartition("/")[2]
    if isinstance(layer, _L.EinsumDense):
        return _einsum_axis(layer)
    if isinstance(layer, _L.Dense) and own == "kernel":
        return -1
    if type(layer) in _SPATIAL and own == "kernel":
        return 1 if layer.data_format == "channels_first" else -1
    if kernel.kind == "recurrent" and own == "kernel":
        return -1
    return None


def _einsum_axis(layer: Any) -> int | None:
    """The one axis of its input that an EinsumDense contracts with the first of its kernel."""
    terms, output = layer.equation.replace("...", "").split("->")
    taken, kernel = terms.split(",")
    shared = [letter for letter in taken if letter in kernel and letter not in output]
    if len(shared) != 1 or kernel.index(shared[0]):
        return None
    return taken.index(shared[0]) - len(taken)


@contextlib.contextmanager
def listening(readers: Iterable[Reader], tape: Any) -> Iterator[list[Heard]]:
    """Within, every call of these layers is heard, and what it reads is watched by ``tape``."""
    heard: list[Heard] = []
    with called_as((reader.layer, _tap(reader, tape, heard)) for reader in dict.fromkeys(readers)):
        yield heard


def _tap(reader: Reader, tape: Any, heard: list[Heard]) -> Callable[[Calling], Calling]:
    def around(call: Calling) -> Calling:
        def tapped(x: Any, *args: Any, **settings: Any) -> Any:
            x = tf.identity(x)  # its gradient is of this call alone
            tape.watch(x)
            heard.append(Heard(reader, x))
            return call(x, *args, **settings)

        return tapped

    return around
