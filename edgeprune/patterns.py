"""In which company the weights of a kernel go: singly, in blocks, or so many of every few.

A pattern has a name, which recipes, flags and plans use:

- ``"none"``: single weights.
- ``"1x4"`` and ``"1x16"``: four or sixteen neighbours along the input axis of a Dense kernel; the
  blocks that TensorFlow Lite's sparse kernels store (one output by four inputs; the int8 kernel
  takes sixteen).
- ``"2x1"``: two neighbours along the output axis of a 1×1 convolution, which XNNPACK's sparse
  kernel multiplies at once (two outputs by one input).
- ``"N:M"``, such as ``"2:4"``: at most N of every M neighbours along the input axis stay;
  ``"N:M:output"`` along the output axis (Mishra et al., "Accelerating Sparse Deep Neural Networks",
  2021, for 2:4).

No framework and no numpy: the command line reads this too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgeprune.errors import PlanError
from edgeprune.files import nearest

Axis = Literal["input", "output"]
BLOCKS: dict[str, int] = {"1x4": 4, "1x16": 16, "2x1": 2}
"""Weights of a block, by name of the pattern."""
NAMES = ("none", *BLOCKS)
REGEX = r"^(none|1x4|1x16|2x1|[1-9][0-9]*:[1-9][0-9]*(:(input|output))?)$"
"""What a name looks like."""
KNOWN = f"known: {', '.join(NAMES)}, and N:M such as 2:4"
_QUOTA = re.compile(r"([0-9]+):([0-9]+)(?::(.*))?")
_CHANNELS = {"convolution": (-2, -1), "transposed": (-1, -2)}
"""By kind of kernel, the axes of its inputs and of its outputs."""


@dataclass(frozen=True)
class Pattern:
    """A pattern.

    Attributes:
        name: canonical, see the module.
        size: weights of a block, or M; 1 for single weights.
        quota: N of an N:M; ``None`` for blocks and single weights.
        axis: along which axis of an N:M the neighbours lie.
    """

    name: str = "none"
    size: int = 1
    quota: int | None = None
    axis: Axis = "input"

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """From a name.

        Raises:
            PlanError: no such pattern.
        """
        if text in BLOCKS or text == "none":
            return cls(text, BLOCKS.get(text, 1))
        found = _QUOTA.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            near = nearest(str(text), NAMES)
            raise PlanError(
                f"no pattern {text!r}; " + (f"did you mean {near!r}?" if near else KNOWN)
            )
        keep, size, axis = int(found[1]), int(found[2]), found[3] or "input"
        if not 1 <= keep < size:
            raise PlanError(
                f"pattern {text!r}: N:M keeps N of every M, from 1 to below M; such as 2:4"
            )
        if axis == "input":
            return cls(f"{keep}:{size}", size, keep)
        if axis == "output":
            return cls(f"{keep}:{size}:output", size, keep, "output")
        raise PlanError(f"pattern {text!r}: its axis is 'input' or 'output', such as 2:4:output")

    @property
    def share(self) -> float | None:
        """What an N:M takes of a kernel that it fits; ``None`` where that is asked for apart."""
        return None if self.quota is None else 1 - self.quota / self.size

    def keeping(self, gone: float) -> Pattern:
        """On the way to this N:M: the one of its M and axis that takes the share ``gone``, or
        the least more."""
        assert self.quota is not None
        lost = min(self.size - self.quota, max(1, -int(-(gone * self.size - 1e-9) // 1)))
        end = ":output" if self.axis == "output" else ""
        return Pattern.parse(f"{self.size - lost}:{self.size}{end}")

    def along(self, kind: str | None, shape: Sequence[int]) -> int | None:
        """The axis of a kernel along which neighbours lie; ``None`` where the pattern is not for
        this kernel.

        N:M is for kernels that sum over one input axis: Dense of two axes, recurrent, convolutions
        (along their channels). Depthwise kernels and embeddings sum over none.

        Args:
            kind: of the kernel, as :attr:`edgeprune.scores.Scores.kinds` has it.
            shape: of the kernel.
        """
        rank = len(shape)
        if self.name in ("1x4", "1x16"):
            return 0 if kind == "dense" else None
        if self.name == "2x1":
            pointwise = kind == "convolution" and all(size == 1 for size in shape[:-2])
            return rank - 1 if pointwise else None
        if self.quota is None:
            return None
        if kind in _CHANNELS and rank > 2:
            return rank + _CHANNELS[kind][self.axis == "output"]
        if kind in ("dense", "recurrent") and rank == 2:
            return 0 if self.axis == "input" else 1
        return None
