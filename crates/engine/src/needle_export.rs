//! Evaluation sets as the loaders of lmms-eval and VLMEvalKit read them.
//!
//! | form | files | what reads it |
//! |---|---|---|
//! | `lmms_eval` | `vnbench.json`, `videos/GROUP.avi`, `needles.yaml`, `needle_task.py` | the task that these describe, and those that read VNBench's file: `video_name`, `question`, `answer`, `task_type`; a group of four has one video |
//! | `vlmevalkit` | `needles_circular.tsv`, `images/VISUALS/NNNN.jpg` | custom multiple choice, circular as the name says: `index`, `question`, `A` …, `answer`, `category`, `image_path` |
//!
//! A video is its frames as they are, one file for each group of permutations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
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

/// The file of questions for lmms-eval.
const LMMS_EVAL_FILE: &str = "vnbench.json";
/// The task of lmms-eval that reads it: its settings, with `{prefix}` before the file of questions, and its functions.
const LMMS_EVAL_TASK: [(&str, &str); 2] = [
    ("needles.yaml", include_str!("lmms_eval/needles.yaml")),
    ("needle_task.py", include_str!("lmms_eval/needle_task.py")),
];
/// The file of questions for VLMEvalKit, which evaluates those circularly that have the word in their name.
const VLMEVALKIT_FILE: &str = "needles_circular.tsv";
/// What the index of a permutation is above that of the one before it, so that VLMEvalKit finds those of a group.
const NEXT_PERMUTATION: u64 = 1_000_000;

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
    let mut first_sources = BTreeMap::new();
    for entry in dataset.needles()? {
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
    let in_order: Vec<&LmmsEvalQuestion<'_>> = in_order(dataset, &records)?;
    let text = serde_json::to_vec_pretty(&in_order).map_err(|error| damaged(dataset, &error))?;
    write_atomic(&staged.join(LMMS_EVAL_FILE), &text)?;
    for (name, text) in LMMS_EVAL_TASK {
        write_atomic(&staged.join(name), text.replace("{prefix}", prefix).as_bytes())?;
    }
    done.num_records = in_order.len() as u64;
    done.num_bytes += text.len() as u64;
    Ok(done)
}

/// Writes the evaluation sets of a dataset for VLMEvalKit. Frames are images.
///
/// # Errors
///
/// As [`write_lmms_eval`].
pub(crate) fn write_vlmevalkit(
    dataset: &DatasetReader,
    (staged, prefix): (&Path, &str),
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let questions = questions(dataset)?;
    let num_options = questions.values().map(|entry| entry.question.options.len()).max().unwrap_or(0);
    let mut done = Exported::default();
    let mut images: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for_each_sample(dataset, progress, |sample| {
        let Some(entry) = questions.get(&sample.id) else { return Ok(()) };
        let visuals = &entry.question.visuals;
        if images.contains_key(visuals) {
            return Ok(());
        }
        let directory = staged.join("images").join(visuals);
        fs::create_dir_all(&directory).map_err(FileError::write(&directory))?;
        let mut paths = Vec::new();
        for (number, image) in sample.images.iter().enumerate() {
            let name = format!("images/{visuals}/{number:04}.{}", image.format.extension());
            let path = staged.join(&name);
            let written = File::create_new(&path).and_then(|mut file| file.write_all(&image.bytes));
            written.map_err(FileError::write(&path))?;
            done.num_bytes += image.bytes.len() as u64;
            paths.push(format!("{prefix}{name}"));
        }
        done.num_images += paths.len() as u64;
        images.insert(visuals.clone(), paths);
        Ok(())
    })?;
    let letters: Vec<String> = ('A'..='Z').take(num_options).map(String::from).collect();
    let mut text =
        format!("index\tcategory\tquestion\t{}\tanswer\timage_path\tlength\tdepth\tgroup\n", letters.join("\t"));
    let mut groups = GroupNumbers::default();
    for entry in dataset.needles()?.iter().filter(|entry| questions.contains_key(&entry.sample)) {
        let question = &entry.question;
        let index = groups.index_of(entry).to_string();
        let mut cells = vec![index, question.task.as_str().to_owned(), question.question.clone()];
        cells.extend(
            (0..num_options).map(|place| question.options.get(place).map_or_else(String::new, |it| it.text.clone())),
        );
        let paths = images.get(&question.visuals).map_or(&[][..], Vec::as_slice);
        cells.push(question.answer.clone());
        // A list of texts reads the same in Python: the loader evaluates it.
        cells.push(serde_json::json!(paths).to_string());
        cells.push(question.length.to_string());
        cells.push(question.depth.map_or_else(String::new, |depth| depth.to_string()));
        cells.push(question.group.clone());
        let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
        _ = writeln!(text, "{}", cells.join("\t"));
        done.num_records += 1;
    }
    write_atomic(&staged.join(VLMEVALKIT_FILE), text.as_bytes())?;
    done.num_bytes += text.len() as u64;
    Ok(done)
}

/// Numbers of groups in the order in which their questions come, and how many of each there were.
#[derive(Default)]
struct GroupNumbers<'e>(BTreeMap<(&'e str, &'e str), (u64, u64)>);

impl<'e> GroupNumbers<'e> {
    /// The index of the next question of a group: that of the first is the number of the group.
    fn index_of(&mut self, entry: &'e NeedleEntry) -> u64 {
        let next = self.0.len() as u64;
        let (number, num_before) = self.0.entry((&entry.source, &entry.question.group)).or_insert((next, 0));
        *num_before += 1;
        *number + NEXT_PERMUTATION * (*num_before - 1)
    }
}

/// A cell of a table in tabs, in quotes where it has some.
fn quoted(cell: &str) -> String {
    let cell = cell.replace(['\t', '\n', '\r'], " ");
    if cell.contains('"') { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

/// The questions with options, by their samples.
fn questions(dataset: &DatasetReader) -> Result<BTreeMap<RecordId, NeedleEntry>, EngineError> {
    let entries = dataset.needles()?.into_iter().filter(|entry| !entry.question.options.is_empty());
    let questions: BTreeMap<RecordId, NeedleEntry> = entries.map(|entry| (entry.sample, entry)).collect();
    if questions.is_empty() {
        return Err(EngineError::NoQuestions { path: dataset.location().to_owned() });
    }
    Ok(questions)
}

fn for_each_sample(
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

fn in_order<'r, 'e>(
    dataset: &DatasetReader,
    records: &'r BTreeMap<RecordId, LmmsEvalQuestion<'e>>,
) -> Result<Vec<&'r LmmsEvalQuestion<'e>>, EngineError> {
    Ok(dataset.needles()?.iter().filter_map(|entry| records.get(&entry.sample)).collect())
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
/// images, landmarks and fruits: here, those of another source. Both kinds of needle together are none of its tasks; they have the names that
/// else stay free.
fn vnbench_type(task: NeedleTask, is_second: bool) -> &'static str {
    match (task, is_second) {
        (NeedleTask::VNiah | NeedleTask::RetrievalInsert | NeedleTask::ImageRetrieval, false) => "ret_insert1",
        (NeedleTask::VNiah | NeedleTask::RetrievalInsert | NeedleTask::ImageRetrieval, true)
        | (NeedleTask::RetrievalBoth, _) => "ret_insert2",
        (NeedleTask::RetrievalEdit, _) => "ret_edit1",
        (NeedleTask::OrderingInsert | NeedleTask::ImageOrdering, false) => "ord_insert1",
        (NeedleTask::OrderingInsert | NeedleTask::ImageOrdering, true) | (NeedleTask::OrderingBoth, _) => "ord_insert2",
        (NeedleTask::OrderingEdit, _) => "ord_edit1",
        (NeedleTask::CountingInsert | NeedleTask::ImageCounting, _) => "cnt_insert1",
        (NeedleTask::CountingEdit, _) => "cnt_edit1",
        (NeedleTask::CountingPaste | NeedleTask::CountingBoth, _) => "cnt_edit2",
    }
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
