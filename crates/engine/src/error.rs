//! Errors of a build, a task or a commit. A bad record is never an error.

use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;

use manyframe_base::FileError;
use manyframe_dataset::DatasetError;
use manyframe_transfer::TransferError;
use manyframe_validate::measure::Report;

use crate::committed::Committed;

/// Why a build, a task, a commit, or reading a dataset back failed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The plan cannot be made or read.
    #[error("cannot make or read the plan")]
    Plan(#[from] manyframe_plan::PlanError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A shard cannot be written or read.
    #[error("cannot read or write shard {path:?}")]
    Shard {
        /// The shard.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: manyframe_shards::ShardError,
    },
    /// A dataset, or a part of it, cannot be read or written.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A dataset cannot be sent to its URL.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The output is a bucket, and no place in it.
    #[error("{url:?} is a whole bucket; choose a place in it, with /NAME")]
    WholeBucket {
        /// The output.
        url: PathBuf,
    },
    /// A shard is larger than stores copy.
    #[error(
        "the shard {path:?} has {num_bytes} bytes, and stores copy at most 5 GiB; set a lower output.max_shard_mib"
    )]
    LargeShard {
        /// The shard.
        path: PathBuf,
        /// Its size.
        num_bytes: u64,
    },
    /// The grid of an evaluation set is asked for, and there is no set.
    #[error("no source of the pipeline file has kind = \"needles\"")]
    NoNeedles,
    /// A dataset without questions is exported as an evaluation set, or asked of a model.
    #[error(
        "{path:?} has no questions about needles, or, for an export, none with options; sources of kind \"needles\" make them"
    )]
    NoQuestions {
        /// The dataset.
        path: PathBuf,
    },
    /// The plan has no such task.
    #[error("the plan has no task {task}; its tasks are 0 to {last}")]
    NoSuchTask {
        /// The number of the task.
        task: u32,
        /// The last task of the plan.
        last: u32,
    },
    /// A record is not where the plan found it.
    #[error("the annotations have changed since the plan was made: record {id} of {origin}; plan again")]
    SourceChanged {
        /// The record.
        id: String,
        /// Where it was.
        origin: String,
    },
    /// Another record is where the build found one.
    #[error("the annotations have changed since the build: another record is at {origin} now")]
    AnnotationsChanged {
        /// Where the record was.
        origin: String,
    },
    /// A worker cannot open what could be opened where the plan was made.
    #[error(
        "cannot open on this machine what the plan was made from; --set NAME=PATH says where a variable of it is here"
    )]
    NotHere(#[source] manyframe_plan::PlanError),
    /// A worker does not see a medium that the plan has.
    #[error(
        "a medium of sample {id} is not on this machine, and was there when the plan was made: {detail}; if it was removed since, \
         plan again"
    )]
    MediumNotHere {
        /// The sample.
        id: String,
        /// Where it was looked for.
        detail: String,
    },
    /// A worker cannot open the sources that a dataset is compared with.
    #[error(
        "the sources of {path:?} cannot be opened on this machine; --set NAME=PATH says where a variable of it is here: {detail}"
    )]
    SourcesNotHere {
        /// The dataset.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// A worker finds another dataset than the one that it is to verify.
    #[error("{path:?} is another dataset than the one that is verified, or this is another version of manyframe")]
    OtherDataset {
        /// The dataset.
        path: PathBuf,
    },
    /// Tasks of a validation ran different models, or one on different devices.
    #[error("machines did not run the model {path:?} alike: {one}; {other}; --device cpu or cuda makes them")]
    DifferentModels {
        /// The model's directory.
        path: PathBuf,
        /// How one of them ran it.
        one: String,
        /// How another did.
        other: String,
    },
    /// A directory that all machines see is needed.
    #[error("{path:?} is a URL: with --engine, --work says which directory all machines see")]
    NoSharedDirectory {
        /// The dataset.
        path: PathBuf,
    },
    /// No path of the plan begins with a variable.
    #[error("no path of the plan begins with a variable {name:?}; there are {known}")]
    UnknownVariable {
        /// The name.
        name: String,
        /// The variables that there are.
        known: String,
    },
    /// A task failed in another process.
    #[error("task {task} failed on {host}: {error}")]
    TaskFailed {
        /// The task.
        task: u32,
        /// The machine.
        host: String,
        /// What went wrong, with its causes.
        error: String,
        /// Whether trying again may help.
        may_be_retried: bool,
    },
    /// The scheduler of a cluster cannot be called, or refuses what it is asked for.
    #[error("{program}: {detail}")]
    Scheduler {
        /// The program that was called.
        program: String,
        /// What it said.
        detail: String,
        /// Whether trying again may help.
        may_be_retried: bool,
    },
    /// An engine whose machines share no disk was given tasks that are not at a store.
    #[error(
        "the tasks in {directory:?} need a disk that all machines see; --no-shared-disk is for builds whose dataset goes to a URL, \
         as with --output s3://BUCKET/NAME"
    )]
    NeedsSharedDisk {
        /// The directory of the tasks.
        directory: PathBuf,
    },
    /// Tasks are not done, so nothing can be committed.
    #[error("{num_missing} of {num_tasks} tasks are not done, the first is task {first}; run them, then commit again")]
    Unfinished {
        /// How many are not done.
        num_missing: usize,
        /// How many there are.
        num_tasks: usize,
        /// The first of them.
        first: u32,
    },
    /// Records are missing from the account, or too many; nothing was committed.
    #[error("the ledger does not add up: {detail}")]
    Unaccounted {
        /// Which record or source.
        detail: String,
    },
    /// A measure of the validation is over a limit of its policy.
    #[error("the validation failed: {findings}; nothing was published, the dataset is in {path:?}")]
    Invalid {
        /// What is over its limit.
        findings: String,
        /// All that was measured.
        report: Box<Report>,
        /// Where the dataset is that was not published, with `validation.json` in it.
        path: PathBuf,
    },
    /// More records were rejected than the pipeline file allows; nothing was published.
    #[error(
        "{losses}; nothing was published, the dataset is in {:?}: build with --accept-rejects to publish it as it is, or raise \
         max_rejects",
        staged.dataset
    )]
    Losses {
        /// What is missing, of which source.
        losses: String,
        /// The dataset that was not published.
        staged: Box<Committed>,
    },
    /// The output is a dataset of another name.
    #[error(
        "{path:?} is the dataset {found:?}, and this pipeline builds {name:?}; choose another output, or build with --replace"
    )]
    OtherName {
        /// The output.
        path: PathBuf,
        /// Its name.
        found: String,
        /// The name of the pipeline.
        name: String,
    },
    /// Another process builds the same output.
    #[error("another build of {dataset:?} is running")]
    Locked {
        /// The output.
        dataset: PathBuf,
    },
    /// A manifest was replaced while a new one was made.
    #[error("{path:?} was replaced in the meantime; try again")]
    Overtaken {
        /// The manifest.
        path: PathBuf,
    },
    /// The pipeline file names a model for its validation that does not exist.
    #[error("validate.model: {path:?} contains no config.json")]
    NoModel {
        /// The model's directory.
        path: PathBuf,
    },
    /// The file with the limits of a validation has an error.
    #[error("cannot read the policy {path:?}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        source: toml::de::Error,
    },
    /// The output is a dataset whose name is not known.
    #[error(
        "{path:?} has a dataset whose manifest cannot be read, perhaps one of another name; choose another output, or build with \
         --replace"
    )]
    Nameless {
        /// The output.
        path: PathBuf,
    },
    /// Nothing that a dataset has is to be exported.
    #[error(
        "no sample is left to export of {path:?}: none is of the layouts, sources and number of images that are asked for, or all are documents"
    )]
    NothingToExport {
        /// The dataset.
        path: PathBuf,
    },
    /// The output exists and is not a dataset.
    #[error("{path:?} exists and is not a manyframe dataset; move it away or choose another output")]
    Occupied {
        /// The directory.
        path: PathBuf,
    },
    /// The output is a link. A build replaces what it writes in one step, which would replace the link.
    #[error("{path:?} is a link to {target:?}: name that directory as the output, which a build replaces as a whole")]
    OutputIsLink {
        /// The link.
        path: PathBuf,
        /// What it leads to.
        target: PathBuf,
    },
    /// The output is inside of another dataset, which is replaced as a whole, or of a work directory.
    #[error(
        "{path:?} is inside of the dataset or work directory {around:?}, whose next build would remove it; choose a directory beside it"
    )]
    InsideDataset {
        /// The output.
        path: PathBuf,
        /// The dataset or work directory around it.
        around: PathBuf,
    },
    /// The output is where something is mounted, which cannot be replaced.
    #[error(
        "something is mounted at {path:?}, so that a build cannot replace it as a whole: name a directory in it as the output"
    )]
    OutputIsMounted {
        /// The output.
        path: PathBuf,
    },
    /// The work directory and the output are on different file systems.
    #[error(
        "{work:?} is on another file system than {path:?}: a build moves the finished dataset from there in one step; let both be in one directory"
    )]
    OtherFileSystem {
        /// The work directory.
        work: PathBuf,
        /// The output.
        path: PathBuf,
    },
    /// A file of a dataset has other bytes than its manifest says.
    #[error(
        "{path:?} is not the file that the manifest names: it was changed or damaged since it was built; build the dataset again, or copy or download it again"
    )]
    OtherFile {
        /// The file.
        path: PathBuf,
    },
    /// The output exists already.
    #[error("{path:?} exists; move it away or choose another output")]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The dataset has no such source.
    #[error("the dataset has no source {name:?}; its sources are {known}")]
    NoSuchSource {
        /// The name.
        name: String,
        /// The sources that it has.
        known: String,
    },
    /// A model cannot be opened, written or run.
    #[error("cannot open or run the model")]
    Model(#[from] manyframe_validate::ValidateError),
    /// Samples have no token ids and cannot be tokenized.
    #[error("the samples of {path:?} have no token ids and cannot be tokenized: {detail}")]
    NoTokens {
        /// The dataset.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// An image or a video file of a sample cannot be decoded.
    #[error("an image of sample {id} cannot be decoded: {detail}")]
    Undecodable {
        /// The sample.
        id: String,
        /// What is wrong.
        detail: String,
    },
    /// A video file of a sample cannot be decoded.
    #[error("the video of sample {id} cannot be decoded: {detail}")]
    Clip {
        /// The sample.
        id: String,
        /// What is wrong.
        detail: String,
    },
    /// The audit of packs needs the dataset's tokenizer.
    #[error("cannot audit the packs of {path:?} without its tokenizer: {detail}")]
    NoAudit {
        /// The dataset.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The dataset has no packs, or not such as are to be exported.
    #[error("cannot export the packs of {path:?}: {detail}")]
    NotPacked {
        /// The dataset.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The models that can be run are of one family.
    #[error("validation runs LongLLaVA, and the dataset is for {family}: only the families longllava and longvila fit")]
    NoModelOfFamily {
        /// The family.
        family: &'static str,
    },
    /// The picture of a dataset's scores cannot be drawn.
    #[error("cannot draw the scores")]
    Drawing(#[from] manyframe_report::ReportError),
    /// The tokenizer of a dataset cannot be opened.
    #[error(
        "the tokenizer of {path:?} cannot be opened; --set NAME=PATH says where a variable of it is here: {detail}"
    )]
    NoTokenizer {
        /// The dataset.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl EngineError {
    /// Whether the same call may succeed later. If not, a person has to change the request, the pipeline file or the inputs.
    pub fn may_be_retried(&self) -> bool {
        match self {
            Self::Plan(error) => error.may_be_retried(),
            Self::Transfer(error) => error.may_be_retried(),
            Self::Model(error) => error.may_be_retried(),
            // Such as writing to an address that can only be read.
            Self::File(error) | Self::Dataset(DatasetError::File(error)) => {
                error.source.kind() != ErrorKind::Unsupported
            }
            Self::Dataset(error) => !matches!(error, DatasetError::NotADataset { .. } | DatasetError::Storage(_)),
            Self::TaskFailed { may_be_retried, .. } | Self::Scheduler { may_be_retried, .. } => *may_be_retried,
            Self::NotHere(_)
            | Self::SourcesNotHere { .. }
            | Self::MediumNotHere { .. }
            | Self::Shard { .. }
            | Self::Unfinished { .. }
            | Self::Unaccounted { .. }
            | Self::Locked { .. }
            | Self::Overtaken { .. } => true,
            Self::NoSuchTask { .. }
            | Self::NoNeedles
            | Self::NoQuestions { .. }
            | Self::WholeBucket { .. }
            | Self::LargeShard { .. }
            | Self::OtherDataset { .. }
            | Self::DifferentModels { .. }
            | Self::NoSharedDirectory { .. }
            | Self::NeedsSharedDisk { .. }
            | Self::UnknownVariable { .. }
            | Self::NoSuchSource { .. }
            | Self::Losses { .. }
            | Self::OtherName { .. }
            | Self::Nameless { .. }
            | Self::Occupied { .. }
            | Self::OutputIsLink { .. }
            | Self::InsideDataset { .. }
            | Self::AnnotationsChanged { .. }
            | Self::Exists { .. }
            | Self::NothingToExport { .. }
            | Self::OtherFile { .. }
            | Self::OutputIsMounted { .. }
            | Self::OtherFileSystem { .. }
            | Self::SourceChanged { .. }
            | Self::NoTokens { .. }
            | Self::Drawing(_)
            | Self::Undecodable { .. }
            | Self::Clip { .. }
            | Self::NoAudit { .. }
            | Self::NotPacked { .. }
            | Self::NoTokenizer { .. }
            | Self::NoModelOfFamily { .. }
            | Self::NoModel { .. }
            | Self::Policy { .. }
            | Self::Invalid { .. } => false,
        }
    }
}

/// An error with all of its causes, for a report that goes on after it.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
