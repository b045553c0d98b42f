"""A first recipe for a model and its data: commented, and run unedited (``edgeprune init``)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgeprune.errors import OutputError
from edgeprune.files import mapped_os_errors, write_bytes, writing
from edgeprune.npz import write_npz
from edgeprune.pipeline.looking import Looked
from edgeprune.pipeline.parting import divided, relative
from edgeprune.recipes import Recipe, is_function


@dataclass(frozen=True)
class Start:
    """A recipe to be written.

    Attributes:
        text: TOML with comments.
        notes: what was guessed or split, for the terminal; the comments say it too.
        modules: Python modules to write beside it, by file name.
        arrays: ``.npz`` files to write beside it, by file name.
    """

    text: str
    notes: tuple[str, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def write(self, path: Path, *, force: bool = False) -> None:
        """Write the recipe and what it needs beside it, each whole or not at all.

        Raises:
            OutputError: one of them is there already and ``force`` is false, or cannot be written.
        """
        beside = [path.parent / name for name in (*self.modules, *self.arrays)]
        for there in (path, *beside):
            if there.exists() and not force:
                raise OutputError(f"{there} is there already; name another with -o, or --force")
        with mapped_os_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        for name, arrays in self.arrays.items():
            with writing(path.parent / name) as temporary, temporary.open("wb") as file:
                write_npz(file, arrays)
        for name, code in self.modules.items():
            write_bytes(path.parent / name, code.encode())
        # A recipe that its own reader refuses must not be left behind.
        Recipe.parse(tomllib.loads(self.text), base=path.parent, name=str(path))
        write_bytes(path, self.text.encode())


def starting_recipe(
    model: str,
    data: str,
    out: Path,
    *,
    loss: str | None = None,
    metric: str | None = None,
    trust: bool = False,
    threads: int = 2,
) -> Start:
    """A recipe for a trained model and its data.

    Args:
        model: ``.keras``, ``.h5`` or the folder of a SavedModel (from the working directory), or
            ``module:function``.
        data: an ``.npz`` with ``x_train``, ``y_train``, ``x_test``, ``y_test``, or with one set of
            examples, of which a fifth is put aside by seed in a new file; a folder with ``train``
            and ``test``; ``module:train`` where the module has ``test`` or ``evaluate`` too.
        out: where the recipe will lie; its paths are relative to that folder.
        loss, metric: names; ``None``: the compiled ones, or a guess from outputs and labels.
        trust: load Lambda layers.
        threads: of TensorFlow.

    Raises:
        InputError: a model or data that cannot be read or do not fit, one set that cannot serve
            for both training and evaluation, a task that cannot be guessed, or anything else that
            a run of the recipe would refuse before it trains.
        TrainingError: the metric of the model is no finite number.
    """
    from edgeprune.importing import Imported, open_model
    from edgeprune.models import build_model, check_values

    base = out.resolve().parent
    if is_function(model):
        opened = Imported(build_model(model, base))
    else:
        opened = open_model(Path(model), trust=trust)
    loaded = opened.model
    check_values(loaded, model)
    split = divided(data, base, loaded)
    looked = Looked(loaded, split, base, loss, metric, f"{_word(out.stem)}_task")
    given, task_notes, modules = looked.task()
    made = looked.made(given, modules)
    scale, scale_note = looked.scale(made)
    sources = split.with_scale(scale)
    notes = [*opened.notes, *split.notes, *task_notes, *([scale_note] if scale_note else [])]
    calibration = "calibrate: drawn by seed from train (never from evaluate)"
    path = model if is_function(model) else relative(Path(model), base)
    text = _TEXT.format(
        model=_toml({"path": path, "trust": True}) if trust else _toml(path),
        threads=threads,
        train=_toml(sources[0]),
        evaluate=_toml(sources[1]),
        data_notes=_comments([*split.notes, *([scale_note] if scale_note else []), calibration]),
        task_notes=_comments(task_notes),
        task="".join(f"{key} = {_toml(value)}\n" for key, value in given.items()),
    )
    return Start(text, (*notes, calibration, *looked.check(made, scale)), modules, split.arrays)


def _word(stem: str) -> str:
    """A stem as a name that Python can import."""
    word = re.sub(r"\W", "_", stem)
    return word if word[:1].isalpha() else f"m_{word}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _comments(notes: list[str]) -> str:
    return "".join(f"# {note}\n" for note in notes)


_TEXT = """\
# What to make of the model; every key: docs/recipe.md, or 'edgeprune schema recipe'.
# Try it:   edgeprune run RECIPE --quick      What would run:   edgeprune run RECIPE --dry-run

schema = 1
model = {model}
output = "dist"                # what is released
seed = 0                       # the same seed gives the same bytes
threads = {threads}                    # of TensorFlow; another number gives other bytes
recover = ["finetune"]         # "batchnorm" too where the model has such layers

[data]                         # train, calibrate, evaluate
{data_notes}train = {train}
evaluate = {evaluate}

[task]
{task_notes}{task}
[prune]
score = "taylor"               # or a list: a rehearsal chooses
sparsity = 0.8                 # share of the kernel weights that goes; or channels = 0.3
pattern = "none"               # "1x4": fewer zeros at the same loss, but fast in TFLite
rounds = 4
schedule = "cubic"

[finetune]                     # after each round
epochs = 2
learning_rate = 0.001
batch = 128

[export]
formats = ["fp32-sparse", "onnx-fp32"]

[[targets]]
name = "host"                  # 'edgeprune targets' lists the others

[gates]                        # a broken one holds the files back: exit code 3
# max_metric_drop = 0.01       # in the metric's own unit: accuracy 0.01 is one point
# max_bytes = 100_000
# max_latency_ms = 1.0
unmeasured = "break"
"""
