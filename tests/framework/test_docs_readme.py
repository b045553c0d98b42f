"""The README's commands and its Python, run as they stand beside a user's model and data."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cli_process import Program

TEXT = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    edgeprune (.+?)(?:  +#.*)?$", TEXT, re.M)


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def test_every_command_in_its_order(program: Program, project: Path) -> None:
    (project / "edgeprune.toml").unlink()
    # Boards and the emulated ARM have a ring of their own, tests/device.
    away = [c for c in COMMANDS if any(word in c for word in ("emulate", "qemu", "--ssh"))]
    commands = [command for command in COMMANDS if command not in away]
    verbs = [command.split()[0] for command in commands]
    assert verbs == ["init", "run", "run", "prune", "export", "verify", "bench", "doctor"]
    assert [command.split()[0] for command in away] == ["targets", "bench", "targets", "bench"]
    for command in commands:
        code, _, err = program(project, *shlex.split(command))
        assert code == 0, (command, err)
    names = {path.name for path in (project / "dist" / "host").iterdir()}
    assert names >= {"model.tflite", "model.onnx", "manifest.json", "SHA256SUMS"}
    assert (project / ".edgeprune" / "report.html").is_file()


def test_the_recipe(program: Program, project: Path) -> None:
    (recipe,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    (project / "edgeprune.toml").write_text(recipe)
    stages = program.facts(project, "run", "--dry-run")
    assert {"round-3", "bench-host"} <= {stage["stage"] for stage in stages}


def test_the_python(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    # The data file, too, is made as the page says.
    (making,) = re.findall(r"\n(    import numpy as np\n\n    np\.savez.*\n)", TEXT)
    with np.load("data.npz") as data:
        arrays = {name: data[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    Path("data.npz").unlink()
    exec(compile(textwrap.dedent(making), "README.md", "exec"), dict(arrays))
    exec(compile(block, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0
