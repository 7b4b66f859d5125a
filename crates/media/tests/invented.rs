//! Promise: no pixel is made up. Where codes are damaged or end early, the image is rejected, as by Pillow, libwebp and libtiff, or
//! because these only warn of it.

use manyframe_core::RejectCode;
use manyframe_media::{ImagePolicy, MediaLimits, RgbImage, decode_rgb, prepare_image};

use crate::support::code;

fn decode(bytes: &[u8]) -> RgbImage {
    decode_rgb(bytes, &MediaLimits::default()).unwrap()
}

#[track_caller]
fn is_corrupt(name: &str, bytes: &[u8]) {
    assert_eq!(code(decode_rgb(bytes, &MediaLimits::default())), RejectCode::MediaCorrupt, "{name}");
    assert_eq!(code(prepare_image(bytes.to_vec(), &ImagePolicy::default())), RejectCode::MediaCorrupt, "{name}");
}

/// A bitmap of 24 × 16 pixels, of so many colours, whatever its pixels can name; the first colours are those of `color`.
fn bitmap(bits: u32, compression: u32, num_colors: u32, pixels: &[u8]) -> Vec<u8> {
    let start = 54 + 4 * num_colors;
    let mut bytes = b"BM\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend(start.to_le_bytes());
    bytes.extend([40, 24, 16, 1 | bits << 16, compression, 0, 0, 0, num_colors, 0].map(u32::to_le_bytes).concat());
    bytes.extend((0..num_colors).flat_map(|number| color(number as u8)).collect::<Vec<_>>());
    [&bytes, pixels].concat()
}

fn color(number: u8) -> [u8; 4] {
    [number.wrapping_mul(3), number.wrapping_mul(5), number.wrapping_mul(7), 0]
}

#[test]
fn a_bitmap_with_more_colours_than_its_pixels_can_name_is_shown() {
    let rows: Vec<u8> = (0..16_u8).flat_map(|y| [&[y * 16 + 3; 12][..], &[]].concat()).collect();
    let expected = decode(&bitmap(4, 0, 16, &rows));
    for num_colors in [17, 100, 256] {
        let file = bitmap(4, 0, num_colors, &rows);
        assert!(decode(&file) == expected, "{num_colors}");
        // Where the pixels start is not said, or said to be where the palette does.
        for start in [0_u32, 54] {
            let mut file = file.clone();
            file.splice(10..14, start.to_le_bytes());
            assert!(decode(&file) == expected, "{num_colors} from {start}");
        }
    }
    is_corrupt("more than any reader accepts", &bitmap(4, 0, 257, &rows));
}

#[test]
fn a_bitmap_whose_runs_end_early_is_corrupt() {
    let rows: Vec<Vec<u8>> = (0..16).map(|y| vec![24, y, 0, 0]).collect();
    let with = |changed: &[u8]| {
        let mut rows = rows.clone();
        rows[15] = changed.to_vec();
        bitmap(8, 1, 256, &rows.concat())
    };
    let level = |image: &RgbImage, x: usize, y: usize| image.pixels()[3 * (24 * y + x) + 2];
    let whole = decode(&with(&[24, 15, 0, 0, 0, 1]));
    assert_eq!((level(&whole, 0, 0), level(&whole, 23, 15)), (color(15)[0], color(0)[0]));
    // What is longer than a row is cut there, and a row that ends early ends with the first colour, as in Pillow.
    assert!(decode(&with(&[99, 15, 0, 0, 0, 1])) == whole);
    let short = decode(&with(&[4, 15, 0, 0, 0, 1]));
    assert_eq!([3, 4, 23].map(|x| level(&short, x, 0)), [color(15)[0], color(0)[0], color(0)[0]]);
    for (name, changed) in [
        ("without the last row", &[][..]),
        ("the end in place of the last row", &[0, 1]),
        ("the end within the last row", &[9, 15, 0, 1]),
        ("cut within a literal", &[0, 24, 1, 2, 3]),
        ("a jump without its length", &[0, 2, 1]),
    ] {
        is_corrupt(name, &with(changed));
    }
}
