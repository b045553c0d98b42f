"""What a person reads: the same facts in a page, in Markdown and in tables."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reporting_fixture import realistic

from edgeprune.measurements import Measurement
from edgeprune.reporting import html, markdown, numbers
from edgeprune.reporting.plots import rounds_plot
from edgeprune.reporting.tables import endings, gains, gate_table, headline, remarks, row_tables
from edgeprune.results import LayerChange, Result, Round, Row


class Page(HTMLParser):
    """Ids, addresses and whether every element is closed."""

    VOID = ("meta", "link", "br", "img", "hr", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.addresses.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    return html(realistic())


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    parsed = Page(page)
    assert parsed.open == []
    assert all(address.startswith("#") for address in parsed.addresses)
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert "@import" not in page and "url(http" not in page and "<!DOCTYPE svg" not in page
    outside = set(re.findall(r'https?://[^\s"<]+', page))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_ids_are_unique_and_every_reference_has_one(page: str) -> None:
    parsed = Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    used = {address[1:] for address in parsed.addresses} | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used and used <= set(parsed.ids)


def test_every_colour_is_a_variable_of_both_dresses(page: str) -> None:
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.S))
    assert not re.search(r"#[0-9a-f]{6}\b", plots)
    used = set(re.findall(r"var\(--([a-z-]+)\)", page))
    light = page[page.index(":root") : page.index("prefers-color-scheme")]
    dark = page[page.index("prefers-color-scheme") : page.index("* { box-sizing")]
    for text in (light, dark):
        assert used <= set(re.findall(r"--([a-z-]+):", text))


def test_plots_are_whole_svg_that_fit_any_width(page: str) -> None:
    plots = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(plots) == 4
    for plot in plots:
        root = ET.fromstring(plot)
        assert "viewBox" in root.attrib
        assert not {"width", "height"} & set(root.attrib)
        assert root.attrib["aria-label"]


def test_the_page_is_a_function_of_the_result(page: str) -> None:
    code = "from reporting_fixture import realistic; from edgeprune.reporting import html; "
    code += "import sys; sys.stdout.write(html(realistic()))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == page


@pytest.mark.parametrize("make", [html, markdown])
def test_all_that_matters_is_there(make: object) -> None:
    text = make(realistic())  # type: ignore[operator]
    for words in (
        "1 gate broken", "95.02 %", "18.2×", "3.40×", "2.68 MB", "147 kB", "8.70 µs", "10.2 µs",
        "34.6k", "+0.0020", "BROKEN", "147,312", "raspberry-pi-4 cannot be reached",
        "host: released to dist/host", "fp32-sparse", "5 rounds", "model.onnx",
    ):  # fmt: skip
        assert words in text, words


def test_text_of_the_user_stays_text() -> None:
    result = realistic()
    evil = "<script>alert(1)</script> | [x](javascript:y) *b*\n# z"
    rows = tuple(replace(row, note=evil) for row in result.rows)
    layers = (LayerChange(evil, (1, 1), 1, None, 0),)
    result = replace(
        result, metric=evil, notes=(evil,), recipe=evil, rows=rows, layers=layers, plan=evil
    )
    assert "<script" not in html(result)
    told = markdown(result)
    assert "<script" not in told.replace("\\<script", "")
    assert "\n# z" not in told
    for line in told.splitlines():
        if line.startswith("| "):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 7, 13)


def test_measurements_show_their_spread_and_machine() -> None:
    samples = tuple(range(8000, 9000, 10))
    measurement = Measurement(
        "ab", "model.tflite", "host", "litert", "2.3.0", 1, samples, 30_000_000,
        device={"cpu": "Cortex-A72 & more"},
    )  # fmt: skip
    text = html(realistic(), [measurement])
    for words in ("Measurements", "litert 2.3.0", "IQR", "cpu: Cortex-A72 &amp; more", "100"):
        assert words in text


@pytest.mark.parametrize(
    "change",
    [
        {"rows": ()},
        {"layers": ()},
        {"gates": ()},
        {"rounds": ()},
        {"rows": (), "layers": (), "gates": (), "rounds": (), "notes": (), "versions": {}},
        {"quick": True, "released": {}, "held": {}},
        {"rows": tuple(r for r in realistic().rows if r.role == "before")},
        {"rows": tuple(replace(r, metric=None, drop=None) for r in realistic().rows)},
        {"rows": tuple(replace(r, size_bytes=0, gzip_bytes=0) for r in realistic().rows)},
        {"layers": (LayerChange("k", (2, 2), 0, (2, 2), 0),)},
        {"layers": tuple(LayerChange(f"k{n}", (2,), n, (2,), n) for n in range(200))},
    ],
)
def test_less_is_fine(change: dict[str, object]) -> None:
    result: Result = replace(realistic(), **change)  # type: ignore[arg-type]
    assert Page(html(result)).open == []
    assert markdown(result).startswith("## edgeprune: ")


def test_a_note_is_said_once() -> None:
    result = realistic()
    away = next(row for row in result.rows if row.note)
    result = replace(result, notes=(*result.notes, f"{away.target}: {away.note}"))
    assert html(result).count(away.note) == 1
    assert len(remarks(result)) == 2


def test_tables_fit_100_columns_and_say_what_was_not_measured() -> None:
    from rich.console import Console

    from edgeprune.cli.tables import result_parts

    for width in (100, 80, 60):
        console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
        for part in result_parts(realistic()):
            console.print(part)
        text = console.export_text()
        assert max(map(len, text.splitlines())) <= width
        for words in ("fp32-sparse", "147 kB", "BROKEN", "8.70 µs", "not measured"):
            assert words in text, (width, words)


def test_ratios_compare_the_same_format_on_the_same_target() -> None:
    assert gains(realistic()) == [
        ("host fp32-sparse", "18.2×", "3.40×", "+0.0020"),
        ("host onnx-fp32", "1.09×", "1.06×", "+0.0020"),
        ("raspberry-pi-4 fp32-sparse", "18.2×", "–", "+0.0020"),
        ("raspberry-pi-4 onnx-fp32", "1.09×", "–", "+0.0020"),
    ]


def test_headlines_and_endings() -> None:
    result = realistic()
    assert headline(result) == "1 gate broken"
    assert headline(replace(result, gates=())) == "held back: raspberry-pi-4"
    assert headline(replace(result, gates=(), held={})) == "released for host"
    assert headline(replace(result, quick=True)) == "quick run, nothing released"
    assert endings(result)[1].startswith("raspberry-pi-4: held back: max_bytes")
    assert gate_table(replace(result, gates=())) is None
    row = Row("after", "host", "m", "fp32", None, None, 1, 1, 1, 1, 1)
    (table,) = row_tables(replace(result, rows=(row,)))
    assert table.notes == ("latency not measured",)
    assert "instr." not in table.columns
    counted = replace(row, instructions=1_234_567)
    (table,) = row_tables(replace(result, rows=(replace(row, role="before"), counted)))
    assert table.columns[-1] == "instr." and [cells[-1] for cells in table.rows] == ["–", "1.23M"]


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (numbers.count(9_999), "9,999"),
        (numbers.count(669_706), "670k"),
        (numbers.count(12_345_678), "12.3M"),
        (numbers.count(999_960), "1.00M"),
        (numbers.size(999), "999 B"),
        (numbers.size(147_312), "147 kB"),
        (numbers.size(2_681_532), "2.68 MB"),
        (numbers.size(None), "–"),
        (numbers.latency(0.0087), "8.70 µs"),
        (numbers.latency(12.34), "12.3 ms"),
        (numbers.latency(2500), "2.50 s"),
        (numbers.metric(0.98371), "0.9837"),
        (numbers.metric(123.456), "123.5"),
        (numbers.drop(0.00204), "+0.0020"),
        (numbers.drop(-0.0013), "−0.0013"),
        (numbers.drop(0.00001), "0"),
        (numbers.share(0.9502), "95.02 %"),
        (numbers.ratio(10, 4), "2.50×"),
        (numbers.ratio(None, 4), "–"),
        (numbers.ratio(4, 0), "–"),
    ],
)
def test_numbers_as_people_read_them(made: str, told: str) -> None:
    assert made == told


def test_places_are_those_of_the_recipe_s_folder() -> None:
    result = replace(
        realistic(),
        released={"host": "/home/somebody/project/dist/host"},
        facts={"output": "dist"},
    )
    for text in (html(result), markdown(result)):
        assert "/home/somebody" not in text and "dist/host" in text


@pytest.mark.parametrize(
    ("count", "named"),
    [(2, [1, 2]), (4, [1, 2, 3, 4]), (7, [1, 3, 5, 7]), (12, [2, 4, 6, 8, 10, 12])],
)
def test_rounds_are_named_apart_however_close_their_sparsities_are(
    count: int, named: list[int]
) -> None:
    rounds = tuple(Round(place + 1, 0.8 - 0.001 * (count - place), 0.9) for place in range(count))
    svg = rounds_plot(replace(realistic(), rounds=rounds))
    spots = {
        int(text): float(x)
        for x, text in re.findall(r"<text [^>]*translate\(([\d.]+) [^>]*>(\d+)</text>", svg)
    }
    assert sorted(spots) == named
    places = [spots[number] for number in named]
    assert min(b - a for a, b in itertools.pairwise(places)) > 35  # points; "79.6 %" has 34
