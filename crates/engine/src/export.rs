//! Exports a dataset for other trainers: as LLaVA's JSON, an array of records with the images as files, or in packs.
//!
//! ```text
//! OUTPUT/data.json                      one record per line, in the order of the shards, or one pack
//! OUTPUT/images/0000/000/KEY.000.jpg    image n is in directory (n / 1,000,000)/(n / 1,000 % 1,000)
//! ```
//!
//! Images are copied byte for byte; the frames of video files are decoded and encoded. One sample is in memory at a time.
//!
//! **Invariant:** OUTPUT appears whole or not at all, and never replaces anything. The same dataset and options always
//! result in the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use manyframe_base::files::Flush;
use manyframe_base::{FileError, Progress, StagedDirectory, Step};
use manyframe_core::{Layout, Sample, is_document};
use manyframe_dataset::{DatasetReader, ShardEntry};
use manyframe_pipeline::dataset_around;
use manyframe_shards::{LlavaPack, LlavaRecord, SingleImage};
use serde::Serialize;

use crate::current::{FileCheck, check_current};
use crate::error::EngineError;
use crate::exported::{Exported, FrameSize, images_of};
use crate::needle_export::write_lmms_eval;
use crate::pack_reader::PackReader;
use crate::packed::{write_packed_parquet, write_xtuner_packs};
use crate::vlmevalkit::write_vlmevalkit;

/// The form of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExportFormat {
    /// LLaVA's JSON, one record a sample.
    #[default]
    LlavaJson,
    /// LLaVA's JSON, one record a pack, as LongLLaVA's trainer reads packs.
    LlavaPacks,
    /// Parquet, one row a pack, with everything in it.
    PackedParquet,
    /// XTuner's preset packs, of texts.
    XtunerPacks,
    /// Questions of an evaluation set, as a task of lmms-eval that is beside them asks them, with videos and images.
    LmmsEval,
    /// Questions of an evaluation set, as VLMEvalKit reads custom multiple choice, with images.
    VlmEvalKit,
}

/// What to export, and in which form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The form. Packs are exported whole: `only_layouts`, `only_sources` and `max_images` select samples of
    /// [`ExportFormat::LlavaJson`] alone.
    pub format: ExportFormat,
    /// Only samples of these layouts; all if empty.
    pub only_layouts: Vec<Layout>,
    /// Only samples of these sources; all if empty.
    pub only_sources: Vec<String>,
    /// Only samples with at most this many images: 1 for LLaVA-1.5.
    pub max_images: Option<usize>,
    /// How to write the image of a record that has exactly one.
    pub single_image: SingleImage,
    /// Prefix of each image's path, which is relative to the output: for example the output with a trailing slash, for
    /// trainers that run in another directory.
    pub path_prefix: String,
}

/// Maximum number of entries in a directory of images.
const DIRECTORY_ENTRIES: u64 = 1_000;

/// An export of a dataset.
#[derive(Clone, Copy)]
pub struct Export<'a> {
    /// The dataset.
    pub dataset: &'a DatasetReader,
    /// What to export, and in which form.
    pub options: &'a ExportOptions,
    /// Receives how far the export has come.
    pub progress: &'a dyn Progress,
}

impl Export<'_> {
    /// Writes the export to `output`, which must not exist.
    ///
    /// # Errors
    ///
    /// [`EngineError::NoSuchSource`] if the options name a source that the dataset does not have, [`EngineError::Exists`]
    /// if something is at `output` already, [`EngineError::InsideDataset`] if it is inside of a dataset, [`EngineError::NotPacked`] if packs are
    /// asked for that there are not, [`EngineError::OtherFile`] if a file was changed since it was built. After an error, nothing is left of
    /// the export.
    pub fn write(self, output: &Path) -> Result<Exported, EngineError> {
        let sources = &self.dataset.manifest().sources;
        let known: BTreeSet<&str> = sources.iter().map(|source| source.budget.name.as_str()).collect();
        if let Some(unknown) = self.options.only_sources.iter().find(|name| !known.contains(name.as_str())) {
            let known = known.into_iter().collect::<Vec<_>>().join(", ");
            return Err(EngineError::NoSuchSource { name: unknown.clone(), known });
        }
        if output.symlink_metadata().is_ok() {
            return Err(EngineError::Exists { path: output.to_owned() });
        }
        let absolute = std::path::absolute(output).map_err(FileError::write(output))?;
        if let Some(around) = dataset_around(&absolute) {
            return Err(EngineError::InsideDataset { path: output.to_owned(), around: around.to_owned() });
        }
        let staged = StagedDirectory::beside(output)?;
        let exported = self.write_staged(staged.path());
        // A build that replaced the dataset is a better reason than a file that it made missing.
        check_current(self.dataset)?;
        let exported = exported?;
        // One flush for a million small files.
        staged.publish(Flush::FileSystem).map_err(|error| match error.source.kind() {
            io::ErrorKind::AlreadyExists => EngineError::Exists { path: output.to_owned() },
            _ => error.into(),
        })?;
        Ok(exported)
    }

    fn write_staged(self, staged: &Path) -> Result<Exported, EngineError> {
        let output = (staged, self.options.path_prefix.as_str());
        match self.options.format {
            ExportFormat::LlavaJson => return self.write_samples(staged),
            ExportFormat::LmmsEval => return write_lmms_eval(self.dataset, output, self.progress),
            ExportFormat::VlmEvalKit => return write_vlmevalkit(self.dataset, output, self.progress),
            ExportFormat::LlavaPacks | ExportFormat::PackedParquet | ExportFormat::XtunerPacks => {}
        }
        // Samples of packs are read one by one, from anywhere.
        FileCheck::of(self.dataset).check_packs()?;
        match self.options.format {
            ExportFormat::PackedParquet => write_packed_parquet(self.dataset, staged, self.progress),
            ExportFormat::XtunerPacks => write_xtuner_packs(self.dataset, output, self.progress),
            _ => self.write_packs(staged),
        }
    }

    fn write_samples(self, staged: &Path) -> Result<Exported, EngineError> {
        let shards = shards_to_read(self.dataset, self.options);
        self.progress.start(Step::Export, shards.iter().map(|shard| shard.num_bytes).sum());
        let mut writer = LlavaWriter::create(staged, self.options)?;
        let files = FileCheck::of(self.dataset);
        for shard in shards {
            files.check(&shard.path.to_string(), shard.digest)?;
            for sample in self.dataset.samples(shard)? {
                let sample = sample?;
                if !is_wanted(&sample, self.options) {
                    continue;
                }
                if self.options.max_images.is_some_and(|most| sample.num_shown_images() > most as u64) {
                    writer.done.num_over_max_images += 1;
                    continue;
                }
                if is_document(sample.messages.iter().map(|message| message.role)) {
                    writer.done.num_documents += 1;
                } else {
                    writer.write(&sample)?;
                }
            }
            self.progress.advance(shard.total.num_samples, shard.num_bytes);
        }
        self.progress.finish(Step::Export);
        writer.finish()
    }

    /// A pack is a record. A document, which is no conversation, is left out, and counted.
    fn write_packs(self, staged: &Path) -> Result<Exported, EngineError> {
        let reader = PackReader::open(self.dataset)?;
        let end_token = self.end_token()?;
        self.progress.start(Step::Export, self.dataset.manifest().total.num_samples);
        let mut writer = LlavaWriter::create(staged, self.options)?;
        for pack in reader.packs()? {
            let pack = pack?;
            let mut record = LlavaPack { id: format!("pack-{}", pack.pack), ..LlavaPack::default() };
            for sample in reader.samples(&pack)? {
                if is_document(sample.messages.iter().map(|message| message.role)) {
                    writer.done.num_documents += 1;
                } else {
                    record.push(&sample, writer.write_images(&sample)?, &end_token);
                }
            }
            if !record.conversations.is_empty() {
                writer.write_record(&record)?;
            }
            let num_samples = pack.samples.len() as u64;
            self.progress.advance(num_samples, num_samples);
        }
        self.progress.finish(Step::Export);
        writer.finish()
    }

    /// What the template of the dataset writes after an answer.
    fn end_token(self) -> Result<String, EngineError> {
        let file = self.dataset.manifest().pipeline_with(&BTreeMap::new())?.file;
        let template = file.format.spec.template(&file.family());
        let none = || EngineError::NotPacked {
            path: self.dataset.location().to_owned(),
            detail: "its chat template, in Jinja, names no end token".to_owned(),
        };
        Ok(template.text().ok_or_else(none)?.end)
    }
}

/// The shards that can hold wanted samples, in one of the formats: every format holds all samples.
fn shards_to_read<'d>(dataset: &'d DatasetReader, options: &ExportOptions) -> Vec<&'d ShardEntry> {
    let can_hold = |shard: &&ShardEntry| shard.layout.is_none_or(|layout| is_among(layout, &options.only_layouts));
    dataset.shards_of_one_format().filter(can_hold).collect()
}

/// Whether a sample is of a layout and source that was asked for.
fn is_wanted(sample: &Sample, options: &ExportOptions) -> bool {
    let is_source = options.only_sources.is_empty() || options.only_sources.iter().any(|name| **name == *sample.source);
    is_source && is_among(sample.layout, &options.only_layouts)
}

fn is_among(layout: Layout, layouts: &[Layout]) -> bool {
    layouts.is_empty() || layouts.contains(&layout)
}

/// The files of an export while they are written.
struct LlavaWriter<'o> {
    directory: PathBuf,
    options: &'o ExportOptions,
    json: BufWriter<File>,
    json_path: PathBuf,
    done: Exported,
}

impl<'o> LlavaWriter<'o> {
    fn create(directory: &Path, options: &'o ExportOptions) -> Result<Self, EngineError> {
        let images = directory.join("images");
        fs::create_dir_all(&images).map_err(FileError::write(&images))?;
        let json_path = directory.join("data.json");
        let json = BufWriter::new(File::create(&json_path).map_err(FileError::write(&json_path))?);
        Ok(Self { directory: directory.to_owned(), options, json, json_path, done: Exported::default() })
    }

    fn write(&mut self, sample: &Sample) -> Result<(), EngineError> {
        let paths = self.write_images(sample)?;
        self.write_record(&LlavaRecord::from_sample(sample, paths, self.options.single_image))
    }

    /// Writes the images of a sample; returns their paths, as records have them.
    fn write_images(&mut self, sample: &Sample) -> Result<Vec<String>, EngineError> {
        let images = images_of(sample, FrameSize::Own)?;
        let mut paths = Vec::with_capacity(images.len());
        for (index, image) in images.iter().enumerate() {
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
        Ok(paths)
    }

    fn write_record(&mut self, record: &impl Serialize) -> Result<(), EngineError> {
        let start: &[u8] = if self.done.num_records == 0 { b"[\n" } else { b",\n" };
        let written = self.json.write_all(start).and_then(|()| Ok(serde_json::to_writer(&mut self.json, record)?));
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
