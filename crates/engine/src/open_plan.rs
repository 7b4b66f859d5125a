//! A plan on disk, with everything opened that its tasks need.

use std::path::{Path, PathBuf};

use manyframe_plan::{Context, Plan};

use crate::error::EngineError;
use crate::report::is_done;

/// A plan, ready to run. Every engine starts from one: this process, or one on another machine that sees the directory.
pub struct OpenPlan {
    /// The sources, the media and the tokenizer of its pipeline.
    pub context: Context,
    /// The plan.
    pub plan: Plan,
    /// Its directory, in which tasks leave shards and reports.
    pub directory: PathBuf,
}

impl OpenPlan {
    /// Reads the plan in a directory, and opens what its pipeline names.
    ///
    /// # Errors
    ///
    /// [`EngineError::Plan`] if the directory holds no plan of this version, or a source cannot be opened.
    pub fn open(directory: &Path) -> Result<Self, EngineError> {
        let plan = Plan::read(directory)?;
        let context = Context::open(plan.pipeline())?;
        Ok(Self { context, plan, directory: directory.to_owned() })
    }

    /// Where its dataset will be.
    pub fn dataset(&self) -> &Path {
        Path::new(&self.context.pipeline.file.output.directory)
    }

    /// The tasks that have no report yet.
    pub fn unfinished_tasks(&self) -> Vec<u32> {
        self.plan.tasks.iter().map(|task| task.id).filter(|task| !is_done(&self.directory, *task)).collect()
    }
}
