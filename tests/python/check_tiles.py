"""Compares delivered tiles with Pillow's: check_tiles.py SPATIAL_DATASET REPLAYED_DATASET

Every image that the first dataset cut into tiles was delivered whole by the second, whose bytes Pillow opens, pads with
white, crops and encodes with the same quality. Pillow, too, takes the channels of a JPEG without making RGB of them: an image
is encoded with its colours, not with what two conversions leave of them. Both JPEGs are decoded by Pillow and compared.
Prints the largest difference of any pixel of any tile, in levels of 255, and for overviews, which both scaled, the
largest mean difference of one of them.
"""

import io
import json
import sys
import tarfile
from pathlib import Path

from PIL import Image, ImageChops, ImageStat

EDGE = 336


def samples(dataset: str) -> dict:
    found = {}
    for shard in sorted(Path(dataset).glob("webdataset/*/*.tar")):
        with tarfile.open(shard) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}
        for name in [name for name in members if name.endswith(".json")]:
            record = json.loads(members[name])
            record["bytes"] = [members[f"{record['id']}.{image}"] for image in record["images"]]
            found[record["id"]] = record
    return found


def opened(data: bytes) -> Image.Image:
    """The image in YCbCr, as the JPEG has it, or in RGB."""
    image = Image.open(io.BytesIO(data))
    if image.format == "JPEG" and image.getexif().get(0x0112, 1) == 1:
        image.draft("YCbCr", image.size)
    return image if image.mode == "YCbCr" else image.convert("RGB")


def expected_tiles(whole: Image.Image) -> list:
    columns, rows = -(-whole.width // EDGE), -(-whole.height // EDGE)
    white = (255, 128, 128) if whole.mode == "YCbCr" else (255, 255, 255)
    padded = Image.new(whole.mode, (columns * EDGE, rows * EDGE), white)
    padded.paste(whole, ((padded.width - whole.width) // 2, (padded.height - whole.height) // 2))
    boxes = [(x * EDGE, y * EDGE, (x + 1) * EDGE, (y + 1) * EDGE) for y in range(rows) for x in range(columns)]
    return [padded.crop(box) for box in boxes]


def encoded(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90, subsampling="4:2:0")
    return Image.open(buffer)


def main() -> None:
    replayed = samples(sys.argv[2])
    num_tiles = num_ycbcr = largest = 0
    overviews = 0.0
    for sample in samples(sys.argv[1]).values():
        for visual in sample["visuals"]:
            if visual["kind"] != "tiled":
                continue
            original = replayed[sample["upstream_id"]]
            whole = opened(original["bytes"][0])
            num_ycbcr += whole.mode == "YCbCr"
            tiles = expected_tiles(whole)
            grid = visual["grid"]
            assert grid["rows"] * grid["columns"] == len(tiles) == visual["num_images"] - 1, sample["id"]
            first = visual["first_image"]
            overview = Image.open(io.BytesIO(sample["bytes"][first]))
            scaled = encoded(whole.resize(overview.size, Image.BICUBIC))
            overviews = max(overviews, *ImageStat.Stat(ImageChops.difference(scaled, overview)).mean)
            delivered = sample["bytes"][first + 1 : first + 1 + len(tiles)]
            for tile, data in zip(tiles, delivered, strict=True):
                difference = ImageChops.difference(encoded(tile), Image.open(io.BytesIO(data)))
                largest = max(largest, *(high for _, high in difference.getextrema()))
                num_tiles += 1
    found = {"num_tiles": num_tiles, "num_ycbcr": num_ycbcr, "largest_difference": largest}
    print(json.dumps(found | {"largest_mean_difference_of_overviews": overviews}))


main()
