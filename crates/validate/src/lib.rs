//! The hybrid model that the data is meant for, run over samples of a dataset before any training.
//!
//! ```text
//! pixels ─ preprocess ─ CLIP tower ─ pool ─ projector ─┐
//! ids, −200 for an image ─────────────── embedding ────┴▶ packed sequence ─ Jamba, window by window ─▶ loss of each label
//! ```
//!
//! **Invariant:** samples that share a packed sequence do not see each other.
//! **Invariant:** memory grows linearly with the length of a sequence, and its logits never exist all at once.
//!
//! It takes samples as ids, labels and pixels: it reads no dataset and knows no prompt format. It generates no text and trains
//! nothing.

pub mod checkpoint;
pub mod config;
mod device;
mod error;
mod jamba;
mod layers;
pub mod measure;
mod model;
pub mod needles;
mod open;
mod prefix;
mod prompt;
mod sequence;
mod vision;

pub use checkpoint::{Checkpoint, Preset, write_random};
pub use config::{JambaConfig, ModelConfig, VisionConfig};
pub use device::open_device;
pub use error::ValidateError;
pub use jamba::{Jamba, JambaState};
pub use model::{HybridModel, ImageFeatures, ModelOptions, TokenLosses};
pub use open::OpenModel;
pub use prefix::{ContinuationScore, Prefix};
pub use prompt::{PromptEntry, prompt_entries};
pub use sequence::{IGNORED, IMAGE, Sequence, SequenceSizes, TokenCounts, Unusable, ValidationSample};
pub use vision::{ImageTokens, Tower, preprocess};
