//! Writes the files that the other targets start from, and dictionaries of their words: `seeds CORPUS DICTIONARIES`.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use manyframe_sources::SourceKind;
use manyframe_validate::{ModelConfig, Preset, write_random};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, corpus, dictionaries] = arguments.as_slice() else { return Err("usage: seeds CORPUS DICTIONARIES".into()) };
    let (corpus, dictionaries) = (Path::new(corpus), Path::new(dictionaries));
    for target in ["pipelines", "tokenizers", "templates", "tables", "checkpoints", "listings", "videos"] {
        fs::create_dir_all(corpus.join(target))?;
    }
    pipelines(&corpus.join("pipelines"))?;
    tokenizers(&corpus.join("tokenizers"))?;
    templates(&corpus.join("templates"))?;
    tables(&corpus.join("tables"))?;
    checkpoints(&corpus.join("checkpoints"))?;
    fs::write(
        corpus.join("listings/one"),
        "0 512 1 one.txt\x000 1536 2 two.txt\x001 0 0 folder/link\x002 0 0 folder/pipe\0",
    )?;
    videos(&corpus.join("videos"))?;
    write_dictionaries(corpus, dictionaries)
}

/// Names of boxes of an MP4, as in the other dictionaries.
const BOXES: &str = r#""co64" "ctts" "edts" "elst" "ftyp" "mdat" "mdhd" "moof" "moov" "stco" "stsc" "stsd" "stss" "stsz" "stts" "tfhd" "tkhd" "trun" "udta""#;

/// A dictionary for each target whose seeds are texts, or contain them.
fn write_dictionaries(corpus: &Path, to: &Path) -> Result<(), Failed> {
    fs::create_dir_all(to)?;
    for target in ["checkpoints", "templates", "tokenizers"] {
        let mut text = String::new();
        for seed in fs::read_dir(corpus.join(target))? {
            text += &String::from_utf8_lossy(&fs::read(seed?.path())?);
        }
        fs::write(to.join(target), dictionary(&text))?;
    }
    fs::write(to.join("pipelines"), dictionary(&fs::read_to_string("schemas/pipeline.schema.json")?))?;
    Ok(fs::write(to.join("videos"), dictionary(BOXES))?)
}

/// The words between quotation marks, one a line.
fn dictionary(text: &str) -> String {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-<>|$".contains(&byte);
    let words: BTreeSet<&str> =
        text.split('"').filter(|part| (2..40).contains(&part.len()) && part.bytes().all(is_letter)).collect();
    words.iter().map(|word| format!("\"{word}\"\n")).collect()
}

/// The pipeline files of the project, some with a setting on the command line.
fn pipelines(to: &Path) -> Result<(), Failed> {
    for (number, path) in files("pipelines", "toml")?.iter().enumerate() {
        let text = fs::read_to_string(path)?;
        fs::write(to.join(format!("{number}")), &text)?;
        fs::write(to.join(format!("{number}-set")), format!("--set seed=3\n--set out=/tmp\n{text}"))?;
    }
    let small = "name = \"${a}\"\n[vars]\na = \"x${b}\"\nb = \"y\"\n[format]\ntokenizer = \"t.model\"\n[[source]]\nname = \"s\"\n\
                 kind = \"llava\"\nannotations = [\"a.json\", \"${b}/*.json\"]\nmedia = \"${root}/m\"\ntake = \"10%\"\n";
    Ok(fs::write(to.join("small"), small)?)
}

/// Files below a folder of the project.
fn files(folder: &str, extension: &str) -> Result<Vec<std::path::PathBuf>, Failed> {
    let mut found = Vec::new();
    let mut folders = vec![folder.into()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir::<std::path::PathBuf>(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The tokenizers of the tests, and small ones of each model that `tokenizer.json` may hold.
fn tokenizers(to: &Path) -> Result<(), Failed> {
    for name in ["jamba.model", "llama.model", "bytes.json"] {
        let mut file = b"The red cat\n".to_vec();
        file.extend(fs::read(Path::new("crates/format/tests/golden").join(name))?);
        fs::write(to.join(name), file)?;
    }
    let added = r#"[{"id":3,"content":"<s>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}]"#;
    let models = [
        r#"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"<s>":3,"<0x0A>":4},"merges":["a b"],"byte_fallback":true,"unk_token":"a"}"#,
        r#"{"type":"Unigram","vocab":[["<unk>",0.0],["a",-1.0],["▁b",-2.0]],"unk_id":0}"#,
        r###"{"type":"WordPiece","vocab":{"[UNK]":0,"a":1,"##b":2},"unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":10}"###,
        r#"{"type":"WordLevel","vocab":{"a":0,"b":1},"unk_token":"a"}"#,
    ];
    // A trie of 256 empty nodes, and one text.
    let table = format!(r#"{{"type":"Precompiled","precompiled_charsmap":"AAQA{}AABhYmMA"}}"#, "AAAA".repeat(341));
    let parts = [
        (r#"{"type":"Prepend","prepend":"▁"}"#, "null", "null"),
        (
            r#"{"type":"Replace","pattern":{"String":" "},"content":"▁"}"#,
            r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}"#,
            "null",
        ),
        (
            "null",
            r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#,
            r#"{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}"#,
        ),
        (&table, r#"{"type":"Split","pattern":{"Regex":"\\s+|\\w+"},"behavior":"Isolated","invert":false}"#, "null"),
    ];
    for (number, (model, (normalizer, pre_tokenizer, decoder))) in models.iter().zip(parts).enumerate() {
        let file = format!(
            "ab a\n{{\"version\":\"1.0\",\"added_tokens\":{added},\"normalizer\":{normalizer},\"pre_tokenizer\":{pre_tokenizer},\
             \"post_processor\":null,\"decoder\":{decoder},\"model\":{model}}}"
        );
        fs::write(to.join(format!("small-{number}")), file)?;
    }
    Ok(())
}

fn templates(to: &Path) -> Result<(), Failed> {
    let custom = r#"{"custom":{"start":"<s>","system":"own_turn","system_prefix":"S:","user_prefix":"U: ","user_suffix":"\n","assistant_prefix":"A: ","end":"</s>","markers":["U:"]}}"#;
    let parts = "{% for part in m.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}";
    let lists = format!(
        "{{%- for m in messages %}}{{{{ m['role'].capitalize() ~ ': ' }}}}{{% if m.role == 'assistant' %}}{{% generation %}}{parts}\
         {{% endgeneration %}}{{% else %}}{parts}{{% endif %}}{{{{ eos_token or '</s>' }}}}{{% endfor %}}"
    );
    let texts = "{% macro turn(m) %}{{ m.content | trim }}{% endmacro %}{% set ns = namespace(n=0) %}{% for m in messages[::-1] | reverse %}\
                 {%- set ns.n = ns.n + 1 %}{% if loop.first and m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
                 [{{ ns.n }}]{{ turn(m) }}{{ '</s>' if m.role == 'assistant' else ' | ' }}{% if ns.n > 40 %}{% break %}{% endif %}{% endfor %}";
    let jinja = [&lists, texts].map(|text| serde_json::json!({ "jinja": text }).to_string());
    let around =
        serde_json::json!({ "jinja": { "path": lists, "answers": { "after": "Assistant: ", "until": "</s>" } } })
            .to_string();
    let templates =
        [r#""longllava""#, r#""vicuna""#, r#""chatml""#, custom, r#""smolvlm""#, &jinja[0], &jinja[1], &around];
    let ends = ["eos", "newline-in-eos-label"];
    let dialects = ["longllava", "longllava-2024-10"];
    let conversations = [
        "uxWhat is this? \nui\naxA cat.\nuxAnd <image> this␤?\nuv\naxA dog</s>.",
        "sxBe brief.\nui\nui\nux U: twice <|im_start|> \nax ␤\nuxagain\naxyes\nut\naxtiles",
        "axA document <t> of text <img>.",
    ];
    for (number, template) in templates.iter().enumerate() {
        let (end, dialect) = (ends[number % 2], dialects[number / 2 % 2]);
        for (nth, conversation) in conversations.iter().enumerate() {
            let literal = ["uppercase", "reject", "remove"][nth];
            let settings = format!(
                r#"{{"template":{template},"turn_end":"{end}","dialect":"{dialect}","literal_tags":"{literal}"}}"#
            );
            fs::write(to.join(format!("{number}-{nth}")), format!("{settings}\n{conversation}"))?;
        }
    }
    Ok(())
}

/// Small tables with the fields of most kinds, in several encodings.
fn tables(to: &Path) -> Result<(), Failed> {
    let texts = |texts: [&str; 3]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
    let conversation = r#"[{"from":"human","value":"<image>\nWhat?"},{"from":"gpt","value":"A cat."}]"#;
    let images = StructArray::try_from(vec![
        ("bytes", Arc::new(BinaryArray::from(vec![&b"\x89PNG"[..], b"", b"x"])) as ArrayRef),
        ("path", texts(["a.jpg", "b.jpg", "c.jpg"])),
    ])?;
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as ArrayRef),
        ("conversations", texts([conversation; 3])),
        ("question", texts(["What?", "", "Why?"])),
        ("answer", texts(["A cat.", "so", ""])),
        ("image", Arc::new(images) as ArrayRef),
        ("text", texts(["one", "two", "three"])),
    ])?;
    let encodings = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())];
    for (number, kind) in (0..SourceKind::ALL.len()).enumerate() {
        let properties = WriterProperties::builder()
            .set_compression(encodings[number % encodings.len()])
            .set_dictionary_enabled(number % 2 == 0)
            .set_max_row_group_row_count(Some(2))
            .build();
        let mut writer = ArrowWriter::try_new(vec![kind as u8], batch.schema(), Some(properties))?;
        writer.write(&batch)?;
        fs::write(to.join(format!("{number}")), writer.into_inner()?)?;
    }
    Ok(())
}

/// A model that is as small as it can be with every kind of layer.
fn checkpoints(to: &Path) -> Result<(), Failed> {
    for (number, num_experts) in [1, 2].into_iter().enumerate() {
        let mut config: ModelConfig = Preset::Tiny.config();
        config.vision_config = None;
        let language = &mut config.language;
        (language.hidden_size, language.intermediate_size, language.vocab_size) = (8, 8, 16);
        (language.num_attention_heads, language.num_key_value_heads) = (2, Some(1));
        (language.num_experts, language.num_experts_per_tok) = (num_experts, 1);
        let folder = tempfile::tempdir()?;
        let model = folder.path().join("model");
        write_random(&model, &config, 1)?;
        let parsed: serde_json::Value = serde_json::from_slice(&fs::read(model.join("config.json"))?)?;
        let mut file = format!("{parsed}\n").into_bytes();
        file.extend(fs::read(model.join("model.safetensors"))?);
        fs::write(to.join(format!("{number}")), file)?;
    }
    Ok(())
}

/// Videos of half a second, in the containers and codecs that FFmpeg's encoders write everywhere.
fn videos(to: &Path) -> Result<(), Failed> {
    let kinds = [
        ("a.mp4", "mpeg4"),
        ("fragmented.mp4", "mpeg4"),
        ("a.mkv", "mjpeg"),
        ("a.avi", "mpeg4"),
        ("a.ts", "mpeg2video"),
        ("a.mpg", "mpeg1video"),
        ("a.flv", "flv"),
        ("a.gif", "gif"),
        ("a.ogv", "libtheora"),
        ("a.webm", "libvpx"),
        ("h264.mp4", "libx264"),
        ("vp9.webm", "libvpx-vp9"),
        ("bare.h264", "libx264"),
        ("h264.ts", "libx264"),
        ("h264.mkv", "libx264"),
        ("h264.flv", "libx264"),
        ("a.ivf", "libvpx"),
        ("a.rm", "rv10"),
        ("a.wmv", "wmv2"),
        ("mjpeg.avi", "mjpeg"),
    ];
    for (name, codec) in kinds {
        let mut command = Command::new("ffmpeg");
        command.args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=32x32:rate=25:duration=0.3",
            "-c:v",
            codec,
        ]);
        if name.starts_with("fragmented") {
            command.args(["-movflags", "frag_keyframe+empty_moov"]);
        }
        if codec != "gif" {
            command.args(["-pix_fmt", if codec == "mjpeg" { "yuvj420p" } else { "yuv420p" }]);
        }
        // An encoder that is not there.
        if !command.arg(to.join(name)).status()?.success() {
            let _absent = fs::remove_file(to.join(name));
        }
    }
    Ok(())
}
