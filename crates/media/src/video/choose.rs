//! Which frames of a video are shown: a rule over the index, before anything is decoded.

use manyframe_core::{Clip, RejectCode};
use serde::{Deserialize, Serialize};

use super::{FrameRate, VideoIndex};
use crate::MediaError;

/// How frames are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampling {
    /// One frame per interval.
    Interval {
        /// Seconds from one frame to the next. Default: 1.
        interval_s: f64,
        /// Most frames; of more, this many are taken evenly, the first and the last among them. Default: 128.
        max_frames: u32,
    },
    /// A fixed number of frames at even positions, the first and the last among them; all if there are fewer.
    Uniform {
        /// Number of frames.
        num_frames: u32,
    },
}

impl Sampling {
    /// The same rule with no more frames than this.
    #[must_use]
    pub fn at_most(self, most: u32) -> Self {
        match self {
            Self::Interval { interval_s, max_frames } => {
                Self::Interval { interval_s, max_frames: max_frames.min(most) }
            }
            Self::Uniform { num_frames } => Self::Uniform { num_frames: num_frames.min(most) },
        }
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self::Interval { interval_s: 1.0, max_frames: 128 }
    }
}

/// Positions of the chosen frames in the index, strictly increasing, at least one.
///
/// A clip leaves the frames whose time lies in it, or if it is too short for that, the frame that is on screen when it
/// starts. An end beyond the video is cut; a clip that is no interval, or starts at or after the end, is a reject.
///
/// Of these frames, `Interval` keeps, as LongLLaVA's inference does, every `max(floor(fps × interval_s), 1)`-th, and of
/// more than `max_frames` those at positions `floor(i × (n − 1) ÷ (max_frames − 1))`. A video of variable rate has no
/// such step: there the first frame of each interval since the first frame is kept, and an interval without a frame
/// gives none.
///
/// `Uniform` takes those same positions out of all frames. A single frame is the first one.
pub fn choose_frames(index: &VideoIndex, clip: Option<Clip>, sampling: &Sampling) -> Result<Vec<usize>, MediaError> {
    let frames = match clip {
        Some(clip) => frames_in_clip(index, clip)?,
        None => (0..index.num_frames()).collect(),
    };
    Ok(match *sampling {
        Sampling::Uniform { num_frames } => spread(&frames, num_frames),
        Sampling::Interval { interval_s, max_frames } => {
            let kept = match index.rate {
                FrameRate::Constant => every_nth(&frames, index.fps() * interval_s),
                FrameRate::Variable => first_per_interval(index, &frames, interval_s),
            };
            spread(&kept, max_frames)
        }
    })
}

fn frames_in_clip(index: &VideoIndex, clip: Clip) -> Result<Vec<usize>, MediaError> {
    let duration_s = index.duration_s();
    let (start_s, end_s) = (clip.start_s, clip.end_s.unwrap_or(duration_s));
    // NaN compares false, so each condition states what is right.
    let is_interval = start_s >= 0.0 && end_s > start_s;
    if !(is_interval && start_s < duration_s) {
        let end = clip.end_s.map_or("the end".to_owned(), |end_s| format!("{end_s} s"));
        let detail = format!("a clip from {start_s} s to {end} of a video of {duration_s:.3} s");
        return Err(MediaError::rejected(RejectCode::ClipRange, detail));
    }
    // Times do not fall, so the frames of a clip are neighbours.
    let first_after = |time_s: f64| {
        let (mut low, mut high) = (0, index.num_frames());
        while low < high {
            let middle = low.midpoint(high);
            if index.time_s(middle) < time_s { low = middle + 1 } else { high = middle }
        }
        low
    };
    let (start, end) = (first_after(start_s), first_after(end_s));
    Ok(if start < end { (start..end).collect() } else { vec![start.saturating_sub(1)] })
}

/// Every n-th frame, n being the whole part of `step`, at least 1.
fn every_nth(frames: &[usize], step: f64) -> Vec<usize> {
    // The cast saturates, and makes 0 of NaN.
    let step = (step.floor() as usize).max(1);
    frames.iter().copied().step_by(step).collect()
}

/// The first frame of each interval, counted from the first of the frames; all if the interval is no time at all.
fn first_per_interval(index: &VideoIndex, frames: &[usize], interval_s: f64) -> Vec<usize> {
    let start_s = frames.first().map_or(0.0, |&first| index.time_s(first));
    let mut last = None;
    let is_first = |frame: &usize| {
        // The cast saturates: then intervals are too short to be counted, and no two frames share one.
        let interval = ((index.time_s(*frame) - start_s) / interval_s) as u64;
        last.replace(interval) != Some(interval) || interval == u64::MAX
    };
    if interval_s > 0.0 { frames.iter().copied().filter(is_first).collect() } else { frames.to_vec() }
}

/// `num_wanted` of the frames at even positions; all if there are no more than that.
fn spread(frames: &[usize], num_wanted: u32) -> Vec<usize> {
    let (num_frames, num_wanted) = (frames.len(), num_wanted.max(1) as usize);
    if num_frames <= num_wanted {
        return frames.to_vec();
    }
    // In integers: the product of a position and a count below 2³² fits.
    let last = num_frames as u128 - 1;
    let positions = (0..num_wanted).map(|i| (i as u128 * last / (num_wanted as u128 - 1).max(1)) as usize);
    positions.filter_map(|position| frames.get(position).copied()).collect()
}

#[cfg(test)]
mod tests {
    use manyframe_core::Rejection;
    use proptest::prelude::*;

    use super::*;
    use crate::video::testing::index_at;

    fn even(fps: i32, num_frames: i64) -> VideoIndex {
        let times: Vec<i64> = (0..num_frames).map(|i| i * 1000).collect();
        index_at(&times, fps * 1000)
    }

    fn interval(interval_s: f64, max_frames: u32) -> Sampling {
        Sampling::Interval { interval_s, max_frames }
    }

    fn clip(start_s: f64, end_s: f64) -> Clip {
        Clip { start_s, end_s: Some(end_s) }
    }

    #[test]
    fn one_frame_is_kept_per_interval() {
        assert_eq!(choose_frames(&even(10, 35), None, &interval(1.0, 128)).unwrap(), [0, 10, 20, 30]);
        assert_eq!(choose_frames(&even(10, 35), None, &interval(0.25, 128)).unwrap().len(), 18);
        assert_eq!(choose_frames(&even(10, 3), None, &interval(0.01, 128)).unwrap(), [0, 1, 2]);
        assert_eq!(choose_frames(&even(10, 3), None, &interval(1e300, 128)).unwrap(), [0]);
    }

    #[test]
    fn of_too_many_frames_even_positions_are_kept() {
        // Positions floor(i × 9 ÷ 3) of the ten frames 0, 10, … 90.
        assert_eq!(choose_frames(&even(10, 100), None, &interval(1.0, 4)).unwrap(), [0, 30, 60, 90]);
        assert_eq!(choose_frames(&even(10, 11), None, &Sampling::Uniform { num_frames: 4 }).unwrap(), [0, 3, 6, 10]);
        assert_eq!(choose_frames(&even(10, 3), None, &Sampling::Uniform { num_frames: 4 }).unwrap(), [0, 1, 2]);
        assert_eq!(choose_frames(&even(10, 9), None, &Sampling::Uniform { num_frames: 1 }).unwrap(), [0]);
    }

    #[test]
    fn a_variable_rate_is_sampled_by_time() {
        let index = index_at(&[0, 100, 200, 5000, 5100, 6050, 6900], 1000);
        assert_eq!(index.rate, FrameRate::Variable);
        assert_eq!(choose_frames(&index, None, &interval(1.0, 128)).unwrap(), [0, 3, 5]);
    }

    #[test]
    fn a_clip_holds_its_start_and_not_its_end() {
        let choose = |clip| choose_frames(&even(10, 100), Some(clip), &interval(0.1, 128)).unwrap();
        assert_eq!(choose(clip(1.0, 1.3)), [10, 11, 12]);
        assert_eq!(choose(clip(9.8, 50.0)), [98, 99]);
        assert_eq!(choose(Clip { start_s: 9.75, end_s: None }), [98, 99]);
        assert_eq!(choose(clip(1.01, 1.05)), [10]);
        assert_eq!(choose(clip(9.95, 9.99)), [99]);
    }

    #[test]
    fn a_clip_that_is_no_part_of_the_video_is_a_reject() {
        for (start_s, end_s) in [(2.0, 2.0), (3.0, 2.0), (-1.0, 2.0), (f64::NAN, 2.0), (0.0, f64::NAN), (10.0, 11.0)] {
            let result = choose_frames(&even(10, 100), Some(clip(start_s, end_s)), &interval(1.0, 128));
            assert!(
                matches!(result, Err(MediaError::Rejected(Rejection { code: RejectCode::ClipRange, .. }))),
                "{result:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn chosen_frames_exist_and_increase(
            mut times in prop::collection::btree_set(0_i64..100_000, 1..200),
            start_s in 0.0..100.0, length_s in 0.001..100.0,
            interval_s in prop::num::f64::ANY, max_frames in 1_u32..50, is_uniform: bool,
        ) {
            times.insert(0);
            let index = index_at(&times.into_iter().collect::<Vec<_>>(), 1000);
            let sampling = if is_uniform { Sampling::Uniform { num_frames: max_frames } } else { interval(interval_s, max_frames) };
            for clip in [None, Some(clip(start_s, start_s + length_s))] {
                let Ok(chosen) = choose_frames(&index, clip, &sampling) else {
                    prop_assert!(clip.is_some() && start_s >= index.duration_s());
                    continue;
                };
                prop_assert!(!chosen.is_empty() && chosen.len() <= max_frames as usize);
                prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(chosen.iter().all(|&frame| frame < index.num_frames()));
            }
        }
    }
}
