//! What a build of a pipeline would do, and why: without doing it.

use std::path::PathBuf;

use manyframe_base::Executor;
use manyframe_dataset::DatasetReader;
use manyframe_pipeline::{Pipeline, SettingDifference, differences, portable_settings};
use manyframe_plan::{ChangedMedia, Context, InputChanges, ShardDigests};
use schemars::JsonSchema;
use serde::Serialize;

use crate::commit::is_current;
use crate::error::EngineError;
use crate::work_state::{OutputPlace, PlanState, WorkState};

/// What the next build of a pipeline would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub struct NextBuild {
    /// What it would do.
    pub action: NextAction,
    /// Whether there is a dataset of an earlier build, whose samples are reused where they would be the same.
    pub has_dataset: bool,
    /// The version of manyframe that built it, if it is another one: its samples are made again.
    pub other_version: Option<String>,
    /// Settings that are not those of the dataset.
    pub changed_settings: Vec<SettingDifference>,
    /// Annotation files, or the parts that they are read in.
    pub num_annotation_parts: u64,
    /// Those that are to be read: they are new or changed, or settings that their index depends on did.
    pub num_unread_parts: u64,
    /// Sources with media that changed since they were read.
    pub changed_media: Vec<ChangedMediaOfSource>,
    /// Files of the dataset that are not those that its build wrote.
    pub altered_files: Vec<PathBuf>,
    /// The interrupted build that is continued.
    pub continues: Option<PlanState>,
}

/// What a build does with what it finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextAction {
    /// It ends at once: another build is going on.
    Wait,
    /// Nothing: the dataset is there.
    Nothing,
    /// It only packs the samples of the dataset again.
    PackAgain,
    /// It continues an interrupted build, whose inputs and settings are the same.
    Continue,
    /// It makes a dataset.
    #[default]
    Build,
}

/// Records whose media changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChangedMediaOfSource {
    /// The source.
    pub source: String,
    /// How many.
    pub num_records: u64,
    /// The medium that changed of the first of them.
    pub example: String,
}

impl NextBuild {
    /// Compares a pipeline and its inputs with the dataset and the work directory that are there. Every medium is looked at, as a
    /// build does; nothing is made.
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if a source, its media or the tokenizer cannot be opened: a build would end with the same error.
    pub fn of(pipeline: Pipeline, executor: Executor<'_>) -> Result<Self, EngineError> {
        let output = &pipeline.file.output;
        let place = OutputPlace { dataset: output.location().to_owned(), work: output.work_directory() };
        let work = WorkState::read(&place)?;
        // One that this version cannot read is made again.
        let before = DatasetReader::open_at(&place.dataset, &pipeline.stores).ok();
        let mut next = Self { has_dataset: before.is_some(), ..Self::default() };
        if let Some(before) = &before {
            let version = &before.manifest().manyframe_version;
            next.other_version = (version != env!("CARGO_PKG_VERSION")).then(|| version.clone());
            next.changed_settings = differences(&before.manifest().pipeline, &portable_settings(&pipeline));
        }
        if work.as_ref().is_some_and(|work| work.is_locked) {
            next.action = NextAction::Wait;
            return Ok(next);
        }
        let context = Context::open(pipeline)?;
        let inputs = InputChanges::since_index(&context, &place.work, executor)?;
        (next.num_annotation_parts, next.num_unread_parts) = (inputs.num_splits, inputs.num_unread);
        next.changed_media = changed_media(&context, &inputs);
        let built = match &before {
            Some(before) if is_built_from(before, &context.pipeline, &inputs)? => Some(before),
            _ => None,
        };
        if let Some(built) = built {
            let digests = ShardDigests::open(&place.work);
            let altered = digests.find_damaged(digests.files_of(built), executor)?;
            next.altered_files = altered.into_iter().map(|file| file.path).collect();
        }
        match (&work, built) {
            (_, Some(built)) if next.altered_files.is_empty() => next.action = without_plan(built, &context.pipeline),
            (Some(work), _) => next.look_for_plan(work, &inputs),
            (None, _) => {}
        }
        Ok(next)
    }

    /// Looks for the plan of an interrupted build with the same inputs and settings.
    fn look_for_plan(&mut self, work: &WorkState, inputs: &InputChanges) {
        let digits = inputs.keys.map(|keys| keys.plan.to_string());
        let is_same = |plan: &&PlanState| {
            let name = plan.directory.file_name().and_then(|name| name.to_str()?.strip_prefix("plan-"));
            name.zip(digits.as_deref()).is_some_and(|(name, digits)| digits.starts_with(name))
        };
        self.continues = work.plans.iter().find(is_same).cloned();
        if self.continues.is_some() {
            self.action = NextAction::Continue;
        }
    }
}

/// What is done for a dataset whose samples are those of the pipeline.
fn without_plan(before: &DatasetReader, pipeline: &Pipeline) -> NextAction {
    let packed = before.manifest().pack.as_ref().map(|pack| &pack.summary.settings);
    match &pipeline.file.pack {
        Some(table) if packed != Some(table) => NextAction::PackAgain,
        _ => NextAction::Nothing,
    }
}

fn is_built_from(dataset: &DatasetReader, pipeline: &Pipeline, inputs: &InputChanges) -> Result<bool, EngineError> {
    let facts = dataset.build_facts().ok().flatten();
    let known = facts.zip(inputs.keys);
    known.map_or(Ok(false), |(facts, keys)| is_current(&facts, dataset, pipeline, keys))
}

fn changed_media(context: &Context, inputs: &InputChanges) -> Vec<ChangedMediaOfSource> {
    let of_sources = context.sources.iter().zip(inputs.media.iter());
    let changed = of_sources.filter(|(_, changed)| changed.num_records > 0);
    let named = changed.map(|(open, ChangedMedia { num_records, example })| ChangedMediaOfSource {
        source: open.table.name.clone(),
        num_records: *num_records,
        example: example.clone(),
    });
    named.collect()
}
