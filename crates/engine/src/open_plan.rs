//! A plan on disk, with everything opened that its tasks need.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_base::files::parent_directory;
use manyframe_pipeline::Pipeline;
use manyframe_plan::{Context, Plan};
use manyframe_storage::Stores;

use crate::error::EngineError;
use crate::report::{FoundReport, TaskReport, find_report};
use crate::store_output::StoreOutput;

/// A plan, ready to run. Every engine starts from one: this process, or one on another machine that sees the directory.
pub struct OpenPlan {
    /// The sources, the media and the tokenizer of its pipeline.
    pub context: Context,
    /// The plan.
    pub plan: Plan,
    /// Its directory, in which tasks leave shards and reports.
    pub directory: PathBuf,
    /// Whether this may be another machine than the one that planned: a medium that is not here is then no reject, but taken for
    /// a disk that is not mounted.
    pub is_elsewhere: bool,
    /// Where shards and dataset go, if that is no directory of this machine.
    pub(crate) store: Option<StoreOutput>,
}

impl OpenPlan {
    /// Reads the plan in a directory, and opens what its pipeline names; `stores` reach what its URLs name.
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if the directory holds no plan of this version, or a source cannot be opened.
    pub fn open(directory: &Path, stores: &Stores) -> Result<Self, EngineError> {
        let plan = Plan::read(directory)?;
        let context = Context::open(plan.pipeline(stores))?;
        let store = StoreOutput::of(&context.pipeline)?;
        Ok(Self { context, plan, directory: directory.to_owned(), is_elsewhere: false, store })
    }

    /// As [`Self::open`], on a machine that may not be the one that planned: variables of the pipeline file have these values
    /// here, and the others those of that machine.
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if the directory holds no plan of this version, [`EngineError::UnknownVariable`] for a variable that
    /// no path begins with, and [`EngineError::NotHere`] if what the pipeline names cannot be opened on this machine.
    pub fn open_elsewhere(
        directory: &Path,
        variables: &BTreeMap<String, String>,
        stores: &Stores,
    ) -> Result<Self, EngineError> {
        let plan = Plan::read(directory)?;
        let pipeline = Pipeline { stores: stores.clone(), ..pipeline_with(&plan, directory, variables)? };
        let context = Context::open(pipeline).map_err(EngineError::NotHere)?;
        let store = StoreOutput::of(&context.pipeline)?;
        Ok(Self { context, plan, directory: directory.to_owned(), is_elsewhere: true, store })
    }

    /// Where its dataset will be: a directory or a URL.
    pub fn dataset(&self) -> &Path {
        self.context.pipeline.file.output.location()
    }

    /// The tasks that are not done.
    pub fn unfinished_tasks(&self) -> Vec<u32> {
        self.plan.tasks.iter().map(|task| task.id).filter(|task| !self.has_done(*task)).collect()
    }

    /// Whether a task is done.
    pub(crate) fn has_done(&self, task: u32) -> bool {
        matches!(self.read_report(task), Ok(Some(_)))
    }

    /// The report of a task that is done.
    pub(crate) fn read_report(&self, task: u32) -> Result<Option<TaskReport>, EngineError> {
        let found = find_report(&self.directory, task)?;
        Ok(found.filter(|found| self.is_done(found)).map(|found| found.report))
    }

    /// Whether the shards of a task are where commit needs them.
    pub(crate) fn is_done(&self, found: &FoundReport) -> bool {
        if self.store.is_some() { found.is_sent } else { found.is_here }
    }
}

/// The pipeline of a plan, with other values of variables. Its dataset is built where the plan is.
fn pipeline_with(plan: &Plan, directory: &Path, variables: &BTreeMap<String, String>) -> Result<Pipeline, EngineError> {
    let mut pipeline = plan.pipeline(&Stores::default());
    if variables.is_empty() {
        if pipeline.file.output.url().is_some() {
            pipeline.set_work_directory(parent_directory(directory));
        }
        return Ok(pipeline);
    }
    let known = pipeline.variable_names();
    if let Some(name) = variables.keys().find(|name| !known.contains(*name)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(EngineError::UnknownVariable { name: name.clone(), known });
    }
    let mut values = pipeline.variables;
    values.extend(variables.clone());
    let mut pipeline = Pipeline::on_this_machine(pipeline.portable, values);
    pipeline.set_work_directory(parent_directory(directory));
    Ok(pipeline)
}
