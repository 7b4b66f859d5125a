//! What a task leaves in the directory of its plan, and how it is found there.
//!
//! ```text
//! PLAN/shards/NNNNNN-FORMAT.EXT   the samples of task NNNNNN, one file per format
//! PLAN/done/NNNNNN.json           its report, written last: a task is done if its report is there, and its shards are as it says
//! ```
//!
//! Where the dataset goes to an object store, shards are sent, and their report then says so (`store_output.rs`).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use manyframe_base::files::json_text;
use manyframe_base::{FileAction, FileError, write_json};
use manyframe_core::{Cost, Digest, HandledImages, HandledVideos, Layout, RecordId, RecordIndex, Rejection, Total};
use manyframe_dataset::ShardName;
use manyframe_plan::LeftByPlan;
use manyframe_shards::{ShardFormat, ShardNotes};
use manyframe_storage::{LocalDirectory, Storage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::EngineError;

/// What a task did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub id: u32,
    /// The layout of its samples; `None` if they are mixed.
    pub layout: Option<Layout>,
    /// Its shards; empty if no sample could be delivered.
    pub shards: Vec<ShardReport>,
    /// What happened to each of its records, in the order of the task.
    pub outcomes: Vec<RecordOutcome>,
    /// Samples that were reused from the dataset that the build replaces.
    pub num_reused: u64,
    /// How the images of all others came to their bytes.
    pub images: HandledImages,
    /// What was delivered of their videos, if these are to be delivered as files.
    #[serde(default)]
    pub videos: HandledVideos,
}

/// A shard that a task wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardReport {
    /// Its format.
    pub format: ShardFormat,
    /// Number of samples.
    pub num_samples: u64,
    /// Size in bytes.
    pub num_bytes: u64,
    /// Digest of the file.
    pub digest: Digest,
    /// What is known of its bytes.
    #[serde(default)]
    pub notes: ShardNotes,
}

/// What happened to a drawn record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordOutcome {
    /// Position of the record in the plan's `records.parquet`.
    pub record: RecordIndex,
    /// How many earlier deliveries the record has: 0 for the first.
    pub repetition: u32,
    /// The identity of the sample.
    pub id: RecordId,
    /// Its position in the order of delivery, from 0.
    pub position: u64,
    /// What happened to it.
    pub result: OutcomeResult,
}

/// Delivered or rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeResult {
    /// It is in the task's shards.
    Delivered {
        /// Its exact cost: less than planned if a video has fewer frames than its index says.
        cost: Cost,
        /// Its layout.
        layout: Layout,
        /// The visual tokens of each of its visuals.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tokens_per_visual: Vec<u64>,
        /// How many frames of its videos are missing or damaged, as text for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        damage: Option<String>,
        /// What is delivered of its videos where they are to be delivered as files, as text for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        videos: Option<String>,
    },
    /// It turned out while decoding that it cannot be delivered.
    Rejected(Rejection),
}

/// A task that is done, and the shard that its samples are in.
pub(crate) struct FinishedTask {
    pub(crate) report: TaskReport,
    /// `None` if none of its samples could be delivered.
    pub(crate) shard: Option<ShardName>,
}

impl TaskReport {
    /// The report in a text of [`Self::text_of_sent`]; `None` if it is none, or damaged.
    pub(crate) fn of_sent(text: &[u8]) -> Option<Self> {
        SealedReport::parse(text).filter(|sealed| sealed.is_sent).map(|sealed| sealed.report)
    }

    /// The text of the report of a task whose shards were sent.
    #[expect(clippy::expect_used, reason = "a report is plain data")]
    pub(crate) fn text_of_sent(&self) -> Vec<u8> {
        let sealed = SealedReport { digest: self.digest(), modified: Vec::new(), is_sent: true, report: self.clone() };
        json_text(&sealed).expect("a report is JSON")
    }

    /// Writes the report of a task whose shards are published.
    pub(crate) fn write(self, plan: &Path) -> Result<Self, EngineError> {
        let path = report_path(plan, self.id);
        let modified = self.shards.iter().map(|shard| modified(&shard_path(plan, self.id, shard.format))).collect();
        let sealed = SealedReport { digest: self.digest(), modified, is_sent: false, report: self };
        write_json(&path, &sealed)?;
        Ok(sealed.report)
    }

    fn digest(&self) -> Digest {
        Digest::of(serde_json::json!(self).to_string().as_bytes())
    }

    /// What the task came to, in a few numbers.
    pub(crate) fn summary(&self) -> Value {
        let num_delivered = self.delivered().num_samples;
        serde_json::json!({
            "task": self.id,
            "delivered": num_delivered,
            "rejected": self.outcomes.len() as u64 - num_delivered,
            "reused": self.num_reused,
            "shards": self.shards,
        })
    }

    /// Samples that were delivered, and their cost.
    pub fn delivered(&self) -> Total {
        let mut total = Total::default();
        for outcome in &self.outcomes {
            if let OutcomeResult::Delivered { cost, .. } = &outcome.result {
                total.count(*cost);
            }
        }
        total
    }
}

/// A report as it is on the disk.
#[derive(Serialize, Deserialize)]
struct SealedReport {
    /// Of the report.
    digest: Digest,
    /// When the shards were modified: those that were not, since, need not be read to know that they are whole.
    modified: Vec<Option<Modified>>,
    /// Whether the shards were sent to a store, and need not be here.
    #[serde(default)]
    is_sent: bool,
    report: TaskReport,
}

/// A report in the directory of a plan, and where the shards of its task are.
pub(crate) struct FoundReport {
    pub(crate) report: TaskReport,
    /// They are in the directory, whole.
    pub(crate) is_here: bool,
    /// They were sent to a store.
    pub(crate) is_sent: bool,
}

/// Finds the report of a task; `None` if the task is not done. One whose report or shards were damaged is done again.
pub(crate) fn find_report(plan: &Path, task: u32) -> Result<Option<FoundReport>, EngineError> {
    let path = report_path(plan, task);
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read(&path).map_err(FileError::read(&path))?;
    let found = SealedReport::parse(&text).map(|sealed| {
        let (is_here, is_sent) = (sealed.has_its_shards(plan), sealed.is_sent);
        FoundReport { report: sealed.report, is_here, is_sent }
    });
    let found = found.filter(|found| found.is_here || found.is_sent);
    if found.is_none() {
        tracing::warn!(report = %path.display(), "the report or a shard of the task is damaged; the task is done again");
    }
    Ok(found)
}

/// Removes the report of a task, which is not done then.
pub(crate) fn remove_report(plan: &Path, task: u32) -> Result<(), FileError> {
    let path = report_path(plan, task);
    fs::remove_file(&path).map_err(FileError::when(FileAction::Remove, path))
}

/// Seconds and nanoseconds.
type Modified = (i64, i64);

impl SealedReport {
    fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|sealed: &Self| sealed.digest == sealed.report.digest())
    }

    fn has_its_shards(&self, plan: &Path) -> bool {
        let files = LocalDirectory::new(plan);
        let is_whole = |(number, shard): (usize, &ShardReport)| {
            let path = shard_path(plan, self.report.id, shard.format);
            let known = self.modified.get(number).copied().flatten();
            let has_its_size = path.metadata().is_ok_and(|found| found.is_file() && found.len() == shard.num_bytes);
            let has_its_bytes = || {
                let name = path.strip_prefix(plan).unwrap_or(&path).display().to_string();
                files.digest(&name).is_ok_and(|digest| digest == shard.digest)
            };
            has_its_size && ((known.is_some() && known == modified(&path)) || has_its_bytes())
        };
        self.report.shards.iter().enumerate().all(is_whole)
    }
}

fn modified(path: &Path) -> Option<Modified> {
    path.metadata().ok().map(|metadata| (metadata.mtime(), metadata.mtime_nsec()))
}

/// What the finished tasks of an interrupted build left.
pub(crate) fn list_left(plan: &Path) -> LeftByPlan {
    let entries = fs::read_dir(plan.join("done")).into_iter().flatten().filter_map(Result::ok);
    let tasks = entries.filter_map(|entry| entry.path().file_stem()?.to_str()?.parse().ok());
    let mut left = LeftByPlan::default();
    let damage = |outcome: RecordOutcome| match outcome.result {
        OutcomeResult::Delivered { damage, .. } => Some((outcome.id, damage?)),
        OutcomeResult::Rejected(_) => None,
    };
    for FoundReport { report, is_here, .. } in tasks.filter_map(|task: u32| find_report(plan, task).ok().flatten()) {
        if !is_here {
            left.sent.extend(report.shards.iter().map(|shard| (shard_name(report.id, shard.format), shard.format)));
        }
        left.damage.extend(report.outcomes.into_iter().filter_map(damage));
    }
    left
}

/// Where the report of a task is.
pub(crate) fn report_path(plan: &Path, task: u32) -> PathBuf {
    plan.join("done").join(format!("{task:06}.json"))
}

/// Where the shard of a task is until it is committed.
pub(crate) fn shard_path(plan: &Path, task: u32, format: ShardFormat) -> PathBuf {
    plan.join("shards").join(shard_name(task, format))
}

/// The name of the shard of a task until it is committed.
pub(crate) fn shard_name(task: u32, format: ShardFormat) -> String {
    format!("{task:06}-{}.{}", format.as_str(), format.extension())
}
