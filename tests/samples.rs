//! Promise: real records of the upstream datasets go through, each with the right outcome. Skipped, and said so, where they are
//! not at hand.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::{Built, Workshop, shared};

/// Builds one source of real samples; returns the dataset.
fn build(name: &str, kind: &str, annotations: &Path, media: &[&Path], more: &str) -> (Workshop, Built) {
    let workshop = Workshop::new();
    let media: Vec<String> = media.iter().map(|path| format!("{:?}", path.display().to_string())).collect();
    let source = format!(
        "[[source]]\nname = \"{name}\"\nkind = \"{kind}\"\nannotations = {:?}\nmedia = [{}]\n{more}\n",
        annotations.display().to_string(),
        media.join(", "),
    );
    workshop.write("pipeline.toml", format!("{}{source}", workshop.head));
    let pipeline = workshop.text("pipeline.toml");
    // Some upstreams have nothing here that can be delivered.
    let arguments = ["build", &pipeline, "--output", &workshop.text("out"), "--quiet", "--accept-rejects"];
    crate::support::run(&arguments, 0);
    let built = Built::read(&workshop.path("out"));
    for source in &built.manifest.sources {
        assert!(source.adds_up(), "{source:?}");
    }
    built.verify();
    (workshop, built)
}

fn outcomes(built: &Built) -> BTreeMap<String, usize> {
    built.outcomes()
}

fn expected(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|&(name, number)| (name.to_owned(), number)).collect()
}

#[test]
fn the_thirty_mantis_rows_give_every_record_with_its_images_in_order() {
    let Some(shared) = shared() else { return };
    let mantis = shared.join("samples/mantis");
    let images = mantis.join("data/examples/chat");
    let annotations = images.join("train.json");
    let (_json_workshop, json) = build("mantis", "mantis", &annotations, &[&images], "");
    let parquet = mantis.join("derived/multi_vqa/train-00000-of-00001.parquet");
    let (_parquet_workshop, parquet) = build("mantis", "mantis", &parquet, &[&images.join("train_images")], "");
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&annotations).unwrap()).unwrap();
    assert_eq!(rows.len(), 30);
    for built in [&json, &parquet] {
        assert_eq!(outcomes(built), expected(&[("delivered", 30)]));
        for row in &rows {
            let id = row["id"].as_str().unwrap();
            let sample = built.sample(&built.row(id).id.to_string());
            let paths: Vec<&str> =
                sample["visuals"].as_array().unwrap().iter().map(|v| v["path"].as_str().unwrap()).collect();
            let upstream: Vec<&str> =
                row["images"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
            // Parquet paths start below the directory that the zip unpacks to.
            assert!(
                paths.iter().zip(&upstream).all(|(path, upstream)| upstream.ends_with(path)),
                "{paths:?} {upstream:?}"
            );
            assert_eq!(paths.len(), upstream.len());
            assert!((2..=6).contains(&paths.len()));
        }
    }
}

#[test]
fn records_of_every_upstream_are_accounted_for() {
    let Some(shared) = shared() else { return };
    let samples = shared.join("samples");
    let missing = |n| expected(&[("media_missing", n)]);
    let cases: Vec<(&str, &str, &str, BTreeMap<String, usize>)> = vec![
        ("allava", "allava/ALLaVA-Caption-LAION-4V.json", "allava", missing(1)),
        ("allava", "allava/ALLaVA-Caption-VFLAN-4V.json", "allava", missing(1)),
        ("allava", "allava/ALLaVA-Instruct-LAION-4V.json", "allava", missing(1)),
        ("allava", "allava/ALLaVA-Instruct-VFLAN-4V.json", "allava", missing(1)),
        ("allava", "allava/Evol-Instruct-GPT4-Turbo-143K.json", "allava", expected(&[("delivered", 1)])),
        ("llava", "llava_v1_5/llava_v1_5_mix665k.head.json", "llava_v1_5", BTreeMap::new()),
        ("llava", "llava_pretrain/blip_laion_cc_sbu_558k.head.json", "llava_pretrain", missing(1)),
        (
            "m4_instruct",
            "m4_instruct/m4_instruct_annotations.issue107.json",
            "m4_instruct",
            expected(&[("placeholder_mismatch", 1)]),
        ),
        ("m4_instruct", "m4_instruct/interleave_bench_multi_image_in_domain.issue118.json", "m4_instruct", missing(1)),
        ("videochat2", "videochat2/video/reasoning/clevrer_qa/train.head.json", "videochat2", missing(1)),
        ("videochat2", "videochat2/image/vqa/chart_qa/train.head.json", "videochat2", missing(2)),
        ("videochat2", "videochat2/video_chat/anno/llava_complex_reasoning_2k.json", "videochat2", missing(2000)),
        ("videochat2", "videochat2/video_chat/anno/minigpt_caption_3k.json", "videochat2", missing(3362)),
        ("text", "text_replay/fastchat_dummy_conversation.json", "text_replay", BTreeMap::new()),
        ("text", "text_replay/v1_sft_demo.jsonl", "text_replay", BTreeMap::new()),
        ("text", "xtuner/multi_turn_2.json", "xtuner", BTreeMap::new()),
        ("text", "ms_swift/tests/llm/data/chatml.jsonl", "ms_swift", expected(&[("delivered", 3)])),
        ("text", "ms_swift/tests/llm/data/sharegpt.jsonl", "ms_swift", expected(&[("delivered", 3)])),
        ("text", "ms_swift/tests/llm/data/conversations.jsonl", "ms_swift", expected(&[("delivered", 3)])),
        ("text", "ms_swift/tests/llm/data/swift_multi.jsonl", "ms_swift", expected(&[("delivered", 3)])),
        ("text", "ms_swift/tests/llm/data/swift_multi.json", "ms_swift", expected(&[("delivered", 3)])),
        ("llava_video", "qwen_vl_finetune/demo/video.json", "qwen_vl_finetune", BTreeMap::new()),
        ("llava", "qwen_vl_finetune/demo/single_images.json", "qwen_vl_finetune", BTreeMap::new()),
    ];
    for (kind, annotations, media, expected) in cases {
        let (_workshop, built) = build("real", kind, &samples.join(annotations), &[&samples.join(media)], "");
        let found = outcomes(&built);
        println!("{annotations}: {found:?}");
        assert!(expected.is_empty() || found == expected, "{annotations}: {found:?}, expected {expected:?}");
        assert!(found.values().sum::<usize>() > 0, "{annotations}");
        for code in ["malformed_record", "unexpected_schema"] {
            assert_eq!(found.get(code), None, "{annotations}: the reader does not understand its own format");
        }
    }
}
