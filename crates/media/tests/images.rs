//! Decoding, headers and delivery, compared with what Pillow shows.

use manyframe_core::{Handling, ImageFormat, RejectCode};
use manyframe_media::{
    Check, ImagePolicy, MediaLimits, Prepared, decode_rgb, prepare_image, probe_image_bytes, resize,
};

use crate::support::{code, fixture, fixtures, jpeg, picture, store, write};

/// Levels by which a decoder may differ from Pillow's: JPEG and lossy WebP are specified up to rounding.
fn tolerance(name: &str) -> u8 {
    match name {
        // Conversions whose rounding differs.
        "lab.tif" => 3,
        // libavif converts with libyuv, whose weights have six bits and are at most 2: blue of this has 2.1.
        "709_limited.avif" => 14,
        _ if name.contains("avif") => 4,
        _ if name.ends_with("jpg") || name.contains("jpeg") || name.starts_with("lossy") => 2,
        _ => 1,
    }
}

#[test]
fn every_fixture_decodes_to_what_pillow_shows() {
    for fixture in fixtures() {
        let image = decode_rgb(&fixture.bytes, &MediaLimits::default()).unwrap();
        assert_eq!((image.width_px(), image.height_px()), (fixture.width_px, fixture.height_px), "{}", fixture.name);
        assert_eq!(image.pixels().len(), fixture.pixels.len(), "{}", fixture.name);
        let difference = image.pixels().iter().zip(&fixture.pixels).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(difference <= tolerance(&fixture.name), "{}: {difference} levels", fixture.name);
    }
}

#[test]
fn headers_agree_with_pillow() {
    for fixture in fixtures() {
        let header = probe_image_bytes(&fixture.bytes, &MediaLimits::default()).unwrap();
        assert_eq!((header.width_px, header.height_px), (fixture.width_px, fixture.height_px), "{}", fixture.name);
        assert_eq!(header.orientation, fixture.orientation, "{}", fixture.name);
        assert_eq!(header.is_animated, fixture.is_animated, "{}", fixture.name);
        assert_eq!(header.deliverable_as_is, fixture.deliverable_as_is, "{}", fixture.name);
        assert_eq!(header.num_bytes, fixture.bytes.len() as u64, "{}", fixture.name);
    }
}

#[test]
fn an_image_keeps_its_bytes_or_becomes_a_jpeg() {
    for fixture in fixtures() {
        let Prepared { image, handling } = prepare_image(fixture.bytes.clone(), &ImagePolicy::default()).unwrap();
        assert_eq!((image.width_px, image.height_px), (fixture.width_px, fixture.height_px), "{}", fixture.name);
        let expected = match fixture.name.as_str() {
            "exif_corrupt.jpg" => Handling::Cleaned,
            _ if fixture.deliverable_as_is => Handling::Unchanged,
            _ => Handling::Encoded,
        };
        assert_eq!(handling, expected, "{}", fixture.name);
        assert_eq!(image.bytes == fixture.bytes, handling == Handling::Unchanged, "{}", fixture.name);
        let extension = fixture.name.rsplit('.').next().unwrap();
        let expected = if fixture.deliverable_as_is { extension } else { "jpg" };
        assert_eq!(image.format.extension(), expected, "{}", fixture.name);
    }
}

#[test]
fn an_image_above_the_longest_edge_is_scaled_and_a_smaller_one_is_not() {
    let policy = ImagePolicy { max_edge_px: Some(100), ..ImagePolicy::default() };
    let scaled = prepare_image(jpeg(300, 151), &policy).unwrap().image;
    assert_eq!((scaled.width_px, scaled.height_px, scaled.format), (100, 50, ImageFormat::Jpeg));
    assert_eq!(decode_rgb(&scaled.bytes, &policy.limits).unwrap().width_px(), 100);
    assert_eq!(prepare_image(jpeg(100, 50), &policy).unwrap().image.bytes, jpeg(100, 50));
}

#[test]
fn preparing_the_same_image_leads_to_the_same_bytes() {
    let policy = ImagePolicy { max_edge_px: Some(64), ..ImagePolicy::default() };
    let first = prepare_image(jpeg(200, 150), &policy).unwrap();
    prepare_image(jpeg(400, 300), &policy).unwrap();
    let in_another_thread = std::thread::spawn(move || prepare_image(jpeg(200, 150), &policy).unwrap());
    assert_eq!(in_another_thread.join().unwrap(), first);
}

#[test]
fn a_header_check_does_not_see_damage_in_the_middle_and_a_decoding_check_does() {
    let mut bytes = fixture("rgb.png");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    let policy = ImagePolicy { check: Check::Header, ..ImagePolicy::default() };
    assert!(prepare_image(bytes.clone(), &policy).is_ok());
    assert!(prepare_image(bytes, &ImagePolicy::default()).is_err());
}

#[test]
fn a_header_longer_than_the_first_read_is_read_in_full() {
    // Four application segments of 60 kB before the frame header.
    let mut bytes = jpeg(40, 30);
    let segment = [vec![0xff, 0xed, 0xea, 0x62], vec![0; 60_000]].concat();
    bytes.splice(2..2, segment.repeat(4));
    let folder = tempfile::tempdir().unwrap();
    write(folder.path().join("long.jpg"), &bytes);
    let store = store(folder.path());
    let located = store.locate("", "long.jpg").unwrap();
    let header = located.probe_image(&MediaLimits::default()).unwrap();
    assert_eq!((header.width_px, header.height_px, header.num_bytes), (40, 30, bytes.len() as u64));
}

#[test]
fn scaling_agrees_with_pillow() {
    // `Image.resize((13, 9), Image.BICUBIC)` of the fixture's pixels, top row, by Pillow 13.0.0.
    let expected: [u8; 39] = [
        5, 6, 8, 22, 6, 21, 36, 2, 35, 60, 7, 47, 77, 5, 61, 94, 3, 74, 115, 7, 85, 133, 6, 98, 152, 6, 111, 170, 6,
        124, 189, 6, 137, 208, 6, 150, 225, 6, 163,
    ];
    let image = decode_rgb(&fixture("rgb.png"), &MediaLimits::default()).unwrap();
    let scaled = resize(image.view(), 13, 9).unwrap();
    let difference = scaled.pixels().iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max().unwrap();
    assert!(difference <= 1, "{difference} levels: {:?}", &scaled.pixels()[..39]);
}

#[test]
fn scaling_to_the_same_size_is_a_copy() {
    let image = picture(31, 17);
    assert_eq!(resize(image.view(), 31, 17).unwrap(), image);
}

#[test]
fn harmless_oddities_are_no_damage() {
    let plain = fixture("baseline.jpg");
    let expected = decode_rgb(&plain, &MediaLimits::default()).unwrap();
    let with = |position: usize, bytes: &[u8]| {
        let mut odd = plain.clone();
        odd.splice(position..position, bytes.iter().copied());
        odd
    };
    let mut odd_revision = plain.clone();
    assert_eq!(&plain[6..11], b"JFIF\0");
    odd_revision[11] = 9;
    let mut without_coefficients = plain.clone();
    let scan = plain.windows(2).rposition(|marker| marker == [0xff, 0xda]).unwrap();
    let scan_end = scan + 2 + usize::from(plain[scan + 3]);
    assert_eq!(plain[scan_end - 3..scan_end], [0, 63, 0]);
    without_coefficients[scan_end - 2] = 0;
    let odd = [
        ("colour profile in pieces", with(20, b"\xff\xe2\0\x12ICC_PROFILE\0\x07\x02xx")),
        ("bytes between segments", with(20, b"garbage")),
        ("bytes before the end", with(plain.len() - 2, &[1, 2, 3])),
        ("unknown JFIF revision", odd_revision),
        ("unknown Adobe transform", with(20, b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x07")),
        ("a scan that states no coefficients", without_coefficients),
    ];
    for (oddity, bytes) in odd {
        // Something else first, so that pixels that were not decoded would show.
        decode_rgb(&fixture("gray.jpg"), &MediaLimits::default()).unwrap();
        assert_eq!(decode_rgb(&bytes, &MediaLimits::default()).unwrap(), expected, "{oddity}");
        assert_eq!(prepare_image(bytes.clone(), &ImagePolicy::default()).unwrap().image.bytes, bytes, "{oddity}");
    }
}

/// A JPEG without some of its segments.
fn jpeg_without(bytes: &[u8], unwanted: &[u8]) -> Vec<u8> {
    let (mut kept, mut position) = (bytes[..2].to_vec(), 2);
    while bytes[position + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([bytes[position + 2], bytes[position + 3]]));
        if !unwanted.contains(&bytes[position + 1]) {
            kept.extend_from_slice(&bytes[position..position + length]);
        }
        position += length;
    }
    [kept, bytes[position..].to_vec()].concat()
}

#[test]
fn a_jpeg_without_tables_is_not_decoded_with_those_of_the_one_before() {
    let whole = fixture("baseline.jpg");
    let without_quantization = jpeg_without(&whole, &[0xdb]);
    for _ in 0..2 {
        decode_rgb(&whole, &MediaLimits::default()).unwrap();
        assert_eq!(code(decode_rgb(&without_quantization, &MediaLimits::default())), RejectCode::MediaCorrupt);
    }
    // libjpeg knows the tables of the standard, whatever it decoded before.
    let without_codes = jpeg_without(&whole, &[0xc4]);
    let before = decode_rgb(&without_codes, &MediaLimits::default()).ok();
    decode_rgb(&fixture("progressive.jpg"), &MediaLimits::default()).unwrap();
    assert_eq!(decode_rgb(&without_codes, &MediaLimits::default()).ok(), before);
}

#[test]
fn application_data_without_a_length_and_unknown_transforms_are_no_damage() {
    let plain = fixture("baseline.jpg");
    let expected = decode_rgb(&plain, &MediaLimits::default()).unwrap();
    for length in [0, 1] {
        let mut odd = plain.clone();
        odd.splice(20..20, [0xff, 0xe5, 0, length]);
        let prepared = prepare_image(odd, &ImagePolicy::default()).unwrap();
        assert_eq!(prepared.handling, Handling::Cleaned);
        assert_eq!(decode_rgb(&prepared.image.bytes, &MediaLimits::default()).unwrap(), expected);
    }
    let cmyk = fixture("cmyk_adobe.jpg");
    let transform = cmyk.windows(5).position(|name| name == b"Adobe").unwrap() + 11;
    let with = |number: u8| {
        let mut bytes = cmyk.clone();
        bytes[transform] = number;
        decode_rgb(&bytes, &MediaLimits::default()).unwrap()
    };
    assert_eq!(with(1), with(2));
    assert_eq!(with(3), with(2));
    assert_ne!(with(0), with(2));
}

#[test]
fn a_damaged_jpeg_does_not_spoil_the_next_one() {
    let plain = fixture("baseline.jpg");
    let frame = plain.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    // A reserved marker, and a second frame header: libjpeg stops at both.
    for (position, segment) in [(2, vec![0xff, 0x02, 0x00, 0x02]), (frame, plain[frame..frame + 19].to_vec())] {
        let mut damaged = plain.clone();
        damaged.splice(position..position, segment);
        let _whatever_it_is = decode_rgb(&damaged, &MediaLimits::default());
        decode_rgb(&plain, &MediaLimits::default()).unwrap();
    }
}
