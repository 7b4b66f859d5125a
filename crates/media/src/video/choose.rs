//! Which frames of a video are shown: a rule applied to the index, before anything is decoded.

use manyframe_core::{Clip, RejectCode};

use super::index::VideoIndex;
use super::timing::FrameRate;
use crate::error::MediaError;
use crate::sampling::{Sampling, spread};

/// Positions of the chosen frames in the index, strictly increasing, at least one.
///
/// A clip restricts the choice to frames whose time is in `start_s..end_s`, or to the frame on screen at its start if there
/// are none. An end beyond the video is moved to its end.
///
/// Of these frames, `Interval` keeps every `max(floor(fps × interval_s), 1)`-th, as LongLLaVA's inference does, and spreads
/// `max_frames` over them if they are more ([`spread`]). A video of variable rate has no such step: the first frame of each
/// interval since the first frame is kept, and an interval without a frame is skipped.
///
/// `Uniform` spreads its frames over all of them.
///
/// # Errors
/// The rejection `clip_range` for a clip that is no interval, or starts at or after the end of the video.
pub fn choose_frames(index: &VideoIndex, clip: Option<Clip>, sampling: &Sampling) -> Result<Vec<usize>, MediaError> {
    let frames = match clip {
        Some(clip) => frames_in_clip(index, clip)?,
        None => (0..index.num_frames()).collect(),
    };
    Ok(match *sampling {
        Sampling::All => frames,
        Sampling::Uniform { num_frames } => spread(&frames, num_frames),
        Sampling::Interval { interval_s, max_frames } => {
            let kept = match index.timing.rate {
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
    // NaN compares false, so each condition states what is valid.
    let is_interval = start_s >= 0.0 && end_s > start_s;
    if !(is_interval && start_s < duration_s) {
        let end = clip.end_s.map_or("the end".to_owned(), |end_s| format!("{end_s} s"));
        let detail = format!("a clip from {start_s} s to {end} of a video of {duration_s:.3} s");
        return Err(MediaError::rejected(RejectCode::ClipRange, detail));
    }
    // Times never decrease, so the frames of a clip are consecutive.
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
    // The cast saturates, and turns NaN into 0.
    let step = (step.floor() as usize).max(1);
    frames.iter().copied().step_by(step).collect()
}

/// The first frame of each interval, counted from the first of the frames; all frames if the interval is 0 or less.
fn first_per_interval(index: &VideoIndex, frames: &[usize], interval_s: f64) -> Vec<usize> {
    let first = frames.first().copied().unwrap_or(0);
    let exact = decimal_fraction(interval_s);
    let mut last = None;
    let is_first = |&frame: &usize| {
        // The cast saturates: intervals are then too short to count, and no two frames share one.
        let rounded = || ((index.time_s(frame) - index.time_s(first)) / interval_s) as u64;
        let interval = exact.and_then(|interval| index.num_intervals(first, frame, interval)).unwrap_or_else(rounded);
        last.replace(interval) != Some(interval) || interval == u64::MAX
    };
    if interval_s > 0.0 { frames.iter().copied().filter(is_first).collect() } else { frames.to_vec() }
}

/// A number as the fraction that it is in decimal digits: 0.2 is 2 ÷ 10. `None` if it has too many of them.
fn decimal_fraction(number: f64) -> Option<(i128, i128)> {
    const MAX_DIGITS: u32 = 18;
    let text = number.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let num_decimals = u32::try_from(decimals.len()).ok().filter(|number| *number <= MAX_DIGITS)?;
    Some((format!("{whole}{decimals}").parse().ok()?, 10_i128.pow(num_decimals)))
}

#[cfg(test)]
mod tests {
    use manyframe_core::Rejection;
    use proptest::prelude::*;

    use super::*;
    use crate::video::index::{FrameEntry, Identity};
    use crate::video::orientation::Orientation;
    use crate::video::timing::{Timestamps, Timing};

    /// An index of frames at these times (strictly increasing), in ticks of `1 ÷ ticks_per_second` seconds.
    fn index_at(times: &[i64], ticks_per_second: i32) -> VideoIndex {
        let timestamps = Timestamps { times, time_base: (1, ticks_per_second), last_duration: 0 };
        VideoIndex {
            width_px: 64,
            height_px: 48,
            container: manyframe_core::ClipFormat::Other,
            frames: (0..).zip(times).map(|(packet, &pts)| FrameEntry { pts, packet }).collect(),
            timing: Timing::of(&timestamps, None),
            orientation: Orientation::UPRIGHT,
            packets: Vec::new(),
            identity: Identity::Packet,
            num_left_out: 0,
            is_incomplete: false,
            is_preceded: false,
        }
    }

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
        assert_eq!(index.timing.rate, FrameRate::Variable);
        assert_eq!(choose_frames(&index, None, &interval(1.0, 128)).unwrap(), [0, 3, 5]);
    }

    #[test]
    fn a_frame_at_the_start_of_an_interval_is_its_first() {
        // 0.6 ÷ 0.2 is less than 3 in floating-point numbers.
        let index = index_at(&[0, 10, 20, 30, 40, 50, 600, 640, 800], 1000);
        assert_eq!(index.timing.rate, FrameRate::Variable);
        assert_eq!(choose_frames(&index, None, &interval(0.2, 128)).unwrap(), [0, 6, 8]);
        assert_eq!(decimal_fraction(0.2), Some((2, 10)));
        assert_eq!(decimal_fraction(1e-30), None);
        assert_eq!(decimal_fraction(f64::NAN), None);
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
    fn a_clip_outside_of_the_video_is_rejected() {
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
