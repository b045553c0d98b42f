"""The Python API is a contract: its names, its signatures, and that they stay what they are."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import edgeprune

NOUNS = (
    "Artifact", "Cut", "Graph", "Group", "Mask", "Measurement", "Member", "Plan", "Result",
    "Scan", "Scores", "Search", "Target", "EdgepruneError",
)  # fmt: skip
SIGNATURES = {
    "load": "(path, *, trust=False)",
    "trace": "(model, *, inexact=False)",
    "score": "(model, data, method='taylor', loss=None, *, graph=None, microbatch=None, "
    "chunk=None, normalize='none', seed=0, workers=1, progress=…)",
    "score_all": "(model, data, methods, loss=None, *, graph=None, microbatch=None, "
    "chunk=None, normalize='none', seed=0, workers=1, progress=…)",
    "plan": "(scores, graph=None, *, sparsity=None, threshold=None, channels=None, "
    "max_macs=None, max_parameters=None, max_bytes=None, max_latency_ms=None, latency=None, "
    "pattern='none', scope='global', exclude=(), multiple=1, minimum=1, most=1.0)",
    "scan": "(model, data, *, of='channels', ratios=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "
    "method='taylor', loss=None, metric=None, pattern='none', exclude=(), examples=None, "
    "confidence=0.95, folder=None, workers=1, microbatch=32, seed=0, progress=…)",
    "search": "(model, data, *, max_drop, of='sparsity', method='taylor', loss=None, metric=None, "
    "pattern='none', scope='global', exclude=(), multiple=1, minimum=1, most=1.0, folds=5, "
    "grid=(), confidence=0.95, recover=(), microbatch=32, seed=0, progress=…)",
    "front": "(model, data, *, points=20, max_macs=None, max_parameters=None, max_bytes=None, "
    "max_latency_ms=None, latency=None, step=None, method='gate-fisher', loss=None, "
    "scope='global', exclude=(), multiple=1, minimum=1, most=1.0, seed=0, progress=…)",
    "zero": "(model, plan)",
    "hold": "(plan=None)",
    "strip": "(model, *, fold_batchnorm=False)",
    "cut": "(model, plan)",
    "prune": "(model, data, *, loss=None, metric=None, method=None, sparsity=None, "
    "threshold=None, channels=None, max_macs=None, max_parameters=None, max_bytes=None, "
    "max_latency_ms=None, latency=None, step=None, pattern='none', scope='global', exclude=(), "
    "multiple=1, minimum=1, most=1.0, rounds=1, schedule='cubic', max_drop=None, search=None, "
    "folds=5, grid=(), inexact=False, "
    "recover=('finetune',), epochs=3, learning_rate=0.001, "
    "batch=128, patience=None, decay='none', temperature=2.0, alpha=0.0, ramp=0.0, "
    "ramp_every=None, regrow=0.0, shrink=0.0, rehearsal_epochs=2, "
    "validation=0.1, "
    "calibration_examples=2048, microbatch=32, seed=0, progress=…)",
    "fine_tune": "(model, data, *, loss=None, metric=None, epochs=3, learning_rate=0.001, "
    "batch=128, patience=None, decay='none', validation=0.1, plan=None, seed=0, checkpoint=None, "
    "progress=…)",
    "distill": "(pruned, dense, data, *, loss=None, metric=None, temperature=2.0, alpha=0.0, "
    "features=(), features_weight=1.0, epochs=3, learning_rate=0.001, batch=128, patience=None, "
    "decay='none', validation=0.1, plan=None, seed=0, checkpoint=None, progress=…)",
    "reconstruct": "(pruned, dense, inputs, *, plan=None, seed=0, progress=…)",
    "reestimate_batchnorm": "(model, inputs, *, progress=…)",
    "export": "(model, path, *, sparse=False, batch=1, variant=None, calibration=None)",
    "verify": "(artifact, model, inputs, *, tolerance=None)",
    "bench": "(artifact, target='host', *, runs=50, ssh=None)",
    "run": "(recipe, *, progress=…)",
}


def fresh(code: str) -> str:
    """What ``code`` prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_all_the_names_and_no_others() -> None:
    assert sorted(edgeprune.__all__) == sorted((*NOUNS, *SIGNATURES))
    assert set(edgeprune.__all__) <= set(dir(edgeprune))
    for name in NOUNS:
        assert isinstance(getattr(edgeprune, name), type), name
    with pytest.raises(AttributeError, match="prun"):
        edgeprune.prun  # noqa: B018


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    import inspect

    found = inspect.signature(getattr(edgeprune, name))
    plain = found.replace(
        parameters=[
            each.replace(annotation=inspect.Parameter.empty, default=_shown(each))
            for each in found.parameters.values()
        ],
        return_annotation=inspect.Signature.empty,
    )
    assert str(plain) == SIGNATURES[name]
    for each in found.parameters.values():
        assert each.annotation is not inspect.Parameter.empty, each.name
    assert found.return_annotation is not inspect.Signature.empty


class _Any:
    def __repr__(self) -> str:
        return "…"


def _shown(parameter: object) -> object:
    return _Any() if parameter.name == "progress" else parameter.default  # type: ignore[attr-defined]


def test_importing_loads_no_framework_and_little_else() -> None:
    heavy = ("tensorflow", "keras", "onnx", "onnxruntime", "numpy", "pydantic", "typer", "rich")
    found = fresh(
        f"""
        import sys
        import edgeprune
        print([name for name in {heavy!r} if name in sys.modules])
        edgeprune.Plan, edgeprune.Scores, edgeprune.Graph, edgeprune.EdgepruneError
        edgeprune.prune, edgeprune.run
        print([name for name in ("tensorflow", "keras", "onnx") if name in sys.modules])
        """
    )
    assert found.split("\n")[:2] == ["[]", "[]"]


def test_the_package_is_typed() -> None:
    assert (Path(edgeprune.__file__).parent / "py.typed").is_file()


def rows() -> list[tuple[str, str]]:
    """Name and arguments of each function in the table of ``docs/python.md``, but for those that
    leave some out."""
    page = Path(__file__).parents[2] / "docs" / "python.md"
    found = re.findall(r"^\| `(\w+)\((.*?)\)` \|", page.read_text(), re.MULTILINE)
    found = [(name, args.replace("(0.1, … 0.9)", "RATIOS")) for name, args in found]
    return [(name, args) for name, args in found if "…" not in args]


@pytest.mark.parametrize(("name", "args"), rows())
def test_the_table_of_functions_says_how_each_is_called(name: str, args: str) -> None:
    told = re.sub(r"\([^()]*\)", "()", args)
    there = [part.split("=")[0].strip() for part in told.split(",")]
    parameters = inspect.signature(getattr(edgeprune, name)).parameters.values()
    wanted: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in wanted:
            wanted.append("*")
        wanted.append(parameter.name)
    wanted = [each for each in wanted if each != "progress"]
    assert there == (wanted[:-1] if wanted[-1] == "*" else wanted)


def test_the_table_has_most_of_the_functions() -> None:
    assert len(rows()) >= 15
