//! An index as bytes, and back: a description in JSON, then its packets and frames as differences from the one before.
//!
//! ```text
//! bytes of the description (8) │ description │ numbers, 7 bits a byte │ digest of all this (32)
//! ```
//!
//! A long video takes about a dozen bytes a frame.

use ffmpeg_next::codec;
use manyframe_core::{ClipFormat, Digest};
use serde::{Deserialize, Serialize};

use super::index::{FrameEntry, Identity, VideoIndex};
use super::orientation::Orientation;
use super::packet::{MAX_PACKETS, VideoPacket};
use super::timing::Timing;

/// Raised whenever the same file would have another index, or other bytes.
const VERSION: u32 = 2;

/// What is kept of an index besides packets and frames.
#[derive(Serialize, Deserialize)]
struct Description {
    size_px: (u32, u32),
    container: ClipFormat,
    timing: Timing,
    orientation: Orientation,
    identity: Identity,
    num_left_out: usize,
    is_incomplete: bool,
    is_preceded: bool,
    num_packets: usize,
    num_frames: usize,
}

/// Equal for versions of this program and of FFmpeg that make the same index of a file.
pub(super) fn version() -> u64 {
    u64::from(VERSION) << 32 | u64::from(codec::version())
}

/// The bytes of an index.
pub(super) fn to_bytes(index: &VideoIndex) -> Vec<u8> {
    let description = Description {
        size_px: (index.width_px, index.height_px),
        container: index.container,
        timing: index.timing,
        orientation: index.orientation,
        identity: index.identity,
        num_left_out: index.num_left_out,
        is_incomplete: index.is_incomplete,
        is_preceded: index.is_preceded,
        num_packets: index.packets.len(),
        num_frames: index.frames.len(),
    };
    let description = serde_json::to_vec(&description).unwrap_or_default();
    let mut bytes = (description.len() as u64).to_le_bytes().to_vec();
    bytes.extend(description);
    let mut before = [0; PACKET_NUMBERS];
    for packet in &index.packets {
        add_differences(&mut bytes, &mut before, numbers_of_packet(packet));
    }
    let mut before = [0; FRAME_NUMBERS];
    for frame in &index.frames {
        add_differences(&mut bytes, &mut before, [frame.pts, number_of(frame.packet)]);
    }
    let digest = Digest::of(&bytes);
    bytes.extend(digest.0);
    bytes
}

/// The index of these bytes; `None` if they are damaged, or of another version.
pub(super) fn from_bytes(bytes: &[u8]) -> Option<VideoIndex> {
    let (bytes, digest) = bytes.split_last_chunk()?;
    if Digest::of(bytes).0 != *digest {
        return None;
    }
    let (length, rest) = bytes.split_first_chunk()?;
    let (description, mut rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let description: Description = serde_json::from_slice(description).ok()?;
    if description.num_packets.max(description.num_frames) > MAX_PACKETS || description.num_frames == 0 {
        return None;
    }
    let mut before = [0; PACKET_NUMBERS];
    let packets = (0..description.num_packets).map(|_| packet_of_numbers(next_numbers(&mut rest, &mut before)?));
    let packets: Vec<VideoPacket> = packets.collect::<Option<_>>()?;
    let mut before = [0; FRAME_NUMBERS];
    let frames = (0..description.num_frames).map(|_| {
        let [pts, packet] = next_numbers(&mut rest, &mut before)?;
        let packet = usize::try_from(packet).ok().filter(|packet| *packet < packets.len())?;
        Some(FrameEntry { pts, packet })
    });
    let frames = frames.collect::<Option<_>>()?;
    let (width_px, height_px) = description.size_px;
    Some(VideoIndex {
        width_px,
        height_px,
        container: description.container,
        frames,
        timing: description.timing,
        orientation: description.orientation,
        packets,
        identity: description.identity,
        num_left_out: description.num_left_out,
        is_incomplete: description.is_incomplete,
        is_preceded: description.is_preceded,
    })
}

const PACKET_NUMBERS: usize = 6;
const FRAME_NUMBERS: usize = 2;

/// Marks of a packet, as bits.
const HAS_PTS: i64 = 1;
const HAS_DTS: i64 = 2;
const IS_KEY: i64 = 4;
const IS_SHOWN: i64 = 8;
const IS_B_PICTURE: i64 = 16;
const IS_ABSENT: i64 = 32;

/// Sizes and positions are far below 2⁶³.
fn number_of(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn numbers_of_packet(packet: &VideoPacket) -> [i64; PACKET_NUMBERS] {
    let VideoPacket { pts, dts, duration, position, num_bytes, is_key, is_shown, is_b_picture, is_absent } = *packet;
    let marks = [
        (pts.is_some(), HAS_PTS),
        (dts.is_some(), HAS_DTS),
        (is_key, IS_KEY),
        (is_shown, IS_SHOWN),
        (is_b_picture, IS_B_PICTURE),
        (is_absent, IS_ABSENT),
    ];
    let marks = marks.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mark)| mark).sum();
    [marks, pts.unwrap_or_default(), dts.unwrap_or_default(), duration, position, number_of(num_bytes)]
}

fn packet_of_numbers(numbers: [i64; PACKET_NUMBERS]) -> Option<VideoPacket> {
    let [marks, pts, dts, duration, position, num_bytes] = numbers;
    let is = |mark: i64| marks & mark != 0;
    Some(VideoPacket {
        pts: is(HAS_PTS).then_some(pts),
        dts: is(HAS_DTS).then_some(dts),
        duration,
        position,
        num_bytes: usize::try_from(num_bytes).ok()?,
        is_key: is(IS_KEY),
        is_shown: is(IS_SHOWN),
        is_b_picture: is(IS_B_PICTURE),
        is_absent: is(IS_ABSENT),
    })
}

fn add_differences<const N: usize>(bytes: &mut Vec<u8>, before: &mut [i64; N], numbers: [i64; N]) {
    for (before, number) in before.iter_mut().zip(numbers) {
        let difference = number.wrapping_sub(std::mem::replace(before, number));
        // Small ones of either sign are small numbers.
        let mut rest = (difference << 1 ^ difference >> 63).cast_unsigned();
        while rest > 0x7f {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
}

fn next_numbers<const N: usize>(bytes: &mut &[u8], before: &mut [i64; N]) -> Option<[i64; N]> {
    for before in before.iter_mut() {
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        let difference = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        *before = before.wrapping_add(difference);
    }
    Some(*before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::timing::Timestamps;

    fn index() -> VideoIndex {
        let packet = |number: i64| VideoPacket {
            pts: (number != 3).then_some(number * 512 - 7),
            dts: (number != 4).then_some(number * 512 - 1024),
            duration: 512,
            position: if number == 5 { -1 } else { 1_000_000_000_000 + number * 3000 },
            num_bytes: 3000 + (number as usize * 7919) % 500,
            is_key: number % 4 == 0,
            is_shown: number != 6,
            is_b_picture: number == 1,
            is_absent: number == 7,
        };
        let times: Vec<i64> = (0..8).map(|number| number * 512).collect();
        VideoIndex {
            width_px: 640,
            height_px: 360,
            container: ClipFormat::Mp4,
            frames: times
                .iter()
                .zip([0, 2, 1, 3, 4, 5, 7, 6])
                .map(|(&pts, packet)| FrameEntry { pts, packet })
                .collect(),
            timing: Timing::of(&Timestamps { times: &times, time_base: (1, 12800), last_duration: 512 }, Some(25.0)),
            orientation: Orientation::UPRIGHT,
            packets: (0..8).map(packet).collect(),
            identity: Identity::Packet,
            num_left_out: 3,
            is_incomplete: true,
            is_preceded: true,
        }
    }

    #[test]
    fn an_index_is_read_as_it_was() {
        assert_eq!(from_bytes(&to_bytes(&index())), Some(index()));
        let extreme = VideoPacket { pts: Some(i64::MIN), dts: Some(i64::MAX), ..VideoPacket::default() };
        let extreme = VideoIndex { packets: [extreme; 8].to_vec(), identity: Identity::Order, ..index() };
        assert_eq!(from_bytes(&to_bytes(&extreme)), Some(extreme));
    }

    #[test]
    fn damaged_bytes_are_no_index() {
        let bytes = to_bytes(&index());
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            assert_eq!(from_bytes(&damaged), None, "byte {position}");
            assert_eq!(from_bytes(&bytes[..position]), None, "{position} bytes");
        }
    }
}
