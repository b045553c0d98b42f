"""The values of weights as arrays that share their memory."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt


def array_of(variable: Any) -> npt.NDArray[Any]:
    """What a variable holds now, read-only and in its own dtype; later assignments do not show.

    On a CPU it shares the variable's memory until that is assigned anew, so that looking at a
    model costs no second copy of it.
    """
    read = getattr(variable.value, "read_value", None)
    try:
        value = np.asarray(memoryview(read())) if read is not None else None
    except (TypeError, ValueError, BufferError):
        value = None  # a dtype that buffers do not know (bfloat16), or another device
    if value is None:
        value = np.asarray(keras.ops.convert_to_numpy(variable))
        value = value.view()
    value.flags.writeable = False
    return value
