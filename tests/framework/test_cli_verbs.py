"""Every verb on real files, as a user calls it: what is written, what is printed, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_process import Program, temporaries

from edgeprune.scores import Scores

MAKE = """
import sys
import numpy as np
import keras
folder = sys.argv[1]
keras.utils.set_random_seed(1)
random = np.random.default_rng(0)
centres = random.normal(size=(4, 12)).astype("float32") * 2
y = np.arange(400) % 4
x = (centres[y] + random.normal(size=(400, 12))).astype("float32")
model = keras.Sequential([
    keras.Input((12,)),
    keras.layers.Dense(32, activation="relu"),
    keras.layers.BatchNormalization(),
    keras.layers.Dense(16, activation="relu"),
    keras.layers.Dense(4, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, epochs=15, batch_size=32, verbose=0)
model.save(f"{folder}/model.keras")
bare = keras.Sequential.from_config(model.get_config())
bare.set_weights(model.get_weights())
bare.save(f"{folder}/bare.keras")
np.savez(f"{folder}/d.npz", x=x, y=y)
np.savez(f"{folder}/four.npz", x_train=x[:300], y_train=y[:300], x_test=x[300:], y_test=y[300:])
np.savez(f"{folder}/wide.npz", x=np.zeros((8, 13), "float32"), y=np.zeros(8, "int64"))
np.savez(f"{folder}/nan.npz", x=np.full((8, 12), np.nan, "float32"), y=np.zeros(8, "int64"))
open(f"{folder}/broken.keras", "wb").write(open(f"{folder}/model.keras", "rb").read()[:999])
open(f"{folder}/mine.py", "w").write(
    "import keras\\n"
    "def loss(y, p):\\n"
    "    return keras.losses.sparse_categorical_crossentropy(y, p)\\n"
    "def data():\\n"
    "    import numpy as np\\n"
    "    print('the user prints')\\n"
    "    with np.load('d.npz') as file:\\n"
    "        return file['x'], file['y']\\n"
    "def net():\\n"
    "    return keras.models.load_model('model.keras')\\n"
)
"""

TENTH = ("plan", "s.npz", "--model", "model.keras", "-o", "x.json", "--channels")
PRUNE = ("prune", "model.keras", "--data", "d.npz", "--method", "magnitude", "-o", "x.keras")
DONE = (*PRUNE[:-1], "done.keras")
HALF = ("plan", "s.npz", "--model", "model.keras", "--channels", "0.5", "-o", "x.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verbs")
    subprocess.run(
        [sys.executable, "-c", MAKE, str(folder)], check=True, capture_output=True, timeout=300
    )
    return folder


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


@pytest.fixture(scope="module")
def zeroed(program: Program, folder: Path) -> Path:
    """score, plan, zero, one after the other."""
    facts = program.facts(
        folder, "score", "model.keras", "--data", "d.npz", "--method", "taylor", "-o", "s.npz"
    )
    assert facts["kernels"] == 3
    assert facts["weights"] == 12 * 32 + 32 * 16 + 16 * 4
    facts = program.facts(folder, "plan", "s.npz", "--sparsity", 0.75, "-o", "plan.json")
    assert facts["masked_sparsity"] == pytest.approx(0.75, abs=0.002)
    facts = program.facts(
        folder, "zero", "model.keras", "--plan", "plan.json", "-o", "zeroed.keras"
    )
    assert facts["sparsity"] == pytest.approx(0.75, abs=0.002)
    assert facts["model_before"]["parameters"] == facts["model_after"]["parameters"]
    return folder / "zeroed.keras"


def test_the_road_by_hand(program: Program, folder: Path, zeroed: Path) -> None:
    code, out, err = program(
        folder, "recover", zeroed, "--data", "d.npz", "--plan", "plan.json", "--epochs", 2,
        "-o", "recovered.keras", "-q",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.startswith("recovered.keras: ") and " accuracy " in out and "set aside" in out
    assert out.count("\n") == 1
    facts = program.facts(folder, "strip", "recovered.keras", "-o", "small.keras")
    assert facts["sparsity"] >= 0.748
    assert facts["model_after"]["parameters"] <= facts["model_before"]["parameters"]
    facts = program.facts(folder, "inspect", "small.keras")
    assert facts["sparsity"] > 0


def test_an_optimiser_that_starts_fresh_is_said(program: Program, folder: Path) -> None:
    code, _, err = program(folder, "strip", "model.keras", "-o", "fresh.keras")
    assert code == 0, err
    assert "the optimiser (adam) starts fresh: what it had after 195 steps is left out" in err
    facts = program.facts(folder, "strip", "fresh.keras", "-o", "again.keras")
    assert facts["optimizer"] is None


def test_batch_norm_alone(program: Program, folder: Path, zeroed: Path) -> None:
    code, _, err = program(
        folder, "recover", zeroed, "--data", "d.npz", "--method", "batchnorm", "-o", "bn.keras"
    )
    assert code == 0, err
    assert (folder / "bn.keras").exists()


def test_several_steps_of_recovery_are_done_in_order(
    program: Program, folder: Path, zeroed: Path
) -> None:
    asked = ("recover", zeroed, "--data", "d.npz", "--epochs", 1, "-o", "both.keras")
    both = ("--method", "batchnorm", "--method", "finetune")
    facts = program.facts(folder, *asked, *both)
    assert [step["method"] for step in facts["steps"]] == ["batchnorm", "finetune"]
    assert facts["steps"][0]["batch_norms"] == 1 and facts["steps"][1]["validation_examples"] == 40
    code, out, err = program(folder, *asked, *both[2:], *both[:2], "-q")
    assert code == 0 and out.startswith("both.keras: finetune: "), err
    assert out.endswith("; batchnorm: statistics of 1 batch norm taken anew\n")


@pytest.fixture(scope="module")
def unlabelled(folder: Path) -> str:
    import numpy as np

    with np.load(folder / "d.npz") as file:
        np.savez(folder / "inputs.npz", x=file["x"])
    return "inputs.npz"


def test_data_without_labels_is_enough_where_no_step_reads_them(
    program: Program, folder: Path, zeroed: Path, unlabelled: str
) -> None:
    asked = ("recover", zeroed, "--data", "inputs.npz", "-o", "unlabelled.keras", "--method")
    assert program(folder, *asked, "batchnorm")[0] == 0
    code, _, err = program(folder, *asked, "finetune")
    assert code == 2 and "inputs.npz: holds no array for the targets" in err, err


def test_distillation_needs_the_dense_model_and_no_labels(
    program: Program, folder: Path, zeroed: Path, unlabelled: str
) -> None:
    asked = ("recover", zeroed, "--data", "inputs.npz", "--method", "distill", "-o", "taught.keras")
    code, _, err = program(folder, *asked)
    assert code == 2 and err.count("\n") == 1, err
    assert "--method distill needs the model as it was before pruning: add --dense MODEL" in err
    learnt = (*asked, "--dense", "model.keras", "--epochs", 2)
    facts = program.facts(folder, *learnt, "--temperature", 3, "--features", "auto")
    assert facts["metric"] == "distillation loss" and facts["after"] < facts["before"]
    code, _, err = program(folder, *learnt, "--alpha", 0.5)
    assert code == 2 and "alpha = 0.5 mixes in labels, and there are none in the data" in err
    code, _, err = program(folder, *learnt, "--features", "hiden")
    assert code == 2 and "no layer 'hiden'" in err
    asked = ("recover", zeroed, "--data", "d.npz", "--alpha", 0.5, "-o", "no.keras")
    code, _, err = program(folder, *asked)
    assert code == 2 and "--alpha is of distill, which is not asked for (finetune)" in err


def test_least_squares_tell_of_every_layer_and_read_no_labels(
    program: Program, folder: Path, zeroed: Path, unlabelled: str
) -> None:
    asked = (
        "recover",
        zeroed,
        "--data",
        "inputs.npz",
        "--method",
        "reconstruct",
        "-o",
        "solved.keras",
    )
    code, _, err = program(folder, *asked)
    assert code == 2 and err.count("\n") == 1, err
    assert "--method reconstruct needs the model as it was before pruning: add --dense MODEL" in err
    solving = (*asked, "--dense", "model.keras")
    facts = program.facts(folder, *solving)
    assert [row["layer"] for row in facts["layers"]] == ["dense", "dense_1", "dense_2"]
    for row in facts["layers"]:
        assert row["after"] < row["before"] and row["reason"] is None and row["ridge"] > 0, row
    assert facts["output_error"]["after"] < facts["output_error"]["before"]
    assert facts["model_after"]["nonzero"] == facts["model_before"]["nonzero"]
    code, out, err = program(folder, *solving, "--method", "batchnorm")
    assert code == 0 and "3 of 3 layers solved on 400 examples, error of the outputs " in out, err
    assert "before" in out and "1 batch norm taken anew" in out
    assert max(map(len, out.splitlines()[:-1])) <= 80


def test_least_squares_find_the_channels_of_a_stripped_model_or_read_them_in_the_plan(
    program: Program, folder: Path, zeroed: Path, unlabelled: str
) -> None:
    from edgeprune.models import load_model

    half = ("--channels", 0.5, "--scope", "layer", "--model", "model.keras")
    program.facts(folder, "plan", "s.npz", *half, "-o", "ch.json")
    program.facts(folder, "strip", "model.keras", "--plan", "ch.json", "-o", "ch.keras")
    solving = ("--data", "inputs.npz", "--method", "reconstruct", "--dense", "model.keras")
    found = program.facts(folder, "recover", "ch.keras", *solving, "-o", "found.keras")
    assert found["output_error"]["after"] < found["output_error"]["before"]
    trained = load_model(folder / "ch.keras")
    for weight in trained.trainable_weights:
        weight.assign(weight * 1.01)
    trained.save(folder / "trained.keras")
    again = ("recover", "trained.keras", *solving, "-o", "again.keras")
    code, _, err = program(folder, *again)
    assert code == 2 and err.count("\n") == 1 and ": no channels of the dense model" in err
    planned = program.facts(folder, *again, "--plan", "ch.json")
    assert planned["output_error"]["after"] < planned["output_error"]["before"]
    code, _, err = program(folder, *again, "--plan", "plan.json")
    assert code == 2 and "layer 'dense': the plan makes 'dense/kernel' of shape" in err
    other = ("recover", zeroed, *solving[:-1], "ch.keras", "-o", "no.keras")
    code, _, err = program(folder, *other)
    assert code == 2 and err.count("\n") == 1 and "layer 'dense': 'dense/kernel' has shape" in err


def test_pruning_recovers_by_least_squares_without_training(program: Program, folder: Path) -> None:
    asked = ("prune", "model.keras", "--data", "d.npz", "--channels", 0.4, "--scope", "layer")
    steps = ("--recover", "reconstruct", "--recover", "batchnorm")
    solved = program.facts(folder, *asked, *steps, "--rounds", 2, "-o", "p.keras")
    alone = program.facts(folder, *asked, *steps[2:], "--rounds", 2, "-o", "q.keras")
    assert solved["validation"]["after"] >= alone["validation"]["after"]
    assert solved["model_after"]["macs"] == alone["model_after"]["macs"]


def test_the_dense_model_is_asked_for_only_where_a_step_reads_it(
    program: Program, folder: Path, zeroed: Path
) -> None:
    asked = ("recover", zeroed, "--data", "d.npz", "--method", "batchnorm", "-o", "no.keras")
    code, _, err = program(folder, *asked, "--dense", "model.keras")
    assert code == 2 and "--dense model.keras: no step asked for reads it (batchnorm)" in err, err
    assert err.count("\n") == 1 and not (folder / "no.keras").exists()


def test_the_model_and_the_one_before_it_may_not_change_places(
    program: Program, folder: Path, zeroed: Path
) -> None:
    asked = ("--data", "d.npz", "-o", "turned.keras")
    code, out, err = program(
        folder, "recover", "model.keras", *asked, "--method", "reconstruct", "--dense", zeroed
    )
    assert (code, out) == (2, "") and "swapped?" in err and "(--dense)" in err
    assert not (folder / "turned.keras").exists()
    teach = ("--method", "distill", "--epochs", 1, "--dense", zeroed)
    code, _, err = program(folder, "recover", zeroed, *asked, *teach)
    assert code == 0 and "there is nothing to learn from it" in err, err


def test_batch_norm_on_a_model_without_any_says_that_there_is_nothing_to_do(
    program: Program, folder: Path
) -> None:
    import keras

    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(4)])
    model.compile(loss="sparse_categorical_crossentropy")
    model.save(folder / "plain.keras")
    asked = ("recover", "plain.keras", "--data", "d.npz", "--method", "batchnorm")
    code, out, err = program(folder, *asked, "-o", "same.keras")
    assert code == 0 and (folder / "same.keras").exists(), err
    assert out == "same.keras: nothing to do, this model has no batch norms; written as it was\n"
    assert program.facts(folder, *asked, "-o", "same.keras")["batch_norms"] == 0
    asked = ("prune", "plain.keras", "--data", "d.npz", "--sparsity", 0.5)
    code, _, err = program(folder, *asked, "--recover", "batchnorm", "-o", "same.keras")
    assert code == 0 and "note: recover: 'batchnorm' has nothing to do" in err, err


def test_prune_takes_loss_and_metric_from_the_compiled_model(
    program: Program, folder: Path
) -> None:
    facts = program.facts(
        folder, "prune", "model.keras", "--data", "d.npz", "--sparsity", 0.8, "--rounds", 2,
        "--epochs", 1, "--save-plan", "pruned.json", "-o", "pruned.keras",
    )  # fmt: skip
    assert facts["sparsity"] == pytest.approx(0.8, abs=0.02)
    assert (folder / "pruned.json").exists()
    facts = program.facts(
        folder, "prune", "model.keras", "--data", "d.npz", "--channels", 0.5, "--epochs", 1,
        "-o", "thin.keras",
    )  # fmt: skip
    assert facts["model_after"]["macs"] < 0.6 * facts["model_before"]["macs"]
    assert facts["plan"]["channels"]


def test_prune_on_a_ramp_with_a_teacher(program: Program, folder: Path) -> None:
    asked = ("prune", "model.keras", "--data", "d.npz", "--epochs", 2, "--ramp", 0.5)
    asked += ("--recover", "distill", "-o", "ramped.keras")
    facts = program.facts(
        folder, *asked, "--sparsity", 0.8, "--pattern", "1x4", "--ramp-every", 2, "--regrow", 0.2,
        "--temperature", 3, "--alpha", 0.1, "--save-plan", "ramped.json",
    )  # fmt: skip
    assert 0.8 <= facts["plan"]["why"]["reached"]["sparsity"] < 0.81
    assert facts["plan"]["why"]["pattern"] == "1x4" and facts["sparsity"] >= 0.8
    code, _, err = program(folder, *asked, "--channels", 0.5)
    assert code == 2 and err.count("\n") == 1 and "ask for sparsity, and for it alone" in err
    facts = program.facts(folder, *asked, "--sparsity", 0.5, "--method", "wanda")
    assert facts["plan"]["why"]["method"] == "wanda" and facts["sparsity"] >= 0.5


def test_prune_says_what_it_did_with_every_group(
    program: Program, folder: Path, zeroed: Path
) -> None:
    asked = (*DONE, "--channels", 0.5, "--multiple", 10, "--epochs", 1)
    facts = program.facts(folder, *asked)
    assert {row["group"]: row["size"] - row["left"] for row in facts["cut"]} == {"dense": 22}
    assert facts["stay"] == [
        {"reason": "model input", "groups": ["input_layer"]},
        {"reason": "its channels score higher than those that go", "groups": ["dense_1"]},
        {"reason": "model output", "groups": ["dense_2"]},
    ]
    assert facts["asked"] == {"channels": 0.5} and facts["reached"]["dropped"] == 22
    assert facts["shortfall"] == "widths are held to multiple = 10"
    _, out, _ = program(folder, *asked)
    lines = [line.split() for line in out.splitlines()]
    assert ["dense", "22", "32", "10"] in lines
    assert "• model output: dense_2" in out
    judged = facts["validation"]
    before, after = judged["before"], judged["after"]
    assert judged["metric"] == "accuracy" and 0 < after <= 1 and before > 0.9
    assert f"accuracy on the validation split: {before:.4g} before, {after:.4g} now" in out
    assert "hardly anything" not in out
    said = "of the 48 that may); widths are held to multiple = 10"
    assert f"channels: 50.00% asked, 45.83% go (22 {said}" in out
    code, out, err = program(folder, *HALF, "--multiple", 10)
    (folder / "x.json").unlink()
    assert code == 0 and said in out, err


def test_a_group_that_is_drained_is_named(program: Program, folder: Path, zeroed: Path) -> None:
    code, out, err = program(
        folder, "plan", "s.npz", "--model", "model.keras", "--channels", 0.95, "-o", "x.json"
    )
    (folder / "x.json").unlink()
    assert code == 0, err
    words = " ".join(out.split())
    assert (
        "hardly anything is left of dense (" in words and "--most 0.8 would keep a fifth" in words
    )


def test_prune_says_why_groups_stay(program: Program, folder: Path) -> None:
    """Excluded, too narrow for the multiple, and none dead where single weights were asked for."""
    more = ("--exclude", "dense", "--multiple", 4, "--epochs", 1)
    facts = program.facts(folder, *DONE, "--channels", 0.5, *more)
    assert {"reason": "excluded", "groups": ["dense"]} in facts["stay"]
    facts = program.facts(folder, *DONE, "--channels", 0.5, "--multiple", 16, "--epochs", 1)
    reason = "no width below its own with multiple = 16"
    assert {"reason": reason, "groups": ["dense_1"]} in facts["stay"]
    facts = program.facts(folder, *DONE, "--sparsity", 0.1, "--epochs", 1)
    reason = "none of its channels is dead: single weights were asked for"
    assert {"reason": reason, "groups": ["dense", "dense_1"]} in facts["stay"]
    assert facts["cut"] == [] and facts["shortfall"] is None


def test_prune_goes_a_round_back_and_says_so(program: Program, folder: Path) -> None:
    more = ("--rounds", 3, "--schedule", "linear", "--epochs", 1, "--max-drop", 0.2)
    facts = program.facts(folder, *DONE, "--sparsity", 0.996, *more)
    assert facts["rounds"]["used"] < facts["rounds"]["of"] == 3
    assert facts["asked"] == {"sparsity": 0.996} and facts["reached"]["sparsity"] < 0.9
    _, out, _ = program(folder, *DONE, "--sparsity", 0.996, *more)
    assert (
        f"rounds: {facts['rounds']['used']} of 3; the next one lost more than --max-drop allows"
        in out
    )
    assert "connections: 99.60% asked, " in out


def test_a_plan_that_prune_makes_is_no_plan_that_it_reads(program: Program, folder: Path) -> None:
    (folder / "mine.json").write_text("{}")
    asked = (*PRUNE, "--sparsity", 0.5)
    code, out, err = program(folder, *asked, "--plan", "mine.json")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "--save-plan" in err and "strip model.keras --plan mine.json -o x.keras" in err
    code, _, err = program(folder, *asked, "--save-plan", "d.json")
    assert code == 2 and "d.json: its masks would replace d.npz" in err
    assert (folder / "mine.json").read_text() == "{}" and not (folder / "d.json").exists()


def test_scores_of_channels_by_hand_and_in_rounds(program: Program, folder: Path) -> None:
    code, out, err = program(
        folder, "score", "model.keras", "--data", "d.npz", "--method", "gate-fisher", "--chunk", 8,
        "-o", "gates.npz", "-q",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "channels of 2 groups scored by gate-fisher" in out
    code, _, err = program(folder, "plan", "gates.npz", "--sparsity", 0.5, "-o", "none.json")
    assert code == 2 and "'gate-fisher' is of channels" in err and err.count("\n") == 1
    facts = program.facts(
        folder,
        "plan",
        "gates.npz",
        "--model",
        "model.keras",
        "--channels",
        0.5,
        "-o",
        "chosen.json",
    )
    assert facts["channels"]
    facts = program.facts(
        folder, "prune", "model.keras", "--data", "d.npz", "--channels", 0.5, "--method", "gate",
        "--epochs", 1, "--rounds", 2, "-o", "gated.keras",
    )  # fmt: skip
    assert facts["model_after"]["macs"] < 0.6 * facts["model_before"]["macs"]
    facts = program.facts(
        folder, "score", "model.keras", "--method", "lamp", "--normalize", "sum", "-o", "lamp.npz"
    )
    assert facts["facts"] == {"unit": "none", "normalize": "sum"}


def test_several_scores_in_one_pass_have_a_file_each(program: Program, folder: Path) -> None:
    ask = ("score", "model.keras", "--data", "d.npz", "-o", "many.npz")
    methods = ("taylor", "gate", "magnitude")
    flags = [text for method in methods for text in ("--method", method)]
    facts = program.facts(folder, *ask, *flags)
    assert [(one["method"], one["file"]) for one in facts["scores"]] == [
        (method, f"many-{method}.npz") for method in methods
    ]
    assert not (folder / "many.npz").exists()
    alone = program.facts(folder, *ask, "--method", "taylor")
    assert alone == {**facts["scores"][0], "file": "many.npz"}
    one, other = (Scores.load(folder / f"{name}.npz") for name in ("many", "many-taylor"))
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, other.weights[name])
    code, out, _ = program(folder, *ask, "--method", "lamp", "--method", "magnitude", "-q")
    assert code == 0 and [line.split(":")[0] for line in out.splitlines()] == [
        "many-lamp.npz",
        "many-magnitude.npz",
    ]
    code, _, err = program(folder, *ask[:-1], "no/such\0.npz", *flags)
    assert code != 0 and err.count("\n") == 1


def test_intervals_are_as_sure_as_asked_for(program: Program, folder: Path) -> None:
    ask = ("scan", "model.keras", "--data", "d.npz", "--ratios", 0.5, "--method", "magnitude")
    wide, narrow = (
        program.facts(folder, *ask, "--confidence", sure, "-o", f"sure{sure}")
        for sure in (0.99, 0.6)
    )
    assert (wide["confidence"], narrow["confidence"]) == (0.99, 0.6)
    for one, other in zip(wide["curves"], narrow["curves"], strict=True):
        assert one["readings"][0]["low"] < other["readings"][0]["low"]
    program.facts(folder, "score", "model.keras", "--method", "magnitude", "-o", "sure.npz")
    ask = ("plan", "sure.npz", "--model", "model.keras", "--data", "d.npz", "-o", "surely.json")
    facts = program.facts(folder, *ask, "--max-drop", 0.5, "--grid", "0.1,0.3", "--confidence", 0.8)
    assert facts["search"]["confidence"] == 0.8
    code, _, err = program(folder, *ask, "--sparsity", 0.5, "--confidence", 0.8)
    assert code == 2 and "--confidence are of the largest share within --max-drop" in err
    code, _, err = program(folder, *ask, "--max-drop", 0.5, "--confidence", 1)
    assert code == 2 and "a share from 0.5 to below 1" in err


def test_scores_without_labels(program: Program, folder: Path) -> None:
    with np.load(folder / "d.npz") as file:
        np.savez(folder / "unlabelled.npz", x=file["x"])
    asked = ("score", "bare.keras", "--data", "unlabelled.npz", "--method", "fisher", "-o", "o.npz")
    code, _, err = program(folder, *asked, "--loss", "sparse_categorical_crossentropy")
    assert code == 2 and "holds no array for the targets" in err
    facts = program.facts(folder, *asked, "--loss", "own-kl")
    assert facts["facts"]["loss"] == "own-kl" and facts["weights"] == 12 * 32 + 32 * 16 + 16 * 4


def test_an_uncompiled_model_needs_a_loss(program: Program, folder: Path) -> None:
    ask = ("score", "bare.keras", "--data", "d.npz", "-o", "bare.npz")
    code, _, err = program(folder, *ask)
    assert code == 2
    assert "--loss" in err and err.count("\n") == 1
    for loss in ("sparse_categorical_crossentropy", "mine:loss"):
        code, _, err = program(folder, *ask, "--loss", loss)
        assert code == 0, err
    code, _, err = program(folder, *ask, "--loss", "sparse_categorical_crosentropy")
    assert code == 2
    assert "sparse_categorical_crossentropy" in err


def test_magnitude_needs_neither_loss_nor_data(program: Program, folder: Path) -> None:
    facts = program.facts(folder, "score", "bare.keras", "--method", "magnitude", "-o", "m.npz")
    assert facts["kernels"] == 3
    code, _, err = program(folder, "score", "model.keras", "-o", "m.npz")
    assert code == 2
    assert "--data" in err and err.count("\n") == 1


def test_a_pattern_of_n_in_m(program: Program, folder: Path, zeroed: Path) -> None:
    code, out, err = program(folder, "plan", "s.npz", "--pattern", "2:4:input", "-o", "nm.json")
    assert code == 0, err
    assert "connections: pattern 2:4 asked, 50.00% go" in out
    facts = program.facts(
        folder, "prune", "model.keras", "--data", "d.npz", "--method", "magnitude",
        "--pattern", "1:4", "--rounds", 2, "--epochs", 1, "-o", "nm.keras",
    )  # fmt: skip
    assert facts["asked"] == {"pattern": "1:4"}
    assert facts["reached"]["sparsity"] == pytest.approx(0.75)
    code, out, err = program(
        folder, "plan", "s.npz", "--pattern", "2x1", "--sparsity", "0.5", "-o", "x.json"
    )
    assert code == 0, err
    assert "pattern 2x1 is not for these, they go by single weights: dense/kernel" in out
    for asked, said in (
        (("--pattern", "2:4", "--sparsity", "0.5"), "leave sparsity out"),
        (("--pattern", "1x5", "--sparsity", "0.5"), "did you mean '1x4'"),
    ):
        code, out, err = program(folder, "plan", "s.npz", *asked, "-o", "bad.json")
        assert (code, out, err.count("\n")) == (2, "", 1) and said in err
    assert not (folder / "bad.json").exists()


def test_the_largest_share_within_a_budget(program: Program, folder: Path, zeroed: Path) -> None:
    search = ("plan", "s.npz", "--model", "model.keras", "--data", "d.npz", "--max-drop", 0.05)
    code, out, err = program(folder, *search, "-o", "within.json")
    assert code == 0, err
    assert "taken" in out and "folds by themselves" in out
    assert "with 95% confidence" in out and max(map(len, out.splitlines())) <= 100
    facts = program.facts(folder, *search, "--grid", "0.2,0.95", "--folds", 3, "-o", "grid.json")
    assert [point["share"] for point in facts["search"]["points"]] == [0.2, 0.95]
    assert facts["search"]["share"] == facts["why"]["asked"]["sparsity"] == 0.2
    facts = program.facts(folder, *search[:-1], 0.3, "--search", "channels", "-o", "cut.json")
    assert facts["channels"] and facts["masks"] == 0
    assert json.loads((folder / "cut.json").read_text())["why"]["search"] == facts["search"]
    for wrong, said in (
        (("--sparsity", "0.5"), "leave --sparsity out"),
        (("--folds", "1"), "1 is not a whole number from 2 to 100"),
        (("--grid", "0.5,2"), "2 is not a share from 0 to below 1"),
        (("--target", "host"), "add --channels"),
    ):
        code, out, err = program(folder, *search, *wrong, "-o", "bad.json")
        assert (code, out, err.count("\n")) == (2, "", 1) and said in err
    code, out, err = program(folder, *search[:6], "--search", "channels", "-o", "bad.json")
    assert code == 2 and "within --max-drop: add it" in err
    code, out, err = program(folder, *search[:4], "--max-drop", 0.1, "-o", "bad.json")
    assert code == 2 and "add --data FILE" in err
    assert not (folder / "bad.json").exists()


def test_a_scan_goes_on_and_tells_what_suffers_most(program: Program, folder: Path) -> None:
    scan = ("scan", "model.keras", "--data", "d.npz", "-o", "scan", "--ratios", "0.25,0.5,0.9")
    code, out, err = program(folder, *scan)
    assert code == 0, err
    assert "place" in out and "25%" in out and "kept from before" not in out
    assert (folder / "scan" / "scan.svg").read_text().startswith("<svg")
    facts = program.facts(folder, *scan)
    assert facts["kept"] == len(facts["curves"]) == 2 and set(facts["ranked"]) == {
        "dense",
        "dense_1",
    }
    low, high = (facts["curves"][0]["readings"][-1][end] for end in ("low", "high"))
    assert low < high
    assert json.loads((folder / "scan" / "scan.json").read_text())["curves"] == facts["curves"]
    there = ("-o", "scan")
    for wrong, said in (
        ((*there, "--ratios", "0.5,1.5"), "1.5 is not a share"),
        ((*there, "--examples", "1"), "1 is not a whole number from 2 up"),
        ((*there, "--of", "weights", "--method", "gate"), "'gate' is of channels"),
        (("-o", "model.keras"), "model.keras"),
    ):
        code, out, err = program(folder, *scan[:4], *wrong)
        assert (out, err.count("\n")) == ("", 1) and said in err and code in (1, 2)


def test_prune_by_a_threshold(program: Program, folder: Path) -> None:
    facts = program.facts(
        folder, "prune", "model.keras", "--data", "d.npz", "--threshold", 0.2, "--method",
        "magnitude", "--epochs", 1, "-o", "t.keras",
    )  # fmt: skip
    assert 0.1 < facts["sparsity"] < 0.9
    assert facts["plan"]["why"]["asked"] == {"threshold": 0.2}


def test_a_first_round_beyond_max_drop_is_an_error_as_in_a_run(
    program: Program, folder: Path
) -> None:
    asked = (*PRUNE, "--sparsity", 0.99, "--epochs", 1, "--max-drop", 0.001)
    code, out, err = program(folder, *asked, "-q")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "the first round lost 0." in err and "max_drop allows 0.001" in err
    assert not (folder / "x.keras").exists()


def test_a_threshold_below_every_score_is_refused_before_training(
    program: Program, folder: Path
) -> None:
    code, out, err = program(folder, *PRUNE, "--threshold", 1e-30)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "no score of 'magnitude' is below threshold = 1e-30" in err
    assert not (folder / "x.keras").exists()


def test_recover_holds_the_cuts_of_a_plan_on_values_that_have_grown_back(
    program: Program, folder: Path, zeroed: Path
) -> None:
    program.facts(
        folder, "plan", "s.npz", "--model", "model.keras", "--channels", 0.5, "-o", "half.json"
    )
    program.facts(
        folder, "recover", "model.keras", "--data", "d.npz", "--plan", "half.json", "--epochs", 1,
        "-o", "held.keras",
    )  # fmt: skip
    facts = program.facts(folder, "strip", "held.keras", "-o", "held-small.keras")
    assert sum(facts["removed"].values()) == 24
    assert facts["kept"] == []


def test_data_of_a_function_and_what_it_prints_stays_off_the_screen(
    program: Program, folder: Path
) -> None:
    code, out, err = program(
        folder, "score", "model.keras", "--data", "mine:data", "-o", "f.npz", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["kernels"] == 3
    assert "the user prints" not in out + err


def test_every_verb_takes_a_model_that_a_function_returns(program: Program, folder: Path) -> None:
    net, data = "mine:net", ("--data", "d.npz")
    assert program.facts(folder, "inspect", net)["parameters"] == 1140
    program.facts(folder, "score", net, "--method", "magnitude", "-o", "f.npz")
    program.facts(folder, "plan", "f.npz", "--model", net, "--channels", 0.5, "-o", "fp.json")
    for verb in (
        ("zero", net, "--plan", "fp.json"),
        ("strip", net, "--plan", "fp.json"),
        ("recover", net, *data, "--epochs", 1),
        ("prune", net, *data, "--sparsity", 0.5, "--epochs", 1),
    ):
        assert program.facts(folder, *verb, "-o", "f.keras")["file"] == "f.keras"
    program.facts(folder, "export", net, "--format", "fp32", "-o", "f.tflite")
    program.facts(folder, "verify", "f.tflite", "--model", net, *data)
    code, _, err = program(folder, "inspect", "mine:nett")
    assert code == 2 and "did you mean 'net'" in err and err.count("\n") == 1


def test_groups(program: Program, folder: Path) -> None:
    facts = program.facts(folder, "inspect", "model.keras", "--groups")
    assert {group["size"] for group in facts["groups"]} >= {32, 16}
    code, out, _ = program(folder, "inspect", "model.keras", "--groups")
    assert code == 0
    assert "parameters" in out and "groups" in out


@pytest.fixture(scope="module")
def channels(program: Program, folder: Path, zeroed: Path) -> Path:
    program.facts(
        folder, "plan", "s.npz", "--model", "model.keras", "--channels", 0.5, "-o", "half.json"
    )
    return folder / "half.json"


def test_asked_and_possible_side_by_side(program: Program, folder: Path, channels: Path) -> None:
    facts = program.facts(folder, "inspect", "model.keras", "--plan", channels)["plan"]
    rows = {row["size"]: row for row in facts["groups"]}
    assert {size: (row["asked"], row["possible"], row["left"]) for size, row in rows.items()} == {
        32: (16, 16, 16),
        16: (8, 8, 8),
    }
    for key in ("parameters", "macs"):
        extra = sum(facts[kind][key] for kind in ("already_dead", "in_consequence", "rest"))
        assert facts["predicted"][key] + facts["stays"][key] - extra == facts["after"][key]
    code, out, err = program(folder, "inspect", "model.keras", "--plan", channels)
    assert code == 0 and err == ""
    assert "asked" in out and "possible" in out and "after strip" in out
    stripped = program.facts(folder, "strip", "model.keras", "--plan", channels, "-o", "half.keras")
    assert stripped["account"]["after"] == facts["after"]
    assert stripped["model_after"]["parameters"] == facts["after"]["parameters"]
    code, _, err = program(folder, "strip", "model.keras", "--plan", channels, "-o", "half.keras")
    assert "16 of 32 channels leave (16 asked)" in err


def test_a_plan_that_does_not_fit_is_one_line(
    program: Program, folder: Path, channels: Path
) -> None:
    content = json.loads(channels.read_text())
    group = next(iter(content["cuts"]))
    for name, cuts, word in (
        ("range", {group: [99]}, "which has 0 to"),
        ("unknown", {f"{group}x": [0]}, f"did you mean '{group}'"),
        ("fixed", {"dense_2": [0]}, "keeps its size"),
    ):
        (folder / f"{name}.json").write_text(json.dumps({**content, "cuts": cuts, "digest": None}))
        for verb in (("inspect", "model.keras"), ("strip", "model.keras", "-o", "x.keras")):
            code, out, err = program(folder, *verb, "--plan", f"{name}.json")
            assert (code, out) == (2, "") and err.count("\n") == 1 and word in err, err
    assert not (folder / "x.keras").exists()
    program.facts(folder, "strip", "model.keras", "--plan", channels, "-o", "other.keras")
    for verb in (
        ("inspect", "other.keras"),
        ("strip", "other.keras", "-o", "x.keras"),
        ("zero", "other.keras", "-o", "x.keras"),
        ("recover", "other.keras", "--data", "d.npz", "-o", "x.keras"),
    ):
        code, out, err = program(folder, *verb, "--plan", "half.json")
        assert (code, out) == (2, "") and err.count("\n") == 1
        assert "half.json: made for another model" in err and "than other.keras" in err
    asked = ("plan", "s.npz", "--model", "other.keras", "--channels", 0.5, "-o", "x.json")
    code, _, err = program(folder, *asked)
    assert code == 2 and "s.npz: scores of another model" in err and "than other.keras" in err
    code, _, err = program(folder, "inspect", "model.keras", "--plan", "absent.json")
    assert code == 2 and "absent.json: no such file" in err


def test_channels_need_a_model(program: Program, folder: Path, zeroed: Path) -> None:
    code, _, err = program(folder, "plan", "s.npz", "--channels", 0.5, "-o", "c.json")
    assert code == 2
    assert "--model" in err
    facts = program.facts(
        folder, "plan", "s.npz", "--model", "model.keras", "--channels", 0.5, "-o", "c.json"
    )
    assert sum(facts["channels"].values()) == 24


def test_widths_that_a_device_likes(program: Program, folder: Path, zeroed: Path) -> None:
    """A plan says what it keeps of each group, prune and strip leave it so."""
    code, out, err = program(folder, *HALF, "--multiple", 16)
    assert code == 0, err
    assert [line.split() for line in out.splitlines() if line.split()[-1:] == ["32"]] == [
        ["dense", "16", "32"]
    ]
    facts = program.facts(folder, *HALF, "--multiple", 5, "--scope", "layer")
    assert facts["why"]["widths"] == {
        "dense": {"kept": 15, "size": 32},
        "dense_1": {"kept": 10, "size": 16},
    }
    # The multiple of a device; one that is said counts before it.
    boards = ("--target", "host", "--target", "raspberry-pi-4")
    for more, multiple in (((), 16), (("--multiple", 4), 4)):
        facts = program.facts(folder, *HALF, *boards, *more)
        assert facts["why"]["constraints"] == {"multiple": multiple, "minimum": 1, "most": 1.0}
    facts = program.facts(
        folder, "prune", "model.keras", "--data", "d.npz", "--channels", 0.4, "--epochs", 1,
        "--rounds", 2, "--target", "raspberry-pi-4", "--most", 0.5, "-o", "even.keras",
    )  # fmt: skip
    widths = facts["plan"]["why"]["widths"]
    assert widths and all(width["kept"] % 8 == 0 for width in widths.values())
    assert all(2 * width["kept"] >= width["size"] for width in widths.values())
    groups = program.facts(folder, "inspect", "even.keras", "--groups")["groups"]
    assert {group["name"]: group["size"] for group in groups}.items() >= {
        name: width["kept"] for name, width in widths.items()
    }.items()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("score", "absent.keras", "--data", "d.npz", "-o", "x.npz"), ("absent.keras",)),
        (("score", "broken.keras", "--data", "d.npz", "-o", "x.npz"), ("broken.keras",)),
        (("score", "model.keras", "--data", "absent.npz", "-o", "x.npz"), ("absent.npz",)),
        (("score", "model.keras", "--data", "wide.npz", "-o", "x.npz"), ("wide.npz", "13")),
        (("score", "model.keras", "--data", "nan.npz", "-o", "x.npz"), ("nan.npz", "nan at")),
        (("plan", "s.npz", "-o", "x.json"), ("sparsity",)),
        (("plan", "s.npz", "--sparsity", "1.5", "-o", "x.json"), ("1.5",)),
        ((*HALF, "--multiple", "0"), ("'--multiple': 0 is not a whole number from 1 up",)),
        ((*HALF, "--multiple", "8.5"), ("'--multiple': 8.5 is not a whole number from 1 up",)),
        ((*HALF, "--minimum", "-1"), ("'--minimum': -1 is not a whole number from 1 up",)),
        ((*HALF, "--most", "0"), ("--most", "0 is not a share above 0")),
        ((*HALF, "--most", "1.5"), ("--most", "1.5 is not a share")),
        ((*PRUNE, "--max-drop", "-1"), ("'--max-drop': -1 is not a number from 0 up",)),
        ((*PRUNE, "--max-drop", "nan"), ("'--max-drop': nan is not a number from 0 up",)),
        ((*PRUNE, "--sparsity", "1.5"), ("'--sparsity': 1.5 is not a share from 0 to below 1",)),
        ((*PRUNE, "--threshold", "0"), ("'--threshold': 0 is not a number above 0",)),
        ((*PRUNE, "--epochs", "-1"), ("'--epochs': -1 is not a whole number from 1 up",)),
        ((*PRUNE, "--learning-rate", "0"), ("'--learning-rate': 0 is not a number above 0",)),
        ((*PRUNE, "--seed", "-1"), ("'--seed': -1 is not a whole number from 0 to 2147483647",)),
        (
            (*PRUNE, "--threads", "2000"),
            ("'--threads': 2000 is not a whole number from 1 to 1024",),
        ),
        ((*HALF, "--most", "0.25"), ("channels = 0.5 with most = 0.25",)),
        ((*HALF, "--minimum", "15"), ("minimum = 15, 18 of 48", "0.3750")),
        ((*HALF, "--target", "hots"), ("'hots'", "'host'")),
        (
            ("plan", "s.npz", "--sparsity", "0.5", "--multiple", "8", "-o", "x.json"),
            ("multiple = 8 without channels",),
        ),
        (
            ("plan", "s.npz", "--sparsity", "0.5", "--target", "host", "-o", "x.json"),
            ("--target", "--channels"),
        ),
        ((*HALF, "--multiple", "32"), ("nothing of this", "multiple = 32", "dense 32, dense_1 16")),
        ((*TENTH, "0.01"), ("nothing of this", "channels = 0.01 of 48 channels rounds to none")),
        ((*TENTH, "0"), ("nothing of this", "channels = 0 asks for none")),
        (
            ("plan", "s.npz", "--threshold", "1e-30", "-o", "x.json"),
            ("nothing of this", "no score of 'taylor' is below threshold = 1e-30, the lowest is"),
        ),
        (
            (*PRUNE, "--channels", "0.5", "--multiple", "32"),
            ("nothing of this", "multiple = 32", "smaller multiple"),
        ),
        ((*PRUNE, "--sparsity", "0"), ("nothing of this", "sparsity = 0 asks for none")),
        ((*PRUNE, "--threshold", "9", "--exclude", "*"), ("nothing of this", "exclude less")),
        ((*PRUNE, "--channels", "0.5", "--exclude", "dense*"), ("free to lose", "--groups")),
        (("plan", "d.npz", "--sparsity", "0.5", "-o", "x.json"), ("d.npz",)),
        (("zero", "model.keras", "--plan", "absent.json", "-o", "x.keras"), ("absent.json",)),
        (("inspect", "mine.py"), ("mine.py",)),
        (("bench", "d.npz"), ("d.npz",)),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    program: Program,
    folder: Path,
    zeroed: Path,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    before = set(os.listdir(folder))  # noqa: PTH208
    code, out, err = program(folder, *arguments)
    assert code == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    for word in words:
        assert word in err
    assert set(os.listdir(folder)) == before  # noqa: PTH208


def test_init_writes_a_recipe_and_asks_before_replacing_one(program: Program, folder: Path) -> None:
    ask = ("init", "model.keras", "--data", "four.npz", "-o", "edgeprune.toml")
    code, out, err = program(folder, *ask)
    assert code == 0, err
    assert "edgeprune run edgeprune.toml" in out
    code, _, err = program(folder, *ask)
    assert code == 1
    assert "--force" in err and err.count("\n") == 1
    again = program(folder, *ask, "--force", "-q")
    assert again[0] == 0 and again[1].count("\n") == 1 and again[2] == ""
    named = ("init", "model.keras", "--data", "four.npz", "-o", "my recipe.toml", "-q")
    assert "next: edgeprune run 'my recipe.toml' --quick" in program(folder, *named)[1]
    code, out, err = program(folder, "run", "edgeprune.toml", "--dry-run")
    assert code == 0, err
    assert "never run" in out and "round-1" in out
    stages = program.facts(folder, "run", "--dry-run", "--set", "prune.rounds=2")
    assert "round-2" in {stage["stage"] for stage in stages}
    code, _, err = program(folder, "run", "--set", "prune.sparsety=0.5")
    assert code == 2
    assert "sparsity" in err and err.count("\n") == 1
    assert program(folder, "clean")[0] == 0


@pytest.fixture(scope="module")
def exported(program: Program, folder: Path) -> Path:
    """The model, dense, and what a plan left of it, sparse."""
    for name, variant in (("dense.tflite", "fp32"), ("dense.onnx", "onnx-fp32")):
        facts = program.facts(folder, "export", "model.keras", "--format", variant, "-o", name)
        assert facts["variant"] == variant
        assert facts["size_bytes"] == (folder / name).stat().st_size
    return folder


def test_a_sparse_file_says_what_is_stored_sparse(
    program: Program, exported: Path, zeroed: Path
) -> None:
    code, out, err = program(
        exported, "export", zeroed, "--format", "fp32-sparse", "-o", "sparse.tflite"
    )
    assert code == 0, err
    assert "stored sparse" in out
    facts = program.facts(exported, "inspect", "sparse.tflite")
    assert any(tensor["stored"] != "dense" for tensor in facts["tensors"])
    code, _, err = program(
        exported, "export", zeroed, "--format", "onnx-fp32", "-o", "wrong.tflite"
    )
    assert code == 2
    assert ".onnx" in err
    sizes = {}
    for name, more in (("rows.onnx", ()), ("few.onnx", ("--sparse",))):
        facts = program.facts(
            exported, "export", zeroed, "--format", "onnx-fp32", *more, "-o", name
        )
        sizes[name] = facts["size_bytes"], set(facts["stored"].values())
    assert sizes["few.onnx"][1] != {"dense"} == sizes["rows.onnx"][1]
    code, _, err = program(
        exported, "export", zeroed, "--format", "fp32", "--sparse", "-o", "no.tflite"
    )
    assert code == 2
    assert "fp32-sparse" in err and err.count("\n") == 1
    code, _, err = program(exported, "inspect", "sparse.tflite", "--groups")
    assert code == 2


@pytest.mark.parametrize("name", ["dense.tflite", "dense.onnx"])
def test_a_file_is_verified_against_its_model_and_no_other(
    program: Program, exported: Path, zeroed: Path, name: str
) -> None:
    code, out, err = program(exported, "verify", name, "--model", "model.keras", "--data", "d.npz")
    assert code == 0, err
    assert "on 256 examples" in out
    code, out, err = program(exported, "verify", name, "--model", zeroed, "--data", "d.npz")
    assert code == 1
    assert out == ""
    assert err.count("\n") == 1 and name in err


def test_an_output_that_is_constant_in_the_model_too_is_a_warning(
    program: Program, exported: Path
) -> None:
    import keras

    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(4, name="flat")])
    model.get_layer("flat").kernel.assign(np.zeros((12, 4)))
    model.get_layer("flat").bias.assign([1, 2, 3, 4])
    model.save(exported / "flat.keras")
    program.facts(exported, "export", "flat.keras", "--format", "fp32", "-o", "flat.tflite")
    asked = ("verify", "flat.tflite", "--model", "flat.keras", "--data", "d.npz")
    code, out, err = program(exported, *asked)
    assert code == 0, err
    assert "flat.tflite: warning: output 'flat' is the same for all 256 examples" in out
    facts = program.facts(exported, *asked)
    assert facts["outputs"][0]["constant"] and "proves nothing" in facts["warnings"][0]
    asked = ("verify", "dense.tflite", "--model", "model.keras", "--data", "d.npz")
    facts = program.facts(exported, *asked)
    assert not facts["outputs"][0]["constant"] and facts["warnings"] == []


def test_files_are_timed_side_by_side(program: Program, exported: Path) -> None:
    facts = program.facts(exported, "bench", "dense.tflite", "dense.onnx", "--target", "host")
    files = [each["file"] for each in facts["measurements"]]
    assert files == ["dense.tflite", "dense.onnx"]
    assert all(len(each["latency_ns"]) >= 50 for each in facts["measurements"])
    code, out, _ = program(exported, "bench", "dense.tflite", "dense.onnx")
    assert code == 0
    assert "dense.onnx" in out and "median" in out
    assert max(map(len, out.splitlines())) <= 100
    code, _, err = program(exported, "bench", "dense.tflite", "--target", "raspberry-pi-4")
    assert code == 1
    assert "not measured" in err
    code, _, err = program(exported, "bench", "dense.tflite", "--target", "raspbery-pi-4")
    assert code == 2
    assert "raspberry-pi-4" in err


RECIPE = """
model = "model.keras"
[data]
train = {path = "four.npz", x = "x_train", y = "y_train"}
evaluate = {path = "four.npz", x = "x_test", y = "y_test"}
[prune]
sparsity = 0.8
[finetune]
epochs = 1
[export]
formats = ["fp32-sparse"]
[[targets]]
name = "host"
[targets.gates]
max_bytes = 10
[[targets]]
name = "raspberry-pi-4"
"""


def test_a_broken_gate_is_a_table_and_exit_3(program: Program, folder: Path) -> None:
    place = folder / "gated"
    place.mkdir()
    for name in ("model.keras", "four.npz"):
        (place / name).write_bytes((folder / name).read_bytes())
    (place / "r.toml").write_text(RECIPE)
    code, out, err = program(folder, "run", "gated/r.toml")
    assert code == 3, err
    assert "BROKEN" in out and "max_bytes" in out and "host: held back" in out
    assert "raspberry-pi-4: released to gated/dist/raspberry-pi-4" in out
    assert "not measured" in out
    assert (place / "dist" / "raspberry-pi-4" / "model.tflite").exists()
    assert not (place / "dist" / "host").exists()
    page = (place / ".edgeprune" / "r-report.html").read_text()
    assert "1 gate broken" in page
    code, out, _ = program(folder, "report", "gated/.edgeprune/r-result.json")
    assert code == 0 and "BROKEN" in out
    code, out, err = program(
        folder, "run", "gated/r.toml", "-q", "--target", "raspberry-pi-4", "--json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["released"]


def test_an_output_that_cannot_be_written(program: Program, folder: Path) -> None:
    code, _, err = program(folder, "strip", "model.keras", "-o", "d.npz/x.keras")
    assert code == 1
    assert "cannot write" in err and err.count("\n") == 1


def test_a_plan_for_another_model(program: Program, folder: Path, zeroed: Path) -> None:
    program.facts(folder, "strip", zeroed, "-o", "other.keras")
    program.facts(folder, "plan", "s.npz", "--sparsity", 0.95, "-o", "p95.json")
    program.facts(folder, "zero", "model.keras", "--plan", "p95.json", "-o", "z95.keras")
    facts = program.facts(folder, "strip", "z95.keras", "-o", "s95.keras")
    assert facts["removed"]
    code, _, err = program(folder, "zero", "s95.keras", "--plan", "plan.json", "-o", "x.keras")
    assert code == 2
    assert "another" in err or "made for" in err


def test_nothing_of_tensorflow_reaches_the_screen(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeprune", "inspect", "model.keras", "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert json.loads(done.stdout)["parameters"] > 0


def test_ctrl_c_in_the_middle(folder: Path) -> None:
    code = """
import os, signal, sys
import edgeprune.verbs
def never(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    import time
    time.sleep(60)
edgeprune.verbs.recover_file = never
from edgeprune.cli import main
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "recover", "model.keras", "--data", "d.npz", "-o", "x.keras"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 130
    assert done.stderr == "edgeprune: interrupted; no result is written\n"
    assert not (folder / "x.keras").exists()


def test_ctrl_c_in_a_scan_says_what_is_kept(folder: Path) -> None:
    code = """
import os, signal, sys
from edgeprune.pipeline.scanning import Scanning
keep, done = Scanning._keep, []
def broken_off(*arguments):
    keep(*arguments)
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGINT)
Scanning._keep = broken_off
from edgeprune.cli import main
sys.exit(main())
"""
    asked = ("scan", "model.keras", "--data", "d.npz", "--of", "weights", "--ratios", "0.5")
    broken = subprocess.run(
        [sys.executable, "-c", code, *asked, "-o", "broken"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert broken.returncode == 130
    last = broken.stderr.splitlines()[-1]
    found = re.fullmatch(
        r"edgeprune: interrupted; (\d) of (\d) curves are kept in broken; the same call goes on",
        last,
    )
    assert found is not None, broken.stderr
    kept = len(list((folder / "broken" / "points").glob("*.json")))
    assert int(found[1]) == kept in (1, 2) and not (folder / "broken" / "scan.json").exists()
    again = subprocess.run(
        [sys.executable, "-m", "edgeprune", *asked, "-o", "broken"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{kept} of {found[2]} curves kept from before" in again.stdout


def test_ctrl_c_while_prune_trains_is_one_line_and_leaves_no_file(folder: Path) -> None:
    before = set(os.listdir(folder))  # noqa: PTH208
    asked = (*PRUNE, "--sparsity", "0.5", "--epochs", "100000", "--save-plan", "x.json")
    child = subprocess.Popen(
        [sys.executable, "-m", "edgeprune", *asked],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert child.stderr is not None
        said = ""
        while "fine-tune …" not in said:
            line = child.stderr.readline()
            assert line, said
            said += line
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        out, err = child.communicate(timeout=60)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    assert (child.returncode, out) == (130, "")
    assert err == "edgeprune: interrupted; no result is written\n"
    assert set(os.listdir(folder)) == before and temporaries(folder) == []  # noqa: PTH208


def test_the_same_call_gives_the_same_files(program: Program, folder: Path) -> None:
    for name in ("a", "b"):
        program.facts(
            folder, "score", "model.keras", "--data", "d.npz", "--method", "gradient",
            "-o", f"{name}.npz",
        )  # fmt: skip
        asked = ("plan", f"{name}.npz", "--sparsity", 0.9, "-o")
        program.facts(folder, *asked, f"{name}-plan.json")
        # Its masks go into the .npz of the same name, which here are the scores.
        code, _, err = program(folder, *asked, f"{name}.json")
        assert code == 2 and f"its masks would replace {name}.npz, which this reads" in err
    with np.load(folder / "a.npz") as a, np.load(folder / "b.npz") as b:
        assert all(np.array_equal(a[name], b[name]) for name in a.files)
    plans = [json.loads((folder / f"{name}-plan.json").read_text())["digest"] for name in "ab"]
    assert plans[0] == plans[1]
