//! What is made of each wanted frame of a video, kept while that takes long.
//!
//! ```text
//! kept items ─▶ the frames that are missing ─ visit_frames ─▶ items ─▶ kept: after each frame of a run that is trusted,
//!                                                                       and at keyframes behind which all is sound
//! ```
//!
//! **Invariant:** what a pass comes to does not depend on what was kept. Where going on in the middle finds anything missing or
//! damaged, the pass starts again as if nothing had been kept.

use ffmpeg_next::frame;
use manyframe_base::in_flight::part_done;

use super::decoded::{Beginning, FrameDigest, Keeper, Kept, Pass, VideoFrame};
use super::visit::{ContainerVideo, VisitFrames, Visited};
use crate::error::MediaError;

/// Something that is made of a frame.
pub(super) trait OfFrame {
    /// The position of the frame in the index.
    fn position(&self) -> usize;
}

impl OfFrame for VideoFrame {
    fn position(&self) -> usize {
        self.index
    }
}

impl OfFrame for FrameDigest {
    fn position(&self) -> usize {
        self.index
    }
}

/// A pass, and what keeps it.
pub(super) struct KeptPass<'k, T> {
    pub(super) pass: Pass,
    pub(super) keeper: &'k mut dyn Keeper<T>,
}

/// Makes something of a decoded frame at a position of the index.
pub(super) type Make<'m, T> = dyn FnMut(usize, &frame::Video) -> Result<T, MediaError> + 'm;

/// What was made of frames.
pub(super) struct Collected<T> {
    /// In the order in which frames were decoded.
    pub(super) items: Vec<T>,
    pub(super) visited: Visited,
}

impl ContainerVideo<'_> {
    /// Makes something of each of the wanted frames (ascending) that can be decoded.
    pub(super) fn collect<T: OfFrame>(
        &self,
        wanted: &[usize],
        mut pass: KeptPass<'_, T>,
        make: &mut Make<'_, T>,
    ) -> Result<Collected<T>, MediaError> {
        let mut kept = pass.keeper.kept(pass.pass);
        if !kept.items.iter().all(|item| wanted.binary_search(&item.position()).is_ok()) {
            pass.keeper.forget(pass.pass);
            kept = Kept::default();
        }
        let goes_on = kept.beginning.is_some();
        let collected = self.collect_rest(wanted, kept, &mut pass, make)?;
        if !goes_on || (collected.items.len() == wanted.len() && collected.visited.num_damaged == 0) {
            return Ok(collected);
        }
        pass.keeper.forget(pass.pass);
        self.collect_rest(wanted, Kept::default(), &mut pass, make)
    }

    fn collect_rest<T: OfFrame>(
        &self,
        wanted: &[usize],
        Kept { items, beginning }: Kept<T>,
        pass: &mut KeptPass<'_, T>,
        make: &mut Make<'_, T>,
    ) -> Result<Collected<T>, MediaError> {
        let mut there: Vec<usize> = items.iter().map(OfFrame::position).collect();
        there.sort_unstable();
        let is_missing = |position: &usize| there.binary_search(position).is_err();
        let missing: Vec<usize> = wanted.iter().copied().filter(is_missing).collect();
        let mut collector = Collector { items, pass, make };
        let visited = self.visit_frames(&missing, beginning, &mut collector)?;
        Ok(Collected { items: collector.items, visited })
    }
}

struct Collector<'c, 'k, 'm, T> {
    items: Vec<T>,
    pass: &'c mut KeptPass<'k, T>,
    make: &'c mut Make<'m, T>,
}

impl<T> VisitFrames for Collector<'_, '_, '_, T> {
    fn visit(&mut self, position: usize, frame: &frame::Video) -> Result<(), MediaError> {
        self.items.push((self.make)(position, frame)?);
        part_done();
        Ok(())
    }

    fn settle(&mut self, beginning: Option<Beginning>) {
        self.pass.keeper.keep(self.pass.pass, &self.items, beginning);
    }
}
