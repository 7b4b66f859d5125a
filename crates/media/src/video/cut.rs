//! Cuts a part of a video out of its file without encoding: the packets that the part needs, in a container of their own.
//!
//! ```text
//! packets   K . . . . . K . . . . . K . . . . .      in decoding order
//! part                      x x x x x
//! cut                   [─────────────]             from a keyframe that nothing after it goes back beyond
//! ```
//!
//! It does not decide whether the cut can be trusted: `clip.rs` decodes it first.

use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use ffmpeg_next::codec::Id;
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::format::output_to_stream;
use ffmpeg_next::{Dictionary, Error, Packet, encoder};
use manyframe_core::ClipFormat;

use super::deadline::Deadline;
use super::demux::Demuxer;
use super::ffi;
use super::index::{Identity, VideoIndex};
use super::input::ByteSource;
use super::packet::VideoPacket;
use crate::error::MediaError;

/// Why a part is not cut out, for people.
pub(super) type Uncut = String;

/// A part in a file of its own.
pub(super) struct CutVideo {
    pub(super) bytes: Vec<u8>,
    /// The packet of the source that is the first of the cut.
    pub(super) first_packet: usize,
}

/// Copies what some frames of a video need, given by their positions, which are consecutive.
pub(super) fn cut_video(
    source: &ByteSource,
    index: &VideoIndex,
    part: &Range<usize>,
) -> Result<Result<CutVideo, Uncut>, MediaError> {
    let muxer = match index.container {
        ClipFormat::Mp4 => "mp4",
        ClipFormat::Matroska => "matroska",
        other => return Ok(Err(format!("only MP4 and Matroska are cut, and it is {}", other.extension()))),
    };
    if index.identity == Identity::Order {
        return Ok(Err("its file does not say when each frame is shown".to_owned()));
    }
    let Some(packets) = packets_of(index, part) else {
        return Ok(Err("it has no keyframe to begin with".to_owned()));
    };
    if packets.len() == index.packets.len() && !index.is_preceded {
        return Ok(Err("all of it is needed".to_owned()));
    }
    let Some(times) = times_of(index.packets.get(packets.clone()).unwrap_or_default()) else {
        return Ok(Err("its file does not say when each frame is shown".to_owned()));
    };
    let copy = Copy { source, index, packets, times, muxer };
    let mut written = copy.write(TagUse::Keep)?;
    if written.is_err() {
        written = copy.write(TagUse::Choose)?;
    }
    let first_packet = copy.packets.start;
    Ok(written.map(|bytes| CutVideo { bytes, first_packet }))
}

/// The packets that decode a part: from the last keyframe before it after which nothing is shown that precedes it, to the last
/// that is decoded for it.
fn packets_of(index: &VideoIndex, part: &Range<usize>) -> Option<Range<usize>> {
    let frames = index.frames.get(part.clone())?;
    let first_time = frames.first()?.pts;
    let end = frames.iter().map(|frame| frame.packet).max()? + 1;
    let packets = index.packets.get(..end)?;
    // The earliest time that is shown from a packet on: a keyframe is closed if that is its own.
    let mut earliest = i64::MAX;
    let mut first = None;
    for (position, packet) in packets.iter().enumerate().rev() {
        earliest = earliest.min(packet.pts?);
        let is_start = packet.is_key && packet.is_shown && packet.pts == Some(earliest) && earliest <= first_time;
        if is_start || (position == 0 && packet.is_key) {
            first = Some(position);
            break;
        }
    }
    first.map(|first| first..end)
}

/// Times of presentation and of decoding of some packets, from 0 on: decoding goes in steps of presentation, as early as the packet
/// needs that waits longest.
fn times_of(packets: &[VideoPacket]) -> Option<Vec<(i64, i64)>> {
    let shown: Vec<i64> = packets.iter().map(|packet| packet.pts).collect::<Option<_>>()?;
    let start = *shown.first()?;
    let shown: Vec<i64> = shown.iter().map(|time| time.checked_sub(start)).collect::<Option<_>>()?;
    let mut steps = shown.clone();
    steps.sort_unstable();
    let delay = steps.iter().zip(&shown).map(|(step, time)| step.saturating_sub(*time)).max()?;
    Some(shown.into_iter().zip(steps).map(|(time, step)| (time, step.saturating_sub(delay))).collect())
}

/// How the new container names the codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TagUse {
    /// As the source does.
    Keep,
    /// As FFmpeg chooses.
    Choose,
}

/// A copy to make.
struct Copy<'i> {
    source: &'i ByteSource,
    index: &'i VideoIndex,
    packets: Range<usize>,
    /// Presentation and decoding time of each packet.
    times: Vec<(i64, i64)>,
    muxer: &'static str,
}

impl Copy<'_> {
    /// Opens a file with one stream like that of the source.
    fn open_output(&self, demuxer: &Demuxer, file: MemoryFile, tag: TagUse) -> Result<Output, Error> {
        let mut output = output_to_stream(StreamIo::from_write_seek(file)?, None, Some(self.muxer))?;
        let mut parameters = demuxer.parameters();
        if tag == TagUse::Choose {
            ffi::forget_tag(&mut parameters);
        }
        let mut stream = output.add_stream(encoder::find(Id::None))?;
        stream.set_parameters(parameters);
        stream.set_time_base(demuxer.time_base());
        // Without this, a file names the version of FFmpeg and has random numbers in it.
        output.write_header_with(Dictionary::from_iter([("fflags", "+bitexact")])).map(drop)?;
        Ok(output)
    }

    fn write(&self, tag: TagUse) -> Result<Result<Vec<u8>, Uncut>, MediaError> {
        let deadline = Deadline::of_reading(self.source.num_bytes);
        let mut demuxer = Demuxer::open(self.source, deadline)?;
        let file = MemoryFile::default();
        let unwritten = |error: Error| format!("its stream cannot be written to a file of its own: {error}");
        let output = self.open_output(&demuxer, file.clone(), tag);
        let mut output = match output {
            Ok(output) => output,
            Err(error) => return Ok(Err(unwritten(error))),
        };
        let to = output.stream(0).map_or(demuxer.time_base(), |stream| stream.time_base());
        let from = demuxer.time_base();
        let mut first = demuxer.seek_to_packet(&self.index.packets, self.packets.start)?;
        if first.is_none() {
            demuxer = demuxer.reopen()?;
            first = demuxer.skip_to_packet(self.packets.start)?;
        }
        for (position, &(pts, dts)) in self.packets.clone().zip(&self.times) {
            let packet = match first.take() {
                Some(packet) => Some(packet),
                None => demuxer.next_packet()?,
            };
            let entry = self.index.packets.get(position);
            let Some(mut packet) = packet.filter(|packet| entry.is_some_and(|entry| entry.pts == packet.pts())) else {
                return Ok(Err("its packets are not where its index says".to_owned()));
            };
            rename(&mut packet, (pts, dts));
            packet.rescale_ts(from, to);
            if let Err(error) = packet.write(&mut output) {
                return Ok(Err(unwritten(error)));
            }
        }
        if let Err(error) = output.write_trailer() {
            return Ok(Err(unwritten(error)));
        }
        drop(output);
        Ok(Ok(file.into_bytes()))
    }
}

/// Makes a packet one of the only stream of another file.
fn rename(packet: &mut Packet, (pts, dts): (i64, i64)) {
    packet.set_stream(0);
    packet.set_position(-1);
    packet.set_pts(Some(pts));
    packet.set_dts(Some(dts));
}

/// A file in memory, which FFmpeg writes and this module reads.
#[derive(Clone, Default)]
struct MemoryFile(Arc<Mutex<Cursor<Vec<u8>>>>);

impl MemoryFile {
    fn into_bytes(self) -> Vec<u8> {
        std::mem::take(self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut())
    }
}

impl Write for MemoryFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for MemoryFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(times: &[i64]) -> Vec<VideoPacket> {
        times.iter().map(|&pts| VideoPacket { pts: Some(pts), ..VideoPacket::default() }).collect()
    }

    #[test]
    fn packets_are_decoded_in_order_and_not_after_they_are_shown() {
        assert_eq!(times_of(&packets(&[100, 110, 120])), Some(vec![(0, 0), (10, 10), (20, 20)]));
        // I P B B P: shown as 0 3 1 2 4.
        let times = times_of(&packets(&[500, 530, 510, 520, 540])).unwrap();
        assert!(times.windows(2).all(|pair| pair[0].1 < pair[1].1), "{times:?}");
        assert!(times.iter().all(|(pts, dts)| dts <= pts), "{times:?}");
        assert_eq!(times_of(&[VideoPacket::default()]), None);
    }
}
