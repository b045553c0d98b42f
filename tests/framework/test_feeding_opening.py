"""Data as users have it: opened, in the model's order and dtype; what is wrong is one line."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgeprune.errors import DataError
from edgeprune.feeding import check_fits, open_data
from edgeprune.feeding.places import locate, peek
from edgeprune.recipes import DataSource


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, activation="softmax", name="out")]
    )


@pytest.fixture(scope="module")
def two_ports() -> keras.Model:
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b", dtype="int32")
    joined = keras.layers.Concatenate()([a, keras.ops.cast(b, "float32")])
    outputs = [
        keras.layers.Dense(3, name="kind")(joined),
        keras.layers.Dense(1, name="size")(joined),
    ]
    return keras.Model([a, b], outputs)


def xy(examples: int = 10) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(examples, 4)), random.integers(0, 3, examples)


def opened(path: str, base: Path, model: keras.Model, role: str = "train", **given: object):
    dataset = open_data(DataSource(path=path, **given), role=role, base=base, model=model)
    check_fits(dataset, model, role=role)
    return dataset


def whole(dataset, size: int = 4):
    batches = list(dataset.batches(size))
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))


def test_npz_x_y_is_cast_and_stable(tmp_path: Path, classifier: keras.Model) -> None:
    x, y = xy()
    np.savez(tmp_path / "d.npz", x=x, y=y)
    np.savez_compressed(tmp_path / "e.npz", x=x, y=y, other=np.ones(3))
    dataset = opened("d.npz", tmp_path, classifier)
    found_x, found_y = whole(dataset)
    assert found_x.dtype == np.float32 and np.allclose(found_x, x)
    assert found_y.dtype.kind == "i" and (found_y == y).all()
    # The digest is of the content, not of the archive around it.
    assert dataset.digest == opened("e.npz", tmp_path, classifier).digest
    np.savez(tmp_path / "f.npz", x=x[::-1], y=y[::-1])
    assert dataset.digest != opened("f.npz", tmp_path, classifier).digest


def test_npz_scale_turns_bytes_into_shares(tmp_path: Path, classifier: keras.Model) -> None:
    x = np.array([[0, 51, 102, 255]], np.uint8)
    np.savez(tmp_path / "d.npz", x=x, y=np.array([1]))
    found, _ = whole(opened("d.npz", tmp_path, classifier, scale=1 / 255, offset=-0.5))
    assert np.allclose(found, x / 255 - 0.5, atol=1e-6)


def test_npz_arrays_named_after_the_model(tmp_path: Path, two_ports: keras.Model) -> None:
    x, _ = xy()
    np.savez(
        tmp_path / "d.npz",
        size=x[:, :1],
        kind=np.arange(10) % 3,
        b=np.ones((10, 2), np.int64),
        a=x,
    )
    (batch,) = opened("d.npz", tmp_path, two_ports).batches(16)
    (a, b), (kind, size) = batch
    assert a.shape == (10, 4) and b.dtype == np.int32
    assert kind.shape == (10,) and size.shape == (10, 1)


def test_npz_customary_names_go_by_role(tmp_path: Path, classifier: keras.Model) -> None:
    x, y = xy()
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:3] + 1, y_test=y[:3])
    assert opened("d.npz", tmp_path, classifier).examples == 10
    assert opened("d.npz", tmp_path, classifier, role="evaluate").examples == 3
    assert opened("d.npz", tmp_path, classifier, examples=7).examples == 7


def test_reconstruction_has_its_inputs_as_targets(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    np.savez(tmp_path / "d.npz", signal=np.full((6, 4), 10, np.uint8))
    for y in ("x", "signal"):
        found_x, found_y = whole(opened("d.npz", tmp_path, model, x="signal", y=y, scale=0.1))
        assert np.allclose(found_x, 1) and (found_x == found_y).all()


@pytest.mark.parametrize(
    "loss", ["categorical_crossentropy", keras.losses.CategoricalCrossentropy()]
)
def test_whole_number_labels_for_a_one_hot_loss(
    tmp_path: Path, classifier: keras.Model, loss: object
) -> None:
    x, y = xy()
    np.savez(tmp_path / "d.npz", x=x, y=y)
    source = DataSource(path="d.npz")
    dataset = open_data(source, role="train", base=tmp_path, model=classifier, loss=loss)
    check_fits(dataset, classifier, role="train")
    _, found = whole(dataset)
    assert (found == np.eye(3)[y]).all() and found.dtype == np.float32


FAULTS = {
    "a name near": (
        {"x": np.ones((2, 4)), "y": np.zeros(2, int)},
        {"y": "yy"},
        "no array 'yy'; did you mean 'y'?",
    ),
    "no inputs": ({"q": np.ones((2, 4))}, {}, "no array for the inputs"),
    "no targets": ({"x": np.ones((2, 4))}, {}, "no array for the targets"),
    "shape": (
        {"x": np.ones((2, 5)), "y": np.zeros(2, int)},
        {},
        "array 'x' is (n, 5), input",
    ),
    "reshape": (
        {"x": np.ones((2, 2, 2)), "y": np.zeros(2, int)},
        {},
        "reshape it: x.reshape(-1, 4)",
    ),
    "targets": ({"x": np.ones((2, 4)), "y": np.ones((2, 7))}, {}, "is (n, 7), output 'out'"),
    "label": (
        {"x": np.ones((3, 4)), "y": np.array([0, 1, 3])},
        {},
        "'y' is 3 at [2]; output 'out' has the classes 0 … 2",
    ),
    "negative label": ({"x": np.ones((2, 4)), "y": np.array([0, -1])}, {}, "is -1 at [1]"),
    "half a label": ({"x": np.ones((2, 4)), "y": np.array([0, 1.5])}, {}, "is 1.5 at [1]"),
    "length": ({"x": np.ones((3, 4)), "y": np.zeros(2, int)}, {}, "has 2 examples, 'x' has 3"),
    "empty": ({"x": np.ones((0, 4)), "y": np.zeros(0, int)}, {}, "holds no example"),
    "text": ({"x": np.array([["a"] * 4] * 2), "y": np.zeros(2, int)}, {}, "holds text"),
    "nan": (
        {"x": np.array([[1, 2, 3, 4], [1, np.nan, 3, 4]]), "y": np.zeros(2, int)},
        {},
        "'x' is nan at [1, 1]",
    ),
    "too large for float32": (
        {"x": np.array([[1, 2, 1e300, 4]]), "y": np.zeros(1, int)},
        {},
        "'x' is 1e+300 at [0, 2]",
    ),
    "inf": (
        {"x": np.array([[1, 2, 3, np.inf]]), "y": np.zeros(1, int)},
        {},
        "'x' is inf at [0, 3]",
    ),
}


@pytest.mark.parametrize("fault", FAULTS, ids=FAULTS)
def test_faulty_npz_is_one_line(tmp_path: Path, classifier: keras.Model, fault: str) -> None:
    arrays, given, expected = FAULTS[fault]
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(DataError) as caught:
        opened("d.npz", tmp_path, classifier, **given)
    assert expected in str(caught.value)
    assert "d.npz" in str(caught.value) and "\n" not in str(caught.value)


class Bomb:
    def __reduce__(self):  # what a pickle would run if it were loaded
        return (sys.exit, (99,))


def test_pickled_objects_are_refused_never_loaded(tmp_path: Path, classifier: keras.Model) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([Bomb()], object), y=np.zeros(1, int))
    with pytest.raises(DataError, match="pickled Python objects, which are never loaded"):
        opened("d.npz", tmp_path, classifier)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated_npz(tmp_path: Path, classifier: keras.Model, share: float) -> None:
    x, y = xy(500)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    content = (tmp_path / "d.npz").read_bytes()
    (tmp_path / "d.npz").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"d\.npz: truncated, or no \.npz"):
        opened("d.npz", tmp_path, classifier)


def test_damaged_values_in_an_npz(tmp_path: Path, classifier: keras.Model) -> None:
    x, y = xy(500)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    content = bytearray((tmp_path / "d.npz").read_bytes())
    content[4000] ^= 0xFF
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(DataError, match="truncated, or no"):
        opened("d.npz", tmp_path, classifier)


def test_other_files_are_refused(tmp_path: Path, classifier: keras.Model) -> None:
    np.save(tmp_path / "d.npy", np.ones(3))
    for path, said in (("d.npy", "numpy.savez"), ("no.npz", "no such file")):
        with pytest.raises(DataError, match=said):
            opened(path, tmp_path, classifier)


def test_peek_reads_no_values(tmp_path: Path, classifier: keras.Model) -> None:
    np.savez(tmp_path / "d.npz", x=np.full((2, 4), np.nan), y=np.zeros(2, int))
    place = locate(DataSource(path="d.npz"), tmp_path)
    assert peek(place, "evaluate", classifier)[1:] == ("x",)
    np.savez(tmp_path / "d.npz", x=np.ones((2, 9)), y=np.zeros(2, int))
    with pytest.raises(DataError, match=r"'x' is \(n, 9\)"):
        peek(place, "evaluate", classifier)


# -- images -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def imager() -> keras.Model:
    return keras.Sequential(
        [keras.Input((6, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, name="out")]
    )


def folder_of_images(base: Path) -> Path:
    random = np.random.default_rng(0)
    for name, count in (("dog", 3), ("cat", 2)):
        (base / "set" / name).mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(base / "set" / name / f"{number}.png")
    (base / "set" / "dog" / "notes.txt").write_text("not an image")
    (base / "set" / ".hidden").mkdir()
    return base / "set"


def test_folder_of_images(tmp_path: Path, imager: keras.Model) -> None:
    folder = folder_of_images(tmp_path)
    dataset = opened("set", tmp_path, imager, scale=1 / 255)
    assert dataset.classes == ("cat", "dog") and dataset.examples == 5
    x, y = whole(dataset, 2)
    assert y.tolist() == [0, 0, 1, 1, 1] and x.dtype == np.float32
    with Image.open(folder / "cat" / "0.png") as image:
        assert np.allclose(x[0], np.asarray(image) / 255, atol=1e-6)
    listed = open_data(
        DataSource(path="set", scale=1),
        role="train",
        base=tmp_path,
        model=imager,
        classes=("dog", "cat"),
    )
    assert listed.classes == ("dog", "cat") and whole(listed)[1].tolist() == [0, 0, 0, 1, 1]
    assert listed.digest != dataset.digest
    Image.new("RGB", (8, 6)).save(folder / "cat" / "1.png")
    assert opened("set", tmp_path, imager, scale=1 / 255).digest != dataset.digest


def test_images_are_resized_and_coloured(tmp_path: Path) -> None:
    folder_of_images(tmp_path)
    Image.fromarray(np.full((5, 5), 65535, np.uint16)).save(tmp_path / "set" / "cat" / "deep.png")
    grey = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    x, _ = whole(opened("set", tmp_path, grey, scale=1.0))
    assert x.shape == (6, 4, 4, 1) and x.max() <= 255
    assert (x[2] == 255).all(), "sixteen-bit white is white"
    free = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(2)]
    )
    with pytest.raises(DataError, match=r"size = \[height, width\]"):
        opened("set", tmp_path, free, scale=1.0)
    assert whole(opened("set", tmp_path, free, scale=1.0, size=(3, 5)))[0].shape == (6, 3, 5, 3)


def test_image_limit_takes_of_every_class(tmp_path: Path, imager: keras.Model) -> None:
    folder_of_images(tmp_path)
    assert whole(opened("set", tmp_path, imager, scale=1.0, examples=3))[1].tolist() == [0, 0, 1]


def test_faulty_image_folders(tmp_path: Path, imager: keras.Model) -> None:
    folder = folder_of_images(tmp_path)
    with pytest.raises(DataError, match="say how images are scaled"):
        opened("set", tmp_path, imager)
    with pytest.raises(DataError, match="no folder for class 'dogs'; did you mean 'dog'"):
        open_data(
            DataSource(path="set", scale=1),
            role="train",
            base=tmp_path,
            model=imager,
            classes=("cat", "dogs"),
        )
    content = (folder / "dog" / "1.png").read_bytes()
    (folder / "dog" / "1.png").write_bytes(content[:60])
    with pytest.raises(DataError, match=r"dog/1\.png: no image, or damaged"):
        whole(opened("set", tmp_path, imager, scale=1.0))
    (folder / "bird").mkdir()
    with pytest.raises(DataError, match=r"bird: no images"):
        opened("set", tmp_path, imager, scale=1.0)
    Image.new("RGB", (8, 6)).save(folder / "bird" / "0.png")
    with pytest.raises(DataError, match=r"3 classes .*but output 'out' has 2"):
        opened("set", tmp_path, imager, scale=1.0)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no folder of images by class"):
        opened("none", tmp_path, imager, scale=1.0)


# -- tf.data and functions --------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 3])
def test_saved_tf_data(tmp_path: Path, classifier: keras.Model, batch: int | None) -> None:
    x, y = xy()
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    (dataset if batch is None else dataset.batch(batch)).save(str(tmp_path / "saved"))
    found = opened("saved", tmp_path, classifier)
    assert found.examples == 10
    found_x, found_y = whole(found)
    assert found_x.dtype == np.float32 and np.allclose(found_x, x) and (found_y == y).all()
    assert opened("saved", tmp_path, classifier, examples=4).examples == 4


FUNCTIONS = """
import numpy as np
import tensorflow as tf
from pathlib import Path

x = np.arange(40, dtype="float64").reshape(10, 4)
y = np.arange(10) % 3

def pair(): return x, y
def batches(): return [(x[:6], y[:6]), (x[6:], y[6:])]
def generator():
    yield x[:6], y[:6]
    yield x[6:], y[6:]
def dataset(): return tf.data.Dataset.from_tensor_slices((x, y))
def weighted(): return x, y, np.ones(10)
def forever(): return dataset().repeat()
def broken(): raise RuntimeError("no\\nnetwork")
def nothing(): return None
def empty(): return []
def uneven(): return [(x[:6], y[:6]), (x[6:, :2], y[6:])]
"""


@pytest.mark.parametrize("name", ["pair", "batches", "generator", "dataset", "weighted"])
def test_functions(tmp_path: Path, classifier: keras.Model, name: str) -> None:
    (tmp_path / "mydata.py").write_text(FUNCTIONS)
    found = opened(f"mydata:{name}", tmp_path, classifier)
    assert found.examples == 10
    assert np.allclose(whole(found)[0], np.arange(40).reshape(10, 4))
    assert len(whole(found)) == (3 if name == "weighted" else 2)
    assert found.digest == opened(f"mydata:{name}", tmp_path, classifier).digest


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("forever", "repeats for ever"),
        ("broken", "fails with RuntimeError: no network"),
        ("nothing", "returned NoneType"),
        ("empty", "holds no example"),
        ("uneven", "batches differ in shape"),
        ("pairs", "did you mean 'pair'"),
    ],
)
def test_faulty_functions(tmp_path: Path, classifier: keras.Model, name: str, said: str) -> None:
    (tmp_path / "mydata.py").write_text(FUNCTIONS)
    with pytest.raises(DataError, match=said) as caught:
        opened(f"mydata:{name}", tmp_path, classifier)
    assert f"mydata:{name}" in str(caught.value) and "\n" not in str(caught.value)
