//! Prompts of chat templates, those that are built in and those in Jinja, beside those that the processors of `transformers` make of
//! the same conversations.
//!
//! The rows are in `shared/parity/vision`, which is not part of the project; `MANYFRAME_SHARED` names another place. The ids are
//! compared by their texts: most of the rows' tokenizers cannot be had offline.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use manyframe_core::{FrameChoice, Part, Role, Turn, Visual, VisualKind, VisualShape};
use manyframe_format::{
    FormatSpec, Formatted, Formatter, JinjaTable, JinjaTemplate, LiteralTags, Template, Tokenizer, VisualOrder,
};
use manyframe_skip::skip;
use manyframe_vision::Family;
use serde_json::{Value, json};

use crate::{FormatShapes, golden};

/// The family of the rows of each template, as a table `[model]`.
pub(crate) const FAMILIES: &[(&str, &str, &str)] = &[
    ("qwen2_vl", "trl:qwen2_5_vl_training", "family = \"qwen2.5-vl\"\nvideo.frames = \"all\""),
    (
        "qwen2_5_vl",
        "trl:qwen2_5_vl_training",
        "family = \"qwen2.5-vl\"\nmin_pixels = 200704\nmax_pixels = 1003520\nvideo.frames = \"all\"\nvideo.budget = \"capped\"",
    ),
    ("qwen3_vl", "trl:qwen3_vl_training", "family = \"qwen3-vl\""),
    ("qwen3_5", "trl:qwen3_5_nothink_training", "family = \"qwen3.5\"\nvideo.budget = \"capped\""),
    ("internvl", "own:internvl", "family = \"internvl\"\nframes = \"all\""),
    ("llava_onevision", "own:onevision", "family = \"llava-onevision\"\nframes = \"all\""),
    ("llava", "own:llava15", "family = \"llava-1.5\""),
    ("llava_next", "trl:llava_next_training", "family = \"llava-next\""),
    (
        "nemotron_h_omni",
        "own:nemotron",
        "family = \"nemotron-3-nano-omni\"\nmin_patches = 64\nmax_patches = 1030\nmax_model_len = 4096\nvideo.frames = \"all\"",
    ),
    ("idefics3", "trl:idefics3_training", "family = \"idefics3\""),
    ("smolvlm", "trl:smolvlm_training", "family = \"smolvlm\""),
    ("smolvlm", "transformers:models/smolvlm/processing_smolvlm.py DEFAULT_CHAT_TEMPLATE", "family = \"smolvlm\""),
];

/// Conversations that the built-in templates write otherwise, besides [`NO_RECORDS`].
const OTHERS: [&str; 3] = [
    // An image in an answer, and an empty turn.
    "image-in-answer",
    "empty-answer",
    // Numbers before images.
    "two-with-ids",
];

#[expect(clippy::disallowed_methods, reason = "the environment says where large files are")]
pub(crate) fn shared() -> PathBuf {
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared"));
    std::env::var("MANYFRAME_SHARED").map_or_else(|_unset| beside(), PathBuf::from)
}

pub(crate) fn rows() -> Vec<Value> {
    let path = shared().join("parity/vision/prompts.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        skip(&format!("no rows at {}", path.display()));
        return Vec::new();
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A tokenizer with the tokens of a family.
fn tokenizer_of(family: &Family) -> Arc<Tokenizer> {
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(golden("bytes.json")).unwrap()).unwrap();
    let tokens = family.processor().tokens();
    let texts = tokens.iter().map(|token| &*token.text);
    let named = ["<|im_start|>", "<|im_end|>", "</s>", "<|begin_of_text|>", "<end_of_utterance>"];
    let added = texts.chain(named).zip(100_000..);
    let added = added.map(|(text, id)| {
        json!({
            "id": id, "content": text, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    });
    tokenizer["added_tokens"].as_array_mut().unwrap().extend(added);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(tokenizer.to_string().as_bytes()).unwrap();
    Arc::new(Tokenizer::open(file.path()).unwrap())
}

/// The turns and the shapes of a conversation.
pub(crate) fn conversation(formatter: &Formatter, messages: &Value) -> (Vec<Turn>, Vec<VisualShape>) {
    let (mut turns, mut shapes) = (Vec::new(), Vec::new());
    let number = |part: &Value, key: &str| part[key].as_u64().unwrap() as u32;
    for message in messages.as_array().unwrap() {
        let role = match message["role"].as_str().unwrap() {
            "system" => Role::System,
            "user" => Role::User,
            _ => Role::Assistant,
        };
        let mut parts = Vec::new();
        for part in message["content"].as_array().unwrap() {
            let kind = match part["type"].as_str().unwrap() {
                "text" => {
                    parts.push(Part::Text(part["text"].as_str().unwrap().to_owned()));
                    continue;
                }
                "image" => VisualKind::Image,
                _ => VisualKind::Video,
            };
            let size_px = (number(part, "w"), number(part, "h"));
            shapes.push(if kind == VisualKind::Image {
                VisualShape::Image { size_px }
            } else {
                let (num_frames, fps) = (number(part, "frames"), part["fps"].as_f64().unwrap());
                let taken =
                    formatter.frames_by_law(size_px, &FrameChoice { num_frames, fps, taken: Vec::new() }).unwrap();
                VisualShape::Video { size_px, frames: FrameChoice { num_frames, fps, taken } }
            });
            parts.push(Part::Visual(Visual { kind, media: shapes.len() - 1 }));
        }
        turns.push(Turn { role, parts });
    }
    VisualOrder::of(formatter.family()).apply(&mut turns, &mut shapes);
    (turns, shapes)
}

/// The text of a row with every run of placeholders written out, and the text of what is trained.
fn expanded(row: &Value) -> String {
    let part = |part: &Value| match part {
        Value::String(text) => text.clone(),
        run => run[0].as_str().unwrap().repeat(run[1].as_u64().unwrap() as usize),
    };
    row["text"].as_array().unwrap().iter().map(part).collect()
}

/// A prompt with every run of placeholders written out.
fn written_out(formatted: &Formatted, family: &Family) -> String {
    let tokens = family.processor().tokens();
    let placeholders: Vec<&str> =
        tokens.iter().filter(|token| token.is_placeholder).map(|token| &*token.text).collect();
    let (mut rest, mut written) = (formatted.prompt.as_str(), String::new());
    for run in &formatted.runs {
        let found = placeholders.iter().filter_map(|text| Some((rest.find(text)?, *text))).min().unwrap();
        written.push_str(&rest[..found.0]);
        written.push_str(&found.1.repeat(*run as usize));
        rest = &rest[found.0 + found.1.len()..];
    }
    written + rest
}

/// What is trained before and after the text of an answer.
type Trained = (&'static str, &'static str);

/// The template of each family's rows in Jinja, and what of an answer is trained: what comes before its text, and after it.
/// `None` where the rows' processor does not say.
const TEMPLATES: &[(&str, &str, Option<Trained>)] = &[
    ("qwen2_vl", "trl:qwen2_5_vl_training", Some(("", "<|im_end|>\n"))),
    ("qwen2_5_vl", "trl:qwen2_5_vl_training", Some(("", "<|im_end|>\n"))),
    ("qwen3_vl", "trl:qwen3_vl_training", Some(("", "<|im_end|>\n"))),
    ("qwen3_5", "trl:qwen3_5_nothink_training", Some(("<think>\n\n</think>\n\n", "<|im_end|>\n"))),
    ("qwen3_5", "trl:qwen3_5_think", None),
    ("internvl", "own:internvl", Some(("", "<|im_end|>\n"))),
    ("llava_onevision", "own:onevision", Some(("", ""))),
    ("llava", "own:llava15", Some(("", " "))),
    ("llava_next", "trl:llava_next_training", Some((" ", "</s>"))),
    ("idefics3", "trl:idefics3_training", Some((" ", "<end_of_utterance>\n"))),
    ("smolvlm", "trl:smolvlm_training", Some((" ", "<end_of_utterance>\n"))),
    ("nemotron_h_omni", "own:nemotron", None),
];

/// Conversations that are no records, or that say what is no text of a record.
pub(crate) const NO_RECORDS: &[&str] = &[
    // Without an answer at the end.
    "generation-prompt",
    "generation-prompt-after-rounds",
    // An empty text beside an image.
    "empty-question",
    // Placeholders and control tokens in texts are spelled differently here.
    "placeholder-in-text",
    "placeholder-without-image",
    "control-tokens-in-text",
    // Texts that templates for lists render as nothing.
    "strings",
    // Frames that the caller chooses.
    "video-sampled",
    "video-eight-frames",
    "video-not-sampled",
    "video-not-sampled-with-indices",
    "video-without-metadata",
];

/// The text of a template of the rows: their own ones are beside them, the others in the wheel of TRL.
pub(crate) fn template_text(name: &str) -> Option<String> {
    if let Some(own) = name.strip_prefix("own:") {
        let meta = std::fs::read(shared().join("parity/vision/meta.json")).ok()?;
        let meta: Value = serde_json::from_slice(&meta).unwrap();
        return meta["own_templates"][own].as_str().map(str::to_owned);
    }
    std::fs::read_to_string(template_path(name)?).ok()
}

/// The file of a template of TRL, which `make test` fetches.
pub(crate) fn template_path(name: &str) -> Option<PathBuf> {
    let templates = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.env/trl/trl/chat_templates");
    let path = PathBuf::from(format!("{templates}/{}.jinja", name.strip_prefix("trl:")?));
    path.is_file().then_some(path)
}

/// Rows are compared: those of one template, with one formatter.
struct Comparison<'a> {
    formatter: Formatter,
    family: Family,
    of_rows: &'a str,
    template: &'a str,
    trained: Option<Trained>,
}

impl Comparison<'_> {
    /// Compares the rows, but for those of these names; returns how many.
    fn run(&self, rows: &[Value], others: &[&str]) -> usize {
        let mut num_compared = 0;
        let own = rows.iter().filter(|row| row["family"] == *self.of_rows && row["template"] == *self.template);
        for row in own.filter(|row| !others.contains(&row["name"].as_str().unwrap())) {
            let (turns, shapes) = conversation(&self.formatter, &row["messages"]);
            let takes_thoughts_apart = self.template == "trl:qwen3_5_think" && row["name"] == "think";
            let outcome = self.formatter.format_shapes(&turns, &shapes);
            if row.get("error").is_some() || takes_thoughts_apart {
                assert!(outcome.is_err(), "{row}");
                continue;
            }
            let sample = outcome.unwrap_or_else(|rejection| panic!("{rejection}\nrow: {row}"));
            assert_eq!(written_out(&sample, &self.family), expanded(row), "{}", row["name"]);
            let num_tokens: u32 = sample.runs.iter().sum();
            let visual = row["visual"].as_array().unwrap().iter();
            let expected: u64 = visual.map(|run| run[1].as_u64().unwrap() - run[0].as_u64().unwrap()).sum();
            assert_eq!(u64::from(num_tokens), expected, "{row}");
            let measured = self.formatter.measure_shapes(&turns, &shapes).unwrap();
            assert_eq!(measured.cost, sample.cost, "{row}");
            if let Some((before, after)) = self.trained.filter(|_| row["name"] != "image-in-answer") {
                let text = |text: &str| if before.contains("think") { text.trim().to_owned() } else { text.to_owned() };
                let answers = turns.iter().filter(|turn| turn.role == Role::Assistant).flat_map(|turn| &turn.parts);
                let trained = answers.map(|part| match part {
                    Part::Text(answer) if before.starts_with("<think>") && answer.starts_with("<think>") => {
                        [answer, after].concat()
                    }
                    Part::Text(answer) => [before, &text(answer), after].concat(),
                    Part::Visual(_) => String::new(),
                });
                let trained: Vec<String> = trained.filter(|text| !text.is_empty()).collect();
                assert_eq!(trained_texts(&sample), trained, "{row}");
            }
            num_compared += 1;
        }
        num_compared
    }
}

/// The texts on which the loss of a sample is computed.
fn trained_texts(sample: &Formatted) -> Vec<String> {
    let chars: Vec<char> = sample.prompt.chars().collect();
    sample.label_spans.iter().map(|&(start, end)| chars[start..end].iter().collect()).collect()
}

#[test]
fn prompts_are_those_of_the_processors() {
    let rows = rows();
    let mut compared = BTreeMap::new();
    for (of_rows, template, model) in FAMILIES {
        let family: Family = toml::from_str(model).unwrap();
        let spec = FormatSpec { literal_tags: LiteralTags::Reject, ..FormatSpec::default() };
        let formatter = Formatter::new(&spec, &family, tokenizer_of(&family)).unwrap();
        let comparison = Comparison { formatter, family, of_rows, template, trained: None };
        compared.insert((*of_rows, *template), comparison.run(&rows, &[NO_RECORDS, &OTHERS].concat()));
    }
    assert!(rows.is_empty() || compared.values().all(|num| *num > 5), "{compared:?}");
}

#[test]
fn templates_in_jinja_write_what_transformers_renders() {
    let rows = rows();
    let mut compared = BTreeMap::new();
    for (of_rows, template, trained) in TEMPLATES {
        let Some(text) = template_text(template) else {
            skip(&format!("no template {template}"));
            continue;
        };
        let (_, _, model) = FAMILIES.iter().find(|(family, _, _)| family == of_rows).unwrap();
        let family: Family = toml::from_str(model).unwrap();
        let mut file = tempfile::NamedTempFile::with_suffix(".jinja").unwrap();
        file.write_all(text.as_bytes()).unwrap();
        for numbers_visuals in [false, true] {
            let table = JinjaTable {
                path: file.path().display().to_string(),
                variables: BTreeMap::from([("add_vision_id".to_owned(), json!(numbers_visuals))]),
                answers: None,
            };
            let spec = FormatSpec {
                literal_tags: LiteralTags::Reject,
                template: Some(Template::Jinja(Box::new(JinjaTemplate::Table(table)))),
                ..FormatSpec::default()
            };
            let formatter = Formatter::new(&spec, &family, tokenizer_of(&family))
                .unwrap_or_else(|error| panic!("{template}: {error}"));
            let comparison = Comparison { formatter, family: family.clone(), of_rows, template, trained: *trained };
            let is_other = |row: &&Value| (row["name"] == "two-with-ids") == numbers_visuals;
            let own: Vec<Value> = rows.iter().filter(is_other).cloned().collect();
            compared.insert((*of_rows, *template, numbers_visuals), comparison.run(&own, NO_RECORDS));
        }
    }
    assert!(rows.is_empty() || compared.iter().all(|(key, num)| key.2 || *num > 20), "{compared:?}");
}

/// Templates of models that only read texts, which take contents that are texts.
#[test]
fn templates_of_texts_write_what_transformers_renders() {
    let rows = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/templates.jsonl");
    let family: Family = toml::from_str("family = \"qwen3-vl\"").unwrap();
    let mut formatters = BTreeMap::new();
    for row in std::fs::read_to_string(rows).unwrap().lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        let name = row["template"].as_str().unwrap();
        let Some(path) = template_path(&format!("trl:{name}")) else {
            skip(&format!("no template {name}"));
            continue;
        };
        let formatter = formatters.entry(name.to_owned()).or_insert_with(|| {
            let setting = JinjaTemplate::Path(path.display().to_string());
            let spec = FormatSpec { template: Some(Template::Jinja(Box::new(setting))), ..FormatSpec::default() };
            Formatter::new(&spec, &family, tokenizer_of(&family)).unwrap_or_else(|error| panic!("{name}: {error}"))
        });
        let turn = |message: &Value| {
            let role = match message["role"].as_str().unwrap() {
                "system" => Role::System,
                "user" => Role::User,
                _ => Role::Assistant,
            };
            Turn { role, parts: vec![Part::Text(message["content"].as_str().unwrap().to_owned())] }
        };
        let turns: Vec<Turn> = row["messages"].as_array().unwrap().iter().map(turn).collect();
        let sample = formatter.format_shapes(&turns, &[]).unwrap_or_else(|rejection| panic!("{rejection}\n{row}"));
        assert_eq!(sample.prompt, row["text"], "{name}");
        assert_eq!(trained_texts(&sample).len(), turns.iter().filter(|turn| turn.role == Role::Assistant).count());
    }
    assert!(formatters.is_empty() || formatters.len() == 8);
}
