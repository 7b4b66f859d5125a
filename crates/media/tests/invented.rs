//! Promise: no pixel is made up. Where codes are damaged or end early, the image is rejected, as by Pillow, libwebp and libtiff, or
//! because these only warn of it.

use manyframe_core::{Handling, RejectCode};
use manyframe_media::{ImagePolicy, MediaLimits, RgbImage, decode_rgb, prepare_image};

use crate::headers::tiff;
use crate::support::{code, fixture, riff, riff_chunk};

fn decode(bytes: &[u8]) -> RgbImage {
    decode_rgb(bytes, &MediaLimits::default()).unwrap()
}

#[track_caller]
fn is_corrupt(name: &str, bytes: &[u8]) {
    assert_eq!(code(decode_rgb(bytes, &MediaLimits::default())), RejectCode::MediaCorrupt, "{name}");
    assert_eq!(code(prepare_image(bytes.to_vec(), &ImagePolicy::default())), RejectCode::MediaCorrupt, "{name}");
}

/// The image of a lossy WebP, without its container.
fn lossy() -> Vec<u8> {
    let whole = fixture("lossy.webp");
    let num_bytes = u32::from_le_bytes(*whole[16..].first_chunk().unwrap()) as usize;
    whole[20..20 + num_bytes].to_vec()
}

#[test]
fn a_lossy_webp_is_read_to_the_byte_at_which_libwebp_refuses_it() {
    let image = lossy();
    let file = |image: &[u8]| riff(&riff_chunk(*b"VP8 ", image));
    for num_lost in 0..60 {
        let cut = file(&image[..image.len() - num_lost]);
        // Its encoder wrote three bytes that no pixel needs.
        match num_lost {
            0..=3 => {
                let handling = prepare_image(cut, &ImagePolicy::default()).unwrap().handling;
                assert_eq!(handling, Handling::Unchanged, "{num_lost}");
            }
            _ => is_corrupt(&format!("{num_lost} bytes are missing"), &cut),
        }
    }
    for (at, change) in [(10, 0x80), (11, 1), (11, 0xff), (89, 0x80), (90, 0x10), (91, 0x10)] {
        let mut damaged = image.clone();
        damaged[at] ^= change;
        is_corrupt(&format!("byte {at} is changed by {change:#x}"), &file(&damaged));
    }
}

#[test]
fn a_lossy_webp_in_a_larger_file_is_read_in_the_same_way() {
    let image = lossy();
    let chunk = |num_lost: usize| riff_chunk(*b"VP8 ", &image[..image.len() - num_lost]);
    let extended = |flags: u8, chunks: &[u8]| {
        riff(&[&riff_chunk(*b"VP8X", &[flags, 0, 0, 0, 23, 0, 0, 15, 0, 0])[..], chunks].concat())
    };
    // Transparency that is not compressed.
    let alpha = riff_chunk(*b"ALPH", &[&[0][..], &[0xff; 24 * 16]].concat());
    let transparent = |num_lost| extended(0x10, &[alpha.clone(), chunk(num_lost)].concat());
    let frame = |num_lost| {
        let place = [0, 0, 0, 0, 0, 0, 23, 0, 0, 15, 0, 0, 100, 0, 0, 0];
        riff_chunk(*b"ANMF", &[&place[..], &chunk(num_lost)].concat())
    };
    let animation = |frames: &[u8]| extended(2, &[&riff_chunk(*b"ANIM", &[0; 6])[..], frames].concat());
    decode(&transparent(3));
    is_corrupt("transparent", &transparent(4));
    decode(&animation(&[frame(3), frame(9)].concat()));
    is_corrupt("animated", &animation(&[frame(4), frame(0)].concat()));
    // Bytes within a frame that its size does not count: what follows it is no chunk.
    let mut longer = frame(0);
    longer.splice(60..60, [7; 10]);
    is_corrupt("longer than it says", &animation(&[longer, frame(0)].concat()));
    // What is missing of the second frame is of no picture that is shown.
    let cut = animation(&[frame(0), frame(0)].concat());
    decode(&cut[..cut.len() - 100]);
}

/// A fax of 24 × 16 pixels, of codes as bits: those of a row for each, then the end.
fn fax(compression: u16, codes: &[String]) -> Vec<u8> {
    let bits: Vec<u8> = codes.concat().bytes().map(|bit| bit - b'0').collect();
    let bytes: Vec<u8> =
        bits.chunks(8).map(|bits| bits.iter().zip(0..).fold(0, |b, (&bit, at)| b | bit << (7 - at))).collect();
    tiff(&[(256, 24), (257, 16), (258, 1), (259, compression), (262, 0)], &bytes)
}

const ROW_END: &str = "000000000001";
const WHITE_12: &str = "001000";
const WHITE_20: &str = "0001000";
const BLACK_12: &str = "0000111";

/// Left half white, right half black.
fn halves(num_black_rows: usize) -> RgbImage {
    let levels = (0..16 * 24).map(|at| if at % 24 < 12 || at / 24 >= num_black_rows { [255; 3] } else { [0; 3] });
    RgbImage::try_new(24, 16, levels.flatten().collect()).unwrap()
}

#[test]
fn a_fax_with_a_bad_code_is_corrupt() {
    const GROUP_3: u16 = 3;
    let row = format!("{ROW_END}{WHITE_12}{BLACK_12}");
    let with = |damaged: &str| {
        let mut rows = vec![row.clone(); 16];
        rows[9] = damaged.to_owned();
        fax(GROUP_3, &rows)
    };
    assert!(decode(&with(&row)) == halves(16));
    // Zeros before the end of a row fill up a byte.
    assert!(decode(&with(&format!("00000{row}"))) == halves(16));
    for (name, damaged) in [
        ("a code that there is not", format!("{ROW_END}{WHITE_12}00000000011")),
        ("a row that is too short", format!("{ROW_END}{WHITE_12}")),
        ("a row that is too long", format!("{ROW_END}{WHITE_20}{BLACK_12}")),
    ] {
        is_corrupt(name, &with(&damaged));
    }
    is_corrupt("fewer rows", &fax(GROUP_3, &[vec![row.clone(); 15], vec![ROW_END.repeat(6)]].concat()));
}

#[test]
fn a_fax_of_differences_with_a_bad_code_is_corrupt() {
    const GROUP_4: u16 = 4;
    let first = format!("001{WHITE_12}{BLACK_12}");
    // Two changes below those above.
    let with = |damaged: &str| {
        let mut rows = vec!["11".to_owned(); 18];
        (rows[0], rows[9]) = (first.clone(), damaged.to_owned());
        (rows[16], rows[17]) = (ROW_END.to_owned(), ROW_END.to_owned());
        fax(GROUP_4, &rows)
    };
    assert!(decode(&with("11")) == halves(16));
    for (name, damaged) in [
        ("an extension", "0000001111"),
        ("a code that there is not", "00000000"),
        ("a change behind the end", "1011"),
        ("a row that is too long", "00100010000000111"),
        ("the end of a block, once", ROW_END),
    ] {
        is_corrupt(name, &with(damaged));
    }
    let end = vec![ROW_END.to_owned(); 2];
    let early = [vec![first], vec!["11".to_owned(); 7], end].concat();
    assert!(decode(&fax(GROUP_4, &early)) == halves(8), "encoders leave out white rows at the end");
    is_corrupt("without an end", &fax(GROUP_4, &early[..8]));
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
