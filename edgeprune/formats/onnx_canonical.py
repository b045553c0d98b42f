"""ONNX whose bytes are a function of what it computes: order, names and encodings made canonical.

A graph's order and names are decided by walking from its outputs to its inputs, so that neither
the order nor the names that a converter happened to choose come through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

Namer = Callable[[onnx.TensorProto], str]
"""From an initialiser, as the converter left it, to its name; each name is given once."""

BYTES_PER_NONZERO = 12
"""Of a sparse initialiser: a linear int64 index and a float32 value."""


def canonical(
    model: onnx.ModelProto, inputs: Mapping[str, str], outputs: Mapping[str, str], name: Namer
) -> onnx.ModelProto:
    """A new model that computes the same, in canonical form.

    Args:
        model: with a sound graph; left as it is.
        inputs: from the graph's names to the new ones, in the order wanted.
        outputs: likewise; every output of the graph.
        name: of each initialiser.
    """
    walk = _Walk(name)
    graph = walk.graph(model.graph, "model", dict(inputs), dict(outputs))
    used = {node.domain for node in walk.nodes}
    opsets = sorted(
        (entry for entry in model.opset_import if entry.domain in used | {""}),
        key=lambda entry: entry.domain,
    )
    new = helper.make_model(graph, producer_name="edgeprune", opset_imports=opsets)
    new.ir_version = helper.find_min_ir_version_for(opsets, ignore_unknown=True)
    return new


@dataclass
class _Walk:
    """Names given so far, over a graph and the graphs inside it."""

    name: Namer
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def graph(
        self,
        old: onnx.GraphProto,
        title: str,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        outer: Mapping[str, str] | None = None,
    ) -> onnx.GraphProto:
        """``old`` in order; ``outer`` names what it may use of the graphs around it."""
        names = {**(outer or {}), **inputs}
        order = ordered(old)
        constants = {tensor.name: tensor for tensor in old.initializer}
        same = _aliases(order)
        made = {name for node in order for name in node.output} - set(same)
        relays = []
        for before, after in outputs.items():
            root = same.get(before, before)
            if root in made and root not in names:
                names[root] = after
            else:
                relays.append((root, after))
        new = onnx.GraphProto(name=title)
        for node in order:
            for used in uses(node):
                if used in constants and used not in names:
                    names[used] = self._keep(new, constants[used])
            if node.output[0] in same:
                names[node.output[0]] = names.get(node.input[0], node.input[0])
            else:
                new.node.append(self._node(node, names))
        for root, after in relays:
            if root in constants and root not in names:
                names[root] = self._keep(new, constants[root])
            new.node.append(helper.make_node("Identity", [names[root]], [after]))
        ports = {value.name: value for value in (*old.input, *old.output)}
        new.input.extend(_renamed(ports[before], after) for before, after in inputs.items())
        new.output.extend(_renamed(ports[before], after) for before, after in outputs.items())
        return new

    def _keep(self, graph: onnx.GraphProto, tensor: onnx.TensorProto) -> str:
        kept = numpy_helper.from_array(numpy_helper.to_array(tensor), self.name(tensor))
        graph.initializer.append(kept)
        return kept.name

    def _node(self, old: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
        title = self._count(old.op_type)
        new = onnx.NodeProto(op_type=old.op_type, domain=old.domain, name=title)
        new.input.extend(names.get(used, used) for used in old.input)
        for position, made in enumerate(old.output):
            if made and made not in names:
                names[made] = title if position == 0 else f"{title}_{position}"
            new.output.append(names.get(made, ""))
        for attribute in sorted(old.attribute, key=lambda entry: entry.name):
            new.attribute.append(self._attribute(attribute, title, names))
        self.nodes.append(new)
        return new

    def _attribute(
        self, old: onnx.AttributeProto, title: str, names: Mapping[str, str]
    ) -> onnx.AttributeProto:
        new = onnx.AttributeProto()
        new.CopyFrom(old)
        new.ClearField("doc_string")
        if old.type == onnx.AttributeProto.GRAPH:
            inner = f"{title}_{old.name}"
            inputs = {value.name: f"{inner}_in{i}" for i, value in enumerate(old.g.input)}
            outputs = {value.name: f"{inner}_out{i}" for i, value in enumerate(old.g.output)}
            new.g.CopyFrom(self.graph(old.g, inner, inputs, outputs, names))
        elif old.type == onnx.AttributeProto.TENSOR:
            new.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(old.t)))
        return new

    def _count(self, kind: str) -> str:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}_{self.counts[kind]}"


def ordered(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that the outputs need, each after what it uses, found from the outputs back."""
    makers = {made: index for index, node in enumerate(graph.node) for made in node.output if made}
    order: list[onnx.NodeProto] = []
    done: set[int] = set()
    waiting = [(makers[v.name], False) for v in reversed(graph.output) if v.name in makers]
    while waiting:
        index, ready = waiting.pop()
        if index in done:
            continue
        node = graph.node[index]
        if ready:
            done.add(index)
            order.append(node)
            continue
        waiting.append((index, True))
        needed = (makers[used] for used in reversed(uses(node)) if used in makers)
        waiting.extend((other, False) for other in needed if other not in done)
    return order


def _aliases(order: Sequence[onnx.NodeProto]) -> dict[str, str]:
    """What each Identity makes, with what it is in truth: which of two equal outputs an optimiser
    leaves behind an Identity is chance."""
    same: dict[str, str] = {}
    for node in order:
        if node.op_type == "Identity" and not node.domain:
            same[node.output[0]] = same.get(node.input[0], node.input[0])
    return same


def uses(node: onnx.NodeProto) -> list[str]:
    """What a node reads: its inputs, then what graphs inside it take from outside."""
    found = [name for name in node.input if name]
    for attribute in sorted(node.attribute, key=lambda entry: entry.name):
        if attribute.type == onnx.AttributeProto.GRAPH:
            graph = attribute.g
            inside = {value.name for value in (*graph.input, *graph.initializer)}
            inside |= {made for inner in graph.node for made in inner.output}
            wanted = [name for inner in ordered(graph) for name in uses(inner)]
            wanted += [value.name for value in graph.output]
            found += [name for name in dict.fromkeys(wanted) if name not in inside]
    return found


def without_erfc(model: onnx.ModelProto) -> None:
    """Write ``Erfc(x)``, which ONNX has not, as ``1 - Erf(x)``; changes ``model``."""
    graph = model.graph
    places = [index for index, node in enumerate(graph.node) if node.op_type == "Erfc"]
    for index in reversed(places):
        node = graph.node[index]
        one, erf = f"{node.output[0]}/one", f"{node.output[0]}/erf"
        graph.initializer.append(numpy_helper.from_array(np.float32(1).reshape(()), one))
        new = [
            helper.make_node("Erf", [node.input[0]], [erf]),
            helper.make_node("Sub", [one, erf], [node.output[0]]),
        ]
        del graph.node[index]
        for shift, each in enumerate(new):
            graph.node.insert(index + shift, each)


def sparsify(model: onnx.ModelProto) -> None:
    """Store float32 initialisers of the main graph sparse where that is smaller; changes ``model``.

    Linear int64 indices, the only ones that onnx.checker and ONNX Runtime both take.
    """
    graph = model.graph
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim < 1:
            continue
        places = np.flatnonzero(values)
        sparse = onnx.SparseTensorProto(dims=values.shape)
        sparse.values.CopyFrom(numpy_helper.from_array(values.ravel()[places], tensor.name))
        sparse.indices.CopyFrom(numpy_helper.from_array(places.astype(np.int64)))
        if places.size and sparse.ByteSize() < tensor.ByteSize():
            graph.initializer.remove(tensor)
            graph.sparse_initializer.append(sparse)


def unknown_operators(model: onnx.ModelProto, graphs: Sequence[onnx.GraphProto]) -> list[str]:
    """Operators of the default domain that no ONNX of this opset has, sorted."""
    version = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    found = set()
    for graph in graphs:
        for node in graph.node:
            if node.domain not in ("", "ai.onnx"):
                found.add(f"{node.domain}.{node.op_type}")
            elif not onnx.defs.has(node.op_type, version, ""):
                found.add(node.op_type)
    return sorted(found)


def _renamed(old: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    new = onnx.ValueInfoProto(name=name)
    new.type.CopyFrom(old.type)
    return new
