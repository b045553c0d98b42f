"""A recipe's targets on boards: timed, compared with the model, tried again when they failed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from board_servers import RealServer
from small_project import small_project

from edgeprune.cli import main


@pytest.fixture
def project(my_board: Path, tmp_path: Path) -> Path:
    small_project(tmp_path, 'targets = [{ name = "my-board" }]\n')
    return tmp_path


def rows(project: Path) -> list[dict[str, object]]:
    found = json.loads((project / ".edgeprune" / "result.json").read_bytes())["rows"]
    return list(found)


def test_a_recipe_times_its_files_on_a_board(
    other_engine: RealServer, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    real, asked = other_engine, ["run", str(project / "edgeprune.toml"), "--ssh", "board"]
    wrong = real.environment
    real.stop()
    # Not reached: said, released without a time, and tried again by the next run.
    assert main(asked) == 0
    err = capfd.readouterr().err
    assert "note: my-board: not measured: board: cannot be reached (Connection refused)" in err
    assert all(each["median_ms"] is None for each in rows(project))
    assert all("its board: cannot be reached" in str(each["note"]) for each in rows(project))
    assert main([*asked, "--dry-run", "--json"]) == 0
    told = {each["stage"]: each for each in json.loads(capfd.readouterr().out)}
    assert [name for name, each in told.items() if not each["done"]] == ["bench-my-board"]
    assert told["bench-my-board"]["why"] == "its board failed"

    real.environment = {}
    real.start()
    assert main([*asked, "-q"]) == 0
    assert all(each["median_ms"] for each in rows(project))
    measured = json.loads((project / "dist/my-board/measurements.json").read_bytes())
    for each in measured["files"].values():
        assert (each["via"], each["outputs_match"], each["model_match"]) == ("ssh", True, True)
    for file in (project / "dist").rglob("*.json"):
        assert "--ssh" not in file.read_text() and '"board' not in file.read_text()
    stages = project / ".edgeprune" / "stages"
    (key,) = (stages / "bench-my-board").glob("*/key.json")
    assert len(json.loads(key.read_bytes())["board"]) == 16, "of the address only a digest"

    # An engine there that answers a little off: held back, and no figure of it is shown.
    shutil.rmtree(stages / "bench-my-board")
    real.stop()
    real.environment = wrong
    real.start()
    capfd.readouterr()
    assert main([*asked, "-q"]) == 3
    assert "are not those of this machine's engine" in capfd.readouterr().out
    after = next(each for each in rows(project) if each["role"] == "after")
    assert after["median_ms"] is None and "so its latency is no result" in str(after["note"])

    # An engine there that refuses the file is the board's matter, not the run's end.
    shutil.rmtree(stages / "bench-my-board")
    real.stop()
    real.environment["REFUSE"] = "1"
    real.start()
    assert main([*asked, "--set", "gates.max_latency_ms=9"]) == 3
    captured = capfd.readouterr()
    assert "fails loading it" in captured.err and "max_latency_ms" in captured.out


def test_an_address_for_a_recipe_without_a_board_is_refused(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = project / "edgeprune.toml"
    recipe.write_text(recipe.read_text().replace("my-board", "host"))
    assert main(["run", str(recipe), "--ssh", "board"]) == 2
    assert "no target here is a board" in capfd.readouterr().err
