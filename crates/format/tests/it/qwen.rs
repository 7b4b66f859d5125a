//! Ids and labels of Qwen's prompts beside those of its processors, with Qwen3's own tokenizer, in the template that is built in
//! and in the one that TRL trains with.
//!
//! The tokenizer is fetched by `make demo`, the template by `make test`, and the rows are in `shared`: without them nothing is
//! compared, and the test says so.

use std::path::Path;
use std::sync::Arc;

use manyframe_core::SampleTokens;
use manyframe_format::{FormatSpec, Formatter, JinjaTemplate, LiteralTags, Template, Tokenizer};
use manyframe_skip::skip;
use manyframe_vision::Family;
use serde_json::Value;

use crate::FormatShapes;
use crate::prompts::{FAMILIES, NO_RECORDS, conversation, rows, template_path};

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

#[test]
fn ids_and_labels_are_those_of_the_processors() {
    // Its added tokens differ between releases, and the text of one row names some.
    const OTHERS: [&str; 3] = ["think", "two-with-ids", "image-in-answer"];
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.env/demo/qwen3-vl/tokenizer.json");
    let Ok(tokenizer) = Tokenizer::open(Path::new(path)) else { return skip("no tokenizer of Qwen3") };
    let (tokenizer, rows) = (Arc::new(tokenizer), rows());
    for of_rows in ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"] {
        let (_, name, model) = FAMILIES.iter().find(|(family, _, _)| *family == of_rows).unwrap();
        let family: Family = toml::from_str(model).unwrap();
        let Some(path) = template_path(name) else { return skip("no templates of TRL") };
        let jinja = Template::Jinja(Box::new(JinjaTemplate::Path(path.display().to_string())));
        for template in [None, Some(jinja)] {
            let spec = FormatSpec { literal_tags: LiteralTags::Reject, template, ..FormatSpec::default() };
            let formatter = Formatter::new(&spec, &family, Arc::clone(&tokenizer)).unwrap();
            let of_family = rows.iter().filter(|row| row["family"] == of_rows && row.get("mask").is_some());
            for row in of_family.filter(|row| ![NO_RECORDS, &OTHERS].concat().contains(&row["name"].as_str().unwrap()))
            {
                let (turns, shapes) = conversation(&formatter, &row["messages"]);
                let sample = formatter.format_shapes(&turns, &shapes).unwrap();
                let tokens = formatter.encode(&sample.prompt, &sample.label_spans, &sample.runs).unwrap();
                assert_eq!(tokens.input_ids, flat(&row["ids"]), "{}", row["name"]);
                assert_eq!(tokens.labels, labels_of(&tokens.input_ids, &row["mask"]), "{}", row["name"]);
            }
        }
    }
}
