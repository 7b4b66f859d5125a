//! Rules of the file as a whole: model, media, formats, selection.

use std::num::NonZeroU32;
use std::path::Path;

use manyframe_base::is_url;
use manyframe_format::Template;
use manyframe_media::{Cut, DamageRule, DeliveredSize, OddPixel, OverviewScaling};
use manyframe_shards::{MediaStorage, ShardFormat};
use manyframe_sources::SourceKind;
use manyframe_vision::{Family, SettingsProblem};

use crate::document::Node;
use crate::license::{LicenseTerms, is_license_among};
use crate::problem::{Problem, ValueLocation};
use crate::rules::pack::check_pack;
use crate::rules::{NAME, Rules, is_name};
use crate::settings::file::PipelineFile;
use crate::settings::selection::{DuplicateRule, DuplicateText, OverlengthPolicy};
use crate::settings::source::{ImageShow, Kind, SourceTable};
use crate::settings::values::TokenColumns;
use crate::settings::video::{SamplingRule, VideoDelivery};
use crate::suggest::nearest;

/// The largest MDS shard, in MiB.
const MAX_MDS_MIB: u64 = 2048;

/// Stores that speak S3 copy at most 5 GB. A shard is closed by an estimate of its size.
const MAX_COPIED_MIB: u64 = 4096;
/// The key of the tables of sources.
const SOURCE: &str = "source";

/// The rules of the file as a whole.
pub(crate) fn check_file(file: &PipelineFile, root: &Node, problems: &mut Vec<Problem>) {
    if let (Some(table), Some(node)) = (&file.pack, root.get("pack")) {
        check_pack(table, node, problems);
    }
    let mut keys = root.entries().into_iter().flat_map(|entries| entries.keys());
    // `[[sources]]` is reported as what it is.
    let is_mistyped = keys.any(|key| nearest(key, [SOURCE.to_owned()].iter()).is_some());
    if root.get(SOURCE).and_then(Node::elements).is_none() && !is_mistyped {
        let problem = match root.get(SOURCE) {
            Some(table) if table.entries().is_some() => {
                let message = "[source] is one table, and sources are a list: write [[source]]";
                Problem::new(table.location.clone(), message)
            }
            Some(other) => Problem::new(other.location.clone(), "source is not a list of tables"),
            None => Problem::new(root.location.clone(), "there is no [[source]]"),
        };
        problems.push(problem.with_allowed("one or more [[source]] tables"));
    }
    if !is_name(&file.name) {
        let problem = Problem::new(root.location_of(&["name"]), "name: not a name");
        problems.push(problem.with_value(&file.name).with_allowed(NAME));
    }
    let mut rules = Rules { table: root, name: "", problems };
    // Of a table that is there, keys that have to be set are reported already.
    if file.format.tokenizer.is_empty() && (rules.sets("format", "tokenizer") || root.get("format").is_none()) {
        let allowed = "the path of a SentencePiece .model or a tokenizer.json, or of a directory with either";
        rules.broken(&["format"], "format.tokenizer is missing", allowed);
    }
    if file.output.formats.is_empty() {
        let formats = ShardFormat::ALL.map(|format| format!("{:?}", format.as_str())).join(", ");
        rules.broken(&["output", "formats"], "output.formats is empty", &format!("one or more of {formats}"));
    }
    let is_again =
        |(index, format): &(usize, &ShardFormat)| file.output.formats.iter().take(*index).any(|it| it == *format);
    if let Some((_, format)) = file.output.formats.iter().enumerate().find(is_again) {
        let message = format!("output.formats names {:?} twice", format.as_str());
        rules.broken(&["output", "formats"], &message, "each format once");
    }
    if let Some(here) = root.get("vars").and_then(|variables| variables.get("here")) {
        let message = "the variable \"here\" cannot be declared: it is the directory of the file";
        rules.problems.push(Problem::new(here.location.clone(), message).with_allowed("another name"));
    }
    rules.check_empty_paths();
    rules.check_model(file);
    rules.check_media(file);
    rules.check_work(file);
    rules.check_formats(file);
    rules.check_limits(file);
    rules.check_selection(file);
    rules.check_sources(file);
    rules.check_licenses(file);
    rules.check_overlength(file);
    if file.validate.as_ref().is_some_and(|table| table.model.is_empty()) && rules.sets("validate", "model") {
        let allowed = "the directory of a model; `manyframe model init` writes a small one";
        rules.broken(&["validate"], "validate.model is missing", allowed);
    }
}

impl Rules<'_> {
    /// Whether the file sets a key of a table, which then should have an effect.
    fn sets(&self, table: &str, key: &str) -> bool {
        self.table.get(table).is_some_and(|table| table.has(key))
    }

    /// A key of a table that has no effect because of other settings.
    fn idle(&mut self, [table, key]: [&str; 2], reason: &str, allowed: &str) {
        if self.sets(table, key) {
            self.broken(&[table, key], &format!("{table}.{key} has no effect {reason}"), allowed);
        }
    }

    /// What the model family allows.
    fn check_model(&mut self, file: &PipelineFile) {
        let family = file.family();
        self.check_family(&family);
        if family.constant().is_some() {
            self.check_constant_family(file);
        } else {
            self.check_other_family(file);
        }
        self.check_template(file);
        if file.images.resize == Some(DeliveredSize::Processor) && !family.has_dynamic_size() {
            let message =
                format!("images.resize = \"processor\" does not fit {}, which sees one size only", family.name());
            self.broken(&["images", "resize"], &message, "\"original\"");
        }
        if file.delivered_size() == DeliveredSize::Processor {
            for keys in [["images", "max_edge_px"], ["video", "max_edge_px"]] {
                self.idle(keys, "with images.resize = \"processor\"", "with images.resize = \"original\"");
            }
        }
    }

    /// What does not fit a family to which every image costs the same.
    fn check_constant_family(&mut self, file: &PipelineFile) {
        for key in ["dialect", "tokens_per_image"] {
            if self.sets("format", key) && self.sets("model", key) {
                let message = format!("format.{key} and model.{key} are the same setting");
                self.broken(&["format", key], &message, "one of them");
            }
        }
        if file.sampling() == SamplingRule::Processor {
            let message = format!(
                "video.sampling = \"processor\" does not fit {}, which has no law of its own",
                file.family().name()
            );
            self.broken(&["video", "sampling"], &message, "\"interval\" or \"uniform\"");
        }
    }

    /// What does not fit a family with a law of its own.
    fn check_other_family(&mut self, file: &PipelineFile) {
        let family = file.family();
        let allowed = "with model.family = \"longllava\" or \"longvila\"";
        for key in ["dialect", "tokens_per_image"] {
            self.idle(["format", key], &format!("with model.family = \"{}\"", family.name()), allowed);
        }
        for (index, source) in file.source.iter().enumerate() {
            if source.visuals == ImageShow::Tiled {
                let message = format!(
                    "source.{}.visuals = \"tiled\" does not fit model.family = \"{}\", which cuts images itself",
                    source.name,
                    family.name()
                );
                self.broken_in(index, &["visuals"], &message, "\"whole\"");
            }
        }
        if file.pack.as_ref().is_some_and(|pack| pack.audit.is_some()) {
            let message = "pack.audit compares with LongLLaVA's packer, which knows no other model family";
            self.broken(&["pack", "audit"], message, allowed);
        }
    }

    /// Which template there is, and what has an effect with it.
    fn check_template(&mut self, file: &PipelineFile) {
        const TEMPLATES: &str = "\"tokenizer\" for that of the checkpoint, `{ jinja = \"chat_template.jinja\" }`, the name of one that is \
                                 built in, or the strings of `[format.template.custom]`";
        let (spec, family) = (&file.format.spec, file.family());
        if spec.template.is_none() && Template::of(&family).is_none() {
            let message = format!("format.template is missing: none is built in for {}", family.name());
            self.broken(&["format"], &message, TEMPLATES);
        }
        let template = spec.template(&family);
        if let Template::Jinja(jinja) = &template
            && jinja.path().is_empty()
        {
            let keys: &[&str] = if jinja.is_table() {
                &["format", "template", "jinja", "path"]
            } else {
                &["format", "template", "jinja"]
            };
            self.broken(keys, &format!("{} is missing", keys.join(".")), "the path of a template");
        }
        if template.text().is_none() {
            self.idle(["format", "turn_end"], "with a template in Jinja", "with a template of strings");
        }
    }

    /// Settings of the model family that do not fit together.
    fn check_family(&mut self, family: &Family) {
        if let Some(SettingsProblem { key, message, allowed }) = family.problem() {
            let message = format!("model.{key} of {}: {message}", family.name());
            let keys: Vec<&str> = std::iter::once("model").chain(key.split('.')).collect();
            self.broken(&keys, &message, allowed);
        }
    }

    /// What the model family says of frames has no effect where `[video]` chooses them.
    fn check_sampling_of_family(&mut self, file: &PipelineFile) {
        if file.sampling() == SamplingRule::Processor {
            return;
        }
        for keys in [
            &["model", "frames"][..],
            &["model", "fps"],
            &["model", "max_frames"],
            &["model", "video", "frames"],
            &["model", "video", "min_frames"],
            &["model", "video", "max_frames"],
        ] {
            if keys.iter().try_fold(self.table, |table, key| table.get(key)).is_some() {
                let message = format!("{} has no effect where video.sampling is not \"processor\"", keys.join("."));
                self.broken(keys, &message, "with video.sampling = \"processor\"");
            }
        }
    }

    fn check_media(&mut self, file: &PipelineFile) {
        let (reason, foreign): (&str, &[(&str, &str)]) = match file.sampling() {
            SamplingRule::Interval => ("with sampling = \"interval\"", &[("num_frames", "uniform")]),
            SamplingRule::Uniform => {
                ("with sampling = \"uniform\"", &[("interval_s", "interval"), ("max_frames", "interval")])
            }
            SamplingRule::Processor => (
                "with sampling = \"processor\"",
                &[("num_frames", "uniform"), ("interval_s", "interval"), ("max_frames", "interval")],
            ),
        };
        for (key, sampling) in foreign {
            self.idle(["video", key], reason, &format!("with sampling = \"{sampling}\""));
        }
        self.check_sampling_of_family(file);
        if file.video.damage == DamageRule::Keep {
            self.idle(["video", "max_missing"], "with damage = \"keep\"", "with damage = \"reject\"");
        }
        // On the command line, they may be meant for another stage of a recipe.
        let is_in_file = |node: &Node| matches!(node.location, ValueLocation::File { .. });
        let cuts = |source: &SourceTable| source.visuals == ImageShow::Tiled;
        if self.table.get("tiles").is_some_and(is_in_file) && !file.source.iter().any(cuts) {
            let message = "[tiles] has no effect: no source has visuals = \"tiled\"";
            self.broken(&["tiles"], message, "with visuals = \"tiled\" in a [[source]]");
        }
        let is_lossless = file.tiles.cut == Cut::Lossless;
        if !is_lossless && file.tiles.overview != OverviewScaling::default() {
            self.idle(["tiles", "overview"], "with cut = \"exact\"", "with cut = \"lossless\"");
        }
        if is_lossless && file.tiles.odd_pixel == OddPixel::Dropped {
            let message = "tiles.odd_pixel = \"dropped\" needs tiles that end inside of a block";
            self.broken(&["tiles", "odd_pixel"], message, "\"right_bottom\" with cut = \"lossless\"");
        }
    }

    /// Where a dataset goes is said once, and a directory for datasets that go to a URL has no effect for others.
    fn check_work(&mut self, file: &PipelineFile) {
        let output = &file.output;
        let written = if output.directory.is_empty() { &output.root } else { &output.directory };
        // On the command line, it may be meant for `--output`, and a root for other files of a recipe.
        let is_in_file = |node: &Node| matches!(node.location, ValueLocation::File { .. });
        let is_written = |key: &str| self.table.at(&["output".to_owned(), key.to_owned()]).is_some_and(is_in_file);
        let (has_work, has_both) = (is_written("work"), is_written("root") && is_written("directory"));
        if has_both && !output.directory.is_empty() {
            let message = "output.root has no effect: output.directory says where the dataset goes";
            self.broken(&["output", "root"], message, "one of root and directory");
        }
        if has_work && !output.work.is_empty() && !is_url(Path::new(written.as_str())) {
            let message = "output.work has no effect: a dataset that goes to a directory is built beside it";
            self.broken(&["output", "work"], message, "with a URL in output.directory or output.root");
        }
    }

    /// What the shard formats cannot hold.
    fn check_formats(&mut self, file: &PipelineFile) {
        // Offsets in MDS have 32 bits. A shard is closed by an estimate of its size.
        if file.output.formats.contains(&ShardFormat::Mds) && file.output.max_shard_mib.get() > MAX_MDS_MIB {
            let message = format!("output.max_shard_mib = {} does not fit \"mds\"", file.output.max_shard_mib);
            self.broken(&["output", "max_shard_mib"], &message, &format!("at most {MAX_MDS_MIB}"));
        }
        if file.output.url().is_some() && file.output.max_shard_mib.get() > MAX_COPIED_MIB {
            let message =
                format!("output.max_shard_mib = {} is more than stores copy at once", file.output.max_shard_mib);
            self.broken(&["output", "max_shard_mib"], &message, &format!("at most {MAX_COPIED_MIB} with a URL"));
        }
        let without_clips = file.output.formats.iter().find(|format| !format.stores_clips());
        if let Some(format) = without_clips.filter(|_| file.video.deliver == VideoDelivery::Clip) {
            let message =
                format!("video.deliver = \"clip\" does not fit {:?}, which holds images only", format.as_str());
            self.broken(&["video", "deliver"], &message, "\"frames\", or other output.formats");
        }
        if file.output.tokens == TokenColumns::Written && !file.output.has_tokens() && !file.output.formats.is_empty() {
            self.idle(["output", "tokens"], "without Parquet shards", "with \"parquet\" in output.formats");
        }
        if file.output.energon_index && !file.output.formats.iter().any(|format| format.is_read_by_energon()) {
            let allowed = "with \"webdataset\" or \"energon_chatml\" in output.formats";
            self.idle(["output", "energon_index"], "without tars that Energon reads", allowed);
        }
        let without_sharing = file.output.formats.iter().find(|format| !format.shares_media());
        if let Some(format) = without_sharing.filter(|_| file.output.media == MediaStorage::Shared) {
            let message = format!(
                "output.media = \"shared\" does not fit {:?}, whose readers expect each sample to have its own images and videos",
                format.as_str()
            );
            self.broken(&["output", "media"], &message, "\"each\", or formats = [\"parquet\"]");
        }
    }

    /// An empty path is none: the setting would be left out without a word.
    fn check_empty_paths(&mut self) {
        let sources = self.table.get("source").and_then(Node::elements).unwrap_or_default();
        let of_sources = ["annotations", "media", "links", "from", "delivered_in", "not_delivered_in"];
        let settings = sources.iter().flat_map(|source| of_sources.map(|key| (source.get(key), key)));
        let against = self.table.get("decontamination").and_then(|table| table.get("against"));
        let mut empty = Vec::new();
        for (node, key) in settings.chain([(against, "against")]) {
            let nodes = node.map_or(&[][..], |node| node.elements().unwrap_or(std::slice::from_ref(node)));
            empty.extend(nodes.iter().filter(|node| node.text() == Some("")).map(|node| (node.location.clone(), key)));
        }
        for (location, key) in empty {
            let message = format!("{key}: an empty path");
            self.problems.push(Problem::new(location, &message).with_allowed("a path, or [] for none"));
        }
        for (table, key) in [("output", "directory"), ("output", "root"), ("output", "work"), ("validate", "policy")] {
            let node = self.table.get(table).and_then(|table| table.get(key));
            // On the command line, one that the file has is taken back so.
            let is_in_file = |node: &&Node| matches!(node.location, ValueLocation::File { .. });
            if let Some(node) = node.filter(is_in_file).filter(|node| node.text() == Some("")) {
                let message = format!("{table}.{key}: an empty path");
                let allowed = "a path; without the setting, its default";
                self.problems.push(Problem::new(node.location.clone(), &message).with_allowed(allowed));
            }
        }
    }

    /// Limits that leave nothing.
    fn check_limits(&mut self, file: &PipelineFile) {
        let limits = &file.limits;
        let least_pixels = u64::from(limits.min_edge_px).pow(2);
        if least_pixels > limits.max_pixels {
            let message = format!(
                "limits.min_edge_px = {} is more than limits.max_pixels = {} allows: no image is left",
                limits.min_edge_px, limits.max_pixels
            );
            self.broken(&["limits", "min_edge_px"], &message, "at most the root of max_pixels");
        }
        if limits.max_aspect_ratio.is_nan() || limits.max_aspect_ratio < 1.0 {
            let message =
                format!("limits.max_aspect_ratio = {} is less than that of a square", limits.max_aspect_ratio);
            self.broken(&["limits", "max_aspect_ratio"], &message, "at least 1");
        }
        for (key, most) in [("max_bytes", limits.max_bytes), ("max_video_bytes", limits.max_video_bytes)] {
            if most == 0 {
                self.broken(&["limits", key], &format!("limits.{key} = 0 leaves none"), "at least 1");
            }
        }
        let tokens_per_image =
            file.family().constant().map_or(0, |constant| u64::from(constant.tokens_per_image.get()));
        let has_images = file.source.iter().any(|source| source.kind != Kind::Upstream(SourceKind::Text));
        if has_images && tokens_per_image > file.format.max_tokens {
            let message = format!(
                "format.tokens_per_image = {tokens_per_image} is more than format.max_tokens = {}: no image fits",
                file.format.max_tokens
            );
            self.broken(&["format", "tokens_per_image"], &message, &format!("at most {}", file.format.max_tokens));
        }
    }

    fn check_selection(&mut self, file: &PipelineFile) {
        let (remove, text) = (file.duplicates.remove, file.duplicates.text);
        if text == DuplicateText::Any && !remove.compares_pixels() {
            let reason =
                format!("with remove = \"{}\"", if remove == DuplicateRule::Exact { "exact" } else { "nothing" });
            self.idle(["duplicates", "text"], &reason, "with remove = \"pixels\" or \"near\"");
        }
        if remove != DuplicateRule::Near {
            self.idle(["duplicates", "max_distance"], "without remove = \"near\"", "with remove = \"near\"");
        }
        if !file.decontamination.is_active() {
            for key in ["max_distance", "max_rejects"] {
                self.idle(["decontamination", key], "without against", "with against");
            }
        }
        let has_weight = file.source.iter().any(|source| source.weight.is_some());
        if has_weight && file.source.iter().all(|source| source.weight.is_none_or(|weight| weight <= 0.0)) {
            self.broken(&["source"], "every weight is 0: the sources have no shares", "a weight above 0");
        }
        if file.mix.total.is_some() && !file.source.is_empty() && !has_weight {
            let message = "mix.total is divided among weighted sources, and no source has a weight";
            self.broken(&["mix", "total"], message, "with weight in a [[source]]");
        }
    }

    /// Sources whose license is not among those of the mix. That of a dataset that is replayed need not be stated: its manifest says
    /// it, and is looked at when it is opened.
    fn check_licenses(&mut self, file: &PipelineFile) {
        let allowed = &file.mix.licenses;
        if allowed.is_empty() {
            if self.sets("mix", "licenses") {
                let message = "mix.licenses is empty, and no source has one of none";
                self.broken(&["mix", "licenses"], message, "one or more licenses; without the setting, any");
            }
            return;
        }
        for (index, source) in file.source.iter().enumerate() {
            let is_known = matches!(source.kind, Kind::Replay(_)) && source.license.trim().is_empty();
            if is_known || is_license_among(&source.license, allowed) {
                continue;
            }
            let (name, license) = (&source.name, &source.license);
            let message = if license.is_empty() {
                format!("source.{name}.license is not stated, and mix.licenses allows some only")
            } else {
                format!("source.{name}.license is not among mix.licenses ({})", LicenseTerms::of(license).as_str())
            };
            self.broken_in(index, &["license"], &message, &allowed.join(", "));
        }
    }

    /// The rules of sources that depend on each other, or on the file.
    fn check_sources(&mut self, file: &PipelineFile) {
        let first = file.source.iter().find(|source| source.weight.is_some());
        for (index, source) in file.source.iter().enumerate() {
            if let Some(first) = first.filter(|first| source.weight.is_some() && source.unit != first.unit) {
                let message = format!(
                    "source.{}.weight is in {}, but that of {:?} in {}",
                    source.name,
                    source.unit.as_str(),
                    first.name,
                    first.unit.as_str()
                );
                self.broken_in(
                    index,
                    &["weight"],
                    &message,
                    "one unit for all weighted sources, which share one total",
                );
            }
            if let Some(min) = source.filter.min_tokens.filter(|min| *min > file.format.max_tokens) {
                let message = format!(
                    "source.{}.filter.min_tokens = {min} is more than format.max_tokens = {}: no record is left",
                    source.name, file.format.max_tokens
                );
                let allowed = format!("at most {}", file.format.max_tokens);
                self.broken_in(index, &["filter", "min_tokens"], &message, &allowed);
            }
            self.check_haystacks(file, (index, source));
        }
    }

    /// Haystacks come from sources of people's own media, not from other evaluation sets.
    fn check_haystacks(&mut self, file: &PipelineFile, (index, source): (usize, &SourceTable)) {
        let Some(needles) = &source.options.needles else { return };
        for (key, names) in [("haystack_sources", &needles.haystack_sources), ("image_sources", &needles.image_sources)]
        {
            let has_media = |name: &String| {
                let is_it = |other: &&SourceTable| other.name == *name;
                let kind = file.source.iter().find(is_it).map(|other| other.kind);
                kind.is_some_and(|kind| kind != Kind::Upstream(SourceKind::Needles))
            };
            if let Some(name) = names.iter().find(|name| !has_media(name)) {
                let message = format!(
                    "source.{}.needles.{key} names {name:?}, which is no source of this file, or one of needles",
                    source.name
                );
                self.broken_in(index, &["needles", key], &message, "names of other [[source]] tables");
            }
        }
    }

    /// As [`Self::broken`], at a value of the source at a position.
    fn broken_in(&mut self, index: usize, path: &[&str], message: &str, allowed: &str) {
        let source = self.table.get("source").and_then(Node::elements).and_then(|sources| sources.get(index));
        let location = source.unwrap_or(self.table).location_of(path);
        self.problems.push(Problem::new(location, message).with_allowed(allowed));
    }

    fn check_overlength(&mut self, file: &PipelineFile) {
        let table = &file.overlength;
        if table.policy.is_empty() {
            let allowed =
                "one or more of \"reject\", \"fewer_frames\", \"fewer_tiles\", \"fewer_pixels\", \"split_turns\"";
            self.broken(&["overlength", "policy"], "overlength.policy is empty", allowed);
            return;
        }
        if table.goes_on_after_reject() {
            let message = "overlength.policy: what follows \"reject\" is never tried";
            self.broken(&["overlength", "policy"], message, "\"reject\" alone or at the end");
        }
        let repeated = table
            .policy
            .iter()
            .enumerate()
            .find(|(index, policy)| table.policy.iter().take(*index).any(|p| p == *policy));
        if let Some((_, policy)) = repeated {
            let message = format!("overlength.policy names {} twice", serde_json::json!(policy));
            self.broken(&["overlength", "policy"], &message, "each policy once");
        }
        let has_needles = |source: &SourceTable| source.kind == Kind::Upstream(SourceKind::Needles);
        if !table.rejects_all() && file.source.iter().any(has_needles) {
            let message = "overlength.policy: a haystack that is shortened is another one, and may lose its needle";
            self.broken(&["overlength", "policy"], message, "\"reject\" beside a source of kind \"needles\"");
        }
        self.check_least_shown(file);
    }

    /// What the policies keep at least.
    fn check_least_shown(&mut self, file: &PipelineFile) {
        let table = &file.overlength;
        for (key, policy, name) in [
            ("min_frames", OverlengthPolicy::FewerFrames, "\"fewer_frames\""),
            ("min_tiles", OverlengthPolicy::FewerTiles, "\"fewer_tiles\""),
            ("min_pixels", OverlengthPolicy::FewerPixels, "\"fewer_pixels\""),
        ] {
            if !table.policy.contains(&policy) {
                self.idle(["overlength", key], &format!("without {name} in policy"), &format!("with {name} in policy"));
            }
        }
        let cuts = |source: &SourceTable| source.visuals == ImageShow::Tiled;
        if table.policy.contains(&OverlengthPolicy::FewerTiles) && !file.source.iter().any(cuts) {
            let message = "overlength.policy = \"fewer_tiles\" has no effect: no source has visuals = \"tiled\", and a model's processor \
                           takes the tiles of its own settings";
            self.broken(&["overlength", "policy"], message, "\"fewer_frames\", \"fewer_pixels\" or \"split_turns\"");
        }
        if table.policy.contains(&OverlengthPolicy::FewerPixels) && file.video.deliver == VideoDelivery::Clip {
            let message = "overlength.policy = \"fewer_pixels\" does not fit video.deliver = \"clip\": a video that is delivered as a file \
                           has a size of its own";
            self.broken(&["overlength", "policy"], message, "\"fewer_frames\" or \"split_turns\"");
        }
        if table.policy.contains(&OverlengthPolicy::FewerPixels) && file.delivered_size() != DeliveredSize::Processor {
            let message = "overlength.policy = \"fewer_pixels\" needs images.resize = \"processor\": what is delivered otherwise \
                           has a size of its own";
            let allowed = "\"fewer_frames\", \"fewer_tiles\" or \"split_turns\"";
            self.broken(&["overlength", "policy"], message, allowed);
        }
        let (key, most) = match file.sampling() {
            SamplingRule::Interval => ("video.max_frames", file.video.max_frames),
            SamplingRule::Uniform => ("video.num_frames", file.video.num_frames),
            SamplingRule::Processor => ("", u32::MAX),
        };
        let max_tiles = file.tiles.max_tiles.map_or(u32::MAX, NonZeroU32::get);
        for (policy, least_key, least, key, most) in [
            (OverlengthPolicy::FewerFrames, "min_frames", table.min_frames, key, most),
            (OverlengthPolicy::FewerTiles, "min_tiles", table.min_tiles, "tiles.max_tiles", max_tiles),
        ] {
            if table.policy.contains(&policy) && self.sets("overlength", least_key) && least.get() > most {
                let message = format!("overlength.{least_key} = {least} is more than {key} = {most}");
                self.broken(&["overlength", least_key], &message, &format!("at most {most}"));
            }
        }
    }
}
