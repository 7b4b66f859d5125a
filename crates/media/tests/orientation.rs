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
    assert_eq!(number(10, &[0xff, 0xff, 0xff, 0xf4, 0xff, 0xff, 0xff, 0xfe]), 6);
    assert_eq!(number(5, &[0, 0, 0, 13, 0, 0, 0, 2]), 1);
    assert_eq!(number(5, &[0; 8]), 1);
}

/// A directory with entries of a tag, a type, a number of values and the values, or where they are.
fn directory(entries: &[(u16, u16, u32, [u8; 4])]) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0".to_vec();
    exif.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        exif.extend([tag.to_le_bytes(), kind.to_le_bytes()].concat());
        exif.extend([count.to_le_bytes(), *value].concat());
    }
    exif.extend([0; 4]);
    exif
}

fn segment(marker: u8, content: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(content.len() as u16 + 2).to_be_bytes(), content].concat()
}

/// A JPEG, a PNG and a WebP with an EXIF block and an XMP packet.
fn with_exif_and_xmp(exif: &[u8], xmp: &[u8]) -> [Vec<u8>; 3] {
    let mut jpeg = fixture("baseline.jpg");
    let density = segment(0xe0, b"JFIF\0\x01\x01\x01\0\x48\0\x48\0\0");
    let packet = [b"http://ns.adobe.com/xap/1.0/\0", xmp].concat();
    let block = [b"Exif\0\0", exif].concat();
    jpeg.splice(2..2, [density, segment(0xe1, &block), segment(0xe1, &packet)].concat());
    let png = png_with(&[png_chunk(*b"eXIf", exif), text(*b"iTXt", "XML:com.adobe.xmp", xmp)].concat());
    let header = riff_chunk(*b"VP8X", &[12, 0, 0, 0, 23, 0, 0, 15, 0, 0]);
    let image = fixture("lossy.webp")[12..].to_vec();
    let webp = riff(&[header, image, riff_chunk(*b"EXIF", exif), riff_chunk(*b"XMP ", xmp)].concat());
    [jpeg, png, webp]
}

#[test]
fn xmp_decides_where_exif_has_no_orientation_that_can_be_read() {
    const TAG: u16 = 0x112;
    let value = [3, 0, 0, 0];
    let big = [
        &b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x12\x01\x03\0"[..],
        &[1, 0, 0, 0, 0, 0, 0, 0, 3],
        &[0; 15],
    ]
    .concat();
    let cases: [(&str, Vec<u8>, u8); 13] = [
        ("no values", directory(&[(TAG, 3, 0, value)]), 8),
        ("unknown type", directory(&[(TAG, 99, 1, value)]), 8),
        ("a type of BigTIFF", directory(&[(TAG, 17, 1, value)]), 8),
        ("another type of BigTIFF", directory(&[(TAG, 18, 1, value), (TAG, 3, 1, value)]), 3),
        ("no directory where it should be", b"II*\0\x88\x13\0\0".to_vec(), 8),
        ("cut before the tag", directory(&[(0x10f, 2, 3, *b"ab\0\0"), (TAG, 3, 1, value)])[..24].to_vec(), 8),
        (
            "values beyond the end before the tag",
            directory(&[(0x10f, 2, 9, [0x88, 0x13, 0, 0]), (TAG, 3, 1, value)]),
            8,
        ),
        ("more values than bytes before the tag", directory(&[(0x10f, 2, 9999, [8, 0, 0, 0]), (TAG, 3, 1, value)]), 3),
        ("no values, then a value", directory(&[(TAG, 3, 0, value), (TAG, 3, 1, value)]), 3),
        ("outside of 1 to 8", directory(&[(TAG, 3, 1, [9, 0, 0, 0])]), 1),
        ("bytes", directory(&[(TAG, 7, 1, value)]), 1),
        ("BigTIFF", big, 8),
        ("junk", b"this is no EXIF at all".to_vec(), 8),
    ];
    for (name, exif, expected) in cases {
        for (bytes, format) in with_exif_and_xmp(&exif, &xmp(8)).iter().zip(["JPEG", "PNG", "WebP"]) {
            assert_eq!(orientation(bytes), expected, "{name} in {format}");
        }
    }
    for xmp in [&b"\xff\0junk"[..], b"", &xmp(9), b"<rdf:Description tiff:Orientation='8'/>"] {
        for bytes in with_exif_and_xmp(&exif(6), xmp) {
            assert_eq!(orientation(&bytes), 6);
        }
        for bytes in with_exif_and_xmp(&directory(&[]), xmp) {
            assert_eq!(orientation(&bytes), 1);
        }
    }
}

/// Pillow looks into the EXIF for a density that the JPEG does not state, and then has read all metadata that it ever reads.
#[test]
fn xmp_beside_what_is_no_exif_turns_a_jpeg_that_states_a_density() {
    let packet = segment(0xe1, &[b"http://ns.adobe.com/xap/1.0/\0", &xmp(6)[..]].concat());
    let junk = segment(0xe1, b"Exif\0\0junk in place of EXIF");
    let without = jpeg_with(0xe1, b"anything");
    let with = |first: &[u8]| [&without[..2], first, &junk, &packet, &without[2..]].concat();
    assert_eq!(orientation(&with(&[])), 1);
    assert_eq!(orientation(&with(&segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"))), 1);
    assert_eq!(orientation(&with(&segment(0xe0, b"JFIF\0\x01\x01\x02\0\x48\0\x48\0\0"))), 6);
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
