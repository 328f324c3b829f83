"""Pickles from outside, read without running anything: NumPy arrays in dictionaries, lists and tuples, and no more.

A pickle is a program. Python's own reader is used in its pure form with most of its instructions taken out: no name is
looked up, none but stand-ins for the parts of an array are called, and no array is built by NumPy's own loading code,
which trusts what it is given. What a file claims about sizes is compared with what it has.
"""

from __future__ import annotations

import codecs
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from fusion.files import shorten
from fusion.types import FusionError

MOST = 2**40  # steps along one axis of an array; refuses nonsense before anything is multiplied
_CODE = re.compile(r"[|<>=]?(?:[biufc][0-9]{1,2}|[?]|[SU][0-9]{1,7}|O[0-9]?|[bBhHiIlLqQefdg])")
_MODULES = re.compile(r"numpy\.(?:_?core)(?:\.multiarray|\.numeric|\._multiarray_umath)?|numpy")
_DAMAGED = (EOFError, OSError, LookupError, ValueError, AttributeError, TypeError, AssertionError, RecursionError,
            OverflowError, MemoryError)  # fmt: skip
_REFUSED = {
    "persistent ids": (pickle.PERSID, pickle.BINPERSID),
    "objects of classes": (pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX),
    "extension codes": (pickle.EXT1, pickle.EXT2, pickle.EXT4),
    "sets": (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET),
    "buffers that lie elsewhere": (pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
}


def load(path: Path) -> object:
    """What a pickle holds: dict, list, tuple, str, bytes, numbers, None, and NumPy arrays of numbers or strings.

    Raises FusionError when it asks for anything else, naming that, or when it is damaged.
    """
    name = shorten(path.name)
    try:
        with path.open("rb") as stream:
            return _plain(_Reader(_Bounded(stream, path.stat().st_size)).load())
    except pickle.UnpicklingError as error:
        raise FusionError(
            f'"{name}" is no plain pickle of arrays ({shorten(str(error), 160)}); opening it could run code, so it was '
            "refused. Use a file that holds dictionaries, lists, strings and NumPy arrays alone."
        ) from None
    except _DAMAGED as error:
        why = "it claims more than fits into memory" if isinstance(error, MemoryError) else type(error).__name__
        raise FusionError(f'"{name}" is no pickle, or a damaged or cut one ({why}); copy it again.') from None


class _Bounded:
    """A file that is never asked for more bytes than it has: a claimed length costs no memory."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.left = stream, size

    def read(self, count: int) -> bytes:
        if count < 0 or count > self.left:
            raise EOFError
        self.left -= count
        return self.stream.read(count)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        data = self.read(len(buffer))
        buffer[:] = data
        return len(data)

    def readline(self) -> bytes:
        line = self.stream.readline(2**20)
        self.left -= len(line)
        return line


class _Type:
    """A dtype as the file describes it: of numbers, bytes, text or objects, without fields."""

    def __init__(self, code: object) -> None:
        text = code.decode("ascii", "replace") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _CODE.fullmatch(text):
            raise pickle.UnpicklingError(f"an array of the kind {str(text)[:40]!r}")
        self.dtype = np.dtype(text)

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) < 8 or any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("an array of an unusual kind")
        order = state[1].decode("ascii", "replace") if isinstance(state[1], bytes) else state[1]
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)
        elif order not in ("|", "="):
            raise pickle.UnpicklingError("an array of an unusual byte order")


class _Array:
    """An array as the file describes it, built when everything is known."""

    def __init__(self) -> None:
        self.value: np.ndarray | None = None

    def build(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise pickle.UnpicklingError("an array of an unusual kind")
        shape, kind, columns, data = state[-4:]
        self.value = _array(data, kind, shape, order="F" if columns else "C")


def _array(data: object, kind: object, shape: object, order: object = "C") -> np.ndarray:
    """The array of some bytes, or of a list of objects. Raises UnpicklingError when they don't fit."""
    sizes = (shape,) if isinstance(shape, int) else shape
    if not isinstance(kind, _Type) or not isinstance(sizes, tuple) or order not in ("C", "F"):
        raise pickle.UnpicklingError("an array of an unusual kind")
    if len(sizes) > 8 or not all(isinstance(size, int) and 0 <= size < MOST for size in sizes):
        raise pickle.UnpicklingError("an array of an unusual shape")
    count = 1
    for size in sizes:
        count *= size
    if kind.dtype.hasobject:
        if not isinstance(data, list) or len(data) != count:
            raise pickle.UnpicklingError("an array of objects that are not there")
        filled = np.empty(count, dtype=object)
        for at, value in enumerate(data):
            filled[at] = value
        return filled.reshape(sizes, order=order)
    if isinstance(data, str):
        data = data.encode("latin-1")  # as Python 2 wrote bytes
    if not isinstance(data, (bytes, bytearray)) or len(data) != count * kind.dtype.itemsize:
        raise pickle.UnpicklingError("an array with more or fewer numbers than its shape")
    return np.frombuffer(data, dtype=kind.dtype, count=count).reshape(sizes, order=order)


def _reconstruct(*given: object) -> _Array:
    return _Array()


def _scalar(*given: object) -> object:
    if len(given) != 2:
        raise pickle.UnpicklingError("a number of an unusual kind")
    return _array(given[1], given[0], ()).item()


def _encode(*given: object) -> bytes:
    if len(given) not in (1, 2) or not isinstance(given[0], str) or given[1:] not in ((), ("latin1",), ("latin-1",)):
        raise pickle.UnpicklingError("an unusual encoding")
    return given[0].encode("latin-1")


def _buffer(*given: object) -> np.ndarray:
    if len(given) != 4:
        raise pickle.UnpicklingError("an array of an unusual kind")
    return _array(*given)


def _type(*given: object) -> _Type:
    return _Type(given[0] if given else None)


def _ordered(*given: object) -> dict[Any, Any]:
    if given not in ((), ([],)):
        raise pickle.UnpicklingError("a dictionary of an unusual kind")
    return {}


def _bytes(*given: object) -> bytes:
    if not given:
        return b""
    return _encode(*given) if isinstance(given[0], str) else bytes(given[0]) if isinstance(given[0], bytes) else b""


def _class(*given: object) -> object:
    raise pickle.UnpicklingError("an object of a class")


NUMPY: dict[str, Callable[..., object]] = {
    "_reconstruct": _reconstruct,
    "scalar": _scalar,
    "_frombuffer": _buffer,
    "dtype": _type,
    "ndarray": _class,  # named as an argument, never called
}
OTHERS: dict[tuple[str, str], Callable[..., object]] = {
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): _ordered,
    ("builtins", "bytes"): _bytes,
    ("builtins", "bytearray"): _bytes,
    ("__builtin__", "bytes"): _bytes,
    ("__builtin__", "bytearray"): _bytes,
}
_CALLED = frozenset({*NUMPY.values(), *OTHERS.values()})


class _Reader(pickle._Unpickler):  # type: ignore[name-defined]  # pure Python: its memo is a table, its instructions can be taken out
    """Python's reader of pickles without the instructions that build anything but plain values."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(pickle._Unpickler.dispatch)
    stack: list[Any]  # any value that a pickle can hold
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, stream: _Bounded) -> None:
        super().__init__(stream, encoding="latin-1", errors="strict")  # what Python 2 wrote

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """A stand-in by its name. Raises UnpicklingError for every other one, and looks nothing up."""
        found = NUMPY.get(name) if _MODULES.fullmatch(module) else OTHERS.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module[:60]}.{name[:60]}")
        return found

    def load_reduce(self) -> None:
        given = self.stack.pop()
        called = self.stack[-1]
        if not isinstance(given, tuple) or not callable(called) or called not in _CALLED:
            raise pickle.UnpicklingError("it calls what is no part of an array")
        self.stack[-1] = called(*given)

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(made := self.stack[-1], (_Type, _Array)):
            raise pickle.UnpicklingError("it changes what is no part of an array")
        made.build(state)

    def load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._put([key, value])

    def load_setitems(self) -> None:
        self._put(self.pop_mark())

    def load_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._put(items)

    def _put(self, items: list[Any]) -> None:
        table = self.stack[-1]
        if not isinstance(table, dict) or not all(isinstance(key, (str, bytes, int)) for key in items[::2]):
            raise pickle.UnpicklingError("a dictionary whose keys are no strings")  # hashing deep ones can crash
        table.update(zip(items[::2], items[1::2], strict=True))

    def load_appends(self) -> None:
        items = self.pop_mark()
        if not isinstance(self.stack[-1], list):
            raise pickle.UnpicklingError("a list of an unusual kind")
        self.stack[-1].extend(items)

    def load_append(self) -> None:
        value = self.stack.pop()
        if not isinstance(self.stack[-1], list):
            raise pickle.UnpicklingError("a list of an unusual kind")
        self.stack[-1].append(value)

    for code, made in (
        (pickle.REDUCE, load_reduce), (pickle.BUILD, load_build), (pickle.SETITEM, load_setitem),
        (pickle.SETITEMS, load_setitems), (pickle.DICT, load_dict), (pickle.APPENDS, load_appends),
        (pickle.APPEND, load_append),
    ):  # fmt: skip
        dispatch[code[0]] = made
    for what, codes in _REFUSED.items():

        def refuse(self: _Reader, what: str = what) -> None:
            raise pickle.UnpicklingError(f"it holds {what}")

        for code in codes:
            dispatch[code[0]] = refuse


def _plain(value: object) -> object:
    """The value with its arrays in the place of their stand-ins, three levels deep: as deep as is read."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {
            _key(one): {_key(key): _finished(inner) for key, inner in part.items()}
            if isinstance(part, dict)
            else _finished(part)
            for one, part in value.items()
        }
    return _finished(value)


def _finished(value: object) -> object:
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, (list, tuple)):
        return [one.value if isinstance(one, _Array) else one for one in value]
    return value


def _key(name: object) -> object:
    return codecs.decode(name, "utf-8", "replace") if isinstance(name, bytes) else name
