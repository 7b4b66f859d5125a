//! Exports a dataset for trainers that read LLaVA's JSON: one array, and the images as files.
//!
//! ```text
//! OUTPUT/data.json                      a record a line, in the order of the shards
//! OUTPUT/images/0000/000/KEY.000.jpg    the n-th image in directory n / 1,000,000, n / 1,000 % 1,000
//! ```
//!
//! Images are the bytes of the shards. One sample is in memory at a time.
//!
//! **Invariant:** OUTPUT appears whole or not at all, and nothing that is there is replaced. The same dataset and options
//! give the same files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use manyframe_base::files::Flush;
use manyframe_base::{FileError, Progress, StagedDirectory, Step};
use manyframe_core::{Layout, Sample, is_document};
use manyframe_dataset::{DatasetReader, ShardEntry};
use manyframe_shards::{LlavaRecord, SingleImage};

use crate::error::EngineError;

/// What is exported, and in which form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// Samples of these layouts only; all if empty.
    pub only_layouts: Vec<Layout>,
    /// Samples of these sources only; all if empty.
    pub only_sources: Vec<String>,
    /// Samples with at most so many images only: 1 for LLaVA-1.5.
    pub max_images: Option<usize>,
    /// How the image of a record that has exactly one is written.
    pub single_image: SingleImage,
    /// Stands before the path of each image, which is relative to the output: the output with a slash at its end, say, for
    /// trainers that run elsewhere.
    pub path_prefix: String,
}

/// What was exported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records in `data.json`.
    pub num_records: u64,
    /// Documents left out: these trainers read conversations.
    pub num_documents: u64,
    /// Files below `images`.
    pub num_images: u64,
    /// Size of all files together.
    pub num_bytes: u64,
}

/// Most entries of a directory of images.
const DIRECTORY_ENTRIES: u64 = 1_000;

/// Exports a dataset as LLaVA's JSON.
pub fn export_llava_json(
    dataset: &Path,
    output: &Path,
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let dataset = DatasetReader::open(dataset)?;
    let sources: BTreeSet<&str> = dataset.manifest().sources.iter().map(|source| source.budget.name.as_str()).collect();
    if let Some(unknown) = options.only_sources.iter().find(|name| !sources.contains(name.as_str())) {
        let known = sources.into_iter().collect::<Vec<_>>().join(", ");
        return Err(EngineError::NoSuchSource { name: unknown.clone(), known });
    }
    if output.symlink_metadata().is_ok() {
        return Err(EngineError::Exists { path: output.to_owned() });
    }
    let staged = StagedDirectory::beside(output)?;
    let exported = write_staged(&dataset, staged.path(), options, progress)?;
    // One flush for a million small files.
    staged.publish(Flush::FileSystem).map_err(|error| match error.source.kind() {
        io::ErrorKind::AlreadyExists => EngineError::Exists { path: output.to_owned() },
        _ => error.into(),
    })?;
    Ok(exported)
}

fn write_staged(
    dataset: &DatasetReader,
    staged: &Path,
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<Exported, EngineError> {
    let shards = shards_to_read(dataset, options);
    progress.start(Step::Export, shards.iter().map(|shard| shard.num_bytes).sum());
    let mut export = Export::create(staged, options)?;
    for shard in shards {
        for sample in dataset.samples(shard)? {
            let sample = sample?;
            if !is_wanted(&sample, options) {
                continue;
            }
            if is_document(sample.messages.iter().map(|message| message.role)) {
                export.done.num_documents += 1;
            } else {
                export.write(&sample)?;
            }
        }
        progress.advance(shard.total.num_samples, shard.num_bytes);
    }
    progress.finish(Step::Export);
    export.finish()
}

/// The shards that can hold wanted samples, in one of the formats: every format holds all samples.
fn shards_to_read<'d>(dataset: &'d DatasetReader, options: &ExportOptions) -> Vec<&'d ShardEntry> {
    let can_hold = |shard: &&ShardEntry| shard.layout.is_none_or(|layout| is_among(layout, &options.only_layouts));
    dataset.shards_of_one_format().filter(can_hold).collect()
}

fn is_wanted(sample: &Sample, options: &ExportOptions) -> bool {
    let is_source = options.only_sources.is_empty() || options.only_sources.iter().any(|name| **name == *sample.source);
    let is_small = options.max_images.is_none_or(|most| sample.images.len() <= most);
    is_source && is_small && is_among(sample.layout, &options.only_layouts)
}

fn is_among(layout: Layout, layouts: &[Layout]) -> bool {
    layouts.is_empty() || layouts.contains(&layout)
}

/// An export while it is written.
struct Export<'o> {
    directory: PathBuf,
    options: &'o ExportOptions,
    json: BufWriter<File>,
    json_path: PathBuf,
    done: Exported,
}

impl<'o> Export<'o> {
    fn create(directory: &Path, options: &'o ExportOptions) -> Result<Self, EngineError> {
        let images = directory.join("images");
        fs::create_dir_all(&images).map_err(FileError::write(&images))?;
        let json_path = directory.join("data.json");
        let json = BufWriter::new(File::create(&json_path).map_err(FileError::write(&json_path))?);
        Ok(Self { directory: directory.to_owned(), options, json, json_path, done: Exported::default() })
    }

    fn write(&mut self, sample: &Sample) -> Result<(), EngineError> {
        let mut paths = Vec::with_capacity(sample.images.len());
        for (index, image) in sample.images.iter().enumerate() {
            let number = self.done.num_images / DIRECTORY_ENTRIES;
            let (outer, inner) = (number / DIRECTORY_ENTRIES, number % DIRECTORY_ENTRIES);
            let folder = format!("images/{outer:04}/{inner:03}");
            if self.done.num_images.is_multiple_of(DIRECTORY_ENTRIES) {
                let folder = self.directory.join(&folder);
                fs::create_dir_all(&folder).map_err(FileError::write(&folder))?;
            }
            let name = format!("{folder}/{}.{index:03}.{}", sample.id, image.format.extension());
            let path = self.directory.join(&name);
            let written = File::create_new(&path).and_then(|mut file| file.write_all(&image.bytes));
            written.map_err(FileError::write(&path))?;
            self.done.num_images += 1;
            self.done.num_bytes += image.bytes.len() as u64;
            paths.push([&self.options.path_prefix, name.as_str()].concat());
        }
        let record = LlavaRecord::from_sample(sample, paths, self.options.single_image);
        let start: &[u8] = if self.done.num_records == 0 { b"[\n" } else { b",\n" };
        let written = self.json.write_all(start).and_then(|()| Ok(serde_json::to_writer(&mut self.json, &record)?));
        written.map_err(FileError::write(&self.json_path))?;
        self.done.num_records += 1;
        Ok(())
    }

    fn finish(self) -> Result<Exported, EngineError> {
        let Self { mut json, json_path, mut done, .. } = self;
        let end: &[u8] = if done.num_records == 0 { b"[]\n" } else { b"\n]\n" };
        let written = json.write_all(end).and_then(|()| json.flush()).and_then(|()| json.get_ref().metadata());
        done.num_bytes += written.map_err(FileError::write(&json_path))?.len();
        Ok(done)
    }
}
