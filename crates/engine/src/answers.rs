//! What commands answer with `--json`, one type each. `schemas/commands/` has their JSON Schemas.
//!
//! The answers of `diff` and `ls` are [`DatasetDifference`](manyframe_dataset::DatasetDifference), or a [`SettingsAnswer`], and
//! lines of [`RecordJson`]; that of `tokens` is in `token_answer.rs`.

use std::path::PathBuf;

use manyframe_core::{Digest, Total};
use manyframe_dataset::{
    DecontaminationSummary, PackEntry, PackSummary, RecordJson, SourceBudget, SourceSummary, WorkDone,
};
use manyframe_pipeline::{Problem, SettingDifference};
use manyframe_plan::{SourceReuse, TaskHeader};
use manyframe_samplers::sequence_parallel::ClusterForecast;
use manyframe_storage::Stores;
use manyframe_transfer::Survey;
use manyframe_validate::measure::Report;
use schemars::JsonSchema;
use serde::Serialize;

use crate::build::{BuildAction, BuildOutcome};
use crate::committed::Committed;
use crate::error::EngineError;
use crate::exported::Exported;
use crate::forecast::RunForecast;
use crate::next_build::NextBuild;
use crate::shown_path;
use crate::verify::Verification;
use crate::work_state::{Leftover, WorkState};

/// Any command that fails before it has another answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorAnswer {
    /// What went wrong, with its causes.
    pub error: String,
    /// The exit code of the command.
    pub exit_code: u8,
    /// Everything that is wrong in pipeline files, if that is the error; otherwise empty.
    pub problems: Vec<Problem>,
}

/// `manyframe check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CheckAnswer {
    /// The files that were checked.
    #[serde(serialize_with = "shown_path::list")]
    pub files: Vec<PathBuf>,
    /// Everything that is wrong; empty if nothing is.
    pub problems: Vec<Problem>,
    /// What works, but perhaps not as meant.
    pub warnings: Vec<Problem>,
}

/// `manyframe plan`, for each stage.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PlanAnswer {
    /// The directory of the plan.
    pub plan: PathBuf,
    /// The digest of what it was made of.
    pub key: Digest,
    /// The name of the dataset.
    pub name: String,
    /// What is read and drawn of each source.
    pub sources: Vec<SourceBudget>,
    /// What no sample may show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decontamination: Option<DecontaminationSummary>,
    /// All samples together, if all media can be decoded.
    pub total: Total,
    /// Their tokens.
    pub num_tokens: u64,
    /// How they will be packed.
    pub pack: Option<PackSummary>,
    /// An epoch on each of the clusters that `--ranks` names.
    pub forecast: Vec<ClusterForecast>,
    /// The tasks, one for each shard.
    pub tasks: Vec<TaskHeader>,
    /// The build on each of the clusters that `--forecast` names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub build_forecast: Vec<BuildForecast>,
}

/// What a build takes on a cluster, and what it costs at the prices that were given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct BuildForecast {
    /// What it takes.
    #[serde(flatten)]
    pub forecast: RunForecast,
    /// The cost of reading sources and writing shards, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_of_moving: Option<f64>,
    /// The cost of keeping the dataset for a month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_of_storing: Option<f64>,
}

/// `manyframe pack`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PackAnswer {
    /// The pack index, and what the packs cost.
    pub pack: PackEntry,
    /// An epoch on each of the clusters that `--ranks` names.
    pub forecast: Vec<ClusterForecast>,
}

/// `manyframe upload`. With `--dry-run`, its `survey` alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UploadAnswer {
    /// What was at the destination before.
    pub survey: Survey,
    /// The digest of the manifest, which names the dataset.
    pub manifest_digest: Option<Digest>,
    /// Requests with content that were made for its files.
    pub num_parts: u64,
    /// Parts that an interrupted upload had sent.
    pub num_kept_parts: u64,
    /// Files that were removed.
    pub num_removed: u64,
}

/// `manyframe build`, for each stage.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BuildAnswer {
    /// What was done.
    pub action: BuildAction,
    /// Whether the dataset is published. If not, `losses` or `validation` say why.
    pub is_published: bool,
    /// Its directory or URL; if it is not published, where it was put together.
    pub dataset: PathBuf,
    /// Its name.
    pub name: String,
    /// The digest of its manifest, which names it.
    pub manifest_digest: Digest,
    /// All samples together.
    pub total: Total,
    /// What happened to the records of each source.
    pub sources: Vec<SourceSummary>,
    /// What no sample may show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decontamination: Option<DecontaminationSummary>,
    /// Files of shards.
    pub num_shards: u64,
    /// Their bytes.
    pub num_shard_bytes: u64,
    /// How it is packed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack: Option<PackSummary>,
    /// What was read and made, and what was reused.
    pub work: WorkDone,
    /// Why samples were made although there was a dataset.
    pub reuse: Vec<SourceReuse>,
    /// Sources, and decontamination, that lost more than the pipeline file allows, a sentence each.
    pub losses: Vec<String>,
    /// What a model measured before publishing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Report>,
}

/// `manyframe verify`, of a dataset or an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VerifyAnswer {
    /// Whether the command ends with 0: no problem, and nothing unchecked that matters.
    pub is_ok: bool,
    /// What was found.
    #[serde(flatten)]
    pub found: Verification,
}

/// `manyframe why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WhyAnswer {
    /// What happened to the record.
    #[serde(flatten)]
    pub record: RecordJson,
    /// Its annotation as upstream wrote it; null if it cannot be read on this machine.
    pub annotation: Option<String>,
    /// Why it cannot be read.
    pub annotation_error: Option<String>,
}

/// `manyframe export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ExportAnswer {
    /// The file or directory that a trainer is given.
    #[serde(serialize_with = "shown_path::path")]
    pub annotations: PathBuf,
    /// The list of all files with their SHA-256 digests.
    #[serde(serialize_with = "shown_path::path")]
    pub digests: PathBuf,
    /// What was written.
    #[serde(flatten)]
    pub exported: Exported,
}

/// `manyframe diff` of a pipeline file and something else.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SettingsAnswer {
    /// Settings with different values.
    pub settings: Vec<SettingDifference>,
}

/// `manyframe status`, for each place of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct StatusAnswer {
    /// The directory or URL where the dataset is, or will be.
    #[serde(serialize_with = "shown_path::path")]
    pub dataset: PathBuf,
    /// The pipeline file that builds it, as far as it is known.
    #[serde(serialize_with = "shown_path::maybe")]
    pub pipeline: Option<PathBuf>,
    /// Its work directory; null if it has none.
    pub work: Option<WorkState>,
    /// What the next build would do; null if nothing says how the dataset is built, or a build would fail.
    pub next: Option<NextBuild>,
    /// Why a build would fail.
    pub error: Option<String>,
}

/// `manyframe clean`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CleanAnswer {
    /// Whether nothing was removed.
    pub is_dry_run: bool,
    /// Bytes of all leftovers.
    pub num_bytes: u64,
    /// What was left.
    pub leftovers: Vec<Leftover>,
}

impl BuildAnswer {
    /// The answer of a build that is finished.
    pub fn of(outcome: &BuildOutcome) -> Self {
        let BuildOutcome { committed, action, reuse, validation } = outcome;
        Self {
            action: *action,
            is_published: true,
            reuse: reuse.clone(),
            validation: validation.clone(),
            ..Self::of_committed(committed)
        }
    }

    /// The answer of a build whose dataset was put together, and not published; `None` for any other error.
    pub fn kept_back(error: &EngineError) -> Option<Self> {
        let (staged, validation) = match error {
            EngineError::Losses { staged, .. } => ((**staged).clone(), None),
            EngineError::Invalid { report, path, .. } => {
                (Committed::read(path, &Stores::default()).ok()?, Some((**report).clone()))
            }
            _ => return None,
        };
        Some(Self { is_published: false, validation, ..Self::of_committed(&staged) })
    }

    fn of_committed(committed: &Committed) -> Self {
        let manifest = &committed.manifest;
        Self {
            action: BuildAction::Built,
            is_published: true,
            dataset: committed.dataset.clone(),
            name: manifest.name.clone(),
            manifest_digest: committed.manifest_digest,
            total: manifest.total,
            sources: manifest.sources.clone(),
            decontamination: manifest.decontamination.clone(),
            num_shards: manifest.shards.len() as u64,
            num_shard_bytes: manifest.shards.iter().map(|shard| shard.num_bytes).sum(),
            pack: manifest.pack.as_ref().map(|pack| pack.summary.clone()),
            work: committed.work,
            reuse: Vec::new(),
            losses: committed.losses(),
            validation: None,
        }
    }
}
