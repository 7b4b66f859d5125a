//! Evaluation sets as the loaders of lmms-eval and of VNBench read them.
//!
//! | files | what reads them |
//! |---|---|
//! | `needles.json`, `needles.yaml`, `needle_task.py` | lmms-eval: a task of its own, which asks every question |
//! | `vnbench.json`, `vnbench_both.json` | those that read VNBench's file: `video_name`, `question`, `answer`, `task_type` |
//! | `videos/`, `images/` | what questions show (`needle_files.rs`): lmms-eval both; VNBench's files name videos only |
//!
//! VNBench's scoring knows nine names, and counts a video of which four questions are right. Groups of another size are therefore in
//! `needles.json` only. It has no task about images and texts together: these have the names of its third tasks of each kind, in a file
//! of their own, so that no score is of two tasks.

use std::collections::BTreeMap;

use manyframe_base::{Progress, Step};
use manyframe_core::{NeedleTask, RecordId, Sample};
use manyframe_dataset::{DatasetReader, NeedleEntry};
use serde::Serialize;

use crate::current::FileCheck;
use crate::error::EngineError;
use crate::export_files::ExportFiles;
use crate::exported::Exported;
use crate::needle_files::NeedleFiles;

/// The questions that the task of lmms-eval asks.
const LMMS_EVAL_FILE: &str = "needles.json";
/// Those of VNBench's tasks, and those about images and texts together.
const VNBENCH_FILES: [&str; 2] = ["vnbench.json", "vnbench_both.json"];
/// Questions of a video that VNBench's scoring expects.
const VNBENCH_GROUP: u32 = 4;
/// The task of lmms-eval: its settings, with `{prefix}` before the file of questions, and its functions.
const LMMS_EVAL_TASK: [(&str, &str); 2] = [
    ("needles.yaml", include_str!("lmms_eval/needles.yaml")),
    ("needle_task.py", include_str!("lmms_eval/needle_task.py")),
];

/// A question as VNBench has it, and where it is in its grid.
#[derive(Serialize)]
struct LmmsEvalQuestion<'a> {
    /// Null if it is about images.
    video_name: Option<&'a str>,
    /// Null if it is about a video.
    images: Option<&'a [String]>,
    question: String,
    answer: &'a str,
    /// Null if it is about images.
    task_type: Option<&'static str>,
    #[serde(flatten)]
    entry: Cell<'a>,
}

/// Identifies the cell of a question, so that scores can be grouped by it.
#[derive(Serialize)]
struct Cell<'a> {
    sample: RecordId,
    task: NeedleTask,
    length: u32,
    depth: Option<u32>,
    group: &'a str,
    permutation: u32,
}

/// Writes the evaluation sets of a dataset for lmms-eval.
///
/// # Errors
///
/// [`EngineError::NoQuestions`] if there are none with options, and if files cannot be read or written.
pub(crate) fn write_lmms_eval(
    dataset: &DatasetReader,
    (output, prefix): (&mut ExportFiles, &str),
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let questions = questions(dataset)?;
    let mut files = NeedleFiles::of((output, prefix));
    for_each_sample(dataset, progress, |sample| match questions.get(&sample.id).map(|entry| &entry.question) {
        Some(question) if question.task.is_of_images() => files.add_images(&question.visuals, &sample),
        Some(question) => files.add_video(&question.group, &sample),
        None => Ok(()),
    })?;
    let mut first_sources = BTreeMap::new();
    let mut asked: Vec<(&NeedleEntry, LmmsEvalQuestion<'_>)> = Vec::new();
    for entry in dataset.needles()? {
        let first = first_sources.entry(entry.question.task).or_insert_with(|| entry.source.clone());
        let vnbench_type = vnbench_type(entry.question.task, *first != entry.source);
        if let Some(entry) = questions.get(&entry.sample) {
            asked.push((entry, lmms_eval_question(entry, vnbench_type, &files)));
        }
    }
    let all: Vec<&LmmsEvalQuestion<'_>> = asked.iter().map(|(_, question)| question).collect();
    let mut texts = vec![(LMMS_EVAL_FILE, json_of(dataset, &all)?)];
    for (name, is_of_both) in VNBENCH_FILES.into_iter().zip([false, true]) {
        let is_of_file = |NeedleEntry { question, .. }: &NeedleEntry| {
            is_of_both_kinds(question.task) == is_of_both
                && !question.task.is_of_images()
                && (question.num_permutations, question.options.len()) == (VNBENCH_GROUP, VNBENCH_GROUP as usize)
        };
        let of_file: Vec<_> =
            asked.iter().filter(|(entry, _)| is_of_file(entry)).map(|(_, question)| question).collect();
        if !of_file.is_empty() {
            texts.push((name, json_of(dataset, &of_file)?));
        }
    }
    texts.extend(LMMS_EVAL_TASK.map(|(name, text)| (name, text.replace("{prefix}", prefix).into_bytes())));
    let exported = Exported { num_records: all.len() as u64, ..files.done };
    texts.iter().try_for_each(|(name, text)| output.write(name, text))?;
    Ok(exported)
}

/// Questions as a list in JSON.
fn json_of(dataset: &DatasetReader, questions: &[&LmmsEvalQuestion<'_>]) -> Result<Vec<u8>, EngineError> {
    serde_json::to_vec_pretty(questions).map_err(|error| damaged(dataset, &error))
}

/// The questions with options, by their samples.
pub(crate) fn questions(dataset: &DatasetReader) -> Result<BTreeMap<RecordId, NeedleEntry>, EngineError> {
    if let Some(needles) = &dataset.manifest().needles {
        FileCheck::of(dataset).check(&needles.path, needles.digest)?;
    }
    let entries = dataset.needles()?.into_iter().filter(|entry| !entry.question.options.is_empty());
    let questions: BTreeMap<RecordId, NeedleEntry> = entries.map(|entry| (entry.sample, entry)).collect();
    if questions.is_empty() {
        return Err(EngineError::NoQuestions { path: dataset.location().to_owned() });
    }
    Ok(questions)
}

/// Reads every sample of a dataset once.
pub(crate) fn for_each_sample(
    dataset: &DatasetReader,
    progress: &dyn Progress,
    mut take: impl FnMut(Sample) -> Result<(), EngineError>,
) -> Result<(), EngineError> {
    progress.start(Step::Export, dataset.shards_of_one_format().map(|shard| shard.num_bytes).sum());
    let files = FileCheck::of(dataset);
    for shard in dataset.shards_of_one_format() {
        files.check(&shard.path.to_string(), shard.digest)?;
        for sample in dataset.samples(shard)? {
            take(sample?)?;
        }
        progress.advance(shard.total.num_samples, shard.num_bytes);
    }
    progress.finish(Step::Export);
    Ok(())
}

fn lmms_eval_question<'e>(
    entry: &'e NeedleEntry,
    task_type: Option<&'static str>,
    files: &'e NeedleFiles<'_>,
) -> LmmsEvalQuestion<'e> {
    let question = &entry.question;
    let options: Vec<String> = question.options.iter().map(|it| format!("{}. {}", it.letter, it.text)).collect();
    LmmsEvalQuestion {
        video_name: files.video(&question.group),
        images: files.images(&question.visuals).filter(|_| question.task.is_of_images()),
        question: format!("{}\n{}", question.question, options.join("\n")),
        answer: &question.answer,
        task_type,
        entry: Cell {
            sample: entry.sample,
            task: question.task,
            length: question.length,
            depth: question.depth,
            group: &question.group,
            permutation: question.permutation,
        },
    }
}

/// What VNBench calls a task; `None` of those about many images, which it does not have. V-NIAH is its retrieval of an inserted
/// image, at a stated depth. Its second variants of insertion have other images, landmarks and fruits: here, those of another source.
/// Both kinds of needle together are none of its tasks; alone in a file, they have the names that images of another source have.
fn vnbench_type(task: NeedleTask, is_second: bool) -> Option<&'static str> {
    use NeedleTask as Task;
    Some(match (task, is_second) {
        (Task::VNiah | Task::RetrievalInsert, false) => "ret_insert1",
        (Task::VNiah | Task::RetrievalInsert, true) | (Task::RetrievalBoth, _) => "ret_insert2",
        (Task::RetrievalEdit, _) => "ret_edit1",
        (Task::OrderingInsert, false) => "ord_insert1",
        (Task::OrderingInsert, true) | (Task::OrderingBoth, _) => "ord_insert2",
        (Task::OrderingEdit, _) => "ord_edit1",
        (Task::CountingInsert, _) => "cnt_insert1",
        (Task::CountingEdit, _) => "cnt_edit1",
        (Task::CountingPaste | Task::CountingBoth, _) => "cnt_edit2",
        (Task::ImageRetrieval | Task::ImageOrdering | Task::ImageCounting, _) => return None,
    })
}

/// Whether a task has images and texts.
fn is_of_both_kinds(task: NeedleTask) -> bool {
    matches!(task, NeedleTask::RetrievalBoth | NeedleTask::OrderingBoth | NeedleTask::CountingBoth)
}

fn damaged(dataset: &DatasetReader, error: &serde_json::Error) -> EngineError {
    let (path, detail) = (dataset.location().to_owned(), error.to_string());
    EngineError::Dataset(manyframe_dataset::DatasetError::NotADataset { path, detail })
}
