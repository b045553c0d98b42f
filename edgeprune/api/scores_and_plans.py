"""How much each connection or channel matters, and what to remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from edgeprune.api.given import as_globs, as_model
from edgeprune.errors import InputError, PlanError
from edgeprune.graphs import Graph
from edgeprune.plans import Plan
from edgeprune.progress import SILENT, Progress
from edgeprune.scores import Scores


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
            ``"wanda"``, ``"wanda-lamp"``, ``"magnitude"``, ``"lamp"``, ``"random"``; of channels
            ``"gate"``, ``"gate-fisher"``, ``"molchanov"``, ``"apoz"``, ``"activation"``,
            ``"bn-scale"``.
        loss: a Keras loss, its name, or a function of ``(y_true, y_pred)``; without labels
            ``"own-kl"`` or ``"own-mse"``, and batches ``(x,)``.
        graph: of ``model``, for scores of channels; traced where it is not given.
        microbatch: examples over which the gradient is averaged before its absolute value is
            taken; each batch as ``data`` gives it where absent.
        chunk: most examples that go through the model at once; the scores do not depend on it, and
            a micro-batch of several chunks takes one more forward pass.
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
    (scores,) = score_all(
        model, data, [method], loss, graph=graph, microbatch=microbatch, chunk=chunk,
        normalize=normalize, seed=seed, workers=workers, progress=progress,
    ).values()  # fmt: skip
    return scores


def score_all(
    model: Any,
    data: Any,
    methods: Sequence[str],
    loss: Any = None,
    *,
    graph: Graph | None = None,
    microbatch: int | None = None,
    chunk: int | None = None,
    normalize: str = "none",
    seed: int = 0,
    workers: int = 1,
    progress: Progress = SILENT,
) -> dict[str, Scores]:
    """:func:`score` by several methods at once: one pass over the data gathers what all of them
    need, and each gives what it would alone.

    Args:
        methods: names, see :func:`score`.
        model, data, loss, graph, microbatch, chunk, normalize, seed, workers: as there.

    Returns:
        By method, in the order asked for.

    Raises:
        DataError, InputError, TrainingError: as :func:`score`.
    """
    from edgeprune.executors import shared
    from edgeprune.feeding import as_batches
    from edgeprune.scoring import METHODS
    from edgeprune.scoring import score_all as scored

    if isinstance(methods, str) or not methods:
        raise InputError(f"methods = {methods!r}: give a list of names, such as ['taylor', 'snip']")
    model = as_model(model)
    apart = shared(workers)
    batches = None if data is None else as_batches(data, model=model)
    known = [METHODS[method] for method in methods if method in METHODS]
    if graph is None and any(formula.of == "channels" for formula in known):
        from edgeprune.surgery import trace

        graph = trace(model)
    return scored(
        model, batches, list(dict.fromkeys(methods)), loss=loss, graph=graph,
        microbatch=microbatch, chunk=chunk, normalize=normalize, seed=seed, progress=progress,
        apart=apart,
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
        exclude=as_globs(exclude),
        constraints=Constraints(multiple, minimum, most),
        budgets=Budgets(
            max_macs,
            max_parameters,
            max_bytes,
            max_latency_ms,
            None if latency is None else Latency.of(latency),
        ),
    )


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
    method: str = "gate-fisher",
    loss: Any = None,
    scope: Literal["global", "layer"] = "global",
    exclude: Sequence[str] = (),
    multiple: int = 1,
    minimum: int = 1,
    most: float = 1.0,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Plan, ...]:
    """Plans along one descent, each within the next: a little is cut, a copy of the model silenced
    and scored again. They lie evenly while more than a fifth of the original's cost is left, and
    then each at the same share of the one before.

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
    from edgeprune.surgery import trace

    if isinstance(points, bool) or not (isinstance(points, int) and points >= 1):
        raise PlanError(f"points = {points}: a whole number from 1 up is needed")
    model = as_model(model)
    batches = None if data is None else as_batches(data, model=model)
    descent = Descent(model, trace(model), method, batches, loss, seed, progress=progress)
    table = None if latency is None else Latency.of(latency)
    budgets = Budgets(max_macs, max_parameters, max_bytes, max_latency_ms, table)
    bounds: dict[str, Any] = {
        "exclude": as_globs(exclude), "constraints": Constraints(multiple, minimum, most),
    }  # fmt: skip
    found = descent.front(
        points, step=step, scope=scope, budgets=budgets or descent.far(**bounds), **bounds
    )
    return tuple(plan for _, plan in found)
