"""Budgets on real models: scores anew on the way down, the verb plan, prune, and a recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from cli_process import Program

import edgeprune
from edgeprune.errors import PlanError, RecipeError
from edgeprune.models import macs, parameters
from edgeprune.pipeline import dry_run, run
from edgeprune.pipeline.descent import Descent
from edgeprune.planning import Budgets, make_plan
from edgeprune.plans import Plan
from edgeprune.recipes import Recipe
from edgeprune.scoring import score_model
from edgeprune.surgery import trace, zero

LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(scope="module")
def stripes() -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A convolutional net that tells stripes apart by direction and width."""
    random = np.random.default_rng(0)
    y = random.integers(0, 6, 900).astype(np.int32)
    places = np.arange(8)
    across = np.stack([np.sign(np.sin(places * (1 + kind % 3) + 0.4)) for kind in y])
    x = np.where((y < 3)[:, None, None], across[:, None, :], across[:, :, None])
    x = (x + random.normal(0, 1.2, (900, 8, 8)))[..., None].astype(np.float32)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(12, 3, padding="same", activation="relu", name="one"),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="two"),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="three"),
            layers.Conv2D(24, 3, strides=2, padding="same", activation="relu", name="four"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6, activation="softmax", name="class"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), LOSS, metrics=["accuracy"])
    model.fit(x, y, epochs=8, batch_size=64, verbose=0)
    return model, x, y


def halves(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x[start : start + 64], y[start : start + 64]) for start in range(0, 512, 64)]


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float((np.asarray(model(x)).argmax(axis=1) == y).mean())


def test_scores_anew_lose_less_than_scores_taken_once(stripes) -> None:
    """At equal MACs, from half to a tenth of them, on examples that no score saw."""
    model, x, y = stripes
    graph = trace(model)
    whole = graph.cost({}).macs
    descent = Descent(model, graph, "molchanov", halves(x, y))
    anew, once = [], []
    first = None
    for stage in descent.stages(budgets=Budgets(max_macs=0.1), step=0.05):
        first = first or stage.scores
        if stage.number >= 8:
            left = stage.plan.cost(graph).macs
            plan = make_plan(first, graph, budgets=Budgets(max_macs=left))
            assert plan.cost(graph).macs <= left
            anew.append(accuracy(zero(model, stage.plan), x[512:], y[512:]))
            once.append(accuracy(zero(model, plan), x[512:], y[512:]))
    assert stage.plan.cost(graph).macs <= 0.1 * whole
    assert np.mean(anew) > np.mean(once) + 0.02, (anew, once)


@pytest.mark.parametrize("method", ["molchanov", "gate-fisher", "taylor", "fisher", "apoz", "obd"])
def test_a_silenced_copy_scores_as_the_zeroed_model(stripes, method: str) -> None:
    model, x, y = stripes
    before = [np.array(weight) for weight in model.get_weights()]
    graph, batches = trace(model), [(x[:24], y[:24]), (x[24:48], y[24:48])]
    descent = Descent(model, graph, method, batches, seed=3)
    descent.score(None)
    first = Plan.cut(graph, {"one": [0, 3], "three": [1]})
    second = Plan.cut(graph, {"one": [0, 3, 4], "three": [1], "four": [7, 8]})
    for plan in (first, second):
        found = descent.score(plan)
        fresh = score_model(zero(model, plan), batches, method=method, graph=graph, seed=3)
        for part in ("weights", "channels"):
            for name, value in getattr(fresh, part).items():
                np.testing.assert_allclose(
                    getattr(found, part)[name], value, rtol=1e-4, atol=1e-9, err_msg=name
                )
    for weight, value in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_without_labels_the_original_answers(stripes) -> None:
    """On the way down the targets stay those of the model before anything went."""
    model, x, _ = stripes
    graph = trace(model)
    descent = Descent(model, graph, "molchanov", [(x[:64],)], "own-kl")
    first = descent.score(None)
    descent.score(Plan.cut(graph, {"four": list(range(20))}))
    assert first.facts["loss"] == "own-kl"
    assert len(descent.batches[0]) == 2  # the answers are drawn once


def test_prune_ends_within_its_budgets(stripes) -> None:
    model, x, y = stripes
    asked = {"max_macs": 0.5, "max_parameters": 0.6, "multiple": 2, "step": 0.2}
    small, plan = edgeprune.prune(model, (x, y), rounds=2, epochs=1, **asked)
    assert macs(small) <= 0.5 * macs(model)
    assert parameters(small) <= 0.6 * parameters(model)
    assert plan.why["method"] == "gate-fisher"
    assert plan.why["asked"] == {"max_macs": 0.5, "max_parameters": 0.6}
    assert all(width["kept"] % 2 == 0 for width in plan.why["widths"].values())
    with pytest.raises(PlanError, match=r"max_macs = 0.001: at least [\d,]+ MACs stay"):
        edgeprune.prune(model, (x, y), max_macs=0.001, rounds=3)
    with pytest.raises(PlanError, match="prune has step, which says how channels are cut"):
        edgeprune.prune(model, (x, y), sparsity=0.5, step=0.1)


def test_a_front_in_python(stripes) -> None:
    model, x, y = stripes
    graph = trace(model)
    asked = {"max_macs": 0.4, "step": 0.3, "multiple": 4, "exclude": "one"}
    plans = edgeprune.front(model, halves(x, y)[:2], points=2, **asked)
    left = [plan.cost(graph).macs / graph.cost({}).macs for plan in plans]
    assert 0.6 < left[0] <= 0.7 and left[1] <= 0.4
    assert "one" not in {cut.group for cut in plans[-1].cuts}
    assert all(width["kept"] % 4 == 0 for width in plans[-1].why["widths"].values())
    with pytest.raises(PlanError, match="points = 0"):
        edgeprune.front(model, halves(x, y), points=0)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("budgets")
    (folder / "model.keras").write_bytes((trained / "model.keras").read_bytes())
    with np.load(trained / "data.npz") as file:
        np.savez(folder / "d.npz", x=file["x_train"], y=file["y_train"])
    (folder / "table.toml").write_text("constant = 0.5\n[groups]\nfirst = 0.02\nsecond = 0.01\n")
    (folder / "wrong.json").write_text('{"frist": 0.02}')
    return folder


GIVEN = ("--model", "model.keras", "--data", "d.npz")


def test_a_front_is_a_folder_of_plans_of_one_descent(program: Program, folder: Path) -> None:
    facts = program.facts(
        folder, "plan", *GIVEN, "--front", 5, "--max-macs", 0.3, "--step", 0.2, "-o", "front"
    )
    written = json.loads((folder / "front" / "front.json").read_text())
    assert written["points"] == facts["points"] and len(facts["points"]) == 5
    graph = trace(keras.models.load_model(folder / "model.keras"))
    whole = graph.cost({})
    assert facts["original"] == {"macs": whole.macs, "parameters": whole.parameters}
    before: dict[str, set[int]] = {}
    for number, point in enumerate(facts["points"], start=1):
        plan = Plan.load(folder / "front" / point["plan"])
        assert plan.cost(graph).macs == point["macs"] <= (1 - 0.7 * number / 5) * whole.macs
        assert point["share"] == point["macs"] / whole.macs
        assert 0 <= point["metric"] <= 1
        drops = {cut.group: set(cut.drop.tolist()) for cut in plan.cuts}
        assert all(before[name] <= drops[name] for name in before)
        before = drops
    assert facts["metric"]["name"] == "accuracy" and facts["metric"]["examples"] == 96
    assert facts["scored_on"] == 384
    code, out, _ = program(folder, "plan", *GIVEN, "--front", 2, "-o", "to-the-end")
    assert code == 0 and "front.json" in out and max(map(len, out.splitlines())) <= 80 + 20
    last = json.loads((folder / "to-the-end" / "front.json").read_text())["points"][-1]
    assert last["share"] <= max(0.05, 1 / 12), "as far as can be"


def test_one_plan_by_scoring_on_the_way_or_from_saved_scores(
    program: Program, folder: Path
) -> None:
    found = program.facts(folder, "plan", *GIVEN, "--max-macs", 0.4, "-o", "p.json")
    costs = found["why"]["reached"]["costs"]["macs"]
    assert costs["after"] <= costs["most"] == pytest.approx(0.4 * costs["before"])
    assert found["why"]["method"] == "gate-fisher"
    again = program.facts(folder, "plan", *GIVEN, "--max-macs", 0.4, "-o", "q.json")
    assert again["digest"] == found["digest"]
    once = program.facts(folder, "plan", *GIVEN, "--max-macs", 0.4, "--step", 1, "-o", "r.json")
    program.facts(folder, "score", "model.keras", "--data", "d.npz", "--method", "gate-fisher",
                  "-o", "s.npz")  # fmt: skip
    saved = ("plan", "s.npz", "--model", "model.keras", "-o", "t.json")
    assert program.facts(folder, *saved, "--max-macs", 0.4)["digest"] == once["digest"]
    timed = (*saved, "--max-latency-ms", 1.0, "--latency", "table.toml")
    code, out, _ = program(folder, *timed)
    assert code == 0 and "milliseconds by the table: 1 allowed, 1 stay of 1.3" in out
    code, out, _ = program(folder, *saved, "--max-macs", 0.4)
    assert "MACs: " in out and " allowed, " in out


BAD = {
    "nothing to score": (("plan", "--max-macs", 0.5, "-o", "x.json"), "no scores: give SCORES"),
    "out of reach": (
        ("plan", *GIVEN, "--max-macs", 0.001, "-o", "x.json"),
        "max_macs = 0.001: at least 16 MACs stay",
    ),
    "no model": (("plan", "s.npz", "--max-bytes", 0.5, "-o", "x.json"), "--max-bytes needs to"),
    "no table": (
        ("plan", *GIVEN, "--max-latency-ms", 1, "-o", "x.json"),
        "max_latency_ms needs a latency table",
    ),
    "table of another": (
        ("plan", *GIVEN, "--max-latency-ms", 1, "--latency", "wrong.json", "-o", "x.json"),
        "no group 'frist' in this model; did you mean 'first'?",
    ),
    "table for nothing": (
        ("plan", *GIVEN, "--max-macs", 0.5, "--latency", "table.toml", "-o", "x.json"),
        "add --max-latency-ms",
    ),
    "no share": (("plan", *GIVEN, "--max-macs", 1.5, "-o", "x.json"), "1.5 is not a share"),
    "two goals": (
        ("plan", *GIVEN, "--max-macs", 0.5, "--channels", 0.5, "-o", "x.json"),
        "give exactly one of",
    ),
    "scores twice": (
        ("plan", "s.npz", *GIVEN, "--max-macs", 0.5, "-o", "x.json"),
        "these scores are taken already",
    ),
    "a front of one file": (("plan", *GIVEN, "--front", 3, "-o", "x.json"), "a front is a folder"),
    "a front of scores": (
        ("plan", "s.npz", "--front", 3, "-o", "front"),
        "leave SCORES out",
    ),
    "a front by channels": (
        ("plan", *GIVEN, "--front", 3, "--channels", 0.5, "-o", "front"),
        "by a budget, not by --channels",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_planned_is_one_line(program: Program, folder: Path, case: str) -> None:
    arguments, words = BAD[case]
    code, out, err = program(folder, *arguments)
    assert code == 2 and not out, err
    assert words in err.splitlines()[-1] and "Traceback" not in err
    assert not (folder / "x.json").exists()


def test_prune_says_what_budgets_hold(program: Program, folder: Path) -> None:
    code, out, _ = program(
        folder, "prune", "model.keras", "--data", "d.npz", "--max-parameters", 400, "--step", 0.5,
        "--epochs", 1, "-o", "small.keras",
    )  # fmt: skip
    assert code == 0 and "parameters: 400 allowed, " in out
    assert parameters(keras.models.load_model(folder / "small.keras")) <= 400


def with_budget(project: Path, **more: object) -> Path:
    recipe = project / "edgeprune.toml"
    lines = {"max_macs": 0.5, "multiple": 1, "step": 0.25, **more}
    text = recipe.read_text().replace("min_sparsity = 0.5\n", "").replace('score = "taylor"\n', "")
    said = "\n".join(f"{key} = {value}" for key, value in lines.items())
    recipe.write_text(text.replace("sparsity = 0.6", said))
    return recipe


def test_a_recipe_with_a_budget_resumes_and_ends_within_it(project: Path) -> None:
    recipe = with_budget(project)
    assert Recipe.load(recipe).prune.score == ("gate-fisher",)
    run(recipe)
    whole = macs(keras.models.load_model(project / "model.keras"))
    folder = project / ".edgeprune" / "stages"
    plans = [Plan.load(next(folder.glob(f"round-{n}/*/plan.json"))) for n in (1, 2)]
    left = [plan.why["reached"]["costs"]["macs"]["after"] / whole for plan in plans]
    assert left[1] <= 0.5 < left[0] <= 0.5625  # 1 - 0.5 · (1 - (1/2)³), the cubic ramp
    stages = {state.stage: state for state in dry_run(recipe)}
    assert all(state.done for state in stages.values()), "nothing is left to do"
    changed = {state.stage: state.done for state in dry_run(recipe, sets=["prune.step=1"])}
    assert changed["export-before-fp32"] and not changed["round-1"]


def test_a_budget_out_of_reach_is_refused_before_anything_runs(project: Path) -> None:
    recipe = with_budget(project, max_macs=0.01)
    with pytest.raises(PlanError, match=r"max_macs = 0.01: at least \d+ MACs stay"):
        dry_run(recipe)
    with pytest.raises(PlanError, match="at least"):
        run(recipe)
    assert not list((project / ".edgeprune").rglob("round-*"))


def test_a_latency_budget_takes_the_table_of_the_one_target_that_has_it(project: Path) -> None:
    recipe = with_budget(project)
    recipe.write_text(recipe.read_text().replace("max_macs = 0.5", "max_latency_ms = 0.6"))
    with pytest.raises(RecipeError, match="no target's profile has one"):
        dry_run(recipe)
    (project / "targets").mkdir()
    profile = 'description = "Ours"\narch = "any"\n[latency]\ngroups = { "*" = 0.02 }\n'
    (project / "targets" / "host.toml").write_text(profile)
    keys = {state.stage for state in dry_run(recipe)}
    assert "round-2" in keys
