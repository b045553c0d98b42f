"""What grows a random Functional model: live tensors, and layers made with random settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

L = keras.layers
ACTIVATIONS = ("linear", "relu", "sigmoid", "tanh", "elu", "gelu", "softplus", "silu")
JOINS = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average")
LONGEST = 10
"""Positions of an axis from which nothing grows further, and no recurrent layer starts."""

Tables = Mapping[int, Sequence[tuple[float, Mapping[str, "Move"]]]]
"""By rank of the tensor, tables of moves and how often each is looked into."""
Move = Callable[["Grower", Any], Any]
"""From a live tensor to a new one or several; ``None`` where it does not fit."""


def table(*moves: Move) -> dict[str, Move]:
    """Moves by their names."""
    return {move.__name__: move for move in moves}


class Grower:
    """Holds live tensors; every move takes one and gives new ones.

    Attributes:
        rng: decides everything.
        moves: those that may be tried.
        inputs: of the model that grows.
        depth: in how many models it is nested.
        pool: the live tensors.
        taken: the moves that were made, those of nested models too.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        moves: Tables,
        inputs: Sequence[Any],
        depth: int = 0,
    ) -> None:
        self.rng = rng
        self.moves = moves
        self.inputs = list(inputs)
        self.depth = depth
        self.pool = list(inputs)
        self.taken: list[str] = []
        self._numbers: Counter[str] = Counter()

    def whole(self, least: int, most: int) -> int:
        """A whole number, both ends among them."""
        return int(self.rng.integers(least, most + 1))

    def one(self, *options: Any) -> Any:
        """One of these."""
        return options[self.whole(0, len(options) - 1)]

    def chance(self, share: float = 0.5) -> bool:
        """True so often."""
        return bool(self.rng.random() < share)

    def width(self) -> int:
        """A number of channels."""
        return self.whole(3, 7)

    def name(self, kind: str) -> str:
        """Unique in this model, and the same in every other one."""
        self._numbers[kind] += 1
        return f"{kind.lower()}{self._numbers[kind]}"

    def layer(self, kind: str, *args: Any, **config: Any) -> Any:
        """A layer of ``keras.layers``."""
        return getattr(L, kind)(*args, name=self.name(kind), **config)

    def free(self) -> dict[str, Any]:
        """Settings of a layer with a kernel that change nothing about shapes."""
        return {"use_bias": self.chance(0.75), "activation": self.one(*ACTIVATIONS)}

    def onto(self, x: Any, width: int, **config: Any) -> Any:
        """New channels at the positions of ``x``."""
        dims = len(x.shape) - 2
        config = {**self.free(), **config}
        if dims and self.chance():
            size = self.whole(1, 3)
            return self.layer(f"Conv{dims}D", width, size, padding="same", **config)(x)
        return self.layer("Dense", width, **config)(x)

    def twin(self, x: Any) -> Any:
        """Another tensor in the shape of ``x``."""
        alike = [one for one in self.pool if one.shape == x.shape and one is not x]
        return self.one(*alike) if alike and self.chance() else self.onto(x, x.shape[-1])

    def other(self, x: Any) -> Any:
        """Another tensor with the positions of ``x``, however wide."""
        alike = [one for one in self.pool if one.shape[:-1] == x.shape[:-1] and one is not x]
        return self.one(*alike) if alike and self.chance() else self.onto(x, self.width())

    def joined(self, *xs: Any) -> Any:
        """Tensors of one shape, or of shapes that broadcast, become one."""
        fitting = [kind for kind in JOINS if len(xs) == 2 or kind != "Subtract"]
        return self.layer(self.one(*fitting))(list(xs))

    def vector(self, x: Any) -> Any:
        """``x`` without positions."""
        dims = len(x.shape) - 2
        if not dims:
            return x
        kinds = [f"Global{kind}Pooling{dims}D" for kind in ("Average", "Max") if dims < 4]
        if not kinds or int(np.prod(x.shape[1:])) <= 400:
            kinds.append("Flatten")
        return self.layer(self.one(*kinds))(x)

    def grow(self, steps: int) -> None:
        """Make so many moves."""
        for _ in range(steps):
            for _ in range(50):
                x = self.pool[-1] if self.chance(0.6) else self.one(*self.pool)
                shares, tables = zip(*self.moves[len(x.shape)], strict=True)
                moves = tables[int(self.rng.choice(len(tables), p=shares))]
                name = self.one(*moves)
                made = moves[name](self, x)
                if made is not None:
                    break
            self.taken.append(name)
            self.pool += made if isinstance(made, list | tuple) else [made]

    def nested(self, shapes: Sequence[tuple[int, ...]], steps: int) -> Any:
        """A model of its own, with the names that every model has."""
        inputs = [keras.Input(shape) for shape in shapes]
        inner = Grower(self.rng, self.moves, inputs, self.depth + 1)
        inner.grow(steps)
        self.taken += inner.taken
        ends = inner.leaves()
        if len(ends) > 1 and self.chance(0.6):
            ends = [inner.layer("Concatenate")([inner.vector(end) for end in ends])]
        return keras.Model(inputs, ends if len(ends) > 1 else ends[0], name=self.name("model"))

    def leaves(self) -> list[Any]:
        """The tensors that nothing reads."""
        read: set[int] = set()
        todo = list(self.pool)
        seen: set[int] = set()
        while todo:
            history = todo.pop()._keras_history
            node = history.operation._inbound_nodes[history.node_index]
            if id(node) not in seen:
                seen.add(id(node))
                read.update(id(tensor) for tensor in node.input_tensors)
                todo += node.input_tensors
        return [tensor for tensor in self.pool if id(tensor) not in read]

    def finished(self) -> Any:
        """The model: every leaf comes to an output, alone or with the others."""
        ends = self.leaves()
        if len(ends) > 1 and self.chance(0.7):
            ends = [self.layer("Concatenate")([self.vector(end) for end in ends])]
        heads = [
            self.layer("Dense", self.whole(2, 4))(end if self.chance(0.3) else self.vector(end))
            for end in ends
        ]
        return keras.Model(self.inputs, heads)
