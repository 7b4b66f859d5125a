//! Files whose pixels are good and whose container is not: what is delivered opens in every reader.

use manyframe_core::{Handling, ImageFormat, RejectCode};
use manyframe_media::{
    Check, ImagePolicy, MediaLimits, Prepared, RgbImage, check_delivered, decode_rgb, prepare_image, probe_image_bytes,
};

use crate::support::{code, deflated, exif, fixture, jpeg_with, png_chunk, png_with, png_with_after, riff, riff_chunk};

fn limits() -> MediaLimits {
    MediaLimits::default()
}

/// Checks how an image is delivered, and that it keeps its pixels.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "each case makes its bytes in place")]
fn check(name: &str, bytes: Vec<u8>, pixels: &RgbImage, expected: Handling) {
    let Prepared { image, handling } = prepare_image(bytes.clone(), &ImagePolicy::default()).unwrap();
    assert_eq!(handling, expected, "{name}");
    assert_eq!(image.bytes == bytes, handling == Handling::Unchanged, "{name}");
    assert_eq!(check_delivered(&image.bytes, &limits()).unwrap(), (image.width_px, image.height_px), "{name}");
    if handling == Handling::Encoded {
        assert_eq!(image.format, ImageFormat::Jpeg, "{name}");
        assert_eq!(decode_rgb(&bytes, &limits()).unwrap(), *pixels, "{name}");
    } else {
        assert_eq!(decode_rgb(&image.bytes, &limits()).unwrap(), *pixels, "{name}");
        assert_eq!(check_delivered(&bytes, &limits()).is_ok(), handling == Handling::Unchanged, "{name}");
    }
}

#[test]
fn a_png_that_a_reader_would_refuse_is_cleaned() {
    let pixels = decode_rgb(&fixture("rgb.png"), &limits()).unwrap();
    let text = |text: &[u8]| [b"key\0\0", &deflated(text)[..]].concat();
    let bomb = vec![0; 2 << 20];
    let mut wrong_crc = png_chunk(*b"tEXt", b"key\0text");
    *wrong_crc.last_mut().unwrap() ^= 1;
    let many: Vec<u8> = (0..1_001).flat_map(|_| png_chunk(*b"tEXt", b"key\0text")).collect();
    let large: Vec<u8> = (0..40).flat_map(|_| png_chunk(*b"zTXt", &text(&vec![b'a'; 1 << 20]))).collect();
    let cases = [
        ("colour profile of 2 MB", png_chunk(*b"iCCP", &text(&bomb))),
        ("colour profile by an unknown method", png_chunk(*b"iCCP", b"p\0\x01data")),
        ("colour profile that is none", png_chunk(*b"iCCP", b"p\0\0data")),
        ("text of 2 MB", png_chunk(*b"zTXt", &text(&bomb))),
        ("international text of 2 MB", png_chunk(*b"iTXt", &[b"key\0\x01\0\0\0", &deflated(&bomb)[..]].concat())),
        ("text by an unknown method", png_chunk(*b"zTXt", b"key\0\x01data")),
        ("more texts than readers accept", many),
        ("larger texts than readers accept", large),
        ("wrong checksum of a text", wrong_crc),
        ("gamma cut short", png_chunk(*b"gAMA", b"\0")),
        ("resolution cut short", png_chunk(*b"pHYs", b"\0\0")),
        ("rendering intent cut short", png_chunk(*b"sRGB", b"")),
        ("animation of one frame", png_chunk(*b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0])),
        ("animation of no frame", png_chunk(*b"acTL", &[0; 8])),
        ("EXIF cut short", png_chunk(*b"eXIf", &exif(1)[..20])),
        ("EXIF that is none", png_chunk(*b"eXIf", b"junk")),
        ("orientation that is none", png_chunk(*b"eXIf", &exif(9))),
        ("EXIF profile that is not hexadecimal", png_chunk(*b"tEXt", b"Raw profile type exif\0\nexif\n2\nzz")),
        ("text that Pillow takes for where a frame is", png_chunk(*b"tEXt", b"bbox\0[1, 2, 30, 40]")),
        ("text that Pillow takes for how rows are stored", png_chunk(*b"iTXt", b"interlace\0\0\0\0\0yes")),
        ("text that Pillow takes for a colour", png_chunk(*b"tEXt", b"transparency\0none")),
        ("text that Pillow takes for XMP", png_chunk(*b"tEXt", b"xmp\0text")),
        ("two gammas around a palette", [png_chunk(*b"PLTE", &[0; 30]), png_chunk(*b"gAMA", &[0; 4])].concat()),
    ];
    for (name, chunk) in cases {
        check(name, png_with(&chunk), &pixels, Handling::Cleaned);
    }
    let late = [
        ("late text of 2 MB", png_chunk(*b"zTXt", &text(&bomb))),
        ("late gamma", png_chunk(*b"gAMA", &[0, 0, 0xb1, 0x8f])),
        ("late transparency", png_chunk(*b"tRNS", &[0; 6])),
        ("pixels again", png_chunk(*b"IDAT", b"")),
    ];
    for (name, chunk) in late {
        let between = [png_chunk(*b"tEXt", b"key\0text"), chunk].concat();
        check(name, png_with_after(&between), &pixels, Handling::Cleaned);
    }
}

#[test]
fn a_png_without_a_whole_end_is_cleaned() {
    let whole = fixture("rgb.png");
    let pixels = decode_rgb(&whole, &limits()).unwrap();
    for num_missing in [1, 4, 6, 12] {
        check(
            &format!("{num_missing} missing"),
            whole[..whole.len() - num_missing].to_vec(),
            &pixels,
            Handling::Cleaned,
        );
    }
}

#[test]
fn a_png_that_ends_in_the_checksum_of_its_pixels_is_cleaned() {
    let whole = fixture("rgb.png");
    let pixels = decode_rgb(&whole, &limits()).unwrap();
    for num_missing in [13, 16] {
        let cut = whole[..whole.len() - num_missing].to_vec();
        check(&format!("{num_missing} missing"), cut, &pixels, Handling::Cleaned);
    }
    let cut = whole[..whole.len() - 17].to_vec();
    assert_eq!(code(prepare_image(cut, &ImagePolicy::default())), RejectCode::MediaCorrupt);
}

#[test]
fn a_png_with_its_chunks_out_of_order_is_cleaned() {
    let whole = fixture("rgb.png");
    let pixels = decode_rgb(&whole, &limits()).unwrap();
    let before_header = |chunks: &[u8]| [&whole[..8], chunks, &whole[8..]].concat();
    check("gamma first", before_header(&png_chunk(*b"gAMA", &[0, 0, 0xb1, 0x8f])), &pixels, Handling::Cleaned);
    check("unknown first", before_header(&png_chunk(*b"prVw", &vec![7; 90_000])), &pixels, Handling::Cleaned);
    let turned = before_header(&png_chunk(*b"eXIf", &exif(6)));
    assert_eq!(probe_image_bytes(&turned, &limits()).unwrap().orientation, 6);
    let no_header = before_header(&png_chunk(*b"IDAT", b""));
    assert_eq!(code(prepare_image(no_header, &ImagePolicy::default())), RejectCode::MediaCorrupt);
    let mut method = whole[16..29].to_vec();
    method[10] = 1;
    let method = [&whole[..8], &png_chunk(*b"IHDR", &method), &whole[33..]].concat();
    check("unknown method of compression", method, &pixels, Handling::Cleaned);
}

#[test]
fn a_palette_that_is_cut_short_or_stated_twice_is_cleaned() {
    let whole = fixture("palette.png");
    let pixels = decode_rgb(&whole, &limits()).unwrap();
    let start = whole.windows(4).position(|kind| kind == b"PLTE").unwrap() - 4;
    let length = u32::from_be_bytes(whole[start..start + 4].try_into().unwrap()) as usize;
    let colors = &whole[start + 8..start + 8 + length];
    let with = |palettes: &[u8]| [&whole[..start], palettes, &whole[start + 12 + length..]].concat();
    let cut = with(&png_chunk(*b"PLTE", &[colors, &[1]].concat()));
    check("two bytes of a colour are missing", cut, &pixels, Handling::Cleaned);
    // Pillow uses the last one.
    let twice = [png_chunk(*b"PLTE", &vec![0; length]), png_chunk(*b"PLTE", colors)].concat();
    check("two palettes", with(&twice), &pixels, Handling::Cleaned);
    for missing in [with(&[]), with(&png_chunk(*b"PLTE", b""))] {
        assert_eq!(code(prepare_image(missing, &ImagePolicy::default())), RejectCode::MediaCorrupt);
    }
}

#[test]
fn a_png_with_harmless_metadata_keeps_its_bytes() {
    let pixels = decode_rgb(&fixture("rgb.png"), &limits()).unwrap();
    let cases = [
        ("text", png_chunk(*b"tEXt", b"key\0text")),
        ("deflated text", png_chunk(*b"zTXt", &[b"key\0\0", &deflated(&vec![b'a'; 1 << 20])[..]].concat())),
        ("gamma", png_chunk(*b"gAMA", &[0, 0, 0xb1, 0x8f])),
        ("profile", png_chunk(*b"iCCP", &[b"p\0\0", &deflated(&[7; 3_000])[..]].concat())),
        ("upright EXIF", png_chunk(*b"eXIf", &exif(1))),
        ("unknown", png_chunk(*b"zzZz", b"anything")),
    ];
    for (name, chunk) in cases {
        check(name, png_with(&chunk), &pixels, Handling::Unchanged);
    }
    check("garbage at the end", [fixture("rgb.png"), b"garbage".to_vec()].concat(), &pixels, Handling::Unchanged);
}

#[test]
fn one_of_the_two_checksums_of_png_pixels_is_enough() {
    let whole = fixture("rgb.png");
    let pixels = decode_rgb(&whole, &limits()).unwrap();
    let start = whole.windows(4).position(|kind| kind == b"IDAT").unwrap();
    let length = u32::from_be_bytes(whole[start - 4..start].try_into().unwrap()) as usize;
    let (before, content) = (&whole[..start - 4], &whole[start + 4..start + 4 + length]);
    let end = png_chunk(*b"IEND", b"");

    let mut content = content.to_vec();
    let mut wrong_crc = png_chunk(*b"IDAT", &content);
    *wrong_crc.last_mut().unwrap() ^= 1;
    check("wrong CRC", [before, &wrong_crc, &end].concat(), &pixels, Handling::Cleaned);

    *content.last_mut().unwrap() ^= 1;
    let wrong_adler = png_chunk(*b"IDAT", &content);
    check("wrong Adler-32", [before, &wrong_adler, &end].concat(), &pixels, Handling::Encoded);

    let mut both_wrong = wrong_adler;
    *both_wrong.last_mut().unwrap() ^= 1;
    let both_wrong = [before, &both_wrong, &end].concat();
    assert_eq!(code(prepare_image(both_wrong, &ImagePolicy::default())), RejectCode::MediaCorrupt);
}

#[test]
fn a_png_whose_size_or_colours_are_damaged_is_corrupt() {
    for (name, kind, at) in
        [("rgb.png", b"IHDR", 7), ("palette.png", b"PLTE", 1), ("palette_transparent.png", b"tRNS", 0)]
    {
        let mut bytes = fixture(name);
        let start = bytes.windows(4).position(|window| window == kind).unwrap();
        bytes[start + 4 + at] ^= 1;
        assert_eq!(code(prepare_image(bytes.clone(), &ImagePolicy::default())), RejectCode::MediaCorrupt, "{name}");
        assert!(probe_image_bytes(&bytes, &limits()).is_err(), "{name}: found before anything is decoded");
    }
}

#[test]
fn checksums_of_pixels_are_left_alone_where_only_headers_are_checked() {
    let policy = ImagePolicy { check: Check::Header, ..ImagePolicy::default() };
    let bytes = png_with(&png_chunk(*b"zTXt", b"key\0\x01data"));
    assert_eq!(prepare_image(bytes, &policy).unwrap().handling, Handling::Cleaned);
}

#[test]
fn a_jpeg_that_a_reader_would_refuse_is_cleaned() {
    let pixels = decode_rgb(&fixture("baseline.jpg"), &limits()).unwrap();
    let index = |num_images: u8| {
        let mut index = b"MPF\0II*\0\x08\0\0\0\x02\0\x01\xb0\x04\0\x01\0\0\0".to_vec();
        index.extend([num_images, 0, 0, 0]);
        index.extend(b"\x02\xb0\x07\0\x10\0\0\0\x26\0\0\0\0\0\0\0");
        index.extend([0; 16]);
        index
    };
    let with_prefix = |exif: &[u8]| [b"Exif\0\0", exif].concat();
    let refused: [(&str, u8, Vec<u8>); 11] = [
        ("EXIF cut short", 0xe1, with_prefix(&exif(1)[..20])),
        ("EXIF that is none", 0xe1, with_prefix(b"junk")),
        ("JFIF cut short", 0xe0, b"JFIF\0".to_vec()),
        ("Adobe cut short", 0xee, b"Adobe".to_vec()),
        ("profile cut short", 0xe2, b"ICC_PROFILE\0".to_vec()),
        ("index of images that is none", 0xe2, b"MPF\0junk".to_vec()),
        ("index of images that are not there", 0xe2, index(2)),
        ("Photoshop resource without a name", 0xed, b"Photoshop 3.0\08BIM\x04\x04".to_vec()),
        ("Photoshop resource cut short", 0xed, b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\x10\0".to_vec()),
        ("extension", 0xf0, b"data".to_vec()),
        ("another extension", 0xc8, b"data".to_vec()),
    ];
    for (name, marker, segment) in refused {
        check(name, jpeg_with(marker, &segment), &pixels, Handling::Cleaned);
    }
    let mut stand_alone = fixture("baseline.jpg");
    stand_alone.splice(2..2, [0xff, 0x01]);
    check("marker that stands alone", stand_alone, &pixels, Handling::Cleaned);
    let kept = [
        ("EXIF", 0xe1, with_prefix(&exif(1))),
        ("comment", 0xfe, b"text".to_vec()),
        ("index of images", 0xe2, index(1)),
        ("Photoshop resource", 0xed, b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x02ab".to_vec()),
    ];
    for (name, marker, segment) in kept {
        check(name, jpeg_with(marker, &segment), &pixels, Handling::Unchanged);
    }
}

#[test]
fn a_webp_that_a_reader_would_refuse_is_cleaned() {
    let plain = fixture("lossy.webp");
    let pixels = decode_rgb(&plain, &limits()).unwrap();
    let image = plain[12..].to_vec();
    let extended = |flags: u8, chunks: &[&[u8]]| {
        let header = riff_chunk(*b"VP8X", &[flags, 0, 0, 0, 23, 0, 0, 15, 0, 0]);
        riff(&[&[&header[..]], chunks].concat().concat())
    };
    let mut too_large = plain.clone();
    too_large[5] += 1;
    let exif_chunk = riff_chunk(*b"EXIF", &exif(1));
    let mut larger_with_exif = extended(8, &[&image, &exif_chunk]);
    larger_with_exif[5] += 1;
    let cleaned = [
        ("a size beyond the end", too_large),
        ("a size beyond the end, with EXIF", larger_with_exif),
        ("EXIF that is none", extended(8, &[&image, &riff_chunk(*b"EXIF", b"junk")])),
        ("EXIF that is announced and missing", extended(8, &[&image])),
        ("two images", riff(&[&image[..], &image].concat())),
    ];
    for (name, bytes) in cleaned {
        check(name, bytes, &pixels, Handling::Cleaned);
    }
    check("upright EXIF", extended(8, &[&image, &exif_chunk]), &pixels, Handling::Unchanged);
    check("garbage at the end", [plain, b"garbage".to_vec()].concat(), &pixels, Handling::Unchanged);
}

#[test]
fn an_image_that_is_turned_or_of_another_format_is_not_as_delivered() {
    for name in
        ["orientation_6.jpg", "orientation_6.png", "orientation_8.webp", "still.gif", "rgba.png", "animated.webp"]
    {
        assert!(probe_image_bytes(&fixture(name), &limits()).is_ok(), "{name}");
        assert_eq!(code(check_delivered(&fixture(name), &limits())), RejectCode::MediaCorrupt, "{name}");
    }
}
