//! The chunks of a WebP (RFC 9649), by the rules of libwebp.

use crate::metadata::is_sound_exif;
use crate::probe::{webp_chunks, webp_end};

/// `RIFF`, a size, `WEBP`.
const HEADER_BYTES: usize = 12;

/// The bit of a frame (RFC 6386, section 9.1) that has it shown.
const SHOWN: u8 = 0x10;

/// Reserved flags of the extended format, one of which was withdrawn: Pillow, or libwebp itself, refuses files with them.
const RESERVED: u8 = 0xc1;

pub(super) fn flaw(bytes: &[u8]) -> Option<&'static str> {
    let Ok(end) = webp_end(bytes) else { return Some("it has no size") };
    if end > bytes.len() {
        return Some("it claims more bytes than it has");
    }
    let (mut num_images, mut position, mut announced) = (0, HEADER_BYTES, 0);
    for (index, chunk) in webp_chunks(bytes, end).enumerate() {
        let Ok((kind, content)) = chunk else { return Some("a chunk claims more bytes than there are") };
        position += 8 + content.len().next_multiple_of(2);
        match &kind {
            b"VP8 " if content.first().is_some_and(|tag| tag & SHOWN == 0) => {
                return Some("its image is not to be shown");
            }
            b"VP8 " if !has_sound_header(content) => return Some("its image has a header that libwebp refuses"),
            b"VP8 " | b"VP8L" => num_images += 1,
            b"VP8X" if content.first().is_some_and(|flags| flags & RESERVED != 0) => {
                return Some("it has flags that are reserved");
            }
            b"VP8X" if index == 0 && content.len() == 10 => announced = content.first().map_or(0, |flags| flags & 0x2c),
            b"VP8X" | b"ALPH" | b"ANIM" | b"ANMF" => return Some("its chunks contradict each other"),
            b"EXIF" if !is_sound_exif(content) => return Some("its EXIF is damaged"),
            b"EXIF" => announced &= !0x08,
            b"XMP " => announced &= !0x04,
            b"ICCP" => announced &= !0x20,
            _ => {}
        }
    }
    if position != end {
        return Some("its size is not that of its chunks");
    }
    if announced != 0 {
        return Some("it does not have the metadata that it announces");
    }
    (num_images != 1).then_some("it does not have one image")
}

/// Whether a lossy image (RFC 6386, section 9.1) is of a known version, and its first partition is in it, as libwebp asks.
pub(crate) fn has_sound_header(image: &[u8]) -> bool {
    const LAST_VERSION: u32 = 3;
    let Some(&[first, second, third]) = image.first_chunk() else { return false };
    let tag = u32::from_le_bytes([first, second, third, 0]);
    tag >> 1 & 7 <= LAST_VERSION && ((tag >> 5) as usize) < image.len()
}

/// The simple form of the file: its image alone.
pub(crate) fn cleaned(bytes: &[u8]) -> Option<Vec<u8>> {
    let images = webp_chunks(bytes, bytes.len()).map_while(Result::ok);
    let (kind, image) = images.into_iter().find(|(kind, _)| matches!(kind, b"VP8 " | b"VP8L"))?;
    let padding: &[u8] = if image.len().is_multiple_of(2) { &[] } else { &[0] };
    let chunk = [&kind[..], &u32::try_from(image.len()).ok()?.to_le_bytes(), image, padding].concat();
    let size = u32::try_from(HEADER_BYTES - 8 + chunk.len()).ok()?;
    Some([&b"RIFF"[..], &size.to_le_bytes(), b"WEBP", &chunk].concat())
}
