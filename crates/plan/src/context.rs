//! Everything that a pipeline file names, opened: readers, media, tokenizer, policies. Planner and workers share it.
//! It also says which settings a sample depends on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::{Digest, IndexVec, Origin, Part, Record, RejectedRecord, SourceIndex, VisualKind};
use manyframe_dataset::work_directory;
use manyframe_format::{Formatter, Tokenizer};
use manyframe_media::{ImagePolicy, MediaStore, Sampling, TilePolicy, video};
use manyframe_pipeline::{
    ImageShow, Kind, Pipeline, PipelineFile, PortablePaths, SamplingRule, SourceTable, annotation_files, media_roots,
};
use manyframe_sources::{Raw, Source, SourceError, SourceSpec};

use crate::error::PlanError;
use crate::media::SourceMedia;
use crate::reduction::LengthReduction;
use crate::replay::ReplaySource;

/// Raised whenever the same inputs would have other samples.
const SAMPLES_VERSION: &str = "6";

/// An opened pipeline.
pub struct Context {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Its sources, in the order of the file.
    pub sources: IndexVec<SourceIndex, OpenSource>,
    /// Turns to text and token counts.
    pub formatter: Formatter,
    /// Digest of the tokenizer's file.
    pub tokenizer_digest: Digest,
    /// How single images are delivered.
    pub images: ImagePolicy,
    /// How images are cut into tiles.
    pub tiles: TilePolicy,
    /// How frames are delivered.
    pub frames: ImagePolicy,
    /// Which frames are shown.
    pub sampling: Sampling,
    paths: PortablePaths,
}

/// A source that is ready to be read.
pub struct OpenSource {
    /// Its table in the pipeline file.
    pub table: SourceTable,
    /// Its media.
    pub media: SourceMedia,
    reader: Box<dyn Source>,
}

impl Context {
    /// Opens every source, its media roots, and the tokenizer. Reads no annotation.
    ///
    /// # Errors
    ///
    /// If anything that the pipeline file names is missing or cannot be opened.
    pub fn open(pipeline: Pipeline) -> Result<Self, PlanError> {
        let file = &pipeline.file;
        let tokenizer = Tokenizer::open(Path::new(&file.format.tokenizer)).map_err(PlanError::Format)?;
        let tokenizer_digest = tokenizer.digest();
        let formatter = Formatter::new(&file.format.spec, Arc::new(tokenizer)).map_err(PlanError::Format)?;
        let sources = file.source.iter().map(|table| OpenSource::open(&pipeline, table)).collect::<Result<_, _>>()?;
        let images = file.images.policy(&file.limits);
        let tiles = file.tiles;
        let frames = ImagePolicy { max_edge_px: Some(file.video.max_edge_px), ..images.clone() };
        let sampling = match file.video.sampling {
            SamplingRule::Interval => {
                Sampling::Interval { interval_s: file.video.interval_s, max_frames: file.video.max_frames }
            }
            SamplingRule::Uniform => Sampling::Uniform { num_frames: file.video.num_frames },
        };
        Ok(Self {
            sources,
            formatter,
            tokenizer_digest,
            images,
            tiles,
            frames,
            sampling,
            paths: PortablePaths::of(&pipeline)?,
            pipeline,
        })
    }

    /// A source of the pipeline.
    #[expect(
        clippy::indexing_slicing,
        reason = "indices of sources are made from this list, or checked where they are read"
    )]
    pub(crate) fn source(&self, index: SourceIndex) -> &OpenSource {
        &self.sources[index]
    }

    /// Which frames of videos are shown of a record that is shortened.
    pub fn sampling_for(&self, reduction: &LengthReduction) -> Sampling {
        reduction.max_frames.map_or(self.sampling, |most| self.sampling.at_most(most.get()))
    }

    /// A text with paths of this machine as every machine writes them, for what goes into a dataset.
    pub fn portable_text(&self, text: String) -> String {
        self.paths.in_text(text)
    }

    /// A digest of every setting that a source's records are measured by and its samples depend on, the locations of media
    /// included.
    pub(crate) fn source_settings_digest(&self, table: &SourceTable) -> Digest {
        let file = &self.pipeline.file;
        let settings = serde_json::json!({
            "version": SAMPLES_VERSION,
            "video": video::IS_ENABLED,
            "source": (&table.name, table.kind, &table.media, &table.media_by_subset, table.visuals),
            "replay": (&table.from, &table.only_sources, &table.only_layouts),
            "options": &table.options,
            "format": &file.format.spec,
            "tokenizer": self.tokenizer_digest,
            "images": &file.images,
            "tiles": &file.tiles,
            "frames": &file.video,
            "limits": &file.limits,
            // The greatest length matters only where an overlong record is shortened.
            "overlength": (!file.overlength.rejects_all()).then_some((&file.overlength, file.format.max_tokens)),
        });
        Digest::of(settings.to_string().as_bytes())
    }

    /// The sources in order, each by its name with the digest of every setting that its samples depend on.
    pub fn named_source_settings_digests(&self) -> impl Iterator<Item = (String, Digest)> {
        let tables = self.sources.iter().map(|source| &source.table);
        tables.map(|table| (table.name.clone(), self.source_settings_digest(table)))
    }
}

impl OpenSource {
    /// Opens a source of a pipeline: its annotations and media roots.
    ///
    /// # Errors
    ///
    /// If either is missing or cannot be opened.
    pub fn open(pipeline: &Pipeline, table: &SourceTable) -> Result<Self, PlanError> {
        let source_error = |error| PlanError::Source { source_name: table.name.clone(), error };
        let reader: Box<dyn Source> = match table.kind {
            Kind::Upstream(kind) => {
                let annotations = annotation_files(pipeline, table)?;
                let name = Arc::from(table.name.as_str());
                let spec = SourceSpec { name, kind, annotations, options: table.options.clone() };
                manyframe_sources::open(spec).map_err(source_error)?
            }
            Kind::Replay(_) => Box::new(ReplaySource::open(table, &pipeline.variables)?),
        };
        let roots = media_roots(table)?;
        let store = match work_directory_of(&pipeline.file) {
            Some(work) => MediaStore::open_keeping(&roots, &work.join("listings")),
            None => MediaStore::open(&roots),
        };
        let store = store.map_err(|error| PlanError::Media { source_name: table.name.clone(), error })?;
        let media = SourceMedia::new(store, pipeline.file.limits.clone());
        Ok(Self { table: table.clone(), media, reader })
    }

    /// The reader of its annotations.
    pub fn reader(&self) -> &dyn Source {
        self.reader.as_ref()
    }

    /// The record in some annotation bytes, its images shown as the pipeline file says.
    ///
    /// # Errors
    ///
    /// Why the record cannot be delivered.
    pub fn parse(&self, raw: &Raw) -> Result<Record, RejectedRecord> {
        let mut record = self.reader.parse(raw)?;
        if self.table.visuals == ImageShow::Tiled {
            for part in record.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
                if let Part::Visual(visual) = part
                    && visual.kind == VisualKind::Image
                {
                    visual.kind = VisualKind::Tiled;
                }
            }
        }
        Ok(record)
    }

    /// Reads one record again.
    ///
    /// # Errors
    ///
    /// If the annotations cannot be read, or changed since.
    pub fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError> {
        self.reader.read_at(origin)
    }
}

/// The work directory of the pipeline's dataset, if there is one.
fn work_directory_of(file: &PipelineFile) -> Option<PathBuf> {
    let dataset = Some(&file.output.directory).filter(|directory| !directory.is_empty())?;
    Some(work_directory(Path::new(dataset))).filter(|work| work.is_dir())
}
