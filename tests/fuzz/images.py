"""Writes images of forms that the images of the tests do not have, for fuzzing to start from.

usage: images.py FIXTURES CORPUS

They are lossy WebPs with transparency and in animations, faxes of each kind, BMPs of runs and of palettes of any size, and PNGs with
texts and metadata.
"""

import struct
import sys
import zlib
from pathlib import Path

WIDTH, HEIGHT = 24, 16
ROW_END, WHITE_12, BLACK_12, WHITE_24 = "000000000001", "001000", "0000111", "0101000"


def riff(*chunks):
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def webps(lossy):
    """Of a lossy image without its container."""
    size = struct.pack("<I", WIDTH - 1)[:3] + struct.pack("<I", HEIGHT - 1)[:3]
    image = chunk(b"VP8 ", lossy)
    alpha = [chunk(b"ALPH", bytes([filtering << 2]) + bytes(range(256)) + bytes(WIDTH * HEIGHT - 256)) for filtering in range(4)]

    def extended(flags, *chunks):
        return riff(chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size), *chunks)

    def frame(*chunks, flags=0, place=bytes(6), size=size):
        return chunk(b"ANMF", place + size + bytes([100, 0, 0, flags]) + b"".join(chunks))

    start = chunk(b"ANIM", bytes(6))
    for filtering, mask in enumerate(alpha):
        yield f"transparent-{filtering}", extended(0x10, mask, image)
    yield "animation", extended(0x02, start, frame(image), frame(image, flags=3))
    yield "transparent-animation", extended(0x12, start, frame(alpha[1], image), frame(alpha[3], image, flags=1))
    yield "cut", riff(chunk(b"VP8 ", lossy[:-3]))
    exif = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    yield "turned", extended(0x0C, image, chunk(b"EXIF", exif), chunk(b"XMP ", xmp(8)))


def xmp(orientation):
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def packed(bits):
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def tiff(codes, tags):
    tags = {256: WIDTH, 257: HEIGHT, 258: 1, 262: 0, 273: 0, 277: 1, 278: HEIGHT, 279: len(codes), **tags}
    start = 8 + 2 + 12 * len(tags) + 4
    tags[273] = start
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + codes


def faxes():
    row, end = WHITE_12 + BLACK_12, ROW_END * 6
    filled = "".join("0" * (-(at * 30 + 12) % 8) + ROW_END + row for at in range(HEIGHT))
    # Runs that are aligned to bytes, runs, runs and differences by turns, filled up, and differences.
    kinds = {
        "aligned": (2, {}, (row + "000") * HEIGHT),
        "runs": (3, {}, (ROW_END + row) * HEIGHT + end),
        "mixed": (3, {292: 1}, (ROW_END + "1" + row + ROW_END + "0" + "11") * (HEIGHT // 2) + ROW_END),
        "filled": (3, {292: 4}, filled),
        "differences": (4, {293: 0}, "001" + row + "11" * (HEIGHT - 2) + "000001" + ROW_END * 2),
        "passes": (4, {}, ("001" + row + "0001" + "1") * (HEIGHT // 2) + ROW_END * 2),
        "vertical": (4, {}, "001" + row + "0111" * 3 + "01011" * 3 + "0000111" + "11" * (HEIGHT - 6) + ROW_END * 2),
    }
    for name, (compression, tags, bits) in kinds.items():
        for order in (1, 2):
            codes = packed(bits)
            if order == 2:
                codes = bytes(int(f"{byte:08b}"[::-1], 2) for byte in codes)
            yield f"{name}-{order}", tiff(codes, {259: compression, 266: order, **tags})
    yield "white", tiff(packed((WHITE_24 + "0") * HEIGHT), {259: 2, 262: 1})


def bmp(bits, compression, num_colors, pixels, height=HEIGHT, start=None):
    start = 54 + 4 * num_colors if start is None else start
    head = b"BM" + bytes(8) + struct.pack("<IIiiIIIiiII", start, 40, WIDTH, height, 1 | bits << 16, compression, len(pixels), 0, 0, num_colors, 0)
    palette = b"".join(bytes([n * 3 % 256, n * 5 % 256, n * 7 % 256, 0]) for n in range(num_colors))
    return head + palette + pixels


def bmps():
    eight = b"".join(bytes([20, y, 0, 4, y, 1, 2, 3, 0, 0]) for y in range(HEIGHT)) + b"\0\1"
    four = b"".join(bytes([20, y * 17, 0, 4, 0x12, 0x34, 0, 0]) for y in range(HEIGHT)) + b"\0\1"
    yield "runs-8", bmp(8, 1, 256, eight)
    yield "runs-8-few", bmp(8, 1, 16, eight)
    yield "runs-4", bmp(4, 2, 16, four)
    yield "jumps", bmp(8, 1, 256, bytes([4, 7, 0, 2, 3, 2, 5, 9, 0, 0]) + eight)
    for bits, num_colors, start in [(1, 2, None), (1, 256, 54), (4, 16, 0), (4, 200, 54), (8, 3, None), (8, 256, 54)]:
        rows = bytes(range(HEIGHT)) * ((WIDTH * bits + 31) // 32 * 4)
        yield f"palette-{bits}-{num_colors}", bmp(bits, 0, num_colors, rows, start=start)
    yield "downwards", bmp(24, 0, 0, bytes(WIDTH * HEIGHT * 3), height=-HEIGHT)
    yield "masks", bmp(16, 3, 0, struct.pack("<III", 0xF800, 0x7E0, 0x1F) + bytes(range(48)) * HEIGHT, start=66)


def png(*chunks):
    def part(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = part(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 0, 0, 0, 0))
    pixels = part(b"IDAT", zlib.compress(bytes(HEIGHT * (WIDTH + 1))))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(part(*each) for each in chunks) + pixels + part(b"IEND", b"")


def pngs():
    exif = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    fraction = b"MM\0*" + struct.pack(">IHHHIIIii", 8, 1, 0x112, 10, 1, 26, 0, -6, -1)
    hexadecimal = f"\nexif\n{len(exif) + 6}\n{(b'Exif' + bytes(2) + exif).hex()}\n".encode()
    xmp_name = b"XML:com.adobe.xmp\0"
    yield "text", png((b"tEXt", b"Comment\0a text"), (b"tEXt", b"transparency\0x"))
    yield "compressed", png((b"zTXt", b"Comment\0\0" + zlib.compress(b"a text")), (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexadecimal)))
    yield "international", png((b"iTXt", b"Title\0\0\0en\0\xc3\x9c\0t\xc3\xa9xt"), (b"iTXt", b"Title\0\1\0\0\0" + zlib.compress("téxt".encode())))
    yield "exif", png((b"eXIf", exif))
    yield "fraction", png((b"eXIf", fraction), (b"iTXt", xmp_name + b"\0\0\0\0" + xmp(3)))
    yield "xmp", png((b"iTXt", xmp_name + b"\0\0\0\0" + xmp(6)))
    yield "xmp-compressed", png((b"iTXt", xmp_name + b"\1\0\0\0" + zlib.compress(xmp(5))))
    yield "bounded", png((b"zTXt", b"bbox\0\0" + zlib.compress(bytes(70_000))), (b"gAMA", struct.pack(">I", 45_455)), (b"iCCP", b"p\0\0" + zlib.compress(bytes(200))))


def main():
    fixtures, corpus = map(Path, sys.argv[1:])
    file = (fixtures / "lossy.webp").read_bytes()
    lossy = file[20 : 20 + struct.unpack_from("<I", file, 16)[0]]
    for form, images in [("webp", webps(lossy)), ("fax", faxes()), ("bmp", bmps()), ("png", pngs())]:
        for name, content in images:
            (corpus / f"{form}-{name}").write_bytes(content)


if __name__ == "__main__":
    main()
