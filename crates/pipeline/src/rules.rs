//! What settings require of each other: rules that involve more than one key.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;

use manyframe_format::Template;
use manyframe_media::{DamageRule, DeliveredSize};
use manyframe_samplers::{Law, PackingStrategy, Padding, Replacement};
use manyframe_shards::ShardFormat;
use manyframe_sources::SourceKind;
use manyframe_vision::{Family, SettingsProblem};

use manyframe_base::is_url;
use manyframe_storage::check_url;

use crate::document::Node;
use crate::license::{LicenseTerms, is_license_among};
use crate::portable::{absolute_text, resolve_links};
use crate::problem::{Problem, ValueLocation};
use crate::settings::file::PipelineFile;
use crate::settings::packing::PackTable;
use crate::settings::paths::{PathRole, PathSetting, path_settings};
use crate::settings::selection::{DuplicateRule, DuplicateText, OverlengthPolicy};
use crate::settings::source::{FilterTable, ImageShow, Kind, SourceTable};
use crate::settings::values::{Take, TokenColumns};
use crate::settings::video::{SamplingRule, VideoDelivery};

/// The largest MDS shard, in MiB.
const MAX_MDS_MIB: u64 = 2048;

const NAME: &str = "1 to 64 letters, digits, '-' and '_'";

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Names as a sentence lists them: `a, b and c`.
fn enumeration(names: &[&str], conjunction: &str) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} {conjunction} {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// Collects the broken rules of one table.
pub(crate) struct Rules<'a> {
    pub(crate) table: &'a Node,
    /// The table as messages call it: `source.NAME`; empty for the whole file.
    pub(crate) name: &'a str,
    pub(crate) problems: &'a mut Vec<Problem>,
}

impl Rules<'_> {
    /// Reports a broken rule at the value of a path of keys, or at the table that lacks it.
    fn broken(&mut self, path: &[&str], message: &str, allowed: &str) {
        let message = format!("{}{message}", self.name);
        self.problems.push(Problem::new(self.table.location_of(path), &message).with_allowed(allowed));
    }

    fn has(&self, key: &str) -> bool {
        self.table.has(key)
    }
}

/// The rules of the file as a whole.
pub(crate) fn check_file(file: &PipelineFile, root: &Node, problems: &mut Vec<Problem>) {
    if let (Some(table), Some(node)) = (&file.pack, root.get("pack")) {
        check_pack(table, node, problems);
    }
    if root.get("source").and_then(Node::elements).is_none() {
        let problem = Problem::new(root.location.clone(), "there is no [[source]]");
        problems.push(problem.with_allowed("one or more [[source]] tables"));
    }
    if !is_name(&file.name) {
        let problem = Problem::new(root.location_of(&["name"]), "name: not a name");
        problems.push(problem.with_value(&file.name).with_allowed(NAME));
    }
    let mut rules = Rules { table: root, name: "", problems };
    if file.format.tokenizer.is_empty() {
        let allowed = "the path of a SentencePiece .model or a tokenizer.json, or of a directory with either";
        rules.broken(&["format"], "format.tokenizer is missing", allowed);
    }
    if file.output.formats.is_empty() {
        let formats = ShardFormat::ALL.map(|format| format!("{:?}", format.as_str())).join(", ");
        rules.broken(&["output", "formats"], "output.formats is empty", &format!("one or more of {formats}"));
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
    if file.validate.as_ref().is_some_and(|table| table.model.is_empty()) {
        let allowed = "the directory of a model; `manyframe model init` writes a small one";
        rules.broken(&["validate"], "validate.model is missing", allowed);
    }
}

/// Reports paths with what a shell fills in, and a pipeline file does not: `~/data`, `/mnt/$USER/data`.
pub(crate) fn check_unfilled(file: &mut PipelineFile, written: &Node, problems: &mut Vec<Problem>) {
    let is_name = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_home = |name: &str| name.strip_prefix('~').is_some_and(|user| user.is_empty() || is_name(user));
    let is_unfilled = |name: &str| name.strip_prefix('$').is_some_and(is_name);
    let paths = path_settings(file).into_iter().filter_map(|setting| written.at(&setting.keys));
    let variables = written.get("vars").and_then(Node::entries).into_iter().flatten().map(|(_, entry)| &entry.node);
    // A variable may be something else than a path.
    let variables = variables.filter(|node| node.text().is_some_and(|text| text == "~" || text.contains('/')));
    for node in paths.chain(variables) {
        let Some(text) = node.text() else { continue };
        let message = if text.split('/').next().is_some_and(is_home) {
            "\"~\" is not filled in"
        } else if text.split('/').any(is_unfilled) {
            "environment variables are not filled in"
        } else {
            continue;
        };
        let allowed =
            "the path in full, or ${NAME} with NAME in [vars] and --set NAME=\"$HOME/…\", which the shell fills in";
        problems.push(Problem::new(node.location.clone(), message).with_value(text).with_allowed(allowed));
    }
}

/// Reports URLs where files of this machine are needed, and those that no store has. Credentials in them are not shown.
pub(crate) fn check_urls(file: &mut PipelineFile, written: &Node, problems: &mut Vec<Problem>) {
    for setting in path_settings(file).into_iter().filter(|setting| is_url(Path::new(setting.text.as_str()))) {
        let location = written.at(&setting.keys).unwrap_or(written).location.clone();
        let key = setting.keys.last().map_or("", String::as_str);
        if let Err(error) = check_url(setting.text) {
            problems.push(Problem::new(location, &error.to_string()));
        } else if setting.role == PathRole::Output && key != "work" {
            // A directory that is not set is below the root.
            if setting.text.starts_with("http") && written.at(&setting.keys).is_some() {
                let problem = Problem::new(location, &format!("output.{key} is a server that takes no datasets"));
                problems.push(problem.with_value(setting.text).with_allowed("a directory, or s3://…, gs://…, az://…"));
            }
        } else if setting.role.is_local() {
            let message = format!("{key} is a URL, and has to be on this machine");
            let problem = Problem::new(location, &message).with_value(setting.text);
            problems.push(problem.with_allowed("a path; annotations, media and datasets to replay may be URLs"));
        }
    }
}

/// Reports datasets that a build would read while it replaces them: its own.
pub(crate) fn check_own_output(file: &mut PipelineFile, written: &Node, problems: &mut Vec<Problem>) {
    let resolved = |text: &str| resolve_links(&absolute_text(text));
    let output = resolved(&file.output.directory);
    let reads = |setting: &PathSetting<'_>| [PathRole::Dataset, PathRole::Unwanted].contains(&setting.role);
    for setting in path_settings(file).into_iter().filter(reads) {
        if resolved(setting.text) == output {
            let location = written.at(&setting.keys).unwrap_or(written).location.clone();
            let message = "this is output.directory: a dataset cannot be built from itself";
            let problem = Problem::new(location, message).with_value(setting.text);
            problems.push(problem.with_allowed("the directory of another dataset"));
        }
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
            self.broken(&["model", key], &message, allowed);
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
    }

    /// A directory for datasets that go to a URL, of one that goes to none.
    fn check_work(&mut self, file: &PipelineFile) {
        let output = &file.output;
        let written = if output.directory.is_empty() { &output.root } else { &output.directory };
        // On the command line, it may be meant for `--output`.
        let is_in_file = |node: &Node| matches!(node.location, ValueLocation::File { .. });
        let work = self.table.at(&["output".to_owned(), "work".to_owned()]);
        if work.is_some_and(is_in_file) && !output.work.is_empty() && !is_url(Path::new(written.as_str())) {
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
            self.idle(["decontamination", "max_distance"], "without against", "with against");
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

    /// Sources whose license is not among those of the mix. What a dataset holds that is replayed, its manifest says.
    fn check_licenses(&mut self, file: &PipelineFile) {
        let allowed = &file.mix.licenses;
        if allowed.is_empty() {
            return;
        }
        for (index, source) in file.source.iter().enumerate() {
            if matches!(source.kind, Kind::Replay(_)) || is_license_among(&source.license, allowed) {
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

/// The rules of the table `[pack]`.
pub(crate) fn check_pack(table: &PackTable, node: &Node, problems: &mut Vec<Problem>) {
    let mut rules = Rules { table: node, name: "pack", problems };
    if let (Some(parallel), Some(multiple)) = (table.sequence_parallel, table.pad_to_multiple)
        && !u64::from(multiple.get()).is_multiple_of(parallel.num_chunks())
    {
        let message =
            format!(".pad_to_multiple: sequences of {multiple} tokens cannot be divided as {parallel} requires");
        rules.broken(&["pad_to_multiple"], &message, &format!("a multiple of {}", parallel.num_chunks()));
    }
    if let (Some(most), Some(multiple)) = (table.max_tokens, table.pad_to_multiple)
        && multiple > most
    {
        let message = format!(".pad_to_multiple = {multiple} is more than max_tokens = {most}");
        rules.broken(&["pad_to_multiple"], &message, &format!("at most {most}"));
    }
    if table.padding != Padding::default() && table.pad_to_multiple.is_none() && table.sequence_parallel.is_none() {
        let message = ".padding has no effect without pad_to_multiple or sequence_parallel";
        rules.broken(&["padding"], message, "with pad_to_multiple or sequence_parallel");
    }
    if table.balance.is_some() && table.strategy != PackingStrategy::Balanced {
        let message = ".balance has no effect without strategy = \"balanced\"";
        rules.broken(&["balance"], message, "with strategy = \"balanced\"");
    }
    if table.audit_max_tokens.is_some() && table.audit.is_none() {
        let message = ".audit_max_tokens has no effect without audit";
        rules.broken(&["audit_max_tokens"], message, "with audit = \"concat\"");
    }
}

/// A `[[source]]` as messages call it: by its name, or by its index if it has none.
pub(crate) fn source_path(node: &Node, index: usize) -> String {
    match node.get("name").map(Node::to_json).as_ref().and_then(serde_json::Value::as_str) {
        Some(name) => format!("source.{name}"),
        None => format!("source[{index}]"),
    }
}

/// The rules of a `[[source]]`.
pub(crate) fn check_source(source: &SourceTable, mut rules: Rules<'_>) {
    if !is_name(&source.name) {
        rules.broken(&["name"], ".name: missing, or not a name", NAME);
    }
    let Some(kind) = rules.table.get("kind") else {
        let kinds = SourceKind::ALL.iter().map(|kind| kind.as_str()).chain(["dataset"]);
        rules.broken(&[], ".kind is missing", &kinds.collect::<Vec<_>>().join(", "));
        return;
    };
    // An unknown kind is reported already. Without a kind nothing can be said about the other keys.
    if serde_json::from_value::<Kind>(kind.to_json()).is_err() {
        return;
    }
    rules.check_kind(source);
    rules.check_law(source);
    rules.check_filter(&source.filter);
    let only: BTreeSet<&String> = source.delivered_in.as_slice().iter().collect();
    if let Some(both) = source.not_delivered_in.as_slice().iter().find(|dataset| only.contains(dataset)) {
        let message = format!(".delivered_in and .not_delivered_in both name {both:?}: no record is left");
        rules.broken(&["not_delivered_in"], &message, "different datasets");
    }
}

impl Rules<'_> {
    /// Each kind requires some keys and does not read others.
    fn check_kind(&mut self, source: &SourceTable) {
        let foreign: &[&str] = match source.kind {
            Kind::Replay(_) => {
                if source.from.is_empty() {
                    self.broken(&[], ".from is missing", "the directory of a dataset that manyframe built");
                }
                &["annotations", "annotation_root", "media", "media_by_subset", "links"]
            }
            Kind::Upstream(kind) => {
                if source.annotations.as_slice().is_empty() {
                    self.broken(&[], ".annotations is missing", "a path, a pattern, or a list of them");
                }
                if kind == SourceKind::Text {
                    self.check_text(source);
                }
                for problem in kind.option_problems(&source.options) {
                    let message = format!(".{}: {}", problem.option, problem.problem);
                    self.broken(&[problem.option], &message, "");
                }
                &["from", "only_sources", "only_layouts"]
            }
        };
        let node = self.table;
        let is_replay = matches!(source.kind, Kind::Replay(_));
        let allowed = if is_replay { "not with kind = \"dataset\"" } else { "only with kind = \"dataset\"" };
        for key in foreign.iter().filter(|key| node.has(key)) {
            let message = format!(".{key} does not fit kind = {:?}", source.kind.as_str());
            self.broken(&[key], &message, allowed);
        }
    }

    /// Texts have no images.
    fn check_text(&mut self, source: &SourceTable) {
        if self.has("visuals") {
            self.broken(&["visuals"], ".visuals has no effect with kind = \"text\"", "with a kind that has images");
        }
        if let Some(least) = source.filter.min_images.filter(|least| *least > 0) {
            let message = format!(".filter.min_images = {least} leaves no record of kind = \"text\"");
            self.broken(&["filter", "min_images"], &message, "with a kind that has images");
        }
    }

    /// A minimum above its maximum leaves no record.
    fn check_filter(&mut self, filter: &FilterTable) {
        let bounds = [
            ("tokens", filter.min_tokens, filter.max_tokens),
            ("images", filter.min_images, filter.max_images),
            ("turns", filter.min_turns, filter.max_turns),
            ("chars", filter.min_chars, filter.max_chars),
        ];
        for (what, min, max) in bounds {
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                let message = format!(".filter.min_{what} = {min} is more than max_{what} = {max}: no record is left");
                self.broken(&["filter", &format!("min_{what}")], &message, &format!("at most {max}"));
            }
        }
    }

    /// One law says how much is drawn; further settings depend on it.
    fn check_law(&mut self, source: &SourceTable) {
        let laws: Vec<&str> = Law::SETTINGS.into_iter().filter(|law| self.has(law)).collect();
        if let [first, second, ..] = laws[..] {
            let message = format!(".{second} and .{first} exclude each other");
            self.broken(&[second], &message, &format!("one of {}", enumeration(&Law::SETTINGS, "and")));
        }
        if self.has("strata") && !self.has("stratify") {
            let message = ".strata has no effect without stratify";
            self.broken(&["strata"], message, "with stratify");
        }
        let is_bounded = source.weight.is_some() || matches!(source.take, Take::Count(_));
        if self.has("on_exhausted") && !is_bounded && source.replacement != Replacement::With {
            let message = ".on_exhausted has no effect without take or weight";
            self.broken(&["on_exhausted"], message, "with take or weight");
        }
        if source.replacement != Replacement::With {
            return;
        }
        if laws.is_empty() || source.law() == Law::All {
            let message = ".replacement = \"with\" needs an amount to draw";
            self.broken(&["replacement"], message, &format!("with {}", enumeration(&Law::SETTINGS, "or")));
        }
        if self.has("stratify") {
            let message = ".replacement = \"with\" cannot keep groups in proportion";
            self.broken(&["replacement"], message, "without stratify");
        }
        if self.has("on_exhausted") {
            let message = ".replacement = \"with\" never exhausts a source";
            self.broken(&["replacement"], message, "without on_exhausted");
        }
    }
}
