"""The steps of recovery in a row: each under its name, in the order asked for."""

from __future__ import annotations

import pytest

from edgeprune.errors import InputError
from edgeprune.pipeline.recovering import STEPS, check_steps
from edgeprune.recoveries import NEEDS


def test_every_step_that_has_a_name_can_be_done() -> None:
    assert tuple(STEPS) == tuple(NEEDS)


def test_a_step_that_is_none_is_told_the_nearest() -> None:
    check_steps(NEEDS)
    with pytest.raises(InputError, match=r"no recovery step 'finetun'; did you mean 'finetune'\?"):
        check_steps(("batchnorm", "finetun"))
