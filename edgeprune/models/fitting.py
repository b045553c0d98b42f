"""Which labels the losses and metrics of Keras take: class numbers, or as many numbers as outputs.

What does not fit is refused by rule, before it is computed: shapes that broadcast give a number
all the same, and a wrong one. Of a user's own loss or metric nothing is known; it may take any.
"""

from __future__ import annotations

from typing import Any

from edgeprune.errors import DataError

_NAMES = ("categorical_crossentropy", "categorical_accuracy", "top_k_categorical_accuracy")
_TWINS = {name: f"sparse_{name}" for name in _NAMES} | {f"sparse_{name}": name for name in _NAMES}
"""By name, what judges the same for the other kind of labels."""
_NUMBERS = ("sparse", "ctc")
"""What the names of those begin with that take class numbers."""
_EITHER = ("iou", "mean", "sum")
"""What the names of Keras' metrics end with that take both."""


def is_sparse(labels: Any, outputs: Any) -> bool:
    """Whether labels are class numbers (not one-hot) for these outputs; Keras' own rule."""
    shorter = len(labels.shape) < len(outputs.shape)
    return bool(shorter or (labels.shape[-1] == 1 and outputs.shape[-1] > 1))


def check_labels(kind: str, name: str, judge: Any, labels: Any, outputs: Any) -> None:
    """Refuse labels that a loss or metric of Keras' own cannot be meant for.

    Args:
        kind: ``"loss"`` or ``"metric"``, for the message.
        name: of it, for the message.
        judge: the Keras loss or metric.
        labels, outputs: arrays or tensors of one output, examples along axis 0.

    Raises:
        DataError: class numbers for a loss of as many numbers as outputs, or the other way.
    """
    own = _own_name(judge)
    width = outputs.shape[-1] if len(outputs.shape) > 1 else 1
    if own is None or width is None or width < 2:
        return
    numbers = own.startswith(_NUMBERS)
    twin = next((_TWINS[name] for name in _TWINS if _plain(name) == own), None)
    if is_sparse(labels, outputs) and not numbers:
        if twin:
            raise DataError(
                f"labels are class numbers; {kind} {name!r} wants them one-hot: use {twin!r}, "
                f"or keras.utils.to_categorical(y, {width})"
            )
        instead = "sparse_categorical_crossentropy" if kind == "loss" else "accuracy"
        raise DataError(
            f"{kind} {name!r} does not fit class-number labels and {width} outputs; use "
            f"{instead!r}, or give {width} numbers an example"
        )
    if numbers and len(labels.shape) == len(outputs.shape) and labels.shape[-1] != 1:
        hint = f"use {twin!r}, or y.argmax(-1)" if twin else "give y.argmax(-1)"
        raise DataError(f"labels are one-hot; {kind} {name!r} wants class numbers: {hint}")


def _own_name(judge: Any) -> str | None:
    """The name, plain, of a loss or metric of Keras' own; ``None``: a user's, or one that takes
    both kinds of labels."""
    function = getattr(judge, "fn", None) or getattr(judge, "_fn", None)
    what = function if function is not None else type(judge)
    if not str(getattr(what, "__module__", "")).startswith("keras."):
        return None
    name = _plain(str(getattr(what, "__name__", type(what).__name__)))
    return None if name.endswith(_EITHER) else name


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
