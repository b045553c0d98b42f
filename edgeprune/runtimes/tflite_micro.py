"""The arena of a file in TensorFlow Lite Micro, as its own interpreter prints it.

``print_allocations`` writes to the standard error stream and returns nothing, so the interpreter
runs in a child (this module as a program) and its words are parsed. The interpreter is built for
this host: its structures hold 64-bit pointers and its kernels are the reference ones. On a 32-bit
core the structures are smaller; kernels made for the core may ask for scratch memory of their own.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from edgeprune.errors import MeasurementError
from edgeprune.runtimes.micro import TFLITE_MICRO, told

_ROOM_BYTES = 256 * 2**20
"""The arena that the child offers: address space, of which only what is used is touched."""
_LINE = re.compile(r"Arena allocation (total|head|tail) (\d+) bytes")


@dataclass(frozen=True)
class Arena:
    """What the interpreter took of its arena, bytes.

    Attributes:
        total: all of it.
        head: activations and scratch, which come and go.
        tail: what stays: structures, and the variables of kernels.
    """

    total: int
    head: int
    tail: int


def arena_of(path: Path, inputs: int = 1) -> Arena:
    """The arena that a full-int8 file takes, after one inference of zeros.

    Args:
        path: of the file.
        inputs: how many it has.

    Raises:
        ArtifactError: the interpreter refuses the file.
        MeasurementError: it did not print what is parsed here.
        VersionError: TensorFlow Lite Micro is not installed.
    """
    version = TFLITE_MICRO.version
    arguments = [str(path.resolve()), str(inputs)]
    text = told(TFLITE_MICRO, "edgeprune.runtimes.tflite_micro", arguments, path, "running it")
    return parsed(text, f"{path}: TensorFlow Lite Micro {version}")


def parsed(text: str, who: str) -> Arena:
    """The arena out of what ``print_allocations`` wrote.

    Args:
        text: all that was written.
        who: begins the message of a failure.

    Raises:
        MeasurementError: a line is missing, or the parts do not make the whole.
    """
    found = {name: int(size) for name, size in _LINE.findall(text)}
    missing = [name for name in ("total", "head", "tail") if name not in found]
    if missing:
        raise MeasurementError(
            f"{who} printed no 'Arena allocation {missing[0]} … bytes'; "
            "this version prints something else: install another"
        )
    arena = Arena(found["total"], found["head"], found["tail"])
    if arena.total != arena.head + arena.tail:
        raise MeasurementError(
            f"{who} printed an arena of {arena.total} bytes with parts of {arena.head} and "
            f"{arena.tail}; this version counts in another way: install another"
        )
    return arena


def main(path: str, inputs: int) -> None:
    """The child: one inference, then the interpreter prints its allocations."""
    import numpy as np
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(Path(path).read_bytes(), arena_size=_ROOM_BYTES)
    for number in range(inputs):
        about = interpreter.get_input_details(number)
        interpreter.set_input(np.zeros(about["shape"], about["dtype"]), number)
    interpreter.invoke()
    interpreter.print_allocations()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
