//! Evaluation sets as the loaders of lmms-eval and of VNBench read them.
//!
//! | files | what reads them |
//! |---|---|
//! | `needles.json`, `needles.yaml`, `needle_task.py` | lmms-eval: a task of its own, which asks every question about a video |
//! | `vnbench.json`, `vnbench_both.json` | those that read VNBench's file: `video_name`, `question`, `answer`, `task_type` |
//! | `videos/GROUP.avi` | all of them: the frames as they are, one file for each group of permutations |
//!
//! VNBench's scoring knows nine names, and counts a video of which four questions are right. Groups of another size are therefore in
//! `needles.json` only. It has no task about images and texts together: these have the names of its third tasks of each kind, in a file
//! of their own, so that no score is of two tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use manyframe_base::{FileError, Progress, Step, write_atomic};
use manyframe_core::{NeedleTask, RecordId, Sample, SampleImage, VisualKind};
use manyframe_dataset::{DatasetReader, NeedleEntry};
use manyframe_media::write_motion_jpeg;
use serde::Serialize;

use crate::error::EngineError;
use crate::exported::Exported;

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
    video_name: String,
    question: String,
    answer: &'a str,
    task_type: &'static str,
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

/// Writes the evaluation sets of a dataset for lmms-eval. Questions about many images, which are no videos, are left out and counted.
///
/// # Errors
///
/// [`EngineError::NoQuestions`] if there are none with options, and if files cannot be read or written.
pub(crate) fn write_lmms_eval(
    dataset: &DatasetReader,
    (staged, prefix): (&Path, &str),
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let questions = questions(dataset)?;
    let mut done = Exported::default();
    let (mut first_sources, mut in_order) = (BTreeMap::new(), Vec::new());
    for entry in dataset.needles()? {
        in_order.push(entry.sample);
        first_sources.entry(entry.question.task).or_insert(entry.source);
    }
    let mut records: BTreeMap<RecordId, LmmsEvalQuestion<'_>> = BTreeMap::new();
    let mut written = BTreeSet::new();
    let videos = staged.join("videos");
    fs::create_dir_all(&videos).map_err(FileError::write(&videos))?;
    for_each_sample(dataset, progress, |sample| {
        let Some(entry) = questions.get(&sample.id) else { return Ok(()) };
        if sample.visuals.iter().any(|visual| visual.kind != VisualKind::Video) {
            done.num_skipped += 1;
            return Ok(());
        }
        let name = format!("videos/{}.avi", entry.question.group);
        if written.insert(entry.question.group.clone()) {
            done.num_bytes += write_video(&staged.join(&name), &sample)?;
            done.num_images += sample.images.len() as u64;
        }
        let is_second = first_sources.get(&entry.question.task).is_some_and(|first| *first != entry.source);
        let vnbench_type = vnbench_type(entry.question.task, is_second);
        records.insert(sample.id, lmms_eval_question(entry, format!("{prefix}{name}"), vnbench_type));
        Ok(())
    })?;
    let asked: Vec<(&LmmsEvalQuestion<'_>, &NeedleEntry)> =
        in_order.iter().filter_map(|id| Some((records.get(id)?, questions.get(id)?))).collect();
    let all: Vec<&LmmsEvalQuestion<'_>> = asked.iter().map(|(question, _)| *question).collect();
    done.num_bytes += write_questions(dataset, &staged.join(LMMS_EVAL_FILE), &all)?;
    for (name, is_of_both) in VNBENCH_FILES.into_iter().zip([false, true]) {
        let is_of_file = |entry: &NeedleEntry| {
            let question = &entry.question;
            is_of_both_kinds(question.task) == is_of_both
                && (question.num_permutations, question.options.len()) == (VNBENCH_GROUP, VNBENCH_GROUP as usize)
        };
        let of_file: Vec<_> =
            asked.iter().filter(|(_, entry)| is_of_file(entry)).map(|(question, _)| *question).collect();
        if !of_file.is_empty() {
            done.num_bytes += write_questions(dataset, &staged.join(name), &of_file)?;
        }
    }
    for (name, text) in LMMS_EVAL_TASK {
        write_atomic(&staged.join(name), text.replace("{prefix}", prefix).as_bytes())?;
    }
    done.num_records = all.len() as u64;
    Ok(done)
}

/// Writes questions as a list in JSON; returns its size.
fn write_questions(
    dataset: &DatasetReader,
    path: &Path,
    questions: &[&LmmsEvalQuestion<'_>],
) -> Result<u64, EngineError> {
    let text = serde_json::to_vec_pretty(questions).map_err(|error| damaged(dataset, &error))?;
    write_atomic(path, &text)?;
    Ok(text.len() as u64)
}

/// The questions with options, by their samples.
pub(crate) fn questions(dataset: &DatasetReader) -> Result<BTreeMap<RecordId, NeedleEntry>, EngineError> {
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
    for shard in dataset.shards_of_one_format() {
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
    video_name: String,
    vnbench_type: &'static str,
) -> LmmsEvalQuestion<'e> {
    let question = &entry.question;
    let options: Vec<String> = question.options.iter().map(|it| format!("{}. {}", it.letter, it.text)).collect();
    LmmsEvalQuestion {
        video_name,
        question: format!("{}\n{}", question.question, options.join("\n")),
        answer: &question.answer,
        task_type: vnbench_type,
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

/// What VNBench calls a task. V-NIAH is its retrieval of an inserted image, at a stated depth. Its second variants of insertion have other
/// images, landmarks and fruits: here, those of another source. Both kinds of needle together are none of its tasks; alone in a file, they
/// have the names that images of another source have.
fn vnbench_type(task: NeedleTask, is_second: bool) -> &'static str {
    use NeedleTask as Task;
    match (task, is_second) {
        (Task::VNiah | Task::RetrievalInsert | Task::ImageRetrieval, false) => "ret_insert1",
        (Task::VNiah | Task::RetrievalInsert | Task::ImageRetrieval, true) | (Task::RetrievalBoth, _) => "ret_insert2",
        (Task::RetrievalEdit, _) => "ret_edit1",
        (Task::OrderingInsert | Task::ImageOrdering, false) => "ord_insert1",
        (Task::OrderingInsert | Task::ImageOrdering, true) | (Task::OrderingBoth, _) => "ord_insert2",
        (Task::OrderingEdit, _) => "ord_edit1",
        (Task::CountingInsert | Task::ImageCounting, _) => "cnt_insert1",
        (Task::CountingEdit, _) => "cnt_edit1",
        (Task::CountingPaste | Task::CountingBoth, _) => "cnt_edit2",
    }
}

/// Whether a task has images and texts.
fn is_of_both_kinds(task: NeedleTask) -> bool {
    matches!(task, NeedleTask::RetrievalBoth | NeedleTask::OrderingBoth | NeedleTask::CountingBoth)
}

/// Writes the frames of a sample as a video; returns its size.
fn write_video(path: &Path, sample: &Sample) -> Result<u64, EngineError> {
    let frames: Vec<&[u8]> = sample.images.iter().map(|image| image.bytes.as_slice()).collect();
    let size_px = sample.images.first().map_or((0, 0), |image: &SampleImage| (image.width_px, image.height_px));
    let times_s = sample.visuals.first().map_or(&[][..], |visual| visual.times_s.as_slice());
    let interval_s = if let [first, second, ..] = times_s { second - first } else { 1.0 };
    let mut file = BufWriter::new(File::create_new(path).map_err(FileError::write(path))?);
    let written = write_motion_jpeg(&mut file, &frames, (size_px, interval_s)).and_then(|()| file.flush());
    written.map_err(FileError::write(path))?;
    Ok(file.get_ref().metadata().map_err(FileError::read(path))?.len())
}

fn damaged(dataset: &DatasetReader, error: &serde_json::Error) -> EngineError {
    let (path, detail) = (dataset.location().to_owned(), error.to_string());
    EngineError::Dataset(manyframe_dataset::DatasetError::NotADataset { path, detail })
}
