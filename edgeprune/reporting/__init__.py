"""What a person reads: a page, Markdown for a pull request, tables of text. No number is made
here."""

from edgeprune.reporting.page import html
from edgeprune.reporting.plots import curves_plot
from edgeprune.reporting.text import markdown

__all__ = ["curves_plot", "html", "markdown"]
