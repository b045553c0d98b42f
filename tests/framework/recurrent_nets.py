"""Recurrent nets, one for each way in which their units are tied; their groups by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

L = keras.layers
Groups = dict[str, tuple[int, list[tuple[str, int]]]]
"""By name: size, and every member as (weight, axis)."""


@dataclass(frozen=True)
class Net:
    """A net to prove something on.

    Attributes:
        make: the model.
        groups: what may leave; all else is fixed.
        words: inputs are whole numbers below 9, and the first ones are masked.
    """

    make: Callable[[], Any]
    groups: Groups
    words: bool = False


def _own(cell: str, *, bias: int | None = 0) -> list[tuple[str, int]]:
    """What a cell's weights give to the group of its own units."""
    members = [
        (f"{cell}/kernel", 1),
        (f"{cell}/recurrent_kernel", 0),
        (f"{cell}/recurrent_kernel", 1),
    ]
    return members if bias is None else [*members, (f"{cell}/bias", bias)]


def _sequential(*layers: Any, shape: tuple[int, ...] = (6, 3), **kwargs: Any) -> Any:
    return keras.Sequential([keras.Input(shape, **kwargs), *layers])


def _stacked() -> Any:
    return _sequential(
        L.LSTM(6, return_sequences=True, name="one"),
        L.LSTM(5, go_backwards=True, name="two"),
        L.Dense(4, name="end"),
    )


def _crnn() -> Any:
    return _sequential(
        L.Conv1D(6, 3, activation="relu", name="conv"),
        L.BatchNormalization(name="norm"),
        L.Bidirectional(L.LSTM(5, return_sequences=True), name="both"),
        L.Bidirectional(L.GRU(4), name="last"),
        L.Dense(4, name="end"),
        shape=(9, 3),
    )


def _gru(*, after: bool, bias: bool) -> Callable[[], Any]:
    return lambda: _sequential(
        L.Dense(5, activation="sigmoid", name="front"),
        L.GRU(6, reset_after=after, use_bias=bias, return_sequences=True, name="one"),
        L.GRU(5, reset_after=after, use_bias=bias, name="two"),
        L.Dense(4, name="end"),
    )


def _simple() -> Any:
    return _sequential(
        L.Dense(5, activation="sigmoid", name="front"),
        L.SimpleRNN(6, activation="sigmoid", return_sequences=True, name="one"),
        L.SimpleRNN(5, use_bias=False, name="two"),
        L.Dense(4, name="end"),
    )


def _translator() -> Any:
    source, target = keras.Input((6, 3)), keras.Input((4, 2))
    _, h, c = L.LSTM(5, return_state=True, name="encoder")(source)
    y, state, _ = L.LSTM(5, return_sequences=True, return_state=True, name="decoder")(
        target, initial_state=[h, c]
    )
    again = L.GRU(5, name="second")(y, initial_state=state)
    first = L.Dense(4, name="end")(y)
    return keras.Model([source, target], [first, L.Dense(3, name="other")(again)])


def _started() -> Any:
    """A state made by a dense layer, once for each direction."""
    sequence, vector = keras.Input((6, 3)), keras.Input((4,))
    states = [L.Dense(5, activation="tanh", name=f"start_{n}")(vector) for n in range(2)]
    y = L.Bidirectional(L.GRU(5), name="both")(sequence, initial_state=states)
    return keras.Model([sequence, vector], L.Dense(4, name="end")(y))


def _stateful() -> Any:
    return _sequential(
        L.LSTM(6, stateful=True, return_sequences=True, name="one"),
        L.Bidirectional(L.GRU(4, stateful=True, return_sequences=True), name="both"),
        L.SimpleRNN(5, stateful=True, name="two"),
        L.Dense(4, name="end"),
        batch_size=4,
    )


def _distributed() -> Any:
    return _sequential(
        L.TimeDistributed(L.Dense(5, activation="sigmoid"), name="each"),
        L.LSTM(4, name="lstm"),
        L.Dense(4, name="end"),
    )


def _video() -> Any:
    return _sequential(
        L.TimeDistributed(L.Conv2D(5, 3, activation="relu"), name="frames"),
        L.TimeDistributed(L.BatchNormalization(), name="norms"),
        L.TimeDistributed(L.GlobalAveragePooling2D(), name="pools"),
        L.LSTM(4, name="lstm"),
        L.Dense(4, name="end"),
        shape=(4, 6, 6, 2),
    )


def _model_in_time() -> Any:
    inside = x = keras.Input((6, 3))
    x = L.Conv1D(5, 3, activation="relu", name="conv")(x)
    x = L.Flatten(name="flat")(
        L.Concatenate(name="sides")([x, L.Conv1D(3, 3, name="side")(inside)])
    )
    frame = keras.Model(inside, L.Dense(4, activation="relu", name="dense")(x), name="frame")
    return _sequential(
        L.TimeDistributed(frame, name="frames"),
        L.SimpleRNN(4, name="rnn"),
        L.Dense(4, name="end"),
        shape=(4, 6, 3),
    )


def _masked() -> Any:
    """One reader is masked too, the other is not."""
    words = keras.Input((6,))
    y = L.Embedding(9, 5, mask_zero=True, name="words")(words)
    y = L.SimpleRNN(6, activation="sigmoid", return_sequences=True, name="one")(y)
    each = L.Dense(3, name="other")(y)
    y = L.Bidirectional(L.LSTM(4, return_sequences=True), name="both")(y)
    y = L.LSTM(5, name="two")(y)
    return keras.Model(words, [L.Dense(4, name="end")(y), each])


def _merged(mode: str) -> Callable[[], Any]:
    def make() -> Any:
        sequence = keras.Input((6, 3))
        y, *states = L.Bidirectional(
            L.LSTM(5, return_sequences=True, return_state=True), merge_mode=mode, name="both"
        )(sequence)
        y = L.LSTM(5, name="two")(y, initial_state=states[:2])
        return keras.Model(sequence, L.Dense(4, name="end")(y))

    return make


def _apart() -> Any:
    sequence = keras.Input((6, 3))
    one, other = L.Bidirectional(L.GRU(5), merge_mode=None, name="both")(sequence)
    return keras.Model(sequence, [L.Dense(4, name="end")(one), L.Dense(3, name="other")(other)])


def _cells() -> Any:
    cells = [L.LSTMCell(5), L.SimpleRNNCell(4, activation="sigmoid"), L.GRUCell(6)]
    return _sequential(
        L.RNN(L.GRUCell(4, reset_after=False), return_sequences=True, name="one"),
        L.RNN(cells, name="stack"),
        L.Dense(4, name="end"),
    )


def _both(name: str, bias: int = 0) -> list[tuple[str, int]]:
    return [
        member
        for half in ("forward", "backward")
        for member in _own(f"{name}/{half}_layer/cell", bias=bias)
    ]


def _into_both(name: str) -> list[tuple[str, int]]:
    return [(f"{name}/{half}_layer/cell/kernel", 0) for half in ("forward", "backward")]


_END = ("end/kernel", 0)
_FRONT = [("front/kernel", 1), ("front/bias", 0), ("one/cell/kernel", 0)]


def _grus(*, after: bool, bias: bool) -> Net:
    place = int(after) if bias else None
    return Net(
        _gru(after=after, bias=bias),
        {
            "front": (5, _FRONT),
            "one": (6, [*_own("one/cell", bias=place), ("two/cell/kernel", 0)]),
            "two": (5, [*_own("two/cell", bias=place), _END]),
        },
    )


NETS: dict[str, Net] = {
    "stacked": Net(
        _stacked,
        {
            "one": (6, [*_own("one/cell"), ("two/cell/kernel", 0)]),
            "two": (5, [*_own("two/cell"), _END]),
        },
    ),
    "crnn": Net(
        _crnn,
        {
            "conv": (
                6,
                [
                    ("conv/kernel", 2),
                    ("conv/bias", 0),
                    ("norm/gamma", 0),
                    ("norm/beta", 0),
                    ("norm/moving_mean", 0),
                    ("norm/moving_variance", 0),
                    *_into_both("both"),
                ],
            ),
            "both": (5, [*_both("both"), *_into_both("last")]),
            "last": (4, [*_both("last", bias=1), _END]),
        },
    ),
    "gru": _grus(after=True, bias=True),
    "gru without bias": _grus(after=True, bias=False),
    "gru reset before": _grus(after=False, bias=True),
    "gru reset before without bias": _grus(after=False, bias=False),
    "simple": Net(
        _simple,
        {
            "front": (5, _FRONT),
            "one": (6, [*_own("one/cell"), ("two/cell/kernel", 0)]),
            "two": (5, [*_own("two/cell", bias=None), _END]),
        },
    ),
    "translator": Net(
        _translator,
        {
            "encoder": (
                5,
                [
                    *_own("encoder/cell"),
                    *_own("decoder/cell"),
                    ("second/cell/kernel", 0),
                    *_own("second/cell", bias=1),
                    _END,
                    ("other/kernel", 0),
                ],
            )
        },
    ),
    "started": Net(
        _started,
        {
            "start_0": (
                5,
                [
                    ("start_0/kernel", 1),
                    ("start_0/bias", 0),
                    ("start_1/kernel", 1),
                    ("start_1/bias", 0),
                    *_both("both", bias=1),
                    _END,
                ],
            )
        },
    ),
    "stateful": Net(
        _stateful,
        {
            "one": (6, [*_own("one/cell"), *_into_both("both")]),
            "both": (4, [*_both("both", bias=1), ("two/cell/kernel", 0)]),
            "two": (5, [*_own("two/cell"), _END]),
        },
    ),
    "distributed": Net(
        _distributed,
        {
            "each/layer": (
                5,
                [("each/layer/kernel", 1), ("each/layer/bias", 0), ("lstm/cell/kernel", 0)],
            ),
            "lstm": (4, [*_own("lstm/cell"), _END]),
        },
    ),
    "video": Net(
        _video,
        {
            "frames/layer": (
                5,
                [
                    ("frames/layer/kernel", 3),
                    ("frames/layer/bias", 0),
                    ("norms/layer/gamma", 0),
                    ("norms/layer/beta", 0),
                    ("norms/layer/moving_mean", 0),
                    ("norms/layer/moving_variance", 0),
                    ("lstm/cell/kernel", 0),
                ],
            ),
            "lstm": (4, [*_own("lstm/cell"), _END]),
        },
    ),
    "model in time": Net(
        _model_in_time,
        {
            "frames/layer/conv": (
                5,
                [
                    ("frames/layer/conv/kernel", 2),
                    ("frames/layer/conv/bias", 0),
                    ("frames/layer/dense/kernel", 0),
                ],
            ),
            "frames/layer/side": (
                3,
                [
                    ("frames/layer/side/kernel", 2),
                    ("frames/layer/side/bias", 0),
                    ("frames/layer/dense/kernel", 0),
                ],
            ),
            "frames/layer/dense": (
                4,
                [
                    ("frames/layer/dense/kernel", 1),
                    ("frames/layer/dense/bias", 0),
                    ("rnn/cell/kernel", 0),
                ],
            ),
            "rnn": (4, [*_own("rnn/cell"), _END]),
        },
    ),
    "masked": Net(
        _masked,
        {
            "words": (5, [("words/embeddings", 1), ("one/cell/kernel", 0)]),
            "one": (6, [*_own("one/cell"), *_into_both("both"), ("other/kernel", 0)]),
            "both": (4, [*_both("both"), ("two/cell/kernel", 0)]),
            "two": (5, [*_own("two/cell"), _END]),
        },
        words=True,
    ),
    **{
        f"merged by {mode}": Net(
            _merged(mode),
            {
                "both": (
                    5,
                    [*_both("both"), ("two/cell/kernel", 0), *_own("two/cell"), _END],
                )
            },
        )
        for mode in ("concat", "sum", "mul", "ave")
    },
    "apart": Net(
        _apart, {"both": (5, [*_both("both", bias=1), _END, ("other/kernel", 0)])}
    ),
    "cells": Net(
        _cells,
        {
            "one": (4, [*_own("one/cell"), ("stack/cell/cells/0/kernel", 0)]),
            "stack": (5, [*_own("stack/cell/cells/0"), ("stack/cell/cells/1/kernel", 0)]),
            "stack:1": (4, [*_own("stack/cell/cells/1"), ("stack/cell/cells/2/kernel", 0)]),
            "stack:2": (6, [*_own("stack/cell/cells/2", bias=1), _END]),
        },
    ),
}  # fmt: skip
