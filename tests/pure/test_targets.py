"""Device profiles: ours are complete and say their sources, the user's come first, faults are
lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune import recipes, targets
from edgeprune.errors import RecipeError, VersionError
from edgeprune.targets import Target, finding, started
from edgeprune.targets.checking import PARTS
from edgeprune.variants import VARIANTS

ROOT = Path(__file__).parents[2]
OURS = (
    "host", "android-a53", "arm64-server-n1", "cortex-m-ethos-u55", "cortex-m7", "galaxy-s21",
    "imx8m-plus", "jetson-nano", "jetson-orin-nano", "pixel-6", "pixel-8", "raspberry-pi-3b-plus",
    "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-zero-2w", "rk3588",
)  # fmt: skip
HEAD = 'description = "d"\narch = "aarch64"\n'


@pytest.fixture(autouse=True)
def nobodys_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


def faults(folder: Path, text: str, name: str = "board") -> list[str]:
    """The faults of a profile, without the file they stand in."""
    path = folder / f"{name}.toml"
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        Target.load(path)
    assert all(line.startswith(f"{path}: ") for line in caught.value.lines)
    return [line.removeprefix(f"{path}: ") for line in caught.value.lines]


# -- ours ---------------------------------------------------------------------------------------


def test_ours() -> None:
    assert Target.names() == OURS
    board = Target.load("raspberry-pi-4")
    assert (board.arch, board.cpu, board.cores) == ("aarch64", "cortex-a72", 4)
    assert Target.load("host").arch == "any"
    assert [target.name for target in Target.all()] == list(Target.names())
    facts = board.facts()
    assert facts["name"] == "raspberry-pi-4" and str(ROOT) not in json.dumps(facts)


@pytest.mark.parametrize("name", OURS[1:])
def test_each_of_ours_says_what_it_is(name: str) -> None:
    target = Target.load(name)
    assert target.isa and target.extensions and target.soc and target.cpu and target.precisions
    assert target.clusters and target.runtimes and target.note
    assert target.cpu == target.clusters[0].cpu
    assert target.cores == sum(cluster.cores for cluster in target.clusters)
    assert target.sparse.convolutions is not None and target.sparse.dense is not None
    for cluster in target.clusters:
        assert cluster.implementer == 0x41 and cluster.part == PARTS[cluster.cpu]
        assert cluster.clock_mhz is not None
    engines = {section.name for section in target.runtimes}
    assert engines == set(target.runtime)
    assert {one for section in target.runtimes for one in section.formats} == set(target.formats)
    assert target.micro == (target.limits is not None) == (target.os is None)
    # One clock a cluster and the fastest first: what a thread runs on stands at the front.
    clocks = [cluster.clock_mhz or 0 for cluster in target.clusters]
    assert clocks == sorted(clocks, reverse=True)


def test_precisions_follow_from_the_extensions() -> None:
    for target in Target.all():
        if target.micro or target.extensions is None:
            continue
        native = set(target.precisions or ())
        assert ("int8" in native) == ("dotprod" in target.extensions), target.name
        assert ("fp16" in native) == ("fp16" in target.extensions), target.name


def sources(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, item in node.items():
            if key == "source":
                yield from item
            else:
                yield from sources(item)
    elif isinstance(node, list):
        for item in node:
            yield from sources(item)


def test_sources_can_be_looked_up_by_a_reader() -> None:
    text = (ROOT / "targets" / "README.md").read_text()
    assert "## What pays where" in text
    for target in Target.all():
        found = list(sources(target.facts()))
        assert found or target.name == "host"
        assert not [line for line in found if len(line) < 12 or "/work/" in line]
        assert not re.search(r"\bTODO\b|\?\?", " ".join(found))


def test_the_middle_of_a_board_is_as_its_documents_say() -> None:
    """A few figures that everyone can check, so that a slip of the pen shows."""
    pi = Target.load("raspberry-pi-5")
    (cores,) = pi.clusters
    assert (cores.cpu, cores.cores, cores.clock_mhz) == ("cortex-a76", 4, 2400)
    assert (cores.part, cores.variant, cores.revision) == (0xD0B, 4, 1)
    assert pi.peaks.gflops is not None and pi.peaks.gflops.value == 4 * 2.4 * 16
    phone = Target.load("pixel-8")
    assert [(each.cpu, each.cores) for each in phone.clusters] == [
        ("cortex-x3", 1), ("cortex-a715", 4), ("cortex-a510", 4),
    ]  # fmt: skip
    assert phone.peaks.gflops is None, "not known, so not said"
    assert "i8mm" in (phone.extensions or ()) and "sve" in (phone.extensions or ())
    micro = Target.load("cortex-m7")
    assert micro.formats == ("int8",) and micro.limits is not None
    assert (micro.limits.flash_kib, micro.limits.ram_kib) == (2048, 512)


def test_formats_are_those_of_recipes() -> None:
    assert get_args(targets.Format) == get_args(recipes.Format) == tuple(VARIANTS)


def test_the_multiple_of_several_suits_each(tmp_path: Path) -> None:
    for number in (0, 1, 12):
        (tmp_path / f"by-{number}.toml").write_text(f"{HEAD}channel_multiple = {number}")
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
        f'{HEAD}runtime = "litert"\nformats = ["fp32", "onnx-fp32"]'
    )
    small = Target.load("small", [tmp_path])
    assert small.takes("fp32") and not small.takes("fp32-sparse") and not small.takes("onnx-fp32")
    micro = Target.load("cortex-m7")
    assert micro.takes("int8") and not micro.takes("fp32")
    assert Target.load("host").takes("int8")


def test_what_no_measurement_depends_on_is_in_no_key(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(f"{HEAD}threads = 2\n")
    before = Target.load(path).measuring_facts()
    path.write_text(
        f'{HEAD}threads = 2\nnote = "n"\nconnection = "ssh"\n[gates]\nmax_bytes = 3\n'
        '[ram]\ntype = "DDR4"\nsource = "its label"\n'
    )
    assert Target.load(path).measuring_facts() == before
    path.write_text(f"{HEAD}threads = 1\n")
    assert Target.load(path).measuring_facts() != before


# -- where they are looked for --------------------------------------------------------------------


def test_the_users_folder_comes_first_and_a_path_will_do(tmp_path: Path) -> None:
    text = 'description = "mine"\narch = "x86_64"\n'
    (tmp_path / "host.toml").write_text(text)
    (tmp_path / "my-board.toml").write_text(text)
    assert Target.load("host", [tmp_path]).description == "mine"
    assert Target.load("host").description != "mine"
    assert "my-board" in Target.names([tmp_path])
    assert Target.load(tmp_path / "my-board.toml").name == "my-board"
    assert Target.load("host", [tmp_path / "absent"]).arch == "any"


def test_repository_before_home_before_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(folder: Path, word: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "host.toml").write_text(f'description = "{word}"\narch = "any"\n')

    repository, home = tmp_path / "repository", tmp_path / "home"
    (repository / ".git").mkdir(parents=True)
    deep = repository / "models" / "cats"
    deep.mkdir(parents=True)
    put(tmp_path / "targets", "outside of it")
    monkeypatch.chdir(deep)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    assert Target.load("host").description == "This machine"
    put(home / "edgeprune" / "targets", "home")
    assert Target.load("host").description == "home"
    put(repository / "targets", "root")
    assert Target.load("host").description == "root"
    put(deep / "targets", "beside")
    assert Target.load("host").description == "beside"
    # A recipe's repository decides for a recipe, wherever it is called from.
    monkeypatch.chdir(tmp_path)
    assert Target.load("host", [deep / "targets"]).description == "beside"
    assert Target.load("host", [repository / "models" / "targets"]).description == "root"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / ".config" / "edgeprune" / "targets", "by default")
    (tmp_path / "targets" / "host.toml").unlink()
    assert Target.load("host").description == "by default"


def test_installed_elsewhere_a_folder_targets_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "edgeprune"
    (package / "profiles").mkdir(parents=True)
    (tmp_path / "site-packages" / "targets").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(finding, "HERE", package)
    assert targets.folders() == (package / "profiles",)


# -- extends --------------------------------------------------------------------------------------


def test_a_profile_takes_what_it_does_not_say(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(
        'extends = "raspberry-pi-4"\ndescription = "ours"\nmemory = 512\n'
        "[peaks]\ngb_per_s = { value = 4, source = 'measured here' }\n"
    )
    (tmp_path / "slow.toml").write_text('extends = "gateway"\nchannel_multiple = 16\n')
    parent, slow = Target.load("raspberry-pi-4"), Target.load("slow", [tmp_path])
    assert (slow.name, slow.description, slow.memory) == ("slow", "ours", 512)
    assert slow.channel_multiple == 16 and slow.clusters == parent.clusters
    assert slow.peaks.gflops == parent.peaks.gflops, "tables go together key by key"
    assert slow.peaks.gb_per_s is not None and slow.peaks.gb_per_s.value == 4
    assert [path.stem for path in slow.chain] == ["slow", "gateway", "raspberry-pi-4"]
    assert slow.extends == "gateway"


def test_lists_are_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(
        'extends = "rk3588"\ncores = 4\n[[clusters]]\ncpu = "cortex-a76"\ncores = 4\n'
        'source = "half of it"\n'
    )
    one = Target.load("one", [tmp_path])
    assert [cluster.cores for cluster in one.clusters] == [4]
    assert one.clusters[0].clock_mhz is None


def test_a_profile_may_build_on_the_one_it_overrides(tmp_path: Path) -> None:
    (tmp_path / "host.toml").write_text('extends = "host"\nthreads = 3\n')
    mine = Target.load("host", [tmp_path])
    assert mine.threads == 3 and mine.channel_multiple == 16
    assert [path.parent for path in mine.chain] == [tmp_path, ROOT / "targets"]


def test_extends_that_leads_nowhere(tmp_path: Path) -> None:
    assert faults(tmp_path, 'extends = "rasberry-pi-4"') == [
        "'extends' names 'rasberry-pi-4', no such profile; did you mean 'raspberry-pi-4'?"
    ]
    assert faults(tmp_path, 'extends = "board"') == [
        "'extends' names the profile itself; name another"
    ]
    (line,) = faults(tmp_path, 'extends = "../targets/host"')
    assert "no such profile" in line
    assert faults(tmp_path, f"{HEAD}extends = 3") == ["'extends' must be a string, not 3"]


def test_a_circle_is_shown(tmp_path: Path) -> None:
    for name, parent in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.toml").write_text(f'{HEAD}extends = "{parent}"\n')
    with pytest.raises(RecipeError) as caught:
        Target.load("a", [tmp_path])
    assert caught.value.lines == (
        f"{tmp_path / 'c.toml'}: 'extends' goes round in a circle (a → b → c → a); break it",
    )


def test_a_fault_is_told_of_the_file_that_has_it(tmp_path: Path) -> None:
    (tmp_path / "below.toml").write_text(f"{HEAD}memory = -1\nthreads = 8\n")
    (tmp_path / "above.toml").write_text('extends = "below"\ncores = 4\n')
    with pytest.raises(RecipeError) as caught:
        Target.load("above", [tmp_path])
    assert caught.value.lines == (
        f"{tmp_path / 'below.toml'}: 'memory' must be at least 1, not -1",
    )
    (tmp_path / "below.toml").write_text(f"{HEAD}threads = 8\n")
    with pytest.raises(RecipeError) as caught:
        Target.load("above", [tmp_path])
    (line,) = caught.value.lines
    assert line.startswith(f"{tmp_path / 'below.toml'}: 'threads' is 8, more than the 4")


SAID = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)), min_size=1, max_size=6)
)
def test_the_nearest_word_counts(
    tmp_path_factory: pytest.TempPathFactory, groups: list[dict[str, int]]
) -> None:
    """Of a chain of any length, in a table, every key has the value of the nearest that says it."""
    folder = tmp_path_factory.mktemp("chain")
    for number, said in enumerate(groups):
        table = "".join(f"{key} = {value}\n" for key, value in said.items())
        head = f'extends = "p{number + 1}"\n' if number + 1 < len(groups) else HEAD
        (folder / f"p{number}.toml").write_text(f"{head}[latency.groups]\nend = {number}\n{table}")
    wanted: dict[str, int] = {}
    for said in reversed(groups):
        wanted |= said
    loaded = Target.load("p0", [folder])
    assert loaded.latency is not None
    assert loaded.latency.groups == {**wanted, "end": 0}
    assert len(loaded.chain) == len(groups)


# -- faults ---------------------------------------------------------------------------------------


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'rasberry-pi4': no such profile; did you mean"):
        Target.load("rasberry-pi4")
    with pytest.raises(RecipeError, match="known: android-a53"):
        Target.load("zzz")
    text = 'description = "d"\narch = "arm64"\ncors = 4\nmemory = "1"\n'
    assert faults(tmp_path, text) == [
        "unknown key 'cors'; did you mean 'cores'?",
        "'arch' must be 'any', 'x86_64', 'aarch64', 'armv7l', 'riscv64', 'armv7e-m' or "
        "'armv8.1-m', not the string 'arm64'; did you mean 'aarch64'?",
        "'memory' must be a whole number, not the string '1'",
    ]
    lines = faults(
        tmp_path, 'description = "d"\narch = "any"\nruntime = ["litter"]\nthreads = 4\ncores = 2'
    )
    assert "did you mean 'litert'?" in lines[0]
    assert "'threads' is 4, more than the 2" in lines[1]
    (tmp_path / "bad.toml").write_text("schema = 9")
    with pytest.raises(VersionError, match="schema 9"):
        Target.load("bad", [tmp_path])
    (line,) = faults(tmp_path, "arch = \n")
    assert line.startswith("line 1, column 8: not TOML")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match="not UTF-8"):
        Target.load(tmp_path / "bytes.toml")


FAR = "more than any device has"


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (
            "clock_mhz = 1_500_000_000",
            f"is in MHz, and 1500000000 is {FAR} (10,000); did you mean 1500?",
        ),
        ("clock_mhz = 1500000", f"is in MHz, and 1500000 is {FAR} (10,000); did you mean 1500?"),
        ("clock_mhz = -1500", "must be above 0, not -1500"),
        ("clock_mhz = 0", "must be above 0, not 0"),
        ('clock_mhz = "1.5 GHz"', "must be a number, not the string '1.5 GHz'"),
        ("clock_mhz = nan", "must be a finite number, not nan"),
        ("clock_ghz = 1.5", "unknown key 'clusters[0].clock_ghz'; did you mean 'clock_mhz'?"),
        ("l2_kib = 2097152", f"is in KiB, and 2097152 is {FAR} (1,048,576); did you mean 2048?"),
        ("l1d_kib = 32768", f"is in KiB, and 32768 is {FAR} (1,024); did you mean 32?"),
        ("l1d_kib = 0.5", "must be a whole number, not 0.5"),
        ("cores = 0", "must be at least 1, not 0"),
        ("part = 0x1d0b", "must be at most 4095, not 7435"),
    ],
)
def test_units(tmp_path: Path, key: str, line: str) -> None:
    cluster = 'cpu = "x"\ncores = 4\nsource = "a label"\n'
    if key.startswith("cores"):
        cluster = cluster.replace("cores = 4\n", "")
    (found,) = faults(tmp_path, f"{HEAD}[[clusters]]\n{cluster}{key}\n")
    assert found.endswith(line), found


def test_memory_in_bytes_is_noticed(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, f"{HEAD}memory = 8589934592\n")
    assert line == f"'memory' is in MiB, and 8589934592 is {FAR} (16,777,216); did you mean 8192?"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('host = "pi.local"', "host"),
        ('ssh_host = "pi"', "ssh_host"),
        ("port = 22", "port"),
        ('user = "pi"', "user"),
        ('password = "raspberry"', "password"),
        ('api-token = "x"', "api-token"),
        ('identity_file = "~/.ssh/id"', "identity_file"),
        ('serial = "R58M"', "serial"),
        ('note = "reach it as pi@kitchen"', "note"),
        ('note = "it is 192.168.1.17"', "note"),
        ('soc = "-----BEGIN OPENSSH PRIVATE KEY-----"', "soc"),
        ('[os]\nname = "x"\nhostname = "kitchen"', "os.hostname"),
        (
            '[[clusters]]\ncpu = "x"\ncores = 1\nsource = ["seen on root@10.0.0.1"]',
            "clusters[0].source",
        ),
    ],
)
def test_nothing_private(tmp_path: Path, text: str, key: str) -> None:
    lines = faults(tmp_path, f"{HEAD}{text}\n")
    assert lines[0].startswith(f"'{key}' is or holds a host, a user or a secret"), lines
    assert not [line for line in lines if "unknown key" in line], "said once is enough"
    assert not [line for line in lines if "raspberry" in line or "kitchen" in line.split("'")[2]]


def test_the_words_of_others_are_not_taken_for_secrets(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(
        f'{HEAD}note = "LiteRT 2.3.0 from https://example.org/@someone/paper"\n'
        '[latency.groups]\nkey = 0.1\nuser_tower = 0.2\n"host*" = 0.3\n'
    )
    loaded = Target.load(path)
    assert loaded.latency is not None and set(loaded.latency.groups) == {
        "key",
        "user_tower",
        "host*",
    }


def test_the_name_is_the_files(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(f'name = "board"\n{HEAD}')
    assert Target.load(path).facts()["name"] == "board"
    assert faults(tmp_path, f'name = "bored"\n{HEAD}') == [
        "'name' is 'bored', and a profile has its file's name; write 'board', or leave it out"
    ]
    (line,) = faults(tmp_path, HEAD, "my board")
    assert line.startswith("the name of a profile has letters, digits")


MICRO = (
    'description = "d"\narch = "armv7e-m"\nruntime = "tflite-micro"\nformats = ["int8"]\n'
    '[limits]\nflash_kib = 64\nram_kib = 16\nsource = "a label"\n'
)


LABEL = 'source = "a label"\n'
CLUSTER = f'[[clusters]]\ncpu = "x"\ncores = 4\n{LABEL}'
FIGURE = '{ value = 64, source = "a label" }'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"cores = 8\n{CLUSTER}", "'cores' is 8, and the clusters have 4 together"),
        (f'cpu = "y"\n{CLUSTER}', "'cpu' is y, and no cluster is of it (x)"),
        (
            CLUSTER.replace('"x"', '"cortex-a72"') + "part = 0xd09",
            "'clusters[0].part' is 0xd09, and a cortex-a72 has 0xd08",
        ),
        (
            f'runtime = "litert"\n[[runtimes]]\nname = "onnxruntime"\nformats = ["fp32"]\n{LABEL}',
            "'runtimes[0]' is of onnxruntime, which 'runtime' does not name; add it there",
        ),
        (
            f'formats = ["fp32"]\n[[runtimes]]\nname = "litert"\nformats = ["int8"]\n{LABEL}',
            "'runtimes[0]' runs int8, which 'formats' does not name; add it there",
        ),
        (
            f"{CLUSTER}clock_mhz = 1000\nflops_per_cycle = 8\n[peaks]\ngflops = {FIGURE}",
            "'peaks.gflops' is 64, and cores × clock × flops_per_cycle of the clusters is 32",
        ),
        (
            f'[ram]\ntype = "x"\nbits = 32\nmt_per_s = 1000\n{LABEL}[peaks]\ngb_per_s = {FIGURE}',
            "'peaks.gb_per_s' is 64, and 32 bits at 1000 MT/s carry 4",
        ),
        (
            "runtime = []",
            "'runtime' is an empty list; name one of litert, onnxruntime, tflite-micro",
        ),
        (
            f"[limits]\nflash_kib = 64\nram_kib = 16\n{LABEL}",
            "'limits' is for microcontrollers, and 'arch' is aarch64",
        ),
        ("[peaks]\ngflops = { value = 64 }", "'peaks.gflops.source' is missing; add it"),
        (
            "[peaks]\ngflops = { value = 64, source = [] }",
            "'peaks.gflops.source' must have at least 1 entries, not 0",
        ),
    ],
)
def test_what_contradicts_itself(tmp_path: Path, text: str, line: str) -> None:
    assert faults(tmp_path, f"{HEAD}{text}\n") == [line]


def test_what_a_microcontroller_must_say(tmp_path: Path) -> None:
    (tmp_path / "micro.toml").write_text(MICRO)
    assert Target.load(tmp_path / "micro.toml").micro
    without = MICRO[: MICRO.index("[limits]")]
    assert faults(tmp_path, without) == ["'arch' is armv7e-m, a microcontroller's; add [limits]"]
    assert faults(tmp_path, MICRO.replace('"tflite-micro"', '"litert"')) == [
        "'runtime' of armv7e-m must be tflite-micro alone"
    ]
    assert faults(tmp_path, MICRO.replace("ram_kib = 16", "ram_kib = -16")) == [
        "'limits.ram_kib' must be at least 1, not -16"
    ]


# -- new ones -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_a_new_profile_is_sound_and_its_comments_are_the_parents_keys(
    tmp_path: Path, name: str
) -> None:
    parent = Target.load(name)
    path = tmp_path / "mine.toml"
    path.write_text(started(parent, "mine"))
    mine = Target.load(path)
    like = mine.facts() | {"name": name, "extends": None, "description": parent.description}
    assert like == parent.facts()
    # Uncommented whole, it says the same: nothing of the parent is lost in the comments.
    lines = path.read_text().splitlines()
    own = lines[lines.index("#") + 1 :]
    bare = ["" if line == "#" else line.removeprefix("# ") for line in own]
    text = "\n".join([*lines[:4], *bare])
    path.write_text(text)
    assert Target.load(path).facts() == mine.facts()


def test_gates_of_a_profile_come_last(tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text(
        f"{HEAD}[gates]\nmax_bytes = 7\nmax_latency_ms = 1.5\nunmeasured = 'allow'\n"
    )
    gates = Target.load("board", [tmp_path]).gates
    recipe = recipes.Recipe.model_construct(
        gates=recipes.Gates(max_latency_ms=9.0),
        targets=(recipes.TargetSection(name="board", gates=recipes.Gates(min_sparsity=0.5)),),
    )
    found = recipe.gates_for("board", gates)
    assert (found.max_bytes, found.max_latency_ms, found.min_sparsity) == (7, 9.0, 0.5)
    assert found.unmeasured == "allow"
    assert recipe.gates_for("board").max_bytes is None
    assert faults(tmp_path, f"{HEAD}[gates]\nmax_byte = 7") == [
        "unknown key 'gates.max_byte'; did you mean 'max_bytes'?"
    ]


def test_the_schema_knows_every_key() -> None:
    schema = Target.json_schema()
    for section in (schema, *schema["$defs"].values()):
        assert section["additionalProperties"] is False
        for key, value in section["properties"].items():
            target = schema["$defs"].get(value.get("$ref", "").rpartition("/")[2], {})
            assert value.get("description") or target.get("description"), key
    assert set(schema["required"]) == {"description", "arch"}
