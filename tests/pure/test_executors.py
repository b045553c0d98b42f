"""Work comes back whole, whoever did it and whoever died of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from executor_work import die, die_once, refuse, square

from edgeprune.errors import DataError, InputError, WorkerError
from edgeprune.executors import Here, Pool, of_workers

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("executor", [Here(), Pool(2)])
def test_every_item_comes_back_once_with_its_index(executor: Here | Pool) -> None:
    found = list(executor.map(square, [3, 5, 7]))
    assert sorted(found) == [(0, 9), (1, 25), (2, 49)]


@pytest.mark.parametrize("executor", [Here(), Pool(2)])
def test_nothing_to_do(executor: Here | Pool) -> None:
    assert list(executor.map(square, [])) == []


@pytest.mark.parametrize("executor", [Here(), Pool(2)])
def test_what_the_work_raises_comes_out_as_it_is(executor: Here | Pool) -> None:
    with pytest.raises(DataError, match=r"^4: refused$"):
        list(executor.map(refuse, [4]))


def test_where_a_worker_dies_only_the_rest_runs_again(tmp_path: Path) -> None:
    found = list(Pool(1).map(die_once, [(n, str(tmp_path)) for n in range(6)]))
    assert sorted(found) == [(n, n) for n in range(6)]
    runs = [len(list(tmp_path.glob(f"ran-{n}-*"))) for n in range(6)]
    assert runs[:4] == [1, 1, 1, 2]  # those before it had come back
    assert (tmp_path / "died").exists()


def test_workers_that_die_again_and_again_are_given_up() -> None:
    with pytest.raises(WorkerError, match="died 3 times and finished nothing"):
        list(Pool(2).map(die, [1, 2]))


def test_one_worker_is_this_process() -> None:
    assert isinstance(of_workers(1), Here)
    assert isinstance(of_workers(2), Pool)
    for wrong in (0, -1):
        with pytest.raises(InputError, match=f"workers = {wrong}"):
            of_workers(wrong)
