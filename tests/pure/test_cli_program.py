"""The program without a framework: help, usage, exit codes, flags, what is printed where."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer

from edgeprune.cli import main
from edgeprune.cli.app import program

VERBS = (
    "run", "report", "init", "clean", "schema", "makefile", "score", "scan", "plan", "zero",
    "prune", "strip", "recover", "export", "verify", "bench", "inspect", "bench history",
    "targets", "doctor",
)  # fmt: skip
HEAVY = ("tensorflow", "keras", "onnx", "onnxruntime", "numpy", "pydantic", "jinja2", "matplotlib")


def python(
    code: str, *arguments: str, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )


RUN = "import sys; from edgeprune.cli import main; sys.exit(main())"


def test_help_loads_nothing_heavy_and_is_quick() -> None:
    code = f"""
        import sys, time
        sys.argv = ["edgeprune", "--help"]
        import edgeprune.cli
        code = edgeprune.cli.main()
        print([name for name in {HEAVY!r} if name in sys.modules], time.process_time())
        sys.exit(code)
    """
    done = python(code)
    assert done.returncode == 0, done.stderr
    loaded, cpu = done.stdout.strip().splitlines()[-1].rsplit(" ", 1)
    assert loaded == "[]"
    assert float(cpu) < 0.5
    for verb in VERBS:
        assert re.search(rf"^\W+{verb} ", done.stdout, re.M), verb


@pytest.mark.parametrize(
    "verb",
    [*VERBS, "targets list", "targets show", "targets check", "targets new", "targets emulate"],
)
def test_every_help_has_an_example_and_the_flags_of_everywhere(
    verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "--help"]) == 0
    text = " ".join(capfd.readouterr().out.split())
    assert f"Example: edgeprune {verb}" in text
    for flag in ("--verbose", "--quiet", "--traceback"):
        assert flag in text


def test_the_verbs_and_their_options_are_the_contract() -> None:
    command = typer.main.get_command(program())
    found = {
        name: {flag for parameter in verb.params for flag in parameter.opts}
        for name, verb in command.commands.items()
    }
    assert set(found) == set(VERBS)
    for name, flags in {
        "score": {"--data", "--loss", "--method", "-o", "--out", "--json"},
        "plan": {
            "--model",
            "--data",
            "--sparsity",
            "--threshold",
            "--channels",
            "--max-macs",
            "--max-parameters",
            "--max-bytes",
            "--max-latency-ms",
            "--latency",
            "--step",
            "--front",
            "-o",
            "--json",
        },
        "zero": {"--plan", "-o", "--json"},
        "prune": {
            "--data",
            "--loss",
            "--sparsity",
            "--threshold",
            "--channels",
            "--method",
            "-o",
            "--json",
        },
        "strip": {"-o", "--json"},
        "recover": {"--data", "--loss", "--plan", "--method", "-o", "--json"},
        "export": {"--format", "--sparse", "-o", "--json"},
        "verify": {"--model", "--data", "--json"},
        "bench": {"--target", "--json"},
        "run": {"--target", "--set", "--quick", "--dry-run", "--depfile", "--trust-model"},
        "inspect": {"--groups", "--json"},
        "report": {"-o", "--out"},
        "init": {"--data", "-o"},
        "doctor": {"--json"},
    }.items():
        assert flags <= found[name], name


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["scor"], "score"),
        (["score"], "MODEL"),
        (["score", "m.keras", "--data", "d.npz"], "--out"),
        (["score", "m.keras", "--data", "d", "-o", "s", "--method", "tailor"], "tailor"),
        (["plan", "s.npz", "--sparsity", "much", "-o", "p.json"], "--sparsity"),
        (
            ["plan", "s.npz", "--sparsity", "95%", "-o", "p.json"],
            "95% is not a share from 0 to below 1",
        ),
        (["plan", "s.npz", "--channels", "1.0", "-o", "p.json"], "such as 0.95"),
        (["schema", "foo"], "'recipe|target|bench|count': 'foo' is not one of"),
        (["export", "m.keras", "--format", "fp31", "-o", "f"], "fp31"),
        (["clean", "--quiett"], "--quiett"),
        (["targets", "lst"], "list"),
        (["targets", "new", "board"], "--from"),
    ],
)
def test_a_usage_error_is_one_line_and_exit_2(
    arguments: list[str], word: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("edgeprune: ")
    assert word in captured.err
    assert "--help'" in captured.err


def test_version_and_no_arguments(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"edgeprune \d+\.\d+\.\d+\S*\n", capfd.readouterr().out)
    assert main([]) == 0
    assert "Usage: edgeprune" in capfd.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str) -> None:
    # Typer looks for the shell among its parents, and under make that is sh, which has none.
    script = python(
        RUN.replace("main()", f"main(['--show-completion', '{shell}'])"),
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert script.returncode == 0, script.stderr
    assert "_EDGEPRUNE_COMPLETE" in script.stdout
    done = python(
        RUN, _EDGEPRUNE_COMPLETE="complete_bash", COMP_WORDS="edgeprune sc", COMP_CWORD="1"
    )
    assert done.stdout.split() == ["schema", "score", "scan"]


def test_clean_where_nothing_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", str(tmp_path / "absent.toml")]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert main(["clean", str(tmp_path)]) == 0
    assert capfd.readouterr() == (f"{tmp_path}: 0 B freed\n", "")
    for quiet in (["clean", str(tmp_path), "-q"], ["-q", "clean", str(tmp_path)]):
        assert main(quiet) == 0
        assert capfd.readouterr() == (f"{tmp_path}: 0 B freed\n", "")
    assert list(tmp_path.iterdir()) == []


def test_clean_says_who_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from edgeprune.workspace import Workspace

    with Workspace(tmp_path / ".edgeprune").lock():
        assert main(["clean", str(tmp_path)]) == 1
    assert f"process {os.getpid()}" in capfd.readouterr().err


BROKEN = """
    import sys
    import edgeprune.workspace
    def clean(self, **_):
        import os
        os.write(2, b"I am a library and I chatter\\n")
        raise {what}
    edgeprune.workspace.Workspace.clean = clean
    from edgeprune.cli import main
    sys.exit(main())
"""


def test_an_unexpected_exception_is_one_line_and_a_log(tmp_path: Path) -> None:
    done = python(BROKEN.format(what="ZeroDivisionError('by\\nzero')"), "clean", ".", cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "ZeroDivisionError: by zero" in last
    assert "Traceback" not in done.stderr
    (log,) = (tmp_path / ".edgeprune" / "log").iterdir()
    assert str(log.relative_to(tmp_path)) in last
    text = log.read_text()
    for word in ("Traceback", "ZeroDivisionError", "tensorflow 2", "python 3", "edgeprune clean"):
        assert word in text
    assert (tmp_path / ".edgeprune" / ".gitignore").read_text() == "*\n"


@pytest.mark.parametrize("order", [["--traceback", "clean", "."], ["clean", ".", "--traceback"]])
def test_traceback_prints_it_instead(tmp_path: Path, order: list[str]) -> None:
    done = python(BROKEN.format(what="ZeroDivisionError"), *order, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "tensorflow 2" in done.stderr
    assert not (tmp_path / ".edgeprune").exists()


def test_ctrl_c_is_one_line_and_130(tmp_path: Path) -> None:
    done = python(BROKEN.format(what="KeyboardInterrupt"), "clean", ".", cwd=tmp_path)
    assert done.returncode == 130
    assert done.stderr.splitlines()[1:] == ["edgeprune: interrupted; no result is written"]


LOST = """
    import os, signal, sys
    import edgeprune.cli.doctor
    class Finalised:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
    def examined(progress):
        with progress.task("work", 2) as task:
            Finalised()
            task.advance()
            os.write(2, b"went on\\n")
        return []
    edgeprune.cli.doctor.examined = examined
    from edgeprune.cli import main
    sys.exit(main())
"""


@pytest.mark.parametrize("flags", [[], ["-q"]])
def test_ctrl_c_that_a_library_loses_ends_the_work_at_its_next_step(
    tmp_path: Path, flags: list[str]
) -> None:
    done = python(LOST, "doctor", *flags, cwd=tmp_path)
    assert done.returncode == 130, done.stderr
    assert "went on" not in done.stderr
    assert done.stderr.splitlines()[-1] == "edgeprune: interrupted; no result is written"


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        ("__import__('edgeprune.errors').errors.ExportError('no')", 1, "edgeprune: no"),
        ("__import__('edgeprune.errors').errors.RecipeError(['a', 'b'])", 2, "edgeprune: b"),
        ("OSError(28, 'No space left on device', 'f')", 1, "no space left"),
        ("FileNotFoundError(2, 'No such file', 'absent.npz')", 2, "absent.npz: No such file"),
        ("FileNotFoundError(2, 'no', '.edgeprune/stages/x')", 1, "fault of edgeprune"),
        ("PermissionError(13, 'no', 'd.npz')", 2, "d.npz: Permission denied"),
    ],
)
def test_errors_become_exit_codes(tmp_path: Path, what: str, code: int, line: str) -> None:
    done = python(BROKEN.format(what=what), "clean", ".", cwd=tmp_path)
    assert done.returncode == code
    assert line in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_reader_who_leaves_is_no_fault(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m edgeprune schema recipe | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.stderr == ""
    assert not (tmp_path / ".edgeprune").exists()


@pytest.mark.parametrize("noun", ["recipe", "target"])
def test_schema_is_json_on_stdout(noun: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", noun]) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["properties"]["schema"]
    assert captured.err == ""


@pytest.mark.parametrize("noun", ["bench", "count"])
def test_what_bench_prints_has_a_schema(noun: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", noun]) == 0
    schema = json.loads(capfd.readouterr().out)
    assert schema["title"].endswith("--json, schema 1")
    counted = schema if noun == "count" else schema["$defs"]["Counted"]
    wanted = {"instructions", "kernels", "outputs_match", "runtime_version", "threads", "via"}
    assert wanted <= set(counted["required"]) and counted["additionalProperties"] is False
    assert not [key for key in counted["properties"] if "latency" in key or key.endswith("_ms")]


def test_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["targets", "list", "--json"]) == 0
    names = {each["name"] for each in json.loads(capfd.readouterr().out)}
    assert {"host", "raspberry-pi-4"} <= names
    for alone in (["targets", "--json"], ["targets", "-q", "list", "--json"]):
        assert main(alone) == 0
        captured = capfd.readouterr()
        assert {each["name"] for each in json.loads(captured.out)} == names
        assert captured.err == ""
    assert main(["targets"]) == 0
    assert "raspberry-pi-4" in capfd.readouterr().out
    assert main(["targets", "--json", "show", "host"]) == 2
    assert "behind 'show'" in capfd.readouterr().err
    assert main(["targets", "list"]) == 0
    assert "raspberry-pi-4" in capfd.readouterr().out
    assert main(["targets", "show", "raspberry-pi-4"]) == 0
    assert "aarch64" in capfd.readouterr().out
    assert main(["targets", "check", "host"]) == 0
    assert "valid; timed here" in capfd.readouterr().out
    assert main(["targets", "check", "raspberry-pi-4", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["timed"] is False
    assert main(["targets", "show", "raspbery-pi-4"]) == 2
    assert "raspberry-pi-4" in capfd.readouterr().err
    assert main(["targets", "check", "cortex-m7"]) == 0
    assert "says whether a file fits" in capfd.readouterr().out
    (tmp_path / "board.toml").write_text('descripton = "x"\narch = "pdp11"\n')
    assert main(["targets", "check", "board.toml"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "descripton" in lines[0] and "description" in lines[0]


def test_a_profile_with_faults_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets").mkdir()
    (tmp_path / "targets" / "mine.toml").write_text('extends = "host"\n')
    (tmp_path / "targets" / "round.toml").write_text('extends = "about"\n')
    (tmp_path / "targets" / "about.toml").write_text('extends = "round"\n')
    (tmp_path / "targets" / "newer.toml").write_text("schema = 9\n")
    for asked in (["targets", "list", "--json"], ["targets", "--json"]):
        assert main(asked) == 2
        captured = capfd.readouterr()
        names = [each["name"] for each in json.loads(captured.out)]
        assert names[0] == "host" and "mine" in names and "round" not in names
        assert captured.err.count("\n") == 3 and captured.err.count("edgeprune: ") == 3
        assert "(about → round → about)" in captured.err and "schema 9" in captured.err
    assert main(["targets", "show", "round"]) == 2
    assert "circle" in capfd.readouterr().err


def test_a_profile_is_shown_with_what_it_inherits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text('extends = "raspberry-pi-4"\nmemory = 512\n')
    assert main(["targets", "show", "mine.toml", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["name"], facts["memory"], facts["cpu"]) == ("mine", 512, "cortex-a72")
    assert [Path(file).name for file in facts["files"]] == ["mine.toml", "raspberry-pi-4.toml"]
    assert main(["targets", "show", "mine.toml"]) == 0
    text = capfd.readouterr().out
    assert "0xd08" in text and "cortex-a72" in text and "None" not in text


def test_a_new_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["targets", "new", "gateway", "--from", "raspberry-pi-4"]) == 0
    assert "edgeprune targets check targets/gateway.toml" in capfd.readouterr().out
    written = (tmp_path / "targets" / "gateway.toml").read_text()
    assert main(["targets", "check", "gateway"]) == 0, "it is found where it was written"
    capfd.readouterr()
    assert main(["targets", "new", "gateway", "--from", "host"]) == 1
    assert "is there already" in capfd.readouterr().err
    assert (tmp_path / "targets" / "gateway.toml").read_text() == written
    assert main(["targets", "new", "gateway", "--from", "host", "--force", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["text"] == (tmp_path / "targets" / "gateway.toml").read_text() != written
    assert (facts["name"], facts["from"]) == ("gateway", "host")
    # Without a name it is printed, to be piped; what is printed is a profile.
    assert main(["targets", "new", "--from", "rk3588"]) == 0
    (tmp_path / "piped.toml").write_text(capfd.readouterr().out)
    assert main(["targets", "check", "piped.toml"]) == 0
    capfd.readouterr()
    for wrong, word in (
        (["my board", "--from", "host"], "letters, digits"),
        (["a/b", "--from", "host"], "its file's name"),
        (["--from", "hots"], "did you mean 'host'?"),
        (["board", "--from", "host", "-o", "other.toml"], "its file's name"),
        (["--from", "host", "-o", "board.txt"], "NAME.toml"),
    ):
        assert main(["targets", "new", *wrong]) == 2
        (line,) = capfd.readouterr().err.splitlines()
        assert word in line, line
    assert sorted(path.name for path in tmp_path.rglob("*.toml")) == ["gateway.toml", "piped.toml"]


def test_report_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from reporting_fixture import realistic

    path = tmp_path / "result.json"
    path.write_text(json.dumps(realistic().to_json()))
    assert main(["report", str(path)]) == 0
    text = capfd.readouterr().out
    assert "BROKEN" in text and "released to dist/host" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert main(["report", str(path), "-o", str(tmp_path / "r.html"), "-q"]) == 0
    assert capfd.readouterr() == (f"{tmp_path / 'r.html'}: written\n", "")
    assert main(["report", str(path), "-o", str(tmp_path / "r.md"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"file": str(tmp_path / "r.md")}
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "| after |" in (tmp_path / "r.md").read_text()
    assert main(["report", str(path), "-o", str(tmp_path / "r.pdf")]) == 2
    path.write_text("{}")
    assert main(["report", str(path)]) == 2
    path.write_text('{"schema": 99}')
    assert main(["report", str(path)]) == 2
    assert "schema 99" in capfd.readouterr().err


def test_a_report_of_no_result_is_the_same_wherever_it_should_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("absent.json", ".edgeprune/result.json"):
        assert main(["report", name]) == 2
        said = f"edgeprune: {name}: no such file; 'edgeprune run' writes one\n"
        assert capfd.readouterr() == ("", said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("verb", "wrong", "right"),
    [
        ("score m.keras --data d.npz -o", "s.txt", ".npz"),
        ("plan s.npz --sparsity 0.5 -o", "p.txt", ".json"),
        ("zero m.keras --plan p.json -o", "z.tflite", ".keras"),
        ("prune m.keras --data d.npz --sparsity 0.5 -o", "x.tflite", ".keras"),
        ("prune m.keras --data d.npz --sparsity 0.5 -o x.h5 --save-plan", "p.npz", ".json"),
        ("strip m.keras -o", "s.KERAS", ".h5"),
        ("recover m.keras --data d.npz -o", "r", ".keras"),
        ("export m.keras --format fp32 -o", "s.onnx", ".tflite"),
        ("export m.keras --format onnx-fp32 --sparse -o", "s.tfl", ".onnx"),
        ("report r.json -o", "r.pdf", ".md"),
    ],
)
def test_where_a_result_goes_is_looked_at_before_all_else(
    verb: str, wrong: str, right: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A wrong suffix is bad input, a place that cannot be written is not. Nothing that a verb
    reads is there: it would be missed if it were looked for first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for place, code, word in (
        (wrong, 2, right),
        (f"/proc/x{right}", 1, "cannot write"),
        (f"file/x{right}", 1, "file is a file"),
    ):
        assert main([*verb.split(), place]) == code
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert place in err and word in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ("score m.keras --data d.npz -o s.npz", "m.keras"),
        ("score there.keras --data d.npz -o s.npz", "d.npz"),
        ("plan s.npz --sparsity 0.5 -o p.json", "s.npz"),
        ("zero there.keras --plan p.json -o z.keras", "p.json"),
        ("prune there.keras --data d.npz --sparsity 0.5 -o x.h5", "d.npz"),
        ("strip m.keras -o new/x.keras", "m.keras"),
        ("recover m.keras --data d.npz -o x.keras", "m.keras"),
        ("export m.keras --format fp32 -o x.tflite", "m.keras"),
        ("verify x.tflite --model there.keras --data d.npz", "x.tflite"),
        ("inspect m.keras", "m.keras"),
        ("init m.keras --data d.npz -o r.toml", "m.keras"),
        ("init there.keras --data d.npz -o r.toml", "d.npz"),
        ("init there.keras --data d.npz -o there.toml", "there.toml"),
        ("run r.toml", "r.toml"),
        ("run .", "edgeprune.toml"),
    ],
)
def test_what_the_names_of_files_tell_is_said_before_a_framework_is_loaded(
    arguments: str, missing: str, tmp_path: Path
) -> None:
    for name in ("there.keras", "there.toml"):
        (tmp_path / name).touch()
    code = f"""
        import sys
        from edgeprune.cli import main
        code = main({arguments.split()!r})
        print(code, [name for name in ("tensorflow", "keras") if name in sys.modules])
    """
    done = python(code, cwd=tmp_path)
    replaced = missing == "there.toml"
    assert done.stdout == f"{1 if replaced else 2} []\n", done.stderr
    word = "is there already" if replaced else "no such "
    assert done.stderr.startswith(f"edgeprune: {missing}") and word in done.stderr
    assert done.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"there.keras", "there.toml"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("--format int8 -o s.tflite", "variant int8 needs calibration data; name it with --data"),
        ("--variant int16x8-sparse -o s.tflite", "variant int16x8-sparse needs calibration data"),
        ("--format dynamic --sparse -o s.tflite", "sparse TFLite file: --format dynamic-sparse"),
        ("--format int8 --data d.npz -o s.onnx", "variant int8 is written to a .tflite file"),
    ],
)
def test_what_a_format_needs_is_said_before_anything_is_opened(
    asked: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["export", "m.keras", *asked.split()]) == 2
    err = capfd.readouterr().err
    assert said in err and err.count("\n") == 1 and list(tmp_path.iterdir()) == []


def test_what_is_no_recipe_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04\xff\xfe")
    assert main(["run", "model.keras"]) == 2
    err = capfd.readouterr().err
    assert "model.keras: no recipe" in err and "'edgeprune init" in err and err.count("\n") == 1
    (tmp_path / "folder.toml").mkdir()
    assert main(["targets", "check", "folder.toml"]) == 2
    assert "folder.toml: a folder, and no profile" in capfd.readouterr().err
    # A folder is as good as the recipe of the usual name in it.
    (tmp_path / "folder.toml" / "edgeprune.toml").write_text("sparsty = 1")
    assert main(["run", "folder.toml"]) == 2
    assert "folder.toml/edgeprune.toml: unknown key 'sparsty'" in capfd.readouterr().err


def test_no_color_and_color(tmp_path: Path) -> None:
    code = """
        import os, pty, sys
        pid, fd = pty.fork()
        if pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "edgeprune", "report", "result.json"])
        text = b""
        while True:
            try:
                piece = os.read(fd, 4096)
            except OSError:
                break
            if not piece:
                break
            text += piece
        sys.stdout.write(repr(text))
    """
    from reporting_fixture import realistic

    (tmp_path / "result.json").write_text(json.dumps(realistic().to_json()))
    colour = r"\\x1b\[[0-9;]*3[0-9]"
    coloured = python(code, cwd=tmp_path, TERM="xterm-256color")
    assert re.search(colour, coloured.stdout), "the broken gate's row is red, a kept one's green"
    plain = python(code, cwd=tmp_path, TERM="xterm-256color", NO_COLOR="1")
    assert "BROKEN" in plain.stdout and not re.search(colour, plain.stdout)
