//! Real records of upstream datasets. They may not be redistributed, so these tests say so and pass where they are
//! absent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manyframe_core::{MediaLocation, Record, RejectedRecord};
use manyframe_skip::skip;
use manyframe_sources::{SourceKind, SourceOptions};

use crate::support::{parse_all, shown, source_of, turns_of};

/// The folder of samples: `$MANYFRAME_SHARED/samples`, or `../shared/samples` beside the workspace.
fn samples() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "names where the samples are; nothing is built from it")]
    let shared = std::env::var("MANYFRAME_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let samples = shared.join("samples");
    if !samples.is_dir() {
        skip(&format!("no samples in {}; set MANYFRAME_SHARED to check real records", samples.display()));
        return None;
    }
    Some(samples)
}

fn parse_file(samples: &Path, kind: SourceKind, file: &str) -> Vec<Result<Record, RejectedRecord>> {
    parse_all(source_of(kind, SourceOptions::default(), &samples.join(file), "").as_ref())
}

/// How many records, and how many rejects of each code, a file yields.
fn counts(parsed: &[Result<Record, RejectedRecord>]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for one in parsed {
        let outcome = one.as_ref().map_or_else(|reject| reject.rejection.code.to_string(), |_| "record".to_owned());
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

/// A file, the kind of source it is read as, and how many records and rejects it yields.
type Sample = (SourceKind, &'static str, &'static [(&'static str, usize)]);

#[test]
fn every_sample_is_a_record_or_the_right_reject() {
    use SourceKind::{Allava, Llava, LlavaVideo, M4Instruct, Mantis, Sharegpt4v, Text, Videochat2};
    let Some(samples) = samples() else { return };
    let expected: &[Sample] = &[
        (Allava, "allava/ALLaVA-Caption-LAION-4V.json", &[("record", 1)]),
        (Allava, "allava/ALLaVA-Caption-VFLAN-4V.json", &[("record", 1)]),
        (Allava, "allava/ALLaVA-Instruct-LAION-4V.json", &[("record", 1)]),
        (Allava, "allava/ALLaVA-Instruct-VFLAN-4V.json", &[("record", 1)]),
        (Allava, "allava/Evol-Instruct-GPT4-Turbo-143K.json", &[("record", 1)]),
        // A line feed inside a string, as the dataset's own page shows it.
        (Allava, "allava/ALLaVA-Caption-LAION-4V.readme_block.txt", &[("malformed_record", 1)]),
        (Sharegpt4v, "llava_next/coco118k_stage1.5.head.json", &[("record", 2)]),
        (Llava, "llava_pretrain/blip_laion_cc_sbu_558k.head.json", &[("record", 1)]),
        (Llava, "llava_v1_5/llava_v1_5_mix665k.head.json", &[("record", 2)]),
        (Llava, "llama_factory/data/mllm_demo.json", &[("record", 6)]),
        (Llava, "llama_factory/data/mllm_video_demo.json", &[("record", 3)]),
        (Llava, "llama_factory/data/mllm_video_audio_demo.json", &[("unsupported_media", 3)]),
        (Llava, "llama_factory/data/v1_multimodal_demo.jsonl", &[("record", 24)]),
        (Llava, "qwen_vl_finetune/demo/single_images.json", &[("record", 3)]),
        (LlavaVideo, "qwen_vl_finetune/demo/video.json", &[("record", 3)]),
        (Llava, "ms_swift/tests/llm/data/multi_modal_1.jsonl", &[("record", 3)]),
        // Three images without a placeholder.
        (Llava, "ms_swift/tests/llm/data/multi_modal_2.jsonl", &[("record", 2), ("placeholder_mismatch", 1)]),
        (Llava, "ms_swift/tests/llm/data/multi_modal_3.jsonl", &[("record", 3)]),
        (Llava, "internvl/internvl_1_2_finetune.json", &[("unexpected_schema", 1)]),
        (Mantis, "mantis/data/examples/chat/train.json", &[("record", 30)]),
        (Mantis, "mantis/derived/multi_vqa/train-00000-of-00001.parquet", &[("record", 30)]),
        (M4Instruct, "m4_instruct/interleave_bench_multi_image_in_domain.issue118.json", &[("record", 1)]),
        (M4Instruct, "m4_instruct/m4_instruct_annotations.issue107.json", &[("placeholder_mismatch", 1)]),
        (Videochat2, "videochat2/image/vqa/chart_qa/train.head.json", &[("record", 2)]),
        (Videochat2, "videochat2/video/reasoning/clevrer_qa/train.head.json", &[("record", 1)]),
        (Videochat2, "videochat2/video_chat/anno/llava_complex_reasoning_2k.json", &[("record", 2000)]),
        (Videochat2, "videochat2/video_chat/anno/minigpt_caption_3k.json", &[("record", 3362)]),
        (Text, "text_replay/fastchat_dummy_conversation.json", &[("record", 500)]),
        (Text, "text_replay/v1_sft_demo.jsonl", &[("record", 500)]),
        (Text, "llama_factory/data/identity.json", &[("record", 91)]),
        (Text, "xtuner/multi_turn_2.json", &[("record", 2)]),
        (Text, "ms_swift/tests/llm/data/chatml.jsonl", &[("record", 3)]),
        (Text, "ms_swift/tests/llm/data/conversations.jsonl", &[("record", 3)]),
        (Text, "ms_swift/tests/llm/data/sharegpt.jsonl", &[("record", 3)]),
        (Text, "ms_swift/tests/llm/data/swift_multi.json", &[("record", 3)]),
        (Text, "ms_swift/tests/llm/data/swift_multi.jsonl", &[("record", 3)]),
    ];
    for (kind, file, expected) in expected {
        let parsed = parse_file(&samples, *kind, file);
        let expected: BTreeMap<_, _> = expected.iter().map(|(code, count)| ((*code).to_owned(), *count)).collect();
        let first = parsed.iter().find_map(|one| one.as_ref().err());
        assert_eq!(counts(&parsed), expected, "{file}: {first:?}");
    }
}

#[test]
fn mantis_is_the_same_in_json_and_parquet() {
    let Some(samples) = samples() else { return };
    let json = parse_file(&samples, SourceKind::Mantis, "mantis/data/examples/chat/train.json");
    let table = parse_file(&samples, SourceKind::Mantis, "mantis/derived/multi_vqa/train-00000-of-00001.parquet");
    assert_eq!(json.len(), table.len());
    for (json, table) in json.iter().zip(&table) {
        let (json, table) = (json.as_ref().unwrap(), table.as_ref().unwrap());
        // The JSON names images from the annotation file on, the table from the archive on.
        assert_eq!(turns_of(json).replace("[train_images/", "["), turns_of(table));
        assert_eq!(json.upstream_id, table.upstream_id);
        assert!((2..=6).contains(&json.media.len()));
        assert!(json.media.iter().all(|medium| matches!(medium.location, MediaLocation::Path(_))));
    }
}

#[test]
fn an_invalid_row_of_a_table_is_rejected_alone() {
    let Some(samples) = samples() else { return };
    let parsed = parse_file(&samples, SourceKind::Text, "parquet_real/daft_invalid_utf8.parquet");
    assert!(parsed.iter().any(|one| shown(one) == "malformed_record"), "{parsed:?}");
}

#[test]
fn tables_of_other_kinds_are_rejected_row_by_row() {
    let Some(samples) = samples() else { return };
    for file in ["img2dataset_sample_image", "img2dataset_test_1000", "datajuicer_demo-dataset-images-bytes"] {
        let parsed = parse_file(&samples, SourceKind::Mantis, &format!("parquet_real/{file}.parquet"));
        assert!(!parsed.is_empty() && parsed.iter().all(|one| shown(one) == "unexpected_schema"), "{file}");
    }
}
