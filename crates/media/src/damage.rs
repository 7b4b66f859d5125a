//! Frames of a video that are missing or damaged, and when it is rejected for them.

use std::fmt;

use manyframe_core::RejectCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::MediaError;

/// What becomes of a video with frames that are missing or damaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DamageRule {
    /// It is rejected if more of its frames are missing than `max_missing` allows, or any is damaged.
    #[default]
    Reject,
    /// It is shown with the frames that can be decoded.
    Keep,
}

/// When a video is rejected for frames that are missing or damaged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DamagePolicy {
    /// What becomes of a damaged video.
    pub rule: DamageRule,
    /// Share of the chosen frames that may be missing, with `Reject`.
    pub max_missing: f64,
}

/// How many frames of videos are missing or damaged. By default none is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameDamage {
    /// Frames that were chosen.
    pub num_chosen: usize,
    /// Chosen frames that are not in the file, or cannot be decoded.
    pub num_missing: usize,
    /// Chosen frames that were decoded from damaged bytes, or that refer to such frames.
    pub num_damaged: usize,
    /// Frames at the start of the file that refer to frames before it, and are not shown by any player.
    pub num_left_out: usize,
    /// Whether parts of the file are missing or damaged, and nobody knows how many frames were in them.
    #[serde(default)]
    pub is_incomplete: bool,
}

impl FrameDamage {
    /// Whether there is nothing to report.
    pub fn is_none(&self) -> bool {
        self.num_missing == 0 && self.num_damaged == 0 && self.num_left_out == 0 && !self.is_incomplete
    }

    /// Adds the counts of another video.
    pub fn add(&mut self, other: Self) {
        self.num_chosen += other.num_chosen;
        self.num_missing += other.num_missing;
        self.num_damaged += other.num_damaged;
        self.num_left_out += other.num_left_out;
        self.is_incomplete |= other.is_incomplete;
    }
}

impl fmt::Display for FrameDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (
                usize::from(self.is_incomplete),
                "the file is incomplete, and does not say how many frames are missing".to_owned(),
            ),
            (self.num_missing, format!("{} of {} frames are missing", self.num_missing, self.num_chosen)),
            (self.num_damaged, format!("{} of {} frames are damaged", self.num_damaged, self.num_chosen)),
            (
                self.num_left_out,
                format!("{} frames before the first keyframe are left out: nothing can decode them", self.num_left_out),
            ),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|(number, _)| *number > 0).map(|(_, text)| text).collect();
        f.write_str(&parts.join("; "))
    }
}

impl DamagePolicy {
    /// A policy that rejects no video which has a frame.
    pub const KEEP: Self = Self { rule: DamageRule::Keep, max_missing: 1.0 };

    /// Rejects a video with too many frames missing, or nobody knows how many, or any damaged.
    ///
    /// # Errors
    /// The rejection `media_corrupt`, which says how many of how many.
    pub fn check(&self, damage: &FrameDamage) -> Result<(), MediaError> {
        let too_many = damage.is_incomplete || damage.num_missing as f64 > self.max_missing * damage.num_chosen as f64;
        if self.rule == DamageRule::Keep || !(too_many || damage.num_damaged > 0) {
            return Ok(());
        }
        let detail = format!(
            "{damage}; at most {} % may be missing, and none damaged (video.damage = \"keep\" shows what there is)",
            self.max_missing * 100.0
        );
        Err(MediaError::rejected(RejectCode::MediaCorrupt, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(num_missing: usize, num_damaged: usize) -> FrameDamage {
        FrameDamage { num_chosen: 20, num_missing, num_damaged, ..FrameDamage::default() }
    }

    #[test]
    fn a_tenth_may_be_missing_and_none_damaged() {
        let policy = DamagePolicy { rule: DamageRule::Reject, max_missing: 0.1 };
        assert!(policy.check(&damage(2, 0)).is_ok());
        let error = policy.check(&damage(3, 0)).unwrap_err().to_string();
        assert!(error.starts_with("3 of 20 frames are missing; at most 10 %"), "{error}");
        let error = policy.check(&damage(1, 1)).unwrap_err().to_string();
        assert!(error.starts_with("1 of 20 frames are missing; 1 of 20 frames are damaged"), "{error}");
        assert!(DamagePolicy::KEEP.check(&damage(19, 1)).is_ok());
        let error = policy.check(&FrameDamage { is_incomplete: true, ..damage(0, 0) }).unwrap_err().to_string();
        assert!(
            error.starts_with("the file is incomplete, and does not say how many frames are missing; at"),
            "{error}"
        );
    }

    #[test]
    fn what_is_left_out_is_said_and_no_reason_to_reject() {
        let late = FrameDamage { num_left_out: 7, ..damage(0, 0) };
        assert!(!late.is_none() && DamagePolicy { rule: DamageRule::Reject, max_missing: 0.0 }.check(&late).is_ok());
        assert!(late.to_string().starts_with("7 frames before the first keyframe"));
        assert!(damage(0, 0).is_none());
    }
}
