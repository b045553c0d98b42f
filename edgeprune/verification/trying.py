"""No file leaves that was not run: the converter writes some that engines refuse, or crash on, or
load and answer wrongly, without a word."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Artifact
from edgeprune.errors import ArtifactError, ExportError, InputError, VerificationError
from edgeprune.exporting import Forms, check_variant, read_artifact
from edgeprune.exporting.signatures import Signature
from edgeprune.files import write_bytes
from edgeprune.runtimes import engine_of, run_file
from edgeprune.variants import Variant, variant_of
from edgeprune.verification.files import differing
from edgeprune.verification.samples import answers, fitting

Array = npt.NDArray[Any]
GARBAGE = 0.25
"""Root mean square of the difference from the model, of the largest output: what no variant's
rounding comes near. Whether a file is good enough is asked by :func:`verify_file`."""
SAME = 1e-3
"""Of the largest output: a sparse file of floats against the same numbers stored dense."""
STEPS = 0.01
"""Likewise of whole numbers, root mean square: two right kernels round differently by a step. What
the dense file is off its model is allowed too."""
_TRIED = 8
"""Examples that a file is run on."""


def export_tried(
    forms: Forms | Any,
    path: Path | str,
    variant: str,
    *,
    calibration: Any = None,
    batch: int | None = 1,
    sparse: bool = False,
) -> Artifact:
    """Convert a model, run the file in a child process beside the model, and write it if it works.

    A sparse file is run beside the same conversion with every zero stored, too.

    Args:
        forms: a model; or what its other variants were converted by, so that it is traced once.
        path: where to.
        variant: a name of :data:`edgeprune.variants.VARIANTS`.
        calibration: inputs as :func:`verify_file` takes them, for the ranges of whole numbers; the
            file is tried on them, and on random numbers where there are none.
        batch: examples per inference, where ``forms`` is a model.
        sparse: of ONNX, as :func:`edgeprune.exporting.export_model` has it.

    Raises:
        InputError: no such variant, another suffix than its own, or no calibration data.
        DataError: calibration data that do not fit the model.
        ExportError: it cannot become that, or the engine refuses the file, dies of it, or computes
            something else; with the reason and the nearest variant that works.
        OutputError: it cannot be written.
    """
    form, path = variant_of(variant), Path(path)
    check_variant(variant, path)
    if not isinstance(forms, Forms):
        forms = Forms(forms, batch=batch)
    if form.calibrated and calibration is None:
        raise InputError(
            f"{path}: {variant} fixes the ranges of its whole numbers by examples, and none are "
            f"given; give calibration data, or take {form.others[-3]}, which needs none"
        )
    trial = _Trial(forms, calibration)
    try:
        data = trial.made(form, sparse=sparse)
    except ExportError as error:
        works = trial.nearest(form)
        hint = f"; {works} works" if works else ""
        raise ExportError(f"{path}: {error}{hint}") from error
    write_bytes(path, data)
    return read_artifact(path)


class _Trial:
    """Converts and runs, the inputs and what the model makes of them computed once."""

    def __init__(self, forms: Forms, calibration: Any) -> None:
        self._forms = forms
        self._wanted = forms.signature
        self._calibration = None if calibration is None else fitting(calibration, self._wanted)
        given = self._calibration or _anything(self._wanted)
        self._inputs = [array[:_TRIED] for array in given]
        self._truth: list[Array] | None = None

    def made(self, form: Variant, *, sparse: bool = False) -> bytes:
        """The bytes of a file that works.

        Raises:
            ExportError: it does not.
        """
        data = self._forms.file(form.name, self._calibration, sparse=sparse)
        try:
            self._try(form, data)
        except ExportError:
            # Where the engine has no sparse kernel for Dense layers, convolutions may stay sparse.
            fewer = self._forms.fewer(form.name)
            if fewer is None:
                raise
            self._try(form, fewer)
            return fewer
        return data

    def _try(self, form: Variant, data: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{form.name}{form.suffix}"
            path.write_bytes(data)
            found = self._answers(path, form)
            self._compare(path, form, found, self._expected, GARBAGE)
            twin = self._forms.twin(form.name)
            if twin is not None and twin != data:
                beside = path.with_name(f"{form.dense}{form.suffix}")
                beside.write_bytes(twin)
                dense = self._answers(beside, form)
                allowed = SAME
                if form.calibrated:
                    allowed = max(STEPS, self._compare(path, form, dense, self._expected, GARBAGE))
                self._compare(path, form, found, dense, allowed, "the same file stored dense")

    def nearest(self, form: Variant) -> str | None:
        """The nearest variant that works, of those that can be tried."""
        for name in form.others:
            other = variant_of(name)
            if other.calibrated and self._calibration is None:
                continue
            try:
                self.made(other)
            except ExportError:
                continue
            return name
        return None

    @property
    def _expected(self) -> list[Array]:
        if self._truth is None:
            self._truth = answers(self._wanted.model, self._inputs)
        return self._truth

    def _answers(self, path: Path, form: Variant) -> list[Array]:
        try:
            return run_file(path, self._inputs)
        except ArtifactError as error:
            said = str(error).removeprefix(f"{path}: ").split("; export it again")[0]
            raise ExportError(f"as {form.name} the file does not run: {said}") from error

    def _compare(
        self,
        path: Path,
        form: Variant,
        found: Sequence[Array],
        wanted: Sequence[Array],
        allowed: float,
        beside: str = "its model",
    ) -> float:
        """How far ``found`` is from ``wanted``, root mean square, of the largest output.

        Raises:
            ExportError: further than ``allowed``.
        """
        if not all(np.isfinite(truth).all() for truth in wanted):
            return 0.0  # Examples that nobody chose may be none of the model's.
        engine = engine_of(path)
        said = (
            f"as {form.name} the file loads in {engine.title} {engine.version} and computes "
            f"something else than {beside}"
        )
        try:
            differences = differing(path, self._wanted.outputs, found, wanted)
        except VerificationError as error:
            reason = str(error).removeprefix(f"{path}: ").split("; the file is broken")[0]
            raise ExportError(f"{said}: {reason}") from error
        for one in differences:
            if (one.relative if allowed == SAME else one.relative_rms) > allowed:
                raise ExportError(
                    f"{said}: output {one.output!r} is {one.worst_value:.4g} where it should be "
                    f"{one.worst_expected:.4g}"
                )
        return max(one.relative_rms for one in differences)


def _anything(wanted: Signature) -> list[Array]:
    """Inputs that are the same everywhere: floats in [0, 1), and 0 and 1 where whole numbers may be
    indices."""
    random = np.random.default_rng(20)
    found = []
    for spec in wanted.specs:
        shape = (_TRIED, *spec.shape[1:])
        kind = np.dtype(spec.dtype.as_numpy_dtype)
        drawn = random.random(shape) if kind.kind == "f" else random.integers(0, 2, shape)
        found.append(drawn.astype(kind))
    return found
