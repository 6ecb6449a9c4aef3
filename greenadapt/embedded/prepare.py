"""Make the images that ship with the package, out of the whole of Fashion-MNIST.

    python -m greenadapt.embedded.prepare FOLDER_WITH_IDX_FILES

Source of the images: Xiao, Rasul, Vollgraf, "Fashion-MNIST", arXiv 1708.07747; MIT licence, Zalando SE.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from greenadapt.data import open_data
from greenadapt.data.arrays import ImageArrays
from greenadapt.data.idx import encode_idx
from greenadapt.errors import DataError, GreenadaptError

__all__ = ["main", "prepare"]

_LICENCE = """\
The images and labels in this folder are the first {count} of the test set of Fashion-MNIST
(https://github.com/zalandoresearch/fashion-mnist), unchanged.

The MIT License (MIT)

Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def prepare(source: Path, out: Path, count: int = 2000) -> list[Path]:
    """Write the first test images, their labels and the licence.

    Args:
        source: Folder with the idx files of Fashion-MNIST.
        out: Folder to write to; made if missing.
        count: How many images.

    Returns:
        The files written; running it again writes the same bytes.

    Raises:
        DataError: The source has no such images, or too few.
    """
    data = open_data(source, split="test", limit=count)
    if not isinstance(data, ImageArrays) or len(data) < count:
        seen = f"{source}: {len(data)} images"
        raise DataError(
            f"There are no {count} test images in idx files.", seen, "Give the folder of Fashion-MNIST."
        )
    contents = {
        "t10k-images-idx3-ubyte.gz": encode_idx(data.pixels[:, 0].numpy()),
        "t10k-labels-idx1-ubyte.gz": encode_idx(data.labels.byte().numpy()),
        "LICENSE": _LICENCE.format(count=f"{count:,}").encode(),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        unfinished = out / f".{name}.{os.getpid()}"
        unfinished.write_bytes(content)
        unfinished.replace(out / name)
    return [out / name for name in contents]


def main(argv: list[str] | None = None) -> int:
    """Run as a command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m greenadapt.embedded.prepare", description=__doc__.split("\n")[0]
    )
    parser.add_argument("source", type=Path, help="folder with the idx files of Fashion-MNIST")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "fashion-mnist-2000")
    options = parser.parse_args(argv)
    try:
        written = prepare(options.source, options.out)
    except GreenadaptError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for file in written:
        sys.stdout.write(f"{file} ({file.stat().st_size:,} bytes)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
