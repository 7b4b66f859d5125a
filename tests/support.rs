//! What the tests share: running manyframe, generated photographs, and sources that are written on the spot.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use manyframe_dataset::{LedgerRow, Manifest, read_ledger};
use manyframe_skip::skip;
use serde_json::Value;

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a directory, by its path there, with its bytes; none if there is no such directory.
pub(crate) fn contents_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(folder) = pending.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().display().to_string();
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// The environment in which the wheel is installed that is to be tested, if it is.
pub(crate) fn wheel() -> Option<PathBuf> {
    std::env::var_os("MANYFRAME_WHEEL").map(PathBuf::from)
}

/// A command that runs manyframe in the root of the repository: the program of the wheel, if that is tested.
pub(crate) fn manyframe(arguments: &[&str]) -> Command {
    let program = wheel().map_or_else(|| env!("CARGO_BIN_EXE_manyframe").into(), |wheel| wheel.join("bin/manyframe"));
    let mut command = Command::new(program);
    command.current_dir(root()).args(arguments);
    command
}

/// Runs manyframe; it must end with this code.
pub(crate) fn run(arguments: &[&str], code: i32) -> Output {
    let output = manyframe(arguments).output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "manyframe {arguments:?}\n{stdout}\n{stderr}");
    output
}

/// stdout of a run that must succeed.
pub(crate) fn stdout(arguments: &[&str]) -> String {
    String::from_utf8(run(arguments, 0).stdout).unwrap()
}

/// Real samples of upstream datasets, where they are at hand; the test is skipped where they are not.
pub(crate) fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("MANYFRAME_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
    if path.join("samples").is_dir() {
        return Some(path);
    }
    skip(&format!("no real samples at {} (MANYFRAME_SHARED names another place)", path.display()));
    None
}

/// The media of the demo, which `make test` fetches.
pub(crate) fn demo_media() -> PathBuf {
    let path = root().join(".env/demo");
    assert!(path.join(".complete").exists(), "run `make test`, or: python3 pipelines/demo/fetch.py .env/demo");
    path
}

/// The interpreter of a Python environment that `make test` makes.
pub(crate) fn python(environment: &str) -> PathBuf {
    let path = root().join(".env/python").join(environment).join("bin/python");
    assert!(path.exists(), "run `make test`, or: tests/setup/python.sh .env/python");
    path
}

/// Runs a Python script that must succeed; returns its stdout.
pub(crate) fn run_python(environment: &str, script: &str, arguments: &[&str]) -> String {
    let output = Command::new(python(environment))
        .current_dir(root())
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_DATASETS_CACHE", root().join("target/tmp/hf-cache"))
        .arg(script)
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}\n{}\n{stderr}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// A tar of some files.
pub(crate) fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in files {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes.extend(header);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A tar of one file.
pub(crate) fn tar_with(name: &str, content: &[u8]) -> Vec<u8> {
    tar_of(&[(name.to_owned(), content.to_owned())])
}

/// A directory for one test, with sources that it writes.
pub(crate) struct Workshop {
    directory: tempfile::TempDir,
    sources: String,
    pub(crate) head: String,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        // A small tokenizer with Jamba's special tokens, which is committed: these tests need no download.
        let tokenizer = root().join("crates/format/tests/golden/jamba.model");
        let head = format!("name = \"t\"\nseed = 3\n[format]\ntokenizer = {:?}\n", tokenizer.display().to_string());
        Self { directory: tempfile::tempdir().unwrap(), sources: String::new(), head }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file below the directory.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Adds a source with a JSON array as its annotations and `media/` as its media.
    pub(crate) fn add_source(&mut self, name: &str, kind: &str, records: &Value, more: &str) -> &mut Self {
        self.write(&format!("{name}.json"), serde_json::to_vec_pretty(records).unwrap());
        self.add_source_file(name, kind, &format!("{name}.json"), more)
    }

    /// Adds a source with annotations that are there already.
    pub(crate) fn add_source_file(&mut self, name: &str, kind: &str, file: &str, more: &str) -> &mut Self {
        fs::create_dir_all(self.path("media")).unwrap();
        self.sources.push_str(&format!(
            "[[source]]\nname = \"{name}\"\nkind = \"{kind}\"\nannotations = {:?}\nmedia = {:?}\n{more}\n",
            self.text(file),
            self.text("media"),
        ));
        self
    }

    /// Writes the pipeline file.
    pub(crate) fn pipeline(&self) -> String {
        let path = self.write("pipeline.toml", format!("{}{}", self.head, self.sources));
        path.display().to_string()
    }

    /// Builds into `out`, whatever is rejected; returns the manifest and the ledger.
    pub(crate) fn build(&self) -> Built {
        self.build_with(&[], 0)
    }

    /// As [`Self::build`], with more arguments.
    pub(crate) fn build_with(&self, more: &[&str], code: i32) -> Built {
        self.run_build(&[&["--accept-rejects"], more].concat(), code);
        Built::read(&self.path("out"))
    }

    /// Builds into `out` with nothing but these arguments, and accepts no rejects; it must end with this code.
    pub(crate) fn run_build(&self, more: &[&str], code: i32) -> Output {
        let (pipeline, out) = (self.pipeline(), self.text("out"));
        run(&[&["build", &pipeline, "--output", &out, "--quiet"], more].concat(), code)
    }
}

/// A dataset with its ledger.
pub(crate) struct Built {
    pub(crate) dataset: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) ledger: Vec<LedgerRow>,
}

impl Built {
    pub(crate) fn read(dataset: &Path) -> Self {
        let manifest = Manifest::read(dataset).unwrap();
        let ledger = read_ledger(&dataset.join("ledger.parquet")).unwrap().collect::<Result<_, _>>().unwrap();
        Self { dataset: dataset.to_owned(), manifest, ledger }
    }

    /// The ledger row of an upstream id.
    pub(crate) fn row(&self, upstream_id: &str) -> &LedgerRow {
        let mut rows = self.ledger.iter().filter(|row| row.upstream_id == upstream_id);
        let row = rows.next().unwrap_or_else(|| panic!("{upstream_id} is not in the ledger"));
        assert!(rows.next().is_none(), "{upstream_id} is in the ledger more than once");
        row
    }

    /// How many records have each outcome: `delivered`, `duplicate`, `not_drawn`, or the reason of a reject.
    pub(crate) fn outcomes(&self) -> BTreeMap<String, usize> {
        let mut outcomes = BTreeMap::new();
        for row in &self.ledger {
            let outcome = row.reason.clone().unwrap_or_else(|| row.status.as_str().to_owned());
            *outcomes.entry(outcome).or_insert(0) += 1;
        }
        outcomes
    }

    /// `manyframe verify` finds nothing.
    pub(crate) fn verify(&self) {
        run(&["verify", &self.dataset.display().to_string(), "--quiet"], 0);
    }

    /// One sample as `inspect --json` shows it.
    pub(crate) fn sample(&self, id: &str) -> Value {
        serde_json::from_str(&stdout(&["inspect", &self.dataset.display().to_string(), id, "--json"])).unwrap()
    }
}

/// A JPEG with content that differs from number to number.
pub(crate) fn photo(number: u32, width_px: u32, height_px: u32) -> Vec<u8> {
    let pixel = |x: u32, y: u32| {
        let wave = |a: u32, b: u32| ((a * x + b * y + number * 37) % 251) as u8;
        image::Rgb([wave(1, 2), wave(3, 1), wave(2 + number % 5, 3)])
    };
    encode(&image::RgbImage::from_fn(width_px, height_px, pixel), image::ImageFormat::Jpeg)
}

/// An image in a file format.
pub(crate) fn encode(image: &image::RgbImage, format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A record in LLaVA's form with one image.
pub(crate) fn llava(id: &str, image: &str) -> Value {
    serde_json::json!({
        "id": id,
        "image": image,
        "conversations": [
            { "from": "human", "value": format!("<image>\nWhat is shown in picture {id}?") },
            { "from": "gpt", "value": format!("Waves, in picture {id}.") },
        ],
    })
}
