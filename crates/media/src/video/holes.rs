//! Packets that no encoder writes, though decoders make pictures of them: what a download or a disk left out, or changed.
//!
//! H.264 and HEVC keep zeros apart from each other, so that three of them are no data (ISO/IEC 14496-10 and 23008-2, section 7.4.1).
//! MPEG-1, 2 and 4 keep their start codes from being imitated: 23 bits of zero are no data (ISO/IEC 13818-2 and 14496-2, section 6.2.1).
//! The arithmetic codes of VP8, VP9 and AV1 can have a few in a row, and decoders make a picture of any number.
//! A GIF has no rule about zeros, but its codes are those of all pixels of an image, no fewer and no more. A picture of Motion JPEG is
//! as strict as any JPEG, and in DV each block says of which kind it is.

use ffmpeg_next::codec::Id;
use manyframe_core::{RejectCode, Rejection};
use memchr::memmem;

use super::gif_pixels::lacks_pixels;
use super::units::{Framing, sized_units};
use crate::decode::check_pixels;
use crate::error::MediaError;
use crate::limits::MediaLimits;
use crate::probe::probe_whole;

/// More zeros than an arithmetic code has in a row: a picture of nothing but what is most likely takes fewer bytes.
const MOST_ZEROS: usize = 1000;

/// More zeros than an encoder of MPEG writes that does not keep to the standard.
const MOST_MPEG_ZEROS: usize = 16;

const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];

/// The kind of unit in AV1 that is there to fill up.
const AV1_PADDING: u8 = 15;

/// Whether a packet has zeros inside that no encoder writes. `headers` are those that the container keeps apart from packets.
pub(super) fn has_hole(codec: Id, headers: &[u8], packet: &[u8]) -> bool {
    match codec {
        Id::H264 | Id::HEVC => match Framing::of(codec, headers) {
            Framing::Sizes(size_bytes) => sized_units(packet, size_bytes).any(is_no_unit),
            Framing::StartCodes => has_zeros_before_data(packet, 3),
            Framing::Unknown => false,
        },
        Id::VP8 | Id::VP9 => has_many_zeros(packet),
        Id::AV1 => av1_units(packet).any(has_many_zeros),
        Id::MPEG1VIDEO | Id::MPEG2VIDEO | Id::MPEG4 => has_zeros_before_data(packet, MOST_MPEG_ZEROS),
        Id::GIF => lacks_pixels(packet),
        Id::MJPEG => is_damaged_jpeg(packet),
        Id::DVVIDEO => has_misplaced_blocks(packet),
        _ => false,
    }
}

/// Whether libjpeg finds a picture damaged. One without an end marker, as cameras write it, is not: only its pixels count.
fn is_damaged_jpeg(packet: &[u8]) -> bool {
    let bytes = [packet, &END_OF_IMAGE].concat();
    // What is larger than any picture is left to FFmpeg's decoder.
    let limits = MediaLimits { min_edge_px: 1, max_aspect_ratio: f64::MAX, ..MediaLimits::default() };
    let checked = probe_whole(&bytes, &limits).map(|picture| check_pixels(&picture));
    matches!(checked, Ok(Err(MediaError::Rejected(Rejection { code: RejectCode::MediaCorrupt, .. }))))
}

/// Whether the blocks of a frame of DV are not in the order of its sequences (IEC 61834-2, section 11.4): a header, two of subcode,
/// three of auxiliary data, and nine times one of sound and fifteen of pictures.
fn has_misplaced_blocks(packet: &[u8]) -> bool {
    const BLOCK_BYTES: usize = 80;
    const SEQUENCE_BLOCKS: usize = 150;
    let kind = |block: usize| match block % SEQUENCE_BLOCKS {
        0 => 0,
        1..3 => 1,
        3..6 => 2,
        place if (place - 6) % 16 == 0 => 3,
        _ => 4,
    };
    let blocks = packet.as_chunks::<BLOCK_BYTES>().0.iter().enumerate();
    blocks.into_iter().any(|(place, block)| block[0] >> 5 != kind(place))
}

/// Whether bytes are none of a unit of H.264 or HEVC: after two zeros come at least three, but for zeros at the end.
fn is_no_unit(bytes: &[u8]) -> bool {
    let is_data = |rest: &[u8]| rest.iter().any(|byte| *byte > 0);
    memmem::find_iter(bytes, &[0; 2]).any(|at| {
        let rest = bytes.get(at + 2..).unwrap_or_default();
        rest.first().is_some_and(|next| *next < 3) && is_data(rest)
    })
}

/// Whether so many zeros precede something that is no start code.
fn has_zeros_before_data(bytes: &[u8], num_zeros: usize) -> bool {
    let mut zeros = 0;
    for &byte in bytes {
        if byte > 1 && zeros >= num_zeros {
            return true;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
    false
}

/// Whether there are very many zeros before something else.
fn has_many_zeros(bytes: &[u8]) -> bool {
    let found = memmem::find(bytes, &[0; MOST_ZEROS]);
    found.is_some_and(|at| bytes.split_at(at).1.iter().any(|byte| *byte > 0))
}

/// The units of AV1 in a packet, but for those that fill up (AV1 specification, section 5.3).
fn av1_units(mut packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let units = std::iter::from_fn(move || {
        let (&head, rest) = packet.split_first()?;
        let rest = rest.get(usize::from(head >> 2 & 1)..)?;
        let (num_bytes, rest) = if head & 2 == 0 { (rest.len(), rest) } else { leb128(rest)? };
        let (unit, after) = rest.split_at_checked(num_bytes)?;
        packet = after;
        Some((head >> 3 & 15, unit))
    });
    units.filter(|(kind, _)| *kind != AV1_PADDING).map(|(_, unit)| unit)
}

/// A number in groups of seven bits, the lowest first, and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let length = bytes.iter().take(8).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at_checked(length)?;
    let number = number.iter().rev().fold(0_u64, |number, byte| number << 7 | u64::from(byte & 0x7f));
    Some((usize::try_from(number).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_that_are_kept_apart_are_data() {
        let avcc = [1, 66, 0, 30, 0xff];
        let hole = |unit: &[u8]| has_hole(Id::H264, &avcc, &[&(unit.len() as u32).to_be_bytes()[..], unit].concat());
        assert!(!hole(&[0x65, 0, 0, 3, 0, 0, 3, 1, 9, 0, 0, 0, 0]));
        for unit in [&[0x65, 0, 0, 0, 9][..], &[0x65, 7, 0, 0, 1, 9], &[0x65, 0, 0, 2], &[0, 0, 0, 5]] {
            assert!(hole(unit), "{unit:?}");
        }
        // A size has zeros, too, and one beyond the packet is not looked at.
        assert!(!has_hole(Id::H264, &avcc, &[0, 0, 0, 2, 0x65, 1, 0, 0, 0, 9, 1]));
        let bare = |bytes: &[u8]| has_hole(Id::HEVC, &[0, 0, 0, 1, 0x40], bytes);
        assert!(!bare(&[0, 0, 0, 1, 0x26, 1, 5, 0, 0, 0, 0, 1, 2, 1, 0, 0, 3, 0]));
        assert!(bare(&[0, 0, 0, 1, 0x26, 1, 5, 0, 0, 0, 0, 6]));
    }

    #[test]
    fn an_arithmetic_code_has_few_zeros_in_a_row() {
        let packet = |num_zeros: usize, end: &[u8]| [&[0x82, 0x49][..], &vec![0; num_zeros], end].concat();
        assert!(!has_hole(Id::VP9, &[], &packet(MOST_ZEROS - 1, &[1])));
        assert!(has_hole(Id::VP9, &[], &packet(MOST_ZEROS, &[1])));
        assert!(!has_hole(Id::VP9, &[], &packet(MOST_ZEROS, &[])));
        // A frame, and what fills up; each with its size in two bytes.
        let unit = |kind: u8| [&[kind << 3 | 2, 0xe9, 0x07][..], &[0; 1000], &[1]].concat();
        assert!(has_hole(Id::AV1, &[], &unit(6)));
        assert!(!has_hole(Id::AV1, &[], &[unit(15), vec![6 << 3 | 2, 1, 9]].concat()));
    }
}
