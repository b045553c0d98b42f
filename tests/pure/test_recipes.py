"""Recipes: what is read, what is refused, and the words of every refusal."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgeprune.errors import RecipeError, VersionError
from edgeprune.recipes import Recipe, is_function, matches
from edgeprune.variants import VARIANTS

GOOD = """
schema = 1
model = "m.keras"
recover = ["finetune", "batchnorm"]
[data]
train = "t.npz"
evaluate = { path = "e.npz", x = "images", y = ["labels"] }
[task]
loss = "mse"
[prune]
sparsity = 0.9
exclude = ["head/*"]
[finetune]
epochs = 4
[[targets]]
name = "host"
[targets.gates]
max_bytes = 3
[[targets]]
name = "raspberry-pi-4"
[gates]
max_metric_drop = 0.003
max_bytes = 10
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("m.keras", "t.npz", "e.npz"):
        (tmp_path / name).touch()
    return tmp_path


def load(folder: Path, text: str = GOOD, sets: tuple[str, ...] = ()) -> Recipe:
    (folder / "edgeprune.toml").write_text(text)
    return Recipe.load(folder / "edgeprune.toml", sets)


def faults(folder: Path, text: str, sets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load(folder, text, sets)
    lines = caught.value.lines
    assert all("\n" not in line for line in lines)
    return [line.replace(f"{folder}/", "") for line in lines]


def edited(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_short_forms_are_spelt_out_and_defaults_filled(folder: Path) -> None:
    recipe = load(folder)
    assert recipe.model.path == "m.keras" and not recipe.model.trust
    assert recipe.data.train.path == "t.npz" and recipe.data.evaluate.x == ("images",)
    assert recipe.data.calibrate is None and recipe.data.calibration_examples == 2048
    assert recipe.recover == ("finetune", "batchnorm") and recipe.prune.score == ("taylor",)
    assert (recipe.threads, recipe.device, recipe.output, recipe.seed) == (2, "cpu", "dist", 0)
    assert recipe.export.formats == ("fp32-sparse", "onnx-fp32")
    assert recipe.base == folder and recipe.resolve("x/y.npz") == folder / "x/y.npz"
    assert recipe.path == folder / "edgeprune.toml"


def test_a_pattern_of_n_in_m_is_a_goal_of_its_own(folder: Path) -> None:
    (folder / "edgeprune.toml").write_text(edited("sparsity = 0.9", 'pattern = "2:4:input"'))
    prune = Recipe.load(folder / "edgeprune.toml").prune
    assert prune.pattern == "2:4" and prune.sparsity is None


def test_a_ramp_goes_to_a_share_that_a_search_finds(folder: Path) -> None:
    asked = 'search = "sparsity"\nmax_drop = 0.1\nramp = 0.5\nregrow = 0.2'
    prune = load(folder, edited("sparsity = 0.9", asked)).prune
    assert prune.search == "sparsity" and prune.ramp == 0.5


def test_a_budget_alone_and_a_ramp_have_the_score_that_did_best_by_them(folder: Path) -> None:
    alone = load(folder, edited("sparsity = 0.9", "max_macs = 0.5\nmax_bytes = 40_000")).prune
    assert alone.score == ("gate-fisher",) and alone.budgets == ("max_macs", "max_bytes")
    assert load(folder, edited("sparsity = 0.9", "max_macs = 100")).prune.max_macs == 100
    hybrid = load(folder, edited("sparsity = 0.9", "sparsity = 0.9\nmax_macs = 0.5")).prune
    assert hybrid.score == ("taylor",) and hybrid.cuts
    named = load(folder, edited("sparsity = 0.9", 'score = "gate"\nmax_macs = 0.5')).prune
    assert named.score == ("gate",)
    ramped = load(folder, edited("sparsity = 0.9", "sparsity = 0.9\nramp = 0.5")).prune
    assert ramped.score == ("wanda-lamp",)
    asked = 'sparsity = 0.9\nramp = 0.5\nscore = "taylor"'
    assert load(folder, edited("sparsity = 0.9", asked)).prune.score == ("taylor",)


def test_gates_of_a_target_override(folder: Path) -> None:
    recipe = load(folder)
    assert recipe.gates_for("host").max_bytes == 3
    assert recipe.gates_for("host").max_metric_drop == 0.003
    assert recipe.gates_for("raspberry-pi-4").max_bytes == 10
    with pytest.raises(KeyError):
        recipe.gates_for("toaster")


def test_all_faults_at_once_unknown_keys_first(folder: Path) -> None:
    text = """
model = 3
threads = 2.5
[data]
train = "nope.npz"
evaluate = { path = "e.npz", xs = "a" }
validation = 2
[prune]
sparsty = 0.9
score = "tailor"
[export]
formats = ["fp32", "int9"]
[[targets]]
name = "host"
[targets.gates]
max_bytes = "x"
"""
    formats = ", ".join(f"'{name}'" for name in VARIANTS if name != "onnx-fp32")
    assert faults(folder, text) == [
        "edgeprune.toml: unknown key 'data.evaluate.xs'; did you mean 'x'?",
        "edgeprune.toml: unknown key 'prune.sparsty'; did you mean 'sparsity'?",
        "edgeprune.toml: 'model' must be a string or a table, not 3",
        "edgeprune.toml: 'threads' must be a whole number, not 2.5",
        "edgeprune.toml: 'data.validation' must be below 1, not 2",
        "edgeprune.toml: 'prune.score[0]' must be 'taylor', 'gradient', 'snip', 'fisher', 'obd', "
        "'wanda', 'wanda-lamp', 'magnitude', 'lamp', 'random', 'gate', 'gate-fisher', "
        "'molchanov', 'apoz', 'activation' or 'bn-scale', not the "
        "string 'tailor'; did you mean 'taylor'?",
        f"edgeprune.toml: 'export.formats[1]' must be {formats} or 'onnx-fp32', not "
        "the string 'int9'; did you mean 'int8'?",
        "edgeprune.toml: 'targets[0].gates.max_bytes' must be a whole number, not the string 'x'",
        "edgeprune.toml: 'data.train' names no file: nope.npz (looked for nope.npz)",
    ]


ONE_FAULT = {
    "top key": (edited("schema = 1", "sede = 1"), "unknown key 'sede'; did you mean 'seed'?"),
    "key of another table": (
        edited("sparsity = 0.9", "sparsity = 0.9\nlearning_rate = 1"),
        "unknown key 'prune.learning_rate'; did you mean 'finetune.learning_rate'?",
    ),
    "key below a table": (
        edited('recover = ["finetune", "batchnorm"]', "").replace(
            "epochs = 4", 'epochs = 4\nrecover = ["finetune"]'
        ),
        "unknown key 'finetune.recover'; 'recover' belongs at the top: "
        "write it above the first [table]",
    ),
    "hopeless key": (
        edited("epochs = 4", "zzzzzz = 4"),
        "unknown key 'finetune.zzzzzz'; known here: batch, decay, epochs, last_epochs, "
        "learning_rate, patience",
    ),
    "table for a string": (edited('loss = "mse"', "loss = {}"), "must be a string, not a table"),
    "bool for a number": (edited("sparsity = 0.9", "sparsity = true"), "a number, not true"),
    "list for a table": (edited("[task]\n", "[[task]]\n"), "'task' must be a table, not a list"),
    "table for a list": (
        GOOD[: GOOD.index("[[targets]]")] + '[targets]\nname = "host"\n',
        "'targets' must be a list, not a table",
    ),
    "no goal": (edited("sparsity = 0.9", ""), "'prune' needs exactly one of sparsity, threshold"),
    "two goals": (
        edited("sparsity = 0.9", "sparsity = 0.9\nthreshold = 0.1"),
        "given: sparsity and threshold",
    ),
    "no such pattern": (
        edited("sparsity = 0.9", 'sparsity = 0.9\npattern = "1x5"'),
        "'prune.pattern' no pattern '1x5'; did you mean '1x4'?",
    ),
    "a pattern that keeps all": (
        edited("sparsity = 0.9", 'pattern = "4:4"'),
        "N:M keeps N of every M, from 1 to below M",
    ),
    "a sparsity for N:M": (
        edited("sparsity = 0.9", 'sparsity = 0.9\npattern = "2:4"'),
        "has pattern = '2:4', which says itself how much goes, and asks for sparsity too",
    ),
    "a score of channels for N:M": (
        edited("sparsity = 0.9", 'pattern = "2:4"\nscore = "gate"'),
        "has score 'gate', which is of channels, and asks for a pattern",
    ),
    "a search without a budget": (
        edited("sparsity = 0.9", 'search = "sparsity"'),
        "has search and no max_drop: say how much the metric may lose",
    ),
    "a search beside a share": (
        edited("sparsity = 0.9", 'sparsity = 0.9\nsearch = "sparsity"\nmax_drop = 0.1'),
        "given: sparsity and search",
    ),
    "a search of several scores": (
        edited("sparsity = 0.9", 'search = "sparsity"\nmax_drop = 0.1\nscore = ["taylor", "snip"]'),
        "has search and several scores; name one",
    ),
    "folds of no search": (
        edited("sparsity = 0.9", "sparsity = 0.9\nfolds = 3"),
        "has folds and no search, which it is of",
    ),
    "a budget and a share": (
        edited("sparsity = 0.9", "channels = 0.9\nmax_macs = 0.5"),
        "given: channels and max_macs",
    ),
    "half a MAC": (
        edited("sparsity = 0.9", "max_macs = 1000.5"),
        "'prune.max_macs' must be a share below 1 or a whole number, not 1000.5",
    ),
    "a step of nothing": (
        edited("sparsity = 0.9", "sparsity = 0.9\nstep = 0.1"),
        "has step, which says how channels are cut",
    ),
    "a step of all and more": (
        edited("sparsity = 0.9", "max_macs = 0.5\nstep = 1.5"),
        "'prune.step' must be at most 1, not 1.5",
    ),
    "a latency table for nothing": (
        edited("sparsity = 0.9", "max_macs = 0.5\nlatency = { groups = { a = 0.1 } }"),
        "has latency and no max_latency_ms",
    ),
    "a channel that takes no time": (
        edited("sparsity = 0.9", "max_latency_ms = 1\nlatency = { groups = { a = -1 } }"),
        "'prune.latency.groups.a' must be at least 0, not -1",
    ),
    "a score of channels for weights": (
        edited("sparsity = 0.9", 'sparsity = 0.9\nscore = "gate"'),
        "has score 'gate', which is of channels, and asks for sparsity",
    ),
    "all gone": (edited("sparsity = 0.9", "sparsity = 1"), "'prune.sparsity' must be below 1"),
    "not finite": (edited("0.003", "nan"), "'gates.max_metric_drop' must be a finite number"),
    "unknown step": (
        edited('"batchnorm"]', '"batchnrm"]'),
        "'recover[1]' must be 'finetune', 'batchnorm', 'distill' or 'reconstruct', not the string "
        "'batchnrm'; "
        "did you mean 'batchnorm'?",
    ),
    "target twice": (edited('"raspberry-pi-4"', '"host"'), "'targets' names 'host' twice"),
    "target with a path": (
        edited('"raspberry-pi-4"', '"../x"'),
        "'targets[1].name' must be a name of",
    ),
    "missing model": (edited('model = "m.keras"', 'model = "no.keras"'), "'model' names no file"),
    "missing depends": (
        edited('model = "m.keras"', 'model = { path = "a:b", depends = ["*.csv"] }'),
        "'model.depends' matches no file: *.csv",
    ),
    "missing table": (edited("[prune]\nsparsity", "[prune2]\nsparsity"), "unknown key 'prune2'"),
    "bad weight": (
        edited('loss = "mse"', 'class_weights = { a = "x" }'),
        "'task.class_weights' gives class 'a' a weight that is no number",
    ),
    "bad weights": (edited('loss = "mse"', 'class_weights = "even"'), 'must be "balanced"'),
    "one class": (
        edited("schema = 1", 'classes = ["a"]'),
        "'classes' must have at least 2 entries, not 1",
    ),
    "no format": (
        edited("[finetune]", "[export]\nformats = []\n[finetune]"),
        "'export.formats' is an empty list; name at least one",
    ),
    "no multiple": (
        edited("sparsity = 0.9", "channels = 0.9\nmultiple = 0"),
        "'prune.multiple' must be at least 1, not 0",
    ),
    "half a multiple": (
        edited("sparsity = 0.9", "channels = 0.9\nmultiple = 8.5"),
        "'prune.multiple' must be a whole number, not 8.5",
    ),
    "negative minimum": (
        edited("sparsity = 0.9", "channels = 0.9\nminimum = -4"),
        "'prune.minimum' must be at least 1, not -4",
    ),
    "at most nothing": (
        edited("sparsity = 0.9", "channels = 0.9\nmost = 0"),
        "'prune.most' must be above 0, not 0",
    ),
    "at most more than all": (
        edited("sparsity = 0.9", "channels = 0.9\nmost = 1.2"),
        "'prune.most' must be at most 1, not 1.2",
    ),
    "widths of no channels": (
        edited("sparsity = 0.9", "sparsity = 0.9\nmultiple = 8"),
        "'prune' has multiple, which says how channels are cut, and no channels",
    ),
    "inexact widths of no channels": (
        edited("sparsity = 0.9", "sparsity = 0.9\ninexact = true"),
        "'prune' has inexact, which says how channels are cut, and no channels",
    ),
    "inexact in words": (
        edited("sparsity = 0.9", 'channels = 0.9\ninexact = "yes"'),
        "'prune.inexact' must be true or false",
    ),
    "inexact without recovery": (
        edited("sparsity = 0.9", "channels = 0.9\ninexact = true").replace(
            'recover = ["finetune", "batchnorm"]', 'recover = ["batchnorm"]'
        ),
        'which changes the outputs, and no "finetune" or "distill" in recover to set that right',
    ),
    "a ramp of channels": (
        edited("sparsity = 0.9", "channels = 0.9\nramp = 0.5"),
        "'prune' has a ramp, on which a share of zeros grows; ask for sparsity, and for it alone",
    ),
    "a ramp without training": (
        edited("sparsity = 0.9", "sparsity = 0.9\nramp = 0.5").replace(
            'recover = ["finetune", "batchnorm"]', 'recover = ["batchnorm"]'
        ),
        'has prune.ramp, on which zeros grow while a model trains, and no "finetune" or "distill"',
    ),
    "regrowth without a ramp": (
        edited("sparsity = 0.9", "sparsity = 0.9\nregrow = 0.5"),
        "'prune' has regrow, which says how a ramp goes, and no ramp; set ramp or leave it out",
    ),
    "more than most": (
        edited("sparsity = 0.9", "channels = 0.9\nmost = 0.5"),
        "'prune' asks for channels = 0.9 with most = 0.5: of no group may more than 0.5 leave",
    ),
    "class twice": (edited("schema = 1", 'classes = ["a", "a"]'), "'classes' names 'a' twice"),
}


@pytest.mark.parametrize("name", ONE_FAULT, ids=ONE_FAULT)
def test_one_fault(folder: Path, name: str) -> None:
    text, expected = ONE_FAULT[name]
    first = faults(folder, text)[0]
    assert first.startswith("edgeprune.toml: ") and expected in first


def test_hybrid_and_functions_are_fine(folder: Path) -> None:
    text = edited("sparsity = 0.9", "sparsity = 0.9\nchannels = 0.3").replace(
        '"m.keras"', '"a.b:c"'
    )
    recipe = load(folder, text)
    assert recipe.prune.channels == 0.3 and is_function(recipe.model.path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "line 1"),
        ('model = "m"\n[data\n', "line 2"),
        ("a = 1\na = 2\n", "line 2"),
        ("a = [1,\n2", "line 2: not TOML"),
    ],
)
def test_not_toml_names_the_line(folder: Path, text: str, said: str) -> None:
    (line,) = faults(folder, text)
    assert line.startswith("edgeprune.toml: ") and said in line


def test_no_recipe_and_no_text(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"nope\.toml: no such recipe; 'edgeprune init"):
        Recipe.load(folder / "nope.toml")
    (folder / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        Recipe.load(folder / "bytes.toml")
    with pytest.raises(RecipeError, match="a folder, and no recipe"):
        Recipe.load(folder)


def test_schema_newer_refused_older_and_absent_read(folder: Path) -> None:
    with pytest.raises(VersionError, match=r"schema 2.*upgrade"):
        load(folder, edited("schema = 1", "schema = 2"))
    with pytest.raises(VersionError, match="no whole number"):
        load(folder, edited("schema = 1", 'schema = "1"'))
    assert load(folder, edited("schema = 1", "schema = 0")).schema_ == 0
    assert load(folder, edited("schema = 1", "")).schema_ == 1


def test_set_replaces_values(folder: Path) -> None:
    recipe = load(
        folder,
        sets=(
            "finetune.epochs=2",
            "prune.sparsity=0.5",
            "task.loss=mae",
            "task.metric = 'auc'",
            "model.trust=true",
            "data.train.examples=100",
            'prune.score=["taylor", "magnitude"]',
            "targets.1.gates.max_bytes=7",
            "output=a=b",
        ),
    )
    assert recipe.finetune.epochs == 2 and recipe.prune.sparsity == 0.5
    assert (recipe.task.loss, recipe.task.metric) == ("mae", "auc")
    assert recipe.model.trust and recipe.model.path == "m.keras"
    assert recipe.data.train.examples == 100
    assert recipe.prune.score == ("taylor", "magnitude")
    assert recipe.gates_for("raspberry-pi-4").max_bytes == 7
    assert recipe.output == "a=b"


def test_faulty_sets_say_so(folder: Path) -> None:
    lines = faults(
        folder,
        GOOD,
        ("prune.sparsty=1", "prune.sparsity=x", "epochs", "recover.x=1", "seed=1\nx=2"),
    )
    assert lines == [
        "edgeprune.toml (--set): unknown key 'prune.sparsty'; did you mean 'sparsity'?",
        "edgeprune.toml (--set): 'seed' must be a whole number, not the string '1\\nx=2'",
        "edgeprune.toml (--set): 'prune.sparsity' must be a number, not the string 'x'",
        "--set epochs: not key=value; write for example finetune.epochs=2",
        "--set recover.x=1: 'recover.x' leads through what is no table",
    ]


def test_digest_facts_do_not_depend_on_writing_or_place(folder: Path) -> None:
    facts = load(folder).digest_facts()
    assert json.loads(json.dumps(facts)) == facts
    again = "# a comment\n" + edited('model = "m.keras"', 'model = { path = "m.keras" }')
    assert load(folder, again + "unmeasured = 'break'\n").digest_facts() == facts
    moved = edited('"t.npz"', f'"{folder}/t.npz"').replace('model = "m', 'output = "o"\nmodel = "m')
    assert load(folder, moved).digest_facts() == facts
    assert str(folder) not in json.dumps(load(folder, moved).digest_facts())
    assert load(folder, sets=("workers=2",)).digest_facts() == facts
    assert load(folder, sets=("seed=1",)).digest_facts() != facts


def test_matches(folder: Path) -> None:
    (folder / "src" / "a").mkdir(parents=True)
    for name in ("src/x.py", "src/a/y.py", "src/a/z.txt"):
        (folder / name).touch()
    names = [path.relative_to(folder).as_posix() for path in matches("src", folder)]
    assert names == ["src/a/y.py", "src/a/z.txt", "src/x.py"]
    assert len(matches("src/**/*.py", folder)) == 2 and matches("no/*", folder) == []


def test_json_schema_describes_every_key_and_has_no_null() -> None:
    schema = Recipe.json_schema()
    text = json.dumps(schema)
    assert '"null"' not in text and schema["title"] == "edgeprune recipe"
    sections = [schema, *schema["$defs"].values()]
    for section in sections:
        assert section["additionalProperties"] is False
        for key, value in section["properties"].items():
            # One that is a table of its own may leave it to the table.
            target = schema["$defs"].get(value.get("$ref", "").rpartition("/")[2], {})
            assert value.get("description") or target.get("description"), key
    assert set(schema["required"]) == {"model", "data", "prune"}
    assert {"string"} <= {kind.get("type") for kind in schema["properties"]["model"]["anyOf"]}


def test_documented_example_is_a_recipe_and_every_key_is_documented(folder: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text()
    example = document.split("```toml\n")[1].split("```")[0]
    content = tomllib.loads(example)
    (folder / "model.keras").touch()
    (folder / "data").mkdir()
    for name in ("train.npz", "test.npz"):
        (folder / "data" / name).touch()
    load(folder, example)
    schema = Recipe.json_schema()
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part["properties"]}
    missing = sorted(
        key for key in keys if f"`{key}`" not in document and f"[{key}]" not in document
    )
    assert not missing and content["schema"] == 1


def test_no_framework_is_loaded() -> None:
    code = (
        "import sys, edgeprune.recipes, edgeprune.targets\n"
        "bad = {'tensorflow', 'keras', 'onnx', 'matplotlib'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
