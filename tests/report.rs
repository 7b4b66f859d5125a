//! Promise: a report is one page that loads nothing, states what the dataset states, and shows its samples as they are.

use std::fs;

use crate::demo::stages;
use crate::support::{Built, Workshop, llava, photo, run, stdout};

fn page_of(dataset: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.html").display().to_string();
    let said = stdout(&["report", dataset, "--output", &file]);
    assert!(said.contains("open it in a browser"), "{said}");
    fs::read_to_string(file).unwrap()
}

/// The cells of the first row of a table after a heading that begins with a name.
fn cells(page: &str, heading: &str, name: &str) -> Vec<String> {
    let table = page.split_once(&format!("<h2>{heading}</h2>")).unwrap().1;
    let row =
        table.split_once(&format!("<tr><td class=\"text\">{name}</td>")).unwrap().1.split_once("</tr>").unwrap().0;
    let cells = row.split("<td").skip(1).map(|cell| cell.split_once('>').unwrap().1);
    cells.map(|cell| cell.split_once("</td>").unwrap().0.replace(',', "")).collect()
}

#[test]
fn every_number_is_that_of_the_manifest() {
    let dataset = &stages()[2];
    let page = page_of(&dataset.display().to_string());
    let manifest = Built::read(dataset).manifest;
    for source in &manifest.sources {
        let Some(delivered) = Some(source.delivered).filter(|total| total.num_samples > 0) else { continue };
        let mix = cells(&page, "The mix", &source.budget.name);
        let expected =
            [delivered.num_samples, delivered.cost.num_tokens(), delivered.cost.num_images, delivered.cost.num_frames];
        assert_eq!(
            [4, 6, 8, 9].map(|column| mix[column].clone()),
            expected.map(|number| number.to_string()),
            "{mix:?}"
        );
        let rejected: u64 = source.budget.rejected.values().sum();
        let flow = cells(&page, "From seen to delivered", &source.budget.name);
        let expected =
            [source.budget.num_seen, delivered.num_samples, source.num_not_drawn, source.num_duplicates, rejected];
        assert_eq!(flow, expected.map(|number| number.to_string()));
        for code in source.budget.rejected.keys() {
            assert!(page.contains(&format!("<code>{}</code>", code.as_str())), "{code:?}");
        }
    }
    let total = &manifest.total;
    for number in [total.num_samples, total.cost.num_tokens(), total.cost.num_images] {
        let figures = page.split_once("class=\"figures\"").unwrap().1.split_once("<h2>").unwrap().0.replace(',', "");
        assert!(figures.contains(&format!("<b>{number}</b>")), "{number}: {figures}");
    }
    assert!(page.contains("tokens per pack") && page.contains("<h2>Packs</h2>"));
    for outside in ["http://", "https://", "src=\"/", "@import", "url("] {
        assert!(!page.replace("data:image/jpeg", "").contains(outside), "{outside}");
    }
    assert_eq!(page, page_of(&dataset.display().to_string()), "the same page each time");
}

#[test]
fn samples_are_shown_with_what_is_trained_and_nothing_of_them_is_obeyed() {
    let mut workshop = Workshop::new();
    workshop.write("media/1.jpg", photo(1, 640, 480));
    let hostile = "</pre><script>alert(1)</script>";
    let mut record = llava("one", "1.jpg");
    record["conversations"][1]["value"] = hostile.into();
    workshop.add_source("a", "llava", &serde_json::json!([record]), "");
    let built = workshop.build();
    let page = page_of(&built.dataset.display().to_string());
    assert_eq!(page.matches("<script>").count(), 1, "that of the page itself");
    assert!(page.contains("<mark>&lt;&#x2f;pre&gt;&lt;script&gt;alert(1)"), "{page}");
    let image = page.split_once("data:image/jpeg;base64,").unwrap().1.split_once('"').unwrap().0;
    assert!(image.len() > 500);
    assert!(page.contains("640×480"), "the size as delivered, not of the small picture");
    let none = stdout(&[
        "report",
        &built.dataset.display().to_string(),
        "--samples",
        "0",
        "--output",
        &workshop.text("r.html"),
    ]);
    assert!(none.contains("r.html") && !fs::read_to_string(workshop.path("r.html")).unwrap().contains("data:image/"));
    run(&["report", &workshop.text("absent"), "--output", &workshop.text("r.html")], 2);
    let dataset = built.dataset.display().to_string();
    std::os::unix::fs::symlink("/dev/null", workshop.path("link")).unwrap();
    for output in [format!("{dataset}/manifest.json"), workshop.text("no/such/r.html"), workshop.text("link")] {
        run(&["report", &dataset, "--output", &output], 2);
    }
    Built::read(&built.dataset);
}
