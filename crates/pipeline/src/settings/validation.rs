//! The `[validate]` table: a model that runs over some samples.

use std::num::NonZeroU32;

use manyframe_core::DeviceChoice;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::settings::values::require;

/// A model that runs over some samples before the dataset becomes visible. If its policy says fail, nothing is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = |schema: &mut Schema| require(schema, &["model"]))]
pub struct ValidateTable {
    /// The model's directory: `config.json` and safetensors of Jamba or LongLLaVA.
    pub model: String,
    /// How many samples the model sees: some of every source, layout and length. Default: 100.
    pub samples: NonZeroU32,
    /// Seed of the choice of samples. Default: 0.
    pub seed: u64,
    /// Where the model runs. Default: `auto`.
    pub device: DeviceChoice,
    /// Whether samples also run with blank images and with those of another sample. Default: true.
    pub controls: bool,
    /// A TOML file of limits: `mean_loss = { warn = 2.5, fail = 4.0 }`. Default: only broken samples fail.
    pub policy: String,
}

impl Default for ValidateTable {
    fn default() -> Self {
        const SAMPLES: NonZeroU32 = NonZeroU32::new(100).unwrap();
        Self {
            model: String::new(),
            samples: SAMPLES,
            seed: 0,
            device: DeviceChoice::default(),
            controls: true,
            policy: String::new(),
        }
    }
}
