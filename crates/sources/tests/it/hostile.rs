//! Records that no upstream wrote: every reader answers all of them, and what it accepts is sound.

use manyframe_core::{Record, UncheckedRecord};
use manyframe_sources::{Captions, LeadingAnswer, MissingPlaceholders, SourceKind, SourceOptions, SwappedRoles};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{file_of, parse_all, source_of};

const NAMES: &[&str] = &[
    "id",
    "image",
    "images",
    "video",
    "videos",
    "audio",
    "conversations",
    "messages",
    "data",
    "QA",
    "captions",
    "history",
    "query",
    "response",
    "system",
    "metadata",
    "start",
    "end",
    "fps",
    "bytes",
    "path",
    "from",
    "value",
    "role",
    "content",
    "type",
    "text",
    "i",
    "q",
    "a",
    "idx",
    "video_path",
    "video_id",
    "instruction",
    "output",
    "source",
    "human",
    "assistant",
];

const TEXTS: &[&str] = &[
    "<image>",
    "<image>\n<image> what?",
    "<video>",
    "human",
    "gpt",
    "user",
    "assistant",
    "system",
    "-1",
    "0-1",
    "text",
    "image_url",
    "a.gif",
    "../a.jpg",
    "",
    " \n",
    "\u{0}",
    "1e999",
    "message is empty",
    "<imag",
    "<image",
    "é<image>",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        4 => prop::sample::select(TEXTS).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            object(inner).prop_map(Value::Object),
        ]
    })
}

fn object(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let field = (prop::sample::select(NAMES).prop_map(str::to_owned), value);
    prop::collection::vec(field, 0..6).prop_map(|fields| fields.into_iter().collect())
}

/// Mostly right: a conversation with texts of all kinds, and other fields at random.
fn near_record() -> impl Strategy<Value = Value> {
    let turn = (prop::sample::select(TEXTS), prop::sample::select(TEXTS)).prop_map(|(question, answer)| {
        [json!({"from": "human", "value": question}), json!({"from": "gpt", "value": answer})]
    });
    (object(value()), prop::collection::vec(turn, 1..4), prop::collection::vec(prop::sample::select(TEXTS), 0..4))
        .prop_map(|(mut fields, turns, images)| {
            fields.insert("conversations".into(), turns.concat().into());
            fields.insert("images".into(), images.into());
            fields.remove("image");
            Value::Object(fields)
        })
}

fn options() -> impl Strategy<Value = SourceOptions> {
    (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(missing, swapped, leading, captions)| {
        SourceOptions {
            missing_placeholders: if missing { MissingPlaceholders::Prepend } else { MissingPlaceholders::Reject },
            swapped_roles: if swapped { SwappedRoles::Fix } else { SwappedRoles::Reject },
            leading_answer: if leading { LeadingAnswer::Drop } else { LeadingAnswer::Reject },
            captions: if captions { Captions::Keyframes } else { Captions::Whole },
            fps: missing.then_some(2.0),
            ..SourceOptions::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_reader_answers_every_record(
        records in prop::collection::vec(prop_oneof![value(), near_record()], 1..30),
        kind in prop::sample::select(SourceKind::ALL),
        mut options in options(),
    ) {
        if kind != SourceKind::Sharegpt4video {
            options.captions = Captions::Whole;
        }
        let lines: Vec<_> = std::iter::once("{}".to_owned()).chain(records.iter().map(Value::to_string)).collect();
        let file = file_of(lines.join("\n{}\n"));
        let parsed = parse_all(source_of(kind, options, file.path(), "").as_ref());
        prop_assert_eq!(parsed.len(), 2 * records.len() + 1);
        for one in parsed {
            match one {
                Ok(Record { id, source, subset, upstream_id, turns, media, origin }) => {
                    // Documents are found in text alone.
                    let has_documents = matches!(kind, SourceKind::Text | SourceKind::Auto);
                    let build = if has_documents { Record::try_document } else { Record::try_new };
                    let again = build(UncheckedRecord { source, subset, upstream_id, turns, media, origin });
                    prop_assert_eq!(again.map(|again| again.id), Ok(id));
                }
                Err(reject) => prop_assert!(!reject.rejection.detail.is_empty() && reject.rejection.detail.len() < 2000, "{}", reject.rejection.detail),
            }
        }
    }
}
