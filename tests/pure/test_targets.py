"""Device profiles: ours are read, the user's come first, faults are lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from edgeprune import recipes, targets
from edgeprune.errors import RecipeError, VersionError
from edgeprune.targets import Target

ROOT = Path(__file__).parents[2]


def test_ours() -> None:
    assert Target.names()[0] == "host" and "raspberry-pi-4" in Target.names()
    board = Target.load("raspberry-pi-4")
    assert (board.arch, board.cpu, board.cores) == ("aarch64", "cortex-a72", 4)
    assert Target.load("host").arch == "any"
    assert [target.name for target in Target.all()] == list(Target.names())
    facts = board.facts()
    assert facts["name"] == "raspberry-pi-4" and str(ROOT) not in json.dumps(facts)


def test_formats_are_those_of_recipes() -> None:
    assert get_args(targets.Format) == get_args(recipes.Format)


def test_the_multiple_of_several_suits_each(tmp_path: Path) -> None:
    text = 'description = "d"\narch = "aarch64"\nchannel_multiple = '
    for number in (0, 1, 12):
        (tmp_path / f"by-{number}.toml").write_text(f"{text}{number}")
    ours = [Target.load("host"), Target.load("raspberry-pi-4")]
    assert [target.channel_multiple for target in ours] == [16, 8]
    assert targets.common_multiple(ours) == 16
    twelve = Target.load("by-12", [tmp_path])
    assert targets.common_multiple([*ours, twelve]) == 48
    assert targets.common_multiple([Target.load("by-1", [tmp_path])]) == 1
    with pytest.raises(RecipeError, match="'channel_multiple' must be at least 1, not 0"):
        Target.load("by-0", [tmp_path])


def test_takes_needs_format_and_engine(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(
        'description = "d"\narch = "aarch64"\nruntime = "litert"\nformats = ["fp32", "onnx-fp32"]'
    )
    small = Target.load("small", [tmp_path])
    assert small.takes("fp32") and not small.takes("fp32-sparse") and not small.takes("onnx-fp32")


def test_the_users_folder_comes_first_and_a_path_will_do(tmp_path: Path) -> None:
    text = 'description = "mine"\narch = "x86_64"\n'
    (tmp_path / "host.toml").write_text(text)
    (tmp_path / "my-board.toml").write_text(text)
    assert Target.load("host", [tmp_path]).description == "mine"
    assert Target.load("host").description != "mine"
    assert "my-board" in Target.names([tmp_path])
    assert Target.load(tmp_path / "my-board.toml").name == "my-board"
    assert Target.load("host", [tmp_path / "absent"]).arch == "any"


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'rasberry-pi4': no such profile; did you mean"):
        Target.load("rasberry-pi4")
    with pytest.raises(RecipeError, match="known: host"):
        Target.load("zzz")
    (tmp_path / "bad.toml").write_text(
        'description = "d"\narch = "arm64"\ncors = 4\nmemory = "1"\n'
    )
    with pytest.raises(RecipeError) as caught:
        Target.load("bad", [tmp_path])
    assert [line.split(": ", 1)[1] for line in caught.value.lines] == [
        "unknown key 'cors'; did you mean 'cores'?",
        "'arch' must be 'any', 'x86_64', 'aarch64', 'armv7l' or 'riscv64', not the string 'arm64'; "
        "did you mean 'aarch64'?",
        "'memory' must be a whole number, not the string '1'",
    ]
    (tmp_path / "bad.toml").write_text(
        'description = "d"\narch = "any"\nruntime = ["litter"]\ncores = 2\nthreads = 4\n'
    )
    with pytest.raises(RecipeError) as caught:
        Target.load("bad", [tmp_path])
    assert "did you mean 'litert'?" in caught.value.lines[0]
    assert "'threads' is 4, more than the 2" in caught.value.lines[1]
    (tmp_path / "bad.toml").write_text("schema = 9")
    with pytest.raises(VersionError, match="schema 9"):
        Target.load("bad", [tmp_path])


def test_every_key_is_documented() -> None:
    document = (ROOT / "targets" / "README.md").read_text()
    schema = Target.json_schema()
    assert all(f"| `{key}` |" in document for key in schema["properties"])
    assert all(value.get("description") for value in schema["properties"].values())


def test_installed_elsewhere_a_folder_targets_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "edgeprune"
    (package / "profiles").mkdir(parents=True)
    (tmp_path / "site-packages" / "targets").mkdir()
    monkeypatch.setattr(targets, "HERE", package)
    assert targets.folders() == (package / "profiles",)
