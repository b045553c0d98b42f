"""What prune cannot be asked for is said before a framework is loaded or a file is opened."""

from __future__ import annotations

import inspect
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgeprune
from edgeprune.errors import PlanError
from edgeprune.pipeline.asked import check_asked
from edgeprune.recipes import Prune

TUNE = ("finetune",)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "given: none"),
    ({"sparsity": 0.5, "threshold": 0.1}, "given: sparsity and threshold"),
    ({"sparsity": 0.5, "channels": 0.5, "threshold": 0.1}, "given: sparsity and threshold and"),
    ({"channels": 0.5, "max_macs": 0.5}, "given: channels and max_macs"),
    ({"threshold": 0.1, "max_bytes": 1000}, "given: threshold and max_bytes"),
    ({"sparsity": np.float32(0.9), "pattern": "2:4"}, "asks for sparsity too"),
    ({"pattern": "2:4", "max_macs": 0.5}, "asks for max_macs too"),
    ({"sparsity": 0.0}, "sparsity = 0 asks for none"),
    ({"sparsity": 0, "channels": 0}, "sparsity = 0, channels = 0 asks for none"),
    ({"max_latency_ms": 1.0}, "needs a latency table"),
    ({"search": "sparsity"}, "no max_drop"),
    ({"search": "sparsity", "max_drop": 0.1, "sparsity": 0.5}, "given: sparsity and search"),
    ({"sparsity": 0.5, "grid": [0.5]}, "has grid and no search"),
    ({"sparsity": 0.5, "regrow": 0.5}, "has regrow, .* and no ramp"),
    ({"channels": 0.5, "ramp": 0.5}, "ask for sparsity, and for it alone"),
    ({"sparsity": 0.5, "multiple": 8}, "has multiple, .* and no channels"),
    ({"sparsity": 0.5, "inexact": True}, "has inexact, .* and no channels"),
    ({"sparsity": 0.5, "method": "gate"}, "score 'gate', which is of channels"),
    ({"sparsity": 0.5, "ramp": 0.5, "recover": ()}, "put 'finetune' or 'distill' in"),
    ({"channels": 0.5, "inexact": True, "recover": ("batchnorm",)}, "only fine-tuning sets"),
]
FINE: list[dict[str, Any]] = [
    {"sparsity": 0.5},
    {"sparsity": np.float32(0.5), "multiple": 1, "minimum": 1, "most": 1.0, "grid": ()},
    {"channels": 0.5, "sparsity": 0.9, "multiple": 8},
    {"max_macs": 0.5, "max_bytes": 1000, "sparsity": 0.5},
    {"max_latency_ms": 1.0, "latency": {"a": 1.0}},
    {"pattern": "2:4"},
    {"pattern": "1x4", "threshold": 0.1},
    {"search": "channels", "max_drop": 0.1, "multiple": 8, "grid": [0.5]},
    {"sparsity": 0.5, "method": ["taylor", "magnitude"], "exclude": ["a*"]},
    {"max_macs": 0.5, "method": "gate"},
    {"sparsity": 0.5, "ramp": 0.5, "regrow": 0.1},
]


def check(asked: dict[str, Any]) -> None:
    rest = dict(asked)
    method, recover = rest.pop("method", None), rest.pop("recover", TUNE)
    check_asked(rest, method=method, recover=recover)


@pytest.mark.parametrize(("asked", "words"), REFUSED)
def test_goals_that_contradict_each_other_are_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        check(asked)


@pytest.mark.parametrize("asked", FINE)
def test_what_goes_together_is_not(asked: dict[str, Any]) -> None:
    check(asked)


def test_every_number_of_a_recipe_is_looked_at() -> None:
    """A goal that a later recipe has is checked here too, if ``prune`` calls it the same."""
    goals = {name for asked, _ in REFUSED for name in asked}
    assert {"sparsity", "threshold", "channels", "search", "pattern"} <= goals
    assert goals - {"method", "recover"} <= set(Prune.model_fields)


PROGRAM = """
import sys
from edgeprune.cli import main
lines = [line.split() for line in sys.stdin.read().splitlines()]
for line in lines:
    code = main(["prune", "absent.keras", "--data", "absent.npz", "-o", "x.keras", *line])
    print(code, "tensorflow" in sys.modules or "keras" in sys.modules, flush=True)
"""


def test_the_command_line_says_so_without_a_framework(tmp_path: Path) -> None:
    told = {
        "": "given: none",
        "--sparsity .5 --threshold .1": "given: sparsity and threshold",
        "--sparsity .9 --pattern 2:4": "asks for sparsity too",
        "--max-macs .5 --pattern 2:4": "asks for max_macs too",
        "--max-latency-ms 3": "needs a latency table",
        "--search sparsity": "no max_drop",
        "--search sparsity --max-drop .1 --sparsity .5": "given: sparsity and search",
        "--sparsity .5 --ramp .5 --recover batchnorm": "a ramp grows while a model trains",
        "--sparsity .5 --regrow .5": "no ramp",
        "--sparsity .5 --multiple 8": "no channels",
        "--sparsity 0": "asks for none",
        "--sparsity .5 --method gate": "'gate', which is of channels",
        "--sparsity .5 --recover batchnorm --temperature 3": "--temperature is of distill",
        "--sparsity .5 --alpha .3": "--alpha is of distill, which is not asked for (finetune)",
        "--sparsity .5 --recover batchnorm --learning-rate .1": "--learning-rate is of steps that",
        "--sparsity .5 --recover reconstruct --epochs 2": "--epochs is of steps that train",
        "--max-latency-ms 1 --latency no.toml": "no.toml: no such file; a latency table is JSON or",
        "--sparsity .5 --recover distill,bachnorm": "'bachnorm' is not one of 'finetune', 'batch",
        "--sparsity .5 --sparsity .6": "--sparsity is given twice, .5 and .6; give it once",
        "--sparsity .5 -o y.keras": "--out is given twice, x.keras and y.keras",
        # And what is not refused for its flags is, for the file that is not there.
        "--sparsity .5 --recover distill --alpha .3 --epochs 2": "absent.keras: no such file",
        "--sparsity .5 --recover batchnorm,distill --alpha .3": "absent.keras: no such file",
        "--sparsity .5 --recover batchnorm --recover distill --alpha .3": "absent.keras: no such",
        "--sparsity .5 --sparsity .5 --method taylor,snip": "absent.keras: no such file",
    }
    child = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input="\n".join(told) + "\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert child.stdout.splitlines() == ["2 False"] * len(told), child.stderr
    said = child.stderr.splitlines()
    assert len(said) == len(told)
    for line, words in zip(said, told.values(), strict=True):
        assert words in line


def test_what_is_taken_where_nothing_is_said_stands_in_the_help() -> None:
    """The flags know whether they were given, so Typer shows no default of theirs."""
    from edgeprune.cli import method, options

    signature = inspect.signature(edgeprune.prune).parameters
    for name, option in (
        ("epochs", options.Epochs),
        ("learning_rate", options.Rate),
        ("batch", options.BatchOption),
        ("temperature", options.Temperature),
        ("alpha", options.Alpha),
    ):
        assert f"; {signature[name].default:g}" in option.__metadata__[0].help, name
    assert signature["recover"].default == ("finetune",)
    for verb, name in ((method.prune, "recover"), (method.recover, "method")):
        hint = typing.get_type_hints(verb, include_extras=True)[name]
        assert "; finetune" in hint.__metadata__[0].help


def test_a_file_to_bench_that_is_not_there_says_what_writes_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeprune", "bench", "absent.tflite"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "edgeprune: absent.tflite: no such file; 'edgeprune export' writes one\n"
    )


def test_a_switch_is_shown_as_one(tmp_path: Path) -> None:
    for verb in ((), ("prune",), ("recover",)):
        done = subprocess.run(
            [sys.executable, "-m", "edgeprune", *verb, "--help"],
            capture_output=True, text=True, cwd=tmp_path, check=True,
        )  # fmt: skip
        assert "bool" not in done.stdout.lower()
