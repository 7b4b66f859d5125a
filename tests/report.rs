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

/// The numbers of the bins of a histogram.
fn bins(page: &str, title: &str) -> Vec<u64> {
    let chart = page.split_once(&format!("<h3>{title}</h3>")).unwrap().1.split_once("</svg>").unwrap().0;
    let titles = chart.split("<title>").skip(1).map(|rest| rest.split_once("</title>").unwrap().0);
    titles.map(|title| title.rsplit_once(": ").unwrap().1.replace(',', "").parse().unwrap()).collect()
}

/// How many visuals of a dataset have which ratio of width to height, as its samples state their sizes.
fn aspect_ratios(dataset: &std::path::Path) -> Vec<u64> {
    let ends = [1.0 / 3.0, 0.5, 2.0 / 3.0, 0.95, 1.05, 1.5, 2.0, 3.0, f64::INFINITY];
    let mut counts = vec![0; ends.len()];
    let reader = manyframe_dataset::DatasetReader::open(dataset).unwrap();
    for row in reader.ledger().unwrap() {
        for visual in reader.read_sample(&row.unwrap()).unwrap().iter().flat_map(|sample| &sample.visuals) {
            let ratio = f64::from(visual.width_px) / f64::from(visual.height_px);
            counts[ends.iter().position(|end| ratio < *end - 1e-9).unwrap()] += 1;
        }
    }
    counts
}

/// The share of what is drawn of all sources that a number is.
fn share_in_percent(drawn: u64, manifest: &manyframe_dataset::Manifest) -> String {
    let all: u64 = manifest.sources.iter().map(|source| source.budget.asked.drawn).sum();
    let percent = 100.0 * drawn as f64 / all as f64;
    if percent >= 9.95 { format!("{percent:.0}") } else { format!("{percent:.1}") }
}

#[test]
fn every_number_is_that_of_the_manifest() {
    let dataset = &stages()[2];
    let page = page_of(&dataset.display().to_string());
    let manifest = Built::read(dataset).manifest;
    for source in &manifest.sources {
        let Some(delivered) = Some(source.delivered).filter(|total| total.num_samples > 0) else { continue };
        let mix = cells(&page, "The mix", &source.budget.name);
        let asked = &source.budget.asked;
        assert_eq!(mix[1..3], [asked.amount.round() as u64, asked.drawn].map(|number| number.to_string()), "{mix:?}");
        let is_one_unit = manifest.sources.iter().all(|other| other.budget.asked.unit == asked.unit);
        let drawn = format!("title=\"drawn: {} %\"", share_in_percent(asked.drawn, &manifest));
        assert_eq!(page.contains(&drawn), is_one_unit, "{mix:?}");
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
        for (code, number) in &source.budget.rejected {
            assert!(page.contains(&format!("<code>{}</code>", code.as_str())), "{code:?}");
            // Parts of its bar, which the legend names.
            assert!(page.contains(&format!("title=\"{}: {number}, ", code.as_str())), "{code:?}");
            assert!(page.contains(&format!("</span>{}</b>", code.as_str())), "{code:?}");
        }
    }
    let total = &manifest.total;
    for number in [total.num_samples, total.cost.num_tokens(), total.cost.num_images] {
        let figures = page.split_once("class=\"figures\"").unwrap().1.split_once("<h2>").unwrap().0.replace(',', "");
        assert!(figures.contains(&format!("<b>{number}</b>")), "{number}: {figures}");
    }
    assert!(page.contains("tokens per pack") && page.contains("<h2>Packs</h2>"));
    let pack = manifest.pack.as_ref().unwrap();
    let report = &pack.summary.report;
    for (what, balance) in [
        ("tokens", &report.token_balance),
        ("images", &report.image_balance),
        ("visual tokens", &report.visual_token_balance),
    ] {
        assert_eq!(cells(&page, "Packs", what)[0], format!("{:.3}", balance.max_over_mean), "{what}");
    }
    let packs = page.split_once("<h2>Packs</h2>").unwrap().1.replace(',', "");
    assert!(packs.contains(&format!("{} ranks are idle", report.num_idle_ranks)), "{packs}");
    assert!(packs.contains(&format!("Balance over {} rank", pack.summary.settings.ranks)));
    let numbers = [report.num_packs, report.num_steps, u64::from(pack.summary.capacity_tokens)];
    assert!(packs.contains(&format!("<tr>{}", numbers.map(|number| format!("<td>{number}</td>")).concat())));
    assert_eq!(bins(&page, "aspect ratios of images and videos"), aspect_ratios(dataset));
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

/// The cells of every row of a table after a heading that begins with a name.
fn rows(page: &str, heading: &str, name: &str) -> Vec<Vec<String>> {
    let table = page.split_once(heading).unwrap().1.split_once("</table>").unwrap().0;
    let rows = table.split("<tr>").filter(|row| row.starts_with(&format!("<td class=\"text\">{name}</td>")));
    let cells = |row: &str| -> Vec<String> {
        let cells = row.split("<td").skip(1).map(|cell| cell.split_once('>').unwrap().1);
        cells.map(|cell| cell.split_once("</td>").unwrap().0.trim().replace(',', "")).collect()
    };
    rows.map(cells).collect()
}

pub(crate) fn page_with(dataset: &str, more: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.html").display().to_string();
    stdout(&[&["report", dataset, "--output", &file], more].concat());
    fs::read_to_string(file).unwrap()
}

#[test]
fn what_differs_from_another_dataset_is_shown_with_the_numbers_of_both() {
    let stages = stages();
    let (a, b) = (Built::read(&stages[1]), Built::read(&stages[2]));
    let page = page_with(&b.dataset.display().to_string(), &["--against", &a.dataset.display().to_string()]);
    for (side, built) in [("A", &a), ("B", &b)] {
        for source in &built.manifest.sources {
            let found = rows(&page, "<h2>Against ", &source.budget.name);
            let row = found.iter().find(|row| row[1] == side).unwrap_or_else(|| panic!("{side} {found:?}"));
            let delivered = source.delivered;
            let expected = [
                source.budget.num_seen,
                source.num_rejected(),
                source.num_duplicates,
                source.num_not_drawn,
                delivered.num_samples,
                delivered.cost.num_tokens(),
                delivered.cost.num_images,
            ];
            assert_eq!(row[2..], expected.map(|number| number.to_string()), "{side} {}", source.budget.name);
        }
    }
    assert!(page.contains("<code>format.tokens_per_image</code>") && page.contains("{ … }"));
    assert!(!page_of(&b.dataset.display().to_string()).contains("<h2>Against "));
}

#[test]
fn losses_are_those_of_the_validation_with_the_samples_at_both_ends() {
    let workshop = Workshop::new();
    let (dataset, model) = (workshop.text("dataset"), workshop.text("model"));
    let copied = std::process::Command::new("cp").args(["-r", &stages()[2].display().to_string(), &dataset]).status();
    assert!(copied.unwrap().success());
    run(&["model", "init", &model, "--preset", "tiny"], 0);
    run(&["validate", &dataset, "--model", &model, "--samples", "12", "--quiet"], 0);
    let page = page_with(&dataset, &["--samples", "0"]);
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(workshop.path("dataset/validation.json")).unwrap()).unwrap();
    for (name, group) in report["by_source"].as_object().unwrap() {
        let row = &rows(&page, "<h2>Losses</h2>", name)[0];
        let loss = group["loss_mean"].as_f64().map_or_else(String::new, |loss| format!("{loss:.3}"));
        assert_eq!(row[1..4], [group["num_samples"].to_string(), group["num_labels"].to_string(), loss]);
    }
    let losses = page.split_once("<h2>Losses</h2>").unwrap().1.split_once("<h2>Samples").unwrap().0;
    for why in ["highest loss", "lowest loss", "least dependent on its images", "most dependent on its images"] {
        assert_eq!(losses.matches(&format!("<b>{why}</b>")).count(), 3, "{why}");
    }
    let of = |why: &str| -> Vec<f64> {
        let start = format!("<b>{why}</b>: loss ");
        let shown = losses.split(&start).skip(1);
        shown.map(|rest| rest.split([',', '<']).next().unwrap().trim().parse().unwrap()).collect()
    };
    let (highest, lowest) = (of("highest loss"), of("lowest loss"));
    assert!(highest.iter().all(|high| lowest.iter().all(|low| high >= low)), "{highest:?} {lowest:?}");
}

#[test]
fn rejects_and_duplicates_are_shown_with_their_images_where_these_open() {
    let mut workshop = Workshop::new();
    let big = image::load_from_memory(&photo(1, 400, 300)).unwrap();
    let small = big.resize_exact(200, 150, image::imageops::FilterType::Triangle).to_rgb8();
    workshop.write("media/big.jpg", photo(1, 400, 300));
    workshop.write("media/small.jpg", crate::support::encode(&small, image::ImageFormat::Jpeg));
    workshop.write("media/long.jpg", photo(7, 320, 240));
    workshop.write("media/broken.jpg", "no picture");
    let mut long = llava("long", "long.jpg");
    long["conversations"][1]["value"] = "word ".repeat(500).into();
    let mut twin = llava("twin", "small.jpg");
    twin["conversations"] = llava("kept", "big.jpg")["conversations"].clone();
    let mut mismatched = llava("mismatched", "big.jpg");
    mismatched["conversations"][0]["value"] = "<image><image>What is shown twice?".into();
    let records = serde_json::json!([llava("kept", "big.jpg"), twin, long, llava("broken", "broken.jpg"), mismatched]);
    workshop.add_source("a", "llava", &records, "");
    workshop.head =
        workshop.head.replace("[format]\n", "[duplicates]\nremove = \"near\"\n[format]\nmax_tokens = 400\n");
    let built = workshop.build();
    let dataset = built.dataset.display().to_string();
    let page = page_with(&dataset, &[]);
    let part = |page: &str, from: &str, to: &str| page.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    let rejected = part(&page, "Rejected, by reason", "</table>");
    let of = |code: &str| part(&rejected, &format!("<code>{code}</code>"), "</tr>");
    assert!(of("too_long").contains("data:image/jpeg") && of("too_long").contains("320×240"));
    assert!(!of("media_type").contains("data:image/") && of("media_type").contains("What is shown in picture broken?"));
    let mismatch = of("placeholder_mismatch");
    assert!(mismatch.contains("data:image/jpeg") && mismatch.contains("400×300"), "{mismatch}");
    let pair = part(&page, "<h2>Duplicates</h2>", "</article>");
    let (left_out, kept) = pair.split_once("<b>kept</b>").unwrap();
    assert!(left_out.contains("200×150") && left_out.contains("near-duplicate"), "{left_out}");
    assert!(kept.contains("400×300") && kept.contains(&built.row("kept").id.to_string()), "{kept}");
    fs::rename(workshop.path("a.json"), workshop.path("elsewhere.json")).unwrap();
    let without = page_with(&dataset, &[]);
    assert!(
        !part(&without, "Rejected, by reason", "</table>").contains("data:image/"),
        "the page is made all the same"
    );
}

#[cfg(feature = "video")]
#[test]
fn the_first_frames_of_a_clip_are_shown_with_their_times() {
    let mut workshop = Workshop::new();
    fs::create_dir_all(workshop.path("media")).unwrap();
    let made = std::process::Command::new("ffmpeg")
        .args("-v error -nostdin -y -f lavfi -i testsrc2=size=96x64:rate=25:duration=3 -c:v libx264 -g 25".split(' '))
        .arg(workshop.path("media/1.mp4"))
        .status();
    assert!(made.unwrap().success());
    let conversations = llava("v", "")["conversations"].clone();
    workshop.add_source(
        "v",
        "llava",
        &serde_json::json!([{ "id": "v", "video": "1.mp4", "conversations": conversations }]),
        "",
    );
    workshop.head.push_str("[video]\ndeliver = \"clip\"\ninterval_s = 1.0\n");
    let page = page_of(&workshop.build().dataset.display().to_string());
    let sample = page.split_once("<h2>Samples as").unwrap().1;
    assert_eq!(sample.matches("96×64 · ").count(), sample.matches("data:image/jpeg").count());
    assert!(sample.contains("96×64 · 0.0 s") && sample.contains("96×64 · 1.0 s"), "{sample}");
}
