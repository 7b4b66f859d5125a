//! Frames per second from timestamps, and whether a video keeps to that rate.
//!
//! Containers round timestamps, some to milliseconds, so the average over the timestamps is known up to one tick. Inside
//! of that doubt the rate that the container states is taken, else the nearest usual rate: 30 and not 29.998, because
//! frame choice rounds down.

/// Whether frames come at even times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRate {
    /// Every frame is within one frame's time (and one tick) of where an even rate has it.
    Constant,
    /// Some frame is further off.
    Variable,
}

/// Share by which a stated rate may be off beyond the doubt of the timestamps: they are stated with rounding.
const STATED_TOLERANCE: f64 = 1e-6;

/// Average frames per second of frames shown at these times (ascending, in ticks), as near to a stated or usual rate as
/// the timestamps allow. `None` if there are fewer than two different times.
pub(super) fn average_fps(times: &[i64], seconds_per_tick: f64, stated: Option<f64>) -> Option<f64> {
    let (first, last) = (times.first()?, times.last()?);
    let num_ticks = last.checked_sub(*first).filter(|&ticks| ticks > 0)? as f64;
    let num_intervals = (times.len() - 1) as f64;
    let measured = num_intervals / (num_ticks * seconds_per_tick);
    // Each of the two ends is off by half a tick at most.
    let doubt = measured * (1.0 / num_ticks + STATED_TOLERANCE);
    let fits = |rate: &f64| rate.is_finite() && *rate > 0.0 && (rate - measured).abs() <= doubt;
    let whole = measured.round();
    let ntsc = (measured * 1.001).round() / 1.001;
    let usual =
        || [whole, ntsc].into_iter().filter(fits).min_by(|a, b| (a - measured).abs().total_cmp(&(b - measured).abs()));
    Some(stated.filter(fits).or_else(usual).unwrap_or(measured))
}

/// Whether frames shown at these times (ascending, in ticks) keep to a rate.
pub(super) fn frame_rate(times: &[i64], seconds_per_tick: f64, fps: f64) -> FrameRate {
    let first = times.first().copied().unwrap_or(0);
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
    fn rounded_timestamps_give_the_usual_rate() {
        for fps in [10.0, 24.0, 25.0, 30.0, 60.0, 24000.0 / 1001.0, 30000.0 / 1001.0] {
            let found = average_fps(&milliseconds(fps, 300), 0.001, None).unwrap();
            assert!((found - fps).abs() < 1e-9, "{found} instead of {fps}");
        }
    }

    #[test]
    fn a_stated_rate_is_taken_where_the_timestamps_allow_it() {
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
    fn a_missing_frame_is_still_even_but_a_long_pause_is_not() {
        let mut times = milliseconds(30.0, 100);
        assert_eq!(frame_rate(&times, 0.001, 30.0), FrameRate::Constant);
        times.iter_mut().skip(50).for_each(|time| *time += 33);
        assert_eq!(frame_rate(&times, 0.001, 30.0), FrameRate::Constant);
        times.iter_mut().skip(70).for_each(|time| *time += 500);
        assert_eq!(frame_rate(&times, 0.001, 30.0), FrameRate::Variable);
    }
}
