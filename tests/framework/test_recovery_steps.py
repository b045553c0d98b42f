"""The steps of recovery in a row: each under its name, in the order asked for."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from test_pipeline_keys import keys

import edgeprune
from edgeprune.errors import InputError
from edgeprune.models import kernel_elements, kernel_nonzero, values_digest
from edgeprune.pipeline import dry_run, run
from edgeprune.pipeline.recovering import STEPS, check_steps
from edgeprune.recoveries import NEEDS


def test_every_step_that_has_a_name_can_be_done() -> None:
    assert tuple(STEPS) == tuple(NEEDS)


def test_a_step_that_is_none_is_told_the_nearest() -> None:
    check_steps(NEEDS)
    with pytest.raises(InputError, match=r"no recovery step 'finetun'; did you mean 'finetune'\?"):
        check_steps(("batchnorm", "finetun"))


def test_rounds_learn_from_the_original_step_by_step(trained: Path) -> None:
    model = keras.models.load_model(trained / "model.keras")
    with np.load(trained / "data.npz") as file:
        pair = (file["x_train"], file["y_train"])

    def pruned(*recover: str, **more: object) -> keras.Model:
        return edgeprune.prune(
            model, pair, sparsity=0.8, rounds=2, epochs=1, batch=32, recover=recover, **more
        )[0]

    small = pruned("reconstruct", "batchnorm", "distill")
    assert kernel_nonzero(small) <= 0.2 * kernel_elements(model)
    again = pruned("reconstruct", "batchnorm", "distill")
    assert values_digest(small) == values_digest(again)
    others = (pruned("distill", "batchnorm"), pruned("batchnorm", "finetune"))
    others += (pruned("reconstruct", "batchnorm", "distill", temperature=5.0),)
    assert values_digest(small) not in {values_digest(other) for other in others}
    with pytest.raises(InputError, match="alpha = 2: a share"):
        pruned("distill", alpha=2)


def test_settings_of_distillation_redo_what_learns_from_them_and_nothing_else(
    trained: Path,
) -> None:
    recipe = trained / "edgeprune.toml"
    taught = 'recover=["batchnorm", "distill"]'
    before, hotter = keys(recipe, taught), keys(recipe, taught, "distill.temperature=4.0")
    assert before["round-1"]["distill"]["temperature"] == 2.0
    changed = {name for name in before if before[name] != hotter[name]}
    assert {"round-1", "round-2", "recover"} <= changed
    assert not changed & {"check", "check-evaluate", "export-before-fp32", "verify-before-fp32"}
    assert keys(recipe) == keys(recipe, "distill.temperature=4.0")


def test_a_layer_that_the_original_lacks_is_refused_before_anything_runs(trained: Path) -> None:
    sets = ['recover=["distill"]', 'distill.features=["frist"]']
    with pytest.raises(InputError, match="no layer 'frist' with one output, called once; did you"):
        dry_run(trained / "edgeprune.toml", sets=sets)


def test_a_recipe_whose_zeros_grow_while_it_learns_from_the_original(project: Path) -> None:
    sets = [
        'recover=["reconstruct", "batchnorm", "distill"]', "prune.ramp=0.5",
        "prune.regrow=0.2", "prune.rounds=1",
        'export.formats=["fp32"]', "finetune.last_epochs=1", 'distill.features=["first"]',
    ]  # fmt: skip
    result = run(project / "edgeprune.toml", sets=sets)
    assert result.sparsity >= 0.6 and result.method == "taylor"
    build = project / ".edgeprune"
    (facts,) = (json.loads(path.read_text()) for path in build.glob("stages/round-1/*/plan.json"))
    assert facts["why"]["reached"]["sparsity"] >= 0.6 and facts["why"]["method"] == "taylor"
