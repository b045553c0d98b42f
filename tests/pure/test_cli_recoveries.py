"""What a line says of a step of recovery, and of a share."""

from __future__ import annotations

from typing import Any

import pytest

from edgeprune.cli.recoveries import recovered_line
from edgeprune.files import percent

TUNED: dict[str, Any] = {
    "method": "finetune", "metric": "accuracy", "before": 0.9, "after": 0.95, "best_epoch": 2,
    "validation_examples": 30,
}  # fmt: skip
NORMS: dict[str, Any] = {"method": "batchnorm", "batch_norms": 2}


def test_one_step_is_a_line_and_of_several_each_has_its_name() -> None:
    line = "accuracy 0.9000 → 0.9500 on 30 examples set aside"
    assert recovered_line([TUNED]) == line
    assert recovered_line([NORMS, TUNED, {**TUNED, "method": "distill"}]) == (
        f"batchnorm: statistics of 2 batch norms taken anew; finetune: {line}; distill: {line}"
    )


def test_a_training_that_gained_nothing_says_that_the_model_is_as_it_came() -> None:
    """0.9 → 0.9 reads as a success, and nothing of it is in the file."""
    assert recovered_line([{**TUNED, "after": 0.9, "best_epoch": 0}]) == (
        "training gained nothing, the model is as it came: accuracy 0.9000 on 30 examples set aside"
    )


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.5, 2, "50.00%"),
        (1.0, 2, "100.00%"),
        (0.0, 2, "0.00%"),
        (0.99999, 2, "over 99.99%"),
        (0.99994, 2, "99.99%"),
        (0.00001, 2, "below 0.01%"),
        (0.9996, 1, "over 99.9%"),
        (0.0004, 1, "below 0.1%"),
        (0.9994, 1, "99.9%"),
    ],
)
def test_a_share_is_never_rounded_to_all_or_to_nothing(
    share: float, digits: int, text: str
) -> None:
    assert percent(share, digits) == text
