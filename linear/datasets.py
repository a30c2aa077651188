"""Data sets: digits (embedded), MNIST (IDX files), CIFAR and SVHN, saved features (.npz), synthetic rows.

Files are input from outside: they are read without pickle, checked against every size they declare, and
refused with a `ValueError` that names the file and the rule it breaks.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from linear import _checks, image_files

Array = NDArray[Any]

# IDX type codes; multi-byte items are stored most significant byte first.
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_IDX_MOST_DIMENSIONS = 32
_IDX_MOST_BYTES = 2**31
_GZIP_MAGIC = b"\x1f\x8b"
_NEEDED_FILES = {
    "mnist": "IDX files",
    "cifar10": "python batches",
    "cifar100": "python files",
    "svhn": "cropped-digits .mat files",
}
_MNIST_TRAIN_ROWS, _MNIST_TEST_ROWS, _MNIST_PIXELS = 60_000, 10_000, 784


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test rows of one learning problem, kept as read-only copies.

    Labels of an integer type make a classification problem: `classes` lists their values and the targets are
    one-hot. Labels of a floating type are regression targets and are used as they stand.

    Parameters
    ----------
    name : short name, as given to `load`.
    train_features, test_features : (n, p) and (m, p) finite numbers, with n and p at least 1; m may be 0.
    train_labels, test_labels : (n,) and (m,) integers, or (n,) and (m,), or (n, C) and (m, C), finite floats.
    description : where the rows come from and how they were split; belongs beside every number made of them.

    Raises
    ------
    ValueError, TypeError : naming the field, when a shape, a type or a value breaks these rules.
    """

    name: str
    train_features: Array = field(repr=False)
    train_labels: Array = field(repr=False)
    test_features: Array = field(repr=False)
    test_labels: Array = field(repr=False)
    description: str

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            names = (f"{part}_features", f"{part}_labels")
            rows = _rows(names, getattr(self, names[0]), getattr(self, names[1]))
            for name, array in zip(names, rows, strict=True):
                object.__setattr__(self, name, _checks.frozen(array))
        if len(self.train_features) == 0:
            raise ValueError("train_features has no rows: must have at least one")
        if self.train_features.shape[1] != self.test_features.shape[1]:
            raise ValueError(
                f"test_features has {self.test_features.shape[1]} columns: must have "
                f"{self.train_features.shape[1]}, as train_features has"
            )
        train, test = self.train_labels, self.test_labels
        if train.dtype != test.dtype or train.shape[1:] != test.shape[1:]:
            raise ValueError(
                f"test_labels has type {test.dtype} and rows of shape {test.shape[1:]}: must be as "
                f"train_labels, {train.dtype} and {train.shape[1:]}"
            )

    @property
    def classes(self) -> NDArray[np.int64] | None:
        """Label values in increasing order, over both parts; None for regression."""
        if self.train_labels.dtype.kind != "i":
            return None
        return np.unique(np.concatenate([self.train_labels, self.test_labels]))

    @property
    def train_targets(self) -> NDArray[np.float64]:
        """One-hot training labels (n, C), a column per class; for regression the labels themselves."""
        return self._targets(self.train_labels)

    @property
    def test_targets(self) -> NDArray[np.float64]:
        """Targets of the test rows, in the columns of `train_targets`."""
        return self._targets(self.test_labels)

    def _targets(self, labels: Array) -> NDArray[np.float64]:
        classes = self.classes
        if classes is None:
            return labels
        return (labels[:, np.newaxis] == classes).astype(np.float64)


def load(name: str | Path, data_dir: str | Path | None = None) -> Dataset:
    """One door to every stored data set.

    Parameters
    ----------
    name : "digits" (embedded), "mnist" (IDX files in `data_dir`), "cifar10", "cifar100" or "svhn" (their authors'
        files in `data_dir`, see `linear.image_files`), "openml-mnist" (fetched from openml.org and kept in
        `data_dir`), or the path of an .npz archive.
    data_dir : folder of the files; optional for "openml-mnist", unused by "digits" and archives.

    Raises
    ------
    ValueError : unknown name, missing folder, or a file that breaks its format.
    """
    if name == "digits":
        return load_digits()
    if name in _NEEDED_FILES:
        if data_dir is None:
            raise ValueError(f"data_dir = None: {name!r} needs the folder that holds the {_NEEDED_FILES[str(name)]}")
        if name == "mnist":
            return load_mnist(data_dir)
        return _load_images(str(name), data_dir)
    if name == "openml-mnist":
        return load_openml_mnist(data_dir)
    if str(name).endswith(".npz"):
        return load_npz(name)
    stored = ", ".join(map(repr, ("digits", *_NEEDED_FILES, "openml-mnist")))
    raise ValueError(f"name = {str(name)!r}: must be {stored} or a path ending in .npz")


def load_digits() -> Dataset:
    """The 1,797 digits of 8x8 pixels that scikit-learn carries: first 1,500 rows train, last 297 test."""
    from sklearn.datasets import load_digits as sklearn_digits

    pixels, labels = sklearn_digits(return_X_y=True)
    return _split("digits", "scikit-learn digits", pixels, labels, 1500, scale=16)


def load_mnist(folder: str | Path) -> Dataset:
    """MNIST from its original IDX files, plain or gzipped, with either part or both; pixels / 255.

    With both parts the split is MNIST's own. With the test part alone its first four fifths train (8,000 of
    10,000), with the training part alone its first five sixths (50,000 of 60,000); the remaining rows test,
    and `description` says so.

    Parameters
    ----------
    folder : holds `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, or `t10k-images-idx3-ubyte` and
        `t10k-labels-idx1-ubyte`, or all four, each as it is or with `.gz`; the plain file wins.

    Raises
    ------
    ValueError : no part found, half a part, a file that is not valid IDX, or files that do not fit.
    """
    folder = Path(folder)
    train, test = _mnist_part(folder, "train"), _mnist_part(folder, "t10k")
    if train is not None and test is not None:
        if train[0].shape[1] != test[0].shape[1]:
            raise ValueError(
                f"folder = {str(folder)!r}: training images have {train[0].shape[1]} pixels and test images "
                f"{test[0].shape[1]}: must have the same number"
            )
        pixels, labels = np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])
        return _split("mnist", "MNIST with its own split", pixels, labels, len(train[1]))
    if test is not None:
        return _split("mnist", "MNIST test part only", *test, max(1, len(test[1]) * 4 // 5))
    if train is not None:
        return _split("mnist", "MNIST training part only", *train, max(1, len(train[1]) * 5 // 6))
    raise ValueError(
        f"folder = {str(folder)!r}: must hold train-images-idx3-ubyte and train-labels-idx1-ubyte, or "
        "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (or both pairs), plain or with .gz"
    )


def _load_images(name: str, folder: str | Path) -> Dataset:
    """CIFAR or SVHN with its own split; pixels / 255."""
    if name == "svhn":
        train, test = image_files.read_svhn(folder)
        source = "SVHN (cropped digits)"
    else:
        train, test = image_files.read_cifar(folder, "cifar10" if name == "cifar10" else "cifar100")
        source = "CIFAR-10" if name == "cifar10" else "CIFAR-100 (fine labels)"
    pixels, labels = np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])
    return _split(name, f"{source} with its own split", pixels, labels, len(train[1]))


def load_openml_mnist(cache_dir: str | Path | None = None) -> Dataset:
    """MNIST fetched from openml.org by scikit-learn; needs the network unless `cache_dir` already holds it.

    Parameters
    ----------
    cache_dir : where scikit-learn keeps what it fetched; None for its default.

    Raises
    ------
    ValueError : what came back is not 70,000 images of 784 pixels with labels 0 to 9.
    """
    import sklearn.datasets

    # liac-arff: scikit-learn's default parser needs pandas, which is no dependency of this project.
    fetched = sklearn.datasets.fetch_openml(
        "mnist_784",
        version=1,
        as_frame=False,
        parser="liac-arff",
        data_home=None if cache_dir is None else str(cache_dir),
    )
    pixels, labels = np.asarray(fetched.data), np.asarray(fetched.target)
    rows = _MNIST_TRAIN_ROWS + _MNIST_TEST_ROWS
    if pixels.shape != (rows, _MNIST_PIXELS) or labels.shape != (rows,):
        raise ValueError(
            f"openml mnist_784: images have shape {pixels.shape} and labels {labels.shape}: "
            f"must be ({rows}, {_MNIST_PIXELS}) and ({rows},)"
        )
    if not np.isin(labels, list("0123456789")).all():
        raise ValueError("openml mnist_784: labels must be the digits '0' to '9'")
    return _split("openml-mnist", "MNIST (OpenML mnist_784)", pixels, labels.astype(np.int64), _MNIST_TRAIN_ROWS)


def load_npz(path: str | Path) -> Dataset:
    """Saved features from an .npz archive.

    Parameters
    ----------
    path : archive with `features` (n, p) and either `labels` (n,), integers, or `targets` (n,) or (n, C),
        numbers; optionally `test_features` with `test_labels` or `test_targets`, the same kind. Other arrays
        are not read.

    Raises
    ------
    ValueError : not an .npz archive, pickled objects, a missing or extra name, a wrong shape or type, a value
        that is not finite.
    FileNotFoundError : no such file.
    """
    path = Path(path)
    arrays = _read_npz(path, ("features", "labels", "targets", "test_features", "test_labels", "test_targets"))
    if "features" not in arrays or ("labels" in arrays) == ("targets" in arrays):
        raise ValueError(
            f"{path}: must hold 'features' and exactly one of 'labels' (integers) and 'targets' (numbers); "
            f"holds {', '.join(arrays) or 'none of them'}"
        )
    kind, other = ("labels", "targets") if "labels" in arrays else ("targets", "labels")
    if f"test_{other}" in arrays or ("test_features" in arrays) != (f"test_{kind}" in arrays):
        raise ValueError(
            f"{path}: holds {', '.join(arrays)}: beside '{kind}', the test rows must be 'test_features' and "
            f"'test_{kind}' together"
        )

    def convert(name: str) -> Array:
        array = arrays[name]
        if kind == "labels" and array.dtype.kind not in "biu":
            raise ValueError(f"{name} has type {array.dtype}: must be integers")
        return array if kind == "labels" else _checks.real_array(name, array, dimensions=(1, 2))

    try:
        features, labels = _rows(("features", kind), arrays["features"], convert(kind))
        tests: tuple[Array, Array] = (features[:0], labels[:0])
        if "test_features" in arrays:
            names = ("test_features", f"test_{kind}")
            tests = _rows(names, arrays[names[0]], convert(names[1]))
        description = f"{path.name}, {len(features):,} training and {len(tests[0]):,} test rows as stored"
        return Dataset(str(path), features, labels, *tests, description)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error


def read_idx(path: str | Path) -> Array:
    """One IDX file, plain or gzipped (told apart by content), as an array in native byte order.

    The format: two zero bytes, a type code (0x08 unsigned byte, 0x09 byte, 0x0B short, 0x0C int, 0x0D float,
    0x0E double), the number of dimensions, each dimension as a 4-byte unsigned integer, then the items,
    row-major, all most significant byte first. Exactly the declared number of bytes must follow, at most
    2 GiB. Reading stops one byte past the declared size and allocates only what the file really holds.

    Raises
    ------
    ValueError : wrong magic, unknown type, a truncated or oversized file, damaged gzip.
    FileNotFoundError : no such file.
    """
    path = Path(path)
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if not zipped:
            return _parse_idx(path, raw.read)
        try:
            # A damaged stream can fail on any of the reads.
            with gzip.GzipFile(fileobj=raw) as unzipped:
                return _parse_idx(path, unzipped.read)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: must be a complete, undamaged gzip file ({error})") from error


def synthetic(
    n_points: int,
    n_features: int,
    n_outputs: int = 1,
    *,
    leverage: float | None = None,
    noise: float = 0.1,
    ridge: float = 1.0,
    rng: np.random.Generator,
) -> Dataset:
    """Gaussian regression rows, the first of which can be given a leverage.

    Rows are N(0, I / n_features), hence of norm about 1; targets are `features @ weights` plus N(0, noise^2),
    with standard Gaussian weights. Let H_ = ridge I + the sum of x x' over the other rows, and s = x' H_^-1 x
    for the first row. Scaling that row by r makes it r^2 s, and its leverage, the row's quadratic form in the
    inverse of H_ + r^2 x x', becomes r^2 s / (1 + r^2 s) by Sherman-Morrison; hence the choice
    r^2 = leverage / (1 - leverage) / s. A quarter as many test rows are drawn the same way, unscaled.

    Parameters
    ----------
    n_points, n_features, n_outputs : at least 1.
    leverage : of row 0, strictly between 0 and 1; None leaves the row as drawn.
    noise : standard deviation of the noise of the targets, at least 0.
    ridge : penalty of the problem, not divided by n; positive.
    rng : source of all randomness.

    Raises
    ------
    ValueError, TypeError : naming the argument that breaks these rules.
    """
    n_points = _checks.integer("n_points", n_points, minimum=1)
    n_features = _checks.integer("n_features", n_features, minimum=1)
    n_outputs = _checks.integer("n_outputs", n_outputs, minimum=1)
    noise, ridge = _checks.nonnegative("noise", noise), _checks.positive("ridge", ridge)
    if leverage is not None and not 0.0 < _checks.finite("leverage", leverage) < 1.0:
        raise ValueError(f"leverage = {leverage!r}: must be strictly between 0 and 1")

    weights = rng.standard_normal((n_features, n_outputs))

    def draw(rows: int) -> NDArray[np.float64]:
        return rng.standard_normal((rows, n_features)) / math.sqrt(n_features)

    def respond(features: NDArray[np.float64]) -> NDArray[np.float64]:
        return features @ weights + noise * rng.standard_normal((len(features), n_outputs))

    train = draw(n_points)
    description = f"synthetic Gaussian rows, noise {noise:g}"
    if leverage is not None:
        others = train[1:].T @ train[1:] + ridge * np.eye(n_features)
        half = scipy.linalg.solve_triangular(np.linalg.cholesky(others), train[0], lower=True)
        train[0] *= math.sqrt(leverage / (1.0 - leverage) / float(half @ half))
        description += f", row 0 with leverage {leverage:g} at ridge {ridge:g}"
    train_targets = respond(train)
    test = draw(n_points // 4)
    return Dataset("synthetic", train, train_targets, test, respond(test), description)


def _split(name: str, source: str, pixels: Array, labels: Array, train_rows: int, *, scale: int = 255) -> Dataset:
    """Pixels / scale; the first `train_rows` rows train, the others test, and the description says so."""
    rest = len(pixels) - train_rows
    return Dataset(
        name,
        pixels[:train_rows] / float(scale),
        labels[:train_rows],
        pixels[train_rows:] / float(scale),
        labels[train_rows:],
        f"{source}, first {train_rows:,} rows train, last {rest:,} test, pixels / {scale}",
    )


def _mnist_part(folder: Path, part: str) -> tuple[Array, Array] | None:
    """Pixels (n, p) and labels (n,) of one part, or None when neither of its files is there."""
    names = [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"]
    image_path, label_path = (
        next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None) for name in names
    )
    if image_path is None and label_path is None:
        return None
    if image_path is None or label_path is None:
        missing = names[0] if image_path is None else names[1]
        raise ValueError(f"folder = {str(folder)!r}: must hold {missing} (plain or .gz) beside its other half")
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.dtype != np.uint8 or images.ndim != 3 or images.size == 0:
        raise ValueError(
            f"{image_path}: holds {images.dtype} of shape {images.shape}: must be unsigned bytes, "
            "(images, rows, columns), none of them 0"
        )
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"{label_path}: holds {labels.dtype} of shape {labels.shape}: must be {len(images)} unsigned "
            f"bytes, one for each image of {image_path.name}"
        )
    if labels.max() > 9:
        raise ValueError(f"{label_path}: holds the label {labels.max()}: MNIST labels must be 0 to 9")
    return images.reshape(len(images), -1), labels.astype(np.int64)


def _parse_idx(path: Path, read: Callable[[int], bytes]) -> Array:
    header = read(4)
    if len(header) < 4 or header[:2] != b"\0\0" or header[2] not in _IDX_DTYPES:
        known = ", ".join(f"0x{code:02X}" for code in _IDX_DTYPES)
        raise ValueError(
            f"{path}: starts with bytes [{header.hex(' ')}]: an IDX file must start with two zero bytes, "
            f"a type code ({known}) and the number of dimensions"
        )
    dtype, dimensions = np.dtype(_IDX_DTYPES[header[2]]), header[3]
    if not 1 <= dimensions <= _IDX_MOST_DIMENSIONS:
        raise ValueError(f"{path}: declares {dimensions} dimensions: must be 1 to {_IDX_MOST_DIMENSIONS}")
    sizes = read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise ValueError(f"{path}: is truncated: {4 * dimensions} bytes of dimensions must follow the magic")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    # An empty dimension must not hide absurd ones, which numpy would refuse without naming the file.
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > _IDX_MOST_BYTES:
        raise ValueError(f"{path}: declares {dtype.name} of shape {shape}: must be at most {_IDX_MOST_BYTES} bytes")
    declared = math.prod(shape) * dtype.itemsize
    content = bytearray()
    while piece := read(min(2**20, declared + 1 - len(content))):
        content += piece
    if len(content) < declared:
        raise ValueError(f"{path}: is truncated: shape {shape} needs {declared} bytes, {len(content)} are there")
    if len(content) > declared:
        raise ValueError(f"{path}: is too long: shape {shape} needs {declared} bytes and more follow")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_npz(path: Path, names: tuple[str, ...]) -> dict[str, Array]:
    """The arrays of an archive that carry one of these names, in memory."""
    with path.open("rb") as stream:
        try:
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds a single array")
            with archive:
                return {name: archive[name] for name in names if name in archive.files}
        # On a damaged or hostile archive zipfile, zlib and numpy raise nearly anything; all mean the same.
        except Exception as error:
            raise ValueError(f"{path}: must be an undamaged .npz archive of plain arrays ({error})") from error


def _rows(names: tuple[str, str], features: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Checked copies of features (n, p), as floats, and labels, (n,) integers or (n,) or (n, C) floats."""
    rows = _checks.real_array(names[0], features, dimensions=(2,))
    if rows.shape[1] == 0:
        raise ValueError(f"{names[0]} has shape {rows.shape}: must have at least one column")
    values = np.asarray(labels)
    checked: Array = _checks.real_array(names[1], values, dimensions=(1, 2))
    if values.dtype.kind in "biu":
        if values.ndim != 1:
            raise ValueError(f"{names[1]} has shape {values.shape}: integers must have one axis")
        if values.size and int(values.max()) > np.iinfo(np.int64).max:
            raise ValueError(f"{names[1]} holds {values.max()}: must be below 2**63")
        checked = values.astype(np.int64)
    if len(checked) != len(rows):
        raise ValueError(f"{names[1]} has {len(checked)} rows: must have one per row of {names[0]}, {len(rows)}")
    return rows, checked
