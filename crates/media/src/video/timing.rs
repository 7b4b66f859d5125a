//! When the frames of a video are shown: its frame rate, and whether that rate is constant.
//!
//! Containers round timestamps, some to milliseconds, so an average over timestamps is known up to one tick. Within that
//! uncertainty the rate stated by the container counts, or else the nearest common rate: 30 and not 29.998, because the
//! choice of frames rounds down.

use serde::{Deserialize, Serialize};

/// Frames per second of a video whose rate is unknown.
pub(super) const UNKNOWN_FPS: f64 = 1.0;

/// Relative error allowed for a stated rate, beyond the uncertainty of timestamps: stated rates are rounded.
const STATED_TOLERANCE: f64 = 1e-6;

/// Whether frames are shown at even intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FrameRate {
    /// Every frame is within one frame's time (and one tick) of its time at a constant rate.
    Constant,
    /// Some frame is further off.
    Variable,
}

/// Where the time of a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Clock {
    /// Timestamps: seconds per tick as a fraction.
    Ticks { numerator: i32, denominator: i32 },
    /// The position of the frame, at this many frames per second.
    Even { fps: f64 },
}

/// When the frames of a video are shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Timing {
    pub(super) clock: Clock,
    /// Average frames per second.
    pub(super) fps: f64,
    pub(super) rate: FrameRate,
    /// How long the last frame is shown, in seconds.
    pub(super) last_frame_s: f64,
}

/// Timestamps of a video's frames.
pub(super) struct Timestamps<'t> {
    /// Presentation times in ticks, ascending.
    pub(super) times: &'t [i64],
    /// Seconds per tick: numerator and denominator.
    pub(super) time_base: (i32, i32),
    /// How long the last frame is shown, in ticks; 0 if unknown.
    pub(super) last_duration: i64,
}

impl Timing {
    /// A frame every `1 ÷ fps` seconds.
    pub(super) fn even(fps: f64) -> Self {
        Self { clock: Clock::Even { fps }, fps, rate: FrameRate::Constant, last_frame_s: 1.0 / fps }
    }

    /// Timing by timestamps. `stated_fps` is the rate that the container states.
    pub(super) fn of(timestamps: &Timestamps<'_>, stated_fps: Option<f64>) -> Self {
        let Timestamps { times, time_base, last_duration } = *timestamps;
        let (numerator, denominator) = (time_base.0.max(1), time_base.1.max(1));
        let tick_s = f64::from(numerator) / f64::from(denominator);
        let Some(fps) = average_fps(times, tick_s, stated_fps) else {
            return Self::even(stated_fps.unwrap_or(UNKNOWN_FPS));
        };
        let rate = frame_rate(times, tick_s, fps);
        let last_frame_s = match rate {
            FrameRate::Variable if last_duration > 0 => last_duration as f64 * tick_s,
            _ => 1.0 / fps,
        };
        Self { clock: Clock::Ticks { numerator, denominator }, fps, rate, last_frame_s }
    }
}

/// Average frames per second of frames shown at these times (ascending, in ticks): the stated rate or a common one where the
/// timestamps allow it. `None` if there are fewer than two different times.
fn average_fps(times: &[i64], seconds_per_tick: f64, stated: Option<f64>) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    let num_ticks = last.checked_sub(*first).filter(|&ticks| ticks > 0)? as f64;
    let num_intervals = (times.len() - 1) as f64;
    let measured = num_intervals / (num_ticks * seconds_per_tick);
    // Each of the two ends is off by half a tick at most.
    let uncertainty = measured * (1.0 / num_ticks + STATED_TOLERANCE);
    let fits = |rate: &f64| rate.is_finite() && *rate > 0.0 && (rate - measured).abs() <= uncertainty;
    let whole = measured.round();
    let ntsc = (measured * 1.001).round() / 1.001;
    let common =
        || [whole, ntsc].into_iter().filter(fits).min_by(|a, b| (a - measured).abs().total_cmp(&(b - measured).abs()));
    Some(stated.filter(fits).or_else(common).unwrap_or(measured))
}

/// Whether frames shown at these times (ascending, in ticks) keep to a rate.
fn frame_rate(times: &[i64], seconds_per_tick: f64, fps: f64) -> FrameRate {
    let Some(&first) = times.first() else { return FrameRate::Constant };
    let most_s = 1.0 / fps + seconds_per_tick;
    let is_even = |(index, &time): (usize, &i64)| {
        let passed_s = time.saturating_sub(first) as f64 * seconds_per_tick;
        (passed_s - index as f64 / fps).abs() <= most_s
    };
    if times.iter().enumerate().all(is_even) { FrameRate::Constant } else { FrameRate::Variable }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of `num_frames` frames, rounded to milliseconds.
    fn milliseconds(fps: f64, num_frames: usize) -> Vec<i64> {
        (0..num_frames).map(|i| (i as f64 * 1000.0 / fps).round() as i64).collect()
    }

    #[test]
    fn rounded_timestamps_lead_to_the_common_rate() {
        for fps in [10.0, 24.0, 25.0, 30.0, 60.0, 24000.0 / 1001.0, 30000.0 / 1001.0] {
            let found = average_fps(&milliseconds(fps, 300), 0.001, None).unwrap();
            assert!((found - fps).abs() < 1e-9, "{found} instead of {fps}");
        }
    }

    #[test]
    fn a_stated_rate_counts_where_the_timestamps_allow_it() {
        assert_eq!(average_fps(&milliseconds(30.0, 10), 0.001, Some(30000.0 / 1001.0)), Some(30000.0 / 1001.0));
        assert_eq!(average_fps(&milliseconds(30.0, 300), 0.001, Some(25.0)), Some(30.0));
        assert_eq!(average_fps(&milliseconds(30.0, 300), 0.001, Some(f64::NAN)), Some(30.0));
    }

    #[test]
    fn one_time_has_no_rate() {
        assert_eq!(average_fps(&[], 0.001, Some(30.0)), None);
        assert_eq!(average_fps(&[5, 5], 0.001, None), None);
        assert_eq!(average_fps(&[i64::MIN, i64::MAX], 0.001, None), None);
    }

    #[test]
    fn a_missing_frame_keeps_the_rate_constant_but_a_long_pause_does_not() {
        let mut times = milliseconds(30.0, 100);
        assert_eq!(frame_rate(&times, 0.001, 30.0), FrameRate::Constant);
        times.iter_mut().skip(50).for_each(|time| *time += 33);
        assert_eq!(frame_rate(&times, 0.001, 30.0), FrameRate::Constant);
        times.iter_mut().skip(70).for_each(|time| *time += 500);
        assert_eq!(frame_rate(&times, 0.001, 30.0), FrameRate::Variable);
    }
}
