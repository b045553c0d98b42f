"""What tells one loss or metric from another: not its name, but its settings and its code.

Two losses of one name may differ in an argument, and a user's function in its body. Whatever is
kept for later (a scan's curves, a checkpoint, a stage) has the identity in its key.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import keras
import numpy as np

from edgeprune.files import canonical_json, digest_of

_VERSIONED = frozenset({"keras", "tensorflow", "numpy", "edgeprune", *sys.stdlib_module_names})
"""Packages whose versions stand in every key: of what they define, the name says all."""
_INSTALLED = ("site-packages", "dist-packages")
_WRAPPED = ("fn", "_fn", "_fn_kwargs")
"""Where Keras' wrappers hold the function of a loss or a metric, and its arguments."""
_CLASS_MACHINERY = frozenset({"__module__", "__dict__", "__weakref__", "__doc__", "__qualname__"})


def identity_of(value: Any) -> str:
    """sha256 (hex) of a loss, a metric, a function or a collection of these: classes, settings
    (``get_config()``), the code of functions and of a user's classes with the defaults, the values
    around them and the functions of their modules that they call.

    Names that Keras numbers do not count, nor where a function stands in its file.
    """
    return digest_of(_Walk().of(value))


def own_code(value: Any) -> Iterator[str]:
    """The identity of each function or class in ``value`` (lists, mappings) that is a user's."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from own_code(item)
        return
    about = getattr(value, "_fn", None) or getattr(value, "fn", None) or value
    named = about if isinstance(about, type | FunctionType) else type(about)
    if _root(named) not in _VERSIONED:
        yield identity_of(value)


class _Walk:
    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []
        """What was numbered, so that no other object gets its address."""

    def of(self, value: Any) -> Any:
        """``value`` as JSON values that tell of no process."""
        if value is None or isinstance(value, str | int | bool):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, complex):
            return str(value)
        if isinstance(value, bytes):
            return {"bytes": sha256(value).hexdigest()}
        if isinstance(value, ModuleType):
            return {"module": value.__name__}
        if id(value) in self._seen:
            return {"again": self._seen[id(value)]}
        self._seen[id(value)] = len(self._seen)
        self._held.append(value)
        return self._new(value)

    def _new(self, value: Any) -> Any:
        for kinds, tell in self._tellers:
            if isinstance(value, kinds):
                return tell(value)
        if isinstance(value, np.generic | np.ndarray) or keras.ops.is_tensor(value):
            array = np.asarray(value)
            return {
                "array": [str(array.dtype), list(array.shape), sha256(array.tobytes()).hexdigest()]
            }
        within = getattr(value, "python_function", None)  # of a tf.function
        return self._object(value) if within is None else self.of(within)

    @functools.cached_property
    def _tellers(self) -> tuple[tuple[Any, Callable[[Any], Any]], ...]:
        return (
            (Mapping, lambda v: {"of": {str(key): self.of(item) for key, item in v.items()}}),
            (list | tuple, lambda v: [self.of(item) for item in v]),
            (set | frozenset, lambda v: sorted(map(_Walk().of, v), key=canonical_json)),
            (CodeType, self._code),
            (FunctionType, self._function),
            (MethodType, lambda v: [self.of(v.__func__), self.of(v.__self__)]),
            (functools.partial, lambda v: [*map(self.of, (v.func, v.args, v.keywords))]),
            (staticmethod | classmethod, lambda v: [type(v).__name__, self.of(v.__func__)]),
            (property, lambda v: ["property", self.of(v.fget)]),
            (type, self._class),
        )

    def _code(self, code: CodeType) -> Any:
        names = [list(code.co_names), list(code.co_varnames), list(code.co_freevars)]
        return [code.co_code.hex(), names, [self.of(each) for each in code.co_consts]]

    def _function(self, function: FunctionType) -> Any:
        if known := _known(function):
            return known
        there = function.__globals__
        read = [name for name in _names(function.__code__) if name in there]
        cells = []
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # one that nothing was put into yet
                cells.append(self.of(cell.cell_contents))
        return {
            "code": self.of(function.__code__),
            "defaults": [self.of(function.__defaults__), self.of(function.__kwdefaults__)],
            "around": cells,
            "module": {name: self.of(there[name]) for name in read},
        }

    def _class(self, kind: type) -> Any:
        if known := _known(kind):
            return known
        own = {
            name: self.of(item)
            for name, item in vars(kind).items()
            if name not in _CLASS_MACHINERY and not name.startswith("_abc_")
        }
        return {"class": kind.__qualname__, "bases": [self.of(b) for b in kind.__bases__], **own}

    def _object(self, value: Any) -> Any:
        kind = type(value)
        wrapped = {name: self.of(getattr(value, name)) for name in _WRAPPED if hasattr(value, name)}
        config = None
        if "fn" in wrapped or "_fn" in wrapped:
            # Its config has the function by name alone, or a lambda in bytes that change.
            config = self.of(getattr(value, "reduction", None))
        elif callable(own := getattr(value, "get_config", None)):
            with contextlib.suppress(NotImplementedError, TypeError, ValueError):
                config = self.of({k: v for k, v in own().items() if k != "name"})
        held: Any = None
        if _root(kind) not in _VERSIONED:
            held = {
                name: self.of(item)
                for name, item in getattr(value, "__dict__", {}).items()
                if not name.startswith("_") and name != "name" and not _is_state(item)
            }
        weights = self.of(list(value.weights)) if isinstance(value, keras.Layer) else None
        name = getattr(value, "__name__", None)
        facts = {"a": self.of(kind), "name": name, "config": config, "weights": weights}
        return {**facts, "wrapped": wrapped, "held": held}


def _is_state(value: Any) -> bool:
    """A metric's running sums are no settings of it."""
    return isinstance(value, keras.Variable)


def _root(thing: Any) -> str:
    return str(getattr(thing, "__module__", None) or "builtins").partition(".")[0]


def _known(thing: Any) -> Any:
    """What is enough of something from a library; ``None`` for a user's own."""
    module = str(getattr(thing, "__module__", None) or "builtins")
    name = f"{module}:{getattr(thing, '__qualname__', type(thing).__name__)}"
    if _root(thing) in _VERSIONED and module != "__main__":
        return name
    file = getattr(sys.modules.get(module), "__file__", None)
    if file and any(place in Path(file).parts for place in _INSTALLED):
        return [name, sha256(Path(file).read_bytes()).hexdigest()]
    return None


def _names(code: CodeType) -> list[str]:
    """The names that a function, and those within it, may look up in its module."""
    found = dict.fromkeys(code.co_names)
    for each in code.co_consts:
        if isinstance(each, CodeType):
            found.update(dict.fromkeys(_names(each)))
    return list(found)
