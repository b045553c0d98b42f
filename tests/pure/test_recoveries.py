"""A step of recovery has one name, wherever it can be asked for."""

from __future__ import annotations

from typing import get_args

from edgeprune.cli.options import Recovery as Offered
from edgeprune.recoveries import NEEDS, Recovery, which_train


def test_recipe_and_command_line_name_the_same_steps() -> None:
    names = get_args(Recovery)
    assert tuple(NEEDS) == names
    assert tuple(Offered) == names
    assert which_train(names) and "batchnorm" not in which_train(names)
