"""A cut is silence, on random graphs of every layer family; and the graphs have the hard cases."""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from random_census import CASES, families, hard_cases
from random_graphs import EVERY, Case, Grown, cases, grown
from surgery_nets import float64, outputs_of, proven, random_plan, woken
from test_surgery_accounts import account_of

from edgeprune.costs import Cost
from edgeprune.models import named_weights, parameters
from edgeprune.plans import Plan
from edgeprune.surgery import cut, zero

FEW, MANY = 200, 2000
SETTINGS = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    # Shrinking builds hundreds of models; a case is named by its seed, and its moves are told.
    phases=[Phase.explicit, Phase.generate],
)


AT_LEAST = {
    **dict.fromkeys(CASES, 6),
    "residual": 30,
    "residual over concat": 10,
    "shared layer": 20,
    "own output": 10,
    "attention": 20,
    "recurrent": 30,
    "grouped convolution": 10,
    "mask": 15,
    "nested model": 40,
    "nested three deep": 10,
    "nested, several inputs": 8,
    "nested, several outputs": 6,
    "one name in several models": 30,
    "several inputs": 30,
    "several outputs": 25,
}
"""In how many of the few graphs a hard case is, found in what was built."""
FAMILIES = """
Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose ConvTranspose DepthwiseConv1D DepthwiseConv2D
SeparableConv1D SeparableConv2D Dense EinsumDense Embedding PReLU
BatchNormalization LayerNormalization GroupNormalization RMSNormalization UnitNormalization
Rescaling Normalization LSTM GRU SimpleRNN RNN Bidirectional TimeDistributed
MultiHeadAttention GroupedQueryAttention Attention AdditiveAttention Dot Matmul Masking
Add Subtract Multiply Maximum Minimum Average Concatenate GetItem Split Stack Glu
Flatten Reshape Permute Transpose ExpandDims Squeeze RepeatVector Cropping ZeroPadding UpSampling
MaxPooling AveragePooling GlobalMaxPooling GlobalAveragePooling Functional Sequential
""".split()  # noqa: SIM905


@dataclass
class Tally:
    """What was proven.

    Attributes:
        tried: cases, with those that answer the same for two inputs.
        moves: by name, in how many proven cases.
        cases: the same of hard cases.
        families: the same of layer classes.
        shares: of each proven case the parameters that are left.
        failure: where one could not be proven.
    """

    tried: int = 0
    moves: Counter[str] = field(default_factory=Counter)
    cases: Counter[str] = field(default_factory=Counter)
    families: Counter[str] = field(default_factory=Counter)
    shares: list[float] = field(default_factory=list)
    failure: Exception | None = None

    def add(self, one: Grown, small: Any) -> None:
        """One that was proven."""
        self.moves.update(set(one.moves))
        self.cases.update(hard_cases(one.model))
        self.families.update(families(one.model))
        self.shares.append(parameters(small) / parameters(one.model))


def awake(case: Case) -> tuple[Grown, Plan]:
    """A case whose outputs tell inputs apart, and a plan."""
    one = grown(case)
    try:
        woken(one.model, one.x, case.seed)
    except AssertionError:
        assume(False)
    return one, random_plan(one.model, np.random.default_rng(case.seed))


@contextlib.contextmanager
def told(case: Case, one: Grown) -> Iterator[None]:
    """What fails inside names the case and the moves that made it."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{case}: {', '.join(one.moves)}")
        raise


def silent(case: Case, most: float) -> tuple[Grown, Any, Plan]:
    """Prove that the cut of a case is silence."""
    one, plan = awake(case)
    with told(case, one):
        try:
            return one, proven(one.model, plan, one.x, most=most), plan
        except AssertionError:
            # The mean over the steps that a mask leaves is NaN where it leaves none.
            zeroed = outputs_of(zero(one.model, plan), one.x)
            assume(all(np.isfinite(y).all() for y in zeroed))
            raise


@functools.cache
def proofs(amount: int) -> Tally:
    """Prove it for so many cases in float64."""
    tally = Tally()

    @settings(SETTINGS, max_examples=amount)
    @given(case=cases())
    def every(case: Case) -> None:
        tally.tried += 1
        with float64():
            one, small, _ = silent(case, 1e-9)
            tally.add(one, small)

    try:
        every()
    except Exception as error:
        tally.failure = error
    return tally


def check(tally: Tally, amount: int) -> None:
    """All of them were proven."""
    if tally.failure is not None:
        raise tally.failure
    assert len(tally.shares) >= amount


def test_a_cut_of_a_random_graph_is_silence() -> None:
    check(proofs(FEW), FEW)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_cut_of_many_random_graphs_is_silence() -> None:
    check(proofs(MANY), MANY)


def test_few_of_them_answer_the_same_for_all_inputs() -> None:
    tally = proofs(FEW)
    assert 1 - len(tally.shares) / tally.tried < 0.15


def test_the_plans_bite() -> None:
    shares = np.array(proofs(FEW).shares)
    assert (shares < 1).mean() > 0.75 and np.median(shares) < 0.9


def test_every_move_is_made() -> None:
    moves = proofs(FEW).moves
    assert {name: moves[name] for name in EVERY if moves[name] < 4} == {}


@pytest.mark.parametrize("name", AT_LEAST)
def test_the_hard_cases_are_there(name: str) -> None:
    assert proofs(FEW).cases[name] >= AT_LEAST[name], proofs(FEW).cases


def test_every_family_is_there() -> None:
    found = proofs(FEW).families
    assert {name: found[name] for name in FAMILIES if found[name] < 2} == {}


@settings(SETTINGS, max_examples=25)
@given(case=cases())
def test_cut_is_strip_after_zero_and_is_counted_to_the_unit(case: Case) -> None:
    """In float32, with the proof too."""
    one, small, plan = silent(case, 1e-4)
    with told(case, one):
        direct = named_weights(cut(one.model, plan))
        apart, account = account_of(one.model, plan)
        assert account.rest == Cost() or plan.masks
        for found in (named_weights(small), named_weights(apart)):
            assert [*found] == [*direct]
            for name, weight in found.items():
                np.testing.assert_array_equal(np.array(weight), np.array(direct[name]), name)
