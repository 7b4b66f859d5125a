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
import zlib

from PIL import Image, ImageCms, ImageDraw, ImageEnhance, ImageOps

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


def tiff(tags, data, big=False):
    """A TIFF of one strip or of tiles: tags by number, offsets relative to the data."""
    count, offset, start = ("<Q", "<Q", 16) if big else ("<H", "<I", 8)
    size = struct.calcsize(offset)
    tags = dict(tags) if 324 in tags else {273: [0], 279: [len(data)], **tags}
    types = {1: "B", 3: "H", 4: "I", 7: "B"}
    kinds = {320: 3, 347: 7, 530: 3}
    directory_bytes = struct.calcsize(count) + len(tags) * (4 + 2 * size) + size
    values_bytes = sum(len(values) * struct.calcsize(types[kinds.get(tag, 4)]) + 1 & ~1 for tag, values in tags.items())
    directory, values = struct.pack(count, len(tags)), b""
    for tag, numbers in sorted(tags.items()):
        if tag in (273, 324):
            numbers = [start + directory_bytes + values_bytes + number for number in numbers]
        kind = kinds.get(tag, 4)
        value = struct.pack(f"<{len(numbers)}{types[kind]}", *numbers)
        directory += struct.pack("<HH", tag, kind) + struct.pack(offset, len(numbers))
        if len(value) <= size:
            directory += value.ljust(size, b"\0")
        else:
            directory += struct.pack(offset, start + directory_bytes + len(values))
            values += value + b"\0" * (len(value) % 2)
    header = b"II\x2b\0\x08\0\0\0" if big else b"II\x2a\0"
    file = header + struct.pack(offset, start) + directory + struct.pack(offset, 0)
    return file + values.ljust(values_bytes, b"\0") + data


def tags(bits, photometric, samples=1, **others):
    """The tags of an image of one strip."""
    names = {"compression": 259, "fill_order": 266, "planar": 284, "predictor": 317, "colors": 320, "extra": 338}
    found = {256: [SIZE[0]], 257: [SIZE[1]], 258: [bits] * samples, 259: [1], 262: [photometric], 277: [samples], 278: [SIZE[1]]}
    return found | {names[name]: value for name, value in others.items()}


def packed(levels, bits):
    """Rows of numbers of less than 8 bits."""
    rows = [levels[row * SIZE[0] : (row + 1) * SIZE[0]] for row in range(SIZE[1])]
    digits = ["".join(f"{level:0{bits}b}" for level in row) for row in rows]
    return b"".join(int(row.ljust(-(-len(row) // 8) * 8, "0"), 2).to_bytes(-(-len(row) // 8)) for row in digits)


def reversed_bits(data):
    return bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)


def planes_in_tiles(image):
    """Tiles of 16×16 for each channel on its own."""
    data = b""
    for channel in image.split():
        for top in range(0, SIZE[1], 16):
            data += b"".join(channel.crop((left, top, left + 16, top + 16)).tobytes() for left in range(0, SIZE[0], 16))
    num_tiles = len(data) // 256
    return {322: [16], 323: [16], 324: [256 * tile for tile in range(num_tiles)], 325: [256] * num_tiles}, data


def subsampled(image):
    """YCbCr in blocks of 2×2 that share their colour."""
    pixels, data = image.convert("YCbCr").load(), b""
    for top in range(0, SIZE[1], 2):
        for left in range(0, SIZE[0], 2):
            block = [pixels[left + x, top + y] for y in range(2) for x in range(2)]
            data += bytes([y for y, _, _ in block] + [sum(color) // 4 for color in list(zip(*block))[1:]])
    return data


def lab(image):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(image, *profiles, outputMode="LAB")


def tiffs():
    rgb, gray = picture(), picture("L")
    levels, palette = list(gray.tobytes()), rgb.quantize(16)
    colors = [palette.getpalette()[3 * color + channel] * 257 for channel in range(3) for color in range(16)]
    yield "two_bits.tif", tiff(tags(2, 1), packed([level >> 6 for level in levels], 2))
    yield "four_bits_white_is_zero.tif", tiff(tags(4, 0), packed([level >> 4 for level in levels], 4))
    yield "palette_4_bit.tif", tiff(tags(4, 3, colors=colors), packed(list(palette.tobytes()), 4))
    yield "fill_order.tif", tiff(tags(8, 2, 3, fill_order=[2]), reversed_bits(rgb.tobytes()))
    bits = packed([level >> 7 for level in levels], 1)
    yield "fill_order_bits.tif", tiff(tags(1, 1, fill_order=[2], compression=[8]), reversed_bits(zlib.compress(bits)))
    tiles, data = planes_in_tiles(rgb)
    yield "tiled_planes.tif", tiff(tags(8, 2, 3, planar=[2]) | tiles, data)
    yield "big.tif", tiff(tags(8, 2, 3), rgb.tobytes(), big=True)
    yield "ycbcr.tif", tiff(tags(8, 6, 3, compression=[8]) | {530: [2, 2]}, zlib.compress(subsampled(rgb)))
    yield "premultiplied.tif", tiff(tags(8, 2, 4, extra=[1]), picture("RGBA").convert("RGBa").tobytes())
    yield "palette.tif", saved(rgb.quantize(64), "TIFF")
    yield "gray_alpha.tif", saved(picture("LA"), "TIFF")
    # Of colours at the edge of sRGB, littleCMS interpolates between the points of a coarse table.
    yield "lab.tif", saved(lab(ImageEnhance.Color(rgb).enhance(0.4)), "TIFF")
    yield "zstd.tif", saved(rgb, "TIFF", compression="zstd")
    yield "packbits.tif", saved(rgb, "TIFF", compression="packbits")
    yield "group_3.tif", saved(picture("1"), "TIFF", compression="group3")
    yield "group_4.tif", saved(picture("1"), "TIFF", compression="group4")
    yield "jpeg.tif", saved(rgb, "TIFF", compression="jpeg", quality=95)
    yield "ycbcr_jpeg.tif", saved(rgb.convert("YCbCr"), "TIFF", compression="jpeg", quality=95)
    yield "gray_16_bit.tif", saved(sixteen_bit_gray(), "TIFF", compression="tiff_lzw")
    yield "xmp_6.tif", saved(rgb, "TIFF", tiffinfo={700: b'<rdf:Description tiff:Orientation="6"/>'})


def blocks(size=SIZE):
    """Sharp edges between colours, which show where subsampled colours are taken to be."""
    image = picture().resize(size)
    image.paste((250, 10, 10), (5, 3, 14, 12))
    image.paste((10, 10, 240), (17, 9, 30, 19))
    return image


def with_color_code(avif, primaries, matrix, is_full_range):
    start = avif.index(b"nclx") + 4
    return avif[:start] + struct.pack(">HHHB", primaries, 13, matrix, is_full_range << 7) + avif[start + 7 :]


def box(kind, *content):
    content = b"".join(content)
    return struct.pack(">I4s", len(content) + 8, kind) + content


def full_box(kind, version_and_flags, *content):
    return box(kind, struct.pack(">I", version_and_flags), *content)


def part_of(avif, kind):
    """A box of an AVIF."""
    start = avif.index(kind) - 4
    return avif[start : start + struct.unpack(">I", avif[start : start + 4])[0]]


def grid_file(size, tiles, places, items, references, properties, uses):
    """An AVIF of tiles and what is beside them: items are numbers of grids and coded images, in the order of their contents."""
    (columns, rows), payloads = places, [avif[avif.index(b"mdat") + 4 :] for avif in tiles]
    descriptor = bytes([0, 0, rows - 1, columns - 1]) + struct.pack(">HH", *size)
    grids, coded = items
    kinds = sorted([(item, b"grid", 0 if item == 1 else 1) for item in grids] + [(item, b"av01", 1) for item in coded])
    entries = [full_box(b"infe", 2 << 24 | hidden, struct.pack(">HH4sB", item, 0, kind, 0)) for item, kind, hidden in kinds]
    used = b"".join(struct.pack(f">HB{len(uses[item])}B", item, len(uses[item]), *uses[item]) for item, *_ in kinds)

    def meta(first):
        locations, position = b"", first
        for item in grids:
            locations += struct.pack(">HHHHII", item, 1, 0, 1, 0, len(descriptor))
        for item, payload in zip(coded, payloads):
            locations += struct.pack(">HHHHII", item, 0, 0, 1, position, len(payload))
            position += len(payload)
        return full_box(
            b"meta",
            0,
            full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            full_box(b"pitm", 0, struct.pack(">H", 1)),
            full_box(b"iloc", 1 << 24, struct.pack(">HH", 0x4400, len(kinds)), locations),
            full_box(b"iinf", 0, struct.pack(">H", len(kinds)), *entries),
            full_box(b"iref", 0, *references),
            box(b"iprp", box(b"ipco", *properties), full_box(b"ipma", 0, struct.pack(">I", len(kinds)), used)),
            box(b"idat", descriptor),
        )

    start = tiles[0][: struct.unpack(">I", tiles[0][:4])[0]]
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", *payloads)


def reference(kind, item, to):
    return box(kind, struct.pack(f">HH{len(to)}H", item, len(to), *to))


def cut(image, columns, rows, tile):
    places = [(column * tile, row * tile) for row in range(rows) for column in range(columns)]
    return [image.crop((left, top, left + tile, top + tile)) for left, top in places]


def grid(image, columns=2, rows=2, tile=64):
    """An AVIF of tiles that are coded each on its own; the last ones reach beyond the image."""
    tiles = [saved(part, "AVIF", quality=95) for part in cut(image, columns, rows, tile)]
    ids = list(range(2, 2 + len(tiles)))
    sizes = [full_box(b"ispe", 0, struct.pack(">II", *size)) for size in (image.size, (tile, tile))]
    pixels = full_box(b"pixi", 0, bytes([3, 8, 8, 8]))
    # 1 and 2 are sizes, 3 is the colour code, 4 is how tiles are coded, 5 their depth.
    properties = [*sizes, part_of(tiles[0], b"colr"), part_of(tiles[0], b"av1C"), pixels]
    uses = {1: [1, 3, 5]} | {item: [2, 3, 0x84, 5] for item in ids}
    return grid_file(image.size, tiles, (columns, rows), ([1], ids), [reference(b"dimg", 1, ids)], properties, uses)


def transparent_grid(image, is_grid, columns=2, rows=2, tile=64, num_alphas=4):
    """An AVIF of tiles with transparency: as a second grid, or beside each tile."""
    parts = cut(image, columns, rows, tile)
    colors = [saved(part.convert("RGB"), "AVIF", quality=95) for part in parts]
    alphas = [saved(part.getchannel("A"), "AVIF", quality=100, subsampling="4:0:0") for part in parts][:num_alphas]
    ids = list(range(2, 2 + len(colors)))
    alpha_ids = list(range(10, 10 + len(alphas)))
    sizes = [full_box(b"ispe", 0, struct.pack(">II", *size)) for size in (image.size, (tile, tile))]
    pixels = [full_box(b"pixi", 0, bytes([len(depths), *depths])) for depths in ([8, 8, 8], [8])]
    auxiliary = full_box(b"auxC", 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
    configs = [part_of(avif, b"av1C") for avif in (colors[0], alphas[0])]
    # 1 and 2 are sizes, 3 is the colour code, 4 and 5 are how images are coded, 6 and 7 their depths, 8 says that they are alpha.
    properties = [*sizes, part_of(colors[0], b"colr"), *configs, *pixels, auxiliary]
    uses = {1: [1, 3, 6], 9: [1, 7, 8]} | {item: [2, 3, 0x84, 6] for item in ids} | {item: [2, 0x85, 7, 8] for item in alpha_ids}
    references = [reference(b"dimg", 1, ids)]
    if is_grid:
        references += [reference(b"dimg", 9, alpha_ids), reference(b"auxl", 9, [1])]
    else:
        references += [reference(b"auxl", alpha, [color]) for alpha, color in zip(alpha_ids, ids)]
    items = ([1, 9] if is_grid else [1], ids + alpha_ids)
    return grid_file(image.size, colors + alphas, (columns, rows), items, references, properties, uses)


def see_through(size):
    image = blocks(size).convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(size).rotate(90, expand=False))
    return image


def lossless_gray(image):
    """A JPEG without a transform (ITU-T T.81, annex H): differences to the left neighbour, of up to 8 bits."""
    pixels, (width, height) = image.load(), image.size
    bits = ""
    for y in range(height):
        for x in range(width):
            predicted = pixels[x - 1, y] if x else pixels[0, y - 1] if y else 128
            difference = pixels[x, y] - predicted
            category = abs(difference).bit_length()
            value = difference if difference > 0 else difference + (1 << category) - 1
            bits += f"{category:04b}" + (f"{value:0{category}b}" if category else "")
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")
    segment = lambda marker, content: bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content
    frame = struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0)
    codes = bytes([0, 0, 0, 0, 9] + [0] * 12 + list(range(9)))
    return b"\xff\xd8" + segment(0xC3, frame) + segment(0xC4, codes) + segment(0xDA, bytes([1, 1, 0, 1, 0, 0])) + data + b"\xff\xd9"


def bitmap(image, header_bytes=40, planes=1, compression=0, data=None):
    """A BMP of 8 bits a pixel; compressed, its rows are from the top."""
    (width, height), rows = image.size, image.tobytes()
    padding = bytes(-width % 4)
    if data is None:
        data = b"".join(rows[y * width : (y + 1) * width] + padding for y in reversed(range(height)))
    else:
        height = -height
    colors = b"".join(bytes([255 - level, level // 2, level, 0]) for level in range(256))
    header = struct.pack("<IiiHHIIiiII", header_bytes, width, height, planes, 8, compression, len(data), 0, 0, 256, 0)
    start = 14 + header_bytes + len(colors)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header.ljust(header_bytes, b"\0") + colors + data


def runs(image):
    """The rows of a bitmap from the top, in runs of one pixel."""
    rows = image.tobytes()
    coded = (b"".join(bytes([1, level]) for level in rows[y : y + SIZE[0]]) for y in range(0, len(rows), SIZE[0]))
    return b"\0\0".join(coded) + b"\0\1"


def beside_its_screen(gif):
    """A GIF whose image is in the middle of a larger screen."""
    place = gif.index(b"," + bytes(4) + struct.pack("<HH", *SIZE))
    screen = struct.pack("<HH", SIZE[0] + 9, SIZE[1] + 7)
    return gif[:6] + screen + gif[10 : place + 1] + struct.pack("<HH", 4, 3) + gif[place + 5 :]


def beyond_its_screen(gif):
    """A GIF whose logical screen is smaller than its image."""
    return gif[:6] + struct.pack("<HH", 9, 7) + gif[10:]


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
    yield from tiffs()
    yield "beyond_its_screen.gif", beyond_its_screen(saved(rgb.quantize(64), "GIF"))
    yield "beside_its_screen.gif", beside_its_screen(saved(rgb.quantize(64), "GIF"))
    yield "without_end.gif", saved(rgb.quantize(64), "GIF")[:-2]
    yield "lossless_gray.jpg", lossless_gray(picture("L"))
    gray = picture("L")
    yield "os_2.bmp", bitmap(gray, header_bytes=64)
    yield "no_plane.bmp", bitmap(gray, planes=0)
    yield "without_padding.bmp", bitmap(gray.crop((0, 0, 21, 16)))[:-3]
    yield "runs_from_the_top.bmp", bitmap(gray, compression=1, data=runs(gray))
    yield "comments.ppm", b"P3\n%d#a\n %d\n255\n" % SIZE + b" #b\n".join(b"%d" % level for level in rgb.tobytes())
    yield "ycbcr_not_said_to_be_full.tif", tiff(tags(8, 6, 3), rgb.convert("YCbCr").tobytes())
    yield "strip_without_size.tif", tiff(tags(8, 2, 3) | {279: [0]}, rgb.tobytes())
    yield "subsampled_420.avif", saved(blocks(), "AVIF", quality=95)
    yield "subsampled_422.avif", saved(blocks(), "AVIF", quality=95, subsampling="4:2:2")
    for name, code in {"709_limited": (1, 1, 0), "2020": (9, 9, 1), "green_orange": (1, 8, 1)}.items():
        yield f"{name}.avif", with_color_code(saved(blocks(), "AVIF", quality=95), *code)
    yield "gray_limited.avif", saved(picture("L"), "AVIF", quality=95, subsampling="4:0:0", range="limited")
    yield "grid.avif", grid(blocks((120, 100)))
    yield "grid_with_alpha_grid.avif", transparent_grid(see_through((120, 100)), True)
    yield "grid_with_alpha_tiles.avif", transparent_grid(see_through((120, 100)), False)
    for name, code in {"601": (1, 6, 1), "709": (1, 1, 1), "fcc": (1, 4, 1), "240": (1, 7, 1), "green_orange": (1, 8, 1)}.items():
        yield f"odd_{name}.avif", with_color_code(saved(blocks((33, 21)), "AVIF", quality=95), *code)
    yield "even_green_orange.avif", with_color_code(saved(blocks((34, 22)), "AVIF", quality=95), 1, 8, 1)
    yield "odd_green_orange_422.avif", with_color_code(saved(blocks((33, 21)), "AVIF", quality=95, subsampling="4:2:2"), 1, 8, 1)
    yield "rgb.ppm", saved(rgb, "PPM")
    yield "gray.pgm", saved(picture("L"), "PPM")
    yield "bilevel.pbm", saved(picture("1"), "PPM")
    yield "rgb.avif", saved(rgb, "AVIF", quality=95, subsampling="4:4:4")
    yield "gray.avif", saved(picture("L"), "AVIF", quality=95)
    yield "rgba.avif", saved(picture("RGBA"), "AVIF", quality=95, subsampling="4:4:4")
    yield "animated.avif", saved(rgb, "AVIF", quality=95, subsampling="4:4:4", save_all=True, append_images=[other])
    for orientation in range(2, 9):
        turned = saved(rgb, "AVIF", quality=95, subsampling="4:4:4", exif=exif(orientation))
        yield f"orientation_{orientation}.avif", turned
    yield "xmp_6.avif", saved(rgb, "AVIF", quality=95, subsampling="4:4:4", xmp=b'<rdf tiff:Orientation="6"/>')


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
        and name not in ("rgb.jpg", "lossless_gray.jpg", "gray_16_bit.png")
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
