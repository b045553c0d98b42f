"""TOML files checked by strict models: every fault found, one line each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from edgeprune.errors import RecipeError
from edgeprune.files import nearest

Part = str | int
Section = TypeVar("Section", bound="Strict")


class Strict(BaseModel):
    """A table whose unknown keys and wrong types are faults; a whole number passes as a float."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, populate_by_name=True, allow_inf_nan=False
    )


def _listed(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list | tuple):
        return tuple(value)
    raise PydanticCustomError("kind", "must be a string or a list of strings")


Names = Annotated[tuple[str, ...], Field(strict=False)]
"""A list of strings in the file, a tuple here."""
OneOrMore = Annotated[
    tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])
]
"""A string or a list of strings in the file, always a tuple here."""


def read_toml(path: Path, noun: str, hint: str) -> dict[str, Any]:
    """The content of a TOML file.

    Args:
        path: the file.
        noun: what it should be ("recipe"), for the message.
        hint: what to do where there is none.

    Raises:
        RecipeError: no such file, not readable, not UTF-8, or not TOML (with line and column).
    """
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise RecipeError([f"{path}: no such {noun}; {hint}"]) from None
    except IsADirectoryError:
        raise RecipeError([f"{path}: a folder, and no {noun}; name the file in it"]) from None
    except OSError as error:
        raise RecipeError([f"{path}: cannot read this {noun} ({error.strerror})"]) from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            [f"{path}: no {noun}: not UTF-8 text (byte {error.start}); save it so, or {hint}"]
        ) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([f"{path}: {_where(error, text)}"]) from None


def _where(error: tomllib.TOMLDecodeError, text: str) -> str:
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error))
    if found:
        reason, line, column = found.groups()
        return f"line {line}, column {column}: not TOML ({reason}); correct that line"
    reason = str(error).removesuffix(" (at end of document)")
    last = max(1, len(text.splitlines()))
    return f"line {last}: not TOML ({reason} at the end of the file); correct that line"


def validate(
    section: type[Section],
    content: Mapping[str, Any],
    prefix: Callable[[str], str],
) -> tuple[Section | None, list[str]]:
    """``content`` as a ``section``, and its faults, unknown keys first.

    ``prefix`` gives, for a dotted key, what the line begins with (the file's name).
    """
    try:
        return section.model_validate(content), []
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=True)
    unknown = [fault for fault in faults if fault["type"] == "extra_forbidden"]
    others = [fault for fault in faults if fault["type"] != "extra_forbidden"]
    return None, [
        *(f"{prefix(dotted(f['loc']))}: {_unknown(section, f['loc'])}" for f in unknown),
        *(f"{prefix(dotted(f['loc']))}: {_wrong(f)}" for f in others),
    ]


def dotted(loc: tuple[Part, ...]) -> str:
    """``("targets", 0, "name")`` as ``targets[0].name``."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def keys_of(section: type[BaseModel]) -> dict[str, Any]:
    """The keys of a table as written in the file, with the type behind each."""
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _all_keys(section: type[BaseModel], head: str = "") -> Iterator[str]:
    for key, annotation in keys_of(section).items():
        yield head + key
        for inner in _sections_in(annotation):
            yield from _all_keys(inner, f"{head}{key}.")


def _unknown(top: type[BaseModel], loc: tuple[Part, ...]) -> str:
    section: type[BaseModel] = top
    for part in loc[:-1]:
        if isinstance(part, str):
            # A name of the user's own (a table of tables) is no key: what stands in it is one.
            section = next(_sections_in(keys_of(section).get(part)), section)
    key = str(loc[-1])
    line = f"unknown key '{dotted(loc)}'; "
    if len(loc) > 1 and key in keys_of(top):
        return line + f"'{key}' belongs at the top: write it above the first [table]"
    near = nearest(key, keys_of(section))
    if near:
        return line + f"did you mean '{near}'?"
    elsewhere = [full for full in _all_keys(top) if full.rpartition(".")[2] == key]
    if elsewhere:
        return line + f"did you mean '{elsewhere[0]}'?"
    return line + "known here: " + ", ".join(sorted(keys_of(section)))


_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_RANGE = {
    "greater_than": ("above", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("below", "lt"),
    "less_than_equal": ("at most", "le"),
}


def _wrong(fault: ErrorDetails) -> str:
    key, kind, context = dotted(fault["loc"]), fault["type"], fault.get("ctx", {})
    given = described(fault["input"])
    if kind == "missing":
        return f"'{key}' is missing; add it"
    if kind in _EXPECTED:
        return f"'{key}' must be {_EXPECTED[kind]}, not {given}"
    if kind in _RANGE:
        word, limit = _RANGE[kind]
        return f"'{key}' must be {word} {context[limit]:g}, not {given}"
    if kind == "literal_error":
        near = nearest(str(fault["input"]), re.findall(r"'([^']*)'", context["expected"]))
        hint = f"; did you mean '{near}'?" if near else ""
        return f"'{key}' must be {context['expected']}, not {given}{hint}"
    if kind in ("too_short", "too_long"):
        word = "least" if kind == "too_short" else "most"
        count = context.get("min_length", context.get("max_length"))
        return f"'{key}' must have at {word} {count} entries, not {context['actual_length']}"
    if kind == "string_pattern_mismatch":
        return f"'{key}' must be a name of letters, digits, '.', '_' and '-', not {given}"
    if kind == "kind":
        return f"'{key}' {fault['msg']}, not {given}"
    if kind == "rule":
        return f"'{key}' {fault['msg']}"
    return f"'{key}': {fault['msg'][:1].lower()}{fault['msg'][1:]}, not {given}"


def described(value: Any) -> str:
    """A value of a file in the words of the file, short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the string {value!r}"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, Collection):
        return "a list"
    return str(value)


def schema_of(section: type[BaseModel], title: str) -> dict[str, Any]:
    """The JSON Schema of a TOML file, for editors: every key with its description.

    TOML has no null, so what pydantic gives for «may be absent» is only absent here.
    """
    schema = _without_null(section.model_json_schema(by_alias=True))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def _without_null(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _without_null(value) for key, value in node.items()}
    if node.get("default", ...) is None:
        del node["default"]
    if "anyOf" in node:
        kinds = [kind for kind in node["anyOf"] if kind != {"type": "null"}]
        if len(kinds) == 1:
            del node["anyOf"]
            node = {**kinds[0], **node}
        else:
            node["anyOf"] = kinds
    return node
