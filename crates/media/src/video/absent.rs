//! Frames that a file should have and does not, because it was cut short or is broken.

use super::demux::{ContainerFormat, Demuxer};
use super::packet::VideoPacket;
use crate::error::MediaError;

/// Upper bound on packets that are added: nine hours at 30 frames per second.
const MAX_ABSENT: usize = 1_000_000;

/// Time between two frames, in that between most, which leaves room for one that is missing. Containers round times.
const LONGEST_STEP: f64 = 1.6;

/// Adds the packets that a file which was cut short should have. Returns whether others are missing that nobody can count.
///
/// Where a file states its duration only, they are as far apart as the frames before them.
pub(super) fn add_absent_packets(demuxer: &Demuxer, packets: &mut Vec<VideoPacket>) -> Result<bool, MediaError> {
    if demuxer.is_cut_short() {
        let num_packets = packets.len();
        let is_uncounted = add_until_end(demuxer, packets);
        // Where the last frames are there, others are missing inside.
        let is_missed_inside = packets.len() == num_packets && has_pause(demuxer, packets);
        return Ok(is_uncounted || is_missed_inside || demuxer.is_broken()?);
    }
    Ok((demuxer.hides_pauses() || may_miss_frames(demuxer, packets)) && demuxer.is_broken()?)
}

/// Whether there is a pause before the first frame, between frames or after the last one, or there are fewer than are stated, or
/// nothing says how many there are: a recording that was written into a pipe.
fn may_miss_frames(demuxer: &Demuxer, packets: &[VideoPacket]) -> bool {
    match demuxer.stated_packets() {
        Some(number) if number > packets.len() => true,
        None if demuxer.stated_end().is_none() => true,
        _ => has_pause(demuxer, packets),
    }
}

/// Whether a frame could be missing before the first one, between frames or after the last one, as far as times tell.
fn has_pause(demuxer: &Demuxer, packets: &[VideoPacket]) -> bool {
    let stated_end = demuxer.stated_end();
    let shown = packets.iter().filter(|packet| packet.is_shown);
    let mut times: Vec<i64> = shown.filter_map(|packet| packet.pts.or(packet.dts)).collect();
    times.sort_unstable();
    let mut steps: Vec<i64> = times.array_windows().map(|[time, next]| next.saturating_sub(*time)).collect();
    steps.sort_unstable();
    // Of one frame, nothing tells how long others are shown.
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(0);
    steps.extend(times.last().zip(stated_end).map(|(last, end)| end.saturating_sub(*last)));
    steps.extend(times.first().filter(|_| demuxer.starts_at_zero()).map(|first| first.saturating_add(usual)));
    steps.iter().max().is_some_and(|longest| *longest as f64 > LONGEST_STEP * usual as f64)
}

/// Adds what is missing at the end. Returns whether the file does not say how much that is.
fn add_until_end(demuxer: &Demuxer, packets: &mut Vec<VideoPacket>) -> bool {
    let Some(step) = Step::of(packets) else { return true };
    let num_missing = match (demuxer.stated_packets(), demuxer.stated_end()) {
        (Some(number), _) => number.saturating_sub(packets.len()),
        (None, Some(end)) => step.num_until(end),
        (None, None) => return true,
    };
    // Where the last fragment of an MP4 is cut, nobody knows whether others should follow.
    let is_fragment = demuxer.container() == ContainerFormat::Mp4 && num_missing == 0;
    if num_missing > MAX_ABSENT || is_fragment {
        return true;
    }
    packets.extend((1..=num_missing).map(|number| step.packet(number)));
    false
}

/// How times go on after the last frame.
struct Step {
    last: i64,
    ticks: f64,
}

impl Step {
    /// `None` if some have no time.
    fn of(packets: &[VideoPacket]) -> Option<Self> {
        let shown = packets.iter().filter(|packet| packet.is_shown);
        let times: Vec<i64> = shown.map(|packet| packet.pts.or(packet.dts)).collect::<Option<_>>()?;
        let (first, last, number) = (*times.iter().min()?, *times.iter().max()?, times.len());
        let ticks = last.checked_sub(first)? as f64 / number.checked_sub(1)? as f64;
        (ticks > 0.0).then_some(Self { last, ticks })
    }

    /// How many more frames are shown before this time, in ticks.
    fn num_until(&self, end: i64) -> usize {
        // The last frame ends one step after its time.
        let steps = end.saturating_sub(self.last) as f64 / self.ticks;
        (steps.round() as usize).saturating_sub(1)
    }

    fn packet(&self, number: usize) -> VideoPacket {
        let time = self.last.saturating_add((number as f64 * self.ticks).round() as i64);
        VideoPacket::absent(time, self.ticks as i64)
    }
}
