"""An .onnx is read without trust, and has one canonical form."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeprune.artifacts import Port
from edgeprune.errors import ArtifactError
from edgeprune.formats.onnx import read_onnx
from edgeprune.formats.onnx_canonical import (
    canonical,
    sparsify,
    unknown_operators,
    without_erfc,
)

KERNEL = np.zeros((4, 30), np.float32)
KERNEL[1, 2] = KERNEL[3, 29] = 5


def model(names: dict[str, str] | None = None, swapped: bool = False) -> onnx.ModelProto:
    """relu(x @ k) and its double; ``names`` and ``swapped`` change nothing that it computes."""
    n = {key: key for key in ("h", "r", "k", "two")} | (names or {})
    nodes = [
        helper.make_node("MatMul", ["x", n["k"]], [n["h"]], name=n["h"], doc_string="d"),
        helper.make_node("Relu", [n["h"]], ["y"] if not swapped else [n["r"]]),
        helper.make_node("Identity", [n["r"]], ["y"])
        if swapped
        else helper.make_node("Identity", ["y"], [n["r"]]),
        helper.make_node("Mul", [n["r"], n["two"]], ["z"]),
        helper.make_node("Abs", [n["h"]], ["unused"]),
    ]
    constants = [
        numpy_helper.from_array(KERNEL, n["k"]),
        numpy_helper.from_array(np.float32(2).reshape(1), n["two"]),
    ]
    if swapped:
        constants.reverse()
    graph = helper.make_graph(
        nodes,
        f"g{random.random()}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 30]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 30]),
        ],
        constants,
        doc_string="made today",
    )
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("ai.onnx.ml", 3), helper.make_opsetid("", 18)],
        producer_version=str(random.random()),
    )


def named(tensor: onnx.TensorProto) -> str:
    return "k/kernel" if tensor.dims[0] == 4 else "constant_1"


def canon(source: onnx.ModelProto) -> onnx.ModelProto:
    return canonical(source, {"x": "pixels"}, {"y": "logits", "z": "twice"}, named)


def test_names_order_dates_and_sides_of_an_identity_do_not_show() -> None:
    one = canon(model()).SerializeToString(deterministic=True)
    other = canon(model({"h": "h__12", "k": "const_fold__7", "two": "a"}, swapped=True))
    assert one == other.SerializeToString(deterministic=True)
    assert b"today" not in one


def test_the_canonical_form_computes_the_same_and_passes_the_checker() -> None:
    source, new = model(), canon(model())
    onnx.checker.check_model(new, full_check=True)
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    before = ReferenceEvaluator(source).run(["y", "z"], {"x": x})
    after = ReferenceEvaluator(new).run(["logits", "twice"], {"pixels": x})
    np.testing.assert_array_equal(before, after)
    assert {node.op_type for node in new.graph.node} == {"MatMul", "Relu", "Mul"}


def test_a_body_that_reads_from_outside_keeps_its_meaning() -> None:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["cond"], ["go"]),
            helper.make_node("Add", ["state", "outer"], ["next"]),
            helper.make_node("Identity", ["next"], ["seen"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("cond", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [2]),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("seen", TensorProto.FLOAT, [2]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "x"], ["outer"]),
            helper.make_node("Loop", ["n", "yes", "x"], ["last", "all"], body=body),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("all", TensorProto.FLOAT, [3, 2])],
        [
            numpy_helper.from_array(np.int64(3).reshape(()), "n"),
            numpy_helper.from_array(np.bool_(True).reshape(()), "yes"),
        ],
    )
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    new = canonical(source, {"x": "x"}, {"all": "y"}, lambda tensor: f"constant_{tensor.name}")
    onnx.checker.check_model(new, full_check=True)
    x = np.asarray([1, 2], np.float32)
    before = ReferenceEvaluator(source).run(["all"], {"x": x})[0]
    np.testing.assert_array_equal(before, ReferenceEvaluator(new).run(["y"], {"x": x})[0])


def test_sparse_initialisers_stand_only_where_they_are_smaller_and_are_read_back() -> None:
    new = canon(model())
    dense = len(new.SerializeToString())
    sparsify(new)
    onnx.checker.check_model(new)
    data = new.SerializeToString()
    assert len(data) < dense
    found = read_onnx(data, "f.onnx")
    assert found.stored == {"k/kernel": "coo", "constant_1": "dense"}
    assert found.density == {"k/kernel": 2 / 120, "constant_1": 1.0}
    assert found.variant == "onnx-fp32"
    assert found.inputs == (Port("pixels", (-1, 4), "float32"),)
    assert [port.name for port in found.outputs] == ["logits", "twice"]


def test_erfc_becomes_what_onnx_has() -> None:
    source = model()
    source.graph.node[1].op_type = "Erfc"
    assert unknown_operators(source, [source.graph]) == ["Erfc"]
    without_erfc(source)
    assert unknown_operators(source, [source.graph]) == []
    x = np.full((1, 4), 0.1, np.float32)
    given_ = ReferenceEvaluator(source).run(["y"], {"x": x})[0]
    assert given_[0, 2] == pytest.approx(0.4795001, abs=1e-5)  # erfc(0.5)


def test_weights_in_other_files_are_refused() -> None:
    source = model()
    tensor = source.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(ArtifactError, match="another file"):
        read_onnx(source.SerializeToString(), "f.onnx")


@pytest.mark.parametrize("dims", [[4, 31], [2**40, 2**20], [-1, 30]])
def test_a_shape_that_its_bytes_do_not_fill_is_refused(dims: list[int]) -> None:
    source = model()
    source.graph.initializer[0].dims[:] = dims
    with pytest.raises(ArtifactError, match=r"should hold|shape"):
        read_onnx(source.SerializeToString(), "f.onnx")


@pytest.mark.parametrize("data", [b"", b"TFL3", b"\xff" * 50, b"PK\3\4" * 40])
def test_what_is_no_onnx_is_one_line_that_names_the_file(data: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^f\.onnx: not a sound \.onnx") as caught:
        read_onnx(data, "f.onnx")
    assert "\n" not in str(caught.value)


def _whole() -> bytes:
    new = canon(model())
    sparsify(new)
    return new.SerializeToString(deterministic=True)


WHOLE = _whole()


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))),
    st.integers(0, len(WHOLE)),
)
def test_flipped_bytes_and_truncations_give_facts_or_one_line(
    changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value
    try:
        found = read_onnx(bytes(data[:length]), "f.onnx")
    except ArtifactError as error:
        assert "\n" not in str(error)
    else:
        assert all(0 <= share <= 1 for share in found.density.values())
