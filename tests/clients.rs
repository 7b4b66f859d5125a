//! Promise: the readers that others wrote get every sample as it is: its id, its texts, and the bytes of its images.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use manyframe_dataset::DatasetReader;
use manyframe_skip::note_unasked;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::demo::stages;
use crate::python_package::package_python;
use crate::support::{Built, Workshop, llava, photo, root, run, run_python};

/// A dataset with samples of no, one and several images, in two layouts and a few shards.
fn built(output: &str) -> (Workshop, Built) {
    let mut workshop = Workshop::new();
    workshop.head = workshop.head.replace("[format]\n", &format!("[output]\n{output}\n[format]\n"));
    let built = build(&mut workshop);
    (workshop, built)
}

/// Builds that dataset by the head of a workshop.
fn build(workshop: &mut Workshop) -> Built {
    for number in 0..6 {
        workshop.write(&format!("media/{number}.jpg"), photo(number, 300, 200));
    }
    let several = |id: &str, images: &[&str]| {
        let places = images.iter().map(|_| "<image>").collect::<Vec<_>>().join(" and ");
        json!({ "id": id, "image": images, "conversations": [
            { "from": "human", "value": format!("What do {places} show, \"äöü\"?") },
            { "from": "gpt", "value": format!("Waves, {id}.") },
        ]})
    };
    let text = json!({ "id": "text", "conversations": [
        { "from": "human", "value": "What is two and two?" }, { "from": "gpt", "value": "Four." },
        { "from": "human", "value": " And three? " }, { "from": "gpt", "value": "Seven." },
    ]});
    let records = [
        llava("one", "0.jpg"),
        several("three", &["1.jpg", "2.jpg", "3.jpg"]),
        text,
        several("two", &["4.jpg", "0.jpg"]),
        llava("last", "5.jpg"),
    ];
    workshop.add_source("a", "llava", &Value::from(records.to_vec()), "");
    let built = workshop.build();
    assert_eq!(built.manifest.total.num_samples, 5);
    built
}

/// A sample: its texts, and the SHA-256 of each image.
type Listed = BTreeMap<String, (Vec<String>, Vec<String>)>;

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The samples of a dataset as manyframe reads them.
fn samples(dataset: &Path) -> Listed {
    let reader = DatasetReader::open(dataset).unwrap();
    let mut listed = Listed::new();
    for shard in reader.shards_of_one_format() {
        for sample in reader.samples(shard).unwrap() {
            let sample = sample.unwrap();
            let texts = sample.messages.iter().map(|message| message.content.clone()).collect();
            let images = sample.images.iter().map(|image| sha256(&image.bytes)).collect();
            listed.insert(sample.id.to_string(), (texts, images));
        }
    }
    assert!(!listed.is_empty());
    listed
}

/// The samples of a dataset as another reader gives them.
fn samples_of(environment: &str, reader: &str, dataset: &Path) -> Listed {
    let output = run_python(environment, "tests/python/list_samples.py", &[reader, &dataset.display().to_string()]);
    let mut listed = Listed::new();
    for line in output.lines() {
        let mut sample: Value = serde_json::from_str(line).unwrap();
        let list = |value: Value| serde_json::from_value::<Vec<String>>(value).unwrap();
        let facts = (list(sample["texts"].take()), list(sample["images"].take()));
        let earlier = listed.insert(sample["id"].as_str().unwrap().to_owned(), facts);
        assert!(earlier.is_none(), "{reader} gives a sample twice: {line}");
    }
    listed
}

fn check(environment: &str, reader: &str, dataset: &Path) {
    assert!(samples_of(environment, reader, dataset) == samples(dataset), "{reader} of {}", dataset.display());
}

#[test]
fn webdataset_gives_every_sample() {
    let (_workshop, built) = built("");
    check("readers", "webdataset", &built.dataset);
}

#[test]
fn hugging_face_datasets_reads_a_dataset_of_webdataset_shards_alone() {
    let (_workshop, built) = built("");
    for reader in ["hugging_face", "streaming"] {
        check("datasets", reader, &built.dataset);
    }
    for stage in stages() {
        check("datasets", "streaming", stage);
    }
}

#[test]
fn hugging_face_datasets_reads_parquet_where_there_are_both() {
    let (_workshop, built) = built("formats = [\"webdataset\", \"parquet\"]");
    check("datasets", "streaming", &built.dataset);
    let card = fs::read_to_string(built.dataset.join("README.md")).unwrap();
    assert_eq!(card.matches("features: &features\n").count(), 1, "{card}");
    assert!(!card.contains("webdataset/*/*.tar\""), "{card}");
}

#[test]
fn mlcroissant_reads_the_samples_of_parquet_and_the_json_of_tars() {
    let (_workshop, both) = built("formats = [\"webdataset\", \"parquet\"]");
    check("croissant", "mlcroissant", &both.dataset);
    for format in ["webdataset", "vila", "energon_chatml"] {
        let (_workshop, tars) = built(&format!("formats = [\"{format}\"]\nmax_shard_samples = 2"));
        let mut expected = samples(&tars.dataset);
        for (_, images) in expected.values_mut() {
            images.clear();
        }
        assert!(samples_of("croissant", "mlcroissant", &tars.dataset) == expected, "{format}");
    }
    let card: Value = serde_json::from_slice(&fs::read(both.dataset.join("croissant.json")).unwrap()).unwrap();
    for file in card["distribution"].as_array().unwrap().iter().filter(|file| file["@type"] == "cr:FileObject") {
        let bytes = fs::read(both.dataset.join(file["contentUrl"].as_str().unwrap())).unwrap();
        assert_eq!(file["sha256"], sha256(&bytes));
    }
}

#[test]
fn every_other_format_gives_every_sample() {
    let (_workshop, built) =
        built("formats = [\"webdataset\", \"parquet\", \"energon_chatml\", \"vila\", \"mds\"]\nmax_shard_samples = 2");
    built.verify();
    for reader in ["energon_chatml", "vila", "mds"] {
        check("readers", reader, &built.dataset);
    }
}

#[test]
fn a_video_is_one_place_and_a_list_of_frames_for_megatron_bridge() {
    let mut workshop = Workshop::new();
    workshop.head = workshop.head.replace("[format]\n", "[output]\nformats = [\"energon_chatml\"]\n[format]\n");
    for number in 0..3 {
        workshop.write(&format!("media/clip/{number}.jpg"), photo(number, 64, 48));
    }
    let said = json!([{ "from": "human", "value": "<video>\nWhat happens?" }, { "from": "gpt", "value": "Waves." }]);
    let clip = json!({ "id": "clip", "video": "clip", "conversations": said });
    workshop.add_source("videos", "llava_video", &json!([clip]), "fps = 1.0");
    let built = workshop.build();
    built.verify();
    check("readers", "energon_chatml", &built.dataset);
    assert_eq!(built.manifest.total.cost.num_frames, 3);
}

/// Clients that need PyTorch: `make clients` has it.
pub(crate) fn has_torch() -> bool {
    let is_asked = std::env::var_os("MANYFRAME_CLIENTS").is_some();
    if !is_asked {
        note_unasked("MANYFRAME_CLIENTS is not set; `make clients` sets it");
    }
    is_asked
}

#[test]
fn megatron_energon_streaming_and_wids_give_every_sample() {
    if !has_torch() {
        return;
    }
    let formats = "formats = [\"webdataset\", \"energon_chatml\", \"vila\", \"mds\"]\nmax_shard_samples = 2";
    let (_workshop, built) = built(formats);
    for reader in ["energon", "megatron_bridge", "streaming_dataset", "wids"] {
        check("torch", reader, &built.dataset);
    }
    for stage in stages() {
        check("torch", "energon", stage);
    }
}

#[test]
fn the_dataset_class_of_longllava_makes_the_tokens_and_pixels_of_a_dataset() {
    if !has_torch() {
        return;
    }
    let Some(repository) = std::env::var_os("MANYFRAME_LONGLLAVA") else {
        note_unasked("MANYFRAME_LONGLLAVA is no checkout of https://github.com/FreedomIntelligence/LongLLaVA");
        return;
    };
    let tokenizer = Path::new(&repository).join("llava/model/language_model/Jamba/tokenizer.json");
    let mut workshop = Workshop::new();
    workshop.head = format!(
        "name = \"t\"\n[output]\nformats = [\"webdataset\", \"parquet\"]\n[pack]\nmax_tokens = 800\n\
         [format]\ntokenizer = {tokenizer:?}\nturn_end = \"newline-in-eos-label\"\n"
    );
    let built = build(&mut workshop);
    let dataset = built.dataset.display().to_string();
    for more in [&[][..], &["--packed"]] {
        let out = workshop.text(&format!("export-{}", more.len()));
        run(&[&["export", &dataset, "--format", "llava_json", "--output", &out, "--quiet"], more].concat(), 0);
        let mut command = package_python("torch");
        command.arg(root().join("tests/python/longllava_dataset.py")).arg(&repository).args([&out, &dataset]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(counts["num_images"], built.manifest.total.cost.num_images);
    }
}

#[test]
fn the_preset_packs_of_xtuner_have_the_tokens_of_a_dataset() {
    if !has_torch() {
        return;
    }
    let Some(repository) = std::env::var_os("MANYFRAME_XTUNER") else {
        note_unasked("MANYFRAME_XTUNER is no checkout of https://github.com/InternLM/xtuner");
        return;
    };
    let mut workshop = Workshop::new();
    let tokenizer = crate::families::tokenizer(&workshop);
    workshop.head = format!(
        "name = \"t\"\n[output]\nformats = [\"webdataset\", \"parquet\"]\n[pack]\nmax_tokens = 800\n\
         [format]\ntokenizer = {tokenizer:?}\ntemplate = \"chatml\"\n"
    );
    let said = |number: u32| {
        let system = number.is_multiple_of(3).then(|| json!({ "from": "system", "value": "Be brief." }));
        let turns = (0..=number % 4).flat_map(|turn| {
            let question = format!("Is {number} + {turn} odd?\n\n  Whatever “odd” is… 日本 🙂");
            [json!({ "from": "human", "value": question }), json!({ "from": "gpt", "value": "Ask \"me\"\tlater." })]
        });
        json!({ "id": format!("t{number}"), "conversations": system.into_iter().chain(turns).collect::<Vec<_>>() })
    };
    workshop.add_source("a", "text", &(0..40).map(said).collect(), "");
    let built = workshop.build();
    let (dataset, out) = (built.dataset.display().to_string(), workshop.text("xtuner"));
    run(
        &[
            "export",
            &dataset,
            "--format",
            "xtuner_pack",
            "--output",
            &out,
            "--path-prefix",
            &format!("{out}/"),
            "--quiet",
        ],
        0,
    );
    let mut command = package_python("torch");
    command.arg(root().join("tests/python/xtuner_packs.py")).arg(&repository).args([&out, &dataset, &tokenizer, "800"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts["num_samples"], 40);
    assert_eq!(counts["num_tokens"], built.manifest.total.cost.num_tokens());
}

#[test]
fn the_files_of_energon_are_those_that_it_prepares_itself() {
    if !has_torch() {
        return;
    }
    let formats = "formats = [\"webdataset\", \"energon_chatml\"]\nmax_shard_samples = 2\nenergon_index = true";
    let (workshop, small) = built(formats);
    for (number, dataset) in stages().iter().chain([&small.dataset]).enumerate() {
        for format in ["webdataset", "energon_chatml"] {
            let directory = dataset.join(format);
            if directory.exists() {
                let copy = workshop.text(&format!("prepared-{number}-{format}"));
                run_python("torch", "tests/python/prepare_energon.py", &[&directory.display().to_string(), &copy]);
            }
        }
    }
}

#[test]
fn the_indexes_of_energon_say_where_samples_are() {
    let (_workshop, small) = built("max_shard_samples = 2");
    for dataset in stages().iter().chain([&small.dataset]) {
        let directory = dataset.join("webdataset");
        let output = run_python("readers", "tests/python/energon_index.py", &[&directory.display().to_string()]);
        let expected: BTreeMap<String, Vec<u64>> = serde_json::from_str(&output).unwrap();
        let shards = &DatasetReader::open(dataset).unwrap().manifest().shards.clone();
        let shards = shards.iter().filter(|shard| shard.path.to_string().starts_with("webdataset/"));
        assert_eq!(expected.len(), shards.clone().count());
        for (shard, offsets) in &expected {
            let index = fs::read(directory.join(format!("{shard}.idx"))).unwrap();
            let found: Vec<u64> = index.chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
            assert_eq!(&found, offsets, "{shard}");
        }
        let info: Value = serde_json::from_slice(&fs::read(directory.join(".nv-meta/.info.json")).unwrap()).unwrap();
        for shard in shards {
            let name = shard.path.to_string().replace("webdataset/", "");
            assert_eq!(info["shard_counts"][&name], shard.total.num_samples, "{name}");
        }
    }
}

#[test]
fn the_database_of_energon_has_every_member_and_is_verified() {
    let (_workshop, built) =
        built("formats = [\"webdataset\", \"vila\", \"energon_chatml\"]\nmax_shard_samples = 2\nenergon_index = true");
    built.verify();
    assert!(!built.dataset.join("vila/.nv-meta").exists());
    let name = "webdataset/.nv-meta/index.sqlite";
    for format in ["webdataset", "energon_chatml"] {
        let directory = built.dataset.join(format).display().to_string();
        let num_samples = run_python("readers", "tests/python/energon_database.py", &[&directory]);
        assert_eq!(num_samples.trim(), "5", "{format}");
    }
    let file = built.dataset.join(name);
    let whole = fs::read(&file).unwrap();
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&file, other).unwrap();
    let dataset = built.dataset.display().to_string();
    let text = String::from_utf8(run(&["verify", &dataset, "--quiet"], 1).stdout).unwrap();
    assert!(text.contains(&format!("problem: {name} has bytes that do not follow from the shards")), "{text}");
    fs::write(&file, whole).unwrap();
    built.verify();
    let (_workshop, again) = self::built("formats = [\"parquet\", \"webdataset\"]");
    assert!(!again.dataset.join(name).exists());
}

#[test]
fn an_index_that_does_not_fit_its_shard_is_a_problem() {
    let (_workshop, built) = built("");
    let dataset = built.dataset.display().to_string();
    let index = "webdataset/image/000000.tar.idx";
    let whole = fs::read(built.dataset.join(index)).unwrap();
    let problems = |what: &str| {
        let text = String::from_utf8(run(&["verify", &dataset, "--quiet"], 1).stdout).unwrap();
        assert!(text.contains(&format!("problem: {index} {what}")), "{text}");
    };
    fs::write(built.dataset.join(index), &whole[8..]).unwrap();
    problems("has bytes that do not follow from the shards");
    fs::remove_file(built.dataset.join(index)).unwrap();
    problems("is missing");
}
