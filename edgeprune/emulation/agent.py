"""What runs inside the emulated ARM: one file, in its engine, on inputs that it is given.

Self-contained: of the packages there only numpy and the engine are imported. What it answers goes
to files, since engines print.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

import numpy as np

MARK = 900_000
"""Closing a file of such a number does nothing, and whoever counts the instructions sees it."""


def main(request: str) -> None:
    """Load, warm up, run between two marks; ``request`` is a JSON file that says what and where."""
    with open(request, encoding="utf-8") as file:  # noqa: PTH123
        asked: dict[str, Any] = json.load(file)
    with np.load(asked["inputs"]) as held:
        values = [held[f"arr_{number}"] for number in range(len(held.files))]
    invoke, get = {"litert": litert, "onnxruntime": onnxruntime}[asked["engine"]](asked, values)
    for _ in range(asked["warmup"]):
        invoke()
    mark(0)
    for _ in range(asked["runs"]):
        invoke()
    mark(1)
    np.savez(asked["outputs"], *get())
    with open("/proc/self/maps", encoding="utf-8") as maps:  # noqa: PTH123
        text = maps.read()
    with open(asked["maps"], "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(text)


def mark(number: int) -> None:
    """One of the two ends of what is counted."""
    with contextlib.suppress(OSError):
        os.close(MARK + number)


def litert(asked: dict[str, Any], values: list[Any]) -> tuple[Any, Any]:
    """LiteRT, with the delegates it takes by itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=asked["path"], num_threads=asked["threads"])
    ports = interpreter.get_input_details()
    for port, value in zip(ports, values):  # noqa: B905
        if tuple(port["shape"]) != value.shape:
            interpreter.resize_tensor_input(port["index"], value.shape)
    interpreter.allocate_tensors()
    for port, value in zip(ports, values):  # noqa: B905
        interpreter.set_tensor(port["index"], value)
    outputs = [port["index"] for port in interpreter.get_output_details()]
    return interpreter.invoke, lambda: [interpreter.get_tensor(index) for index in outputs]


def onnxruntime(asked: dict[str, Any], values: list[Any]) -> tuple[Any, Any]:
    """ONNX Runtime on the CPU."""
    import onnxruntime as engine

    options = engine.SessionOptions()
    options.intra_op_num_threads = asked["threads"]
    options.inter_op_num_threads = 1
    session = engine.InferenceSession(asked["path"], options, providers=["CPUExecutionProvider"])
    feeds = {port.name: value for port, value in zip(session.get_inputs(), values)}  # noqa: B905
    return lambda: session.run(None, feeds), lambda: session.run(None, feeds)


if __name__ == "__main__":
    main(sys.argv[1])
