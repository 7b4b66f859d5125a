//! Everything that a pipeline file names, opened: readers, media, tokenizer, policies. Planner and workers share it.
//! It also says which settings a sample depends on.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use manyframe_core::{
    Digest, IndexVec, MediaLocation, MediaRef, Origin, Part, Record, RejectedRecord, SourceIndex, VisualKind,
};
use manyframe_dataset::ReplayedSource;
use manyframe_format::{Formatter, PromptOverhead, Tokenizer, VisualOrder};
use manyframe_media::video::KeptIndexes;
use manyframe_media::{
    DamagePolicy, DeliveredSize, ImagePolicy, MediaError, MediaStore, Sampling, TilePolicy, spread, video,
};
use manyframe_pipeline::{
    FormatTable, ImageShow, LocatedSource, MixTable, OutputTable, Pipeline, PipelineFile, SamplingRule, SourceTable,
    VideoDelivery, media_roots, resolved_source,
};
use manyframe_sources::{AnnotationFile, Raw, Source, SourceError};
use serde_json::Value;

use crate::composed::HaystackCache;
use crate::error::PlanError;
use crate::guard::Guard;
use crate::haystacks::{ForeignMedium, Listed, listed_options};
use crate::index::media::RecordMedia;
use crate::media::{ChosenFrames, LentMedium, SourceMedia};
use crate::reduction::LengthReduction;
use crate::replay::check_licenses;
use crate::shard_digests::StatedShard;
use crate::source_reader::SourceReader;

/// Raised whenever the same inputs would have other samples.
const SAMPLES_VERSION: &str = "18";

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
    /// Digest of the chat template's file, if it is in one.
    pub template_digest: Option<Digest>,
    /// How single images are delivered.
    pub images: ImagePolicy,
    /// How images are cut into tiles.
    pub tiles: TilePolicy,
    /// How frames are delivered.
    pub frames: ImagePolicy,
    /// Which frames are shown.
    pub sampling: Sampling,
    /// What becomes of videos with frames that are missing or damaged.
    pub damage: DamagePolicy,
    pub(crate) guard: Guard,
}

/// A source that is ready to be read.
pub struct OpenSource {
    /// Its table in the pipeline file.
    pub table: SourceTable,
    /// Its media.
    pub media: SourceMedia,
    /// Its haystacks that were decoded last, if it is an evaluation set.
    pub haystacks: HaystackCache,
    order: VisualOrder,
    reader: SourceReader,
    /// The record of which pieces were made last.
    divided: Mutex<Option<Arc<Record>>>,
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
        let formatter =
            Formatter::new(&file.format.spec, &file.family(), Arc::new(tokenizer)).map_err(PlanError::Format)?;
        let sources = pipeline.sources().map(|source| OpenSource::open(file, source)).collect::<Result<_, _>>()?;
        let images = ImagePolicy { limits: file.limits.clone(), ..file.images.clone() };
        let tiles = file.tiles;
        let frames = ImagePolicy { max_edge_px: Some(file.video.max_edge_px), ..images.clone() };
        let sampling = match file.sampling() {
            SamplingRule::Interval => {
                Sampling::Interval { interval_s: file.video.interval_s, max_frames: file.video.max_frames }
            }
            SamplingRule::Uniform => Sampling::Uniform { num_frames: file.video.num_frames },
            SamplingRule::Processor => Sampling::All,
        };
        let damage = DamagePolicy { rule: file.video.damage, max_missing: file.video.max_missing };
        Ok(Self {
            sources,
            template_digest: formatter.template_digest(),
            formatter,
            tokenizer_digest,
            images,
            tiles,
            frames,
            sampling,
            damage,
            guard: work_directory_of(file).map_or_else(Guard::default, |work| Guard::of_work(&work)),
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

    /// Opens a video of a source and chooses its frames, fewer where the record is shortened. No pixel is decoded. Of a clip that
    /// an earlier build delivered, its frames are those that were chosen then.
    ///
    /// # Errors
    ///
    /// If the video cannot be opened or has no frame to take, and if the model's processor refuses it.
    pub fn choose_frames(
        &self,
        media: &SourceMedia,
        subset: &str,
        medium: &MediaRef,
        reduction: &LengthReduction,
    ) -> Result<ChosenFrames, MediaError> {
        let most = reduction.max_frames.map(NonZeroU32::get);
        if let MediaLocation::PreparedClip(clip) = &medium.location {
            return media.open_clip(reduction.shown_frames(clip));
        }
        let sampling = match most {
            Some(most) if self.formatter.family().constant().is_some() => self.sampling.at_most(most),
            _ => self.sampling,
        };
        let mut chosen = media.open_video(subset, medium, &sampling)?;
        if sampling == Sampling::All {
            chosen.take_by(|size_px, video| {
                let taken = self.formatter.frames_by_law(size_px, video)?;
                match reduction.max_frames.filter(|most| taken.len() > most.get() as usize) {
                    Some(most) => self.formatter.fewer_frames_by_law(size_px, video, most),
                    None => Ok(taken),
                }
            })?;
        } else if let Some(most) = most {
            chosen.wanted = spread(&chosen.wanted, most);
        }
        Ok(chosen)
    }

    /// Whether images and frames are delivered at the size to which the model's processor brings them.
    pub fn resizes(&self) -> bool {
        self.pipeline.file.delivered_size() == DeliveredSize::Processor
    }

    /// Whether videos are delivered as files.
    pub fn delivers_clips(&self) -> bool {
        self.pipeline.file.video.deliver == VideoDelivery::Clip
    }

    /// A digest of [`source_settings`].
    pub(crate) fn source_settings_digest(&self, table: &SourceTable) -> Digest {
        digest_of_settings(&self.source_settings(table))
    }

    pub(crate) fn source_settings(&self, table: &SourceTable) -> Value {
        let digests = FormatDigests { tokenizer: self.tokenizer_digest, template: self.template_digest };
        source_settings(&self.pipeline.file, table, digests)
    }

    /// What its prompts have besides the texts of their turns, if the pipeline asks for an audit of packs.
    ///
    /// # Errors
    ///
    /// [`PlanError::NoOverhead`] if the tokenizer cannot count it.
    pub fn prompt_overhead(&self) -> Result<Option<PromptOverhead>, PlanError> {
        let is_audited = self.pipeline.file.pack.as_ref().is_some_and(|pack| pack.audit.is_some());
        let overhead = is_audited.then(|| PromptOverhead::of(&self.formatter)).transpose();
        overhead.map_err(|rejection| PlanError::NoOverhead { detail: rejection.detail })
    }

    /// The sources in order, each by its name with the digest of every setting that its samples depend on.
    pub fn named_source_settings_digests(&self) -> impl Iterator<Item = (String, Digest)> {
        let tables = self.sources.iter().map(|source| &source.table);
        tables.map(|table| (table.name.clone(), self.source_settings_digest(table)))
    }
}

/// Equal for equal settings.
pub(crate) fn digest_of_settings(settings: &Value) -> Digest {
    Digest::of(settings.to_string().as_bytes())
}

/// The digests of the files that make texts prompts and tokens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FormatDigests {
    pub(crate) tokenizer: Digest,
    pub(crate) template: Option<Digest>,
}

/// Every setting that a source's records are measured by and its samples depend on, the locations of media included. The keys
/// are those of a pipeline file.
///
/// Settings are listed without `..`, so that a new one does not compile until it is classified here.
pub(crate) fn source_settings(file: &PipelineFile, table: &SourceTable, digests: FormatDigests) -> Value {
    let PipelineFile {
        format,
        model,
        images,
        tiles,
        video: frames,
        limits,
        overlength,
        output,
        mix,
        // Describe the dataset.
        name: _,
        description: _,
        // Decides which records are drawn, and their order.
        seed: _,
        // Replaced in the other settings before they get here.
        vars: _,
        // Leave records out, and change none.
        duplicates: _,
        decontamination: _,
        // Refers to finished samples.
        pack: _,
        validate: _,
        // Decides what is looked at again.
        reuse: _,
        // This source is `table`; the others do not change its samples.
        source: _,
    } = file;
    let FormatTable {
        spec,
        max_tokens,
        // Its contents matter, not its path.
        tokenizer: _,
    } = format;
    let OutputTable {
        // Where shards go.
        directory: _,
        root: _,
        work: _,
        // How samples are divided among shards.
        shards: _,
        max_shard_samples: _,
        max_shard_mib: _,
        // How samples are stored. Token ids follow from a sample, and are made where an old shard has none.
        formats: _,
        tokens: _,
        energon_index: _,
        media: _,
    } = output;
    let MixTable {
        // Decide which records are drawn, and their order.
        total: _,
        order: _,
        // Leave records or sources out, and change none.
        check: _,
        licenses: _,
    } = mix;
    let SourceTable {
        name,
        kind,
        annotation_root,
        media,
        media_by_subset,
        links,
        visuals,
        from,
        only_sources,
        only_layouts,
        options,
        // Counted by their contents, file by file; the path of a file is part of a record's origin.
        annotations: _,
        // Leave records out, and change none.
        delivered_in: _,
        not_delivered_in: _,
        filter: _,
        // Decide how many records are drawn, and which.
        take: _,
        weight: _,
        repeat: _,
        unit: _,
        on_exhausted: _,
        replacement: _,
        stratify: _,
        strata: _,
        // Judge the finished source, or describe it.
        max_rejects: _,
        license: _,
    } = &resolved_source(table);
    let mut settings = serde_json::json!({
        "version": SAMPLES_VERSION,
        "decodes_video": video::IS_ENABLED,
        "source": {
            "name": name,
            "kind": kind,
            "annotation_root": annotation_root,
            "media": media,
            "media_by_subset": media_by_subset,
            "links": links,
            "visuals": visuals,
            "from": from,
            "only_sources": only_sources,
            "only_layouts": only_layouts,
        },
        "format": spec.without_paths(),
        "model": model,
        "format.tokenizer": digests.tokenizer,
        "images": images,
        "tiles": tiles,
        "video": frames,
        "limits": limits,
        // The greatest length matters only where an overlong record is shortened.
        "overlength": (!overlength.rejects_all()).then_some((overlength, max_tokens)),
    });
    if let (Some(template), Value::Object(settings)) = (digests.template, &mut settings) {
        settings.insert("format.template".to_owned(), serde_json::json!(template));
    }
    if let (Some(Value::Object(source)), Value::Object(mut options)) =
        (settings.get_mut("source"), serde_json::json!(options))
    {
        // Leave records out, and change none.
        for key in ["where", "scores"] {
            options.remove(key);
        }
        // What they mean where a record lacks them has changed.
        if options.contains_key("fields") {
            source.insert("fields_version".to_owned(), Value::from(3));
        }
        source.extend(options);
    }
    settings
}

impl OpenSource {
    /// Opens a source of a pipeline: its annotations and media roots.
    ///
    /// # Errors
    ///
    /// If either is missing or cannot be opened.
    pub fn open(file: &PipelineFile, source: LocatedSource<'_>) -> Result<Self, PlanError> {
        let table = source.table;
        let Listed { options, foreign } = listed_options(source)?;
        let reader = SourceReader::open_with(source, &options)?;
        check_licenses(&table.name, &reader.replayed, &file.mix.licenses)?;
        let mut lenders: BTreeMap<String, Arc<SourceMedia>> = BTreeMap::new();
        let mut lent = BTreeMap::new();
        for (key, ForeignMedium { source: lender, subset, medium }) in foreign {
            let media = match lenders.entry(lender.table.name.clone()) {
                Entry::Occupied(opened) => Arc::clone(opened.get()),
                Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(open_media(file, lender)?))),
            };
            lent.insert(key, LentMedium { media, subset, medium });
        }
        Ok(Self {
            // What patterns match decides what records are, and whether they are read again.
            table: SourceTable { options, ..table.clone() },
            order: VisualOrder::of(&file.family()),
            media: open_media(file, source)?.with_lent(lent),
            haystacks: HaystackCache::default(),
            reader,
            divided: Mutex::new(None),
        })
    }

    /// The sources of the dataset that it replays, of which nothing is delivered yet; none if it replays no dataset.
    pub fn replayed(&self) -> &[ReplayedSource] {
        &self.reader.replayed
    }

    /// The version of a record's media.
    pub fn media_version(&self, record: &Record) -> u64 {
        RecordMedia::of(record, &self.media).map_or(0, |media| media.version())
    }

    /// The reader of its annotations.
    pub fn reader(&self) -> &dyn Source {
        self.reader.source()
    }

    /// The shards of the dataset that it replays, as their manifest states them; none if it replays no dataset.
    pub(crate) fn stated_shards(&self) -> &[StatedShard] {
        &self.reader.shards
    }

    /// Its annotation files; none if it replays a dataset.
    pub(crate) fn annotations(&self) -> &[AnnotationFile] {
        &self.reader.annotations
    }

    /// The record in some annotation bytes, its images shown as the pipeline file says, in the order of the model family.
    ///
    /// # Errors
    ///
    /// Why the record cannot be delivered.
    pub fn parse(&self, raw: &Raw) -> Result<Record, RejectedRecord> {
        let mut record = self.reader().parse(raw)?;
        if self.table.visuals == ImageShow::Tiled {
            for part in record.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
                if let Part::Visual(visual) = part
                    && visual.kind == VisualKind::Image
                {
                    visual.kind = VisualKind::Tiled;
                }
            }
        }
        self.order.apply(&mut record.turns, &mut record.media);
        Ok(record)
    }

    /// The images that a record names in fields of its own, whether or not it can be delivered.
    pub fn named_images(&self, raw: &Raw) -> Vec<MediaRef> {
        self.reader().named_images(raw)
    }

    /// Reads one record again.
    ///
    /// # Errors
    ///
    /// If the annotations cannot be read, or changed since.
    pub fn read_at(&self, origin: &Origin) -> Result<Raw, SourceError> {
        self.reader.read_at(origin)
    }

    /// Reads one record again, with only the turns that are shown. Frames and tiles are left out later, when they are made.
    ///
    /// A record that is divided is kept until another one is: parsing it for each of its pieces would take a time that grows with
    /// the square of its length.
    ///
    /// # Errors
    ///
    /// If the annotations cannot be read, or changed since.
    pub fn shown_record(
        &self,
        origin: &Origin,
        reduction: &LengthReduction,
    ) -> Result<Result<Record, RejectedRecord>, SourceError> {
        let Some(split) = reduction.split else { return Ok(self.parse(&self.read_at(origin)?)) };
        let divided = || self.divided.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = divided().clone().filter(|record| record.origin == *origin);
        let whole = match kept {
            Some(record) => record,
            None => match self.parse(&self.read_at(origin)?) {
                Ok(record) => Arc::new(record),
                Err(rejected) => return Ok(Err(rejected)),
            },
        };
        *divided() = Some(Arc::clone(&whole));
        Ok(Ok(split.apply(&whole)))
    }
}

/// Opens the media roots of a source.
fn open_media(file: &PipelineFile, source: LocatedSource<'_>) -> Result<SourceMedia, PlanError> {
    let roots = media_roots(source)?;
    let (access, work) = (source.stores.access(), work_directory_of(file));
    let store = MediaStore::open_with(&roots, work.as_ref().map(|work| work.join("listings")).as_deref(), &access);
    let store = store.map_err(|error| PlanError::Media { source_name: source.table.name.clone(), error })?;
    let indexes = KeptIndexes::in_directory(work.map(|work| work.join("videos")));
    Ok(SourceMedia::new(store, file.limits.clone(), access).keeping_indexes(indexes))
}

/// The work directory of the pipeline's dataset, if there is one.
pub(crate) fn work_directory_of(file: &PipelineFile) -> Option<PathBuf> {
    // The settings that a dataset keeps say nothing of where it is.
    let output = Some(&file.output).filter(|output| !output.directory.is_empty())?;
    Some(output.work_directory()).filter(|work| work.is_dir())
}
