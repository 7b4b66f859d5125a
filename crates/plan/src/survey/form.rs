//! What the records of a source are, in words for people.
//!
//! It repeats what readers decide by the same fields, and decides nothing.

use std::path::Path;

use manyframe_core::{Record, is_document};
use manyframe_sources::SourceOptions;
use serde_json::{Map, Value};

use super::groups::FileGroup;

/// The form of records, and the kind of their file: `captions, in CSV`.
pub(super) fn form_of(
    group: &FileGroup,
    options: &SourceOptions,
    first: (&Map<String, Value>, Option<&Record>),
) -> String {
    let Some(path) = group.paths.first() else { return String::new() };
    let form = form_of_record(options, first);
    match container_of(path) {
        Some(container) => format!("{form}, in {container}"),
        None => form.to_owned(),
    }
}

fn container_of(path: &Path) -> Option<&'static str> {
    if path.is_dir() {
        return Some("texts beside images or videos");
    }
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let name = [".gz", ".zst"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    Some(match name.rsplit_once('.')?.1 {
        "json" => "JSON",
        "jsonl" | "ndjson" => "JSON lines",
        "parquet" => "Parquet",
        "csv" => "CSV",
        "tsv" => "TSV",
        "tar" => "tars of WebDataset",
        _ => return None,
    })
}

fn form_of_record(options: &SourceOptions, (fields, record): (&Map<String, Value>, Option<&Record>)) -> &'static str {
    let has = |name: &str| fields.get(name).is_some_and(|value| !value.is_null());
    let roles = || record.into_iter().flat_map(|record| &record.turns).map(|turn| turn.role);
    let is_text = record.is_some_and(|record| record.media.is_empty());
    if record.is_some() && is_document(roles()) {
        return match () {
            () if has("modality") => "documents of NeMo Curator",
            () if has("image_info") => "documents of MMC4",
            () if is_text => "documents",
            () => "documents with images between their texts",
        };
    }
    if !options.join.is_empty() {
        return "records in two tables";
    }
    match () {
        () if has("messages") => "conversations in messages (OpenAI, Qwen, LLaMA-Factory)",
        () if has("conversations") || has("conversation") => "conversations of LLaVA or ShareGPT",
        () if has("prompt") && has("completion") => "prompts and completions (TRL)",
        () if has("texts") => "conversations of The Cauldron or FineVision",
        () if has("question") || has("instruction") || has("query") => "questions and answers",
        () if !is_text && record.is_some_and(|record| record.turns.len() == 2) => "captions",
        () => "conversations",
    }
}
