#!/usr/bin/env python3
"""Compares tiles that were cut without loss with their photographs, as Pillow decodes both: lossless_tiles.py TILES [PHOTO…]

TILES is the program of `crates/media/examples/tiles.rs`. JPEGs of many sizes and codings are made here; PHOTOs are compared, too.
Of every block that is wholly inside of the image, brightness is equal everywhere; colours are equal where no sample of
another tile, or of a block that the border crosses, takes part in their interpolation.
"""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from PIL import Image

EDGE = 336


def decoded(path: Path) -> numpy.ndarray:
    """Brightness and both colours as libjpeg decodes them, colours interpolated."""
    with Image.open(path) as image:
        if image.mode == "L":
            return numpy.asarray(image)[..., None]
        image.draft("YCbCr", image.size)
        assert image.mode == "YCbCr"
        return numpy.asarray(image)


def unit_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        layers = image.layer
        return (8, 8) if len(layers) == 1 else (8 * max(h for _, h, _, _ in layers), 8 * max(v for _, _, v, _ in layers))


def make(folder: Path) -> None:
    order = random.Random(7)
    noise = numpy.random.default_rng(7)
    for number in range(60):
        width, height = order.randint(1, 900), order.randint(5, 700)
        smooth = Image.fromarray(noise.integers(0, 256, (12, 12, 3), dtype=numpy.uint8)).resize((width, height), Image.BICUBIC)
        grain = numpy.asarray(smooth).astype(int) + noise.integers(-12, 13, (height, width, 3))
        image = Image.fromarray(grain.clip(0, 255).astype(numpy.uint8))
        options = {"quality": order.choice([20, 75, 90, 100]), "optimize": order.random() < 0.3, "progressive": order.random() < 0.3}
        if order.random() < 0.4:
            options["restart_marker_blocks"] = order.choice([1, 3, 40])
        if number % 5 == 4:
            image = image.convert("L")
        else:
            options["subsampling"] = number % 3
        image.save(folder / f"made{number:03}.jpg", **options)


def compare(photo: Path, tiles: list[Path]) -> tuple[int, int]:
    """Numbers of samples compared and different."""
    columns, rows, left, top = map(int, tiles[0].name.split(".")[2].replace("x", "+").split("+"))
    assert len(tiles) == 1 + columns * rows, photo
    whole = decoded(photo)
    height, width, channels = whole.shape
    across, down = unit_of(photo)
    unit_width, unit_height = width // across * across, height // down * down
    num_compared = num_different = 0
    for number, tile in enumerate(tiles[1:]):
        part = decoded(tile)
        assert part.shape == (EDGE, EDGE, channels), tile
        x, y = number % columns * EDGE - left, number // columns * EDGE - top
        for channel in range(channels):
            margin_x, margin_y = (1 if channel and across > 8 else 0), (1 if channel and down > 8 else 0)
            x0, y0 = max(x + margin_x, 0), max(y + margin_y, 0)
            x1 = min(x + EDGE - margin_x, unit_width - margin_x if unit_width < width else width)
            y1 = min(y + EDGE - margin_y, unit_height - margin_y if unit_height < height else height)
            # Beside the padding, a colour is interpolated with white.
            x0, y0 = x0 + (margin_x if x < 0 else 0), y0 + (margin_y if y < 0 else 0)
            x1, y1 = x1 - (margin_x if x1 == width else 0), y1 - (margin_y if y1 == height else 0)
            if x1 > x0 and y1 > y0:
                different = whole[y0:y1, x0:x1, channel] != part[y0 - y : y1 - y, x0 - x : x1 - x, channel]
                num_compared, num_different = num_compared + different.size, num_different + int(different.sum())
    return num_compared, num_different


def main() -> None:
    program, photos = sys.argv[1], [Path(path) for path in sys.argv[2:]]
    with tempfile.TemporaryDirectory() as scratch:
        made, out = Path(scratch) / "made", Path(scratch) / "out"
        made.mkdir()
        out.mkdir()
        make(made)
        for number, photo in enumerate(photos):
            (made / f"photo{number:04}.jpg").write_bytes(photo.read_bytes())
        subprocess.run([program, made, out, "lossless"], check=True)
        num_compared = num_different = 0
        for photo in sorted(made.glob("*.jpg")):
            tiles = sorted(out.glob(f"{photo.stem}.*"), key=lambda path: int(path.name.split(".")[1]))
            compared, different = compare(photo, tiles)
            if different:
                print(f"{photo.name}: {different} of {compared} samples differ")
            num_compared, num_different = num_compared + compared, num_different + different
    print(f"{num_compared} samples compared, {num_different} differ")
    sys.exit(1 if num_different or not num_compared else 0)


main()
