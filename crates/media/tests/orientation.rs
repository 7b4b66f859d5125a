//! Orientation, wherever an image states it: EXIF anywhere in a PNG, raw profiles, XMP. As Pillow 11 and later turn images.

use manyframe_media::{MediaLimits, decode_rgb, probe_image_bytes};

use crate::support::{
    deflated, exif, fixture, jpeg_with, png_around, png_chunk, png_with, png_with_after, riff, riff_chunk, store, write,
};

fn orientation(bytes: &[u8]) -> u8 {
    let header = probe_image_bytes(bytes, &MediaLimits::default()).unwrap();
    let pixels = decode_rgb(bytes, &MediaLimits::default()).unwrap();
    assert_eq!((header.width_px, header.height_px), (pixels.width_px(), pixels.height_px()));
    assert_eq!(header.deliverable_as_is, header.orientation == 1);
    header.orientation
}

fn xmp(orientation: u8) -> Vec<u8> {
    format!("<rdf:Description tiff:Orientation=\"{orientation}\"/>").into_bytes()
}

fn text(kind: [u8; 4], keyword: &str, text: &[u8]) -> Vec<u8> {
    let content = match &kind {
        b"tEXt" => [keyword.as_bytes(), b"\0", text].concat(),
        b"zTXt" => [keyword.as_bytes(), b"\0\0", &deflated(text)].concat(),
        _ => [keyword.as_bytes(), b"\0\x01\0\0\0", &deflated(text)].concat(),
    };
    png_chunk(kind, &content)
}

fn raw_profile(orientation: u8) -> Vec<u8> {
    let bytes = [b"Exif\0\0", &exif(orientation)[..]].concat();
    let digits: String = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect();
    format!("\nexif\n{:8}\n{}\n{}\n", bytes.len(), &digits[..30], &digits[30..]).into_bytes()
}

#[test]
fn an_orientation_may_be_a_number_of_any_kind() {
    let number = |kind: u8, value: &[u8]| {
        let start = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0";
        let exif = [&start[..], &[kind], &[0, 0, 0, 1, 0, 0, 0, 26, 0, 0, 0, 0], value].concat();
        orientation(&png_with(&png_chunk(*b"eXIf", &exif)))
    };
    assert_eq!(number(5, &[0, 0, 0, 12, 0, 0, 0, 2]), 6);
    assert_eq!(number(10, &[0, 0, 0, 8, 0, 0, 0, 1]), 8);
    assert_eq!(number(12, &6_f64.to_be_bytes()), 6);
    assert_eq!(number(5, &[0, 0, 0, 13, 0, 0, 0, 2]), 1);
    assert_eq!(number(5, &[0; 8]), 1);
}

#[test]
fn a_png_is_turned_by_exif_before_and_after_its_pixels() {
    assert_eq!(orientation(&png_with(&png_chunk(*b"eXIf", &exif(6)))), 6);
    assert_eq!(orientation(&png_with_after(&png_chunk(*b"eXIf", &exif(6)))), 6);
    assert_eq!(
        orientation(&png_with_after(&[png_chunk(*b"eXIf", &exif(6)), png_chunk(*b"eXIf", &exif(8))].concat())),
        8
    );
    for (before, after) in [(6, 3), (6, 1)] {
        let png = png_around(&png_chunk(*b"eXIf", &exif(before)), &png_chunk(*b"eXIf", &exif(after)));
        assert_eq!(orientation(&png), after);
    }
}

#[test]
fn a_png_is_turned_by_a_raw_profile_and_by_xmp() {
    const PROFILE: &str = "Raw profile type exif";
    for kind in [*b"tEXt", *b"zTXt", *b"iTXt"] {
        assert_eq!(orientation(&png_with(&text(kind, PROFILE, &raw_profile(6)))), 6);
        assert_eq!(orientation(&png_with_after(&text(kind, PROFILE, &raw_profile(3)))), 3);
        assert_eq!(orientation(&png_with_after(&text(kind, "XML:com.adobe.xmp", &xmp(8)))), 8);
    }
    let both = [text(*b"tEXt", PROFILE, &raw_profile(3)), png_chunk(*b"eXIf", &exif(6))].concat();
    assert_eq!(orientation(&png_with(&both)), 6);
}

#[test]
fn xmp_turns_what_exif_does_not() {
    let xmp_segment = |orientation| [b"http://ns.adobe.com/xap/1.0/\0", &xmp(orientation)[..]].concat();
    assert_eq!(orientation(&jpeg_with(0xe1, &xmp_segment(6))), 6);
    let mut both = jpeg_with(0xe1, &xmp_segment(6));
    let exif_segment = [b"Exif\0\0", &exif(1)[..]].concat();
    let length = (exif_segment.len() as u16 + 2).to_be_bytes();
    both.splice(2..2, [&[0xff, 0xe1][..], &length, &exif_segment].concat());
    assert_eq!(orientation(&both), 1);

    let image = fixture("lossy.webp")[12..].to_vec();
    let header = |flags| riff_chunk(*b"VP8X", &[flags, 0, 0, 0, 23, 0, 0, 15, 0, 0]);
    let webp = |flags| riff(&[&header(flags)[..], &image, &riff_chunk(*b"XMP ", &xmp(6))].concat());
    assert_eq!(orientation(&webp(4)), 6);
    // A chunk that the header does not announce is none.
    assert_eq!(orientation(&webp(0)), 1);
}

#[test]
fn exif_in_several_segments_is_one_block() {
    let (first, second) = (exif(6)[..12].to_vec(), exif(6)[12..].to_vec());
    let mut bytes = jpeg_with(0xe1, &[b"Exif\0\0", &second[..]].concat());
    let segment = [b"Exif\0\0", &first[..]].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    bytes.splice(2..2, [&[0xff, 0xe1][..], &length, &segment].concat());
    assert_eq!(orientation(&bytes), 6);
}

#[test]
fn a_header_read_in_parts_sees_what_follows_the_pixels() {
    let padding: Vec<u8> = (0..30).flat_map(|_| png_chunk(*b"tEXt", &[&b"k\0"[..], &[b'a'; 9_000]].concat())).collect();
    let bytes = png_with_after(&[padding, png_chunk(*b"eXIf", &exif(6))].concat());
    assert!(bytes.len() > 200_000);
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("turned.png"), &bytes);
    let header = store(folder.path()).locate("", "turned.png").unwrap().probe_image(&MediaLimits::default()).unwrap();
    assert_eq!((header.orientation, header.width_px, header.height_px), (6, 16, 24));
}
