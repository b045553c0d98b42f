"""One model on its way into files of several variants: traced once, converted from that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from edgeprune.errors import InputError
from edgeprune.exporting.signatures import Signature, signature
from edgeprune.variants import variant_of


class Forms:
    """The bytes of one model's files.

    Args:
        model: a Functional or Sequential Keras model; it is not changed.
        batch: examples per inference; ``None`` leaves it free.
    """

    def __init__(self, model: Any, *, batch: int | None = 1) -> None:
        self.model = model
        self.batch = batch
        self._tflite: Any = None

    @property
    def signature(self) -> Signature:
        """Inputs and outputs of the files.

        Raises:
            ExportError: the model has no inputs of known shape.
        """
        return signature(self.model, self.batch)

    def file(
        self,
        variant: str,
        calibration: Sequence[npt.NDArray[Any]] | None = None,
        *,
        sparse: bool = False,
    ) -> bytes:
        """A file; the same model and calibration give the same bytes, in any process.

        Args:
            variant: a name of :data:`edgeprune.variants.VARIANTS`.
            calibration: one array an input, in the model's order; for whole numbers alone.
            sparse: of ONNX: a ``sparse_initializer`` wherever that is smaller.

        Raises:
            InputError: no such variant, or it needs calibration data and got none.
            ExportError: the model cannot become that.
        """
        form = variant_of(variant)
        if form.calibrated and (calibration is None or not len(calibration[0])):
            raise InputError(
                f"variant {variant} fixes the ranges of its whole numbers by examples, and has "
                "none; give calibration data"
            )
        if form.suffix == ".onnx":
            from edgeprune.exporting.to_onnx import onnx_bytes

            return onnx_bytes(self.model, sparse=sparse, batch=self.batch)
        return self.tflite.file(form, calibration)

    def twin(self, variant: str) -> bytes | None:
        """Of a sparse TFLite that was made, the same conversion with every zero stored."""
        form = variant_of(variant)
        return self.tflite.twin(form) if form.sparse else None

    def fewer(self, variant: str) -> bytes | None:
        """Of a sparse TFLite that was made, the same with the kernels of Dense layers stored dense;
        ``None`` where none of them is sparse, or nothing else."""
        form = variant_of(variant)
        return self.tflite.fewer(form) if form.sparse else None

    @property
    def tflite(self) -> Any:
        """The door to TFLite, opened once."""
        if self._tflite is None:
            from edgeprune.exporting.to_tflite import TfliteForms

            self._tflite = TfliteForms(self.model, self.batch)
        return self._tflite
