"""Random Functional models of every layer family, grown move by move.

A case says what goes in and how many moves are made; all else follows from its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from random_growing import Grower, Tables
from random_moves_anywhere import ANYWHERE, VECTORS
from random_moves_sequences import SEQUENCES
from random_moves_spatial import SPATIAL
from surgery_nets import inputs_for

WORDS = 9
MOVES: Tables = {
    2: ((0.75, ANYWHERE), (0.25, VECTORS)),
    3: ((0.3, ANYWHERE), (0.3, SPATIAL), (0.4, SEQUENCES)),
    4: ((0.4, ANYWHERE), (0.6, SPATIAL)),
    5: ((0.4, ANYWHERE), (0.6, SPATIAL)),
    6: ((1.0, ANYWHERE),),
}
"""By rank, the batch counted."""
EVERY = sorted({name for tables in MOVES.values() for _, table in tables for name in table})

Given = tuple[Any, Any, np.ndarray]
"""An input, the tensor that grows from it, and its data."""


def _plain(*shape: int) -> Callable[[Grower, int], Given]:
    def make(g: Grower, seed: int) -> Given:
        lengths = tuple(length + g.whole(0, 2) for length in shape)
        tensor = keras.Input(lengths)
        return tensor, tensor, inputs_for(lengths, seed)

    return make


def _words(g: Grower, seed: int) -> Given:
    """Whole numbers; zeros at the end may be masked."""
    length = g.whole(4, 6)
    given = np.random.default_rng(seed).integers(1, WORDS, (4, length))
    given[1, -2:] = given[2, -1:] = 0
    tensor = keras.Input((length,))
    embedded = g.layer("Embedding", WORDS, g.width(), mask_zero=g.chance(0.6))(tensor)
    return tensor, embedded, given.astype(keras.config.floatx())


STARTS: dict[str, tuple[Callable[[Grower, int], Given], ...]] = {
    "vector": (_plain(6),),
    "sequence": (_plain(4, 3),),
    "words": (_words,),
    "image": (_plain(5, 5, 2),),
    "volume": (_plain(3, 3, 3, 2),),
    "image and vector": (_plain(4, 4, 2), _plain(5)),
    "two sequences": (_plain(4, 3), _plain(4, 3)),
    "words and image": (_words, _plain(4, 4, 2)),
}


@dataclass(frozen=True)
class Case:
    """What a random model grows from.

    Attributes:
        start: of ``STARTS``.
        steps: moves at the top level.
        seed: of everything else.
    """

    start: str
    steps: int
    seed: int


def cases() -> st.SearchStrategy[Case]:
    """All of them."""
    return st.builds(Case, st.sampled_from([*STARTS]), st.integers(3, 8), st.integers(0, 2**31 - 1))


@dataclass(frozen=True)
class Grown:
    """A model that grew.

    Attributes:
        model: with weights as Keras draws them; what ``woken`` does not draw is shaken.
        x: its inputs.
        moves: the moves that were made, in order.
    """

    model: Any
    x: Any
    moves: tuple[str, ...]


def grown(case: Case) -> Grown:
    """The model of a case."""
    keras.utils.clear_session(free_memory=False)
    rng = np.random.default_rng([case.seed, case.steps])
    g = Grower(rng, MOVES, [])
    given = [make(g, case.seed + place) for place, make in enumerate(STARTS[case.start])]
    g.inputs = [tensor for tensor, _, _ in given]
    g.pool = [tensor for _, tensor, _ in given]
    g.grow(case.steps)
    model = g.finished()
    for weight in model.weights:
        if weight.name in ("embeddings", "scale"):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape) * rng.choice([-1, 1], weight.shape))
    x = [data for _, _, data in given]
    return Grown(model, x[0] if len(x) == 1 else x, tuple(g.taken))
