//! Reuse: samples of the dataset that a build replaces are copied if they would be the same, and so are those that an
//! interrupted build finished with another plan.
//!
//! A sample would be the same if its record has the same id (the same text and paths), its media are the versions that it was
//! made of, and the settings are the same that it depends on, the locations of media included: those of videos do not matter to
//! photos. What is not reused is counted by its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_base::files::work_directory;
use manyframe_base::{Executor, FileAccess};
use manyframe_core::{Digest, IndexRow, IndexVec, RecordId, SourceIndex};
use manyframe_dataset::{DatasetError, DatasetReader, MANIFEST_FILE, SampleLocation, ShardName};
use manyframe_pipeline::{ImageShow, MediaFreshness, Pipeline, SourceTable};
use manyframe_samplers::sample_id;
use manyframe_shards::ShardFormat;
use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::context::{Context, FormatDigests, OpenSource, digest_of_settings, source_settings};
use crate::error::PlanError;
use crate::plan::{Plan, plan_path};
use crate::reused::{MadeBecause, ReusedSample, SourceReuse};
use crate::sample_media::{fetch_sample_media, kept_media_path, read_sample_media, sample_media_path};
use crate::shard_digests::{ShardDigests, StatedShard};

/// What a build does with the samples of the dataset that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Samples that would be the same are reused.
    Unchanged,
    /// None is reused.
    Nothing,
}

/// The samples that can be reused.
pub(crate) struct ReusableSamples {
    /// Those of the dataset first.
    stores: Vec<SampleStore>,
    changed_settings: IndexVec<SourceIndex, BTreeSet<String>>,
}

/// The samples of a dataset, or of an interrupted build.
struct SampleStore {
    shards: Vec<(Arc<Path>, ShardFormat)>,
    /// The shards that have other bytes than the manifest of their dataset says.
    damaged: BTreeSet<PathBuf>,
    /// Shard and position of each sample.
    locations: FxHashMap<RecordId, (usize, u64)>,
    /// What the ledger says about frames that are missing or damaged.
    damage: FxHashMap<RecordId, String>,
    /// Of each source, why some or all of its samples cannot be reused.
    obstacles: IndexVec<SourceIndex, Option<Obstacle>>,
    media: MediaBefore,
}

/// Why samples of a source cannot be reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// None of them can be.
    Because(MadeBecause),
    /// Settings changed on which some of them depend.
    Settings(Concerned),
}

/// The samples that depend on settings that changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Concerned {
    all: bool,
    with_images: bool,
    with_videos: bool,
}

impl Concerned {
    fn by(changed_settings: &BTreeSet<String>, table: &SourceTable) -> Self {
        let mut concerned = Self::default();
        for setting in changed_settings {
            match setting.split('.').next().unwrap_or_default() {
                "images" => concerned.with_images = true,
                "tiles" => concerned.with_images |= table.visuals == ImageShow::Tiled,
                // The planner applies limits to images; to frames, their decoder does.
                "video" | "limits" => concerned.with_videos = true,
                _ => concerned.all = true,
            }
        }
        concerned
    }

    fn has(self, row: &IndexRow) -> bool {
        let Self { all, with_images, with_videos } = self;
        all || (with_images && row.cost.num_images > 0) || (with_videos && row.cost.num_frames > 0)
    }
}

/// The settings of a source with which samples were made.
struct SettingsBefore {
    digest: Digest,
    /// If they are known.
    settings: Option<Value>,
}

/// What is known about the media that samples were made of.
enum MediaBefore {
    /// They are taken to be the same.
    Trusted,
    Unknown,
    /// The records whose media are different now, the first of them with one that is.
    Changed(FxHashMap<RecordId, Option<Box<str>>>),
}

/// Changed media that are remembered by name.
const MOST_NAMED: usize = 1000;

/// A plan for which samples are reused.
pub(crate) struct NewPlan<'a> {
    pub(crate) context: &'a Context,
    /// The work directory.
    pub(crate) work: &'a Path,
    /// The table of media of the plan, which is finished.
    pub(crate) media: &'a Path,
    /// As [`PlanRequest::left_by`](crate::PlanRequest::left_by).
    pub(crate) left_by: fn(&Path) -> LeftByPlan,
    /// Reads shards.
    pub(crate) executor: Executor<'a>,
}

/// What the finished tasks of an interrupted build left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftByPlan {
    /// What they found of frames that are missing or damaged, by sample.
    pub damage: Vec<(RecordId, String)>,
    /// Their shards that were sent to a store, by their names in the directory that the plan has there.
    pub sent: Vec<(String, ShardFormat)>,
}

impl ReusableSamples {
    /// The samples of the dataset at the pipeline's output, and those of plans in the work directory, which interrupted builds
    /// left.
    ///
    /// A dataset that cannot be read may still be replaced; nothing of it is then reused.
    pub(crate) fn list(plan: &NewPlan<'_>, reuse: Reuse) -> Self {
        let context = plan.context;
        let mut reusable = Self {
            stores: vec![SampleStore::nothing(context, MadeBecause::NothingBefore)],
            changed_settings: IndexVec::filled(BTreeSet::new(), context.sources.len()),
        };
        if reuse == Reuse::Nothing {
            return reusable;
        }
        let dataset = context.pipeline.file.output.location();
        if let Err(error) = reusable.add_dataset(plan, dataset) {
            tracing::warn!(dataset = %dataset.display(), %error, "no sample is reused: the dataset cannot be read");
        }
        for directory in list_plans(plan.work) {
            match SampleStore::of_plan(plan, &directory) {
                Ok(store) => reusable.stores.push(store),
                Err(error) => tracing::debug!(plan = %directory.display(), %error, "no sample of this plan is reused"),
            }
        }
        reusable
    }

    fn add_dataset(&mut self, plan: &NewPlan<'_>, dataset: &Path) -> Result<(), PlanError> {
        let storage = plan.context.pipeline.stores.storage(dataset).map_err(DatasetError::from)?;
        if storage.num_bytes(MANIFEST_FILE).map_err(DatasetError::from)?.is_none() {
            return Ok(());
        }
        let dataset = DatasetReader::open_in(storage)?;
        let settings = settings_of_dataset(&dataset);
        let changed = |open: &OpenSource| {
            let before = settings.get(&open.table.name);
            before.map(|before| differing(before, &plan.context.source_settings(&open.table))).unwrap_or_default()
        };
        self.changed_settings = plan.context.sources.iter().map(changed).collect();
        self.stores = vec![SampleStore::of_dataset(plan, &dataset, settings)?];
        Ok(())
    }

    /// The sample, if it would be the same, or why it has to be made.
    pub(crate) fn find(&self, row: &IndexRow, repetition: u32) -> Result<ReusedSample, MadeBecause> {
        let mut because = MadeBecause::NothingBefore;
        for (number, store) in self.stores.iter().enumerate() {
            match store.find(row, repetition) {
                Err(obstacle) if number == 0 => because = obstacle,
                Err(_) => {}
                found => return found,
            }
        }
        Err(because)
    }

    /// The name of a medium of the record that changed since the dataset was built, if it is remembered.
    pub(crate) fn changed_medium(&self, id: RecordId) -> Option<&str> {
        match &self.stores.first()?.media {
            MediaBefore::Changed(records) => records.get(&id)?.as_deref(),
            MediaBefore::Trusted | MediaBefore::Unknown => None,
        }
    }

    /// The counts of all sources before any sample is counted.
    pub(crate) fn start_count(&self, context: &Context) -> IndexVec<SourceIndex, SourceReuse> {
        let changed_settings = self.changed_settings.iter().cloned();
        let count = |(open, changed_settings): (&OpenSource, BTreeSet<String>)| SourceReuse {
            source: open.table.name.clone(),
            changed_settings,
            ..SourceReuse::default()
        };
        context.sources.iter().zip(changed_settings).map(count).collect()
    }
}

impl SampleStore {
    fn nothing(context: &Context, because: MadeBecause) -> Self {
        Self {
            shards: Vec::new(),
            damaged: BTreeSet::new(),
            locations: FxHashMap::default(),
            damage: FxHashMap::default(),
            obstacles: IndexVec::filled(Some(Obstacle::Because(because)), context.sources.len()),
            media: MediaBefore::Trusted,
        }
    }

    fn of_dataset(
        plan: &NewPlan<'_>,
        dataset: &DatasetReader,
        mut settings: BTreeMap<String, Value>,
    ) -> Result<Self, PlanError> {
        let Some(facts) = dataset.build_facts()? else {
            return Ok(Self::nothing(plan.context, MadeBecause::NothingBefore));
        };
        if facts.manyframe_version != env!("CARGO_PKG_VERSION") {
            return Ok(Self::nothing(plan.context, MadeBecause::OtherVersion));
        }
        let ledger = &dataset.manifest().ledger;
        let ledger = StatedShard { path: dataset.storage().full_path(&ledger.path), digest: ledger.digest };
        // It alone says what is not shown of a sample.
        if ShardDigests::open(plan.work).is_damaged(&ledger) {
            return Ok(Self::nothing(plan.context, MadeBecause::NothingBefore));
        }
        let media = kept_media_path(plan.work, dataset.manifest());
        let Pipeline { file, stores, .. } = &plan.context.pipeline;
        if let Some(url) = file.output.url() {
            let beside = stores.storage(&work_directory(url)).map_err(DatasetError::from)?;
            fetch_sample_media(&*beside, &media).map_err(DatasetError::from)?;
        }
        let before = |(name, digest): (String, Digest)| {
            // Settings of another version, or with other values of variables, are not what the samples were made with.
            let settings = settings.remove(&name).filter(|settings| digest_of_settings(settings) == digest);
            (name, SettingsBefore { digest, settings })
        };
        let before = facts.source_settings_digests.into_iter().map(before).collect();
        let mut store =
            Self::with_settings(plan, &before, &media, |store| store.add_dataset(dataset, &stores.access()))?;
        store.damage = dataset.damaged()?.into_iter().collect();
        store.find_damaged_shards(plan, dataset)?;
        Ok(store)
    }

    /// What is in a shard goes into another one, under a digest of its own.
    fn find_damaged_shards(&mut self, plan: &NewPlan<'_>, dataset: &DatasetReader) -> Result<(), PlanError> {
        let used: BTreeSet<&Path> = self.shards.iter().map(|(path, _)| &**path).collect();
        let stated = dataset.manifest().shards.iter().map(|shard| (dataset.shard_location(shard), shard.digest));
        let used = stated.filter(|(path, _)| used.contains(path.as_path()));
        let shards = used.map(|(path, digest)| StatedShard { path, digest }).collect();
        for StatedShard { path, .. } in ShardDigests::open(plan.work).damaged(shards, plan.executor)? {
            tracing::warn!(shard = %path.display(), "not the file that the manifest names; its samples are made again");
            self.damaged.insert(path);
        }
        Ok(())
    }

    /// The samples in the shards that a plan's tasks finished.
    fn of_plan(plan: &NewPlan<'_>, directory: &Path) -> Result<Self, PlanError> {
        let interrupted = Plan::read(directory)?;
        let file = &interrupted.pipeline;
        let digests = FormatDigests { tokenizer: interrupted.tokenizer_digest, template: interrupted.template_digest };
        let before = |table: &SourceTable| {
            let settings = source_settings(file, table, digests);
            let digest = digest_of_settings(&settings);
            (table.name.clone(), SettingsBefore { digest, settings: Some(settings) })
        };
        let settings = file.source.iter().map(before).collect();
        let left = (plan.left_by)(directory);
        let format = file.output.formats.first().copied().unwrap_or(ShardFormat::Webdataset);
        // Shards appear whole.
        let add_shards = |store: &mut Self| {
            let shards = directory.join("shards");
            let entries = std::fs::read_dir(&shards).into_iter().flatten().filter_map(Result::ok);
            let end = format!("-{}.{}", format.as_str(), format.extension());
            let is_shard = |path: &PathBuf| path.to_str().is_some_and(|path| path.ends_with(&end));
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_shard).collect();
            paths.sort_unstable();
            if let (Some(url), Some(name)) = (file.output.url(), directory.file_name()) {
                let there = work_directory(url).join(name);
                let sent = left.sent.iter().filter(|(_, of_shard)| *of_shard == format);
                paths.extend(sent.map(|(shard, _)| there.join(shard)));
            }
            let access = plan.context.pipeline.stores.access();
            paths.into_iter().try_for_each(|path| store.add_shard(path, format, &access))
        };
        let mut store = Self::with_settings(plan, &settings, &sample_media_path(directory), add_shards)?;
        store.damage = left.damage.into_iter().collect();
        Ok(store)
    }

    fn with_settings(
        plan: &NewPlan<'_>,
        settings: &BTreeMap<String, SettingsBefore>,
        media: &Path,
        add_shards: impl FnOnce(&mut Self) -> Result<(), DatasetError>,
    ) -> Result<Self, PlanError> {
        let mut store = Self::nothing(plan.context, MadeBecause::NewSource);
        let obstacle = |open: &OpenSource| {
            let Some(SettingsBefore { digest, settings }) = settings.get(&open.table.name) else {
                return Some(Obstacle::Because(MadeBecause::NewSource));
            };
            let now = plan.context.source_settings(&open.table);
            let changed = || match settings {
                Some(before) => Obstacle::Settings(Concerned::by(&differing(before, &now), &open.table)),
                None => Obstacle::Because(MadeBecause::SettingsChanged),
            };
            (*digest != digest_of_settings(&now)).then(changed)
        };
        store.obstacles = plan.context.sources.iter().map(obstacle).collect();
        if !store.obstacles.iter().all(|obstacle| matches!(obstacle, Some(Obstacle::Because(_)))) {
            add_shards(&mut store)?;
        }
        // Many plans have no shards yet.
        if !store.shards.is_empty() {
            store.media = match plan.context.pipeline.file.reuse.media {
                MediaFreshness::Trust => MediaBefore::Trusted,
                MediaFreshness::Stat => MediaBefore::read(media, plan.media)?,
            };
        }
        Ok(store)
    }

    /// Finds the samples of a dataset, by its ledger alone if that says at which bytes of tars they are.
    fn add_dataset(&mut self, dataset: &DatasetReader, access: &FileAccess) -> Result<(), DatasetError> {
        if self.add_told(dataset)?.is_some() {
            return Ok(());
        }
        (self.shards, self.locations) = (Vec::new(), FxHashMap::default());
        let mut shards = dataset.shards_of_one_format();
        shards.try_for_each(|shard| self.add_shard(dataset.shard_location(shard), shard.format, access))
    }

    /// `None` if the ledger does not say it of each sample.
    fn add_told(&mut self, dataset: &DatasetReader) -> Result<Option<()>, DatasetError> {
        let mut numbers: BTreeMap<ShardName, usize> = BTreeMap::new();
        for shard in dataset.manifest().shards.iter().filter(|shard| dataset.is_told(shard)) {
            numbers.insert(shard.path.name, self.shards.len());
            self.shards.push((dataset.shard_location(shard).into(), shard.format));
        }
        for row in dataset.ledger()? {
            let row = row?;
            let Some(place) = row.place() else { continue };
            let (Some(&number), Some(offset)) = (numbers.get(&place.shard), place.shard_offset) else {
                return Ok(None);
            };
            self.locations.insert(place.id, (number, offset));
        }
        Ok(Some(()))
    }

    fn add_shard(&mut self, path: PathBuf, format: ShardFormat, access: &FileAccess) -> Result<(), DatasetError> {
        let entries = manyframe_shards::open_with(&path, access).and_then(|file| manyframe_shards::list(format, file));
        for entry in entries.map_err(DatasetError::shard(&path))? {
            let entry = entry.map_err(DatasetError::shard(&path))?;
            self.locations.insert(entry.sample.id, (self.shards.len(), entry.position));
        }
        self.shards.push((path.into(), format));
        Ok(())
    }

    fn find(&self, row: &IndexRow, repetition: u32) -> Result<ReusedSample, MadeBecause> {
        match self.obstacles.get(row.source).copied().flatten() {
            Some(Obstacle::Because(because)) => return Err(because),
            Some(Obstacle::Settings(concerned)) if concerned.has(row) => return Err(MadeBecause::SettingsChanged),
            _ => {}
        }
        // Repetitions of a record differ in nothing but their ids.
        let ids = [sample_id(row.id, repetition), row.id];
        let found = ids.into_iter().find_map(|id| Some((id, *self.locations.get(&id)?)));
        let Some((id, (shard, position))) = found else { return Err(MadeBecause::NewRecord) };
        match &self.media {
            MediaBefore::Changed(records) if records.contains_key(&row.id) => return Err(MadeBecause::MediaChanged),
            MediaBefore::Unknown if row.cost.num_images > 0 => return Err(MadeBecause::MediaUnknown),
            _ => {}
        }
        #[expect(clippy::indexing_slicing, reason = "locations name shards of this list only")]
        let (path, format) = &self.shards[shard];
        if self.damaged.contains(&**path) {
            return Err(MadeBecause::ShardDamaged);
        }
        let location = SampleLocation { shard: Arc::clone(path), format: *format, position: Some(position) };
        Ok(ReusedSample { id, location, damage: self.damage.get(&id).cloned() })
    }
}

/// The directories of plans in a work directory, in order.
fn list_plans(work: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(work).into_iter().flatten().filter_map(Result::ok);
    let is_plan = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("plan-")) && plan_path(path).exists()
    };
    let mut plans: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_plan).collect();
    plans.sort_unstable();
    plans
}

impl MediaBefore {
    /// Compares the media of a dataset with those of a plan.
    fn read(before: &Path, now: &Path) -> Result<Self, DatasetError> {
        let rows = before.exists().then(|| read_sample_media(before)).transpose();
        let known = rows
            .and_then(|rows| rows.into_iter().flatten().map(|row| row.map(|row| (row.id, row.identities))).collect());
        let known: FxHashMap<RecordId, Vec<u64>> = match known {
            Ok(known) if before.exists() => known,
            Ok(_) => return Ok(Self::Unknown),
            Err(error) => {
                tracing::warn!(table = %before.display(), %error, "samples with media are not reused");
                return Ok(Self::Unknown);
            }
        };
        let mut changed = FxHashMap::default();
        for row in read_sample_media(now)? {
            let row = row?;
            let before = known.get(&row.id).map(Vec::as_slice).unwrap_or_default();
            if before != row.identities {
                let pairs = row.identities.iter().zip(before.iter().map(Some).chain(std::iter::repeat(None)));
                let position = pairs.take_while(|(now, before)| Some(*now) == *before).count();
                let name = row.names.get(position).map(|name| name.as_str().into());
                let name = name.filter(|_| changed.len() < MOST_NAMED);
                changed.insert(row.id, name);
            }
        }
        Ok(Self::Changed(changed))
    }
}

/// The settings with which the samples of each source of a dataset were made.
fn settings_of_dataset(dataset: &DatasetReader) -> BTreeMap<String, Value> {
    let Ok(pipeline) = dataset.pipeline(&BTreeMap::new()) else { return BTreeMap::new() };
    let manifest = dataset.manifest();
    let digests = FormatDigests { tokenizer: manifest.tokenizer_digest, template: manifest.template_digest };
    let settings = |table: &SourceTable| (table.name.clone(), source_settings(&pipeline.file, table, digests));
    pipeline.file.source.iter().map(settings).collect()
}

/// The dotted path of every setting that differs.
fn differing(before: &Value, now: &Value) -> BTreeSet<String> {
    manyframe_pipeline::differences(before, now).into_iter().map(|difference| difference.setting).collect()
}
