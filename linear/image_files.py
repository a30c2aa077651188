"""CIFAR-10, CIFAR-100 and SVHN in the formats of their authors, read without running anything the files contain.

CIFAR comes as Python pickles. A pickle is a program: here it is run by an unpickler that knows four names, all bound
to inert records of our own, so that nothing a file names is ever imported or called; the arrays are built
afterwards, from checked shapes and bytes. SVHN comes as MATLAB files, of which two plain arrays are read.

Pixels are unsigned bytes, one image a row, in the order channel (red, green, blue), row, column, as in CIFAR.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]
Part = tuple[Pixels, Labels]
CifarKind = Literal["cifar10", "cifar100"]

_SIDE, _CHANNELS = 32, 3
_PIXELS = _CHANNELS * _SIDE * _SIDE
_MOST_BYTES = 2**31
# kind: names of the training files, name of the test file, entry of the labels, number of classes
_CIFAR: dict[str, tuple[tuple[str, ...], str, str, int]] = {
    "cifar10": (tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "labels", 10),
    "cifar100": (("train",), "test", "fine_labels", 100),
}


def read_cifar(folder: str | Path, kind: CifarKind = "cifar10") -> tuple[Part, Part]:
    """(training pixels (n, 3072), labels (n,)) and the same for the test part.

    Parameters
    ----------
    folder : the unpacked `cifar-10-batches-py` or `cifar-100-python`.
    kind : "cifar10", or "cifar100" with its 100 fine labels.

    Raises
    ------
    ValueError : an unknown kind, a file that is missing, names anything but plain arrays, or does not hold what it should.
    """
    if kind not in _CIFAR:
        raise ValueError(f"kind = {kind!r}: must be one of {', '.join(map(repr, _CIFAR))}")
    folder = Path(folder)
    train_names, test_name, _, _ = _CIFAR[kind]
    missing = [name for name in (*train_names, test_name) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"folder = {str(folder)!r}: must hold {', '.join(missing)} ({kind}, python version, unpacked)")
    parts = [_cifar_file(folder / name, kind) for name in train_names]
    train = np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts])
    return train, _cifar_file(folder / test_name, kind)


def read_svhn(folder: str | Path, *, extra: bool = False) -> tuple[Part, Part]:
    """(training pixels (n, 3072), labels (n,)) and the same for the test part, from the cropped-digits files.

    Parameters
    ----------
    folder : holds `train_32x32.mat` and `test_32x32.mat`; with `extra` also `extra_32x32.mat`, appended to the
        training part. The files write the digit 0 as 10; here it is 0.

    Raises
    ------
    ValueError : a file is missing, is not a MATLAB file, or does not hold `X` (32, 32, 3, n) and `y` (n, 1).
    """
    folder = Path(folder)
    names = ["train_32x32.mat", *(["extra_32x32.mat"] if extra else []), "test_32x32.mat"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"folder = {str(folder)!r}: must hold {', '.join(missing)} (SVHN, cropped digits)")
    *train, test = (_svhn_file(folder / name) for name in names)
    return (np.concatenate([p for p, _ in train]), np.concatenate([y for _, y in train])), test


class _Inert:
    """What a pickle gets in place of numpy: remembers how it was called and set up, and does nothing."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments: tuple[Any, ...] = arguments
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else (state,)


class _ArrayRecord(_Inert):
    pass


class _TypeRecord(_Inert):
    pass


class _ArrayClass:
    """Stands for the name numpy.ndarray, which array pickles pass along."""


def _encoded(text: Any, encoding: Any) -> bytes:
    """Python 3 writes bytes into old pickles as _codecs.encode(text, "latin1"); any other codec is refused."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"_codecs.encode with {encoding!r}: must be text and 'latin1'")
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _ArrayRecord,
    ("numpy._core.multiarray", "_reconstruct"): _ArrayRecord,
    ("numpy", "ndarray"): _ArrayClass,
    ("numpy", "dtype"): _TypeRecord,
    ("_codecs", "encode"): _encoded,
}


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream, encoding="bytes")

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}: only plain numpy arrays are read") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def _cifar_file(path: Path, kind: str) -> Part:
    _, _, label_name, classes = _CIFAR[kind]
    with path.open("rb") as stream:
        try:
            content = _PlainUnpickler(stream).load()
        # A damaged pickle raises nearly anything; all of it means the same.
        except Exception as error:
            raise ValueError(f"{path}: must be an undamaged pickle of plain arrays ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds a {type(content).__name__}: must be a dictionary")
    entries = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    for name in ("data", label_name):
        if name not in entries:
            raise ValueError(f"{path}: must hold 'data' and {label_name!r}; holds {', '.join(map(str, entries))}")
    pixels = _array(path, "data", entries["data"])
    labels = entries[label_name]
    if isinstance(labels, _ArrayRecord):
        labels = _array(path, label_name, labels).tolist()
    return _checked(path, pixels, labels, classes)


def _array(path: Path, name: str, record: Any) -> NDArray[Any]:
    """The array a record describes: bytes of a fixed-size number type, checked before numpy sees them."""
    try:
        if not isinstance(record, _ArrayRecord):
            raise ValueError(f"a {type(record).__name__}")
        _, shape, kind, fortran, content = record.state
        code, *_ = kind.arguments
        order = kind.state[1]
        text = [value.decode("latin1") if isinstance(value, bytes) else value for value in (order, code)]
        if text[0] not in ("|", "<", ">", "=") or text[1] not in ("u1", "i1", "i2", "i4", "i8", "u2", "u4", "u8"):
            raise ValueError(f"items of type {text[1]!r}")
        dtype = np.dtype(("=" if text[0] == "|" else text[0]) + text[1])
        if not isinstance(content, bytes) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"content of type {type(content).__name__}, shape {shape!r}")
        if math.prod(shape) * dtype.itemsize != len(content) or len(content) > _MOST_BYTES:
            raise ValueError(f"{len(content)} bytes for the shape {shape}")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{path}: {name!r} must be an array of whole numbers (found: {error})") from error


def _svhn_file(path: Path) -> Part:
    import scipy.io

    try:
        content = scipy.io.loadmat(str(path), variable_names=("X", "y"))
    # Damaged MATLAB files raise nearly anything as well.
    except Exception as error:
        raise ValueError(f"{path}: must be an undamaged MATLAB 5 file ({error})") from error
    images, labels = content.get("X"), content.get("y")
    if not isinstance(images, np.ndarray) or images.shape[:-1] != (_SIDE, _SIDE, _CHANNELS):
        raise ValueError(
            f"{path}: 'X' has shape {getattr(images, 'shape', None)}: must be ({_SIDE}, {_SIDE}, {_CHANNELS}, n)"
        )
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iuf":
        raise ValueError(f"{path}: must hold the numbers 'y'")
    rows = np.ascontiguousarray(images.transpose(3, 2, 0, 1)).reshape(images.shape[-1], _PIXELS)
    values = labels.ravel()
    if not np.isin(values, np.arange(1, 11)).all():
        raise ValueError(f"{path}: 'y' must hold the labels 1 to 10")
    return _checked(path, rows, (values.astype(np.int64) % 10).tolist(), 10)


def _checked(path: Path, pixels: NDArray[Any], labels: Any, classes: int) -> Part:
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _PIXELS or len(pixels) == 0:
        raise ValueError(
            f"{path}: images are {pixels.dtype} of shape {pixels.shape}: must be unsigned bytes, (n, {_PIXELS}), n >= 1"
        )
    whole = isinstance(labels, list) and all(type(label) is int for label in labels)
    if not whole or len(labels) != len(pixels) or min(labels) < 0 or max(labels) >= classes:
        raise ValueError(f"{path}: must hold {len(pixels)} whole labels from 0 to {classes - 1}, one for each image")
    return pixels, np.array(labels, dtype=np.int64)
