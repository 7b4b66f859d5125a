//! Promise: what README and the pages beside it show runs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::clients::has_torch;
use crate::demo::stages;
use crate::python_package::package_python;
use crate::support::{Built, photo, root, run, stdout};

fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The blocks of code that follow a marked comment, `<!-- MARK: NAME -->`, with the name that each comment has.
fn marked_blocks(page: &str, mark: &str) -> Vec<(String, String)> {
    let comment = format!("<!-- {mark}: ");
    page.split(&comment)
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once(" -->").unwrap();
            let code = rest.split_once("```").unwrap().1.split_once('\n').unwrap().1.split_once("```").unwrap().0;
            (name.to_owned(), code.to_owned())
        })
        .collect()
}

#[test]
fn the_python_of_the_pages_reads_the_demo() {
    let blocks = marked_blocks(&page("schemas/README.md"), "python");
    assert_eq!(blocks.len(), 4);
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("out")).unwrap();
    std::os::unix::fs::symlink(stages()[2].parent().unwrap(), home.path().join("out/demo")).unwrap();
    for (environment, code) in blocks.into_iter().filter(|(environment, _)| environment != "torch" || has_torch()) {
        let output = package_python(&environment)
            .current_dir(home.path())
            .env("HF_HUB_OFFLINE", "1")
            .env("HF_HOME", home.path())
            .args(["-c", &code])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{code}\n{stderr}");
        assert!(String::from_utf8_lossy(&output.stdout).lines().count() >= 8, "it prints every sample");
    }
}

#[test]
fn your_own_data_is_built_as_the_readme_says() {
    let files: BTreeMap<String, String> = marked_blocks(&page("README.md"), "own data").into_iter().collect();
    let directory = tempfile::tempdir().unwrap();
    let mine = directory.path().join("mine");
    std::fs::create_dir_all(mine.join("images")).unwrap();
    for (name, text) in &files {
        std::fs::write(mine.join(name), text).unwrap();
    }
    std::fs::write(mine.join("images/cat.jpg"), photo(1, 640, 480)).unwrap();
    std::fs::copy(root().join("crates/format/tests/golden/jamba.model"), mine.join("tokenizer.model")).unwrap();
    let pipeline = mine.join("pipeline.toml").display().to_string();
    let dataset = directory.path().join("out/mine").display().to_string();
    let written = mine.join("written.toml");
    run(&["init", &mine.display().to_string(), "--output", &written.display().to_string()], 0);
    let written = std::fs::read_to_string(written).unwrap();
    let setting = |line: &str| line.split(" #").next().unwrap_or_default().trim().to_owned();
    let settings = |text: &str| text.lines().map(setting).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let written: Vec<_> = settings(&written).into_iter().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(written, settings(&files["pipeline.toml"]));
    run(&["check", &pipeline], 0);
    run(&["build", &pipeline, "--quiet", "--output", &dataset], 0);
    assert_eq!(
        Built::read(dataset.as_ref()).row("1").shard.map(|shard| shard.to_string()).as_deref(),
        Some("image/000000")
    );
    assert!(stdout(&["inspect", &dataset, "1"]).contains("⟦A grey cat, asleep."));
    assert!(stdout(&["why", &dataset, "1"]).contains("delivered in shard image/000000"));
    run(&["pack", &dataset], 0);
    let output = package_python("readers").current_dir(directory.path()).arg("mine/read.py").output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    for shown in ["A grey cat, asleep.", "(480, 640, 3)", "delivered", "[(480, 640, 3)]"] {
        assert!(stdout.contains(shown), "{shown}: {stdout}");
    }
}

#[test]
fn the_pipeline_file_of_the_page_is_made_of_lines_of_the_demo() {
    let page = page("pipelines/README.md");
    let demo = self::page("pipelines/demo/3-multi-image.toml");
    let shown = page.split_once("```toml\n").unwrap().1.split_once("```").unwrap().0;
    let setting = |line: &str| line.split('#').next().unwrap_or_default().trim().to_owned();
    let known: Vec<String> = demo.lines().map(setting).collect();
    for line in shown.lines().map(setting).filter(|line| !line.is_empty()) {
        assert!(known.contains(&line), "{line:?} is not in the demo");
    }
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    let pages = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "crates/README.md",
        "kernels/README.md",
        "pipelines/README.md",
        "pipelines/cluster.md",
        "pipelines/demo/README.md",
        "pipelines/settings.md",
        "samplers/README.md",
        "schemas/README.md",
        "tests/bench/README.md",
    ];
    let mut num_links = 0;
    for name in pages {
        let directory = root().join(name).parent().unwrap().to_owned();
        for target in page(name).split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0.to_owned()) {
            if !target.contains("://") {
                let path = target.split('#').next().unwrap();
                assert!(directory.join(path).exists(), "{name} links to {target:?}");
                num_links += 1;
            }
        }
    }
    assert!(num_links > 30, "{num_links}");
}

#[test]
fn files_that_the_maps_name_exist() {
    let mut num_files = 0;
    for (name, directories) in [("crates/README.md", ["", ""]), ("samplers/README.md", ["samplers", ""])] {
        for text in page(name).split('`').skip(1).step_by(2) {
            let is_path = text.ends_with('/') || Path::new(text).extension().is_some_and(|e| e == "rs");
            if is_path && text.contains('/') && !text.contains(' ') {
                let exists = directories.iter().any(|directory| root().join(directory).join(text).exists());
                assert!(exists, "{name} names {text:?}");
                num_files += 1;
            }
        }
    }
    assert!(num_files > 40, "{num_files}");
}
