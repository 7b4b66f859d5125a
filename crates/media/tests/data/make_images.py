#!/usr/bin/env python3
"""Makes the image fixtures of this directory, and what Pillow decodes from them.

Usage: python3 make_images.py images/      (needs Pillow; the committed files were made with Pillow 13.0.0)

For every fixture NAME there is NAME.rgb, the 8-bit RGB pixels as they are shown: orientation applied, the first frame
of an animation, transparent pixels on white. `index.tsv` lists name, width, height, orientation, whether it is
animated, and whether it may be delivered as it is.
"""

import io
import pathlib
import struct
import sys

from PIL import Image, ImageDraw, ImageOps

SIZE = (24, 16)


def picture(mode="RGB"):
    """A gradient with a circle and a line: no symmetry, so that every orientation looks different."""
    image = Image.new("RGB", SIZE)
    image.putdata([(x * 10, y * 15, (x * 7 + y * 11) % 256) for y in range(SIZE[1]) for x in range(SIZE[0])])
    draw = ImageDraw.Draw(image)
    draw.ellipse((3, 2, 10, 9), fill=(250, 240, 20))
    draw.line((12, 14, 23, 9), fill=(10, 20, 200), width=2)
    if mode in ("RGBA", "LA"):
        image = image.convert("RGBA" if mode == "RGBA" else "L").convert(mode)
        image.putalpha(Image.linear_gradient("L").resize(SIZE))
        return image
    return image.convert(mode)


def saved(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def jpeg_segment_after_start(jpeg, marker, payload):
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def without_segment(jpeg, marker):
    position = 2
    while jpeg[position + 1] != marker:
        position += 2 + struct.unpack(">H", jpeg[position + 2 : position + 4])[0]
    length = 2 + struct.unpack(">H", jpeg[position + 2 : position + 4])[0]
    return jpeg[:position] + jpeg[position + length :]


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def sixteen_bit_gray():
    image = Image.new("I;16", SIZE)
    image.putdata([(x * 2700 + y * 137) % 65536 for y in range(SIZE[1]) for x in range(SIZE[0])])
    return image


def fixtures():
    rgb, other = picture(), ImageOps.invert(picture())
    yield "baseline.jpg", saved(rgb, "JPEG", quality=92)
    yield "subsampled_444.jpg", saved(rgb, "JPEG", quality=92, subsampling=0)
    yield "subsampled_422.jpg", saved(rgb, "JPEG", quality=92, subsampling=1)
    yield "progressive.jpg", saved(rgb, "JPEG", quality=92, progressive=True)
    yield "restarts.jpg", saved(rgb, "JPEG", quality=92, restart_marker_blocks=1)
    yield "gray.jpg", saved(picture("L"), "JPEG", quality=92)
    yield "rgb.jpg", saved(rgb, "JPEG", quality=92, keep_rgb=True)
    cmyk = saved(picture("CMYK"), "JPEG", quality=95)
    yield "cmyk_adobe.jpg", cmyk
    yield "cmyk.jpg", without_segment(cmyk, 0xEE)
    for orientation in range(1, 9):
        yield f"orientation_{orientation}.jpg", saved(rgb, "JPEG", quality=92, exif=exif(orientation))
    plain = saved(rgb, "JPEG", quality=92)
    yield "exif_corrupt.jpg", jpeg_segment_after_start(plain, 0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    yield "trailing_garbage.jpg", plain + b"\0\xff\xd8 garbage" * 9
    yield "mpo.jpg", saved(rgb, "MPO", quality=92, save_all=True, append_images=[other])
    yield "rgb.png", saved(rgb, "PNG")
    yield "palette_4_bit.png", saved(rgb.quantize(16), "PNG", bits=4)
    yield "gray.png", saved(picture("L"), "PNG")
    yield "bilevel.png", saved(picture("1"), "PNG")
    yield "palette.png", saved(rgb.quantize(64), "PNG")
    yield "palette_transparent.png", saved(rgb.quantize(64), "PNG", transparency=bytes(range(0, 256, 4)))
    yield "rgba.png", saved(picture("RGBA"), "PNG")
    yield "gray_alpha.png", saved(picture("LA"), "PNG")
    yield "rgb_color_key.png", saved(rgb, "PNG", transparency=(250, 240, 20))
    yield "gray_16_bit.png", saved(sixteen_bit_gray(), "PNG")
    yield "orientation_6.png", saved(rgb, "PNG", exif=exif(6))
    yield "animated.png", saved(rgb, "PNG", save_all=True, append_images=[other])
    yield "lossy.webp", saved(rgb, "WEBP", quality=90)
    yield "lossless.webp", saved(rgb, "WEBP", lossless=True)
    yield "lossy_alpha.webp", saved(picture("RGBA"), "WEBP", quality=90)
    yield "lossless_alpha.webp", saved(picture("RGBA"), "WEBP", lossless=True)
    yield "orientation_8.webp", saved(rgb, "WEBP", lossless=True, exif=exif(8))
    yield "animated.webp", saved(rgb, "WEBP", lossless=True, save_all=True, append_images=[other], duration=100)
    yield "still.gif", saved(rgb.quantize(64), "GIF")
    yield "transparent.gif", saved(rgb.quantize(64), "GIF", transparency=3)
    yield "animated.gif", saved(rgb, "GIF", save_all=True, append_images=[other], duration=40)
    yield "rgb.bmp", saved(rgb, "BMP")
    yield "palette.bmp", saved(rgb.quantize(64), "BMP")
    yield "rgb.tif", saved(rgb, "TIFF")
    yield "lzw.tif", saved(rgb, "TIFF", compression="tiff_lzw")
    yield "deflate.tif", saved(picture("L"), "TIFF", compression="tiff_adobe_deflate")
    yield "rgba.tif", saved(picture("RGBA"), "TIFF")
    yield "cmyk.tif", saved(picture("CMYK"), "TIFF")
    yield "orientation_3.tif", saved(rgb, "TIFF", tiffinfo={0x0112: 3})


def shown(data):
    """The pixels as Pillow shows them; only 16-bit gray, which Pillow clips, is scaled here."""
    image = Image.open(io.BytesIO(data))
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        levels = Image.new("L", image.size)
        levels.putdata([(level + 128) // 257 for level in image.get_flattened_data()])
        image = levels
    if image.mode in ("RGBA", "LA") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")


def description(name, data):
    image = Image.open(io.BytesIO(data))
    orientation = image.getexif().get(0x0112, 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    # An MPO is not an animation, and its first image is an ordinary JPEG.
    animated = getattr(image, "is_animated", False) and image.format != "MPO"
    plain = (
        image.format in ("JPEG", "MPO", "PNG", "WEBP")
        and image.mode in ("RGB", "L", "P", "1")
        and "transparency" not in image.info
        and name not in ("rgb.jpg", "gray_16_bit.png")
    )
    return orientation, int(animated), int(plain and not animated and orientation == 1)


def main(folder):
    folder.mkdir(exist_ok=True)
    lines = []
    for name, data in fixtures():
        image = shown(data)
        (folder / name).write_bytes(data)
        (folder / f"{name}.rgb").write_bytes(image.tobytes())
        lines.append("\t".join(map(str, (name, *image.size, *description(name, data)))))
    (folder / "index.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
