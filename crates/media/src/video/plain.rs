//! Reads a video as readers do that only count frames: all of it, from its start.

use std::collections::BTreeSet;

use ffmpeg_next::frame;
use manyframe_base::in_flight::part_done;

use super::collect::KeptPass;
use super::deadline::Deadline;
use super::decoded::{Beginning, FrameDigest, Kept};
use super::decoder::StreamDecoder;
use super::demux::Demuxer;
use super::references::closed_keyframes;
use super::visit::{ContainerVideo, begins_at, digest_of};
use crate::error::MediaError;

/// The digests of the wanted frames as such a reader counts them, or why it does not get through the file or does not find the
/// frames of its index.
pub(super) type PlainFrames = Result<Vec<FrameDigest>, String>;

impl ContainerVideo<'_> {
    /// Decodes all of the file, and finds the digests of the wanted frames (ascending).
    pub(super) fn read_plainly(
        &self,
        wanted: &[usize],
        mut pass: KeptPass<'_, FrameDigest>,
    ) -> Result<PlainFrames, MediaError> {
        let kept = pass.keeper.kept(pass.pass);
        let goes_on = kept.beginning.is_some();
        let read = self.read_from(wanted, kept, &mut pass)?;
        if !goes_on || read.is_ok() {
            return Ok(read);
        }
        pass.keeper.forget(pass.pass);
        self.read_from(wanted, Kept::default(), &mut pass)
    }

    fn read_from(
        &self,
        wanted: &[usize],
        Kept { items, beginning }: Kept<FrameDigest>,
        pass: &mut KeptPass<'_, FrameDigest>,
    ) -> Result<PlainFrames, MediaError> {
        let deadline = Deadline::of_decoding(self.source.num_bytes, self.index.num_frames());
        let mut demuxer = Demuxer::open(self.source, deadline)?;
        let mut decoder = StreamDecoder::open(&demuxer, &self.index.packets, self.max_pixels)?;
        let first = beginning.map_or(0, |beginning| beginning.packet);
        let mut reading = PlainReading {
            wanted,
            beginnings: closed_keyframes(&self.index.packets),
            sizes: items.iter().map(|item| (item.width_px, item.height_px)).collect(),
            items,
            num_frames: beginning.map_or(0, |beginning| beginning.num_frames),
            pass,
        };
        let mut take = |frame: &frame::Video| {
            reading.take(frame);
            Ok(())
        };
        let mut num_packets = 0;
        while let Some(packet) = demuxer.next_packet()? {
            if num_packets >= first {
                let is_sent = decoder.send(packet, num_packets);
                if !(decoder.receive(&mut take)? && is_sent) {
                    return Ok(Err(format!("decoders refuse packet {num_packets} (files that were joined?)")));
                }
            }
            num_packets += 1;
        }
        if !decoder.drain(take)? || demuxer.has_failed() {
            return Ok(Err(format!("what follows packet {num_packets} cannot be read")));
        }
        Ok(reading.finish(self.index.num_frames()))
    }
}

/// What was found so far.
struct PlainReading<'r, 'k> {
    wanted: &'r [usize],
    /// Where decoding can begin.
    beginnings: Vec<usize>,
    /// Sizes in pixels of all frames.
    sizes: BTreeSet<(u32, u32)>,
    items: Vec<FrameDigest>,
    num_frames: usize,
    pass: &'r mut KeptPass<'k, FrameDigest>,
}

impl PlainReading<'_, '_> {
    fn take(&mut self, frame: &frame::Video) {
        // Of what is kept, the size of a frame is that of all.
        if self.sizes.len() == 1
            && !self.items.is_empty()
            && let Some(packet) = begins_at(frame, &self.beginnings)
        {
            let beginning = Beginning { packet, num_frames: self.num_frames };
            self.pass.keeper.keep(self.pass.pass, &self.items, Some(beginning));
        }
        self.sizes.insert((frame.width(), frame.height()));
        if self.wanted.binary_search(&self.num_frames).is_ok() {
            self.items.push(digest_of(self.num_frames, frame));
        }
        self.num_frames += 1;
        part_done();
    }

    fn finish(self, num_expected: usize) -> PlainFrames {
        let num_frames = self.num_frames;
        if self.sizes.len() > 1 {
            return Err(several_sizes(&self.sizes));
        }
        if num_frames != num_expected {
            return Err(format!("a reader that counts finds {num_frames} frames, not {num_expected}"));
        }
        Ok(self.items)
    }
}

/// Says that frames have several sizes.
pub(super) fn several_sizes(sizes: &BTreeSet<(u32, u32)>) -> String {
    let sizes: Vec<String> = sizes.iter().map(|(width, height)| format!("{width}×{height}")).collect();
    format!("its frames have several sizes: {} px", sizes.join(", "))
}
