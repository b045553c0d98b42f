"""Gates at their edges: exact limits, numbers that are none, targets that nothing runs on."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import edgeprune
from edgeprune.files import canonical_json
from edgeprune.models import named_weights
from edgeprune.pipeline import dry_run, run
from edgeprune.pipeline.gates import beyond, finite, judge
from edgeprune.pipeline.recovering import Settings
from edgeprune.pipeline.rounds import Goal, Material, Rounds
from edgeprune.plans import Plan
from edgeprune.recipes import Gates
from edgeprune.results import Row
from edgeprune.runtimes import Runner

SMALL = ["prune.rounds=1", "finetune.epochs=1"]


class Told:
    """A progress that keeps what it is told, and the stages, in their order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Any]:
        self.lines.append(f"stage {name}")
        yield self

    def say(self, line: str) -> None:
        self.lines.append(line)

    def advance(self, steps: int = 1, note: str = "") -> None:
        pass

    def before(self, stage: str) -> list[str]:
        return self.lines[: self.lines.index(f"stage {stage}")]


def row(metric: float | None, drop: float | None) -> Row:
    return Row("after", "host", "model.tflite", "fp32", metric, drop, 1, 1, 1, 1, 1)


def test_exactly_the_limit_is_not_beyond_it_whatever_the_baseline() -> None:
    gates = Gates(max_metric_drop=0.003)
    for right in range(9000, 10_001):
        # Metrics come as float32 from Keras.
        before = float(np.float32(right / 10_000))
        for lost, broken in ((30, False), (31, True)):
            after = float(np.float32((right - lost) / 10_000))
            (verdict,) = judge(gates, row(after, before - after), 0.9)
            assert verdict.broken is broken, (right, lost)


def test_the_stop_rule_has_the_same_edge() -> None:
    class Accuracy:
        @staticmethod
        def drop(before: float, after: float) -> float:
            return before - after

    material = Material(None, None, None, Accuracy())  # type: ignore[arg-type]
    rounds = Rounds(None, "taylor", Goal(sparsity=0.5, max_drop=0.003), Settings(), material)
    for right in range(9000, 10_001):
        before = float(np.float32(right / 10_000))
        assert not rounds.spent(float(np.float32((right - 30) / 10_000)), before)
        assert rounds.spent(float(np.float32((right - 31) / 10_000)), before)
    assert rounds.spent(math.nan, 0.9) and rounds.spent(0.9, math.nan)
    free = Rounds(None, "taylor", Goal(sparsity=0.5), Settings(), material)
    assert free.spent(math.nan, 0.9) and not free.spent(0.1, 0.9)


def test_small_metrics_keep_their_own_scale_and_shares_their_rounding() -> None:
    assert beyond(2e-9, 1e-9, 3e-8) and beyond(math.nan, 1.0, 1.0)
    (verdict,) = judge(Gates(min_sparsity=0.1), row(0.9, 0.0), 1 - 0.9)
    assert not verdict.broken
    (verdict,) = judge(Gates(min_sparsity=0.1), row(0.9, 0.0), 0.0999)
    assert verdict.broken


@pytest.mark.parametrize(("unmeasured", "broken"), [("break", True), ("allow", False)])
def test_a_metric_that_is_no_number_counts_as_unmeasured(unmeasured: Any, broken: bool) -> None:
    gates = Gates(max_metric_drop=0.1, unmeasured=unmeasured)
    (verdict,) = judge(gates, row(finite(math.nan), None), 0.9)
    assert verdict.value is None and verdict.broken is broken
    assert "no finite number" in verdict.note


ODD_METRIC = """
import keras


def metric(y_true, y_pred):
    right = keras.ops.equal(keras.ops.cast(keras.ops.argmax(y_pred, -1), "int32"),
                             keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32"))
    right = keras.ops.mean(keras.ops.cast(right, "float32"))
    return right + 0 * keras.ops.mean(y_pred)
"""


def test_nan_on_the_evaluation_set_is_a_broken_gate_no_crash(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeprune.models.tasks import Task

    true = Task.evaluate

    def evaluate(self: Task, predict: Any, batches: Any) -> float:
        value = true(self, predict, batches)
        # The evaluation set has 200 examples, the validation split 96.
        return math.nan if sum(len(batch[0]) for batch in batches) == 200 else value

    monkeypatch.setattr(Task, "evaluate", evaluate)
    result = run(project / "edgeprune.toml", sets=SMALL)
    assert result.exit_code == 3 and not result.released
    assert {v.gate for v in result.broken} == {"max_metric_drop"}
    assert all(row.metric is None and row.drop is None for row in result.rows)
    canonical_json(result.to_json())


def test_nan_after_a_round_goes_back_and_is_the_worst_of_a_rehearsal(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true, asked = Material.measure, []

    def measure(self: Material, model: Any) -> float:
        asked.append(true(self, model))
        # Rehearsals: magnitude, taylor; then the original; then the rounds.
        return math.nan if len(asked) in (1, 5) else asked[-1]

    monkeypatch.setattr(Material, "measure", measure)
    sets = ['prune.score=["magnitude", "taylor"]', "prune.rehearsal_epochs=1"]
    sets += ["prune.rounds=2", "finetune.epochs=1", "gates.min_sparsity=0"]
    result = run(project / "edgeprune.toml", sets=sets)
    assert result.method == "taylor" and result.facts["rehearsal"]["magnitude"] is None
    assert [turn.metric is None for turn in result.rounds] == [False, True]
    assert "not used" in result.rounds[1].note
    assert result.sparsity == pytest.approx(result.rounds[0].sparsity, abs=0.02)
    assert (project / ".edgeprune" / "report.html").is_file()


def test_a_target_that_takes_none_of_the_formats_holds_back_itself_alone(project: Path) -> None:
    (project / "targets").mkdir()
    (project / "targets" / "board.toml").write_text(
        'schema = 1\ndescription = "ours"\narch = "any"\nruntime = "litert"\nformats = ["fp32"]\n'
    )
    recipe = project / "edgeprune.toml"
    text = recipe.read_text().replace(
        '[[targets]]\nname = "host"', '[[targets]]\nname = "host"\n\n[[targets]]\nname = "board"'
    )
    recipe.write_text(text)
    told = Told()
    result = run(recipe, sets=SMALL, progress=told)
    assert result.exit_code == 3
    assert set(result.released) == {"host"} and set(result.held) == {"board"}
    assert "none of fp32-sparse, onnx-fp32" in result.held["board"]
    assert {(v.gate, v.target) for v in result.broken} == {
        ("max_metric_drop", "board"),
        ("min_sparsity", "board"),
    }
    assert not (project / "dist" / "board").exists()
    assert any("board: none of" in line for line in told.before("check"))
    # Alone, and however much is allowed, nothing released is no success.
    again = run(recipe, sets=[*SMALL, 'gates.unmeasured="allow"'], targets=["board"])
    assert again.exit_code == 3 and not again.broken and not again.released


def test_a_recipe_for_a_microcontroller_is_told_to_export_int8(project: Path) -> None:
    recipe = project / "edgeprune.toml"
    text = recipe.read_text()
    assert '[[targets]]\nname = "host"' in text
    recipe.write_text(text.replace('[[targets]]\nname = "host"', '[[targets]]\nname = "cortex-m7"'))
    told = Told()
    result = run(recipe, sets=SMALL, progress=told)
    assert result.exit_code == 3 and not result.released
    assert result.held == {
        "cortex-m7": "none of fp32-sparse, onnx-fp32 runs on a microcontroller, which takes full "
        'int8 alone; add "int8" to [export] formats'
    }
    assert any(result.held["cortex-m7"] in line for line in told.before("check"))


def test_gates_of_a_profile_hold_where_the_recipe_makes_none(project: Path) -> None:
    (project / "targets").mkdir()
    (project / "targets" / "host.toml").write_text('extends = "host"\n[gates]\nmax_bytes = 10\n')
    result = run(project / "edgeprune.toml", sets=SMALL)
    assert {(v.gate, v.limit) for v in result.broken} == {("max_bytes", 10)}
    again = run(project / "edgeprune.toml", sets=[*SMALL, "gates.max_bytes=10_000_000"])
    assert not again.broken


def test_instructions_that_cannot_be_counted_are_told_first_and_judged_last(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    recipe = project / "edgeprune.toml"
    text = recipe.read_text().replace('name = "host"', 'name = "raspberry-pi-4"')
    recipe.write_text(f"{text}max_instructions = 100\n")
    why = "the emulated ARM is not set up; run: edgeprune targets emulate --setup"
    for unmeasured, broken in (("break", True), ("allow", False)):
        told = Told()
        result = run(recipe, sets=[*SMALL, f'gates.unmeasured="{unmeasured}"'], progress=told)
        assert any(
            f"max_instructions cannot be judged: {why}" in line
            for line in (told.before("check") if broken else told.lines)
        )
        verdicts = [each for each in result.gates if each.gate == "max_instructions"]
        assert [(each.value, each.broken) for each in verdicts] == [(None, broken)] * 2
        assert all(why in each.note for each in verdicts)
        assert result.exit_code == (3 if broken else 0)
        assert all(each.instructions is None for each in result.rows)


def test_instructions_are_a_gate_on_each_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeprune import benchmarking, emulation
    from edgeprune.counts import Count
    from edgeprune.errors import EmulationError
    from edgeprune.targets import Target

    asked = []

    def count_files(paths: Any, target: Target, land: Any, **more: Any) -> list[Count]:
        (path,) = paths
        asked.append(path.suffix)
        if path.suffix == ".onnx" and len(asked) < 3:
            raise EmulationError("it dies there")
        right = len(asked) < 5
        return [Count("", path.name, target.name, "", "", 1, "", "", right, 0.0, 1000, {"gemm": 9})]

    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    monkeypatch.setattr(benchmarking, "count_files", count_files)
    land = emulation.Land(project, "python3", project / "qemu", {}, {"qemu": "10.0"})
    monkeypatch.setattr(emulation.Land, "required", lambda: land)
    recipe = project / "edgeprune.toml"
    recipe.write_text(recipe.read_text().replace('name = "host"', 'name = "raspberry-pi-4"'))

    def verdicts(limit: int) -> list[Any]:
        result = run(recipe, sets=[*SMALL, f"gates.max_instructions={limit}"])
        return [(v.value, v.broken) for v in result.gates if v.gate == "max_instructions"]

    assert verdicts(1000) == [(1000, False), (None, True)]  # the second dies
    assert verdicts(999) == [(1000, True), (None, True)]  # another limit counts nothing anew
    assert asked == [".tflite", ".onnx"]
    shutil.rmtree(project / ".edgeprune" / "stages" / "count-raspberry-pi-4")
    assert verdicts(1000) == [(1000, False), (1000, False)]
    folder = project / "dist" / "raspberry-pi-4"
    measured = json.loads((folder / "measurements.json").read_bytes())
    assert {each["gate"] for each in measured["gates"]} == {"max_instructions"}
    assert measured["counts"]["files"]["fp32-sparse"]["instructions"] == 1000
    assert measured["counts"]["notes"] == {}
    assert "instructions" not in (folder / "manifest.json").read_text()
    # Instructions of wrong outputs are worth nothing.
    shutil.rmtree(project / ".edgeprune" / "stages" / "count-raspberry-pi-4")
    result = run(recipe, sets=[*SMALL, "gates.max_instructions=1000"])
    assert any("fp32-sparse: emulated, the file's outputs are not" in n for n in result.notes)
    assert {v.gate for v in result.broken} == {"max_instructions"}
    # Who asks for no gate gets no count, and no stage.
    run(recipe, sets=SMALL)
    assert len(asked) == 6
    assert "counts" not in json.loads((folder / "measurements.json").read_bytes())
    # Asked for without a gate, the original's files are counted too.
    result = run(recipe, sets=SMALL, emulated=True)
    counts = json.loads((folder / "measurements.json").read_bytes())["counts"]
    assert len(asked) == 10 and set(counts["before"]["files"]) == {"fp32", "onnx-fp32"}
    assert set(counts["files"]) == {"fp32-sparse", "onnx-fp32"} and result.exit_code == 0


def test_what_cannot_be_kept_is_said_before_the_training(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = Runner.predict

    def predict(self: Runner, x: Any) -> Any:
        return np.roll(np.asarray(true(self, x)), 1, axis=-1)

    monkeypatch.setattr(Runner, "predict", predict)
    told = Told()
    result = run(project / "edgeprune.toml", sets=[*SMALL, "gates.min_sparsity=0.7"], progress=told)
    early = told.before("round-1")
    assert any("min_sparsity = 0.7" in line and "0.6" in line for line in early)
    losing = [line for line in early if "max_metric_drop = 0.2" in line]
    assert len(losing) == 2 and "as fp32 already loses" in losing[0]
    assert result.exit_code == 3
    # Said again, though the stage is not done again.
    told = Told()
    run(project / "edgeprune.toml", sets=SMALL, progress=told)
    assert "stage verify-before-fp32" not in told.lines
    assert sum("max_metric_drop = 0.2" in line for line in told.lines) == 2


def test_a_metric_that_fails_through_the_runtime_fails_before_the_training(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "predict", lambda self, x: np.full((len(x), 3), np.nan, np.float32))
    (project / "judge.py").write_text(ODD_METRIC)
    recipe = project / "edgeprune.toml"
    text = recipe.read_text().replace(
        'metric = "accuracy"', 'metric = "judge:metric"\nhigher_is_better = true'
    )
    recipe.write_text(text)
    told = Told()
    with pytest.raises(edgeprune.errors.TrainingError, match="as fp32 is nan"):
        run(recipe, sets=SMALL, progress=told)
    assert not any("round-1" in line for line in told.lines)


def test_batch_statistics_are_taken_again_after_strip_when_asked(project: Path) -> None:
    recipe = project / "edgeprune.toml"
    # In this order the fine-tuning of the round moves the statistics once more before strip.
    recipe.write_text(recipe.read_text().replace('["finetune"]', '["batchnorm", "finetune"]'))
    sets = ["prune.rounds=1", "prune.sparsity=0.9", "gates.max_metric_drop=1"]
    run(recipe, sets=sets)
    stages = project / ".edgeprune" / "stages"

    def statistics(stage: str) -> Any:
        (file,) = stages.glob(f"{stage}/*/model.keras")
        return named_weights(keras.models.load_model(file))["norm/moving_mean"]

    assert not np.array_equal(statistics("strip"), statistics("recover"))
    assert all(state.done for state in dry_run(recipe, sets=sets))


def test_progress_says_what_is_trained_and_what_is_evaluated(project: Path) -> None:
    told = Told()
    sets = ['prune.score=["magnitude", "taylor"]', 'export.formats=["fp32"]', "prune.rounds=3"]
    sets += ["finetune.epochs=1", "finetune.last_epochs=1", "gates.max_metric_drop=1"]
    run(project / "edgeprune.toml", sets=sets, progress=told)
    trained = [line for line in told.lines if "fine-tune" in line]
    rehearsed = [f"rehearse {name}, round {turn}/2" for name in ("magnitude", "taylor")
                 for turn in (1, 2)]  # fmt: skip
    rounds = [f"round {turn}/3" for turn in (1, 2, 3)]
    assert trained == [f"stage {of}: fine-tune" for of in (*rehearsed, *rounds, "after strip")]
    evaluated = ["the original", "the original as fp32", "the pruned as fp32"]
    place = told.lines.index("stage evaluate")
    assert told.lines[place + 1 : place + 4] == [f"stage evaluate {what}" for what in evaluated]
    # And the steps of training are still told from the rest.
    timings = json.loads((project / ".edgeprune" / "timings.json").read_text())
    assert all(timings[name]["growing"] for name in ("rehearse", "round-1", "recover"))


def test_hold_keeps_a_cut_on_values_that_have_grown_again(project: Path) -> None:
    original = keras.models.load_model(project / "model.keras")
    graph = edgeprune.trace(original)
    plan = Plan.cut(graph, {"first": [2, 5]})
    x = np.random.default_rng(0).normal(size=(64, 12)).astype(np.float32)
    y = np.arange(64) % 3
    zeroed = named_weights(edgeprune.zero(original, plan))
    gone = {name: np.asarray(value) == 0 for name, value in zeroed.items() if "moving" not in name}
    for model in (original, edgeprune.zero(original, plan)):
        for name, value in named_weights(model).items():
            if name in ("first/kernel", "second/kernel") and model is not original:
                value.assign(np.where(np.asarray(value) == 0, 0.5, np.asarray(value)))
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=2, verbose=0, callbacks=[edgeprune.hold(plan)])
        after = named_weights(model)
        for name in ("first/kernel", "first/bias", "norm/gamma", "norm/beta", "second/kernel"):
            assert gone[name].any() and not np.asarray(after[name])[gone[name]].any(), name
        assert edgeprune.strip(model).get_layer("first").units == 30
