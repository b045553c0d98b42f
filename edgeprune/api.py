"""The Python API: the verbs of the command line as functions. No call changes its input model.

``model`` is a Keras model; a path, or anything else, is a ``ModelError``. ``data`` is a pair of
arrays, a ``tf.data.Dataset``, or any re-iterable of ``(x, y)`` batches; each batch as given is one
micro-batch of a score. ``loss=None`` takes the compiled one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgeprune.artifacts import Artifact
from edgeprune.errors import ModelError, PlanError
from edgeprune.graphs import Graph
from edgeprune.measurements import Measurement, Verification
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.results import Result
from edgeprune.scans import Scan
from edgeprune.scores import Scores
from edgeprune.searches import Search

if TYPE_CHECKING:
    from edgeprune.recipes import Recipe
    from edgeprune.targets import Target


def load(path: Path | str, *, trust: bool = False) -> Any:
    """Open a ``.keras`` or ``.h5`` file, or a SavedModel with layers; files of Keras 2 too.

    Args:
        path: the file, or the folder of a SavedModel.
        trust: load Lambda layers, which run code from the file.

    Returns:
        A plain Keras 3 model; what Keras 2 wrote is carried over and compared with its source.

    Raises:
        ModelError: not a model, a custom layer that is not registered, weights with NaN or Inf, a
            layer of Keras 2 that does something else in Keras 3.
    """
    from edgeprune.importing import open_model

    return open_model(path, trust=trust).model


def trace(model: Any, *, inexact: bool = False) -> Graph:
    """Which channels of ``model`` live or die together.

    Args:
        model: a Keras 3 model.
        inexact: free the groups too whose channels are mixed without weights (layer norm, softmax,
            means over channels); they are marked, and only :func:`cut` takes them out.
    """
    from edgeprune.surgery import trace as trace_model

    return trace_model(_model(model), inexact=inexact)


def score(
    model: Any,
    data: Any,
    method: str = "taylor",
    loss: Any = None,
    *,
    graph: Graph | None = None,
    microbatch: int | None = None,
    chunk: int | None = None,
    normalize: str = "none",
    seed: int = 0,
    workers: int = 1,
    progress: Progress = SILENT,
) -> Scores:
    """How much each connection, or each channel, matters, from calibration data; the model runs in
    inference mode.

    Args:
        model: a Keras model.
        data: see the module; batches count by their number of examples. ``"magnitude"`` needs no
            loss, and takes ``None``.
        method: of connections ``"taylor"``, ``"gradient"``, ``"snip"``, ``"fisher"``, ``"obd"``,
            ``"wanda"``, ``"magnitude"``, ``"lamp"``, ``"random"``; of channels ``"gate"``,
            ``"gate-fisher"``, ``"molchanov"``, ``"apoz"``, ``"activation"``, ``"bn-scale"``.
        loss: a Keras loss, its name, or a function of ``(y_true, y_pred)``; without labels
            ``"own-kl"`` or ``"own-mse"``, and batches ``(x,)``.
        graph: of ``model``, for scores of channels; traced where it is not given.
        microbatch: examples over which the gradient is averaged before its absolute value is
            taken; each batch as ``data`` gives it where absent.
        chunk: most examples in memory at once; the scores do not depend on it.
        normalize: ``"sum"``, ``"mean"``, ``"max"`` or ``"l2"``: each layer's scores are divided by
            that of them.
        seed: of ``"random"`` and ``"obd"``.
        workers: processes that share the data; the scores are the same bits. With several, a script
            keeps its work under ``if __name__ == "__main__":``.

    Raises:
        DataError: data that does not fit.
        InputError: no such method, no data, or no loss given and none compiled; with ``workers``,
            a loss that cannot be sent to another process.
        TrainingError: the loss is not a finite number.
    """
    from edgeprune.executors import of_workers
    from edgeprune.feeding import as_batches
    from edgeprune.scoring import METHODS, score_model

    model = _model(model)
    executor = of_workers(workers)
    batches = None if data is None else as_batches(data, model=model)
    if graph is None and method in METHODS and METHODS[method].of == "channels":
        graph = trace(model)
    return score_model(
        model, batches, method=method, loss=loss, graph=graph, microbatch=microbatch,
        chunk=chunk, normalize=normalize, seed=seed, progress=progress,
        apart=executor.map if workers > 1 else None,
    )  # fmt: skip


def plan(
    scores: Scores,
    graph: Graph | None = None,
    *,
    sparsity: float | None = None,
    threshold: float | None = None,
    channels: float | None = None,
    max_macs: float | None = None,
    max_parameters: float | None = None,
    max_bytes: float | None = None,
    max_latency_ms: float | None = None,
    latency: Mapping[str, Any] | None = None,
    pattern: str = "none",
    scope: Literal["global", "layer"] = "global",
    exclude: Sequence[str] = (),
    multiple: int = 1,
    minimum: int = 1,
    most: float = 1.0,
) -> Plan:
    """What to remove: exactly one of ``sparsity``, ``threshold``, ``channels``, or ``channels``
    with ``sparsity`` (a hybrid).

    Args:
        scores: of the model.
        graph: of the model; ``channels`` needs it.
        sparsity: share of all scored weights to zero (of each layer's with ``scope="layer"``).
        threshold: zero every weight that scores below.
        channels: share of each free group's channels to cut (of all together with
            ``scope="global"``).
        max_macs, max_parameters, max_bytes: budgets for what stays, met by cutting channels: below
            1 a share of the original's, else a whole number. Bytes are 4 a parameter, an estimate
            of a dense fp32 file. With ``scope="global"`` the groups lose those channels whose
            scores add up to the least, with ``"layer"`` each the same share. Several hold together.
        max_latency_ms: milliseconds, by ``latency``.
        latency: ``{group or glob: milliseconds per kept channel}``, or ``{"constant": …,
            "groups": {…}}``.
        pattern: ``"1x4"`` takes Dense kernels in blocks of four along their input axis.
        scope: compare all together, or within each layer.
        exclude: globs of layer, weight or group names to leave alone.
        multiple: what is kept of a group that ``channels`` cuts is a multiple of this (a group
            that is no wider keeps all); ``Target.load(name).channel_multiple`` is a device's.
        minimum: fewest channels that a cut leaves of a group.
        most: largest share of a group's channels that may leave.

    Raises:
        PlanError: a request that cannot be met, or scores that are not finite.
    """
    from edgeprune.planning import Budgets, Constraints, Latency, make_plan

    return make_plan(
        scores,
        graph,
        sparsity=sparsity,
        threshold=threshold,
        channels=channels,
        pattern=pattern,
        scope=scope,
        exclude=_globs(exclude),
        constraints=Constraints(multiple, minimum, most),
        budgets=Budgets(
            max_macs,
            max_parameters,
            max_bytes,
            max_latency_ms,
            None if latency is None else Latency.of(latency),
        ),
    )


def search(
    model: Any,
    data: Any,
    *,
    max_drop: float,
    of: Literal["sparsity", "channels"] = "sparsity",
    method: str = "taylor",
    loss: Any = None,
    metric: Any = None,
    pattern: str = "none",
    scope: Literal["global", "layer"] = "global",
    exclude: Sequence[str] = (),
    multiple: int = 1,
    minimum: int = 1,
    most: float = 1.0,
    folds: int = 5,
    grid: Sequence[float] = (),
    confidence: float = 0.95,
    recover: Sequence[str] = (),
    microbatch: int = 32,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Search:
    """The largest share that may go within a budget of the metric, by cross-validation; plans are
    tried in one shot.

    Args:
        model: never changed.
        data: with labels, as :func:`prune` takes it; best examples that the model was not trained
            on, as on those it does better than on any others.
        max_drop: most that the metric may lose, in its own unit, on another set of as many
            examples.
        of: whose share: ``"sparsity"`` or ``"channels"``.
        method, loss, metric: as :func:`prune`.
        pattern … most: as :func:`plan`.
        folds: each is judged by plans whose scores come from the others.
        grid: try these shares; bisection where absent.
        confidence: with which the drop on that other set is within ``max_drop``.
        recover: steps that do not train, after each plan that is tried.
        microbatch, seed: as :func:`prune`.

    Returns:
        The share, the plan made with it from scores of all data, what was tried, and each fold's
        own largest share.

    Raises:
        PlanError: no share is within the budget, or a number out of its range.
        DataError: no labels, or data that does not fit.
    """
    from edgeprune.feeding import as_dataset
    from edgeprune.models import make_task
    from edgeprune.pipeline.goals import Goal
    from edgeprune.pipeline.searching import Searching, Terms
    from edgeprune.planning import Constraints

    model = _model(model)
    goal = Goal(
        pattern=pattern, scope=scope, exclude=_globs(exclude),
        constraints=Constraints(multiple, minimum, most),
    )  # fmt: skip
    terms = Terms(max_drop, of, folds, tuple(grid), confidence)
    task = make_task(loss, metric, None, None, model=model, base=None)
    return Searching(
        model, as_dataset(data, model), task, method, goal, terms, microbatch, seed,
        recover=tuple(recover), progress=progress,
    ).run()  # fmt: skip


def scan(
    model: Any,
    data: Any,
    *,
    of: Literal["channels", "weights"] = "channels",
    ratios: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    method: str = "taylor",
    loss: Any = None,
    metric: Any = None,
    pattern: str = "none",
    exclude: Sequence[str] = (),
    examples: int | None = None,
    confidence: float = 0.95,
    folder: Path | str | None = None,
    workers: int = 1,
    microbatch: int = 32,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Scan:
    """How much the metric suffers when one place loses more and more, all others being whole.

    Args:
        model: never changed.
        data: with labels, as :func:`prune` takes it. At most half of it, and 2048 examples, score;
            the others judge.
        of: places are groups that lose ``"channels"``, or kernels that lose single ``"weights"``.
        ratios: shares that go, the lowest scores first.
        method, loss, metric: as :func:`prune`; a score of channels only for channels.
        pattern: blocks, of weights.
        exclude: globs of layer, weight or group names to leave out.
        examples: most that judge.
        confidence: of the intervals.
        folder: every finished curve is written there, and found again by the same call.
        workers: processes that share the points; the curves are the same. With several, a script
            keeps its own work under ``if __name__ == "__main__":``.
        microbatch, seed: as :func:`prune`.

    Returns:
        A curve a place; each drop with its standard error, example by example against ``model``.

    Raises:
        PlanError: no place can lose anything, a glob that matches nothing, a number out of range.
        DataError: no labels, or data that does not fit.
    """
    from edgeprune.executors import of_workers
    from edgeprune.feeding import as_dataset
    from edgeprune.models import make_task
    from edgeprune.pipeline.scanning import Scanning, Sweep

    model = _model(model)
    sweep = Sweep(of, tuple(ratios), pattern, _globs(exclude), examples, confidence)
    task = make_task(loss, metric, None, None, model=model, base=None)
    return Scanning(
        model, as_dataset(data, model), task, method, sweep, microbatch, seed,
        folder=None if folder is None else Path(folder),
        apart=of_workers(workers).map if workers != 1 else None, progress=progress,
    ).run()  # fmt: skip


def front(
    model: Any,
    data: Any,
    *,
    points: int = 20,
    max_macs: float | None = None,
    max_parameters: float | None = None,
    max_bytes: float | None = None,
    max_latency_ms: float | None = None,
    latency: Mapping[str, Any] | None = None,
    step: float | None = None,
    method: str = "molchanov",
    loss: Any = None,
    scope: Literal["global", "layer"] = "global",
    exclude: Sequence[str] = (),
    multiple: int = 1,
    minimum: int = 1,
    most: float = 1.0,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Plan, ...]:
    """Plans evenly along one descent, each within the next: a little is cut, a copy of the model
    silenced and scored again.

    Args:
        model, data, method, loss, seed: as :func:`score`; every score reads the data anew.
        points: how many plans; one is the plan at the end.
        max_macs … latency: where the descent ends, as :func:`plan`; without any at 5 % of the
            MACs, or the least that is possible.
        step: of the original's cost: so much is cut between two scores at most (0.05); 1 takes
            one a point.
        scope, exclude, multiple, minimum, most: as :func:`plan`.

    Raises:
        PlanError: a request that cannot be met.
        InputError, DataError, TrainingError: as :func:`score`.
    """
    from edgeprune.feeding import as_batches
    from edgeprune.pipeline.descent import Descent
    from edgeprune.planning import Budgets, Constraints, Latency

    if isinstance(points, bool) or not (isinstance(points, int) and points >= 1):
        raise PlanError(f"points = {points}: a whole number from 1 up is needed")
    model = _model(model)
    batches = None if data is None else as_batches(data, model=model)
    descent = Descent(model, trace(model), method, batches, loss, seed, progress=progress)
    table = None if latency is None else Latency.of(latency)
    budgets = Budgets(max_macs, max_parameters, max_bytes, max_latency_ms, table)
    bounds: dict[str, Any] = {
        "exclude": _globs(exclude), "constraints": Constraints(multiple, minimum, most),
    }  # fmt: skip
    found = descent.front(
        points, step=step, scope=scope, budgets=budgets or descent.far(**bounds), **bounds
    )
    return tuple(plan for _, plan in found)


def zero(model: Any, plan: Plan) -> Any:
    """A new model of the same shapes with zeros where ``plan`` says.

    Raises:
        PlanError: the plan was made for another architecture.
    """
    from edgeprune.surgery import zero as zero_model

    return zero_model(_model(model), _plan(plan))


def hold(plan: Plan | None = None) -> Any:
    """A Keras callback that keeps zeros zero while a model trains.

    With a plan: what it removes, on the model that it was made for, whatever its values have
    become. Without: every kernel element that is exactly zero when training begins.
    """
    from edgeprune.recovery import hold as hold_zeros
    from edgeprune.surgery import trace as trace_model

    return hold_zeros(plan, trace=trace_model)


def strip(model: Any, *, fold_batchnorm: bool = False) -> Any:
    """A new, smaller model: every channel that is structurally dead has left; same outputs.

    Args:
        model: a Keras 3 model.
        fold_batchnorm: let the dense layer or convolution before a batch norm do its work too.
    """
    from edgeprune.surgery import strip as strip_model

    return strip_model(_model(model), fold_batchnorm=fold_batchnorm)


def cut(model: Any, plan: Plan) -> Any:
    """A new, smaller model without the channels that ``plan`` cuts, stripped.

    ``strip(zero(model, plan))`` where the plan is exact. Groups that are free only by
    ``trace(model, inexact=True)`` leave too: the outputs change, and training has to set that
    right.

    Raises:
        PlanError: the plan was made for another architecture, or names what cannot leave.
    """
    from edgeprune.surgery import cut as cut_model

    return cut_model(_model(model), _plan(plan))


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

    pruned, dense = _model(pruned), _model(dense)
    return reconstructed(
        pruned,
        dense,
        as_inputs(inputs, pruned),
        plan=None if plan is None else _plan(plan),
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
        DataError: inputs that do not fit.
        TrainingError: statistics that are NaN or infinite.
    """
    from edgeprune.feeding import as_inputs
    from edgeprune.recovery import reestimate_batchnorm as reestimate

    model = _model(model)
    return reestimate(model, as_inputs(inputs, model), progress=progress)


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
        method: name of the score; ``None``: ``"taylor"``, with budgets alone ``"molchanov"``; of
            several, a rehearsal of ``rehearsal_epochs`` chooses on the
            validation split.
        rounds: how often; one is one shot.
        schedule: how the rounds approach the target.
        max_drop: stop, one round back, when validation lost more than this.
        search, folds, grid: find the largest ``"sparsity"`` or share of ``"channels"`` within
            ``max_drop`` first, as :func:`search` does, scored by the calibration part and judged by
            the validation part; what recovery brings is beyond it.
        inexact: cut groups too that are free only by ``trace(model, inexact=True)``. In the rounds
            zeros stand in their place; in the end :func:`cut` takes them out, and the small model
            is fine-tuned once more for ``epochs``.
        recover: steps after each round, in order: ``"finetune"``, ``"batchnorm"``, ``"distill"``
            (from the original); none: ``()``.
        epochs, learning_rate, batch, patience, decay: of the training in each round.
        temperature, alpha: of ``"distill"``, see :func:`distill`.
        ramp: let a round's zeros grow over this share of its training's steps, with masks chosen
            anew from its running scores (``"taylor"``, ``"magnitude"``, ``"gradient"``); 0: all
            zeros come before it.
        ramp_every: steps between two choices; 100, or a twentieth of the ramp where that is less.
        regrow: share of the kept weights that change their place on the ramp, falling to 0.
        validation: share of ``data`` set aside by seed for every decision.
        calibration_examples: how many of the rest are scored and not trained on (a fifth at most).
        microbatch: examples whose gradients are averaged before the absolute value.
        seed: of split, order and training.

    Returns:
        The small model, and the plan for the original's shapes.

    Raises:
        PlanError: the request cannot be met, nothing would go, the first round already lost more
            than ``max_drop``, or ``inexact`` without a step in ``recover`` that trains.
    """
    from edgeprune.pipeline.loop import pruned

    found = pruned(
        _model(model),
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
        exclude=_globs(exclude),
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
        rehearsal_epochs=rehearsal_epochs,
        validation=validation,
        calibration_examples=calibration_examples,
        microbatch=microbatch,
        seed=seed,
        progress=progress,
    )
    return found.model, found.plan


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
        _model(model), data, loss=loss, metric=metric, epochs=epochs, learning_rate=learning_rate,
        batch=batch, patience=patience, decay=decay, validation=validation,
        plan=None if plan is None else _plan(plan), seed=seed, checkpoint=checkpoint,
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
        _model(pruned), _model(dense), data, loss=loss, metric=metric, temperature=temperature,
        alpha=alpha, features=names, features_weight=features_weight, epochs=epochs,
        learning_rate=learning_rate, batch=batch, patience=patience, decay=decay,
        validation=validation, plan=None if plan is None else _plan(plan), seed=seed,
        checkpoint=checkpoint, progress=progress,
    )  # fmt: skip


def export(model: Any, path: Path | str, *, sparse: bool = False, batch: int = 1) -> Artifact:
    """Write ``model`` as ``.tflite`` or ``.onnx``, by the suffix of ``path``, and read it back.

    Args:
        model: a Keras model.
        path: where to.
        sparse: TFLite's own sparse encoding; ONNX sparse initialisers where they are smaller.
        batch: size of the fixed batch.

    Raises:
        ExportError: the model cannot become this format.
        OutputError: the file cannot be written.
    """
    from edgeprune.exporting import export_model

    return export_model(_model(model), path, sparse=sparse, batch=batch)


def verify(
    artifact: Artifact | Path | str, model: Any, inputs: Any, *, tolerance: float = 1e-4
) -> Verification:
    """Compare a file with its model, run by its own runtime in a child process.

    Args:
        artifact: the file.
        model: the Keras model that it was exported from.
        inputs: an array, a tuple of arrays, or batches; 32 samples at least.
        tolerance: of the largest output, per output.

    Raises:
        VerificationError: an output is further off; names it, the sample and the values.
    """
    from edgeprune.verification import verify_file

    return verify_file(_path(artifact), _model(model), inputs, tolerance=tolerance)


def bench(
    artifact: Artifact | Path | str, target: str | Target = "host", *, runs: int = 50
) -> Measurement:
    """Time a file on a target, in a child process; batch 1 as exported.

    Raises:
        MeasurementError: the target cannot be reached from here, or the file does not run.
    """
    from edgeprune.benchmarking import bench_files
    from edgeprune.targets import Target

    profile = target if isinstance(target, Target) else Target.load(target)
    return bench_files([_path(artifact)], profile, runs=runs)[0]


def run(recipe: Path | str | Recipe, *, progress: Progress = SILENT) -> Result:
    """Carry out a recipe: ``edgeprune run``. See :func:`edgeprune.pipeline.run`."""
    from edgeprune.pipeline import run as run_recipe

    return run_recipe(recipe, progress=progress)


def _model(model: Any) -> Any:
    """``model``, where it is one."""
    import keras

    if isinstance(model, keras.Model):
        return model
    if isinstance(model, str | Path):
        kind = "a string" if isinstance(model, str) else "a path"
        raise ModelError(f"model is {kind}, {str(model)!r}; load it with edgeprune.load")
    raise ModelError(f"model is of class {type(model).__name__}; give a keras.Model")


def _plan(plan: Any) -> Plan:
    """``plan``, where it is one."""
    if isinstance(plan, Plan):
        return plan
    if isinstance(plan, str | Path):
        raise PlanError(f"plan is a path, {str(plan)!r}; load it with edgeprune.Plan.load")
    raise PlanError(f"plan is of class {type(plan).__name__}; give an edgeprune.Plan")


def _globs(exclude: str | Sequence[str]) -> tuple[str, ...]:
    """One glob is a list of one, not of its letters."""
    return (exclude,) if isinstance(exclude, str) else tuple(exclude)


def _path(artifact: Artifact | Path | str) -> Path:
    return artifact.path if isinstance(artifact, Artifact) else Path(artifact)
