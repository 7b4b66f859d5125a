//! Promise: no source with other terms than those that are asked for slips into a mix, and the card says what is under which.

use serde_json::json;

use crate::support::{Workshop, llava, photo, run};

fn workshop(mix: &str, licenses: [&str; 2]) -> Workshop {
    let mut workshop = Workshop::new();
    workshop.head.push_str(mix);
    for (number, license) in licenses.into_iter().enumerate() {
        workshop.write(&format!("media/{number}.jpg"), photo(number as u32, 64, 48));
        let records = json!([llava(&format!("r{number}"), &format!("{number}.jpg"))]);
        let license = if license.is_empty() { String::new() } else { format!("license = {license:?}") };
        workshop.add_source(&format!("s{number}"), "llava", &records, &license);
    }
    workshop
}

fn stderr(workshop: &Workshop, command: &[&str]) -> String {
    let pipeline = workshop.pipeline();
    String::from_utf8(run(&[command, &[pipeline.as_str()]].concat(), 2).stderr).unwrap()
}

#[test]
fn a_license_that_is_not_allowed_is_named_before_anything_is_read() {
    let mix = "[mix]\nlicenses = [\"Apache-2.0\", \"CC BY 4.0\"]\n";
    let text = stderr(&workshop(mix, ["apache-2.0", "cc-by-nc-4.0"]), &["check"]);
    assert!(text.contains("source.s1.license is not among mix.licenses (non-commercial)"), "{text}");
    assert!(text.contains("Apache-2.0, CC BY 4.0") && !text.contains("s0"), "{text}");
    let text = stderr(&workshop(mix, ["cc-by-4.0", ""]), &["check"]);
    assert!(text.contains("source.s1.license is not stated"), "{text}");
    workshop(mix, ["apache-2.0", "MIT OR Apache-2.0"]).build().verify();
}

#[test]
fn a_dataset_that_is_replayed_is_judged_by_its_sources() {
    let first = workshop("", ["apache-2.0", "cc-by-nc-4.0"]);
    let built = first.build();
    let mut second = Workshop::new();
    let replay = |more: &str| {
        format!(
            "[[source]]\nname = \"replay\"\nkind = \"dataset\"\nfrom = {:?}\n{more}",
            built.dataset.display().to_string()
        )
    };
    second.head.push_str("[mix]\nlicenses = [\"apache-2.0\"]\n");
    let head = second.head.clone();
    second.head = [head.as_str(), &replay("license = \"apache-2.0\"\n")].concat();
    let text = stderr(&second, &["plan"]);
    let expected = "source \"replay\": \"s1\" in the dataset that it replays has the license \"cc-by-nc-4.0\"";
    assert!(text.contains(expected), "{text}");
    second.head = [head.as_str(), &replay("only_sources = [\"s0\"]\n")].concat();
    assert_eq!(second.build().manifest.total.num_samples, 1);
}

#[test]
fn the_card_lists_the_strictest_terms_first_with_their_share() {
    let workshop = workshop("", ["apache-2.0", "cc-by-nc-4.0"]);
    let built = workshop.build();
    let card = std::fs::read_to_string(built.dataset.join("README.md")).unwrap();
    let rows: Vec<&str> =
        card.split_once("## Licenses").unwrap().1.lines().filter(|line| line.starts_with("| ")).take(3).collect();
    assert!(rows[1].starts_with("| cc-by-nc-4.0 | non-commercial | s1 | 50.00 % | "), "{card}");
    assert!(rows[2].starts_with("| apache-2.0 | attribution | s0 | 50.00 % | "), "{card}");
}
