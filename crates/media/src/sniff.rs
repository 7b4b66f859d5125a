//! Identifies files by their first bytes. File names do not count.

use manyframe_core::RejectCode;

use crate::error::MediaError;
use crate::pnm::is_space;

/// The encoding of an upstream image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceFormat {
    /// JPEG, including the first image of an MPO.
    Jpeg,
    /// PNG, including animated ones.
    Png,
    /// WebP, including animated ones.
    Webp,
    /// GIF, including animated ones.
    Gif,
    /// Windows or OS/2 bitmap.
    Bmp,
    /// TIFF and BigTIFF.
    Tiff,
    /// AVIF, including animated ones.
    Avif,
    /// PBM, PGM and PPM, as text or binary.
    Pnm,
}

/// Number of bytes that [`describe`] examines.
const SNIFF_BYTES: usize = 512;

/// The image format of some bytes; anything else is a rejection that says what they are.
pub(crate) fn sniff(bytes: &[u8]) -> Result<SourceFormat, MediaError> {
    match bytes {
        [] => Err(MediaError::rejected(RejectCode::MediaEmpty, "the file has no bytes")),
        [0xff, 0xd8, 0xff, ..] => Ok(SourceFormat::Jpeg),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Ok(SourceFormat::Png),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Ok(SourceFormat::Webp),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Ok(SourceFormat::Gif),
        // Some write the number in the order that the letters do not say; readers go by the letters.
        [b'I', b'I', 42 | 43, 0, ..]
        | [b'M', b'M', 0, 42 | 43, ..]
        | [b'I', b'I', 0, 42, ..]
        | [b'M', b'M', 42, 0, ..] => Ok(SourceFormat::Tiff),
        _ if is_avif(bytes) => Ok(SourceFormat::Avif),
        [b'P', b'1'..=b'6', after, ..] if *after == b'#' || is_space(*after) => Ok(SourceFormat::Pnm),
        // Two letters prove nothing; the size of the second header does.
        [b'B', b'M', _, _, _, _, _, _, _, _, _, _, _, _, 12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => {
            Ok(SourceFormat::Bmp)
        }
        _ => Err(MediaError::rejected(
            if is_audio(bytes) { RejectCode::UnsupportedMedia } else { RejectCode::MediaType },
            format!("the file is {}, expected a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or PNM image", describe(bytes)),
        )),
    }
}

/// Whether the first box names AVIF, as its brand or among those that it is compatible with.
fn is_avif(bytes: &[u8]) -> bool {
    let [s0, s1, s2, s3, b'f', b't', b'y', b'p', ..] = *bytes else { return false };
    let end = (u32::from_be_bytes([s0, s1, s2, s3]) as usize).min(bytes.len()).min(SNIFF_BYTES);
    let brands = bytes.get(8..end).unwrap_or_default().as_chunks::<4>().0;
    let is_named = |brand: &[u8; 4]| matches!(brand, b"avif" | b"avis");
    match brands {
        [major, _version, compatible @ ..] => {
            is_named(major) || matches!(major, b"mif1" | b"msf1") && compatible.iter().any(is_named)
        }
        brands => brands.iter().any(is_named),
    }
}

/// A description, with an article, of bytes that are not a supported image.
pub(crate) fn describe(bytes: &[u8]) -> &'static str {
    if is_audio(bytes) {
        return "an audio file";
    }
    match bytes {
        [] => "an empty file",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x1f, 0x8b, ..] => "a gzip file",
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand {
            _ if is_avif(bytes) => "an AVIF image",
            [b'h', b'e', b'i' | b'v', b'c' | b'x', ..] | [b'm', b'i', b'f', b'1', ..] => "a HEIC image",
            _ => "an MP4 or QuickTime video",
        },
        [0x1a, 0x45, 0xdf, 0xa3, ..] => "a Matroska or WebM video",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'A', b'V', b'I', ..] => "an AVI video",
        [0, 0, 1, 0xba | 0xb3, ..] => "an MPEG video",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => match bytes.get(12..21) {
            Some([b'V', b'P', b'8', b'X', _, _, _, _, flags]) if flags & 2 != 0 => "an animated WebP image",
            _ => "a WebP image",
        },
        [b'G', b'I', b'F', b'8', ..] => "a GIF image",
        [0xff, 0xd8, 0xff, ..] => "a JPEG image",
        [0x89, b'P', b'N', b'G', ..] => "a PNG image",
        [b'P', b'F' | b'f' | b'7', b'\n', ..] => "a PFM or PAM image",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop document",
        [b'q', b'o', b'i', b'f', ..] => "a QOI image",
        [b'D', b'D', b'S', b' ', ..] => "a DDS texture",
        [b'i', b'c', b'n', b's', ..] => "an Apple icon",
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', ..] => "a JPEG XL image",
        [0, 0, 0, 12, b'j', b'P', ..] => "a JPEG 2000 image",
        [0, 0, 1, 0, _, 0, ..] => "a Windows icon",
        _ => describe_text(bytes),
    }
}

fn describe_text(bytes: &[u8]) -> &'static str {
    let (head, _) = bytes.split_at(SNIFF_BYTES.min(bytes.len()));
    if head.iter().all(|&byte| byte == 0) {
        return "nothing but zero bytes";
    }
    let is_text = head.iter().all(|&byte| byte >= b' ' || matches!(byte, b'\t' | b'\r' | b'\n'));
    if !is_text {
        return "of an unknown type";
    }
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    if text.starts_with("version https://git-lfs") {
        "a git-lfs pointer (run: git lfs pull)"
    } else if text.starts_with("<!doctype html") || text.starts_with("<html") || text.contains("<head") {
        "an HTML page"
    } else if text.contains("<svg") {
        "an SVG drawing"
    } else if text.starts_with("<?xml") {
        "an XML document"
    } else if text.starts_with(['{', '[']) {
        "JSON text"
    } else {
        "plain text"
    }
}

fn is_audio(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [b'I', b'D', b'3', ..]
            | [b'f', b'L', b'a', b'C', ..]
            | [b'O', b'g', b'g', b'S', ..]
            | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..]
            | [0xff, 0xf1 | 0xf9 | 0xf3 | 0xfa | 0xfb, ..]
            | [_, _, _, _, b'f', b't', b'y', b'p', b'M', b'4', b'A', ..]
    )
}

#[cfg(test)]
mod tests {
    use manyframe_core::Rejection;

    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: RejectCode, description: &str) {
        match sniff(bytes) {
            Err(MediaError::Rejected(Rejection { code, detail })) => {
                assert_eq!(code, expected, "{detail}");
                assert!(detail.contains(description), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_is_no_image_is_described() {
        check(b"", RejectCode::MediaEmpty, "no bytes");
        check(b"\n<!DOCTYPE html><html>404", RejectCode::MediaType, "an HTML page");
        check(b"version https://git-lfs.github.com/spec/v1\noid sha256:", RejectCode::MediaType, "a git-lfs pointer");
        check(b"RIFF\0\0\0\0WAVEfmt ", RejectCode::UnsupportedMedia, "an audio file");
        check(b"ID3\x04\0", RejectCode::UnsupportedMedia, "an audio file");
        check(b"{\"error\": \"not found\"}", RejectCode::MediaType, "JSON text");
        check(b"<svg xmlns=''>", RejectCode::MediaType, "an SVG drawing");
        check(b"\0\0\0 ftypheic", RejectCode::MediaType, "a HEIC image");
        check(b"P7\nWIDTH 2", RejectCode::MediaType, "a PFM or PAM image");
        check(b"\0\0\0 ftypisom", RejectCode::MediaType, "an MP4 or QuickTime video");
        check(&[0; 40], RejectCode::MediaType, "nothing but zero bytes");
        check(b"BMW is a car", RejectCode::MediaType, "plain text");
        check(b"\x01\x02\x03", RejectCode::MediaType, "of an unknown type");
    }
}
