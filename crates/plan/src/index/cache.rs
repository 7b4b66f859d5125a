//! When an index file can be reused: its name is a digest of all it depends on but media, which are looked at one by one.
//!
//! It notices a change of the annotation file by its contents.

use std::path::{Path, PathBuf};

use manyframe_base::FileError;
use manyframe_core::{Digest, SourceIndex};
use manyframe_dataset::MANIFEST_FILE;
use manyframe_pipeline::Kind;
use manyframe_sources::{SourceError, Split};
use rustc_hash::FxHashMap;

use crate::context::Context;
use crate::error::PlanError;
use crate::index::file::IndexFile;
use crate::index::file_digests::FileDigests;
use crate::index::group::SplitGroup;

/// Where index files are, below the work directory.
const DIRECTORY: &str = "index";

/// Raised whenever the same inputs would have other rows or other bytes of files, but the same samples.
const ROWS_VERSION: &str = "11";

/// Where the index files in a work directory are.
pub(crate) fn index_directory(work: &Path) -> PathBuf {
    work.join(DIRECTORY)
}

/// The index files of a pipeline that are kept in a work directory.
pub(crate) struct IndexCache<'a> {
    context: &'a Context,
    directory: PathBuf,
    digests: FileDigests,
    /// Where each annotation file is, by its name in its source.
    annotations: FxHashMap<(SourceIndex, &'a str), &'a Path>,
}

impl<'a> IndexCache<'a> {
    /// The index files below a work directory, which is created if it is missing.
    pub(crate) fn open(context: &'a Context, work: &Path) -> Result<Self, PlanError> {
        let directory = index_directory(work);
        std::fs::create_dir_all(&directory).map_err(FileError::write(&directory))?;
        let digests = FileDigests::open(&directory, context.pipeline.stores.access());
        let annotations = context.sources.iter_enumerated().flat_map(|(source, open)| {
            open.annotations().iter().map(move |file| ((source, &*file.name), file.path.as_path()))
        });
        Ok(Self { context, directory, digests, annotations: annotations.collect() })
    }

    /// Keeps the digests of input files for the next build.
    pub(crate) fn save(&self) -> Result<(), PlanError> {
        self.digests.save()
    }

    /// A text that is equal for files with equal contents.
    pub(crate) fn digest_of(&self, path: &Path) -> Result<String, PlanError> {
        self.digests.of(path)
    }

    /// The index file of some splits, which is not made yet.
    pub(crate) fn index_file(&self, source: SourceIndex, group: &SplitGroup) -> Result<IndexFile, PlanError> {
        let path = self.directory.join(self.file_name(source, group)?);
        Ok(IndexFile { source, path, num_splits: group.splits().len() as u64, was_read: false })
    }

    /// The name of the index file of some splits: equal for equal settings and contents.
    pub(crate) fn file_name(&self, source: SourceIndex, group: &SplitGroup) -> Result<String, PlanError> {
        let open = self.context.source(source);
        let mut fields = Vec::new();
        for split in group.splits() {
            fields.push(serde_json::json!(split).to_string());
            fields.push(self.digests.of(&self.input_file(source, split)?)?);
        }
        if let Some(contents) = fields.last_mut() {
            for table in open.table.options.side_tables() {
                contents.push_str(&self.digests.of(Path::new(table))?);
            }
            // It decides which records are in the index, and changes none.
            contents.push_str(&open.table.options.condition);
        }
        let settings = self.context.source_settings_digest(&open.table);
        let fields = fields.iter().map(String::as_bytes).chain([&settings.0[..], ROWS_VERSION.as_bytes()]);
        let digest = Digest::of_fields(fields).to_string();
        Ok(format!("{}-{}.parquet", open.table.name, digest.get(..24).unwrap_or(&digest)))
    }

    /// The file whose contents decide what the records of a split are.
    fn input_file(&self, source: SourceIndex, split: &Split) -> Result<PathBuf, PlanError> {
        let table = &self.context.source(source).table;
        if let Kind::Replay(_) = table.kind {
            return Ok(Path::new(&table.from).join(MANIFEST_FILE));
        }
        let path = self.annotations.get(&(source, &*split.file));
        let unknown = || SourceError::UnknownFile { name: table.name.as_str().into(), file: split.file.clone() };
        let source_error = |error| PlanError::Source { source_name: table.name.clone(), error };
        Ok(path.ok_or_else(unknown).map_err(source_error)?.to_path_buf())
    }
}
