"""Facts drawn with rich."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from edgeprune.cli.bars import seconds

_STYLES = {"before": "dim", "broken": "bold red", "kept": "green", "allowed": "yellow"}


def result_parts(result: Any) -> Iterable[Any]:
    """A run's result: rows, gates, remarks, where things went."""
    from edgeprune.reporting import tables

    for table in tables.row_tables(result):
        yield Fitting(table)
    gates = tables.gate_table(result)
    if gates is not None:
        yield drawn(gates)
    yield Text(tables.summary(result))
    for line in tables.remarks(result):
        yield hanging(line)
    released = {target: near(place) for target, place in result.released.items()}
    for line in tables.endings(replace(result, released=released)):
        yield Text(line, style="bold")


WIDEST = 100_000
"""Columns that no table needs."""


class Fitting:
    """A table of text; turned on its side where the terminal is too narrow for it."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        upright = drawn(self._table)
        wanted = Measurement.get(console, options.update(width=1000), upright).maximum
        yield upright if wanted <= options.max_width else _turned(self._table)


class Whole:
    """A table whose words are never broken: names are there to be searched for. What may wrap
    does; where the words need more columns than there are, the lines are longer than the
    terminal."""

    def __init__(self, grid: Table) -> None:
        self._grid = grid
        # Rich narrows the widest column first, and gives it back what its longest word needs.
        self._least, self._most = [], []
        for column in grid.columns:
            texts = [str(column.header), *map(str, column.cells)]
            parts = [part for text in texts for part in _parts(text, column.no_wrap)]
            lines = [line for text in texts for line in text.splitlines()]
            self._least.append(max(map(cell_len, parts), default=0))
            self._most.append(max(map(cell_len, lines), default=0))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for column, width in zip(self._grid.columns, self._most, strict=True):
            column.width = width
        wide = options.update(width=WIDEST)
        between = Measurement.get(console, wide, self._grid).maximum - sum(self._most)
        widths = self._widths(options.max_width - between)
        for column, width in zip(self._grid.columns, widths, strict=True):
            column.width = width
        yield from console.render(self._grid, options.update(width=between + sum(widths)))

    def _widths(self, room: int) -> list[int]:
        """Of the columns that may be narrower always the widest gives way."""
        widths = list(self._most)
        while sum(widths) > room:
            loose = [at for at, width in enumerate(widths) if width > self._least[at]]
            if not loose:
                break
            widths[max(loose, key=lambda at: widths[at])] -= 1
        return widths


def _parts(text: str, whole: bool) -> list[str]:
    """What of a cell stays on one line."""
    return text.splitlines() if whole else text.split()


def _turned(table: Any) -> Table:
    grid = headed(table.title, show_header=False)
    grid.add_column("", no_wrap=True)
    for _ in table.rows:
        grid.add_column("", justify="right", overflow="fold")
    for place, column in enumerate(table.columns):
        grid.add_row(Text(column), *(Text(cells[place]) for cells in table.rows))
    return _with_notes(grid, table.notes)


def drawn(table: Any) -> Table:
    """A table of text, its notes below as a caption."""
    words = table.words
    grid = headed(table.title)
    for place, column in enumerate(table.columns):
        left = place < words or column == "verdict"
        grid.add_column(
            column,
            justify="left" if left else "right",
            no_wrap=place >= words,
            overflow="fold",
            min_width=6 if left else None,
        )
    for cells, mark in zip(table.rows, table.marks, strict=True):
        grid.add_row(*(Text(cell) for cell in cells), style=_STYLES.get(mark, ""))
    return _with_notes(grid, table.notes)


class _Notes(Text):
    """Lines below a table; where there is no terminal they may be longer than the table is wide."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        if not console.is_terminal:
            self.no_wrap, self.overflow = True, "ignore"
        return super().__rich_console__(console, options)


def _with_notes(grid: Table, notes: Sequence[str]) -> Table:
    if notes:
        grid.caption = _Notes("\n".join(notes))
        grid.caption_justify = "left"
    return grid


def stages_table(stages: Sequence[Any]) -> Table:
    """What a dry run found."""
    grid = headed("Stages")
    grid.add_column("stage", no_wrap=True)
    grid.add_column("")
    grid.add_column("why", overflow="fold")
    grid.add_column("estimate", justify="right", no_wrap=True)
    for each in stages:
        state = Text("done", "green") if each.done else Text("to do", "yellow")
        text = "" if each.done else _estimate(each.estimate_s)
        grid.add_row(Text(each.stage), state, Text(each.why or ""), text)
    return _with_notes(grid, _total([each.estimate_s for each in stages if not each.done]))


def _estimate(value: float | None) -> str:
    return "unknown" if value is None else seconds(value)


def _total(estimates: Sequence[float | None]) -> list[str]:
    """What a dry run says of the whole: no sum without saying what is not in it."""
    known = [value for value in estimates if value is not None]
    unknown = len(estimates) - len(known)
    if not estimates:
        return []
    if not unknown:
        return [f"about {seconds(sum(known))} in all"]
    hint = "'edgeprune run --quick' tells"
    if not known:
        return [f"how long it takes is unknown before a first run; {hint}"]
    stages = "1 stage" if unknown == 1 else f"{unknown} stages"
    return [f"about {seconds(sum(known))}, and {stages} of unknown length; {hint}"]


def profile_parts(title: str, facts: Mapping[str, Any]) -> Iterable[Any]:
    """A device profile: what it says, without the keys that it leaves open."""
    said = _bare(facts)
    for cluster in said.get("clusters", ()):
        for key in ("implementer", "part"):
            if key in cluster:
                cluster[key] = f"{cluster[key]:#x}"
    nested = [key for key, item in said.items() if isinstance(item, Mapping)]
    flat = {key: item for key, item in said.items() if key not in nested}
    for key in nested:
        flat |= {f"{key}.{inner}": item for inner, item in said[key].items()}
    yield from facts_tables(title, flat)


def _bare(value: Any) -> Any:
    """A value without what is unsaid: nulls, and what is empty then."""
    if isinstance(value, Mapping):
        bare = {key: _bare(item) for key, item in value.items()}
        return {key: item for key, item in bare.items() if item not in (None, "", [], {})}
    return [_bare(item) for item in value] if isinstance(value, list | tuple) else value


_VERDICTS = {"fits": "kept", "tight": "allowed", "too big": "broken"}


def fit_parts(footprints: Sequence[Mapping[str, Any]]) -> Iterable[Any]:
    """Files on a microcontroller: what they take, what is left, and a compiler's estimates."""
    from edgeprune.reporting import numbers, tables

    rows = []
    for each in footprints:
        cells = [each["file"], each["verdict"]]
        for memory in ("flash", "ram"):
            use = each[memory]
            about = "about " if use["source"] == "estimated" else ""
            cells += [about + numbers.size(use["used_bytes"]), numbers.size(use["limit_bytes"])]
            cells.append(f"{use['margin']:.1%}")
        rows.append(tuple(cells))
    columns = ("file", "verdict", "flash", "of", "free", "RAM", "of", "free")
    marks = tuple(_VERDICTS[each["verdict"]] for each in footprints)
    title = f"On {footprints[0]['target']}"
    yield Fitting(tables.Table(title, columns, tuple(rows), marks, words=1))
    for each in footprints:
        yield hanging(_how_known(each))


MOST_KERNELS = 12
"""Functions shown of each file; ``--json`` has all."""


def count_parts(counts: Sequence[Mapping[str, Any]]) -> Iterable[Any]:
    """Files in the emulated ARM: whether their outputs are right, and instructions by kernel."""
    from edgeprune.reporting import numbers, tables

    first, rows = counts[0]["instructions"], []
    for each in counts:
        count, apart = each["instructions"], each["difference"]
        whole = isinstance(count, int)
        against = isinstance(first, int) and whole
        rows.append(
            (
                each["file"],
                f"{each['runtime']} {each['runtime_version']}",
                "yes" if each["outputs_match"] else "NO",
                f"{apart:.1e}" if isinstance(apart, float) else "no number",
                f"{count:,}" if whole else "not counted",
                numbers.ratio(first, count) if against else "",
            )
        )
    title = f"Emulated {counts[0]['target']} ({counts[0]['core']}, {counts[0]['emulator']})"
    columns = ("file", "runtime", "right", "difference", "instructions", "fewer")
    marks = tuple("" if each["outputs_match"] else "broken" for each in counts)
    yield Fitting(tables.Table(title, columns, tuple(rows), marks, words=3))
    for each in counts:
        yield from _kernels(each)
    yield hanging("Counted, on one emulated core: they compare files on it, and are no times.")


def _kernels(facts: Mapping[str, Any]) -> Iterable[Any]:
    kernels, whole = facts["kernels"], facts["instructions"]
    if not isinstance(whole, int):
        yield hanging(f"{facts['file']}: not counted: {whole['reason']}")
        return
    if "availability" in kernels:
        yield hanging(f"{facts['file']}: not by kernel: {kernels['reason']}")
        return
    grid = headed(facts["file"])
    grid.add_column("kernel", overflow="fold")
    for column in ("instructions", "share"):
        grid.add_column(column, justify="right", no_wrap=True)
    for name, count in list(kernels.items())[:MOST_KERNELS]:
        grid.add_row(Text(name), f"{count:,}", f"{count / whole:.1%}")
    yield grid


def _how_known(facts: Mapping[str, Any]) -> str:
    estimate = facts["estimate"]
    if estimate is None:
        parts = facts["arena"]
        return (
            f"{facts['file']}: RAM is the arena that {facts['runtime']} {facts['runtime_version']} "
            f"took here: {parts['head_bytes']:,} bytes come and go, {parts['tail_bytes']:,} stay"
        )
    return (
        f"{facts['file']}: estimated by {estimate['by']}, measured nowhere: "
        f"{estimate['inference_ms']:.3g} ms an inference, {estimate['cycles']:,} cycles; "
        f"{estimate['npu_operators']} operators on the accelerator, "
        f"{estimate['cpu_operators']} on the CPU"
    )


def targets_table(found: Sequence[Mapping[str, Any]]) -> Table:
    """Device profiles."""
    grid = headed("Targets")
    for column in ("name", "arch", "cpu", "formats", "description"):
        grid.add_column(column, overflow="fold")
    for each in found:
        grid.add_row(
            Text(each["name"], "bold"),
            Text(each["arch"]),
            Text(each.get("cpu") or ""),
            Text(", ".join(each["formats"])),
            Text(each["description"]),
        )
    return grid


def widths_table(widths: Mapping[str, Mapping[str, int]]) -> Table:
    """What a plan keeps of each group that it cuts."""
    grid = headed("Channels")
    grid.add_column("group", overflow="fold")
    for column in ("kept", "of"):
        grid.add_column(column, justify="right", no_wrap=True)
    for name, width in widths.items():
        grid.add_row(Text(name, "bold"), f"{width['kept']:,}", f"{width['size']:,}")
    return grid


def front_table(facts: Mapping[str, Any]) -> Table:
    """The points of a front, from the original down."""
    grid = headed("Front")
    metric = facts.get("metric")
    names = ["MACs", "of before", "parameters", *([metric["name"]] if metric else []), "plan"]
    for name in names:
        grid.add_column(name, justify="left" if name == "plan" else "right", no_wrap=True)
    for point in facts["points"]:
        cells = [f"{point['macs']:,}", f"{point['share']:.1%}", f"{point['parameters']:,}"]
        cells += [f"{point['metric']:.4g}"] if metric else []
        grid.add_row(*cells, point["plan"])
    return grid


def doctor_table(checks: Sequence[Any]) -> Table:
    """What a machine has."""
    grid = headed("edgeprune doctor")
    grid.add_column("", no_wrap=True)
    grid.add_column("what", no_wrap=True)
    grid.add_column("found", overflow="fold")
    marks = {True: Text("ok", "green"), False: Text("MISSING", "bold red")}
    for each in checks:
        grid.add_row(marks.get(each.ok, Text("note", "yellow")), Text(each.what), Text(each.found))
    return grid


_BESIDE_GROUPS = ("inputs", "outputs", "layers", "kernels")


def facts_tables(title: str, facts: Mapping[str, Any]) -> Iterable[Any]:
    """Any facts: single values in one table, each list of records in its own; of channel groups
    each by itself, and what one did not ask for with them left out."""
    if "groups" in facts:
        facts = {key: value for key, value in facts.items() if key not in _BESIDE_GROUPS}
    single = headed(title, show_header=False)
    single.show_edge = False  # two columns less, so that a digest fits beside its name
    single.add_column("", no_wrap=True)
    single.add_column("", overflow="fold")
    records = {}
    for key, value in facts.items():
        if _is_records(value):
            records[key] = value
        elif value not in (None, "", [], {}):
            single.add_row(Text(key.replace("_", " ")), Text(_text(value)))
    yield Whole(single)
    yield ""
    for key, value in records.items():
        if key == "groups":
            yield from _groups(value)
        else:
            yield Whole(_records(key, value))


def bytes_text(value: int) -> str:
    """Bytes for people."""
    from edgeprune.reporting import numbers

    return numbers.size(value)


def _records(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    grid = headed(title.replace("_", " "))
    columns = list(dict.fromkeys(key for record in records for key in record))
    for column in columns:
        right = all(isinstance(each.get(column), int | float | None) for each in records)
        grid.add_column(
            column.replace("_", " "), justify="right" if right else "left", overflow="fold"
        )
    for record in records:
        grid.add_row(*(Text(_cell(column, record.get(column, ""))) for column in columns))
    return grid


def _cell(column: str, value: Any) -> str:
    """In a table a shape is one word, which does not break."""
    text = _text(value)
    return text.replace(", ", "×") if column == "shape" else text


def near(place: Path | str) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    path = Path(place)
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(place)


def _is_records(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, Mapping) for each in value)
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        if _is_records(value):
            return "\n".join(_record(each) for each in value)
        return ", ".join(_text(item) for item in value)
    return str(value)


def _record(facts: Mapping[str, Any]) -> str:
    """One of several records inside a cell."""
    return ", ".join(f"{key} {_text(item)}" for key, item in facts.items())


def _groups(groups: Sequence[Mapping[str, Any]]) -> Iterable[Any]:
    """Channel groups: what each is, why it stays, and its members by what they do."""
    yield Text("groups: a channel leaves every weight[axis] of its group at once", "bold")
    for group in groups:
        yield ""
        head = Table.grid()
        head.add_column(overflow="fold")
        costs = (
            f"{group['macs_per_channel']:,} MACs, {group['parameters_per_channel']:,} parameters"
        )
        size = f": {group['size']:,} channels; each is {costs}"
        head.add_row(Text.assemble((group["name"], "bold"), size))
        yield Whole(head)
        rows = {key: group[key] for key in ("fixed", "inexact") if group.get(key)}
        for member in group["members"]:
            text = f"{member['weight']}[{member['axis']}]"
            role = member["role"]
            rows[role] = f"{rows[role]}, {text}" if role in rows else text
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for word, text in rows.items():
            style = "yellow" if word in ("fixed", "inexact") else ""
            grid.add_row(Text(f"  {word}", style), Text(text))
        yield Whole(grid)


def headed(title: str, show_header: bool = True) -> Table:
    """An empty table as all of ours look."""
    return Table(
        title=escape(title),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_header=show_header,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        title_style="bold",
    )


def hanging(line: str) -> Padding:
    """A line of a list."""
    return Padding(Text(f"• {line}"), (0, 0, 0, 2), expand=False)
