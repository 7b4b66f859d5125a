//! Which frames of a video are taken: the sampling laws of the processors.
//!
//! `torch.arange` and `torch.linspace` compute in a mixture of 32 and 64 bits. Where it decides about a frame, the
//! functions here repeat it; the names say which library they follow.
//!
//! Some numbers of frames end a processor with an error. A dataset brings its frames with it, and a trainer that reads them
//! samples nothing (`do_sample_frames=False`): there, the functions take what the processor was asked for, as far as the
//! video has it, and say so ([`Sampled::processor_error`]).

use std::num::NonZeroU16;

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

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
    Fps(#[serde(deserialize_with = "rate")] f64),
    /// So many, whatever its length: `{ num_frames = 32 }`.
    NumFrames(NonZeroU16),
}

/// Reads a number of frames per second, which is more than 0.
pub(crate) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let rate = f64::deserialize(deserializer)?;
    let is_rate = rate.is_finite() && rate > 0.0;
    if is_rate { Ok(rate) } else { Err(D::Error::custom(format!("{rate} frames per second, expected more than 0"))) }
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

/// The frames that are taken of a video.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sampled {
    pub(crate) frames: Vec<u32>,
    /// Why the processor itself ends with an error where it takes them.
    pub(crate) processor_error: Option<Refusal>,
}

impl Sampled {
    fn instead_of(processor_error: Refusal, frames: Vec<u32>) -> Self {
        Self { frames, processor_error: Some(processor_error) }
    }

    /// All frames of a video that is shorter than what is asked for.
    fn whole(clip: Clip<'_>, wanted: u32) -> Self {
        Self::instead_of(Refusal::TooFewFrames { wanted, num_frames: clip.num_frames }, all(clip))
    }
}

impl From<Vec<u32>> for Sampled {
    fn from(frames: Vec<u32>) -> Self {
        Self { frames, processor_error: None }
    }
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
/// For about a tenth of all numbers of frames, `torch.arange` makes one index too many, which does not exist, and the
/// processor ends with an `IndexError`: it is left out. Of a video with fewer frames than are asked for, all are taken; at
/// least two, if it has them.
pub(crate) fn qwen2(clip: Clip<'_>, frames: Frames, limits: FrameLimits, group: u32) -> Sampled {
    let num_frames = clip.num_frames;
    let group_size = f64::from(group);
    let wanted = match wanted(clip, frames) {
        Frames::All => return all(clip).into(),
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
        return Sampled::whole(clip, wanted_frames);
    }
    if wanted_frames == 0 {
        let one_step = f64::from(group.min(num_frames));
        let frames = torch_arange(0.0, f64::from(num_frames), f64::from(num_frames) / one_step);
        return Sampled::instead_of(Refusal::NoFrame { num_frames }, frames);
    }
    let mut indices = torch_arange(0.0, f64::from(num_frames), f64::from(num_frames) / wanted);
    if indices.last().is_some_and(|&last| last >= num_frames) {
        indices.retain(|&index| index < num_frames);
        return Sampled::instead_of(Refusal::FrameBeyondEnd { wanted: wanted_frames, num_frames }, indices);
    }
    indices.into()
}

/// `Qwen3VLVideoProcessor.sample_frames`: evenly from the first frame to the last. The processor refuses a single frame:
/// there are two, the same one twice if the video has no other.
pub(crate) fn qwen3(clip: Clip<'_>, frames: Frames, limits: FrameLimits) -> Sampled {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return all(clip).into(),
        Frames::NumFrames(wanted) => u32::from(wanted.get()),
        Frames::Fps(fps) => ((clip.duration_s() * fps) as u32).max(limits.min).min(limits.max).min(num_frames),
    };
    let last = num_frames.saturating_sub(1);
    if wanted < 2 {
        return Sampled::instead_of(Refusal::SingleFrame, numpy_linspace(last, 2));
    }
    numpy_linspace(last, wanted).into()
}

/// `qwen_vl_utils.vision_process.smart_nframes`: an even number of frames, evenly from the first to the last. Of a video with
/// fewer frames than are asked for, all are taken; at least two, the same one twice if the video has no other.
pub(crate) fn qwen_vl_utils(clip: Clip<'_>, frames: Frames, limits: FrameLimits) -> Sampled {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return all(clip).into(),
        Frames::NumFrames(wanted) => round(f64::from(wanted.get()) / 2.0) * 2.0,
        Frames::Fps(fps) => {
            let min = f64::from(limits.min.div_ceil(2) * 2);
            let max = f64::from(limits.max.min(num_frames) / 2 * 2);
            let wanted = (clip.duration_s() * fps).max(min).min(max).min(f64::from(num_frames));
            (wanted / 2.0).floor() * 2.0
        }
    };
    let wanted = wanted as u32;
    if wanted > num_frames && num_frames > 1 {
        return Sampled::whole(clip, wanted);
    }
    if wanted < 2 || num_frames < 2 {
        let frames = torch_linspace(num_frames.saturating_sub(1), 2);
        return Sampled::instead_of(Refusal::SingleFrame, frames);
    }
    torch_linspace(num_frames - 1, wanted).into()
}

/// `InternVLVideoProcessor.sample_frames`: each frame from the middle of its share of the video. Of a video with fewer frames
/// than are asked for, all are taken; at least one.
pub(crate) fn internvl(clip: Clip<'_>, frames: Frames) -> Sampled {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return all(clip).into(),
        Frames::NumFrames(wanted) => u32::from(wanted.get()),
        Frames::Fps(fps) => (clip.duration_s() * fps) as u32,
    };
    if wanted > num_frames {
        return Sampled::whole(clip, wanted);
    }
    let share = f64::from(num_frames) / f64::from(wanted.max(1));
    let frames = torch_arange(share / 2.0, f64::from(num_frames), share);
    if wanted == 0 { Sampled::instead_of(Refusal::NoFrame { num_frames }, frames) } else { frames.into() }
}

/// `video_utils.default_sample_indices_fn`, for LLaVA-OneVision, LLaVA-NeXT-Video and Nemotron: each at the start of its share.
/// Of a video with fewer frames than are asked for, all are taken.
pub(crate) fn starts_of_shares(clip: Clip<'_>, frames: Frames) -> Sampled {
    let num_frames = clip.num_frames;
    let wanted = match wanted(clip, frames) {
        Frames::All => return all(clip).into(),
        Frames::NumFrames(wanted) => u32::from(wanted.get()),
        Frames::Fps(fps) => ((clip.duration_s() * fps) as u32).max(1),
    };
    if wanted > num_frames {
        return Sampled::whole(clip, wanted);
    }
    let index = |place: u32| (u64::from(place) * u64::from(num_frames) / u64::from(wanted)) as u32;
    (0..wanted).map(index).collect::<Vec<_>>().into()
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

    fn sampled(law: &str, num_frames: u32, wanted: u32) -> Sampled {
        let clip = Clip::new(Size::square(448), num_frames, 25.0);
        let limits = FrameLimits { min: 4, max: 768 };
        let frames = Frames::NumFrames(NonZeroU16::new(wanted as u16).unwrap());
        match law {
            "qwen2_vl" => qwen2(clip, frames, limits, 1),
            "qwen3_vl" => qwen3(clip, frames, limits),
            "internvl" => internvl(clip, frames),
            "default" => starts_of_shares(clip, frames),
            "qwen_vl_utils" => torch_linspace(num_frames - 1, wanted).into(),
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
            return manyframe_skip::skip(&format!("no rows at {}", path.display()));
        };
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let number = |key: &str| row[key].as_u64().unwrap() as u32;
            // This sampler takes a single frame, which its processor refuses then.
            if row["law"] == "qwen3_vl" && number("wanted") == 1 {
                continue;
            }
            let sampled = sampled(row["law"].as_str().unwrap(), number("frames"), number("wanted"));
            let Sampled { frames, processor_error } = sampled;
            if row.get("error").is_some() {
                assert!(
                    matches!(processor_error, Some(Refusal::FrameBeyondEnd { .. })),
                    "{processor_error:?}\nrow: {row}"
                );
                assert_eq!(frames.len() as u32, number("wanted"), "{row}");
                assert!(frames.last() < Some(&number("frames")) && frames.is_sorted(), "{row}");
                continue;
            }
            assert_eq!(processor_error, None, "{row}");
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

    fn of(law: &str, num_frames: u32, frames: Frames) -> Sampled {
        let clip = Clip::new(Size::square(448), num_frames, 25.0);
        let limits = FrameLimits { min: 1, max: 768 };
        match law {
            "qwen2" => qwen2(clip, frames, limits, 2),
            "qwen3" => qwen3(clip, frames, limits),
            "internvl" => internvl(clip, frames),
            "shares" => starts_of_shares(clip, frames),
            "utils" => qwen_vl_utils(clip, frames, limits),
            other => panic!("no law {other}"),
        }
    }

    #[test]
    fn where_a_processor_ends_with_an_error_there_are_frames_all_the_same() {
        for (law, num_frames, frames, expected) in [
            ("qwen2", 5, Frames::count(8), &[0, 1, 2, 3, 4][..]),
            ("qwen2", 1, Frames::Fps(2.0), &[0]),
            ("qwen2", 20, Frames::count(1), &[0, 10]),
            ("qwen3", 1, Frames::Fps(2.0), &[0, 0]),
            ("qwen3", 9, Frames::Fps(0.1), &[0, 8]),
            ("utils", 1, Frames::Fps(2.0), &[0, 0]),
            ("utils", 3, Frames::count(8), &[0, 1, 2]),
            ("internvl", 3, Frames::count(8), &[0, 1, 2]),
            ("internvl", 9, Frames::Fps(0.1), &[4]),
            ("shares", 3, Frames::count(8), &[0, 1, 2]),
        ] {
            let sampled = of(law, num_frames, frames);
            assert_eq!(sampled.frames, expected, "{law}");
            assert!(sampled.processor_error.is_some(), "{law}");
        }
    }
}
