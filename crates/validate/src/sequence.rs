//! A sample as the model reads it: token ids, with images among them, and the labels to predict.

use std::ops::Range;

use manyframe_core::{Layout, RecordId};
use manyframe_media::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The id of an image among token ids, however many tokens it takes: −200, as in LLaVA.
pub const IMAGE: i64 = -200;
/// The label of a token without loss: −100, as in PyTorch.
pub const IGNORED: i64 = -100;

/// A sample to run through the model.
#[derive(Debug, Clone)]
pub struct ValidationSample {
    /// The record that it was made from.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// What kind of visuals it holds.
    pub layout: Layout,
    /// Token ids; one [`IMAGE`] for each image.
    pub input_ids: Vec<i64>,
    /// The id to predict for each entry of `input_ids`, not shifted; [`IGNORED`] where there is no loss.
    pub labels: Vec<i64>,
    /// The images, decoded, in the order of their ids.
    pub images: Vec<RgbImage>,
    /// Tokens that the dataset says it has.
    pub stated: TokenCounts,
    /// Text tokens if its visuals were bare placeholders without delimiters; `None` without a tokenizer to count them.
    pub bare_tokens: Option<u64>,
}

/// Tokens of a sample by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenCounts {
    /// Text tokens, including delimiters.
    pub text: u64,
    /// Text tokens that are due to the delimiters around visuals.
    pub delimiters: u64,
    /// Tokens of images.
    pub visual: u64,
}

/// Why a sample cannot be run. It is counted, and the run continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// It has no tokens.
    Empty,
    /// It has more or fewer labels than ids.
    LabelCount,
    /// It has more or fewer images than image ids.
    ImageCount,
    /// An id or a label is not in the model's vocabulary.
    UnknownId,
    /// It has images, and the model is text-only.
    NoTower,
    /// One of its images cannot be decoded.
    UndecodableImage,
}

impl Unusable {
    /// The name in tables and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::LabelCount => "label_count",
            Self::ImageCount => "image_count",
            Self::UnknownId => "unknown_id",
            Self::NoTower => "no_tower",
            Self::UndecodableImage => "undecodable_image",
        }
    }
}

/// The sizes of a model that decide how a sample is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceSizes {
    /// Tokens of an image.
    pub tokens_per_image: usize,
    /// Number of token ids; ids and labels must be below it.
    pub vocab_size: usize,
}

/// The tokens of a sample in order, images expanded, and the target of each token.
///
/// # Invariants
/// * Spans follow one another without gaps from position 0 on, and are not empty unless images take no tokens.
/// * `targets` has one entry per position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    spans: Vec<Span>,
    targets: Vec<Option<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    start: usize,
    content: SpanContent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SpanContent {
    /// Token ids.
    Text(Vec<u32>),
    /// The image with this index.
    Image(usize),
}

/// The tokens of one span within a range of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpanTokens<'a> {
    /// Token ids.
    Text(&'a [u32]),
    /// Tokens of the image with this index.
    Image(usize, Range<usize>),
}

impl Sequence {
    /// Lays out ids and their labels.
    ///
    /// # Errors
    ///
    /// Why the sample cannot be run.
    pub fn try_new(input_ids: &[i64], labels: &[i64], sizes: SequenceSizes) -> Result<Self, Unusable> {
        if input_ids.is_empty() {
            return Err(Unusable::Empty);
        }
        if input_ids.len() != labels.len() {
            return Err(Unusable::LabelCount);
        }
        let known = |id: i64| match u32::try_from(id) {
            Ok(id) if (id as usize) < sizes.vocab_size => Ok(id),
            _ => Err(Unusable::UnknownId),
        };
        let mut spans: Vec<Span> = Vec::new();
        let mut own_labels: Vec<Option<u32>> = Vec::new();
        let mut num_images = 0;
        for (&id, &label) in input_ids.iter().zip(labels) {
            let start = own_labels.len();
            if id == IMAGE {
                spans.push(Span { start, content: SpanContent::Image(num_images) });
                num_images += 1;
                own_labels.resize(start + sizes.tokens_per_image, None);
                continue;
            }
            own_labels.push(if label == IGNORED { None } else { Some(known(label)?) });
            let id = known(id)?;
            match spans.last_mut() {
                Some(Span { content: SpanContent::Text(ids), .. }) => ids.push(id),
                _ => spans.push(Span { start, content: SpanContent::Text(vec![id]) }),
            }
        }
        // Each position predicts the label of the next one.
        let mut targets: Vec<Option<u32>> = own_labels.into_iter().skip(1).collect();
        targets.push(None);
        Ok(Self { spans, targets })
    }

    /// Number of positions, at least 1.
    #[expect(clippy::len_without_is_empty, reason = "a sequence is never empty")]
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// The id that each position predicts; `None` where there is no loss.
    pub fn targets(&self) -> &[Option<u32>] {
        &self.targets
    }

    /// The positions of a range that predict something, with their targets.
    pub(crate) fn targets_within(&self, positions: Range<usize>) -> impl Iterator<Item = (usize, u32)> {
        let targets = self.targets.iter().enumerate().take(positions.end).skip(positions.start);
        targets.filter_map(|(position, target)| Some((position, (*target)?)))
    }

    /// Number of images.
    pub fn num_images(&self) -> usize {
        self.spans.iter().filter(|span| matches!(span.content, SpanContent::Image(_))).count()
    }

    /// Tokens by kind, if this many of the text tokens are due to delimiters.
    pub fn count_tokens(&self, delimiters: u64) -> TokenCounts {
        let text = self.spans.iter().map(|span| match &span.content {
            SpanContent::Text(ids) => ids.len() as u64,
            SpanContent::Image(_) => 0,
        });
        let text = text.sum();
        TokenCounts { text, delimiters, visual: self.len() as u64 - text }
    }

    /// The tokens of a range of positions, span by span.
    pub(crate) fn spans_within(&self, positions: Range<usize>) -> impl Iterator<Item = SpanTokens<'_>> {
        let ends = self.spans.iter().skip(1).map(|span| span.start).chain([self.len()]);
        self.spans.iter().zip(ends).filter_map(move |(span, end)| {
            let (from, to) = (positions.start.max(span.start), positions.end.min(end));
            let within = from.checked_sub(span.start)?..to.checked_sub(span.start)?;
            if within.is_empty() {
                return None;
            }
            #[expect(clippy::indexing_slicing, reason = "a span of text has one id for each of its positions")]
            Some(match &span.content {
                SpanContent::Text(ids) => SpanTokens::Text(&ids[within]),
                SpanContent::Image(image) => SpanTokens::Image(*image, within),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: SequenceSizes = SequenceSizes { tokens_per_image: 3, vocab_size: 10 };

    fn sequence() -> Sequence {
        Sequence::try_new(&[5, IMAGE, 6, 7], &[IGNORED, IGNORED, IGNORED, 7], SIZES).unwrap()
    }

    #[test]
    fn a_position_predicts_the_label_after_it() {
        let sequence = sequence();
        assert_eq!(sequence.targets(), [None, None, None, None, Some(7), None]);
        assert_eq!(sequence.count_tokens(1), TokenCounts { text: 3, delimiters: 1, visual: 3 });
        assert_eq!(sequence.num_images(), 1);
        assert_eq!(sequence.targets_within(0..6).collect::<Vec<_>>(), [(4, 7)]);
        assert_eq!(sequence.targets_within(0..4).count(), 0);
    }

    #[test]
    fn a_range_may_begin_and_end_inside_an_image() {
        let sequence = sequence();
        assert_eq!(
            sequence.spans_within(0..2).collect::<Vec<_>>(),
            [SpanTokens::Text(&[5]), SpanTokens::Image(0, 0..1)]
        );
        assert_eq!(
            sequence.spans_within(2..5).collect::<Vec<_>>(),
            [SpanTokens::Image(0, 1..3), SpanTokens::Text(&[6])]
        );
    }

    #[test]
    fn samples_that_cannot_be_run_say_why() {
        let try_new = |ids: &[i64], labels: &[i64]| Sequence::try_new(ids, labels, SIZES).map(|_| ());
        assert_eq!(try_new(&[], &[]), Err(Unusable::Empty));
        assert_eq!(try_new(&[1, 2], &[1]), Err(Unusable::LabelCount));
        assert_eq!(try_new(&[1, 10], &[1, 2]), Err(Unusable::UnknownId));
        assert_eq!(try_new(&[1, -1], &[1, 2]), Err(Unusable::UnknownId));
        assert_eq!(try_new(&[1, 2], &[1, 10]), Err(Unusable::UnknownId));
    }
}
