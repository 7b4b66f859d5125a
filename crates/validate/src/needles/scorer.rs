//! What answers are scored by: a model.

use manyframe_media::RgbImage;

use crate::error::ValidateError;
use crate::model::HybridModel;
use crate::prefix::{ContinuationScore, Prefix};
use crate::prompt::PromptEntry;

/// Whatever reads a prompt entry by entry and finds continuations likely or not.
pub trait Scorer {
    /// What it remembers of the beginning of a prompt. A copy goes on independently.
    type Prefix: Clone;

    /// Before the first entry.
    ///
    /// # Errors
    ///
    /// Too little memory.
    fn begin(&self) -> Result<Self::Prefix, ValidateError>;

    /// Reads further entries. `read_image` reads the nth image among them, in order, each once.
    ///
    /// # Errors
    ///
    /// An image cannot be read, or the computation fails.
    fn extend<E: From<ValidateError>>(
        &self,
        prefix: &mut Self::Prefix,
        entries: &[PromptEntry],
        read_image: &mut dyn FnMut(usize) -> Result<RgbImage, E>,
    ) -> Result<(), E>;

    /// Scores a continuation of at least one token.
    ///
    /// # Errors
    ///
    /// The computation fails.
    fn score(&self, prefix: &Self::Prefix, answer: &[u32]) -> Result<ContinuationScore, ValidateError>;
}

impl Scorer for HybridModel {
    type Prefix = Prefix;

    fn begin(&self) -> Result<Prefix, ValidateError> {
        self.begin()
    }

    fn extend<E: From<ValidateError>>(
        &self,
        prefix: &mut Prefix,
        entries: &[PromptEntry],
        read_image: &mut dyn FnMut(usize) -> Result<RgbImage, E>,
    ) -> Result<(), E> {
        self.extend(prefix, entries, read_image)
    }

    fn score(&self, prefix: &Prefix, answer: &[u32]) -> Result<ContinuationScore, ValidateError> {
        self.score(prefix, answer)
    }
}
