"""The whole loop, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from edgeprune.api.given import as_globs, as_model
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress


def prune(
    model: Any,
    data: Any,
    *,
    loss: Any = None,
    metric: Any = None,
    method: str | Sequence[str] | None = None,
    sparsity: float | None = None,
    threshold: float | None = None,
    channels: float | None = None,
    max_macs: float | None = None,
    max_parameters: float | None = None,
    max_bytes: float | None = None,
    max_latency_ms: float | None = None,
    latency: Mapping[str, Any] | None = None,
    step: float | None = None,
    pattern: str = "none",
    scope: Literal["global", "layer"] = "global",
    exclude: Sequence[str] = (),
    multiple: int = 1,
    minimum: int = 1,
    most: float = 1.0,
    rounds: int = 1,
    schedule: Literal["cubic", "linear", "constant"] = "cubic",
    max_drop: float | None = None,
    search: Literal["sparsity", "channels"] | None = None,
    folds: int = 5,
    grid: Sequence[float] = (),
    inexact: bool = False,
    recover: Sequence[str] = ("finetune",),
    epochs: int = 3,
    learning_rate: float = 1e-3,
    batch: int = 128,
    patience: int | None = None,
    decay: Literal["none", "cosine"] = "none",
    temperature: float = 2.0,
    alpha: float = 0.0,
    ramp: float = 0.0,
    ramp_every: int | None = None,
    regrow: float = 0.0,
    shrink: float = 0.0,
    rehearsal_epochs: int = 2,
    validation: float = 0.1,
    calibration_examples: int = 2048,
    microbatch: int = 32,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Any, Plan]:
    """(score → plan → zero → recover) × ``rounds`` → strip, in memory.

    Args:
        model, data, loss, sparsity … most: as :func:`score` and :func:`plan`.
        metric: a Keras metric or its name; the compiled one, else the loss.
        step: of the original's cost (of the channels): so much is cut between two scores of a
            round; 1 takes the scores once a round. Absent: 0.05 with budgets, else 1.
        method: name of the score; ``None``: ``"taylor"``, with budgets alone ``"gate-fisher"``,
            on a ramp ``"wanda-lamp"``; of several, a rehearsal of ``rehearsal_epochs`` chooses on
            the validation split.
        rounds: how often; one is one shot.
        schedule: how the rounds approach the target.
        max_drop: stop, one round back, when validation lost more than this.
        search, folds, grid: find the largest ``"sparsity"`` or share of ``"channels"`` within
            ``max_drop`` first, as :func:`search` does, scored by the calibration part and judged by
            the validation part; what recovery brings is beyond it.
        inexact: cut groups too that are free only by ``trace(model, inexact=True)``. In the rounds
            zeros stand in their place; in the end :func:`cut` takes them out, and the small model
            is fine-tuned once more for ``epochs``.
        recover: steps after each round, in order: ``"reconstruct"`` and ``"distill"`` (from the
            original), ``"batchnorm"``, ``"finetune"``; none: ``()``.
        epochs, learning_rate, batch, patience, decay: of the training in each round.
        temperature, alpha: of ``"distill"``, see :func:`distill`.
        ramp: let a round's zeros grow over this share of its training's steps, with masks chosen
            anew, by its running scores (``"taylor"``, ``"magnitude"``, ``"gradient"``) or others of
            the calibration part; 0: all zeros come before it.
        ramp_every: steps between two choices; 100, or a twentieth of the ramp where that is less.
        regrow: share of the kept weights that change their place on the ramp, falling to 0.
        shrink: weight of the kernels' Σ|w| in the loss while the ramp lasts.
        validation: share of ``data`` set aside by seed for every decision.
        calibration_examples: how many of the rest are scored (a fifth at most); they are trained
            on too.
        microbatch: examples whose gradients are averaged before the absolute value.
        seed: of split, order and training.

    Returns:
        The small model, and the plan for the original's shapes.

    Raises:
        PlanError: goals that contradict each other or that nothing is done for (what a recipe's
            ``[prune]`` refuses), the request cannot be met, nothing would go, the first round
            already lost more than ``max_drop``, or ``inexact`` without a step in ``recover`` that
            trains.
    """
    from edgeprune.pipeline.loop import pruned

    found = pruned(
        as_model(model),
        data,
        loss=loss,
        metric=metric,
        method=method,
        sparsity=sparsity,
        threshold=threshold,
        channels=channels,
        max_macs=max_macs,
        max_parameters=max_parameters,
        max_bytes=max_bytes,
        max_latency_ms=max_latency_ms,
        latency=latency,
        step=step,
        pattern=pattern,
        scope=scope,
        exclude=as_globs(exclude),
        multiple=multiple,
        minimum=minimum,
        most=most,
        rounds=rounds,
        schedule=schedule,
        max_drop=max_drop,
        search=search,
        folds=folds,
        grid=grid,
        inexact=inexact,
        recover=recover,
        epochs=epochs,
        learning_rate=learning_rate,
        batch=batch,
        patience=patience,
        decay=decay,
        temperature=temperature,
        alpha=alpha,
        ramp=ramp,
        ramp_every=ramp_every,
        regrow=regrow,
        shrink=shrink,
        rehearsal_epochs=rehearsal_epochs,
        validation=validation,
        calibration_examples=calibration_examples,
        microbatch=microbatch,
        seed=seed,
        progress=progress,
    )
    return found.model, found.plan
