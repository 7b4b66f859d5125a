//! The hybrid model that the data is for, run over samples: what a training run would have found out too late.
//!
//! ```text
//! pixels ─ preprocess ─ CLIP tower ─ pool ─ projector ─┐
//! ids, −200 for an image ─────────────── embedding ────┴▶ packed sequence ─ Jamba, window by window ─▶ loss of each label
//! ```
//!
//! **Invariant:** samples that share a sequence do not see each other.
//! **Invariant:** memory grows with the length of a sequence, not with its square, and no sequence's logits exist whole.
//!
//! It takes samples as ids, labels and pixels: it reads no dataset, knows no prompt format, and judges nothing by itself; a
//! policy does. It generates no text and trains nothing.

pub mod checkpoint;
pub mod config;
mod device;
mod error;
mod jamba;
mod layers;
pub mod measure;
mod model;
mod open;
mod sequence;
mod vision;

pub use checkpoint::{Checkpoint, Preset, write_random};
pub use config::{JambaConfig, ModelConfig, VisionConfig};
pub use device::DeviceChoice;
pub use error::ValidateError;
pub use jamba::{Jamba, State};
pub use model::{Features, HybridModel, Losses, ModelOptions};
pub use open::OpenModel;
pub use sequence::{IGNORED, IMAGE, Sequence, Tokens, Unusable, ValidationSample};
pub use vision::{ImageTokens, Tower, preprocess};
