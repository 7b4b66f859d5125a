//! The account of decontamination: what no sample may show, and how much of it samples were compared with.

use std::collections::BTreeMap;
use std::fmt;

use manyframe_core::{RejectCode, Rejection};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What no sample may show, and how much of it samples were compared with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecontaminationSummary {
    /// Images and videos that `decontamination.against` leads to.
    pub num_media: u64,
    /// Images and frames of them that all samples were compared with. A video that is compared by its bytes has none.
    pub num_images: u64,
    /// Media that could not be decoded, or not to their end, by reason: samples may show what is missing of them.
    pub rejected: BTreeMap<RejectCode, u64>,
    /// The first [`Self::MOST_EXAMPLES`] of those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<RejectedMedium>,
    /// Files that are neither images nor videos, with which nothing was compared.
    pub num_other_files: u64,
    /// The share of its media that may be rejected; absent in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rejects: Option<f64>,
}

/// An image or video that no sample may show, and that could not be decoded, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedMedium {
    /// Its path, as every machine writes it.
    pub name: String,
    /// The reason.
    pub reason: RejectCode,
    /// What was found and what was expected.
    pub detail: String,
}

/// How many media of decontamination are rejected, where that is more than the pipeline file allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecontaminationExcess<'a> {
    summary: &'a DecontaminationSummary,
    allowed: f64,
}

impl DecontaminationSummary {
    /// Examples that are kept.
    pub const MOST_EXAMPLES: usize = 20;

    /// Counts a medium that could not be decoded, or not to its end.
    pub fn reject(&mut self, name: &str, rejection: &Rejection) {
        *self.rejected.entry(rejection.code).or_default() += 1;
        if self.examples.len() < Self::MOST_EXAMPLES {
            let (reason, detail) = (rejection.code, rejection.detail.clone());
            self.examples.push(RejectedMedium { name: name.to_owned(), reason, detail });
        }
    }

    /// Adds what another place leads to.
    pub fn add(&mut self, other: Self) {
        self.num_media += other.num_media;
        self.num_images += other.num_images;
        self.num_other_files += other.num_other_files;
        for (code, number) in other.rejected {
            *self.rejected.entry(code).or_default() += number;
        }
        self.examples.extend(other.examples);
        self.examples.truncate(Self::MOST_EXAMPLES);
    }

    /// Media that could not be decoded, or not to their end.
    pub fn num_rejected(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// How more than the share `allowed` of its media are rejected, if they are.
    pub fn excess(&self, allowed: f64) -> Option<DecontaminationExcess<'_>> {
        let is_over = allowed < 1.0 && self.num_rejected() as f64 > allowed * self.num_media as f64;
        is_over.then_some(DecontaminationExcess { summary: self, allowed })
    }
}

impl fmt::Display for DecontaminationExcess<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, allowed } = self;
        let (num_rejected, num_media) = (summary.num_rejected(), summary.num_media);
        let percent = 100.0 * num_rejected as f64 / num_media as f64;
        let allowed = (10_000.0 * allowed).round() / 100.0;
        write!(
            f,
            "decontamination: {num_rejected} of {num_media} images and videos that no sample may show cannot be decoded, so that samples \
             may show them ({percent:.2} %), decontamination.max_rejects allows {allowed} %"
        )?;
        match summary.examples.first() {
            Some(RejectedMedium { name, reason, detail }) => write!(f, ", such as {name:?} ({reason}: {detail})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_medium_counts_and_the_first_are_named() {
        let mut summary = DecontaminationSummary { num_media: 100, ..DecontaminationSummary::default() };
        assert_eq!(summary.excess(0.0), None);
        for number in 0..25 {
            let code = if number == 0 { RejectCode::DecoderCrashed } else { RejectCode::MediaCorrupt };
            summary.reject(&format!("${{here}}/{number}.jpg"), &Rejection::new(code, "a reason"));
        }
        assert_eq!(summary.rejected, BTreeMap::from([(RejectCode::MediaCorrupt, 24), (RejectCode::DecoderCrashed, 1)]));
        assert_eq!(summary.examples.len(), 20);
        assert_eq!((summary.excess(0.25), summary.excess(1.0)), (None, None));
        let excess = summary.excess(0.24).unwrap().to_string();
        assert!(excess.starts_with("decontamination: 25 of 100 images and videos"), "{excess}");
        assert!(
            excess.ends_with("max_rejects allows 24 %, such as \"${here}/0.jpg\" (decoder_crashed: a reason)"),
            "{excess}"
        );
    }
}
