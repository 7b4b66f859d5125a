//! The segments of a JPEG before its first scan, by the rules of libjpeg and Pillow. Costs microseconds.

use std::borrow::Cow;

use crate::metadata::{Ifd, is_sound_exif};
use crate::probe::{add_exif, for_each_segment};

pub(super) fn flaw(bytes: &[u8]) -> Option<&'static str> {
    let mut flaw = None;
    let mut exif: Option<Cow<'_, [u8]>> = None;
    let walked = for_each_segment(bytes, |marker, segment| {
        if marker == 0xe1 {
            add_exif(&mut exif, segment);
        }
        flaw = flaw.or_else(|| flaw_of_segment(marker, segment));
        Ok(())
    });
    if walked.is_err() {
        return Some("its segments cannot be told apart");
    }
    flaw.or_else(|| exif.filter(|exif| !is_sound_exif(exif)).map(|_exif| "its EXIF is damaged"))
}

fn flaw_of_segment(marker: u8, segment: &[u8]) -> Option<&'static str> {
    match marker {
        // Stand-alone markers, and those that are reserved for extensions.
        0..=0xbf | 0xc8 | 0xd0..=0xd9 | 0xf0..=0xfd => Some("it has a marker that belongs elsewhere"),
        0xe0..=0xef | 0xfe if segment.is_empty() => Some("it has an empty segment"),
        0xe0 if segment.starts_with(b"JFIF") && segment.len() < 12 => Some("its JFIF segment is cut short"),
        0xe2 if segment.starts_with(b"ICC_PROFILE\0") && segment.len() < 14 => Some("its colour profile is cut short"),
        0xe2 if segment.strip_prefix(b"MPF\0").is_some_and(|index| !is_sound_index(index)) => {
            Some("its index of further images is damaged")
        }
        0xed if segment.strip_prefix(b"Photoshop 3.0\0").is_some_and(|resources| !are_sound_resources(resources)) => {
            Some("its Photoshop resources are damaged")
        }
        0xee if segment.starts_with(b"Adobe") && segment.len() < 12 => Some("its Adobe segment is cut short"),
        _ => None,
    }
}

/// Whether the index of a multi-picture file (CIPA DC-007) names its images.
fn is_sound_index(index: &[u8]) -> bool {
    const NUM_IMAGES: u16 = 0xb001;
    const ENTRIES: u16 = 0xb002;
    const ENTRY_BYTES: usize = 16;
    let Some(ifd) = Ifd::parse(index).filter(|ifd| ifd.is_sound() && !ifd.is_big_tiff()) else { return false };
    let (Some(num_images), Some(entries)) = (ifd.unsigned(NUM_IMAGES), ifd.bytes(ENTRIES)) else { return false };
    let is_jpeg = |entry: &[u8]| {
        let attributes = entry
            .first_chunk::<4>()
            .map(|&bytes| if ifd.is_little_endian() { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) });
        attributes.is_some_and(|attributes| (attributes >> 24).is_multiple_of(8))
    };
    entries.len() as u64 == num_images.saturating_mul(ENTRY_BYTES as u64)
        && entries.chunks_exact(ENTRY_BYTES).all(is_jpeg)
}

/// Whether image resources (Adobe, Photoshop File Formats) follow each other without a gap.
fn are_sound_resources(mut resources: &[u8]) -> bool {
    while let Some(rest) = resources.strip_prefix(b"8BIM") {
        let Some(next) = after_resource(rest) else { return false };
        resources = next;
    }
    true
}

fn after_resource(resource: &[u8]) -> Option<&[u8]> {
    let (_code, rest) = resource.split_first_chunk::<2>()?;
    // A name with its length, then the size of the content; both are padded to an even number of bytes.
    let name_bytes = usize::from(*rest.first()?) + 1;
    let rest = rest.get(name_bytes.next_multiple_of(2)..)?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let size = u32::from_be_bytes(*size) as usize;
    rest.get(..size)?;
    Some(rest.get(size.next_multiple_of(2)..).unwrap_or_default())
}
