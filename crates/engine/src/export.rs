//! Exports a dataset for other trainers: as LLaVA's JSON, an array of records with the images as files, or in packs.
//!
//! ```text
//! OUTPUT/data.json                      one record per line, in the order of the shards, or one pack
//! OUTPUT/images/0000/000/KEY.000.jpg    image n is in directory (n / 1,000,000)/(n / 1,000 % 1,000)
//! OUTPUT/SHA256SUMS                     the digests of all of them
//! ```
//!
//! Images are copied byte for byte; the frames of video files are decoded and encoded. One sample is in memory at a time.
//!
//! **Invariant:** OUTPUT appears whole or not at all, and never replaces anything. The same dataset and options always
//! result in the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use manyframe_base::staged_directory::Flush;
use manyframe_base::{FileError, Progress, StagedDirectory, Step};
use manyframe_core::{Layout, Sample, is_document};
use manyframe_dataset::{DatasetReader, ShardEntry};
use manyframe_pipeline::dataset_around;
use manyframe_shards::{LlavaPack, LlavaRecord, SingleImage};
use serde::Serialize;

use crate::current::{FileCheck, check_current};
use crate::error::EngineError;
use crate::export_files::{ExportFile, ExportFiles, HIDDEN_LIST_FILE, LIST_FILE};
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

impl ExportFormat {
    /// Whether it is of packs.
    pub fn is_packed(self) -> bool {
        matches!(self, Self::LlavaPacks | Self::PackedParquet | Self::XtunerPacks)
    }

    /// The list of files beside them, with their digests.
    pub fn list_file(self) -> &'static str {
        if self == Self::PackedParquet { HIDDEN_LIST_FILE } else { LIST_FILE }
    }
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
    /// asked for that there are not, [`EngineError::NothingToExport`] if no sample is left, [`EngineError::OtherFile`] if a file was changed since it was built. After an error, nothing is left of
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
        let mut files = ExportFiles::create(staged.path());
        let exported = self.write_files(&mut files);
        // A build that replaced the dataset is a better reason than a file that it made missing.
        check_current(self.dataset)?;
        let exported = exported?;
        if exported.num_records == 0 {
            return Err(EngineError::NothingToExport { path: self.dataset.location().to_owned() });
        }
        let num_bytes = files.write_list(self.options.format.list_file())?;
        // One flush for a million small files.
        staged.publish(Flush::FileSystem).map_err(|error| match error.source.kind() {
            io::ErrorKind::AlreadyExists => EngineError::Exists { path: output.to_owned() },
            _ => error.into(),
        })?;
        Ok(Exported { num_bytes, ..exported })
    }

    fn write_files(self, files: &mut ExportFiles) -> Result<Exported, EngineError> {
        let ExportOptions { format, path_prefix, .. } = self.options;
        if format.is_packed() {
            // Samples of packs are read one by one, from anywhere.
            FileCheck::of(self.dataset).check_packs()?;
        }
        match format {
            ExportFormat::LlavaJson => self.write_samples(files),
            ExportFormat::LlavaPacks => self.write_packs(files),
            ExportFormat::PackedParquet => write_packed_parquet(self.dataset, files, self.progress),
            ExportFormat::XtunerPacks => write_xtuner_packs(self.dataset, (files, path_prefix), self.progress),
            ExportFormat::LmmsEval => write_lmms_eval(self.dataset, (files, path_prefix), self.progress),
            ExportFormat::VlmEvalKit => write_vlmevalkit(self.dataset, (files, path_prefix), self.progress),
        }
    }

    fn write_samples(self, files: &mut ExportFiles) -> Result<Exported, EngineError> {
        let shards = shards_to_read(self.dataset, self.options);
        self.progress.start(Step::Export, shards.iter().map(|shard| shard.num_bytes).sum());
        let mut writer = LlavaWriter::create(files, self.options)?;
        let digests = FileCheck::of(self.dataset);
        for shard in shards {
            digests.check(&shard.path.to_string(), shard.digest)?;
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
    fn write_packs(self, files: &mut ExportFiles) -> Result<Exported, EngineError> {
        let reader = PackReader::open(self.dataset)?;
        let end_token = self.end_token()?;
        self.progress.start(Step::ExportPacks, self.dataset.manifest().total.num_samples);
        let mut writer = LlavaWriter::create(files, self.options)?;
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
        self.progress.finish(Step::ExportPacks);
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
    files: &'o mut ExportFiles,
    options: &'o ExportOptions,
    json: ExportFile,
    done: Exported,
}

impl<'o> LlavaWriter<'o> {
    fn create(files: &'o mut ExportFiles, options: &'o ExportOptions) -> Result<Self, EngineError> {
        let json = files.start("data.json")?;
        Ok(Self { files, options, json, done: Exported::default() })
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
            if self.done.num_images.is_multiple_of(DIRECTORY_ENTRIES) {
                self.files.end_directory()?;
            }
            let extension = image.format.extension();
            let name = format!("images/{outer:04}/{inner:03}/{}.{index:03}.{extension}", sample.id);
            self.files.write(&name, &image.bytes)?;
            self.done.num_images += 1;
            paths.push([&self.options.path_prefix, name.as_str()].concat());
        }
        Ok(paths)
    }

    fn write_record(&mut self, record: &impl Serialize) -> Result<(), EngineError> {
        let start: &[u8] = if self.done.num_records == 0 { b"[\n" } else { b",\n" };
        let written = self.json.write_all(start).and_then(|()| Ok(serde_json::to_writer(&mut self.json, record)?));
        written.map_err(FileError::write(self.json.path()))?;
        self.done.num_records += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<Exported, EngineError> {
        let end: &[u8] = if self.done.num_records == 0 { b"[]\n" } else { b"\n]\n" };
        self.json.write_all(end).map_err(FileError::write(self.json.path()))?;
        self.files.end_directory()?;
        self.files.add(self.json)?;
        Ok(self.done)
    }
}
