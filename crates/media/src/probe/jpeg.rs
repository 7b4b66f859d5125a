//! The header of a JPEG (ITU-T T.81, annex B): every segment up to the first scan.

use std::borrow::Cow;

use memchr::memchr;

use super::header::{HeaderError, JpegColor, JpegHeader, ParsedHeader, array, part};
use crate::metadata::{Metadata, is_no_exif};
use crate::sniff::SourceFormat;

/// A start-of-frame segment.
struct Frame {
    marker: u8,
    precision_bits: u8,
    width_px: u32,
    height_px: u32,
    component_ids: Vec<u8>,
}

const START_OF_SCAN: u8 = 0xda;
const END_OF_IMAGE: u8 = 0xd9;
const APP0: u8 = 0xe0;
const APP1: u8 = 0xe1;
const APP14: u8 = 0xee;
/// Size of Adobe's segment, whose last byte is the transform.
const ADOBE_BYTES: usize = 12;
/// The transform of CMYK.
const YCCK: u8 = 2;
const XMP_PREFIX: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

pub(super) fn parse(bytes: &[u8]) -> Result<ParsedHeader, HeaderError> {
    let (mut frame, mut adobe_transform, mut has_jfif, mut has_density) = (None, None, false, false);
    let (mut exif, mut xmp): (Option<Cow<'_, [u8]>>, _) = (None, None);
    let scan_start = for_each_segment(bytes, |marker, segment| {
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => frame = Some(parse_frame(marker, segment)?),
            APP0 => {
                has_jfif |= segment.starts_with(b"JFIF\0");
                has_density |=
                    segment.starts_with(b"JFIF") && matches!(segment, [_, _, _, _, _, _, _, 1 | 2, _, _, _, _, ..]);
            }
            APP1 => {
                add_exif(&mut exif, segment);
                xmp = segment.strip_prefix(XMP_PREFIX).or(xmp);
            }
            APP14 if segment.starts_with(b"Adobe") => adobe_transform = Some(segment.get(11).copied().unwrap_or(0)),
            _ => {}
        }
        Ok(())
    })?;
    let frame = frame.ok_or_else(|| HeaderError::Bad("the JPEG has no frame header before its scan".to_owned()))?;
    let color = color(&frame.component_ids, has_jfif, adobe_transform)?;
    let is_sequential = matches!(frame.marker, 0xc0 | 0xc1 | 0xc9);
    // Without a density Pillow looks for one in the EXIF, and if that is none, it has then read all metadata that it ever reads.
    let xmp = xmp.filter(|_| has_density || !exif.as_deref().is_some_and(is_no_exif));
    let is_common_coding = matches!(frame.marker, 0xc0..=0xc2) && frame.precision_bits == 8;
    Ok(ParsedHeader {
        format: SourceFormat::Jpeg,
        stored_px: (frame.width_px, frame.height_px),
        orientation: Metadata { exif: exif.as_deref(), xmp }.orientation(),
        is_animated: false,
        is_plain: is_common_coding && matches!(color, JpegColor::Gray | JpegColor::YCbCr),
        jpeg: Some(JpegHeader { color, precision_bits: frame.precision_bits, scan_start, is_sequential }),
        pixel_bits: None,
    })
}

/// Adds a segment to the EXIF block, which may be cut into several, each with the prefix.
pub(crate) fn add_exif<'a>(exif: &mut Option<Cow<'a, [u8]>>, segment: &'a [u8]) {
    let Some(part) = segment.strip_prefix(b"Exif\0\0") else { return };
    match exif {
        Some(exif) => exif.to_mut().extend_from_slice(part),
        None => *exif = Some(Cow::Borrowed(segment)),
    }
}

/// A copy of the file without application data, comments and bytes between segments; its colours mean the same.
#[expect(clippy::expect_used, clippy::indexing_slicing, reason = "`header` was parsed from these bytes")]
pub(crate) fn without_application_data(bytes: &[u8], header: &JpegHeader) -> Vec<u8> {
    /// JFIF 1.01 without density and thumbnail: it makes three components `YCbCr`.
    const JFIF: &[u8] = b"\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
    let mut plain = vec![0xff, 0xd8];
    if header.color == JpegColor::YCbCr {
        plain.extend_from_slice(JFIF);
    }
    let needs_adobe_marker = matches!(header.color, JpegColor::Rgb | JpegColor::Cmyk);
    let walked = for_each_segment(bytes, |marker, segment| {
        // Frame, tables and restart intervals.
        let is_needed = matches!(marker, 0xc0..=0xc7 | 0xc9..=0xcf | 0xdb..=0xdf);
        if is_needed || (marker == APP14 && needs_adobe_marker) {
            // The length was read from two bytes.
            let length = (segment.len() + 2) as u16;
            plain.extend_from_slice(&[0xff, marker]);
            plain.extend_from_slice(&length.to_be_bytes());
            plain.extend_from_slice(segment);
            // Of four components, libjpeg reads an unknown transform as this one, and warns.
            if marker == APP14
                && header.color == JpegColor::Cmyk
                && let Some(transform) = plain.last_mut().filter(|_| segment.len() == ADOBE_BYTES)
                && *transform != 0
            {
                *transform = YCCK;
            }
        }
        Ok(())
    });
    plain.extend_from_slice(&bytes[walked.expect("the header was parsed before")..]);
    plain
}

/// A copy of a sequential file whose scans state what all scans of such files have to state, which readers therefore ignore. `None` if
/// they do so already.
pub(crate) fn with_usual_scans(bytes: &[u8], header: &JpegHeader) -> Option<Vec<u8>> {
    /// From the first to the last coefficient, in all their bits.
    const ALL: [u8; 3] = [0, 63, 0];
    let coded = bytes.get(header.scan_start..).filter(|_| header.is_sequential)?;
    let mut usual = None;
    // In coded data, 0xff is followed by zero or a restart number.
    for start in memchr::memmem::find_iter(coded, &[0xff, START_OF_SCAN]) {
        let start = header.scan_start + start + 2;
        let Some(length) = bytes.get(start..).and_then(|segment| segment.first_chunk()) else { break };
        let end = start + usize::from(u16::from_be_bytes(*length));
        // One that is too short for its length and these would have the marker in their place.
        if end < start + size_of_val(length) + ALL.len() {
            break;
        }
        let Some(stated) = bytes.get(end - ALL.len()..end) else { break };
        if stated != ALL
            && let Some(target) = usual.get_or_insert_with(|| bytes.to_vec()).get_mut(end - ALL.len()..end)
        {
            target.copy_from_slice(&ALL);
        }
    }
    usual
}

/// Calls `visit` with the marker and content of every segment before the first scan, and returns the position of the scan.
/// Markers that have no segment have no content.
pub(crate) fn for_each_segment<'a>(
    bytes: &'a [u8],
    mut visit: impl FnMut(u8, &'a [u8]) -> Result<(), HeaderError>,
) -> Result<usize, HeaderError> {
    let mut position = 2;
    loop {
        let (marker, start) = next_marker(bytes, position)?;
        match marker {
            START_OF_SCAN => return Ok(start),
            END_OF_IMAGE => return Err(HeaderError::Bad("the JPEG ends before its first scan".to_owned())),
            // Markers without a segment: TEM, restarts, start of image.
            0x01 | 0xd0..=0xd8 => {
                visit(marker, &[])?;
                position = start + 2;
            }
            _ => {
                let length = usize::from(u16::from_be_bytes(array(bytes, start + 2)?));
                // libjpeg looks into none of these, and continues after their length.
                if length < 2 && matches!(marker, 0xe0..=0xef | 0xfe) {
                    visit(marker, &[])?;
                    position = start + 4;
                    continue;
                }
                if length < 2 {
                    return Err(HeaderError::Bad(format!("JPEG segment {marker:02x} claims a length of {length}")));
                }
                visit(marker, part(bytes, start + 4, length - 2)?)?;
                position = start + 2 + length;
            }
        }
    }
}

/// Whether the end marker follows the first scan; a truncated file has none.
#[expect(clippy::indexing_slicing, reason = "the header, up to its scan, was parsed from these bytes")]
pub(crate) fn has_end_of_image(bytes: &[u8], scan_start: usize) -> bool {
    // In coded data, 0xff is followed by zero or a restart number, so these two bytes are always the marker.
    memchr::memmem::rfind(&bytes[scan_start..], &[0xff, END_OF_IMAGE]).is_some()
}

/// The next marker and the position of its 0xff; bytes between segments and fill bytes are skipped, as in libjpeg.
fn next_marker(bytes: &[u8], mut position: usize) -> Result<(u8, usize), HeaderError> {
    loop {
        let rest = bytes.get(position..).ok_or(HeaderError::Incomplete)?;
        position += memchr(0xff, rest).ok_or(HeaderError::Incomplete)?;
        match bytes.get(position + 1) {
            None => return Err(HeaderError::Incomplete),
            Some(0xff) => position += 1,
            Some(0) => position += 2,
            Some(&marker) => return Ok((marker, position)),
        }
    }
}

fn parse_frame(marker: u8, segment: &[u8]) -> Result<Frame, HeaderError> {
    let broken = || HeaderError::Bad("the frame header of the JPEG is too short".to_owned());
    let (&[precision_bits, h0, h1, w0, w1, num_components], components) =
        segment.split_first_chunk::<6>().ok_or_else(broken)?;
    let (components, _) = components.as_chunks::<3>();
    let component_ids: Vec<u8> = components.iter().map(|&[id, ..]| id).collect();
    if component_ids.len() != usize::from(num_components) {
        return Err(broken());
    }
    let (width_px, height_px) = (u32::from(u16::from_be_bytes([w0, w1])), u32::from(u16::from_be_bytes([h0, h1])));
    Ok(Frame { marker, precision_bits, width_px, height_px, component_ids })
}

/// libjpeg's `default_decompress_parms`: JFIF decides, then Adobe, then the names of the components.
fn color(component_ids: &[u8], has_jfif: bool, adobe_transform: Option<u8>) -> Result<JpegColor, HeaderError> {
    match (component_ids, has_jfif, adobe_transform) {
        ([_], ..) => Ok(JpegColor::Gray),
        ([_, _, _], false, Some(0)) | ([b'R', b'G', b'B'], false, None) => Ok(JpegColor::Rgb),
        ([_, _, _], ..) => Ok(JpegColor::YCbCr),
        ([_, _, _, _], ..) => Ok(JpegColor::Cmyk),
        (ids, ..) => Err(HeaderError::Bad(format!("the JPEG has {} colour components", ids.len()))),
    }
}
