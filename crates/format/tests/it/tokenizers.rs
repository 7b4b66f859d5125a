//! Tokenizers agree with sentencepiece and with Hugging Face's tokenizers.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use manyframe_core::{Part, Role, Turn, Visual, VisualKind};
use manyframe_format::{FormatError, FormatSpec, Formatter, Template, Tokenizer};
use manyframe_vision::Family;
use serde::Deserialize;

use crate::{FormatShapes, IMAGE, golden, tokenizer};

#[derive(Deserialize)]
struct Expected {
    text: String,
    #[serde(rename = "jamba.model")]
    jamba: Vec<u32>,
    #[serde(rename = "llama.model")]
    llama: Vec<u32>,
    #[serde(rename = "bytes.json")]
    bytes: Vec<u32>,
}

fn check(name: &str, ids: impl Fn(&Expected) -> &Vec<u32>) {
    let expected: Vec<Expected> = serde_json::from_slice(&fs::read(golden("expected.json")).unwrap()).unwrap();
    let tokenizer = tokenizer(name);
    for row in &expected {
        assert_eq!(&tokenizer.encode(&row.text).unwrap(), ids(row), "{:?}", row.text);
        assert_eq!(tokenizer.count(&row.text).unwrap(), ids(row).len() as u64, "{:?}", row.text);
    }
}

#[test]
fn a_model_without_prefix_has_the_ids_of_sentencepiece() {
    check("jamba.model", |row| &row.jamba);
}

#[test]
fn a_model_with_prefix_has_the_ids_of_sentencepiece() {
    check("llama.model", |row| &row.llama);
}

#[test]
fn a_byte_level_tokenizer_has_the_ids_of_hugging_face() {
    check("bytes.json", |row| &row.bytes);
}

#[test]
fn special_tokens_are_tokens_in_prompts_only() {
    for name in ["jamba.model", "bytes.json"] {
        let tokenizer = tokenizer(name);
        let end = tokenizer.special("<|endoftext|>").unwrap();
        assert_eq!(tokenizer.encode_prompt("<|endoftext|>").unwrap(), [end]);
        assert_eq!(tokenizer.count_prompt(["<|endoftext|>", "<|endoftext|>"]).unwrap(), 2);
        assert!(!tokenizer.encode("<|endoftext|>").unwrap().contains(&end));
        assert_eq!(tokenizer.special("the"), None);
    }
}

#[test]
fn the_vocabulary_and_special_tokens_of_a_file_are_read() {
    let jamba = tokenizer("jamba.model");
    assert_eq!(jamba.vocab_size(), 700);
    assert_eq!(jamba.specials().collect::<Vec<_>>(), ["<|endoftext|>", "<|pad|>", "<|startoftext|>", "<|unk|>"]);
    assert_ne!(jamba.digest(), tokenizer("llama.model").digest());
}

#[test]
fn a_file_that_is_not_a_tokenizer_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer");
    assert!(matches!(Tokenizer::open(&path), Err(FormatError::ReadTokenizer { .. })));
    let model = fs::read(golden("jamba.model")).unwrap();
    let json = fs::read(golden("bytes.json")).unwrap();
    for bytes in [&b""[..], b"\n", b"{}", b"hello", b"\xff\xff\xff", &model[..model.len() - 1], &json[..json.len() - 9]]
    {
        std::io::copy(&mut &*bytes, &mut fs::File::create(&path).unwrap()).unwrap();
        assert!(Tokenizer::open(&path).is_err(), "{:?}", &bytes[..bytes.len().min(9)]);
    }
}

#[test]
fn a_tokenizer_that_multiplies_its_texts_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer");
    let doubling = |letter: &str| serde_json::json!({ "type": "Replace", "pattern": { "String": letter }, "content": letter.repeat(2) });
    for letter in ["a", "\0", "\u{E000}"] {
        let mut json: serde_json::Value = serde_json::from_slice(&fs::read(golden("bytes.json")).unwrap()).unwrap();
        json["normalizer"] = serde_json::json!({ "type": "Sequence", "normalizers": vec![doubling(letter); 60] });
        serde_json::to_writer(fs::File::create(&path).unwrap(), &json).unwrap();
        let error = Tokenizer::open(&path).unwrap_err().to_string();
        assert!(error.contains("can make a text more than 16 times as long"), "{error}");
    }
}

#[test]
fn a_table_of_characters_that_claims_gigabytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(golden("bytes.json")).unwrap()).unwrap();
    json["normalizer"] = serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": "/P////8A" });
    serde_json::to_writer(fs::File::create(&path).unwrap(), &json).unwrap();
    let error = Tokenizer::open(&path).unwrap_err().to_string();
    assert!(error.contains("a table that claims 4294967292 bytes and has 2"), "{error}");
}

#[test]
fn a_tokenizer_on_which_its_library_panics_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(golden("bytes.json")).unwrap()).unwrap();
    // A table of characters without an entry, and a prefix that is longer than the tokens that should begin with it.
    let (mut table, mut prefix) = (json.clone(), json);
    table["normalizer"] = serde_json::json!({ "type": "Precompiled", "precompiled_charsmap": "AAAAAA==" });
    prefix["model"]["continuing_subword_prefix"] = "####".into();
    for json in [table, prefix] {
        serde_json::to_writer(fs::File::create(&path).unwrap(), &json).unwrap();
        let error = format!("{:?}", Tokenizer::open(&path).unwrap_err());
        assert!(error.contains("contradicts itself"), "{error}");
    }
}

#[test]
fn a_model_with_a_very_long_piece_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer");
    // The length of a message of a protocol buffer, seven bits a byte.
    let length = |mut number: usize| {
        let mut bytes = Vec::new();
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    };
    let text = "ab".repeat(1_000_000);
    let piece = [&[0x0A][..], &length(text.len()), text.as_bytes(), &[0x15], &(-1000.0_f32).to_le_bytes()].concat();
    let model = [&fs::read(golden("jamba.model")).unwrap(), &[0x0A][..], &length(piece.len()), &piece].concat();
    std::io::copy(&mut &*model, &mut fs::File::create(&path).unwrap()).unwrap();
    let error = Tokenizer::open(&path).unwrap_err().to_string();
    assert!(error.contains("has a piece of 2000000 bytes, more than 512"), "{error}");
}

#[test]
fn a_damaged_model_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer");
    let model = fs::read(golden("jamba.model")).unwrap();
    for position in (0..model.len()).step_by(397) {
        for value in [0, 0x7f, 0xff] {
            let mut damaged = model.clone();
            damaged[position] = value;
            std::io::copy(&mut &*damaged, &mut fs::File::create(&path).unwrap()).unwrap();
            if let Ok(tokenizer) = Tokenizer::open(&path) {
                let text = "The red cat, 12\n<img>é";
                assert_eq!(tokenizer.encode(text).unwrap().len() as u64, tokenizer.count(text).unwrap());
                let ids = tokenizer.encode_prompt_spans(text).unwrap().into_iter().map(|span| span.id);
                assert!(ids.eq(tokenizer.encode_prompt(text).unwrap()));
            }
        }
    }
}

#[test]
fn the_unknown_token_is_the_unknown_piece_whatever_the_trainer_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer");
    // A second `trainer_spec` overrides fields of the first: `byte_fallback` is false, `unk_id` is 5000.
    let trainer = [0x12, 7, 0x98, 0x02, 0, 0xC0, 0x02, 0x88, 0x27];
    let model = [&fs::read(golden("jamba.model")).unwrap()[..], &trainer].concat();
    std::io::copy(&mut &*model, &mut fs::File::create(&path).unwrap()).unwrap();
    let tokenizer = Tokenizer::open(&path).unwrap();
    let unknown = tokenizer.special("<|unk|>").unwrap();
    let spans = tokenizer.encode_prompt_spans("The \u{10348}cat").unwrap();
    assert!(spans.iter().any(|span| (span.id, span.start, span.end) == (unknown, 4, 8)), "{spans:?}");
}

#[test]
fn a_tokenizer_is_shared_by_threads() {
    let tokenizer = tokenizer("jamba.model");
    let text = "The green cat stands behind 3 houses. ".repeat(40);
    let expected = tokenizer.encode(&text).unwrap().len() as u64;
    std::thread::scope(|scope| {
        for _thread in 0..4 {
            scope.spawn(|| assert_eq!(tokenizer.count(&text).unwrap(), expected));
        }
    });
}

/// A directory of the Hugging Face Hub with a tokenizer of the tests, and a configuration.
#[expect(clippy::disallowed_methods, reason = "a test writes its files")]
fn snapshot(file: &str, name: &str, config: &serde_json::Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(golden(file), directory.path().join(name)).unwrap();
    std::fs::write(directory.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    directory
}

fn added(id: u32, content: &str) -> serde_json::Value {
    serde_json::json!({ "added_tokens_decoder": { id.to_string(): { "content": content, "special": true } } })
}

#[test]
fn a_directory_has_a_tokenizer_and_the_tokens_that_its_configuration_adds() {
    for (file, name) in [("llama.model", "tokenizer.model"), ("bytes.json", "tokenizer.json")] {
        let bare = Tokenizer::open(&golden(file)).unwrap();
        let next = bare.vocab_size();
        let directory = snapshot(file, name, &added(next, "<image>"));
        let tokenizer = Tokenizer::open(directory.path()).unwrap();
        assert_eq!((tokenizer.special("<image>"), tokenizer.vocab_size()), (Some(next), next + 1), "{name}");
        assert_ne!(tokenizer.digest(), bare.digest());
        let text = "a<image>é";
        let spans = tokenizer.encode_prompt_spans(text).unwrap();
        let image = spans.iter().find(|span| span.id == next).unwrap();
        assert_eq!(&text[image.start..image.end], "<image>");
        assert_eq!(tokenizer.count_prompt([text]).unwrap(), spans.len() as u64);
        // A configuration that adds nothing changes nothing.
        let same = snapshot(file, name, &serde_json::json!({ "model_max_length": 4096 }));
        assert_eq!(Tokenizer::open(same.path()).unwrap().digest(), bare.digest());
    }
}

#[test]
fn a_tokenizer_json_counts_before_a_model() {
    let directory = snapshot("bytes.json", "tokenizer.json", &serde_json::json!({}));
    std::fs::copy(golden("llama.model"), directory.path().join("tokenizer.model")).unwrap();
    assert_eq!(Tokenizer::open(directory.path()).unwrap().digest(), tokenizer("bytes.json").digest());
}

#[test]
fn a_directory_that_is_no_tokenizer_says_why() {
    let problem = |directory: &tempfile::TempDir| Tokenizer::open(directory.path()).unwrap_err().to_string();
    assert!(problem(&tempfile::tempdir().unwrap()).contains("it has neither tokenizer.json nor tokenizer.model"));
    let shifted = snapshot("llama.model", "tokenizer.model", &added(1, "<image>"));
    assert!(problem(&shifted).contains("has \"<s>\" as 1, not \"<image>\""), "{}", problem(&shifted));
    let far = snapshot("bytes.json", "tokenizer.json", &added(900_000, "<image>"));
    assert!(problem(&far).contains("not as 900000"), "{}", problem(&far));
    let damaged = snapshot("llama.model", "tokenizer.model", &serde_json::json!([]));
    assert!(problem(&damaged).contains("it is no JSON object"), "{}", problem(&damaged));
}

#[derive(Deserialize)]
struct Llama {
    texts: Vec<String>,
    rows: Vec<LlamaRow>,
}

#[derive(Deserialize)]
struct LlamaRow {
    name: String,
    files: BTreeMap<String, serde_json::Value>,
    ids: Vec<Vec<i32>>,
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test writes its files")]
fn a_sentencepiece_model_has_the_ids_of_llamas_tokenizer_in_transformers() {
    let expected: Llama = serde_json::from_slice(&fs::read(golden("llama.json")).unwrap()).unwrap();
    let llava: Family = toml::from_str("family = \"llava-1.5\"").unwrap();
    let question =
        [Part::Visual(Visual { kind: VisualKind::Image, media: 0 }), Part::Text("What is in this image?".to_owned())];
    let turns = [
        Turn { role: Role::User, parts: question.into() },
        Turn { role: Role::Assistant, parts: vec![Part::Text("A red cat.".to_owned())] },
    ];
    for row in &expected.rows {
        let directory = tempfile::tempdir().unwrap();
        fs::copy(golden("llama.model"), directory.path().join("tokenizer.model")).unwrap();
        for (name, content) in &row.files {
            fs::write(directory.path().join(name), content.to_string()).unwrap();
        }
        let tokenizer = Arc::new(Tokenizer::open(directory.path()).unwrap());
        let formatter = Formatter::new(&FormatSpec::default(), &llava, tokenizer).unwrap();
        for (text, ids) in expected.texts.iter().zip(&row.ids) {
            let runs = vec![1; text.matches("<image>").count()];
            assert_eq!(formatter.encode(text, &[], &runs).unwrap().input_ids, *ids, "{}: {text:?}", row.name);
        }
        let sample = formatter.format_shapes(&turns, &[IMAGE]).unwrap();
        assert_eq!(sample.prompt, expected.texts[0]);
        // An image is 576 tokens.
        assert_eq!(sample.cost.num_tokens(), row.ids[0].len() as u64 + 575, "{}", row.name);
    }
}

#[test]
fn a_tokenizer_json_that_puts_a_space_before_each_text_is_counted_as_it_encodes() {
    let llava: Family = toml::from_str("family = \"llava-1.5\"").unwrap();
    let formatter = Formatter::new(&FormatSpec::default(), &llava, tokenizer("llama_tokenizer.json")).unwrap();
    let text = |text: &str| Part::Text(text.to_owned());
    let image = Part::Visual(Visual { kind: VisualKind::Image, media: 0 });
    let turns = [
        Turn { role: Role::User, parts: vec![image, text("What is in this image?")] },
        Turn { role: Role::Assistant, parts: vec![text("A red cat, behind  the house.")] },
    ];
    let sample = formatter.format_shapes(&turns, &[IMAGE]).unwrap();
    let tokens = formatter.encode(&sample.prompt, &sample.label_spans, &sample.runs).unwrap();
    assert_eq!(tokens.input_ids.len() as u64, sample.cost.num_tokens());
    assert_eq!(tokens.input_ids[0], 1);
}

#[test]
fn a_model_by_itself_begins_with_s_where_the_familys_tokenizer_is_llamas() {
    let begins = |family: &str| {
        let directory = snapshot("llama.model", "tokenizer.model", &added(700, "<image>"));
        let spec = FormatSpec { template: Some(Template::Chatml), ..FormatSpec::default() };
        let family: Family = toml::from_str(family).unwrap();
        let tokenizer = Arc::new(Tokenizer::open(directory.path()).unwrap());
        let formatter = Formatter::new(&spec, &family, tokenizer).unwrap();
        formatter.encode("a", &[], &[]).unwrap().input_ids[0] == 1
    };
    assert!(begins("family = \"llava-1.5\""));
    assert!(!begins("family = \"custom\"\nplaceholder = \"<image>\"\nlaw = { fixed = { tokens = 9 } }"));
    assert!(!begins("family = \"longllava\""));
}
