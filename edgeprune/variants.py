"""The forms that a model is exported in: names, what each needs, and how far it may be off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from edgeprune.errors import InputError
from edgeprune.files import nearest

VariantName = Literal[
    "fp32", "fp32-sparse", "fp16", "fp16-sparse", "dynamic", "dynamic-sparse",
    "int8", "int8-sparse", "int8-float-io", "int8-float-io-sparse",
    "int16x8", "int16x8-sparse", "onnx-fp32",
]  # fmt: skip
"""For recipes and profiles; :data:`VARIANTS` has the same names."""
NAMES: tuple[VariantName, ...] = get_args(VariantName)


@dataclass(frozen=True)
class Variant:
    """A form of a file.

    Attributes:
        name: in recipes, file names and pages.
        suffix: of its file.
        precision: of weights and activations: ``"fp32"``, ``"fp16"`` (weights; computed in fp32),
            ``"dynamic"`` (int8 weights, activations quantised as they come), ``"int8"``,
            ``"int8-float-io"`` (int8 inside, floats at the ends), ``"int16x8"`` (int16 activations,
            int8 weights, floats at the ends).
        sparse: mostly-zero weights are stored without their zeros.
        tolerance: how far a file may be from its model; of :attr:`measure`.
        measure: ``"relative"``: the largest difference, of the largest value of that output;
            ``"rms"``: the root mean square of the difference, of the same; rounding to whole
            numbers now and then turns one answer over, where another rounding would not.
    """

    name: str
    suffix: str
    precision: str
    sparse: bool
    tolerance: float
    measure: Literal["relative", "rms"]

    @property
    def calibrated(self) -> bool:
        """Whether ranges of activations are fixed in the file, by calibration data."""
        return self.precision in _INTEGER

    @property
    def dense(self) -> str:
        """The same with every zero stored."""
        return self.name.removesuffix("-sparse")

    @property
    def others(self) -> tuple[str, ...]:
        """What to try where this does not work, the nearest first."""
        if self.suffix != ".tflite":
            return ()
        if self.sparse:
            floats = ("fp16-sparse", "fp32-sparse")
            rest = floats[floats.index(self.name) + 1 :] if self.name in floats else floats
            return (self.dense, *rest, "fp32")
        return _CHAIN[_CHAIN.index(self.name) + 1 :]


_INTEGER = ("int8", "int8-float-io", "int16x8")
_CHAIN = ("int8", "int8-float-io", "int16x8", "dynamic", "fp16", "fp32")
_ALLOWED: Mapping[str, tuple[float, Literal["relative", "rms"]]] = {
    "fp32": (1e-4, "relative"),
    "fp16": (1e-2, "relative"),
    "dynamic": (0.03, "rms"),
    "int8": (0.05, "rms"),
    "int8-float-io": (0.05, "rms"),
    "int16x8": (0.03, "rms"),
}


def _of_tflite() -> dict[str, Variant]:
    found = {}
    for precision, allowed in _ALLOWED.items():
        for name, sparse in ((precision, False), (f"{precision}-sparse", True)):
            found[name] = Variant(name, ".tflite", precision, sparse, *allowed)
    return found


VARIANTS: Mapping[str, Variant] = MappingProxyType(
    {**_of_tflite(), "onnx-fp32": Variant("onnx-fp32", ".onnx", "fp32", False, *_ALLOWED["fp32"])}
)


def variant_of(name: str) -> Variant:
    """The variant of that name.

    Raises:
        InputError: there is none; with the nearest.
    """
    if name not in VARIANTS:
        near = nearest(name, VARIANTS)
        hint = f"did you mean {near!r}?" if near else "known: " + ", ".join(VARIANTS)
        raise InputError(f"no variant {name!r}; {hint}")
    return VARIANTS[name]
