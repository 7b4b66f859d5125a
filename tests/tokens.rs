//! Promise: ids and labels are those of a reference that others can read: `tests/python/reference_tokens.py`, written from
//! the description of LongLLaVA's format, with sentencepiece and Hugging Face's tokenizers.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::demo::stages;
use crate::support::{Built, Workshop, demo_media, llava, photo, run, run_python, shared, stdout};

/// Compares every sample of some datasets; returns how many there were.
fn compare(tokenizer: &Path, datasets: &[&Path]) -> u64 {
    let mut arguments = vec![tokenizer.display().to_string()];
    arguments.extend(datasets.iter().map(|dataset| dataset.display().to_string()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run_python("readers", "tests/python/reference_tokens.py", &arguments);
    println!("{}: {}", tokenizer.display(), output.trim_end());
    assert!(output.ends_with(" 0 differ\n"), "{output}");
    output.split_once(" samples").unwrap().0.parse().unwrap()
}

#[test]
fn the_ids_and_labels_of_the_demo_are_those_of_the_reference() {
    let stages = stages().each_ref().map(PathBuf::as_path);
    let num_samples = compare(&demo_media().join("tokenizer.model"), &stages);
    assert_eq!(num_samples, stages.iter().map(|stage| Built::read(stage).manifest.total.num_samples).sum::<u64>());
}

#[test]
fn verify_makes_the_ids_and_labels_of_every_sample_once_more() {
    let mut workshop = Workshop::new();
    workshop.write("media/a.jpg", photo(1, 64, 64));
    workshop.add_source("a", "llava", &json!([llava("1", "a.jpg")]), "");
    let verified = |output: &str| {
        let pipeline = fs::read_to_string(workshop.pipeline()).unwrap();
        workshop.write("pipeline.toml", pipeline.replace("[format]", &format!("[output]\n{output}\n[format]")));
        run(&["build", &workshop.text("pipeline.toml"), "--output", &workshop.text("out"), "--quiet"], 0);
        stdout(&["verify", &workshop.text("out"), "--quiet"])
    };
    assert!(verified("formats = [\"webdataset\", \"parquet\"]").contains(" 1 prompt tokenized"));
    assert!(verified("formats = [\"parquet\"]\ntokens = false").contains(" 1 prompt tokenized"));
    assert!(verified("formats = [\"webdataset\"]").contains(" 1 prompt tokenized"));
}

/// Annotations of the real samples, with their readers and the directories of their media.
const REAL: &[(&str, &str, &str)] = &[
    ("allava", "allava/ALLaVA-Caption-LAION-4V.json", "allava"),
    ("allava", "allava/ALLaVA-Caption-VFLAN-4V.json", "allava"),
    ("allava", "allava/ALLaVA-Instruct-LAION-4V.json", "allava"),
    ("allava", "allava/ALLaVA-Instruct-VFLAN-4V.json", "allava"),
    ("allava", "allava/Evol-Instruct-GPT4-Turbo-143K.json", "allava"),
    ("llava", "llava_v1_5/llava_v1_5_mix665k.head.json", "llava_v1_5"),
    ("llava", "llava_pretrain/blip_laion_cc_sbu_558k.head.json", "llava_pretrain"),
    ("llava", "llava_next/coco118k_stage1.5.head.json", "llava_next"),
    ("llava", "internvl/internvl_1_2_finetune.json", "internvl"),
    ("llava", "qwen_vl_finetune/demo/single_images.json", "qwen_vl_finetune"),
    ("llava_video", "qwen_vl_finetune/demo/video.json", "qwen_vl_finetune"),
    ("m4_instruct", "m4_instruct/interleave_bench_multi_image_in_domain.issue118.json", "m4_instruct"),
    ("mantis", "mantis/data/examples/chat/train.json", "mantis/data/examples/chat"),
    ("videochat2", "videochat2/video/reasoning/clevrer_qa/train.head.json", "videochat2"),
    ("videochat2", "videochat2/image/vqa/chart_qa/train.head.json", "videochat2"),
    ("videochat2", "videochat2/video_chat/anno/llava_complex_reasoning_2k.json", "videochat2"),
    ("videochat2", "videochat2/video_chat/anno/minigpt_caption_3k.json", "videochat2"),
    ("text", "text_replay/fastchat_dummy_conversation.json", "text_replay"),
    ("text", "text_replay/v1_sft_demo.jsonl", "text_replay"),
    ("text", "xtuner/multi_turn_2.json", "xtuner"),
    ("text", "ms_swift/tests/llm/data/chatml.jsonl", "ms_swift"),
    ("text", "ms_swift/tests/llm/data/sharegpt.jsonl", "ms_swift"),
    ("text", "ms_swift/tests/llm/data/conversations.jsonl", "ms_swift"),
    ("text", "ms_swift/tests/llm/data/swift_multi.jsonl", "ms_swift"),
];

#[test]
fn the_ids_and_labels_of_real_records_are_those_of_the_reference() {
    let Some(shared) = shared() else { return };
    let workshop = Workshop::new();
    let stand_in = workshop.write("stand-in.gif", GIF);
    let mut sources = String::new();
    for (index, (kind, file, media)) in REAL.iter().enumerate() {
        let [file, media] = [file, media].map(|path| shared.join("samples").join(path));
        // Most media of these records are not at hand, but all of their texts are.
        let stand_ins = workshop.path(&format!("stand-ins/{index}"));
        fs::create_dir_all(&stand_ins).unwrap();
        for path in paths_of_media(&fs::read(&file).unwrap()) {
            if !media.join(&path).exists() {
                let path = stand_ins.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                // Several records may have the same path.
                _ = fs::hard_link(&stand_in, path);
            }
        }
        sources.push_str(&format!(
            "[[source]]\nname = \"s{index}\"\nkind = \"{kind}\"\nannotations = {:?}\nmedia = [{:?}, {:?}]\n",
            file.display().to_string(),
            media.display().to_string(),
            stand_ins.display().to_string(),
        ));
    }
    for (name, take, least) in [("tokenizer.model", "\"all\"", 5_000), ("tokenizer.converted.json", "100", 400)] {
        let tokenizer = shared.join("tokenizers/jamba").join(name);
        let sources = sources.replace("[[source]]\n", &format!("[[source]]\ntake = {take}\n"));
        let head = "name = \"t\"\n[output]\nformats = [\"parquet\"]\n[duplicates]\nremove = \"nothing\"\n";
        let format = format!("[format]\ntokenizer = {:?}\n", tokenizer.display().to_string());
        let pipeline = workshop.write("pipeline.toml", [head, &format, &sources].concat());
        let out = workshop.text(name);
        run(&["build", &pipeline.display().to_string(), "--output", &out, "--quiet", "--accept-rejects"], 0);
        let built = Built::read(out.as_ref());
        assert_eq!(built.outcomes().get("media_missing"), None, "{:?}", built.outcomes());
        let num_samples = compare(&tokenizer, &[out.as_ref()]);
        assert_eq!(num_samples, built.manifest.total.num_samples);
        assert!(num_samples > least, "{:?}", built.outcomes());
    }
}

/// An image of 32×32 pixels, and a video of two such frames.
const GIF: &[u8] = include_bytes!("python/stand_in.gif");

/// Every path below a key that names media, in JSON or JSON lines.
fn paths_of_media(text: &[u8]) -> Vec<String> {
    let mut paths = Vec::new();
    for value in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
        collect_paths(&value.unwrap(), &mut paths);
    }
    paths.retain(|path| !path.is_empty() && !path.starts_with('/') && !path.contains(".."));
    paths
}

fn collect_paths(value: &Value, paths: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if ["image", "images", "video", "videos"].contains(&name.as_str()) {
                    let several = field.as_array().map_or(std::slice::from_ref(field), Vec::as_slice);
                    paths.extend(several.iter().filter_map(Value::as_str).map(str::to_owned));
                } else {
                    collect_paths(field, paths);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_paths(item, paths)),
        _ => {}
    }
}
