"""The documents: what they point to is there, what they list is what the code has."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgeprune.documents import Strict
from edgeprune.gates import Gates
from edgeprune.recipes.distilling import Distill
from edgeprune.recipes.pruning import Prune
from edgeprune.recipes.recipe import Recipe
from edgeprune.recipes.sections import (
    Data,
    DataSource,
    Export,
    Finetune,
    ModelSource,
    TaskSection,
)
from edgeprune.targets import Target, sections

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), ROOT / "targets" / "README.md"]
TABLES = ("data", "task", "prune", "finetune", "distill", "export", "targets", "gates")
"""Keys of a recipe that are sections of the document."""


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_command_line_is_documented_as_it_is() -> None:
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == module(DOCS / "cli.py").page(), "run: python -m docs.cli"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = without_code(page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        path = (page.parent / place).resolve() if place else page
        assert path.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(path), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_in_the_documents_compiles(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", text, re.S), 1):
        compile(code, f"{page.name}, block {number}", "exec")


@pytest.mark.parametrize(
    ("heading", "place", "section", "apart"),
    [
        ("Top level", 0, Recipe, TABLES),
        ("`[data]`", 0, Data, ()),
        ("`[data]`", 1, DataSource, ()),
        ("`[task]`", 0, TaskSection, ()),
        ("`[prune]`", 0, Prune, ()),
        ("`[finetune]`", 0, Finetune, ()),
        ("`[distill]`", 0, Distill, ()),
        ("`[export]`", 0, Export, ()),
        ("`[[targets]]` and `[gates]`", 0, Gates, ()),
    ],
)
def test_every_key_of_a_recipe_stands_in_its_table(
    heading: str, place: int, section: type[Strict], apart: tuple[str, ...]
) -> None:
    rows = table(DOCS / "recipe.md", heading, place)
    fields = {field.alias or name: field for name, field in section.model_fields.items()}
    assert list(rows) == [key for key in fields if key not in apart]
    for key, cells in rows.items():
        default = "required" if fields[key].is_required() else plain(fields[key].default)
        if default is not None:
            assert cells[1].replace("`", "").replace('"', "") == default, key


def test_the_keys_of_a_model_stand_in_the_text() -> None:
    text = (DOCS / "recipe.md").read_text(encoding="utf-8")
    line = next(part for part in text.split("\n\n") if part.startswith("`model` as a table"))
    assert set(ModelSource.model_fields) <= set(re.findall(r"`(\w+)`", line))


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("Keys", Target),
        ("`[os]`", sections.System),
        ("`[[clusters]]`", sections.Cluster),
        ("`[caches]`", sections.Caches),
        ("`[ram]`", sections.Ram),
        ("`[[runtimes]]`", sections.RuntimeSection),
        ("`[sparse]`", sections.Pays),
        ("`[peaks]`", sections.Figure),
        ("`[limits]`", sections.Limits),
        ("`[ethos_u]`", sections.EthosU),
    ],
)
def test_every_key_of_a_profile_stands_in_its_table(heading: str, section: type[Strict]) -> None:
    rows = table(ROOT / "targets" / "README.md", heading, 0)
    fields = {field.alias or name: field for name, field in section.model_fields.items()}
    assert list(rows) == list(fields)
    for key, cells in rows.items():
        assert len(cells) == 3 and all(cells), key
        assert (cells[1] == "required") == fields[key].is_required(), key


def test_every_table_of_a_profile_has_a_heading() -> None:
    """A new table in the model is missed by the tables above; not by this."""
    text = (ROOT / "targets" / "README.md").read_text(encoding="utf-8")
    schema = Target.json_schema()["$defs"]
    named = {"System", "Cluster", "Caches", "Ram", "RuntimeSection", "Pays", "Figure", "Limits"}
    named |= {"EthosU"}
    in_the_text = {"LatencyTable", "Gates", "Sparse", "Peaks"}
    assert set(schema) == named | in_the_text
    keys = [key for name in ("Sparse", "Peaks") for key in schema[name]["properties"]]
    assert [key for key in keys if f"`{key}`" not in text and f"sparse.{key}" not in text] == []


def test_a_key_that_is_not_documented_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("## `[task]`\n\n| key | default |\n|---|---|\n| `loss` | none |\n\nEnd.\n")
    assert list(table(page, "`[task]`", 0)) == ["loss"]
    with pytest.raises(AssertionError):
        table(page, "`[prune]`", 0)


def module(path: Path) -> ModuleType:
    """A file of the documents, imported; it is in no package."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M)


def anchors(path: Path) -> set[str]:
    """What a heading is called in a link."""
    found = re.findall(r"^#+ (.+)$", without_code(path.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def table(path: Path, heading: str | None, place: int) -> dict[str, list[str]]:
    """The rows of a table below a heading: by key, the other cells."""
    text = without_code(path.read_text(encoding="utf-8"))
    if heading is not None:
        parts = [part for part in text.split("\n## ") if part.splitlines()[0] == heading]
        parts += [text] if text.startswith(f"## {heading}\n") else []
        assert parts, f"{path.name} has no heading {heading!r}"
        text = parts[0]
    tables = re.findall(r"(?:^\|.*\n)+", text, re.M)
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in tables[place].splitlines()]
    cells = [[cell.strip() for cell in row] for row in rows[2:]]
    return {row[0].strip("`"): row[1:] for row in cells}


def plain(default: Any) -> str | None:
    """A default as the document writes it; ``None`` where it says it in words."""
    if isinstance(default, bool) or default is None:
        return None
    if isinstance(default, tuple) and len(default) == 1 and isinstance(default[0], str):
        return None
    if isinstance(default, int | float | str):
        return f"{default:g}" if isinstance(default, float) else str(default)
    return None


def test_the_cost_of_scores_is_what_was_measured():
    kept = json.loads((ROOT / "benchmarks" / "results" / "scoring.json").read_text())
    text = " ".join((ROOT / "docs" / "method.md").read_text().split())
    for name in ("ratio", "fisher_ratio", "obd_ratio"):
        first, second, third = (f"{model[name]:.2f}" for model in kept["models"])
        assert f"{first}, {second} and {third}" in text, name
    assert max(model["ratio"] for model in kept["models"]) <= 1.5
