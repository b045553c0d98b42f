"""A new profile to start from: it extends another, whose keys stand in it as comments."""

from __future__ import annotations

from edgeprune.files import SCHEMA
from edgeprune.targets.profile import Target


def started(parent: Target, name: str | None = None) -> str:
    """The text of a profile that extends ``parent``.

    Every line of the parent's own file follows as a comment: what differs on the new device is
    uncommented and changed, the rest is inherited.
    """
    said = f"{name}: like {parent.name}" if name else f"Like {parent.name}"
    lines = [
        f"schema = {SCHEMA}",
        f'extends = "{parent.name}"',
        f'description = "{said}"',
        "",
        f"# The rest is as {parent.name} says. Uncomment and change what differs; a list, and",
        "# [[clusters]], is replaced whole. No host names and no secrets: profiles are shared.",
        "#",
    ]
    text = parent.path.read_text(encoding="utf-8")
    mine, top = ("schema", "extends", "description", "name"), True
    for line in text.splitlines():
        top = top and not line.startswith("[")
        if not (top and line.partition("=")[0].strip() in mine):
            lines.append(f"# {line}".rstrip())
    return "\n".join(lines) + "\n"
