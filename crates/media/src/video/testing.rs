//! What tests of this module share.

use super::index::{Clock, FrameEntry, Identity, VideoIndex};
use super::rate::{average_fps, frame_rate};
use super::{FrameRate, UNKNOWN_FPS};

/// An index of frames at these times (strictly increasing), in ticks of which a second has `ticks_per_second`.
pub(super) fn index_at(times: &[i64], ticks_per_second: i32) -> VideoIndex {
    let tick_s = 1.0 / f64::from(ticks_per_second);
    let fps = average_fps(times, tick_s, None).unwrap_or(UNKNOWN_FPS);
    VideoIndex {
        width_px: 64,
        height_px: 48,
        frames: (0..).zip(times).map(|(packet, &pts)| FrameEntry { pts, is_key: true, packet }).collect(),
        rate: if times.len() > 1 { frame_rate(times, tick_s, fps) } else { FrameRate::Constant },
        fps,
        clock: Clock::Ticks { numerator: 1, denominator: ticks_per_second },
        last_frame_s: 1.0 / fps,
        orientation: super::rotate::Orientation::UPRIGHT,
        packets: Vec::new(),
        identity: Identity::Pts,
    }
}
