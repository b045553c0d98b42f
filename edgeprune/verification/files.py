"""A file must answer what its model answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgeprune.artifacts import Artifact
from edgeprune.errors import ArtifactError, DataError, VerificationError
from edgeprune.exporting.reading import read_artifact
from edgeprune.exporting.signatures import signature
from edgeprune.measurements import Difference, Verification
from edgeprune.runtimes import run_file
from edgeprune.variants import VARIANTS, variant_of
from edgeprune.verification.samples import answers, fitting

Array = npt.NDArray[Any]
TOLERANCE = 1e-4
"""Of the largest output, per output, for float32 files; :data:`edgeprune.variants.VARIANTS` has
those of the others."""
MINIMUM = 32
"""Samples below which agreement says too little."""


def verify_file(
    artifact: Artifact | Path | str,
    model: Any,
    inputs: Any,
    *,
    tolerance: float | None = None,
    minimum: int = MINIMUM,
    variant: str | None = None,
) -> Verification:
    """Run a file in its own engine, in a child process, and compare it with its Keras model.

    Args:
        artifact: the file, or what was read of it.
        model: the Keras model that it was exported from.
        inputs: an array, a tuple of arrays (several inputs), or batches ``x`` or ``(x, …)``.
        tolerance: how far each output may be off, by the variant's measure
            (:class:`~edgeprune.variants.Variant`); ``None``: the variant's own.
        minimum: samples that are asked for at least.
        variant: of the file; ``None``: as its bytes say. A file of no known one is judged as fp32.

    Raises:
        VerificationError: an output beyond ``tolerance``, NaN, constant, missing or of another
            shape (names file, output, sample, values), or the engine refuses the file or dies.
        DataError: fewer than ``minimum`` samples, or inputs that do not fit.
        ArtifactError: the file is missing or damaged.
    """
    found = artifact if isinstance(artifact, Artifact) else read_artifact(artifact)
    named = found.variant if variant is None else variant_of(variant).name
    form = VARIANTS.get(named, VARIANTS["fp32"])
    tolerance = form.tolerance if tolerance is None else tolerance
    wanted = signature(model, 1)
    arrays = fitting(inputs, wanted)
    samples = len(arrays[0])
    if samples < minimum:
        raise DataError(
            f"{found.path}: {samples} examples to verify it on; give at least {minimum}"
        )
    expected = answers(wanted.model, arrays)
    try:
        given = run_file(found.path, arrays)
    except ArtifactError as error:
        raise VerificationError(str(error)) from error
    differences = differing(found.path, wanted.outputs, given, expected)
    for one in differences:
        _check_within(f"{found.path}: output {one.output!r}", one, tolerance, form.measure, named)
    return Verification(found.sha256, samples, tolerance, differences, form.measure, named)


def differing(
    path: Path, names: Sequence[str], given: Sequence[Array], expected: Sequence[Array]
) -> tuple[Difference, ...]:
    """How far each output of a file is from what is expected, however far that is.

    Raises:
        VerificationError: one is missing, of another shape, NaN, or the same for every sample
            where that of the model is not.
    """
    _check_shapes(path, names, given, expected)
    return tuple(
        _compared(path, name, answer, truth)
        for name, answer, truth in zip(names, given, expected, strict=True)
    )


def _check_shapes(
    path: Path, names: Sequence[str], given: Sequence[Array], expected: Sequence[Array]
) -> None:
    if len(given) != len(expected):
        raise VerificationError(
            f"{path}: has {len(given)} outputs, its model {len(expected)} ({', '.join(names)}); "
            "is it this model's file?"
        )
    for name, answer, truth in zip(names, given, expected, strict=True):
        if answer.shape != truth.shape:
            raise VerificationError(
                f"{path}: output {name!r} has shape {answer.shape[1:]} a sample, its model's "
                f"{truth.shape[1:]}; is it this model's file?"
            )


def _compared(path: Path, name: str, answer: Array, truth: Array) -> Difference:
    where = f"{path}: output {name!r}"
    _check_finite(f"the model itself: output {name!r}", truth)
    _check_finite(where, answer)
    difference = _difference(name, answer, truth)
    if _frozen(answer, truth):
        raise VerificationError(
            f"{where} is the same for all {len(answer)} samples "
            f"(value {answer.ravel()[0]:.6g} first), its model's is not "
            f"(largest difference {difference.max_abs:.3g}); the file is broken: export it again"
        )
    return difference


def _check_within(
    where: str, found: Difference, tolerance: float, measure: str, variant: str
) -> None:
    value = found.by(measure)
    if value <= tolerance:
        return
    of = "of the largest output" + (", root mean square" if measure == "rms" else "")
    raise VerificationError(
        f"{where}, sample {found.worst_sample}: the file says {found.worst_value:.6g}, its model "
        f"{found.worst_expected:.6g}; {value:.3g} {of}, {tolerance:g} is allowed ({variant}); "
        "export it again from this model" + (", or as a wider variant" if measure == "rms" else "")
    )


def _check_finite(where: str, values: Array) -> None:
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    sample = int(np.argwhere(~np.isfinite(values))[0][0])
    value = values[sample].ravel()
    worst = value[~np.isfinite(value)][0]
    raise VerificationError(f"{where}, sample {sample}: the value is {worst}; it must be a number")


def _frozen(answer: Array, truth: Array) -> bool:
    """Whether a file ignores its inputs while its model does not: more than rounding moves."""
    same = np.array_equal(answer, np.broadcast_to(answer[:1], answer.shape))
    return len(answer) > 1 and same and not _constant(truth)


def _constant(truth: Array) -> bool:
    """Whether no sample differs from the others by more than rounding."""
    spread = np.ptp(np.asarray(truth, np.float64), axis=0).max(initial=0.0)
    return bool(spread <= 1e-6 * np.abs(truth).max(initial=0.0))


def _difference(name: str, answer: Array, truth: Array) -> Difference:
    one, other = np.asarray(answer, np.float64), np.asarray(truth, np.float64)
    gap = np.abs(one - other)
    worst = np.unravel_index(int(np.argmax(gap)), gap.shape)
    agreement = None
    if truth.ndim > 1 and truth.shape[-1] > 1:
        agreement = float(np.mean(np.argmax(one, -1) == np.argmax(other, -1)))
    return Difference(
        output=name,
        max_abs=float(gap[worst]),
        mean_abs=float(gap.mean()),
        scale=float(np.abs(other).max()),
        top1_agreement=agreement,
        worst_sample=int(worst[0]),
        worst_value=float(one[worst]),
        worst_expected=float(other[worst]),
        constant=_constant(truth),
        rms=_rms(gap),
        spread=_rms(other - other.mean(axis=0)),
        cosine=_cosine(one, other),
    )


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _cosine(one: Array, other: Array) -> float:
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    if lengths == 0.0:
        return 1.0 if not one.any() and not other.any() else 0.0
    return float(np.clip(np.vdot(one, other) / lengths, -1.0, 1.0))
