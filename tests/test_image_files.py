"""CIFAR and SVHN files: read in their authors' formats, and nothing in them is ever run."""

import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from linear.datasets import load
from linear.image_files import read_cifar, read_svhn

RNG = np.random.default_rng(0)


def pixels(rows: int) -> np.ndarray:
    return RNG.integers(0, 256, (rows, 3072), dtype=np.uint8)


def python2_pickle(entries: dict) -> bytes:
    """A protocol-2 pickle with byte strings, as Python 2 wrote the released files: opcodes assembled by hand."""

    def item(value: object) -> bytes:
        if isinstance(value, bytes):
            return b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + size(value) + value
        if isinstance(value, list):
            return b"](" + b"".join(item(one) for one in value) + b"e"
        if isinstance(value, int):
            return b"K" + bytes([value])
        assert isinstance(value, np.ndarray)
        shape = b"(" + b"".join(b"J" + n.to_bytes(4, "little") for n in value.shape) + b"t"
        kind = (
            b"cnumpy\ndtype\n("
            + item(b"u1")
            + b"K\0K\1tR(K\3"
            + item(b"|")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
        )
        start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85" + item(b"b") + b"tR"
        return start + b"(K\1" + shape + kind + b"I00\n" + item(value.tobytes()) + b"tb"

    def size(value: bytes) -> bytes:
        return len(value).to_bytes(4, "little")

    return b"\x80\2}(" + b"".join(item(k) + item(v) for k, v in entries.items()) + b"u."


def write_cifar10(folder: Path, rows: int = 2, dump=python2_pickle) -> tuple[np.ndarray, list[int]]:
    images, labels = pixels(6 * rows), [int(x) for x in RNG.integers(0, 10, 6 * rows)]
    for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        part = slice(i * rows, (i + 1) * rows)
        batch = {b"batch_label": b"x", b"labels": labels[part], b"data": images[part], b"filenames": [b"a.png"] * rows}
        (folder / name).write_bytes(dump(batch))
    return images, labels


@pytest.mark.parametrize(
    "dump", [python2_pickle, lambda value: pickle.dumps(value, protocol=2)], ids=["python2", "python3"]
)
def test_cifar10_in_its_own_format(tmp_path: Path, dump) -> None:
    images, labels = write_cifar10(tmp_path, 2, dump)
    data = load("cifar10", tmp_path)
    np.testing.assert_array_equal(data.train_features * 255, images[:10])
    np.testing.assert_array_equal(data.test_features * 255, images[10:])
    np.testing.assert_array_equal(np.concatenate([data.train_labels, data.test_labels]), labels)
    assert data.description == "CIFAR-10 with its own split, first 10 rows train, last 2 test, pixels / 255"


def test_the_hand_made_pickle_is_what_python_reads() -> None:
    """The hand-assembled file is a true pickle: the standard reader, trusted here, finds the same."""
    image = pixels(1)
    raw = python2_pickle({b"data": image, b"labels": [3]})
    assert list(pickletools.genops(raw))[-1][0].name == "STOP"
    content = pickle.loads(raw.replace(b"numpy.core", b"numpy._core"), encoding="bytes")
    np.testing.assert_array_equal(content[b"data"], image)
    assert content[b"labels"] == [3]


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    for name, label in (("train", 99), ("test", 7)):
        batch = {b"data": pixels(1), b"fine_labels": [label], b"coarse_labels": [1]}
        (tmp_path / name).write_bytes(python2_pickle(batch))
    data = load("cifar100", tmp_path)
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([99], [7])


class Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def bad_batches(target: Path) -> dict[str, tuple[object, str]]:
    image = pixels(2)
    return {
        "code in place of data": ({b"data": Malicious(target), b"labels": [0, 1]}, r"it names (posix|nt)\.mkdir"),
        "code beside the data": ({b"data": image, b"labels": [0, 1], b"x": Malicious(target)}, r"it names (posix|nt)"),
        "a builtin": ({b"data": image, b"labels": [0, 1], b"x": print}, r"it names (__builtin__|builtins)\.print"),
        "objects": ({b"data": np.array([[object()]]), b"labels": [0]}, r"it names|must be an array of whole"),
        "numpy's own load": ({b"data": image, b"x": np.load}, "it names numpy"),
        "no labels": ({b"data": image}, "must hold 'data' and 'labels'"),
        "a list": ([1, 2], "holds a list: must be a dictionary"),
        "floats": ({b"data": image.astype(float), b"labels": [0, 1]}, "items of type 'f8'"),
        "wrong width": ({b"data": image[:, :5], b"labels": [0, 1]}, r"shape \(2, 5\)"),
        "no array": ({b"data": [1, 2], b"labels": [0, 1]}, "'data' must be an array"),
        "a label too many": ({b"data": image, b"labels": [0, 1, 2]}, "must hold 2 whole labels"),
        "label 10": ({b"data": image, b"labels": [0, 10]}, "labels from 0 to 9"),
        "a label of text": ({b"data": image, b"labels": [0, "1"]}, "whole labels"),
    }


@pytest.mark.parametrize("case", bad_batches(Path()))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_cifar_refuses_and_runs_nothing(tmp_path: Path, case: str, protocol: int) -> None:
    write_cifar10(tmp_path)
    target = tmp_path / "made-by-the-file"
    content, rule = bad_batches(target)[case]
    (tmp_path / "data_batch_3").write_bytes(pickle.dumps(content, protocol=protocol))
    with pytest.raises(ValueError, match=rf"data_batch_3: .*{rule}"):
        read_cifar(tmp_path)
    assert not target.exists()


def test_the_malicious_pickle_works_elsewhere(tmp_path: Path) -> None:
    """The standard reader does run it: the refusals above are refusals of something real."""
    target = tmp_path / "made-by-the-file"
    pickle.loads(pickle.dumps({b"data": Malicious(target)}))
    assert target.is_dir()


@pytest.mark.parametrize("damage", ["cut", "shape", "codec", "persistent", "extension", "type"])
def test_cifar_refuses_tampered_streams(tmp_path: Path, damage: str) -> None:
    write_cifar10(tmp_path)
    raw = python2_pickle({b"data": pixels(2), b"labels": [0, 1]})
    raw = {
        "cut": raw[:-50],
        "shape": raw.replace(b"J\2\0\0\0", b"J\3\0\0\0"),
        "codec": b"\x80\2c_codecs\nencode\n(X\1\0\0\0aX\4\0\0\0bz2_tR.",
        "persistent": b"\x80\2X\1\0\0\0aQ.",
        "extension": b"\x80\2\x82\1.",
        "type": raw.replace(b"U\2u1", b"U\2O8"),
    }[damage]
    (tmp_path / "test_batch").write_bytes(raw)
    with pytest.raises(ValueError, match="test_batch: "):
        read_cifar(tmp_path)


@pytest.mark.parametrize(("codec", "read"), [(b"latin1", True), (b"utf-8", False), (b"bz2", False)])
def test_only_the_codec_that_pickles_need_is_let_in(tmp_path: Path, codec: bytes, read: bool) -> None:
    write_cifar10(tmp_path)
    good = python2_pickle({b"data": pixels(2), b"labels": [0, 1]})
    extra = b"U\1xc_codecs\nencode\n(X\1\0\0\0aX" + len(codec).to_bytes(4, "little") + codec + b"tR"
    assert good.endswith(b"u.")
    (tmp_path / "test_batch").write_bytes(good[:-2] + extra + b"u.")
    if read:
        assert len(read_cifar(tmp_path)[1][0]) == 2
    else:
        with pytest.raises(ValueError, match="must be text and 'latin1'"):
            read_cifar(tmp_path)


def test_cifar_names_what_is_missing(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    (tmp_path / "data_batch_2").unlink()
    with pytest.raises(ValueError, match=r"must hold data_batch_2 \(cifar10"):
        load("cifar10", tmp_path)
    with pytest.raises(ValueError, match="must hold train, test"):
        load("cifar100", tmp_path)
    with pytest.raises(ValueError, match="data_dir = None: 'cifar10' needs the folder"):
        load("cifar10")
    with pytest.raises(ValueError, match="kind = 'cifar'"):
        read_cifar(tmp_path, "cifar")


def write_svhn(folder: Path, name: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (
        RNG.integers(0, 256, (32, 32, 3, rows), dtype=np.uint8),
        RNG.integers(1, 11, (rows, 1), dtype=np.uint8),
    )
    scipy.io.savemat(folder / f"{name}_32x32.mat", {"X": images, "y": labels}, do_compression=True)
    return images, labels.ravel() % 10


def test_svhn_in_its_own_format(tmp_path: Path) -> None:
    images, labels = write_svhn(tmp_path, "train", 11)
    _, test_labels = write_svhn(tmp_path, "test", 1)
    data = load("svhn", tmp_path)
    assert data.train_features.shape == (11, 3072)
    # red, green, blue; then rows; then columns
    assert data.train_features[7, 2 * 1024 + 5 * 32 + 9] * 255 == images[5, 9, 2, 7]
    np.testing.assert_array_equal(data.train_labels, labels)
    np.testing.assert_array_equal(data.test_labels, test_labels)
    _, more = write_svhn(tmp_path, "extra", 4)
    (with_extra, all_labels), _ = read_svhn(tmp_path, extra=True)
    assert with_extra.shape == (15, 3072)
    np.testing.assert_array_equal(all_labels[11:], more)


def test_svhn_refuses(tmp_path: Path) -> None:
    write_svhn(tmp_path, "train", 2)
    with pytest.raises(ValueError, match=r"must hold test_32x32\.mat"):
        load("svhn", tmp_path)
    path = tmp_path / "test_32x32.mat"
    good = np.zeros((32, 32, 3, 2), np.uint8)
    for content, rule in (
        ({"y": np.ones((2, 1))}, "'X' has shape None"),
        ({"X": good[..., 0], "y": np.ones((2, 1))}, r"'X' has shape \(32, 32, 3\)"),
        ({"X": good, "y": np.ones((3, 1))}, "must hold 2 whole labels"),
        ({"X": good, "y": np.zeros((2, 1))}, "labels 1 to 10"),
        ({"X": good, "y": np.full((2, 1), np.nan)}, "labels 1 to 10"),
        ({"X": good.astype(float), "y": np.ones((2, 1))}, "images are float64"),
    ):
        scipy.io.savemat(path, content)
        with pytest.raises(ValueError, match=rf"test_32x32\.mat: .*{rule}"):
            load("svhn", tmp_path)
    path.write_bytes(b"not a MATLAB file" * 20)
    with pytest.raises(ValueError, match="must be an undamaged MATLAB 5 file"):
        load("svhn", tmp_path)
