"""MultiHeadAttention and GroupQueryAttention: whole heads, and the width of keys and values.

Queries, keys and values are projected by kernels (input, head, width) and biases (head, width),
the result by a kernel (head, width, output…); Vaswani et al., https://arxiv.org/abs/1706.03762.
A channel of a head's width is one channel over all heads, since their widths stay alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeprune.models.calls import Call, attended
from edgeprune.surgery.flows import (
    After,
    Book,
    Demand,
    Flow,
    Ids,
    Part,
    Sent,
    Values,
    held,
    joined_axis,
    lane_of,
    product,
)
from edgeprune.surgery.rules.activations import applied
from edgeprune.surgery.rules.attending import beside_scores, masked, passed
from edgeprune.surgery.rules.base import Rule, Weights, weighed
from edgeprune.surgery.rules.einsum import contracted, misplaced, nowhere

_SCORES = "attention scores read it, and no exact zero arrives"


@dataclass(frozen=True)
class Lanes:
    """The channels inside one call.

    Attributes:
        queries: heads of the queries, and of the result.
        keys: heads of keys and values.
        key: the width of queries and keys.
        value: the width of values.
        made: the axes of the output that the last kernel makes.
    """

    queries: Ids
    keys: Ids
    key: Ids
    value: Ids
    made: tuple[tuple[Ids, ...], ...]


class MultiHeadAttentionRule(Rule):
    """Heads are one group, key width and value width one each, and what comes out another.

    A channel of the key width is read by the product of queries and keys alone: it is silent where
    either is zero, or where the key is the same at every position, which moves all scores of a
    query alike and is lost in the softmax. The scores are divided by the root of the key width,
    which the queries make up for.
    """

    many = True

    def refusal(self, call: Call) -> str | None:
        if len(call.outputs) > 1 and len(call.in_shapes[0]) > 2:
            return "it returns scores whose shape Keras takes for another"
        mask = call.settings.get("attention_mask")
        if mask is not None and np.ndim(mask) > 3 and np.shape(mask)[1] > 1:
            return "its mask is another for each head"
        return super().refusal(call)

    def takes(self) -> frozenset[str]:
        return frozenset({"use_causal_mask", "return_attention_scores", "attention_mask"})

    def send(self, call: Call, inputs: Sequence[Flow], book: Book) -> Sent:
        query, key, value = attended(call)
        lanes = self._lanes(call, inputs, book)
        before = passed(call, inputs, book)
        parts: list[Part] = []
        for name, source, heads, width in (
            ("query", query, lanes.queries, lanes.key),
            ("key", key, lanes.keys, lanes.key),
            ("value", value, lanes.keys, lanes.value),
            ("gate", query, lanes.queries, lanes.value),
        ):
            if getattr(call.layer, f"_{name}_dense", None) is not None:
                read = inputs[source][-1]
                parts += _projection(call, name, (source, -1), read, (heads, width))
        parts.append(Part("output_dense/kernel", 0, lanes.queries, "reads"))
        parts.append(Part("output_dense/kernel", 1, lanes.value, "reads"))
        for axis, made in enumerate(lanes.made):
            parts += weighed("output_dense/kernel", 2 + axis, made, "makes")
            if call.layer._output_dense.bias is not None:
                parts += weighed("output_dense/bias", axis, made, "makes")
        given = tuple(tuple(ids for ids in made if ids.size > 1) for made in lanes.made)
        demand = Demand(lanes.key, ((query, -1), (key, -1)), _SCORES)
        # The scores of each head, of queries by keys.
        scores: list[Flow] = [((lanes.queries,), (), ())] * (len(call.outputs) - 1)
        for positions in (
            (before, *(inputs[place][:-1] for place in (key, value))) if scores else ()
        ):
            held(positions, f"{call.layer.name} says how it attends over them", book)
        return Sent(((*before, *given), *scores), tuple(parts), (demand,))

    def _lanes(self, call: Call, inputs: Sequence[Flow], book: Book) -> Lanes:
        layer = call.layer
        kernel = layer._output_dense.kernel
        made = tuple((book.fresh(length),) for length in kernel.shape[2:])
        heads = book.fresh(layer._num_heads)
        return Lanes(heads, heads, book.fresh(layer._key_dim), book.fresh(layer._value_dim), made)

    def arrived(
        self, call: Call, weights: Weights, values: Sequence[Values], demand: Demand
    ) -> Sequence[Values]:
        query, key, _ = attended(call)
        asked = lane_of(_projected(weights, "query", values[query]), 1, demand.ids.size)
        found = lane_of(_projected(weights, "key", values[key]), 1, demand.ids.size)
        return [asked, np.where(np.isnan(found), found, 0.0)]

    def met(self, call: Call, weights: Weights, values: Sequence[Values], part: Part) -> Values:
        if part.weight != "output_dense/kernel":
            return super().met(call, weights, values, part)
        return lane_of(self._context(call, weights, values), part.axis, part.ids.size)

    def _context(self, call: Call, weights: Weights, values: Sequence[Values]) -> Values:
        """Constants (head, width) of what the last kernel reads: the mean of a constant is itself,
        but a query that may look nowhere gets zero."""
        query, _, value = attended(call)
        mixed = _projected(weights, "value", values[value])
        mixed = np.repeat(mixed, weights["output_dense/kernel"].shape[0] // mixed.shape[0], 0)
        if masked(call):
            mixed = np.where(mixed == 0, mixed, np.nan)
        if "gate_dense/kernel" in weights:
            gate = _projected(weights, "gate", values[query])
            mixed = product(mixed, applied(call.layer._gate_dense.activation, gate))
        return mixed

    def constant(
        self, call: Call, weights: Weights, values: Sequence[Values]
    ) -> Values | tuple[Values, ...]:
        kernel = weights["output_dense/kernel"]
        context = self._context(call, weights, values)
        last = "cdefg"[: kernel.ndim - 2]
        made = contracted(f"ab,ab{last}->{last}", context, kernel)
        made = made + weights.get("output_dense/bias", 0.0)
        made = made.reshape((1,) * (len(call.out_shapes[0]) - made.ndim) + made.shape)
        return beside_scores(call, made)

    def folds(self, call: Call, part: Part) -> str | None:
        return None if call.layer._output_dense.bias is not None else "its projections have no bias"

    def bias(self, call: Call, part: Part) -> str:
        return part.weight.replace("kernel", "bias")

    def rescaled(self, call: Call, after: After) -> Mapping[str, float]:
        old, new = call.layer._query_dense.kernel.shape[2], after.weights["query_dense/kernel"][2]
        factor = _scale(old) / _scale(new)
        names = ("query_dense/kernel", "query_dense/bias")
        return {name: factor for name in names if name in after.weights and new != old}

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        _, heads, key = after.weights["query_dense/kernel"]
        made = after.weights["output_dense/kernel"][2:]
        # Keras takes the query's width where none is named.
        named = config["output_shape"] is not None or made != after.inputs[attended(call)[0]][-1:]
        return {
            **config,
            "num_heads": heads,
            "key_dim": key,
            "value_dim": after.weights["value_dense/kernel"][2],
            "output_shape": made if named else None,
        }


class GroupQueryAttentionRule(MultiHeadAttentionRule):
    """Some heads of the queries share one of keys and values: they leave with it, and where all
    share a single one, by themselves. Keys and values have one width, and so have the query, the
    value and what comes out; Ainslie et al., https://arxiv.org/abs/2305.13245.
    """

    def _lanes(self, call: Call, inputs: Sequence[Flow], book: Book) -> Lanes:
        layer = call.layer
        query, _, value = attended(call)
        made = joined_axis(
            [inputs[place][-1] for place in (query, value)],
            [call.in_shapes[place][-1] for place in (query, value)],
            book,
        )
        if layer.num_key_value_heads == 1:
            queries, keys = book.fresh(layer.num_query_heads), nowhere(1)[0]
        else:
            keys = book.fresh(layer.num_key_value_heads)
            queries = np.repeat(keys, layer.num_repeats)
        width = book.fresh(layer.head_dim)
        return Lanes(queries, keys, width, width, (made or nowhere(call.in_shapes[query][-1]),))

    def resized(self, call: Call, config: Mapping[str, Any], after: After) -> Mapping[str, Any]:
        _, heads, width = after.weights["query_dense/kernel"]
        shared = after.weights["key_dense/kernel"][1]
        return {
            **config,
            "num_query_heads": heads,
            "num_key_value_heads": shared,
            "head_dim": width,
        }


def _scale(width: int) -> float:
    """What Keras multiplies the scores by: TensorFlow's cast makes a float32 of a Python number
    first, whatever the policy."""
    return float(np.float32(1.0 / math.sqrt(width)))


def _projection(
    call: Call, name: str, source: tuple[int, int], read: Sequence[Ids], made: Sequence[Ids]
) -> list[Part]:
    """The parts of a kernel (input, head, width) and its bias."""
    parts = weighed(f"{name}_dense/kernel", 0, read, "reads", source=source)
    for axis, ids in enumerate(made):
        parts.append(Part(f"{name}_dense/kernel", 1 + axis, ids, "makes"))
        if getattr(call.layer, f"_{name}_dense").bias is not None:
            first = call.in_shapes[source[0]][0]
            least = 2 if axis and misplaced((made[0].size, 1), first) else 1
            parts.append(Part(f"{name}_dense/bias", axis, ids, "makes", least=least))
    return parts


def _projected(weights: Weights, name: str, values: Values) -> Values:
    """Constants (head, width) behind a projection."""
    kernel = weights[f"{name}_dense/kernel"]
    value = lane_of(values, -1, kernel.shape[0])
    return contracted("a,abc->bc", value, kernel) + weights.get(f"{name}_dense/bias", 0.0)
