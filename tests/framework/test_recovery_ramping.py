"""Zeros that grow within one training: exactly as many as asked for, held, and the same bytes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_recovery_fine_tuning import LOSS, Arrays, blobs, net

import edgeprune
from edgeprune.errors import InputError, PlanError
from edgeprune.models import kernel_elements, kernel_nonzero, kernels, make_task, values_digest
from edgeprune.pipeline.goals import Goal
from edgeprune.recoveries import RUNNING
from edgeprune.recovery import Growing, Ramp, fine_tune
from edgeprune.recovery.ramping import Growing as Type
from edgeprune.scoring import Scorer

STEPS = 10  # of an epoch: 600 examples, 64 a step


class Watched(Type):
    """A ramp that remembers every choice of masks."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seen: list[tuple[int, edgeprune.Plan]] = []

    def after(self, step: int) -> bool:
        changed = super().after(step)
        if changed:
            assert self.plan is not None
            self.seen.append((step, self.plan))
        return changed


def growing(ramp: Ramp, method: str = "taylor", kind: type = Watched, **asked: Any) -> Any:
    goal = Goal(**({"sparsity": 0.8} | asked), ramp=ramp)
    made = goal.growing(method, 1, within=None, gauge=None if method in RUNNING else gauge(method))
    return kind(
        made._method,
        made._ramp,
        made._target,
        made._planner,
        made._within,
        made._asked,
        made._movable,
        made._gauge,
    )


def gauge(method: str) -> Any:
    def of(model: Any) -> Any:
        scorer = Scorer(model, [method], loss=LOSS)
        return lambda: scorer.scores(blobs(64).batches(32))[method]

    return of


def tuned(growth: Growing, data: Any = None, **settings: Any) -> Any:
    settings = {"epochs": 4, "learning_rate": 0.01, "batch_size": 64} | settings
    model = settings.pop("model", None) or net()
    task = make_task(LOSS, "accuracy", model=model)
    return fine_tune(model, data or blobs(), blobs(200, 1), task=task, growth=growth, **settings)


def zeros(plan: edgeprune.Plan) -> int:
    return sum(int((~mask.keep).sum()) for mask in plan.masks)


@pytest.mark.parametrize("method", ["magnitude", "taylor", "gradient", "wanda", "obd"])
def test_it_ends_at_the_sparsity_asked_for_on_a_cubic_way_and_never_gives_back(method):
    growth = growing(Ramp(0.5, 4), method)
    new, history = tuned(growth)
    steps = [step for step, _ in growth.seen]
    assert steps == [4, 8, 12, 16, 20]
    total = kernel_elements(new)
    for step, plan in growth.seen:
        wanted = 0.8 * (1 - (1 - step / 20) ** 3) * total
        assert wanted <= zeros(plan) < wanted + 1
    for (_, before), (_, after) in pairwise(growth.seen):
        kept = {mask.weight: mask.keep for mask in after.masks}
        for mask in before.masks:
            assert not (kept[mask.weight] & ~mask.keep).any()
    assert kernel_nonzero(new) == total - math.ceil(0.8 * total)
    for mask in growth.plan.masks:
        value = np.asarray(kernels(new)[mask.weight].variable)
        assert np.array_equal(value != 0, mask.keep)
    assert history.best >= 2  # what is kept has every zero
    assert growth.plan.why["reached"]["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert edgeprune.zero(net(), growth.plan) is not None  # a plan for the original's shapes


@pytest.mark.parametrize(("method", "regrow"), [("taylor", 0.0), ("gradient", 0.5), ("wanda", 0.5)])
def test_zeros_that_were_there_count_and_stay(method, regrow):
    model = net()
    kernel = model.get_layer("a").kernel
    kernel.assign(np.where(np.arange(32) < 12, 0, np.asarray(kernel)))
    growth = growing(Ramp(0.5, 4, regrow), method, sparsity=0.6)
    new, _ = tuned(growth, model=model)
    assert not np.asarray(new.get_layer("a").kernel)[:, :12].any()
    assert kernel_nonzero(new) == kernel_elements(new) - math.ceil(0.6 * kernel_elements(new))
    first = growth.seen[0][1].why["reached"]["sparsity"]
    assert first > 120 / kernel_elements(new)


def test_blocks_scope_and_exclusions_are_those_of_a_plan():
    growth = growing(Ramp(0.5, 5), pattern="1x4", exclude=("b",), sparsity=0.5)
    new, _ = tuned(growth)
    kernel = np.asarray(new.get_layer("a").kernel)[:8].reshape(2, 4, 32)
    there = (kernel != 0).sum(axis=1)
    assert set(np.unique(there)) <= {0, 4} and np.asarray(new.get_layer("b").kernel).all()
    growth = growing(Ramp(0.5, 5), scope="layer", sparsity=0.5)
    new, _ = tuned(growth)
    for name in "ab":
        kernel = np.asarray(new.get_layer(name).kernel)
        assert (kernel == 0).sum() == kernel.size // 2


@pytest.mark.parametrize("pattern", ["none", "1x4"])
def test_regrowth_moves_weights_and_keeps_their_number(pattern):
    growth = growing(Ramp(0.75, 5, 0.5), pattern=pattern, sparsity=0.7)
    new, _ = tuned(growth)
    total = kernel_elements(new)
    came_back = 0
    for (_, before), (step, after) in pairwise(growth.seen):
        kept = {mask.weight: mask.keep for mask in after.masks}
        came_back += sum(int((kept[m.weight] & ~m.keep).sum()) for m in before.masks)
        wanted = 0.7 * (1 - (1 - step / 30) ** 3) * total
        assert wanted <= zeros(after) < wanted + 4
    assert came_back > 0
    assert kernel_nonzero(new) == total - zeros(growth.plan) <= 0.3 * total


def test_regrowth_moves_nothing_that_is_excluded_and_asks_for_no_more_than_there_is():
    growth = growing(Ramp(0.75, 5, 0.9), exclude=("b",), sparsity=0.7)  # 0.714 may go
    new, _ = tuned(growth)
    assert np.asarray(new.get_layer("b").kernel).all()
    assert kernel_nonzero(new) == kernel_elements(new) - math.ceil(0.7 * kernel_elements(new))


@pytest.mark.parametrize("method", ["taylor", "fisher"])
def test_the_same_bytes_twice_and_when_it_was_broken_off_on_the_ramp_or_behind_it(tmp_path, method):
    ramp = Ramp(0.5, 3, 0.3, 1e-3)
    whole, history = tuned(growing(ramp, method))
    again, _ = tuned(growing(ramp, method))
    assert values_digest(whole) == values_digest(again)
    wanted = growing(ramp, method)
    tuned(wanted)

    class Broken(Arrays):
        left = 0

        def batches(self, size: int, *, shuffle: int | None = None) -> Iterator[Any]:
            for batch in super().batches(size, shuffle=shuffle):
                if Broken.left == 0:
                    raise KeyboardInterrupt
                Broken.left -= 1
                yield batch

    for place in (14, 37):  # in the second epoch of four, on the ramp; and in the last
        Broken.left = place
        folder = tmp_path / str(place)
        with pytest.raises(KeyboardInterrupt):
            tuned(growing(ramp, method), Broken(blobs().x, blobs().y), checkpoint=folder)
        growth = growing(ramp, method)
        resumed, same = tuned(growth, checkpoint=folder)
        assert values_digest(resumed) == values_digest(whole) and same == history
        assert growth.plan.digest() == wanted.plan.digest()
        for name, value in growth.scores.weights.items():
            assert np.array_equal(value, wanted.scores.weights[name])
        assert growth.scores.facts == wanted.scores.facts


def test_a_score_that_the_training_does_not_give_is_taken_of_what_the_model_is_by_then():
    growth = growing(Ramp(0.5, 4), "wanda", sparsity=0.5)
    new, _ = tuned(growth, epochs=2)
    last = Scorer(new, ["wanda"]).scores(blobs(64).batches(32))["wanda"]
    first = Scorer(net(), ["wanda"]).scores(blobs(64).batches(32))["wanda"]
    for mask in growth.plan.masks:
        told = growth.scores.weights[mask.weight]
        apart = [
            np.corrcoef(told[mask.keep], each.weights[mask.weight][mask.keep])[0, 1]
            for each in (last, first)
        ]
        assert apart[0] > apart[1]
    assert growth.scores.facts["unit"] == "example" and growth.scores.facts["examples"] == 64


def test_what_is_to_go_shrinks_before_it_goes():
    sizes = {}
    for shrink in (0.0, 0.2):
        growth = growing(Ramp(0.5, 20, shrink=shrink), sparsity=0.01)
        new, _ = tuned(growth, epochs=2)
        sizes[shrink] = sum(np.abs(kernel.variable).sum() for kernel in kernels(new).values())
    assert sizes[0.2] < 0.7 * sizes[0.0]


def test_the_pull_towards_zero_is_of_kernels_and_ends_with_the_ramp():
    model, growth = net(), growing(Ramp(0.5, 4, shrink=0.25))
    growth.begin(model, [], 20)
    variables = list(model.trainable_variables)
    nothing = [tf.zeros(variable.shape) for variable in variables]
    pulled = growth.see(variables, nothing)
    for variable, pull in zip(variables, pulled, strict=True):
        wanted = 0.25 * np.sign(variable) if len(variable.shape) > 1 else 0
        assert np.array_equal(pull, np.broadcast_to(wanted, variable.shape))
    assert growth.after(10)
    assert not any(np.any(pull) for pull in growth.see(variables, nothing))


def test_another_ramp_is_another_training(tmp_path):
    first, _ = tuned(growing(Ramp(0.5, 4)), checkpoint=tmp_path)
    for ramp in (Ramp(0.5, 5), Ramp(0.5, 4, shrink=1e-3)):
        other, _ = tuned(growing(ramp), checkpoint=tmp_path)
        assert values_digest(first) != values_digest(other)


def test_few_steps_have_a_ramp_too():
    growth = growing(Ramp(0.9))
    new, history = tuned(growth, epochs=1, batch_size=300)  # two steps
    assert [step for step, _ in growth.seen] == [1]
    assert kernel_nonzero(new) <= 0.2 * kernel_elements(new) and history.best == 1


def test_a_frozen_kernel_has_no_gradient_to_go_by():
    model = net()
    model.get_layer("a").trainable = False
    with pytest.raises(InputError, match="'a/kernel' is not trained, so this ramp finds no grad"):
        tuned(growing(Ramp(0.5)), model=model)
    new, _ = tuned(growing(Ramp(0.5), "magnitude"), model=model)
    assert kernel_nonzero(new) <= 0.2 * kernel_elements(new)


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    model = net()
    model.compile(keras.optimizers.Adam(0.01), LOSS, metrics=["accuracy"])
    model.fit(blobs().x, blobs().y, epochs=3, verbose=0)
    return model


def test_prune_on_a_ramp_with_a_teacher_ends_small_and_its_plan_fits_the_original(trained):
    pair = (blobs().x, blobs().y)
    asked = {"sparsity": 0.8, "ramp": 0.5, "epochs": 3, "learning_rate": 0.01, "batch": 64}
    small, plan = edgeprune.prune(trained, pair, recover=("distill", "batchnorm"), **asked)
    assert plan.why["reached"]["sparsity"] >= 0.8 and plan.why["method"] == "wanda-lamp"
    assert kernel_nonzero(small) <= 0.2 * kernel_elements(trained)
    same, _ = edgeprune.prune(trained, pair, recover=("distill", "batchnorm"), **asked)
    assert values_digest(small) == values_digest(same)
    _, over = edgeprune.prune(trained, pair, rounds=2, **asked)
    assert over.why["reached"]["sparsity"] >= 0.8
    with pytest.raises(PlanError, match=r"the first round lost .* max_drop allows 0"):
        edgeprune.prune(trained, pair, max_drop=0.0, **(asked | {"sparsity": 0.985}))


def test_prune_on_a_ramp_by_a_score_of_calibration_data(trained):
    dead = np.r_[np.ones(7, np.float32), np.zeros(3, np.float32)]
    pair = (blobs().x * dead, blobs().y)
    asked = {"sparsity": 0.5, "ramp": 0.5, "epochs": 2, "learning_rate": 0.01, "batch": 64}
    small, plan = edgeprune.prune(trained, pair, method="wanda", **asked)
    assert plan.why["method"] == "wanda" and plan.why["reached"]["sparsity"] >= 0.5
    # What reads an input that is always zero goes, however large it is.
    assert not np.asarray(small.layers[0].kernel)[7:].any()
    same, _ = edgeprune.prune(trained, pair, method="wanda", **asked)
    assert values_digest(small) == values_digest(same)


def test_a_ramp_to_the_share_that_a_search_finds(trained):
    pair = (blobs(1200).x, blobs(1200).y)
    asked = {"search": "sparsity", "max_drop": 0.2, "grid": (0.3, 0.5), "folds": 2, "epochs": 1}
    small, plan = edgeprune.prune(trained, pair, ramp=0.5, batch=64, **asked)
    assert plan.why["reached"]["sparsity"] >= 0.3
    assert kernel_nonzero(small) <= 0.7 * kernel_elements(trained)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sparsity": 0.5, "ramp": 1.0}, "ramp = 1.0: a share above 0 and below 1"),
        ({"sparsity": 0.5, "ramp": 0.5, "ramp_every": 0}, "ramp_every = 0: at least 1"),
        ({"sparsity": 0.5, "ramp": 0.5, "regrow": 1.0}, "regrow = 1.0: a share"),
        ({"sparsity": 0.5, "ramp": 0.5, "shrink": -1.0}, "shrink = -1.0: a finite number, 0 or"),
        ({"sparsity": 0.5, "shrink": 0.1}, "has shrink, .* and no ramp"),
        ({"channels": 0.5, "ramp": 0.5}, "ask for sparsity, and for it alone"),
        ({"threshold": 0.5, "ramp": 0.5}, "ask for sparsity, and for it alone"),
        ({"sparsity": 0.5, "ramp": 0.5, "recover": ()}, "put 'finetune' or 'distill' in"),
        ({"sparsity": 0.5, "ramp": 0.5, "method": "gate"}, "score 'gate', which is of channels"),
        ({"sparsity": 0.5, "regrow": 0.5}, "has regrow, .* and no ramp"),
    ],
)
def test_what_no_ramp_can_do_is_refused(trained, asked, said):
    with pytest.raises(PlanError, match=said):
        edgeprune.prune(trained, (blobs().x, blobs().y), **asked)
