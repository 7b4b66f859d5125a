//! A beginning that prompts have in common, run once: what the model remembers of it is kept, and every continuation goes on from a
//! copy.
//!
//! ```text
//! begin ─ extend: haystack ─▶ Prefix ─┬─ clone, extend: question 1 ─▶ Prefix ─ score: option A, option B …
//!                                     └─ clone, extend: question 2 ─▶ …
//! ```
//!
//! Of Mamba layers, these are the last inputs of the convolution and the state of the scan, which have a fixed size; of attention
//! layers, keys and values of every token. A copy shares them, since a layer never changes what it was given.
//!
//! **Invariant:** logits are those of the whole sequence in one go, up to rounding, wherever it is cut.
//! **Invariant:** memory grows linearly with the length of a prefix: it runs window by window, and no image is embedded before its
//! window is due.

use candle_core::{D, DType, Result, Tensor, bail};
use manyframe_kernels::{CrossEntropyInputs, PackedSamples, cross_entropy};
use manyframe_media::RgbImage;

use crate::error::ValidateError;
use crate::jamba::JambaState;
use crate::model::{HybridModel, ImageFeatures};
use crate::prompt::{PromptEntry, windows};

/// What a model remembers of the beginning of a prompt.
#[derive(Debug, Clone)]
pub struct Prefix {
    state: JambaState,
    num_tokens: usize,
    /// The last hidden state, `[1, hidden]`, which predicts the next token; `None` before the first token.
    last: Option<Tensor>,
}

/// What a model thinks of a continuation that it is forced to take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContinuationScore {
    /// `ln p` of all of its tokens together, in nats; NaN or infinite if the model is.
    pub log_likelihood: f64,
    /// Whether each token is the most probable one at its place: greedy decoding would write this continuation.
    pub is_greedy: bool,
}

impl Prefix {
    /// Tokens so far, those of images included.
    pub fn num_tokens(&self) -> usize {
        self.num_tokens
    }

    /// The last hidden state, `[1, hidden]`; `None` before the first token.
    pub fn last_hidden(&self) -> Option<&Tensor> {
        self.last.as_ref()
    }
}

impl HybridModel {
    /// The empty prefix.
    ///
    /// # Errors
    ///
    /// Too little memory.
    pub fn begin(&self) -> std::result::Result<Prefix, ValidateError> {
        let state = self.jamba().start().map_err(ValidateError::compute("the state of a model"))?;
        Ok(Prefix { state, num_tokens: 0, last: None })
    }

    /// Runs further entries of a prompt. `read_image` reads the nth image among them, in order, each once.
    ///
    /// # Errors
    ///
    /// An image cannot be read, there are images and the model is text-only, or the computation fails.
    pub fn extend<E: From<ValidateError>>(
        &self,
        prefix: &mut Prefix,
        entries: &[PromptEntry],
        read_image: &mut dyn FnMut(usize) -> std::result::Result<RgbImage, E>,
    ) -> std::result::Result<(), E> {
        let mut num_images = 0;
        let tokens_per_image = self.sequence_sizes().tokens_per_image;
        for window in windows(entries, tokens_per_image, self.options().window_tokens) {
            let window = entries.get(window).unwrap_or_default();
            let first = num_images;
            num_images += window.iter().filter(|entry| entry.is_image()).count();
            let images = (first..num_images).map(&mut *read_image).collect::<std::result::Result<Vec<_>, _>>()?;
            let features = self.encode_images(&images)?;
            self.run(prefix, window, &features).map_err(ValidateError::compute("the beginning of a prompt"))?;
        }
        Ok(())
    }

    /// Forces a continuation of at least one token on the model.
    ///
    /// # Errors
    ///
    /// The prefix or the continuation is empty, an id is not in the vocabulary, or the computation fails.
    pub fn score(&self, prefix: &Prefix, ids: &[u32]) -> std::result::Result<ContinuationScore, ValidateError> {
        self.compute_score(prefix, ids).map_err(ValidateError::compute("the score of an answer"))
    }

    fn compute_score(&self, prefix: &Prefix, ids: &[u32]) -> Result<ContinuationScore> {
        let (Some(last), Some((_, all_but_last))) = (&prefix.last, ids.split_last()) else {
            bail!("neither a prefix nor its continuation may be empty")
        };
        let mut hidden = last.clone();
        if !all_but_last.is_empty() {
            // What the layers remember of the continuation is dropped with this copy.
            let mut copy = prefix.clone();
            let embeddings = self.jamba().embed(all_but_last)?;
            hidden = Tensor::cat(&[hidden, self.run_embeddings(&mut copy, &embeddings)?], 0)?;
        }
        let losses = cross_entropy(CrossEntropyInputs { hidden: &hidden, head: self.jamba().head(), targets: ids })?;
        let losses = losses.to_vec1::<f32>()?;
        let greedy = self.jamba().logits(&hidden)?.to_dtype(DType::F32)?.argmax(D::Minus1)?.to_vec1::<u32>()?;
        Ok(ContinuationScore {
            log_likelihood: -losses.into_iter().map(f64::from).sum::<f64>(),
            is_greedy: greedy == ids,
        })
    }

    /// Runs the entries of one window.
    fn run(&self, prefix: &mut Prefix, entries: &[PromptEntry], features: &ImageFeatures) -> Result<()> {
        let mut embeddings = Vec::new();
        let mut num_images = 0;
        for run in entries.chunk_by(|left, right| !left.is_image() && !right.is_image()) {
            let ids: Vec<u32> = run.iter().filter_map(PromptEntry::token).collect();
            if ids.is_empty() {
                embeddings.push(features.image(num_images)?);
                num_images += 1;
            } else {
                embeddings.push(self.jamba().embed(&ids)?);
            }
        }
        let hidden = self.run_embeddings(prefix, &Tensor::cat(&embeddings, 0)?)?;
        // A copy, because a view would keep the hidden states of the whole window.
        prefix.last = Some(hidden.narrow(0, hidden.dim(0)? - 1, 1)?.copy()?);
        Ok(())
    }

    /// The hidden states, `[T, hidden]`, of embeddings, `[T, hidden]`, that follow a prefix, whose state goes on after them.
    fn run_embeddings(&self, prefix: &mut Prefix, embeddings: &Tensor) -> Result<Tensor> {
        let start = prefix.num_tokens;
        let end = start + embeddings.dim(0)?;
        let window = PackedSamples::from_lengths([end]).window(start..end);
        prefix.num_tokens = end;
        self.jamba().forward(embeddings, &window, &mut prefix.state)
    }
}
