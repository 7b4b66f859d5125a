//! Whether a packet shows a frame, judging by its first bytes. Codecs have packets that hold reference frames only, and
//! containers do not say which.
//!
//! It reads headers as far as it must, and takes a packet that it does not understand for one that shows a frame.

use ffmpeg_next::codec::Id;

use super::bits::Bits;
use super::h264::Sequence;

/// Packets of other codecs that are smaller than this may repeat the frame before, and show nothing of their own.
const LEAST_PACKET_BYTES: usize = 16;

/// Whether a packet shows a frame.
pub(super) fn shows_frame(codec: Id, packet: &[u8]) -> bool {
    match codec {
        Id::VP8 => packet.first().is_some_and(|first| first & 0x10 != 0),
        Id::VP9 => vp9_frames(packet).any(vp9_shows_frame),
        Id::AV1 => av1_shows_frame(packet).unwrap_or(true),
        // Headers come again where streams are joined.
        Id::THEORA => packet.first().is_some_and(|first| first & 0x80 == 0),
        _ => !packet.is_empty(),
    }
}

/// Whether packets of this codec say by their contents whether they show a frame.
pub(super) fn packets_tell(codec: Id) -> bool {
    matches!(codec, Id::VP8 | Id::VP9 | Id::AV1)
}

/// Whether a packet may repeat the frame before instead of showing one: an uncoded frame of MPEG-4, or the like.
pub(super) fn may_repeat(codec: Id, num_bytes: usize) -> bool {
    let always_shows = matches!(
        codec,
        Id::H264
            | Id::HEVC
            | Id::VP8
            | Id::VP9
            | Id::AV1
            | Id::MJPEG
            | Id::GIF
            | Id::PNG
            | Id::PRORES
            | Id::MPEG1VIDEO
            | Id::MPEG2VIDEO
            | Id::RAWVIDEO
    );
    !always_shows && num_bytes < LEAST_PACKET_BYTES
}

/// Whether the headers of an MPEG-4 stream say that packets hold frames of others: DivX's way of having B-frames in an AVI.
pub(super) fn packs_frames(headers: &[u8]) -> bool {
    memchr::memmem::find_iter(headers, b"DivX").any(|start| {
        let name = headers.get(start + 4..).unwrap_or_default();
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.get(..end).is_some_and(|name| name.first().is_some_and(u8::is_ascii_digit) && name.ends_with(b"p"))
    })
}

/// Whether a packet is a B-picture, which is shown before a picture that is decoded before it, judging by its first bytes.
/// `headers` are those that the container keeps apart.
pub(super) fn is_b_picture(codec: Id, packet: &[u8], headers: &[u8]) -> bool {
    const MPEG4_PICTURE: [u8; 4] = [0, 0, 1, 0xb6];
    const MPEG2_PICTURE: [u8; 4] = [0, 0, 1, 0];
    let after = |start_code: &[u8]| packet.get(memchr::memmem::find(packet, start_code)? + start_code.len()..);
    match codec {
        Id::MPEG4 => after(&MPEG4_PICTURE).and_then(|rest| rest.first()).is_some_and(|first| first >> 6 == 2),
        Id::MPEG1VIDEO | Id::MPEG2VIDEO => {
            after(&MPEG2_PICTURE).and_then(|rest| rest.get(1)).is_some_and(|second| second >> 3 & 7 == 3)
        }
        Id::H264 => h264_slice_type(packet, headers).is_some_and(|kind| kind % 5 == 1),
        _ => false,
    }
}

/// `slice_type` of the first slice in a packet of an MP4 or Matroska file (H.264, section 7.3.3).
fn h264_slice_type(packet: &[u8], headers: &[u8]) -> Option<u32> {
    let length_bytes = match headers {
        [1, _, _, _, length, ..] => usize::from(length & 3) + 1,
        _ => return None,
    };
    let mut rest = packet;
    loop {
        let (length, after) = rest.split_at_checked(length_bytes)?;
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let (kind, contents) = after.split_first()?;
        if matches!(kind & 31, 1 | 5) {
            let (head, _) = contents.split_at(contents.len().min(16));
            let mut bits = Bits::of_unit(head);
            bits.golomb()?;
            return bits.golomb();
        }
        rest = after.get(length..)?;
    }
}

/// The frames of a VP9 packet: those that the index of a superframe lists, or the packet itself (VP9 specification, Annex B).
fn vp9_frames(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let sizes = superframe_sizes(packet).unwrap_or_else(|| vec![packet.len()]);
    let mut rest = packet;
    sizes.into_iter().map_while(move |num_bytes| {
        let (frame, after) = rest.split_at_checked(num_bytes)?;
        rest = after;
        Some(frame)
    })
}

fn superframe_sizes(packet: &[u8]) -> Option<Vec<usize>> {
    let marker = *packet.last().filter(|marker| *marker & 0xe0 == 0xc0)?;
    let (size_bytes, num_frames) = (usize::from(marker >> 3 & 3) + 1, usize::from(marker & 7) + 1);
    let index = packet.get(packet.len().checked_sub(2 + size_bytes * num_frames)?..)?;
    let [first, sizes @ .., _] = index else { return None };
    let little_endian = |bytes: &[u8]| bytes.iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte));
    (*first == marker).then(|| sizes.chunks(size_bytes).map(little_endian).collect())
}

/// `show_existing_frame` or `show_frame` (VP9 specification, section 6.2).
fn vp9_shows_frame(frame: &[u8]) -> bool {
    let Some(&first) = frame.first() else { return false };
    // The marker and two bits of the profile; profile 3 has one bit more.
    let flags = if first & 0x30 == 0x30 { first << 5 } else { first << 4 };
    let (shows_existing, shows) = (flags & 0x80 != 0, flags & 0x20 != 0);
    shows_existing || shows
}

/// Whether a frame header of an AV1 temporal unit has `show_existing_frame` or `show_frame` (AV1 specification, sections 5.3
/// and 5.9.2); `None` without a frame header.
fn av1_shows_frame(packet: &[u8]) -> Option<bool> {
    const SEQUENCE_HEADER: u8 = 1;
    const FRAME_HEADER: u8 = 3;
    const FRAME: u8 = 6;
    let (mut rest, mut is_still, mut shows) = (packet, false, None);
    while let Some((&header, after)) = rest.split_first() {
        let after = if header & 4 != 0 { after.get(1..)? } else { after };
        let (payload, following) = if header & 2 != 0 {
            let (num_bytes, after) = leb128(after)?;
            // Of a packet that is cut short, what is there counts.
            after.split_at(num_bytes.min(after.len()))
        } else {
            (after, &[][..])
        };
        match (header >> 3 & 15, payload.first()) {
            // `reduced_still_picture_header`: frame headers have no flags.
            (SEQUENCE_HEADER, Some(first)) => is_still = first & 8 != 0,
            (FRAME_HEADER | FRAME, Some(first)) => {
                shows = Some(shows == Some(true) || is_still || first & 0x80 != 0 || first & 0x10 != 0);
            }
            _ => {}
        }
        rest = following;
    }
    shows
}

/// A number of AV1 (`leb128`), and what follows it.
fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let last = bytes.iter().take(8).position(|byte| byte & 0x80 == 0)?;
    let (digits, rest) = bytes.split_at(last + 1);
    let number = digits.iter().rev().fold(0_u64, |number, digit| number << 7 | u64::from(digit & 0x7f));
    Some((usize::try_from(number).ok()?, rest))
}

/// Whether a stream of H.264 may have pictures of one field each, two of which are a frame (`frame_mbs_only_flag` of its
/// first sequence parameter set). `extradata` is in either form, that of MP4 or that of byte streams.
pub(super) fn may_have_fields(extradata: &[u8]) -> bool {
    const SEQUENCE_PARAMETERS: u8 = 7;
    let parameters = match extradata {
        [1, _, _, _, _, num_sets, _, _, set @ ..] if num_sets & 31 > 0 => Some(set),
        stream => memchr::memmem::find_iter(stream, &[0, 0, 1])
            .filter_map(|start| stream.get(start + 3..))
            .find(|unit| unit.first().is_some_and(|kind| kind & 31 == SEQUENCE_PARAMETERS)),
    };
    parameters.and_then(Sequence::of_unit).is_some_and(|sequence| !sequence.is_frames_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_frame_of_vp8_is_not_shown() {
        assert!(!shows_frame(Id::VP8, &[0x81, 0, 0]));
        assert!(shows_frame(Id::VP8, &[0x91, 0, 0]));
        assert!(shows_frame(Id::H264, &[0x81]));
        assert!(!shows_frame(Id::H264, &[]));
    }

    #[test]
    fn a_header_of_theora_is_not_shown() {
        assert!(!shows_frame(Id::THEORA, b"\x80theora"));
        assert!(shows_frame(Id::THEORA, &[0x40, 1]));
        assert!(!shows_frame(Id::THEORA, &[]));
    }

    #[test]
    fn b_pictures_are_known_by_their_headers() {
        assert!(is_b_picture(Id::MPEG4, &[0, 0, 1, 0xb6, 0b1001_0000], &[]));
        assert!(!is_b_picture(Id::MPEG4, &[0, 0, 1, 0xb6, 0b0101_0000], &[]));
        assert!(is_b_picture(Id::MPEG2VIDEO, &[0, 0, 1, 0, 0, 0b0001_1000], &[]));
        assert!(!is_b_picture(Id::MPEG2VIDEO, &[0, 0, 1, 0, 0, 0b0001_0000], &[]));
        // After a unit of one byte, a slice that starts with macroblock 0: `1`, and has type 6: `00111`.
        let headers = [1, 77, 0, 10, 0xff];
        assert!(is_b_picture(Id::H264, &[0, 0, 0, 1, 9, 0, 0, 0, 9, 0x41, 0b1001_1100], &headers));
        // Type 5, `00110`, refers to earlier pictures only.
        assert!(!is_b_picture(Id::H264, &[0, 0, 0, 1, 9, 0, 0, 0, 9, 0x41, 0b1001_1000], &headers));
        assert!(!is_b_picture(Id::H264, &[0, 0, 0], &headers));
    }

    #[test]
    fn divx_says_that_it_packs_frames() {
        assert!(packs_frames(b"\0\0\x01\xb2DivX503b1393p\0\0\x01\xb2XviD0067"));
        assert!(packs_frames(b"\0\0\x01\xb2DivX503Build1393p"));
        assert!(!packs_frames(b"\0\0\x01\xb2DivX503b1393\0p"));
        assert!(!packs_frames(b"\0\0\x01\xb2Lavc59.37.100"));
    }

    #[test]
    fn a_reference_frame_of_vp9_is_not_shown_unless_another_frame_of_its_packet_is() {
        let (shown, hidden, repeated) = (0b1000_0110, 0b1000_0100, 0b1000_1000);
        assert!(shows_frame(Id::VP9, &[shown, 1]));
        assert!(!shows_frame(Id::VP9, &[hidden, 1]));
        assert!(shows_frame(Id::VP9, &[repeated]));
        // Profile 3 has a reserved bit before the flags.
        assert!(shows_frame(Id::VP9, &[0b1011_0011, 1]));
        assert!(!shows_frame(Id::VP9, &[0b1011_0010, 1]));
        // Two frames of 3 and 2 bytes.
        let superframe = |second| [hidden, 1, 2, second, 4, 0b1100_0001, 3, 2, 0b1100_0001];
        assert!(shows_frame(Id::VP9, &superframe(shown)));
        assert!(!shows_frame(Id::VP9, &superframe(hidden)));
    }

    #[test]
    fn a_reference_frame_of_av1_is_not_shown() {
        const DELIMITER: [u8; 2] = [0b1_0010, 0];
        let unit = |first| [&DELIMITER[..], &[0b11_0010, 2, first, 0]].concat();
        assert!(shows_frame(Id::AV1, &unit(0b0001_0000)));
        assert!(shows_frame(Id::AV1, &unit(0b1000_0000)));
        assert!(!shows_frame(Id::AV1, &unit(0b0000_0000)));
        assert!(shows_frame(Id::AV1, &[unit(0), unit(0b0001_0000)].concat()));
        // Without a frame header nothing is known.
        assert!(shows_frame(Id::AV1, &DELIMITER));
        assert!(shows_frame(Id::AV1, &[0xff; 20]));
    }
}
