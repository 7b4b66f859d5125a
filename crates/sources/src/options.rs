//! Options of readers, for what upstream files leave undecided. Every default is strict: reject rather than repair.
//!
//! An option that only some kinds of source read is named by the readers of these kinds: see [`KindReader`].
//!
//! [`KindReader`]: crate::reader::KindReader

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::lookup::pattern_parts;
use crate::needles::NeedleOptions;

/// Turns of a merged conversation, where the options set no bound.
pub(crate) const DEFAULT_MAX_TURNS: usize = 40;

/// How a reader decides what upstream leaves undecided.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SourceOptions {
    /// What happens to a record with fewer placeholders than images or videos. Where datasets have records without any, none is
    /// missing in those: a single image or video is shown first (`llava`, `allava`, `sharegpt4v`, `sharegpt4video`), or all
    /// are (`videochat2`, `llava_video`).
    pub missing_placeholders: MissingPlaceholders,
    /// What happens to a record whose placeholders are in its answers, as in M4-Instruct's `twitter_post`.
    pub swapped_roles: SwappedRoles,
    /// What happens to a conversation that starts with an answer, as ShareGPT's often do.
    pub leading_answer: LeadingAnswer,
    /// Questions for captions that have none (`sharegpt4video`, `auto`). If there are several, each record gets one,
    /// chosen by a hash of its id and path. Default: one sentence.
    pub questions: Vec<String>,
    /// Which captions are used as the answer (`sharegpt4video`).
    pub captions: Captions,
    /// Artefacts of upstream's generation, besides the known ones: a record is rejected if one of its answers, without
    /// the white space around it, equals one of them.
    pub artefacts: Vec<String>,
    /// Frames per second of videos without a frame rate, such as directories of frames. Greater than 0.
    pub fps: Option<f64>,
    /// The fields of records under other names: `fields = { image = "img_path", question = "q", answer = "meta.a" }`. On the left
    /// is a name that the reader knows, or one for `where`, on the right that of the record; a dot leads into an object, `answers[0]` is the first entry of a
    /// list, and `most_common(answers)` the entry that occurs most often, of several the first of them (`most_common(answers.answer)`
    /// where entries are objects). A text with names in braces is put together of fields: in
    /// `image = "COCO_train2014_{image_id:012}.jpg"` the number has at least 12 digits. All names on the right are those of the record
    /// as it is, so that two fields can be swapped. A record that lacks such a field is rejected; `null` is for one that has none, and of
    /// those for images and videos one is enough.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// What paths of images and videos begin with in the annotations, and not below `media`: `media_prefix = "coco/train/"`, or
    /// `"/data/of/another/machine/"`. It is left out of them; a path that does not begin with it stays as it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub media_prefix: String,
    /// Which list of a JSON file has the records, if one object is around several: `list = "annotations"`. Default: the only one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub list: String,
    /// Tables whose columns are added to the records that lack them, by an id:
    /// `join = [{ table = "captions.json", list = "images", on = "image_id", id = "id" }]`. A record without a row is rejected as
    /// `not_joined`. They are kept in memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub join: Vec<JoinOptions>,
    /// Only records of which this is true: `where = "score >= 4 and lang in ['en', 'de']"`. Fields are compared with numbers, strings,
    /// `true`, `false` and `null` by `==`, `!=`, `<`, `<=`, `>`, `>=`, `in` and `not in`; `and`, `or`, `not` and parentheses join
    /// comparisons; `min(…)`, `max(…)` and `len(…)` are of lists. Others are left out as `filtered`, with what was found.
    #[serde(rename = "where", skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Whether records about the same images or videos become one conversation, which shows them once. It counts as one record; its
    /// id is those of all of them, with a `+` in between.
    #[serde(skip_serializing_if = "Merge::is_nothing")]
    #[schemars(extend("default" = Merge::default()))]
    pub merge: Merge,
    /// Most turns of a conversation that `merge` makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = DEFAULT_MAX_TURNS))]
    pub max_merged_turns: Option<u32>,
    /// A table with scores of the records, such as `ratings.parquet`, whose columns `where` sees. Its rows have the ids of records. A
    /// record without a row is rejected as `not_joined`. It is kept in memory.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scores: String,
    /// Haystacks, lengths, depths and tasks of an evaluation set whose needles are the annotations (`needles`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needles: Option<NeedleOptions>,
}

/// Which records become one conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Merge {
    /// None: each is one.
    #[default]
    Nothing,
    /// Those that follow each other in a file and name the same images or videos, in their first question.
    ByMedia,
}

impl Merge {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

/// A table whose rows belong to records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JoinOptions {
    /// Its file: JSON, JSON lines, CSV, TSV or Parquet.
    pub table: String,
    /// Which list of a JSON file it is, if one object is around several. Default: the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// The field of a record that names its row.
    pub on: String,
    /// The column with that name. Default: that of `on`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// What happens to a record with fewer placeholders than images or videos.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MissingPlaceholders {
    /// The record is rejected.
    #[default]
    Reject,
    /// The missing placeholders are put before the first user turn, as Mantis' own loader does.
    Prepend,
}

/// What happens to a record whose placeholders are all in its answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SwappedRoles {
    /// The record is rejected.
    #[default]
    Reject,
    /// User and assistant are swapped in all of its turns.
    Fix,
}

/// What happens to a conversation that starts with an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeadingAnswer {
    /// The record is rejected.
    #[default]
    Reject,
    /// The answers before the first question are dropped.
    Drop,
}

/// Which captions of a video are used as the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Captions {
    /// The caption of the whole video.
    #[default]
    Whole,
    /// The captions of the key frames in order, with an empty line between them.
    Keyframes,
}

/// An option with a value that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option {option:?} {problem}")]
pub struct OptionProblem {
    /// Name of the option in pipeline files.
    pub option: &'static str,
    /// What was found and what is allowed, to be read after the name.
    pub problem: String,
}

impl SourceOptions {
    /// The files of tables beside the annotations.
    pub fn side_tables(&self) -> impl Iterator<Item = &str> {
        let joined = self.join.iter().map(|join| join.table.as_str());
        joined.chain([self.scores.as_str()]).filter(|table| !table.is_empty())
    }

    fn is_selective(&self) -> bool {
        !self.condition.trim().is_empty()
    }

    /// The condition, which was checked before.
    pub(crate) fn condition(&self) -> Option<Condition> {
        self.is_selective().then(|| Condition::of_checked(&self.condition)).flatten()
    }

    /// The options that are not at their default, by their name in pipeline files.
    pub(crate) fn set_options(&self) -> Vec<&'static str> {
        let default = Self::default();
        let is_set = [
            ("missing_placeholders", self.missing_placeholders != default.missing_placeholders),
            ("swapped_roles", self.swapped_roles != default.swapped_roles),
            ("leading_answer", self.leading_answer != default.leading_answer),
            ("questions", self.questions != default.questions),
            ("captions", self.captions != default.captions),
            ("artefacts", self.artefacts != default.artefacts),
            ("fps", self.fps != default.fps),
            ("fields", self.fields != default.fields),
            ("media_prefix", self.media_prefix != default.media_prefix),
            ("list", self.list != default.list),
            ("join", self.join != default.join),
            ("where", self.condition != default.condition),
            ("scores", self.scores != default.scores),
            ("merge", self.merge != default.merge),
            ("max_merged_turns", self.max_merged_turns != default.max_merged_turns),
            ("needles", self.needles != default.needles),
        ];
        is_set.into_iter().filter(|(_, is_set)| *is_set).map(|(option, _)| option).collect()
    }

    /// Values that no kind of source accepts. Empty if there are none.
    pub(crate) fn value_problems(&self) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if let Some(fps) = self.fps.filter(|fps| !fps.is_finite() || *fps <= 0.0) {
            problems.push(OptionProblem { option: "fps", problem: format!("is {fps}, expected a number above 0") });
        }
        if let Some((name, _)) = self.fields.iter().find(|(name, found)| name.is_empty() || found.is_empty()) {
            problems.push(OptionProblem { option: "fields", problem: format!("has an empty name: {name:?}") });
        }
        for (name, found) in &self.fields {
            if let Err(problem) = pattern_parts(found) {
                problems.push(OptionProblem { option: "fields", problem: format!("{problem}: {name} = {found:?}") });
            }
        }
        if self.join.iter().any(|join| join.table.is_empty() || join.on.is_empty()) {
            let problem =
                "needs a table, and the field of a record that names its row: table = \"…\", on = \"…\"".to_owned();
            problems.push(OptionProblem { option: "join", problem });
        }
        if let Some(Err(problem)) = self.is_selective().then(|| Condition::parse(&self.condition)) {
            problems.push(OptionProblem {
                option: "where",
                problem: format!("is no condition: {:?} {problem}", self.condition),
            });
        }
        if !self.scores.is_empty() && !self.is_selective() {
            problems.push(OptionProblem { option: "scores", problem: "has no effect without where".to_owned() });
        }
        if self.max_merged_turns.is_some() && self.merge == Merge::Nothing {
            problems
                .push(OptionProblem { option: "max_merged_turns", problem: "has no effect without merge".to_owned() });
        }
        if let Some(needles) = &self.needles {
            let problems_of = needles.problems().into_iter();
            problems.extend(problems_of.map(|problem| OptionProblem { option: "needles", problem }));
        }
        for (option, texts) in [("questions", &self.questions), ("artefacts", &self.artefacts)] {
            if texts.iter().any(|text| text.trim().is_empty()) {
                problems.push(OptionProblem { option, problem: "has an empty text".to_owned() });
            }
            if texts.iter().collect::<BTreeSet<_>>().len() < texts.len() {
                problems.push(OptionProblem { option, problem: "has the same text twice".to_owned() });
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_counts_as_set_once_it_differs_from_its_default() {
        let all = SourceOptions {
            missing_placeholders: MissingPlaceholders::Prepend,
            swapped_roles: SwappedRoles::Fix,
            leading_answer: LeadingAnswer::Drop,
            questions: vec!["q".into()],
            captions: Captions::Keyframes,
            artefacts: vec!["a".into()],
            fps: Some(1.0),
            fields: BTreeMap::from([("image".into(), "path".into())]),
            media_prefix: "coco/".into(),
            list: "records".into(),
            join: vec![JoinOptions { table: "a.json".into(), on: "id".into(), ..JoinOptions::default() }],
            condition: "score > 1".into(),
            scores: "b.json".into(),
            merge: Merge::ByMedia,
            max_merged_turns: Some(8),
            needles: Some(NeedleOptions::default()),
        };
        let json = serde_json::to_value(&all).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut set = all.set_options();
        names.sort_unstable();
        set.sort_unstable();
        assert_eq!(set, names);
        assert!(SourceOptions::default().set_options().is_empty());
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(serde_json::from_str::<SourceOptions>(r#"{"question": ["x"]}"#).is_err());
        assert!(serde_json::from_str::<SourceOptions>(r#"{"captions": "keyframes"}"#).is_ok());
    }
}
