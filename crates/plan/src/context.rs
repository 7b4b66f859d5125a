//! Everything that a pipeline file names, opened: readers, media, tokenizer, policies. Planner and workers share it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::{Digest, IndexVec, MediaRef, Origin, Record, RejectedRecord, SourceIndex, VisualKind};
use manyframe_format::{Formatter, Tokenizer};
use manyframe_media::video::{self, FrameSelection, VideoFrame, VideoIndex};
use manyframe_media::{ImagePolicy, MediaError, MediaStore, Sampling, TilePolicy};
use manyframe_sources::{Raw, Source, SourceError, SourceSpec};

use crate::fit::Fit;
use crate::replay::ReplaySource;
use crate::{PlanError, SourceMedia};
use manyframe_dataset::work_directory;
use manyframe_pipeline::{
    ImageShow, Kind, Pipeline, PipelineFile, PortablePaths, SamplingRule, SourceTable, annotation_files, media_roots,
};

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
    /// How images are cut into sub-images.
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

    /// The frames of a video that are shown, decoded and encoded, and its index.
    pub fn frames(
        &self,
        media: &SourceMedia,
        subset: &str,
        medium: &MediaRef,
        fit: &Fit,
    ) -> Result<(VideoIndex, Vec<VideoFrame>), MediaError> {
        let sampling = fit.max_frames.map_or(self.sampling, |most| self.sampling.at_most(most.get()));
        let chosen = media.choose_frames(subset, medium, &sampling)?;
        let selection = FrameSelection { index: &chosen.index, positions: &chosen.wanted };
        let frames = video::decode_frames(&chosen.input, selection, &self.frames)?;
        Ok((chosen.index, frames))
    }

    /// A text in which paths of this machine are written as every machine knows them, for what goes into a dataset.
    pub fn portable_text(&self, text: String) -> String {
        self.paths.in_text(text)
    }
}

impl OpenSource {
    /// Opens a source of a pipeline: its annotations and media roots.
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
    pub fn parse(&self, raw: &Raw) -> Result<Record, RejectedRecord> {
        let mut record = self.reader.parse(raw)?;
        if self.table.visuals == ImageShow::Tiled {
            for part in record.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
                if let manyframe_core::Part::Visual(visual) = part
                    && visual.kind == VisualKind::Image
                {
                    visual.kind = VisualKind::Tiled;
                }
            }
        }
        Ok(record)
    }

    /// Reads one record again, from where it was read before.
    pub fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError> {
        self.reader.read_at(origin)
    }
}

/// Where work on the pipeline's dataset is in progress, if any is.
fn work_directory_of(file: &PipelineFile) -> Option<PathBuf> {
    let dataset = Some(&file.output.directory).filter(|directory| !directory.is_empty())?;
    Some(work_directory(Path::new(dataset))).filter(|work| work.is_dir())
}
