//! Promise: reports are shown by a real browser as they are meant: nothing is wider than the window, at any width, every image is
//! there, the search finds, and the page reports no error and asks for nothing from elsewhere.

use std::path::Path;
use std::process::Command;

use manyframe_skip::note_unasked;

use crate::demo::stages;
use crate::report::page_with;
use crate::support::{Workshop, llava, photo, root};

/// Chromium, if it is installed, or asked for.
fn chromium() -> Option<&'static str> {
    let is_there =
        |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let found = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there);
    assert!(found.is_some() || std::env::var_os("MANYFRAME_BROWSER").is_none(), "there is no Chromium");
    found
}

#[test]
fn reports_are_shown_as_they_are_meant() {
    let Some(chromium) = chromium() else { return note_unasked("Chromium is not installed (make browser)") };
    let workshop = Workshop::new();
    let [a, b] = [&stages()[1], &stages()[2]].map(|dataset| dataset.display().to_string());
    let pages =
        [("demo", page_with(&b, &[])), ("demo-against", page_with(&b, &["--against", &a])), ("hostile", hostile())];
    let files = pages.map(|(name, page)| workshop.write(&format!("{name}.html"), page));
    // Screenshots stay there for whoever wants to look.
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    let looked = Command::new("python3")
        .arg(root().join("tests/browser/look.py"))
        .args([chromium.as_ref(), screenshots.as_os_str()])
        .args(&files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&looked.stdout);
    assert!(looked.status.success(), "{said}\n{}", String::from_utf8_lossy(&looked.stderr));
    assert_eq!(said.lines().count(), 2 * files.len(), "{said}");
    for (name, width_px) in [("demo", 1280), ("demo", 400), ("hostile", 400)] {
        let file = screenshots.join(format!("{name}-{width_px}.png"));
        assert_eq!(image::open(file).unwrap().width(), width_px);
    }
    println!("screenshots: {}\n{said}", screenshots.display());
}

/// The page of a dataset with a text that would be a script, words without an end, near-duplicates and rejects with images.
fn hostile() -> String {
    let mut workshop = Workshop::new();
    for number in 1..=3 {
        workshop.write(&format!("media/{number}.jpg"), photo(1, 640 / number, 480 / number));
    }
    let of = |id: &str, image: &str, answer: &str| {
        let mut record = llava(id, image);
        record["conversations"][1]["value"] = answer.into();
        record
    };
    let mut mismatched = llava(&"endless".repeat(40), "2.jpg");
    mismatched["conversations"][0]["value"] = "<image><image>".into();
    let hostile = "</pre><img src=x onerror=alert(1)><script>throw 1</script>";
    let records = serde_json::json!([
        of("script", "1.jpg", hostile),
        of("twin", "2.jpg", hostile),
        of("wide", "3.jpg", &"W".repeat(2000)),
        mismatched,
        of("absent", "4.jpg", "Nothing."),
        { "id": "mute", "image": "1.jpg", "conversations": [] },
        { "id": "odd", "image": "1.jpg", "conversations": [{ "from": "parrot", "value": "Hello." }] },
        { "id": "none", "image": "1.jpg" },
        { "id": "climbs", "image": "../1.jpg", "conversations": of("", "", "")["conversations"] }
    ]);
    workshop.add_source("a", "llava", &records, "");
    workshop.head = workshop.head.replace("[format]\n", "[duplicates]\nremove = \"near\"\n[format]\n");
    page_with(&workshop.build().dataset.display().to_string(), &[])
}
