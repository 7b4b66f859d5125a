//! Promise: look-alikes and excluded images are removed before ratios, and the ledger names what they duplicate.

use serde_json::json;

use crate::support::{Workshop, encode, llava, photo};

/// The same picture as a PNG, and scaled down as another JPEG.
fn variants(number: u32) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let wave = |x: u32, y: u32| {
        let level = 128.0
            + 70.0 * (f64::from(x) / (17.0 + f64::from(number))).sin()
            + 50.0 * (f64::from(y) / 31.0 + f64::from(number)).cos();
        image::Rgb([level as u8, (level * 0.7) as u8, 255 - level as u8])
    };
    let original = image::RgbImage::from_fn(320, 240, wave);
    let scaled = image::imageops::resize(&original, 160, 120, image::imageops::FilterType::Triangle);
    (
        encode(&original, image::ImageFormat::Png),
        encode(&original, image::ImageFormat::Bmp),
        encode(&scaled, image::ImageFormat::Jpeg),
    )
}

fn same_text(id: &str, image: &str) -> serde_json::Value {
    let mut record = llava("x", image);
    record["id"] = id.into();
    record
}

fn workshop() -> Workshop {
    let mut workshop = Workshop::new();
    let (png, bmp, jpeg) = variants(1);
    workshop.write("media/a.png", png);
    workshop.write("media/b.bmp", bmp);
    workshop.write("media/c.jpg", jpeg);
    workshop.write("media/d.png", variants(9).0);
    let records = json!([
        same_text("png", "a.png"),
        same_text("bmp", "b.bmp"),
        same_text("scaled", "c.jpg"),
        same_text("other", "d.png"),
        llava("asks", "c.jpg"),
    ]);
    workshop.add_source("s", "llava", &records, "");
    workshop
}

fn duplicates(rule: &str) -> Vec<String> {
    let mut workshop = workshop();
    workshop.head.push_str(&format!("[duplicates]\n{rule}\n"));
    let built = workshop.build();
    built.verify();
    let kept = built.row("png").id;
    let rows = built.ledger.iter().filter(|row| row.duplicate_of.is_some());
    rows.inspect(|row| assert_eq!(row.duplicate_of, Some(kept))).map(|row| row.upstream_id.clone()).collect()
}

#[test]
fn each_rule_removes_what_it_says() {
    assert_eq!(duplicates("remove = \"exact\""), Vec::<String>::new());
    assert_eq!(duplicates("remove = \"pixels\""), ["bmp"]);
    assert_eq!(duplicates("remove = \"near\""), ["bmp", "scaled"]);
    assert_eq!(duplicates("remove = \"near\"\ntext = \"any\""), ["bmp", "scaled", "asks"]);
}

#[test]
fn an_excluded_image_takes_every_record_that_shows_it() {
    let mut workshop = workshop();
    workshop.write("benchmark/deep/down/1.png", variants(1).0);
    workshop.write("benchmark/notes.txt", "not an image");
    workshop.write("media/e.jpg", photo(5, 90, 90));
    workshop.head.push_str(&format!("[duplicates]\nexclude = {:?}\n", workshop.text("benchmark")));
    let built = workshop.build();
    let excluded: Vec<&str> = built
        .ledger
        .iter()
        .filter(|row| row.reason.as_deref() == Some("excluded"))
        .map(|row| row.upstream_id.as_str())
        .collect();
    assert_eq!(excluded, ["png", "bmp", "scaled", "asks"]);
    assert!(built.row("png").detail.as_deref().unwrap().contains("deep/down/1.png"));
    built.verify();
}
