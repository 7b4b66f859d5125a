//! Which frames of a video are taken: the sampling laws of the processors.
//!
//! `torch.arange` and `torch.linspace` compute in a mixture of 32 and 64 bits. Where it decides about a frame, the
//! functions here repeat it; the names say which library they follow.

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::geometry::Clip;
use crate::number::round;
use crate::refusal::Refusal;

/// How many frames are wanted of a video.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Frames {
    /// All: they were chosen before.
    All,
    /// So many per second: `{ fps = 2.0 }`.
    Fps(f64),
    /// So many, whatever its length: `{ num_frames = 32 }`.
    NumFrames(NonZeroU16),
}

impl Frames {
    /// So many, whatever its length.
    pub(crate) const fn count(num_frames: u16) -> Self {
        Self::NumFrames(nonzero(num_frames))
    }
}

/// A number that is not zero.
#[expect(clippy::expect_used, reason = "it is called with the numbers of published checkpoints")]
pub(crate) const fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("not zero")
}

/// The lower and upper bound of the number of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameLimits {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// The frames that were taken before, otherwise every frame.
pub(crate) fn all(clip: Clip<'_>) -> Vec<u32> {
    clip.taken.map_or_else(|| (0..clip.num_frames).collect(), <[u32]>::to_vec)
}

/// What a law is asked for: nothing, where the frames were taken before.
fn wanted(clip: Clip<'_>, frames: Frames) -> Frames {
    if clip.taken.is_some() { Frames::All } else { frames }
}

/// `Qwen2VLVideoProcessor.sample_frames`: an even number of frames, each at the start of its share of the video.
///
/// For about a tenth of all numbers of frames, `torch.arange` makes one index too many, and the processor ends with an
/// `IndexError`: [`Refusal::FrameBeyondEnd`].
pub(crate) fn qwen2(clip: Clip<'_>, frames: Frames, limits: FrameLimits, group: u32) -> Result<Vec<u32>, Refusal> {
    let num_frames = clip.num_frames;
    let group_size = f64::from(group);
    let wanted = match wanted(clip, frames) {
        Frames::All => return Ok(all(clip)),
        Frames::NumFrames(wanted) => round(f64::from(wanted.get()) / group_size) * group_size,
        Frames::Fps(fps) => {
            let cap = f64::from(limits.max.min(num_frames) / group * group);
            let wanted = clip.duration_s() * fps;
            let wanted = wanted.max(f64::from(limits.min)).min(cap).min(f64::from(num_frames));
            (wanted / group_size).floor() * group_size
        }
    };
    let wanted_frames = wanted as u32;
    if wanted_frames > num_frames {
        return Err(Refusal::TooFewFrames { wanted: wanted_frames, num_frames });
    }
    if wanted_frames == 0 {
        return Err(Refusal::NoFrame { num_frames });
    }
    let indices = torch_arange(0.0, f64::from(num_frames), f64::from(num_frames) / wanted);
    match indices.last() {
        Some(&last) if last >= num_frames => Err(Refusal::FrameBeyondEnd { wanted: wanted_frames, num_frames }),
        _ => Ok(indices),
    }
}

/// `Qwen3VLVideoProcessor.sample_frames`: evenly from the first frame to the last.
pub(crate) fn qwen3(clip: Clip<'_>, frames: Frames, limits: FrameLimits) -> Vec<u32> {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return all(clip),
        Frames::NumFrames(wanted) => u32::from(wanted.get()),
        Frames::Fps(fps) => ((clip.duration_s() * fps) as u32).max(limits.min).min(limits.max).min(num_frames),
    };
    numpy_linspace(num_frames.saturating_sub(1), wanted)
}

/// `qwen_vl_utils.vision_process.smart_nframes`: an even number of frames, evenly from the first to the last.
pub(crate) fn qwen_vl_utils(clip: Clip<'_>, frames: Frames, limits: FrameLimits) -> Result<Vec<u32>, Refusal> {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return Ok(all(clip)),
        Frames::NumFrames(wanted) => round(f64::from(wanted.get()) / 2.0) * 2.0,
        Frames::Fps(fps) => {
            let min = f64::from(limits.min.div_ceil(2) * 2);
            let max = f64::from(limits.max.min(num_frames) / 2 * 2);
            let wanted = (clip.duration_s() * fps).max(min).min(max).min(f64::from(num_frames));
            (wanted / 2.0).floor() * 2.0
        }
    };
    let wanted = wanted as u32;
    if wanted > num_frames {
        return Err(Refusal::TooFewFrames { wanted, num_frames });
    }
    if wanted < 2 {
        return Err(Refusal::NoFrame { num_frames });
    }
    Ok(torch_linspace(num_frames - 1, wanted))
}

/// `InternVLVideoProcessor.sample_frames`: each frame from the middle of its share of the video.
pub(crate) fn internvl(clip: Clip<'_>, frames: Frames) -> Result<Vec<u32>, Refusal> {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return Ok(all(clip)),
        Frames::NumFrames(wanted) => u32::from(wanted.get()),
        Frames::Fps(fps) => (clip.duration_s() * fps) as u32,
    };
    if wanted == 0 {
        return Err(Refusal::NoFrame { num_frames });
    }
    if wanted > num_frames {
        return Err(Refusal::TooFewFrames { wanted, num_frames });
    }
    let share = f64::from(num_frames) / f64::from(wanted);
    Ok(torch_arange(share / 2.0, f64::from(num_frames), share))
}

/// `video_utils.default_sample_indices_fn`, for LLaVA-OneVision, LLaVA-NeXT-Video and Nemotron: each at the start of its share.
pub(crate) fn starts_of_shares(clip: Clip<'_>, frames: Frames) -> Result<Vec<u32>, Refusal> {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return Ok(all(clip)),
        Frames::NumFrames(wanted) => u32::from(wanted.get()),
        Frames::Fps(fps) => ((clip.duration_s() * fps) as u32).max(1),
    };
    if wanted > num_frames {
        return Err(Refusal::TooFewFrames { wanted, num_frames });
    }
    let index = |place: u32| (u64::from(place) * u64::from(num_frames) / u64::from(wanted)) as u32;
    Ok((0..wanted).map(index).collect())
}

/// `SmolVLMVideoProcessor.sample_frames`: at most `max_frames`, `fps` a second; a second at both ends is left out of a
/// video that is longer than that. A frame is taken once.
pub(crate) fn smolvlm(clip: Clip<'_>, fps: f64, max_frames: u32) -> Vec<u32> {
    const SKIPPED_S: f64 = 1.0;
    let duration_s = clip.duration_s();
    let wanted = (round(fps * duration_s) as u32).min(max_frames).max(1);
    let end = i64::from(clip.num_frames) - 1;
    let (mut first, mut last) = (0, end);
    if duration_s - 2.0 * SKIPPED_S > f64::from(max_frames) * fps {
        first = (SKIPPED_S * clip.rate) as i64;
        last = (f64::from(clip.num_frames) - SKIPPED_S * clip.rate) as i64;
    }
    (first, last) = (first.max(0), last.min(end));
    if first >= last {
        (first, last) = (0, end);
    }
    if wanted == 1 {
        return vec![first as u32];
    }
    let step = (last - first) as f64 / f64::from(wanted - 1);
    let mut indices: Vec<u32> =
        (0..wanted - 1).map(|place| (f64::from(place) * step + first as f64).floor() as u32).collect();
    indices.push(last as u32);
    indices.dedup();
    indices
}

/// VILA's `opencv_extract_frames`: evenly from the first frame to the last, cut to whole numbers; all frames of a video that
/// has fewer.
pub(crate) fn vila(clip: Clip<'_>, frames: Frames) -> Vec<u32> {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return all(clip),
        Frames::NumFrames(wanted) => u32::from(wanted.get()),
        Frames::Fps(fps) => ((clip.duration_s() * fps) as u32).max(2),
    };
    if wanted >= num_frames {
        return all(clip);
    }
    let last = num_frames.saturating_sub(1);
    let step = f64::from(last) / f64::from(wanted.max(2) - 1);
    let mut indices: Vec<u32> = (1..wanted).map(|place| (f64::from(place - 1) * step) as u32).collect();
    indices.push(if wanted == 1 { 0 } else { last });
    indices
}

/// `torch.arange(start, end, step).int()` on x86-64.
///
/// The number of values is computed in 64 bits. Values are computed in 64 bits and kept in 32, but in runs of eight from
/// a base that is itself kept in 32 bits, two runs at a time; what is left over is computed one by one. Up to 16,384
/// frames, every CPU returns the same.
fn torch_arange(start: f64, end: f64, step: f64) -> Vec<u32> {
    const LANES: u32 = 8;
    let count = ((end - start) / step).ceil() as u32;
    let in_runs = count / (2 * LANES) * (2 * LANES);
    let value = |place: u32| {
        if place < in_runs {
            let base = (start + step * f64::from(place / LANES * LANES)) as f32;
            (f64::from(base) + step * f64::from(place % LANES)) as f32
        } else {
            (start + step * f64::from(place)) as f32
        }
    };
    (0..count).map(|place| value(place) as u32).collect()
}

/// `numpy.linspace(0, last, count).round()`.
fn numpy_linspace(last: u32, count: u32) -> Vec<u32> {
    if count < 2 {
        return vec![0; count as usize];
    }
    let step = f64::from(last) / f64::from(count - 1);
    let mut values: Vec<u32> = (0..count - 1).map(|place| round(f64::from(place) * step) as u32).collect();
    values.push(last);
    values
}

/// `torch.linspace(0, last, count).round()`: the step is kept in 32 bits, each value is one fused multiply-add, the first
/// half counted from the start, the rest back from the end.
fn torch_linspace(last: u32, count: u32) -> Vec<u32> {
    if count < 2 {
        return vec![0; count as usize];
    }
    let step = f64::from((f64::from(last) / f64::from(count - 1)) as f32);
    let value = |place: u32| {
        let value = if place < count / 2 {
            step * f64::from(place)
        } else {
            f64::from(last) - step * f64::from(count - 1 - place)
        };
        round(f64::from(value as f32)) as u32
    };
    (0..count).map(value).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::geometry::Size;

    fn sampled(law: &str, num_frames: u32, wanted: u32) -> Result<Vec<u32>, Refusal> {
        let clip = Clip::new(Size::square(448), num_frames, 25.0);
        let limits = FrameLimits { min: 4, max: 768 };
        let frames = Frames::NumFrames(NonZeroU16::new(wanted as u16).unwrap());
        match law {
            "qwen2_vl" => qwen2(clip, frames, limits, 1),
            "qwen3_vl" => Ok(qwen3(clip, frames, limits)),
            "internvl" => internvl(clip, frames),
            "default" => starts_of_shares(clip, frames),
            "qwen_vl_utils" => Ok(torch_linspace(num_frames - 1, wanted)),
            other => panic!("no law {other}"),
        }
    }

    /// Rows of the samplers themselves, up to 400,000 frames; see `tests/rows.rs`.
    #[test]
    fn frames_are_those_of_the_libraries() {
        let beside = || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
        let folder = std::env::var_os("MANYFRAME_SHARED").map_or_else(beside, std::path::PathBuf::from);
        let path = folder.join("parity/vision/sampling.jsonl");
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("SKIPPED: no rows at {}", path.display());
            return;
        };
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let number = |key: &str| row[key].as_u64().unwrap() as u32;
            let sampled = sampled(row["law"].as_str().unwrap(), number("frames"), number("wanted"));
            if row.get("error").is_some() {
                assert!(matches!(sampled, Err(Refusal::FrameBeyondEnd { .. })), "{sampled:?}\nrow: {row}");
                continue;
            }
            let frames = sampled.unwrap_or_else(|refusal| panic!("{refusal}\nrow: {row}"));
            if let Some(expected) = row["sha256"].as_str() {
                let listed = frames.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
                let digest = Sha256::digest(listed).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
                let digest: String = digest.filter_map(|digit| char::from_digit(digit.into(), 16)).collect();
                assert_eq!(&digest[..24], expected, "{row}");
            } else {
                assert_eq!(json!(frames), row["indices"], "{row}");
            }
        }
    }
}
