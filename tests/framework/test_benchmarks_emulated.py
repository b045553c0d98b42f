"""The benchmark of counted instructions judges what it should."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.counted import SUBJECTS, Subject, model_of, set_zero
from benchmarks.emulated import _row, wrong
from edgeprune.counts import Count


@pytest.mark.parametrize("block", [(1, 1), (4, 1), (1, 4)])
def test_exactly_the_share_of_the_blocks_is_zero(block: tuple[int, int]) -> None:
    model = model_of("mlp")
    set_zero(model, Subject("mlp", "fp32", 0.75, block, 1, 1))
    ins, outs = block
    for layer in model.layers:
        kernel = np.asarray(layer.kernel)
        if kernel.shape[1] % outs:  # ten outputs have no blocks of four
            assert kernel.all()
            continue
        blocks = kernel.reshape(kernel.shape[0] // ins, ins, kernel.shape[1] // outs, outs)
        kept = (blocks != 0).sum((1, 3))
        assert set(np.unique(kept)) == {0, ins * outs}
        assert (kept == 0).mean() == pytest.approx(0.75, abs=1 / kept.size)


def test_a_count_that_moved_and_a_wrong_output_are_named() -> None:
    subject = Subject("mlp", "int8", 0.9, (16, 1), 0.1, 0.2)

    def counted(instructions: int | None, match: bool = True) -> Count:
        return Count("", "", "", "", "2.3.0", 1, "", "", match, 0.0, instructions, {"gemm": 1})

    def found(a72: Count, a76: Count) -> list[str]:
        return wrong(_row(subject, 1, {"A72": a72, "A76": a76}))

    assert found(counted(100_900), counted(198_100)) == []
    assert found(counted(101_100), counted(200_000, match=False)) == [
        "mlp int8 90% in 16 inputs, as an A72: 101,100 instructions, 100,000 earlier",
        "mlp int8 90% in 16 inputs, as an A76: the outputs are not the host's",
    ]
    assert "no C compiler" in found(counted(None), counted(200_000))[0]


def test_every_file_has_a_name_of_its_own() -> None:
    assert len({subject.title for subject in SUBJECTS}) == len(SUBJECTS)
