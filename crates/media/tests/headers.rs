//! Promise: what a header leaves out, or says in an odd way, is read as by Pillow, libtiff and FFmpeg, or is rejected; noise is
//! never delivered.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use manyframe_core::{Handling, RejectCode};
use manyframe_media::{Check, ImagePolicy, MediaLimits, RgbImage, decode_rgb, prepare_image};

use crate::support::{code, exif, fixture, picture, riff, riff_chunk};

/// A little-endian TIFF of one strip; tags are numbers of 16 bits.
pub(crate) fn tiff(tags: &[(u16, u16)], strip: &[u8]) -> Vec<u8> {
    let num_tags = tags.len() as u16 + 2;
    let strip_at = 8 + 2 + u32::from(num_tags) * 12 + 4;
    let mut fields: Vec<(u16, u16, u32)> = tags.iter().map(|&(tag, value)| (tag, 3, value.into())).collect();
    fields.extend([(273, 4, strip_at), (279, 4, strip.len() as u32)]);
    fields.sort_unstable();
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend(num_tags.to_le_bytes());
    for (tag, kind, value) in fields {
        bytes.extend([tag.to_le_bytes(), kind.to_le_bytes(), [1, 0], [0, 0]].concat());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    [&bytes, strip].concat()
}

const SIZE: [(u16, u16); 2] = [(256, 24), (257, 16)];
const EIGHT_BITS: (u16, u16) = (258, 8);
const THREE_SAMPLES: (u16, u16) = (277, 3);

fn decode(bytes: &[u8]) -> RgbImage {
    decode_rgb(bytes, &MediaLimits::default()).unwrap()
}

/// The levels of a gray image.
fn levels(bytes: &[u8]) -> Vec<u8> {
    decode(bytes).pixels().iter().step_by(3).copied().collect()
}

#[test]
fn three_samples_of_a_tiff_that_nothing_explains_are_red_green_and_blue() {
    let pixels = picture(24, 16);
    let bytes = tiff(&[&SIZE[..], &[EIGHT_BITS, THREE_SAMPLES]].concat(), pixels.pixels());
    assert!(decode(&bytes) == pixels);
}

#[test]
fn a_deflated_strip_of_a_tiff_has_the_pixels_of_its_checksum() {
    let pixels = picture(24, 16);
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(pixels.pixels()).unwrap();
    let strip = encoder.finish().unwrap();
    let of = |strip: &[u8]| tiff(&[&SIZE[..], &[EIGHT_BITS, (259, 8), (262, 2), THREE_SAMPLES]].concat(), strip);
    assert!(decode(&of(&strip)) == pixels);
    assert!(decode(&of(&strip[..strip.len() - 4])) == pixels, "the checksum is missing, and no pixel");
    let mut damaged = strip.clone();
    damaged[strip.len() / 2] ^= 4;
    assert_eq!(code(decode_rgb(&of(&damaged), &MediaLimits::default())), RejectCode::MediaCorrupt);
}

#[test]
fn colours_of_a_tiff_that_does_not_say_their_bits_are_not_guessed() {
    let pixels = picture(24, 16);
    let bytes = tiff(&[&SIZE[..], &[(262, 2), THREE_SAMPLES]].concat(), pixels.pixels());
    assert_eq!(code(decode_rgb(&bytes, &MediaLimits::default())), RejectCode::MediaCorrupt);
    // One bit is the default, and black and white has it.
    assert_eq!(levels(&tiff(&[&SIZE[..], &[(262, 1)]].concat(), &[0xf0; 48]))[..8], [255, 255, 255, 255, 0, 0, 0, 0]);
}

#[test]
fn white_is_zero_in_jpeg_strips_too() {
    let gray = fixture("gray.jpg");
    let shown = decode(&gray);
    let size = [(256, shown.width_px() as u16), (257, shown.height_px() as u16)];
    let of = |kind: u16| levels(&tiff(&[&size[..], &[EIGHT_BITS, (259, 7), (262, kind)]].concat(), &gray));
    assert!(of(1) == levels(&gray));
    assert!(of(0) == levels(&gray).into_iter().map(|level| 255 - level).collect::<Vec<_>>());
}

#[test]
fn a_signature_in_the_other_byte_order_is_one_all_the_same() {
    let pixels = picture(24, 16);
    let mut bytes = tiff(&[&SIZE[..], &[EIGHT_BITS, (262, 2), THREE_SAMPLES]].concat(), pixels.pixels());
    bytes[2..4].reverse();
    assert!(decode(&bytes) == pixels);
    let mut odd = exif(6);
    odd[2..4].reverse();
    let image = fixture("lossy.webp")[12..].to_vec();
    let header = riff_chunk(*b"VP8X", &[8, 0, 0, 0, 23, 0, 0, 15, 0, 0]);
    let turned = decode(&riff(&[header, image, riff_chunk(*b"EXIF", &odd)].concat()));
    assert_eq!((turned.width_px(), turned.height_px()), (16, 24));
}

/// A bitmap of 24 bits that says its pixels are at a position.
fn bitmap(pixels: &RgbImage, pixels_at: u32) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(pixels_at.to_le_bytes());
    bytes.extend([40, pixels.width_px(), pixels.height_px(), 1 | 24 << 16].map(u32::to_le_bytes).concat());
    bytes.extend([0; 24]);
    for row in pixels.pixels().chunks_exact(pixels.stride()).rev() {
        bytes.extend(row.as_chunks::<3>().0.iter().flat_map(|&[red, green, blue]| [blue, green, red]));
    }
    bytes
}

#[test]
fn pixels_of_a_bmp_without_a_position_follow_its_headers() {
    let pixels = picture(24, 16);
    assert!(decode(&bitmap(&pixels, 54)) == pixels);
    assert!(decode(&bitmap(&pixels, 0)) == pixels);
    // FFmpeg refuses it, too.
    assert_eq!(code(decode_rgb(&bitmap(&pixels, 20), &MediaLimits::default())), RejectCode::MediaCorrupt);
}

/// A bitmap whose header says what the four bytes of a pixel mean, of pixels of this transparency.
fn bitmap_with_transparency(pixels: &RgbImage, alpha: impl Fn(usize) -> u8) -> Vec<u8> {
    const HEADER_BYTES: u32 = 108;
    let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend((14 + HEADER_BYTES).to_le_bytes());
    bytes.extend([HEADER_BYTES, pixels.width_px(), pixels.height_px(), 1 | 32 << 16, 3].map(u32::to_le_bytes).concat());
    bytes.extend([0; 20]);
    bytes.extend([0x00ff_0000_u32, 0xff00, 0xff, 0xff00_0000].map(u32::to_le_bytes).concat());
    bytes.resize(14 + HEADER_BYTES as usize, 0);
    let rows = pixels.pixels().chunks_exact(pixels.stride()).rev();
    let colors = rows.flat_map(|row| row.as_chunks::<3>().0).enumerate();
    bytes.extend(colors.flat_map(|(index, &[red, green, blue])| [blue, green, red, alpha(index)]));
    bytes
}

#[test]
fn a_bmp_without_a_visible_pixel_is_opaque() {
    // Windows draws on bitmaps without writing transparency; browsers show these, too.
    let pixels = picture(24, 16);
    assert!(decode(&bitmap_with_transparency(&pixels, |_| 0)) == pixels);
    assert!(decode(&bitmap_with_transparency(&pixels, |_| 255)) == pixels);
    // The last row comes first.
    let shown = decode(&bitmap_with_transparency(&pixels, |index| if index < 24 { 255 } else { 0 }));
    assert!(shown.pixels().iter().take(15 * shown.stride()).all(|&level| level == 255));
    assert!(shown.pixels()[15 * shown.stride()..] == pixels.pixels()[15 * pixels.stride()..]);
}

#[test]
fn a_bmp_of_os2_may_have_16_or_32_bits() {
    // ImageMagick writes them.
    let header = |bits: u8| [&b"BM\0\0\0\0\0\0\0\0\x1a\0\0\0\x0c\0\0\0\x05\0\x04\0\x01\0"[..], &[bits, 0]].concat();
    // Red, with five bits each, and two bytes behind each row of five pixels.
    let of_16 = [header(16), [[0, 0x7c].repeat(5), vec![0; 2]].concat().repeat(4)].concat();
    let of_32 = [header(32), [0, 0, 255, 0].repeat(20)].concat();
    for bitmap in [of_16, of_32] {
        let shown = decode(&bitmap);
        assert_eq!((shown.width_px(), shown.height_px()), (5, 4));
        assert_eq!(shown.pixels(), [255, 0, 0].repeat(20));
    }
}

#[test]
fn an_extension_of_a_gif_that_is_unknown_is_skipped() {
    let plain = fixture("still.gif");
    let expected = decode(&plain);
    let table = if plain[10] & 0x80 == 0 { 0 } else { 3 << ((plain[10] & 7) + 1) };
    let mut odd = plain.clone();
    odd.splice(13 + table..13 + table, *b"\x21\x99\x03abc\0");
    assert!(decode(&odd) == expected);
}

#[test]
fn bytes_between_the_blocks_of_a_gif_are_passed_over() {
    let plain = fixture("still.gif");
    let expected = decode(&plain);
    let table = if plain[10] & 0x80 == 0 { 0 } else { 3 << ((plain[10] & 7) + 1) };
    let extension = b"!\xfe\x03abc\0";
    for stray in [&b"\0"[..], b"\0\0\0", b"\xff", b"\x05\x01\x02", &[0; 64]] {
        for blocks in [stray.to_vec(), [stray, extension].concat(), [extension, stray].concat()] {
            let mut odd = plain.clone();
            odd.splice(13 + table..13 + table, blocks);
            assert!(decode(&odd) == expected, "{stray:?}");
        }
    }
    // A hole in the file is no stray byte.
    let mut hole = plain.clone();
    hole.splice(13 + table..13 + table, [0; 512]);
    assert_eq!(code(decode_rgb(&hole, &MediaLimits::default())), RejectCode::MediaCorrupt);
}

/// A bitmap of runs: eight colours, 24 × 16 pixels.
fn bitmap_of_runs(header_bytes: u32, is_of_4_bits: bool, runs: &[u8]) -> Vec<u8> {
    let (bits, compression) = if is_of_4_bits { (4, 2) } else { (8, 1) };
    let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend((14 + header_bytes + 8 * 4).to_le_bytes());
    bytes.extend([header_bytes, 24, 16, 1 | bits << 16, compression, 0, 0, 0, 8, 0].map(u32::to_le_bytes).concat());
    bytes.resize(14 + header_bytes as usize, 0);
    bytes.extend((0..8).flat_map(|color| [color * 30, 255 - color * 30, color, 0]));
    [&bytes, runs].concat()
}

#[test]
fn a_bitmap_of_runs_without_the_mark_of_its_end_has_all_of_its_pixels() {
    for is_of_4_bits in [false, true] {
        // In each row a run, a literal of an odd number of bytes, and a run to its end.
        let literal: &[u8] = if is_of_4_bits { &[0, 5, 0x12, 0x34, 0x50, 0] } else { &[0, 5, 1, 2, 3, 4, 5, 0] };
        let row = |value: u8| [&[10, value], literal, &[9, 3]].concat();
        let rows: Vec<Vec<u8>> = (0..16).map(|y| row(if is_of_4_bits { 0x11 * (y % 8) } else { y % 8 })).collect();
        let runs = rows.join(&[0, 0][..]);
        for header_bytes in [40, 64, 108, 124] {
            let bitmap = |runs: &[u8]| bitmap_of_runs(header_bytes, is_of_4_bits, runs);
            let expected = decode(&bitmap(&[&runs[..], &[0, 1]].concat()));
            assert!(decode(&bitmap(&runs)) == expected);
            assert!(decode(&bitmap(&[&runs[..], &[0]].concat())) == expected);
            // Of a file that is cut off, what is missing is not made up.
            assert_eq!(
                code(decode_rgb(&bitmap(&runs[..runs.len() - 2]), &MediaLimits::default())),
                RejectCode::MediaCorrupt
            );
        }
    }
}

#[test]
fn a_webp_that_libwebp_does_not_show_is_not_passed_on() {
    let image = fixture("lossy.webp")[12..].to_vec();
    let mut hidden = image.clone();
    hidden[8] &= !0x10;
    let flagged = |flags: u8| {
        let extended = riff_chunk(*b"VP8X", &[flags, 0, 0, 0, 23, 0, 0, 15, 0, 0]);
        riff(&[extended, image.clone()].concat())
    };
    let handling = |bytes: Vec<u8>| prepare_image(bytes, &ImagePolicy::default()).unwrap().handling;
    assert_eq!(handling(riff(&hidden)), Handling::Encoded);
    assert_eq!(handling(flagged(0)), Handling::Unchanged);
    // In fragments, and what nobody knows.
    for flags in [0x01, 0x40, 0x80] {
        assert_eq!(handling(flagged(flags)), Handling::Cleaned, "{flags:#x}");
    }
}

#[test]
fn a_lossy_webp_whose_bytes_do_not_suffice_is_corrupt() {
    let whole = fixture("lossy.webp");
    let image = &whole[20..20 + u32::from_le_bytes(*whole[16..].first_chunk().unwrap()) as usize];
    let file = |image: &[u8]| riff(&riff_chunk(*b"VP8 ", image));
    let policy = ImagePolicy { check: Check::Decode, ..ImagePolicy::default() };
    assert_eq!(prepare_image(file(image), &policy).unwrap().handling, Handling::Unchanged);
    // A quarter of its bytes is missing; a version that there is not; a first part that is longer than all of it.
    let mut version = image.to_vec();
    version[0] |= 0x0e;
    let mut part = image.to_vec();
    part[2] = 0xff;
    for damaged in [image[..image.len() * 3 / 4].to_vec(), version, part] {
        let code = code(prepare_image(file(&damaged), &policy));
        assert_eq!(code, RejectCode::MediaCorrupt);
    }
}

#[test]
fn the_image_of_a_lossless_webp_says_whether_it_is_transparent() {
    let simple = fixture("lossless_alpha.webp");
    assert_eq!(&simple[12..16], b"VP8L");
    let picture = decode(&simple);
    let size = [picture.width_px() as u8 - 1, 0, 0, picture.height_px() as u8 - 1, 0, 0];
    let extended = riff_chunk(*b"VP8X", &[&[0; 4][..], &size].concat());
    // Behind something that a header may be followed by.
    let other = riff_chunk(*b"ABCD", &[7; 33]);
    let hidden = riff(&[&extended[..], &other, &simple[12..]].concat());
    assert!(decode(&hidden) == picture);
    assert_eq!(prepare_image(hidden, &ImagePolicy::default()).unwrap().handling, Handling::Encoded);
}

/// An AVIF whose properties are associated with items by other bytes: `change` gets the ones of the first item that has a property of
/// this kind, which are `is_essential << 7 | index`, and that index.
fn with_association(avif: &[u8], kind: [u8; 4], change: impl Fn(u8) -> u8) -> Vec<u8> {
    let position = |name: &[u8; 4]| avif.windows(4).position(|bytes| bytes == name).unwrap();
    let (mut at, mut index) = (position(b"ipco") + 4, 1);
    while avif[at + 4..at + 8] != kind {
        at += u32::from_be_bytes(*avif[at..].first_chunk().unwrap()) as usize;
        index += 1;
    }
    let associations = position(b"ipma") + 4 + 4 + 4 + 2 + 1;
    let found = (associations..avif.len()).find(|&at| avif[at] & 0x7f == index).unwrap();
    let mut changed = avif.to_vec();
    changed[found] = change(avif[found]);
    changed
}

#[test]
fn an_avif_is_not_shown_without_what_it_calls_essential() {
    let turned = fixture("orientation_6.avif");
    decode(&turned);
    let not_marked = with_association(&turned, *b"irot", |association| association & 0x7f);
    let at = turned.windows(4).position(|bytes| bytes == b"irot").unwrap();
    let unknown = [&turned[..at], b"xyzw", &turned[at + 4..]].concat();
    for (bytes, said) in
        [(not_marked, "\"irot\" that has to be marked"), (unknown.clone(), "\"xyzw\" that is essential")]
    {
        let error = decode_rgb(&bytes, &MediaLimits::default()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    decode(&with_association(&unknown, *b"xyzw", |association| association & 0x7f));
    // The grid has two columns of 64 px: with half the width, nothing of the second one is left.
    let mut beyond = fixture("grid.avif");
    let sizes: Vec<usize> = (0..beyond.len() - 4).filter(|&at| &beyond[at..at + 4] == b"ispe").collect();
    beyond[sizes[0] + 8..sizes[0] + 12].copy_from_slice(&64_u32.to_be_bytes());
    let error = decode_rgb(&beyond, &MediaLimits::default()).unwrap_err().to_string();
    assert!(error.contains("outside of its picture"), "{error}");
}

/// `grid.avif` with other sizes of the picture and of all tiles, where these are given.
fn grid_of(picture_px: Option<(u32, u32)>, tile_px: Option<(u32, u32)>) -> Vec<u8> {
    let mut grid = fixture("grid.avif");
    let sizes: Vec<usize> = (0..grid.len() - 4).filter(|&at| &grid[at..at + 4] == b"ispe").collect();
    for (number, at) in sizes.into_iter().enumerate() {
        let Some((width_px, height_px)) = (if number == 0 { picture_px } else { tile_px }) else { continue };
        grid[at + 8..at + 12].copy_from_slice(&width_px.to_be_bytes());
        grid[at + 12..at + 16].copy_from_slice(&height_px.to_be_bytes());
    }
    grid
}

#[test]
fn a_grid_that_the_standard_forbids_is_not_shown() {
    decode(&grid_of(None, None));
    for (grid, said) in [
        (grid_of(Some((119, 100)), None), "a grid of an odd size"),
        (grid_of(Some((120, 99)), None), "a grid of an odd size"),
        (grid_of(Some((70, 70)), Some((62, 64))), "fewer than 64 pixels"),
    ] {
        let error = decode_rgb(&grid, &MediaLimits::default()).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
