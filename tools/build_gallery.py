"""Builds the sample photographs:  python tools/build_gallery.py --downloads DIR --out assets/data/gallery

DIR holds scikit-image's wheel as `pip download --no-deps scikit-image==0.26.0` writes it for Python 3.11 on Linux
x86-64; another checksum stops the build. Needs pillow. The twelve photographs are those of the package whose free
licence is stated in its code. The captions are written by hand and stay.
"""

import argparse
import hashlib
import io
import os
import zipfile
from pathlib import Path

from PIL import Image

WHEEL = "scikit_image-0.26.0-*-manylinux*.whl"
SHA256 = "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af"
SIDE = 320  # pixels of the longer side
QUALITY = 85  # of the JPEG; the twelve take a quarter of a megabyte
FILES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "rocket.jpg",
)


def shrink(data: bytes) -> bytes:
    """A photograph as RGB JPEG whose longer side is SIDE pixels, without metadata."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return stream.getvalue()


def main() -> None:
    """Checks the wheel and writes the pictures, each aside and then renamed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--downloads", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = sorted(arguments.downloads.glob(WHEEL))
    if not found:
        raise SystemExit(
            f"{WHEEL} is not in {arguments.downloads}; get it with: pip download --no-deps scikit-image==0.26.0"
        )
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != SHA256:
        raise SystemExit(f"{found[0].name} has another sha256 than {SHA256}; nothing was built.")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(found[0]) as wheel:
        for name in FILES:
            path = arguments.out / Path(name).with_suffix(".jpg").name
            aside = path.with_name(f".{path.name}")
            aside.write_bytes(shrink(wheel.read(f"skimage/data/{name}")))
            os.replace(aside, path)


if __name__ == "__main__":
    main()
