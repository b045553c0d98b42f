"""LiteRT, inside the child: one loaded ``.tflite``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgeprune.runtimes.wire import Array


class Session:
    """A file, loaded; default delegates, which is what a device runs too."""

    def __init__(self, path: str, threads: int) -> None:
        self._interpreter = Interpreter(model_path=path, num_threads=threads)
        free = [
            (detail["index"], [1 if size < 0 else int(size) for size in detail["shape_signature"]])
            for detail in self._interpreter.get_input_details()
            if any(size < 0 for size in detail["shape_signature"])
        ]
        for index, shape in free:
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()

    def inputs(self) -> list[dict[str, Any]]:
        """Name, shape (-1: free) and dtype of every input, in the file's order."""
        return [self._about(detail) for detail in self._interpreter.get_input_details()]

    def outputs(self) -> list[dict[str, Any]]:
        """Likewise of every output."""
        return [self._about(detail) for detail in self._interpreter.get_output_details()]

    def set(self, values: Sequence[Array]) -> None:
        """Put one batch where the next :meth:`invoke` reads it."""
        details = self._interpreter.get_input_details()
        if any(tuple(d["shape"]) != v.shape for d, v in zip(details, values)):
            for detail, value in zip(details, values):
                self._interpreter.resize_tensor_input(detail["index"], list(value.shape))
            self._interpreter.allocate_tensors()
        for detail, value in zip(details, values):
            self._interpreter.set_tensor(detail["index"], value)

    def invoke(self) -> None:
        """One inference: this is what is timed."""
        self._interpreter.invoke()

    def get(self) -> list[Array]:
        """The outputs of the last :meth:`invoke`, copied."""
        details = self._interpreter.get_output_details()
        return [self._interpreter.get_tensor(detail["index"]) for detail in details]

    def many(self, values: Sequence[Array]) -> list[Array]:
        """A batch of one after another, for files that take a fixed batch; tensors are reached
        directly, since 10,000 small inferences would spend their time in the bindings."""
        self.set([value[: detail["shape"][0]] for value, detail in self._paired(values)])
        details = self._interpreter.get_input_details()
        step = int(details[0]["shape"][0])
        fill = [(self._interpreter.tensor(d["index"]), v) for v, d in self._paired(values)]
        read = [
            self._interpreter.tensor(d["index"]) for d in self._interpreter.get_output_details()
        ]
        self._interpreter.invoke()
        answers = [
            np.empty((len(values[0]), *tensor().shape[1:]), tensor().dtype) for tensor in read
        ]
        invoke = self._interpreter.invoke
        for start in range(0, len(values[0]), step):
            for place, value in fill:
                place()[...] = value[start : start + step]
            invoke()
            for answer, tensor in zip(answers, read):
                answer[start : start + step] = tensor()
        return answers

    def _paired(self, values: Sequence[Array]) -> list[tuple[Array, dict[str, Any]]]:
        return list(zip(values, self._interpreter.get_input_details()))

    @staticmethod
    def _about(detail: dict[str, Any]) -> dict[str, Any]:
        shape = detail["shape_signature"] if len(detail["shape_signature"]) else detail["shape"]
        about = {
            "name": detail["name"],
            "shape": [int(size) for size in shape],
            "dtype": np.dtype(detail["dtype"]).name,
        }
        scales, zeros = (
            detail["quantization_parameters"][key] for key in ("scales", "zero_points")
        )
        if about["dtype"] in ("int8", "uint8", "int16") and len(scales) == 1 and scales[0] > 0:
            about.update(scale=float(scales[0]), zero_point=int(zeros[0]))
        return about
