"""docs/coverage.md is made of what was measured."""

from __future__ import annotations

from benchmarks.coverage import PAGE, kept, page


def test_the_page_is_made_of_the_results() -> None:
    assert PAGE.read_text() == page(list(kept().values()))
