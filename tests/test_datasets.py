"""Data sets: exact contents and splits, and clear refusals of every malformed file."""

import gzip
import os
import pickle
import re
import struct
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given
from hypothesis import strategies as st

from linear import datasets
from linear.datasets import Dataset, load, load_mnist, load_npz, load_openml_mnist, read_idx, synthetic

MNIST_FOLDER = Path(
    os.environ.get("UNLEARNCHECK_MNIST", Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist")
)
TYPE_CODES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}


def idx_bytes(code: int, shape: tuple[int, ...], content: bytes) -> bytes:
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def write_part(folder: Path, part: str, images: np.ndarray, labels: list[int], zipped: bool = False) -> None:
    for kind, code, shape, content in (
        ("images-idx3", 0x08, images.shape, images.astype("u1").tobytes()),
        ("labels-idx1", 0x08, (len(labels),), bytes(labels)),
    ):
        data = idx_bytes(code, shape, content)
        name = f"{part}-{kind}-ubyte" + (".gz" if zipped else "")
        (folder / name).write_bytes(gzip.compress(data) if zipped else data)


def small_images(rows: int) -> np.ndarray:
    return np.arange(rows * 6, dtype="u1").reshape(rows, 2, 3)


# ---------------------------------------------------------------------------------------------------- Dataset


def test_one_hot_targets_follow_the_classes_of_both_parts() -> None:
    data = Dataset("d", np.eye(3), np.array([7, 2, 7], dtype=np.uint8), np.eye(3)[:1], np.array([5], np.uint8), "")
    assert data.classes is not None
    np.testing.assert_array_equal(data.classes, [2, 5, 7])
    np.testing.assert_array_equal(data.train_targets, [[0, 0, 1], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(data.test_targets, [[0, 1, 0]])
    assert data.train_targets.dtype == np.float64


def test_float_labels_are_regression_targets_as_they_stand() -> None:
    values = np.array([[0.5, -1.0], [2.0, 3.0]])
    data = Dataset("d", np.eye(2), values, np.empty((0, 2)), np.empty((0, 2)), "")
    assert data.classes is None
    np.testing.assert_array_equal(data.train_targets, values)
    assert data.test_targets.shape == (0, 2)


def test_arrays_are_copies_that_cannot_be_written() -> None:
    mine = np.eye(2)
    data = Dataset("d", mine, np.array([0, 1]), np.empty((0, 2)), np.empty(0, int), "")
    mine[0, 0] = 9.0
    assert data.train_features[0, 0] == 1.0
    for array in (data.train_features, data.train_labels, data.test_features, data.test_labels):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"train_features": np.ones(2)}, "train_features has shape"),
        ({"train_features": np.ones((2, 0))}, "train_features has shape .* at least one column"),
        ({"train_features": np.ones((0, 2)), "train_labels": np.empty(0, int)}, "train_features has no rows"),
        ({"train_features": np.array([[1.0, np.nan], [0, 0]])}, r"train_features\[0, 1\] = nan"),
        ({"train_features": np.array([["a", "b"]] * 2)}, "train_features has dtype"),
        ({"train_features": np.ones((2, 2), complex)}, "train_features has dtype"),
        ({"test_features": np.ones((1, 3))}, "test_features has 3 columns: must have 2"),
        ({"train_labels": np.array([1, 2, 3])}, "train_labels has 3 rows"),
        ({"train_labels": np.array([[1], [2]])}, "train_labels has shape .*: integers must have one axis"),
        ({"train_labels": np.array([1.0, np.inf])}, "train_labels"),
        ({"train_labels": np.array([1.0, 2.0])}, "test_labels has type int64"),
        ({"test_labels": np.array([2**63], np.uint64)}, r"test_labels holds 9223372036854775808"),
    ],
)
def test_dataset_refuses(changes: dict, rule: str) -> None:
    fields = {
        "train_features": np.eye(2),
        "train_labels": np.array([0, 1]),
        "test_features": np.ones((1, 2)),
        "test_labels": np.array([1]),
    }
    with pytest.raises((ValueError, TypeError), match=rule):
        Dataset("d", **(fields | changes), description="")


# ---------------------------------------------------------------------------------------- digits, the one door


def test_digits_are_scikit_learns_in_their_order() -> None:
    data = load("digits")
    bunch = sklearn.datasets.load_digits()
    np.testing.assert_array_equal(np.vstack([data.train_features, data.test_features]) * 16.0, bunch.data)
    np.testing.assert_array_equal(np.concatenate([data.train_labels, data.test_labels]), bunch.target)
    assert data.train_features.shape == (1500, 64)
    assert data.train_features.max() == 1.0
    assert data.train_targets.shape == (1500, 10)
    assert "first 1,500 rows train, last 297 test" in data.description


@pytest.mark.parametrize("name", ["digit", "", "features.npy"])
def test_load_refuses_unknown_names(name: str) -> None:
    with pytest.raises(ValueError, match=f"name = '{re.escape(name)}': must be"):
        load(name)


def test_load_mnist_needs_a_folder() -> None:
    with pytest.raises(ValueError, match="data_dir = None"):
        load("mnist")


# -------------------------------------------------------------------------------------------------- IDX files


@pytest.mark.parametrize("code", TYPE_CODES)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_types_and_byte_order(tmp_path: Path, code: int, zipped: bool) -> None:
    dtype = TYPE_CODES[code]
    values = [1, 2, 127, 0, -3, 100] if dtype[0] != "u" else [1, 2, 127, 0, 255, 100]
    content = struct.pack(">6" + {"u1": "B", "i1": "b", "i2": "h", "i4": "i", "f4": "f", "f8": "d"}[dtype], *values)
    data = idx_bytes(code, (2, 3), content)
    path = tmp_path / "some-file"
    path.write_bytes(gzip.compress(data) if zipped else data)
    array = read_idx(path)
    assert array.dtype == np.dtype(dtype)
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, np.array(values).reshape(2, 3))


def test_idx_larger_than_one_piece(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (3, 1000, 1000), dtype=np.uint8)
    path = tmp_path / "large"
    path.write_bytes(gzip.compress(idx_bytes(0x08, values.shape, values.tobytes()), compresslevel=1))
    np.testing.assert_array_equal(read_idx(path), values)


def test_idx_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(idx_bytes(0x08, (0, 28, 28), b""))
    assert read_idx(path).shape == (0, 28, 28)


GOOD = idx_bytes(0x08, (2, 2), b"abcd")
BAD_IDX = {
    "no bytes": (b"", "must start with two zero bytes"),
    "three bytes": (GOOD[:3], "must start with two zero bytes"),
    "first byte": (b"\1" + GOOD[1:], "must start with two zero bytes"),
    "second byte": (b"\0\1" + GOOD[2:], "must start with two zero bytes"),
    "type 0x0A": (b"\0\0\x0a\2" + GOOD[4:], "must start with two zero bytes, a type code"),
    "no dimensions": (idx_bytes(0x08, (), b"a"), "declares 0 dimensions"),
    "too many dimensions": (idx_bytes(0x08, (1,) * 33, b"a"), "declares 33 dimensions"),
    "dimensions cut": (GOOD[:11], "is truncated: 8 bytes of dimensions"),
    "items cut": (GOOD[:-1], r"is truncated: shape \(2, 2\) needs 4 bytes, 3 are there"),
    "one byte more": (GOOD + b"e", "is too long"),
    "absurd size": (idx_bytes(0x0E, (2**32 - 1, 2**32 - 1), b"abcd"), "must be at most 2147483648 bytes"),
    "absurd beside empty": (idx_bytes(0x08, (0, 2**32 - 1, 2**32 - 1), b""), "must be at most 2147483648 bytes"),
    "pickle": (pickle.dumps([1, 2, 3]), "must start with two zero bytes"),
    "zip archive": (b"PK\3\4" + bytes(40), "must start with two zero bytes"),
}


@pytest.mark.parametrize("case", BAD_IDX)
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_refuses(tmp_path: Path, case: str, zipped: bool) -> None:
    data, rule = BAD_IDX[case]
    path = tmp_path / "bad-file"
    path.write_bytes(gzip.compress(data) if zipped else data)
    with pytest.raises(ValueError, match=rf"bad-file: .*{rule}"):
        read_idx(path)


def damaged_gzip() -> dict[str, bytes]:
    good = gzip.compress(GOOD)
    return {
        "cut in the checksum": good[:-6],
        "cut in the data": good[:14],
        "only the magic": good[:2],
        "wrong checksum": good[:-8] + bytes([good[-8] ^ 1]) + good[-7:],
        "wrong method": good[:2] + b"\x07" + good[3:],
        "bad block": good[:10] + b"\xff" * 8 + good[-8:],
        "garbage behind": good + b"garbage",
    }


@pytest.mark.parametrize("case", damaged_gzip())
def test_idx_refuses_damaged_gzip(tmp_path: Path, case: str) -> None:
    path = tmp_path / "bad-file.gz"
    path.write_bytes(damaged_gzip()[case])
    with pytest.raises(ValueError, match=r"bad-file\.gz: must be a complete, undamaged gzip file"):
        read_idx(path)


def test_idx_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("declared", "content", "rule"),
    [((2**31,), b"short", "is truncated"), ((4,), bytes(80_000_000), "is too long")],
    ids=["declares 2 GiB, holds 5 bytes", "declares 4 bytes, inflates to 80 MB"],
)
def test_idx_memory_follows_neither_a_false_size_nor_a_bomb(
    tmp_path: Path, declared: tuple[int, ...], content: bytes, rule: str
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(idx_bytes(0x08, declared, content), compresslevel=1))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rule):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@given(st.data())
def test_idx_damage_anywhere_is_a_value_error_or_another_valid_file(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    good = idx_bytes(0x08, (3, 4), bytes(range(12)))
    raw = bytearray(gzip.compress(good, mtime=0) if data.draw(st.booleans()) else good)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "damaged"
    path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        array = read_idx(path)
    except ValueError as error:
        assert "damaged" in str(error)
    else:
        assert array.nbytes <= len(good)


# ------------------------------------------------------------------------------------------------------ MNIST


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_both_parts_keep_their_own_split(tmp_path: Path, zipped: bool) -> None:
    write_part(tmp_path, "train", small_images(4), [1, 2, 3, 9], zipped)
    write_part(tmp_path, "t10k", small_images(2) + 1, [0, 2], zipped)
    data = load("mnist", tmp_path)
    np.testing.assert_array_equal(data.train_features, np.arange(24.0).reshape(4, 6) / 255.0)
    np.testing.assert_array_equal(data.train_labels, [1, 2, 3, 9])
    np.testing.assert_array_equal(data.test_features, np.arange(1.0, 13.0).reshape(2, 6) / 255.0)
    np.testing.assert_array_equal(data.test_labels, [0, 2])
    assert data.description == "MNIST with its own split, first 4 rows train, last 2 test, pixels / 255"


@pytest.mark.parametrize(
    ("part", "rows", "train_rows", "words"),
    [("t10k", 30, 24, "MNIST test part only"), ("train", 12, 10, "MNIST training part only"), ("t10k", 1, 1, "only")],
)
def test_mnist_one_part_is_split_and_says_so(tmp_path: Path, part: str, rows: int, train_rows: int, words: str) -> None:
    write_part(tmp_path, part, small_images(rows), list(np.arange(rows) % 10))
    data = load_mnist(tmp_path)
    np.testing.assert_array_equal(data.train_labels, np.arange(train_rows) % 10)
    np.testing.assert_array_equal(data.test_labels, np.arange(train_rows, rows) % 10)
    np.testing.assert_array_equal(
        np.vstack([data.train_features, data.test_features]), small_images(rows).reshape(rows, 6) / 255.0
    )
    assert words in data.description
    assert f"first {train_rows} rows train, last {rows - train_rows} test" in data.description


def test_mnist_plain_file_wins_over_its_gzip(tmp_path: Path) -> None:
    write_part(tmp_path, "t10k", small_images(2), [3, 4])
    write_part(tmp_path, "t10k", small_images(2), [5, 6], zipped=True)
    np.testing.assert_array_equal(load_mnist(tmp_path).train_labels, [3])


@pytest.mark.parametrize("lost", ["images-idx3", "labels-idx1"])
def test_mnist_refuses_half_a_part(tmp_path: Path, lost: str) -> None:
    write_part(tmp_path, "train", small_images(2), [3, 4])
    write_part(tmp_path, "t10k", small_images(2), [3, 4])
    (tmp_path / f"t10k-{lost}-ubyte").unlink()
    with pytest.raises(ValueError, match=f"must hold t10k-{lost}-ubyte"):
        load_mnist(tmp_path)


def test_mnist_refuses_a_folder_without_parts(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=rf"folder = '{re.escape(str(folder))}': must hold train-images"):
            load_mnist(folder)


def test_mnist_refuses_parts_that_do_not_fit(tmp_path: Path) -> None:
    write_part(tmp_path, "train", small_images(2), [3, 4, 5])
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: .* must be 2 unsigned bytes"):
        load_mnist(tmp_path)
    write_part(tmp_path, "train", small_images(2), [3, 10])
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte: holds the label 10"):
        load_mnist(tmp_path)
    write_part(tmp_path, "train", small_images(2).reshape(2, 6), [3, 4])
    with pytest.raises(ValueError, match="train-images-idx3-ubyte: holds uint8 of shape"):
        load_mnist(tmp_path)
    write_part(tmp_path, "train", np.zeros((0, 2, 3), "u1"), [])
    with pytest.raises(ValueError, match="train-images-idx3-ubyte: holds uint8 of shape"):
        load_mnist(tmp_path)
    write_part(tmp_path, "train", small_images(2), [3, 4])
    write_part(tmp_path, "t10k", small_images(2)[:, :, :2], [3, 4])
    with pytest.raises(ValueError, match="training images have 6 pixels and test images 4"):
        load_mnist(tmp_path)


def test_mnist_refuses_other_item_types(tmp_path: Path) -> None:
    write_part(tmp_path, "t10k", small_images(2), [3, 4])
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(0x09, (2,), bytes([3, 4])))
    with pytest.raises(ValueError, match="t10k-labels-idx1-ubyte: holds int8"):
        load_mnist(tmp_path)


@pytest.mark.skipif(not (MNIST_FOLDER / "t10k-images-idx3-ubyte.gz").is_file(), reason="no MNIST folder here")
def test_the_real_mnist_test_part() -> None:
    data = load_mnist(MNIST_FOLDER)
    if "test part only" not in data.description:
        pytest.skip("this folder holds the training part too")
    assert data.train_features.shape == (8000, 784)
    assert data.test_features.shape == (2000, 784)
    assert "MNIST test part only, first 8,000 rows train" in data.description
    # The known opening of the test labels and the known class counts of all 10,000.
    np.testing.assert_array_equal(data.train_labels[:10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    counts = np.bincount(np.concatenate([data.train_labels, data.test_labels]))
    np.testing.assert_array_equal(counts, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    assert (data.train_features.min(), data.train_features.max()) == (0.0, 1.0)


# ----------------------------------------------------------------------------------------------------- OpenML


@pytest.fixture
def small_openml(monkeypatch: pytest.MonkeyPatch) -> dict:
    """A stand-in for the fetch that returns `answer` and records how it was called; 6 + 2 rows for 70,000."""
    monkeypatch.setattr(datasets, "_MNIST_TRAIN_ROWS", 6)
    monkeypatch.setattr(datasets, "_MNIST_TEST_ROWS", 2)
    record: dict = {
        "answer": SimpleNamespace(
            data=np.arange(8 * 784).reshape(8, 784) % 256, target=np.array(list("50419213"), dtype=object)
        )
    }

    def fetch(*args: object, **kwargs: object) -> SimpleNamespace:
        record["call"] = (args, kwargs)
        return record["answer"]

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    return record


def test_openml_mnist_is_asked_for_and_split(small_openml: dict, tmp_path: Path) -> None:
    data = load("openml-mnist", tmp_path)
    np.testing.assert_array_equal(data.train_labels, [5, 0, 4, 1, 9, 2])
    np.testing.assert_array_equal(data.test_labels, [1, 3])
    np.testing.assert_array_equal(data.test_features * 255.0, small_openml["answer"].data[6:])
    args, kwargs = small_openml["call"]
    assert args == ("mnist_784",)
    assert kwargs == {"version": 1, "as_frame": False, "parser": "liac-arff", "data_home": str(tmp_path)}
    load_openml_mnist()
    assert small_openml["call"][1]["data_home"] is None


def test_openml_mnist_refuses_what_is_not_mnist(small_openml: dict) -> None:
    good = small_openml["answer"]
    for data, target, rule in (
        (good.data[:7], good.target[:7], r"shape \(7, 784\)"),
        (good.data[:, :783], good.target, r"shape \(8, 783\)"),
        (good.data, np.array(list("5041921x"), dtype=object), "labels must be the digits"),
    ):
        small_openml["answer"] = SimpleNamespace(data=data, target=target)
        with pytest.raises(ValueError, match=f"openml mnist_784: .*{rule}"):
            load_openml_mnist()


# ------------------------------------------------------------------------------------------------- .npz files


def test_npz_classification_with_test_rows(tmp_path: Path) -> None:
    path = tmp_path / "saved.npz"
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez_compressed(
        path, features=features, labels=np.array([4, 4, 6], np.int8), test_features=features[:1] + 1,
        test_labels=np.array([6]), other=np.array("not read"),
    )  # fmt: skip
    data = load(str(path))
    np.testing.assert_array_equal(data.train_features, features)
    np.testing.assert_array_equal(data.train_targets, [[1, 0], [1, 0], [0, 1]])
    np.testing.assert_array_equal(data.test_features, [[1, 2]])
    np.testing.assert_array_equal(data.test_targets, [[0, 1]])
    assert data.description == "saved.npz, 3 training and 1 test rows as stored"


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_npz_regression_targets_may_be_whole_numbers(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "saved.npz"
    targets = np.arange(np.prod(shape)).reshape(shape)
    np.savez(path, features=np.eye(3), targets=targets)
    data = load_npz(path)
    assert data.classes is None
    np.testing.assert_array_equal(data.train_targets, targets)
    assert data.test_features.shape == (0, 3)
    assert data.test_targets.shape == (0, *shape[1:])


FEATURES, LABELS, VALUES = np.eye(2), np.array([0, 1]), np.array([0.5, 1.5])
BAD_NPZ = {
    "no features": ({"labels": LABELS}, "must hold 'features'"),
    "no targets": ({"features": FEATURES}, r"exactly one of 'labels'.* and 'targets'"),
    "both": ({"features": FEATURES, "labels": LABELS, "targets": VALUES}, "exactly one of"),
    "nothing known": ({"x": FEATURES}, "holds none of them"),
    "test labels missing": (
        {"features": FEATURES, "labels": LABELS, "test_features": FEATURES},
        "'test_features' and 'test_labels' together",
    ),
    "test features missing": ({"features": FEATURES, "labels": LABELS, "test_labels": LABELS}, "together"),
    "test of the other kind": (
        {"features": FEATURES, "labels": LABELS, "test_features": FEATURES, "test_targets": VALUES},
        "together",
    ),
    "test of both kinds": (
        {
            "features": FEATURES,
            "labels": LABELS,
            "test_features": FEATURES,
            "test_labels": LABELS,
            "test_targets": VALUES,
        },
        "together",
    ),
    "float labels": ({"features": FEATURES, "labels": VALUES}, "labels has type float64: must be integers"),
    "text targets": ({"features": FEATURES, "targets": np.array(["a", "b"])}, "targets has dtype"),
    "two axes of labels": ({"features": FEATURES, "labels": LABELS[:, None]}, "labels has shape"),
    "scalar features": ({"features": np.array(1.0), "labels": LABELS}, r"features has shape \(\)"),
    "three axes": ({"features": np.ones((2, 2, 2)), "labels": LABELS}, "features has shape"),
    "rows differ": ({"features": FEATURES, "labels": np.arange(3)}, "labels has 3 rows"),
    "no rows": ({"features": FEATURES[:0], "labels": LABELS[:0]}, "has no rows"),
    "no columns": ({"features": FEATURES[:, :0], "labels": LABELS}, "at least one column"),
    "columns differ": (
        {"features": FEATURES, "labels": LABELS, "test_features": np.ones((2, 3)), "test_labels": LABELS},
        "test_features has 3 columns",
    ),
    "nan": ({"features": np.array([[1, np.nan], [0, 0]]), "labels": LABELS}, r"features\[0, 1\] = nan"),
    "infinite target": ({"features": FEATURES, "targets": np.array([0, np.inf])}, r"targets\[1\] = inf"),
    "complex": ({"features": FEATURES * 1j, "labels": LABELS}, "features has dtype complex128"),
    "objects": ({"features": FEATURES, "labels": np.array([0, None])}, "plain arrays .*allow_pickle=False"),
}


@pytest.mark.parametrize("case", BAD_NPZ)
def test_npz_refuses(tmp_path: Path, case: str) -> None:
    arrays, rule = BAD_NPZ[case]
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=rf"bad\.npz: .*{rule}"):
        load_npz(path)


class Bomb:
    """Unpickling this would be seen."""

    exploded = False

    def __reduce__(self) -> tuple:
        return (setattr, (Bomb, "exploded", True))


def test_npz_never_unpickles(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"bad\.npz: must be an undamaged \.npz"):
        load_npz(path)
    np.savez(path, features=np.array([Bomb()]), labels=LABELS)
    with pytest.raises(ValueError, match=r"bad\.npz: must be an undamaged \.npz"):
        load_npz(path)
    assert not Bomb.exploded


def test_npz_refuses_a_single_array(tmp_path: Path) -> None:
    path = tmp_path / "bad.npz"
    with path.open("wb") as stream:
        np.save(stream, FEATURES)
    with pytest.raises(ValueError, match=r"bad\.npz: .*single array"):
        load_npz(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_npz(tmp_path / "nowhere.npz")


@given(st.data())
def test_npz_damage_anywhere_is_a_value_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "damaged.npz"
    np.savez(path, features=FEATURES, labels=LABELS)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        loaded = load_npz(path)
    except ValueError as error:
        assert "damaged.npz" in str(error)
    else:
        np.testing.assert_array_equal(loaded.train_features, FEATURES)


# -------------------------------------------------------------------------------------------------- synthetic


def first_leverage(features: np.ndarray, ridge: float) -> mpmath.mpf:
    """x' (X'X + ridge I)^-1 x of row 0, in 60 digits."""
    with mpmath.workdps(60):
        rows = mpmath.matrix(features.tolist())
        hessian = rows.T * rows + mpmath.mpf(ridge) * mpmath.eye(features.shape[1])
        return (rows[0, :] * mpmath.lu_solve(hessian, rows[0, :].T))[0]


@pytest.mark.parametrize("leverage", [1e-9, 0.01, 0.5, 0.99, 1 - 1e-9])
@pytest.mark.parametrize(("n_points", "n_features", "ridge"), [(1, 3, 2.0), (30, 4, 1e-3), (5, 12, 0.7)])
def test_synthetic_first_row_has_the_leverage(leverage: float, n_points: int, n_features: int, ridge: float) -> None:
    data = synthetic(n_points, n_features, leverage=leverage, ridge=ridge, rng=np.random.default_rng(3))
    # d leverage = leverage (1 - leverage) d log s, and s is good to its condition number in roundings.
    error = abs(float(first_leverage(data.train_features, ridge) - mpmath.mpf(leverage)))
    assert error <= 1e-12 * leverage * (1.0 - leverage)
    plain = synthetic(n_points, n_features, ridge=ridge, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(plain.train_features[1:], data.train_features[1:])


def test_synthetic_targets_are_linear_in_the_rows_as_given() -> None:
    data = synthetic(40, 3, 2, leverage=0.999, noise=0.0, rng=np.random.default_rng(0))
    weights, *_ = np.linalg.lstsq(data.train_features[1:], data.train_targets[1:], rcond=None)
    np.testing.assert_allclose(data.train_features @ weights, data.train_targets, atol=1e-9)
    np.testing.assert_allclose(data.test_features @ weights, data.test_targets, atol=1e-9)
    assert data.test_features.shape == (10, 3)
    assert data.classes is None


@pytest.mark.statistical
def test_synthetic_rows_have_norm_one_and_the_noise_asked_for() -> None:
    data = synthetic(20_000, 5, noise=0.3, rng=np.random.default_rng(1))
    # 100,000 entries of variance 1/5: the mean square norm is 1 with standard error sqrt(2 / 100,000).
    assert abs(np.mean(np.sum(data.train_features**2, axis=1)) - 1.0) < 6.0 * np.sqrt(2.0 / 100_000)
    residuals = (
        data.train_targets
        - data.train_features @ np.linalg.lstsq(data.train_features, data.train_targets, rcond=None)[0]
    )
    assert abs(np.sum(residuals**2) / (20_000 - 5) / 0.09 - 1.0) < 6.0 * np.sqrt(2.0 / 20_000)


def test_synthetic_is_reproducible() -> None:
    first, again = (synthetic(6, 2, leverage=0.3, rng=np.random.default_rng(8)) for _ in range(2))
    np.testing.assert_array_equal(first.train_features, again.train_features)
    np.testing.assert_array_equal(first.test_targets, again.test_targets)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"n_points": 0}, "n_points = 0"),
        ({"n_features": 2.5}, "n_features = 2.5"),
        ({"n_outputs": 0}, "n_outputs = 0"),
        ({"leverage": 0.0}, "leverage = 0.0"),
        ({"leverage": 1.0}, "leverage = 1.0"),
        ({"leverage": float("nan")}, "leverage = nan"),
        ({"noise": -1.0}, "noise = -1.0"),
        ({"ridge": 0.0}, "ridge = 0.0"),
        ({"ridge": float("inf")}, "ridge = inf"),
    ],
)
def test_synthetic_refuses(changes: dict, rule: str) -> None:
    arguments = {"n_points": 3, "n_features": 2} | changes
    with pytest.raises((ValueError, TypeError), match=re.escape(rule)):
        synthetic(**arguments, rng=np.random.default_rng(0))
