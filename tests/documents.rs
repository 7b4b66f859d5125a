//! Promise: texts by themselves are read, formatted and trained on as documents, and no conversation is taken for one.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Built, Workshop, root, run_python, stdout};

/// Records of SlimPajama, Wikipedia and Cosmopedia, and two conversations, one of which lacks its question.
const LINES: [&str; 6] = [
    r#"{"text": "Once there was a river.\n\nIt ran to the sea.", "meta": {"redpajama_set_name": "RedPajamaBook"}}"#,
    r#"{"id": "12", "url": "https://example.org", "title": "Rivers", "text": "A river says <image> and <|endoftext|> here."}"#,
    r#"{"prompt": "Write about rivers.", "text": "Rivers are long.", "token_length": 4}"#,
    r#"{"instruction": "What is long?", "output": "A river.", "text": "Below is an instruction."}"#,
    r#"{"id": "lone", "conversations": [{"from": "gpt", "value": "Nobody asked."}]}"#,
    r#"{"id": "empty", "text": "  "}"#,
];

fn built() -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    workshop.head.push_str("[output]\nformats = [\"webdataset\", \"parquet\"]\n");
    workshop.write("documents.jsonl", LINES.join("\n"));
    workshop.add_source_file("d", "text", "documents.jsonl", "");
    let built = workshop.build();
    (workshop, built)
}

fn prompt(built: &Built, upstream_id: &str) -> String {
    let id = built.row(upstream_id).id.to_string();
    built.sample(&id)["prompt"].as_str().unwrap().to_owned()
}

#[test]
fn documents_are_delivered_without_headers() {
    let (_workshop, built) = built();
    built.verify();
    let outcomes = built.outcomes();
    assert_eq!((outcomes["delivered"], outcomes["turn_order"], outcomes["empty_turn"]), (4, 1, 1), "{outcomes:?}");
    assert_eq!(prompt(&built, "12"), "<|startoftext|>A river says <IMAGE> and <|ENDOFTEXT|> here.<|endoftext|>");
    let subsets: Vec<&str> = built.ledger.iter().map(|row| row.subset.as_str()).collect();
    assert_eq!(subsets[..2], ["RedPajamaBook", ""]);
    let prompts: Vec<String> = built
        .ledger
        .iter()
        .filter(|row| row.shard.is_some())
        .map(|row| built.sample(&row.id.to_string())["prompt"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(prompts.iter().filter(|prompt| prompt.contains("<|User|>")).count(), 1, "{prompts:?}");
}

#[test]
fn ids_and_labels_of_documents_are_those_of_the_reference() {
    let (_workshop, built) = built();
    let tokenizer = root().join("crates/format/tests/golden/jamba.model").display().to_string();
    let dataset = built.dataset.display().to_string();
    let text = run_python("readers", "tests/python/reference_tokens.py", &[&tokenizer, &dataset]);
    assert!(text.contains("4 samples") && text.contains("0 differ"), "{text}");
}

#[test]
fn documents_are_replayed_as_documents_and_exported_to_nobody_who_reads_conversations() {
    let (mut workshop, built) = built();
    let before = prompt(&built, "12");
    fs::rename(workshop.path("out"), workshop.path("earlier")).unwrap();
    let earlier = workshop.text("earlier");
    workshop.head.push_str("[duplicates]\nremove = \"nothing\"\n");
    workshop.head.push_str(&format!("[[source]]\nname = \"old\"\nkind = \"dataset\"\nfrom = {earlier:?}\n"));
    let again = workshop.build();
    again.verify();
    let replayed =
        again.ledger.iter().find(|row| row.source == "old" && row.upstream_id == built.row("12").id.to_string());
    assert_eq!(again.sample(&replayed.unwrap().id.to_string())["prompt"], Value::from(before));

    let text =
        stdout(&["export", &earlier, "--format", "llava_json", "--output", &workshop.text("exported"), "--quiet"]);
    assert!(text.contains("1 record") && text.contains("skipped: 3 documents"), "{text}");
    let exported: Vec<Value> = serde_json::from_slice(&fs::read(workshop.path("exported/data.json")).unwrap()).unwrap();
    assert_eq!(exported[0]["conversations"][0], json!({ "from": "human", "value": "What is long?" }));
}

#[test]
fn a_document_that_is_too_long_is_rejected_and_not_cut() {
    let mut workshop = Workshop::new();
    workshop.head.push_str("max_tokens = 20\n[overlength]\npolicy = [\"split_turns\"]\n");
    workshop.write("documents.jsonl", json!({ "id": "long", "text": "River. ".repeat(40) }).to_string());
    workshop.add_source_file("d", "text", "documents.jsonl", "");
    assert_eq!(workshop.build().row("long").reason.as_deref(), Some("too_long"));
}
