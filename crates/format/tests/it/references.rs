//! Ids of conversations beside those that the processors of `transformers` make of them: `tests/golden/vision/prompts.jsonl`, made
//! by `tests/parity/make_vision.py`; with `MANYFRAME_PARITY`, of other conversations.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manyframe_format::{FormatSpec, Formatter, LiteralTags, Tokenizer};
use manyframe_vision::Family;
use serde_json::Value;

use crate::prompts::conversation;
use crate::{FormatShapes, golden};

#[expect(clippy::disallowed_methods, reason = "the environment says where fresh references are")]
fn lines() -> Vec<Value> {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/vision");
    let folder = std::env::var("MANYFRAME_PARITY").map_or(committed, |fresh| PathBuf::from(fresh).join("vision"));
    let text = std::fs::read_to_string(folder.join("prompts.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The tokenizer of bytes with more special tokens, and what it puts around a text.
fn tokenizer_with(added: &Value) -> Arc<Tokenizer> {
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(golden("bytes.json")).unwrap()).unwrap();
    for key in ["added_tokens", "post_processor"] {
        tokenizer[key] = added[key].clone();
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(tokenizer.to_string().as_bytes()).unwrap();
    Arc::new(Tokenizer::open(file.path()).unwrap())
}

/// Numbers of which a run is written as a pair of the number and its length.
fn unfolded(numbers: &Value) -> Vec<i64> {
    let numbers = numbers.as_array().unwrap().iter().flat_map(|number| match number {
        Value::Array(run) => vec![run[0].as_i64().unwrap(); run[1].as_u64().unwrap() as usize],
        one => vec![one.as_i64().unwrap()],
    });
    numbers.collect()
}

#[test]
fn ids_are_those_of_the_processors() {
    for line in lines() {
        let family: Family = serde_json::from_value(line["model"].clone()).unwrap();
        let spec = FormatSpec { literal_tags: LiteralTags::Reject, ..FormatSpec::default() };
        let formatter = Formatter::new(&spec, &family, tokenizer_with(&line["tokenizer"])).unwrap();
        for row in line["rows"].as_array().unwrap() {
            let about = format!("{}, {}", family.name(), row["name"]);
            let (turns, shapes) = conversation(&formatter, &row["messages"]);
            let outcome = formatter.format_shapes(&turns, &shapes);
            if row.get("error").is_some() {
                assert!(outcome.is_err(), "{about}: {row}");
                continue;
            }
            let sample = outcome.unwrap_or_else(|rejection| panic!("{about}: {rejection}"));
            let tokens = formatter.encode(&sample.prompt, &sample.label_spans, &sample.runs).unwrap();
            let ids: Vec<i64> = tokens.input_ids.iter().map(|id| i64::from(*id)).collect();
            assert_eq!(ids, unfolded(&row["ids"]), "{about}: {:?}", sample.prompt);
            assert_eq!(ids.len() as u64, sample.cost.num_tokens(), "{about}");
            if row.get("types").is_some() {
                let types: Vec<i64> = tokens.type_ids.iter().map(|type_id| i64::from(*type_id)).collect();
                assert_eq!(types, unfolded(&row["types"]), "{about}");
            }
        }
    }
}
