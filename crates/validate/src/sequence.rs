//! A sample as the model takes it: ids, images in their places, and what is to be predicted.

use std::ops::Range;

use manyframe_core::{Layout, RecordId};
use manyframe_media::RgbImage;

/// Stands for an image among ids, whatever its number of tokens: −200, the number that LLaVA uses.
pub const IMAGE: i64 = -200;
/// Stands for "no loss" among labels: −100, the number that PyTorch uses.
pub const IGNORED: i64 = -100;

/// A sample to be validated.
#[derive(Debug, Clone)]
pub struct ValidationSample {
    /// Identity.
    pub id: RecordId,
    /// Name of its source.
    pub source: String,
    /// What kind of visuals it holds.
    pub layout: Layout,
    /// Token ids; [`IMAGE`] for each image.
    pub input_ids: Vec<i64>,
    /// The id to be predicted at each place, not shifted; [`IGNORED`] where there is no loss.
    pub labels: Vec<i64>,
    /// The images, in order, decoded.
    pub images: Vec<RgbImage>,
    /// Tokens that the dataset says it has.
    pub stated: Tokens,
    /// Tokens of its text with bare placeholders for its visuals; `None` where no tokenizer is at hand to count them.
    pub bare_tokens: Option<u64>,
}

/// Tokens by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Tokens {
    /// Tokens of text, delimiters of visuals among them.
    pub text: u64,
    /// Those of text that the delimiters of visuals add.
    pub delimiters: u64,
    /// Tokens that stand for images.
    pub visual: u64,
}

/// What keeps a sample from being run; it is counted, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unusable {
    /// There are no tokens.
    Empty,
    /// There are not as many labels as ids.
    LabelCount,
    /// There are not as many images as places for them.
    ImageCount,
    /// An id or a label is not in the model's vocabulary.
    UnknownId,
    /// It has images, and the model is for text only.
    NoTower,
}

impl Unusable {
    /// The text in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::LabelCount => "label_count",
            Self::ImageCount => "image_count",
            Self::UnknownId => "unknown_id",
            Self::NoTower => "no_tower",
        }
    }
}

/// A sample laid out: pieces of text and of images, and a target at each place.
///
/// # Invariants
/// * Pieces follow one another without gaps; `targets` has one entry for each place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    pieces: Vec<Piece>,
    targets: Vec<Option<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    start: usize,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Text(Vec<u32>),
    /// The n-th image.
    Image(usize),
}

/// What stands in a stretch of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// Ids.
    Text(&'a [u32]),
    /// Tokens of the n-th image.
    Image(usize, Range<usize>),
}

impl Sequence {
    /// Lays ids and labels out. `vocab_size` bounds them.
    pub fn try_new(
        input_ids: &[i64],
        labels: &[i64],
        tokens_per_image: usize,
        vocab_size: usize,
    ) -> Result<Self, Unusable> {
        if input_ids.is_empty() {
            return Err(Unusable::Empty);
        }
        if input_ids.len() != labels.len() {
            return Err(Unusable::LabelCount);
        }
        let known =
            |id: i64| u32::try_from(id).ok().filter(|id| (*id as usize) < vocab_size).ok_or(Unusable::UnknownId);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut own: Vec<Option<u32>> = Vec::new();
        let mut num_images = 0;
        for (&id, &label) in input_ids.iter().zip(labels) {
            let start = own.len();
            if id == IMAGE {
                pieces.push(Piece { start, content: Content::Image(num_images) });
                num_images += 1;
                own.resize(start + tokens_per_image, None);
                continue;
            }
            own.push(if label == IGNORED { None } else { Some(known(label)?) });
            let id = known(id)?;
            match pieces.last_mut() {
                Some(Piece { content: Content::Text(ids), .. }) => ids.push(id),
                _ => pieces.push(Piece { start, content: Content::Text(vec![id]) }),
            }
        }
        // A place predicts the label of the next one.
        let mut targets: Vec<Option<u32>> = own.into_iter().skip(1).collect();
        targets.push(None);
        Ok(Self { pieces, targets })
    }

    /// Number of places.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is no place; never, but for an image that takes none.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// What each place has to predict.
    pub fn targets(&self) -> &[Option<u32>] {
        &self.targets
    }

    /// Number of images.
    pub fn num_images(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece.content, Content::Image(_))).count()
    }

    /// Tokens by kind, of which so many of text are delimiters.
    pub fn tokens(&self, delimiters: u64) -> Tokens {
        let text = self.pieces.iter().map(|piece| match &piece.content {
            Content::Text(ids) => ids.len() as u64,
            Content::Image(_) => 0,
        });
        let text = text.sum();
        Tokens { text, delimiters, visual: self.len() as u64 - text }
    }

    /// What stands in a stretch, in order.
    pub(crate) fn parts(&self, places: Range<usize>) -> impl Iterator<Item = Part<'_>> {
        let ends = self.pieces.iter().skip(1).map(|piece| piece.start).chain([self.len()]);
        self.pieces.iter().zip(ends).filter_map(move |(piece, end)| {
            let (from, to) = (places.start.max(piece.start), places.end.min(end));
            if from >= to {
                return None;
            }
            let within = from - piece.start..to - piece.start;
            Some(match &piece.content {
                Content::Text(ids) => Part::Text(ids.get(within)?),
                Content::Image(image) => Part::Image(*image, within),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence() -> Sequence {
        Sequence::try_new(&[5, IMAGE, 6, 7], &[IGNORED, IGNORED, IGNORED, 7], 3, 10).unwrap()
    }

    #[test]
    fn a_place_predicts_the_label_after_it() {
        let sequence = sequence();
        assert_eq!(sequence.targets(), [None, None, None, None, Some(7), None]);
        assert_eq!(sequence.tokens(1), Tokens { text: 3, delimiters: 1, visual: 3 });
        assert_eq!(sequence.num_images(), 1);
    }

    #[test]
    fn a_stretch_may_begin_and_end_in_an_image() {
        let sequence = sequence();
        assert_eq!(sequence.parts(0..2).collect::<Vec<_>>(), [Part::Text(&[5]), Part::Image(0, 0..1)]);
        assert_eq!(sequence.parts(2..5).collect::<Vec<_>>(), [Part::Image(0, 1..3), Part::Text(&[6])]);
    }

    #[test]
    fn what_cannot_be_run_says_why() {
        let try_new = |ids: &[i64], labels: &[i64]| Sequence::try_new(ids, labels, 3, 10).map(|_| ());
        assert_eq!(try_new(&[], &[]), Err(Unusable::Empty));
        assert_eq!(try_new(&[1, 2], &[1]), Err(Unusable::LabelCount));
        assert_eq!(try_new(&[1, 10], &[1, 2]), Err(Unusable::UnknownId));
        assert_eq!(try_new(&[1, -1], &[1, 2]), Err(Unusable::UnknownId));
        assert_eq!(try_new(&[1, 2], &[1, 10]), Err(Unusable::UnknownId));
    }
}
