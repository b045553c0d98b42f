"""What the layers of a model read and give, seen while it is called."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from edgeprune.models.forward import outputs_of
from edgeprune.models.tapping import Calling, called_as
from edgeprune.recovery.reconstruction.sums import Sums


@dataclass(frozen=True, eq=False)
class Heard:
    """One call of a layer.

    Attributes:
        x: what its kernel is multiplied with.
        y: its output, before the activation.
    """

    x: Any
    y: Any


@dataclass(eq=False)
class Ear:
    """What was heard in one model.

    Attributes:
        layers: by name, every call of the layers that are listened to, in the order of the data.
        marks: by ``id`` of a layer or operation, what each of its calls gave.
        outputs: of the model; none where it was stopped before.
    """

    layers: dict[str, list[Heard]] = field(default_factory=dict)
    marks: dict[int, list[Any]] = field(default_factory=dict)
    outputs: tuple[Any, ...] = ()


class _Enough(BaseException):
    """Ends a call of a model; no error, so that nothing on the way takes it for one."""


def heard_in(
    model: Any,
    inputs: Sequence[Any],
    sums: Mapping[str, Sums],
    marks: Iterable[Any] = (),
    enough: Callable[[Ear], bool] = lambda ear: False,
) -> Ear:
    """Call ``model`` in inference mode and keep what its layers read and give.

    Args:
        model: any.
        inputs: in the model's order.
        sums: by name, the layers that are listened to.
        marks: layers and operations whose outputs are wanted.
        enough: asked after each of these calls; the rest of the model is left out then.
    """
    ear = Ear()
    kept = {id(one): one for one in marks}.values()
    taps = [(item.layer, _tapped(name, item, ear, enough)) for name, item in sums.items()]
    taps += [(one, _marked(one, ear, enough)) for one in kept]
    with contextlib.suppress(_Enough), called_as(taps):
        ear.outputs = outputs_of(model, inputs, training=False)
    return ear


def _tapped(
    name: str, sums: Sums, ear: Ear, enough: Callable[[Ear], bool]
) -> Callable[[Calling], Calling]:
    def around(call: Calling) -> Calling:
        def tapped(x: Any, *args: Any, **settings: Any) -> Any:
            layer = sums.layer
            activation = layer.activation
            # Past Keras' tracking, and only in this call.
            object.__setattr__(layer, "activation", None)
            try:
                y = call(x, *args, **settings)
            finally:
                object.__setattr__(layer, "activation", activation)
            if keras.ops.is_tensor(x):
                ear.layers.setdefault(name, []).append(Heard(sums.read(x), y))
                if enough(ear):
                    raise _Enough
            return y if activation is None else activation(y)

        return tapped

    return around


def _marked(layer: Any, ear: Ear, enough: Callable[[Ear], bool]) -> Callable[[Calling], Calling]:
    def around(call: Calling) -> Calling:
        def tapped(*args: Any, **settings: Any) -> Any:
            given = call(*args, **settings)
            ear.marks.setdefault(id(layer), []).append(given)
            if enough(ear):
                raise _Enough
            return given

        return tapped

    return around
