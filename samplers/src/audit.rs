//! What a widely used packer would have lost: a replay of the rules of the packer that was released with LongLLaVA, over
//! the same samples.
//!
//! Its rules, as released: records follow in a shuffled order. The length of a record is counted as its text plus 144
//! tokens for each of its images *for each of its turns*; the text is that of its turns, without template and placeholders,
//! each with the start token that its tokenizer adds. If a record would take the open pack over the limit, the pack
//! is closed and *the record is dropped*. A pack without an image is discarded. Tokens of a pack beyond the trainer's
//! sequence length are cut off.
//!
//! Three things are not released or not reproducible. They are decided in its favour or stated: its shuffle has no seed, so
//! records come in the order of this dataset; the last pack is closed and kept; nothing counts as lost because samples of a
//! pack can attend to one another.

use std::collections::BTreeMap;

use manyframe_core::SourceIndex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sample as that packer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcatSample {
    /// Its source.
    pub source: SourceIndex,
    /// Encoded images.
    pub num_images: u32,
    /// Tokens of text, delimiters and template included: what a trainer makes of it.
    pub text_tokens: u32,
    /// Tokens of the texts of its turns, as that packer counts them.
    pub turn_tokens: u32,
    /// Turns, questions and answers alike.
    pub num_turns: u32,
}

/// Settings of that packer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcatOptions {
    /// Maximum number of tokens in a pack, as that packer counts them. Released default: 128,000.
    pub limit_tokens: u64,
    /// Maximum number of tokens that the trainer keeps of a pack. LongLLaVA's stages 2 and 3: 40,960.
    pub sequence_tokens: u64,
    /// Tokens of an image. LongLLaVA: 144.
    pub tokens_per_image: u64,
}

impl Default for ConcatOptions {
    fn default() -> Self {
        Self { limit_tokens: 128_000, sequence_tokens: 40_960, tokens_per_image: 144 }
    }
}

/// Samples and their tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amount {
    /// Samples.
    pub samples: u64,
    /// Tokens.
    pub tokens: u64,
}

impl Amount {
    fn add(&mut self, tokens: u64) {
        self.samples += 1;
        self.tokens = self.tokens.saturating_add(tokens);
    }

    fn plus(self, other: Self) -> Self {
        Self { samples: self.samples + other.samples, tokens: self.tokens.saturating_add(other.tokens) }
    }
}

/// What happened to the samples of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConcatLoss {
    /// All samples of the source.
    pub all: Amount,
    /// Dropped where a pack was closed, including those that are longer than a pack.
    pub dropped: Amount,
    /// Discarded with a pack that had no image.
    pub text_only: Amount,
    /// Packed, but entirely beyond the sequence length.
    pub beyond_sequence: Amount,
    /// Packed and truncated at the sequence length: samples of which a part remains, and the tokens that were cut off.
    pub cut: Amount,
}

impl ConcatLoss {
    /// Samples of which nothing is trained on, and all tokens that are not trained on, including those of truncated
    /// samples.
    pub fn lost(&self) -> Amount {
        let whole = self.dropped.plus(self.text_only).plus(self.beyond_sequence);
        Amount { tokens: whole.tokens.saturating_add(self.cut.tokens), ..whole }
    }
}

/// What that packer would have lost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConcatAudit {
    /// Packs that reach the trainer.
    pub num_packs: u64,
    /// Tokens trained on, over the sequence length of all packs. From 0 to 1.
    pub fill: f64,
    /// By source.
    pub sources: BTreeMap<SourceIndex, ConcatLoss>,
}

impl ConcatAudit {
    /// The losses of all sources together.
    pub fn total(&self) -> ConcatLoss {
        self.sources.values().fold(ConcatLoss::default(), |sum, loss| ConcatLoss {
            all: sum.all.plus(loss.all),
            dropped: sum.dropped.plus(loss.dropped),
            text_only: sum.text_only.plus(loss.text_only),
            beyond_sequence: sum.beyond_sequence.plus(loss.beyond_sequence),
            cut: sum.cut.plus(loss.cut),
        })
    }
}

/// Replays the packer over samples in delivered order. Only those of its open pack are in memory.
pub fn audit_concat(samples: impl IntoIterator<Item = ConcatSample>, options: &ConcatOptions) -> ConcatAudit {
    let mut replay = Replay { options, open: Vec::new(), counted: 0, trained: 0, audit: ConcatAudit::default() };
    for sample in samples {
        replay.add(sample);
    }
    replay.close_pack();
    let capacity = replay.audit.num_packs as f64 * options.sequence_tokens as f64;
    let fill = if capacity > 0.0 { replay.trained as f64 / capacity } else { 0.0 };
    ConcatAudit { fill, ..replay.audit }
}

struct Replay<'a> {
    options: &'a ConcatOptions,
    open: Vec<ConcatSample>,
    /// Length of the open pack as the packer counts it.
    counted: u64,
    /// Tokens trained on, of all packs.
    trained: u64,
    audit: ConcatAudit,
}

impl Replay<'_> {
    fn add(&mut self, sample: ConcatSample) {
        let tokens = self.tokens(sample);
        let visual = u64::from(sample.num_images).saturating_mul(self.options.tokens_per_image);
        let counted = visual.saturating_mul(u64::from(sample.num_turns)).saturating_add(u64::from(sample.turn_tokens));
        self.loss(sample).all.add(tokens);
        if self.counted.saturating_add(counted) > self.options.limit_tokens {
            self.close_pack();
            self.loss(sample).dropped.add(tokens);
            return;
        }
        self.counted += counted;
        self.open.push(sample);
    }

    fn close_pack(&mut self) {
        let pack = std::mem::take(&mut self.open);
        self.counted = 0;
        if pack.iter().all(|sample| sample.num_images == 0) {
            for sample in pack {
                let tokens = self.tokens(sample);
                self.loss(sample).text_only.add(tokens);
            }
            return;
        }
        self.audit.num_packs += 1;
        let mut left = self.options.sequence_tokens;
        for sample in pack {
            let tokens = self.tokens(sample);
            let kept = tokens.min(left);
            left -= kept;
            self.trained += kept;
            if kept == 0 && tokens > 0 {
                self.loss(sample).beyond_sequence.add(tokens);
            } else if kept < tokens {
                self.loss(sample).cut.add(tokens - kept);
            }
        }
    }

    fn tokens(&self, sample: ConcatSample) -> u64 {
        u64::from(sample.num_images)
            .saturating_mul(self.options.tokens_per_image)
            .saturating_add(u64::from(sample.text_tokens))
    }

    fn loss(&mut self, sample: ConcatSample) -> &mut ConcatLoss {
        self.audit.sources.entry(sample.source).or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(num_images: u32, text_tokens: u32, num_turns: u32) -> ConcatSample {
        ConcatSample { source: SourceIndex(0), num_images, text_tokens, turn_tokens: text_tokens, num_turns }
    }

    fn options(limit_tokens: u64, sequence_tokens: u64) -> ConcatOptions {
        ConcatOptions { limit_tokens, sequence_tokens, tokens_per_image: 10 }
    }

    #[test]
    fn the_record_that_closes_a_pack_is_dropped() {
        let audit = audit_concat([sample(1, 50, 1), sample(1, 50, 1), sample(1, 30, 1)], &options(100, 100));
        assert_eq!(audit.total().dropped, Amount { samples: 1, tokens: 60 });
        assert_eq!(audit.num_packs, 2);
    }

    #[test]
    fn images_are_counted_once_for_each_turn() {
        // 2 images × 10 tokens × 6 turns exceed a limit that the 40 real tokens are far below.
        let audit = audit_concat([sample(2, 20, 6)], &options(100, 100));
        assert_eq!(audit.total().lost(), Amount { samples: 1, tokens: 40 });
        assert_eq!(audit.num_packs, 0);
    }

    #[test]
    fn the_packer_counts_the_texts_of_turns() {
        // 90 tokens to a trainer, 100 by the count of the packer, which is its limit.
        let counted = |turn_tokens| ConcatSample { turn_tokens, ..sample(1, 40, 2) };
        let audit = audit_concat([counted(30), counted(30)], &options(100, 100));
        assert_eq!((audit.total().lost().samples, audit.num_packs), (0, 1));
        let audit = audit_concat([counted(30), counted(31)], &options(100, 100));
        assert_eq!(audit.total().dropped, Amount { samples: 1, tokens: 50 });
    }

    #[test]
    fn packs_without_an_image_are_discarded() {
        let audit = audit_concat([sample(0, 60, 2), sample(0, 30, 2), sample(1, 60, 2)], &options(100, 100));
        assert_eq!(audit.total().text_only, Amount { samples: 2, tokens: 90 });
        assert_eq!(audit.total().dropped, Amount { samples: 1, tokens: 70 });
    }

    #[test]
    fn what_is_beyond_the_sequence_is_cut_off() {
        let audit = audit_concat([sample(1, 20, 1), sample(1, 30, 1), sample(1, 5, 1)], &options(100, 50));
        assert_eq!(audit.total().cut, Amount { samples: 1, tokens: 20 });
        assert_eq!(audit.total().beyond_sequence, Amount { samples: 1, tokens: 15 });
        assert!((audit.fill - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn tokens_are_trained_on_or_lost(of in prop::collection::vec((0u32..4, 0u32..80, 1u32..6, 0u32..3), 0..100), limit in 1u64..300, sequence in 1u64..300) {
            let samples: Vec<ConcatSample> = of
                .into_iter()
                .map(|(num_images, text_tokens, num_turns, source)| ConcatSample { source: SourceIndex(source), num_images, text_tokens, turn_tokens: text_tokens / 2, num_turns })
                .collect();
            let audit = audit_concat(samples.iter().copied(), &options(limit, sequence));
            let trained = audit.fill * audit.num_packs as f64 * sequence as f64;
            let total = audit.total();
            prop_assert_eq!(total.all.samples, samples.len() as u64);
            prop_assert_eq!(total.all.tokens - total.lost().tokens, trained.round() as u64);
        }
    }
}
