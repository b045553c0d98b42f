"""Setting the rest right after pruning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from edgeprune.api.given import as_model, as_plan
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress


def reconstruct(
    pruned: Any,
    dense: Any,
    inputs: Any,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Any:
    """A new model like ``pruned`` with the weights that are left solved, layer by layer, so that
    each layer answers as the dense model's does; no labels, no training. Zeros stay zero.

    Args:
        pruned: zeroed or stripped.
        dense: the model that it was made of.
        inputs: an array, a tuple of arrays (one for each input), or re-iterable batches; a few
            hundred examples do, labels are not read.
        plan: what made ``pruned`` of ``dense``. Needed only where ``pruned`` is stripped and was
            trained since: else its channels are found by its weights.
        seed: of the positions that are drawn where a layer has very many.
        progress: told every layer.

    Raises:
        DataError: inputs that do not fit, or fewer than two examples.
        ModelError: ``pruned`` was not made of ``dense``.
        PlanError: the plan does not lead to ``pruned``, or without one a layer's weights are no
            slices of the dense model's.
        TrainingError: answers that are NaN or infinite.
    """
    from edgeprune.feeding import as_inputs
    from edgeprune.pipeline.reconstructing import reconstructed

    pruned, dense = as_model(pruned), as_model(dense)
    return reconstructed(
        pruned,
        dense,
        as_inputs(inputs, pruned),
        plan=None if plan is None else as_plan(plan),
        seed=seed,
        progress=progress,
    )[0]


def reestimate_batchnorm(model: Any, inputs: Any, *, progress: Progress = SILENT) -> Any:
    """A new model whose batch-norm statistics are those of ``inputs``; nothing else changes.

    Args:
        model: a Keras model; zeroed, stripped or neither.
        inputs: as :func:`reconstruct` takes them; labels are not read.
        progress: told every batch.

    Raises:
        DataError: inputs that do not fit, or fewer than two examples.
        TrainingError: statistics that are NaN or infinite.
    """
    from edgeprune.feeding import as_inputs
    from edgeprune.recovery import reestimate_batchnorm as reestimate

    model = as_model(model)
    return reestimate(model, as_inputs(inputs, model), progress=progress)


def fine_tune(
    model: Any,
    data: Any,
    *,
    loss: Any = None,
    metric: Any = None,
    epochs: int = 3,
    learning_rate: float = 1e-3,
    batch: int = 128,
    patience: int | None = None,
    decay: Literal["none", "cosine"] = "none",
    validation: float = 0.1,
    plan: Plan | None = None,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Progress = SILENT,
) -> Any:
    """Train a copy with Adam, with every exact zero (and what ``plan`` removes) held at zero.

    Args:
        model: zeroed or stripped; what is zero in its kernels stays zero.
        data: see the module; with labels.
        loss, metric: as :func:`prune` takes them.
        epochs: at most.
        learning_rate: of Adam.
        batch: examples a step.
        patience: stop after so many epochs without a better metric.
        decay: ``"cosine"`` lets the rate fall to 0 over all epochs.
        validation: share of ``data`` set aside by seed; the epoch that does best on it is kept
            (the model as it came competes). 0: none is set aside, and the last epoch is kept.
        plan: of this architecture; without, what is zero now is held.
        seed: of split, order and dropout; the same seed gives the same bytes.
        checkpoint: a folder for the state after each epoch; called again with the same arguments,
            it goes on from there.

    Returns:
        The new model, compiled as ``model`` was.

    Raises:
        DataError: data that does not fit, or none.
        InputError: a number out of range, no loss, nothing trainable.
        PlanError: a plan of another model.
        TrainingError: the loss became NaN or infinite.
    """
    from edgeprune.pipeline.tuning import fine_tuned

    return fine_tuned(
        as_model(model), data, loss=loss, metric=metric, epochs=epochs, learning_rate=learning_rate,
        batch=batch, patience=patience, decay=decay, validation=validation,
        plan=None if plan is None else as_plan(plan), seed=seed, checkpoint=checkpoint,
        progress=progress,
    )  # fmt: skip


def distill(
    pruned: Any,
    dense: Any,
    data: Any,
    *,
    loss: Any = None,
    metric: Any = None,
    temperature: float = 2.0,
    alpha: float = 0.0,
    features: str | Sequence[str] = (),
    features_weight: float = 1.0,
    epochs: int = 3,
    learning_rate: float = 1e-3,
    batch: int = 128,
    patience: int | None = None,
    decay: Literal["none", "cosine"] = "none",
    validation: float = 0.1,
    plan: Plan | None = None,
    seed: int = 0,
    checkpoint: Path | str | None = None,
    progress: Progress = SILENT,
) -> Any:
    """Train a copy of ``pruned`` to answer as ``dense`` does; its zeros are held.

    Of softmax outputs (and of logits, where the loss says ``from_logits``) the loss is T² ·
    KL(softmax(z_dense / T) ‖ softmax(z_pruned / T)) (Hinton et al., 2015, section 2), of sigmoid
    outputs the same of two classes each, of other outputs the squared difference; several outputs
    add up. The rest is as in :func:`fine_tune`.

    Args:
        pruned: zeroed or stripped.
        dense: the teacher; any model with the same inputs and outputs.
        data: as :func:`fine_tune`, or without labels: an array, ``(x,)``, batches ``(x,)``. With
            labels and a loss (given or compiled) the metric judges the epochs, else the loss to the
            teacher on the part that is set aside.
        loss, metric: for ``alpha`` and for judging.
        temperature: T.
        alpha: share of the loss on the labels, from 0 (the teacher alone) to 1.
        features: names of layers whose outputs are to be the teacher's too, or ``"auto"``: all
            with weights whose outputs have the same shape in both.
        features_weight: how much they count beside the outputs.
        epochs … progress: as :func:`fine_tune`.

    Raises:
        ModelError: inputs or outputs differ from the teacher's.
        DataError: data that does not fit, or none.
        InputError: a number out of range, ``alpha`` without labels, features that do not fit.
        PlanError, TrainingError: as :func:`fine_tune`.
    """
    from edgeprune.pipeline.tuning import distilled

    names = (features,) if isinstance(features, str) else tuple(features)
    return distilled(
        as_model(pruned), as_model(dense), data, loss=loss, metric=metric, temperature=temperature,
        alpha=alpha, features=names, features_weight=features_weight, epochs=epochs,
        learning_rate=learning_rate, batch=batch, patience=patience, decay=decay,
        validation=validation, plan=None if plan is None else as_plan(plan), seed=seed,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
