//! Promise: an over-long record is made to fit as the file says, with exact token counts, or rejected; never cut silently.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Workshop, llava, photo, stdout};

fn with_policy(policy: &str, max_tokens: u32) -> Workshop {
    let mut workshop = Workshop::new();
    let min_frames = if policy.contains("fewer_frames") { "min_frames = 2\n" } else { "" };
    workshop.head.push_str(&format!("max_tokens = {max_tokens}\n[overlength]\npolicy = [{policy}]\n{min_frames}"));
    workshop
}

fn frames_record(id: &str) -> Value {
    json!({
        "id": id,
        "video": "clip",
        "conversations": [
            { "from": "human", "value": "<video>\nWhat happens in the clip?" },
            { "from": "gpt", "value": "Waves move." },
        ],
    })
}

#[test]
fn a_long_video_shows_as_many_frames_as_fit() {
    let mut workshop = with_policy("\"fewer_frames\"", 1500);
    for n in 0..20 {
        workshop.write(&format!("media/clip/{n}.jpg"), photo(n, 48, 48));
    }
    workshop.add_source("v", "llava_video", &json!([frames_record("v0")]), "fps = 1.0");
    let built = workshop.build();
    let row = built.row("v0");
    let (cost, _) = row.measured.unwrap();
    // One frame more, of 144 tokens and 7 of delimiters, would not fit.
    assert!(cost.num_tokens() <= 1500 && cost.num_tokens() + 151 > 1500, "{cost:?}");
    assert_eq!(row.shortened.as_deref(), Some(format!("at most {} frames per video", cost.num_frames).as_str()));
    let sample = built.sample("v0");
    assert_eq!(sample["num_tokens"].as_u64().unwrap_or(cost.num_tokens()), cost.num_tokens());
    assert_eq!(built.manifest.sources[0].budget.num_shortened, 1);
    let text = stdout(&["plan", &workshop.pipeline(), "--quiet"]);
    assert!(text.contains("v: 1 of those drawn shows fewer frames, tiles or pixels than it has"), "{text}");
    built.verify();
}

#[test]
fn a_large_image_is_cut_into_as_few_sub_images_as_fit() {
    let mut workshop = with_policy("\"fewer_tiles\"", 1200);
    workshop.write("media/big.jpg", photo(1, 1400, 1000));
    workshop.add_source("t", "llava", &json!([llava("t0", "big.jpg")]), "visuals = \"tiled\"");
    let built = workshop.build();
    let (cost, _) = built.row("t0").measured.unwrap();
    assert!(cost.num_tokens() <= 1200 && cost.num_images > 2, "{cost:?}");
    built.verify();
}

#[test]
fn a_long_conversation_is_delivered_in_pieces_that_each_show_the_image() {
    let mut workshop = with_policy("\"split_turns\"", 300);
    workshop.write("media/1.jpg", photo(1, 64, 48));
    let mut turns = Vec::new();
    for round in 0..12 {
        let image = if round == 0 { "<image>\n" } else { "" };
        turns.push(json!({ "from": "human", "value": format!("{image}Question number {round} about the picture?") }));
        turns.push(json!({ "from": "gpt", "value": format!("Answer number {round}, which is about waves in it.") }));
    }
    let record = json!({ "id": "long", "image": "1.jpg", "conversations": turns });
    workshop.add_source("c", "llava", &json!([record, llava("short", "1.jpg")]), "");
    let built = workshop.build();
    let pieces: Vec<_> = built.ledger.iter().filter(|row| row.upstream_id == "long").collect();
    assert!(pieces.len() > 1);
    let mut answers = Vec::new();
    for piece in &pieces {
        let (cost, _) = piece.measured.unwrap();
        assert!(cost.num_tokens() <= 300 && cost.num_images == 1, "{cost:?}");
        let sample = built.sample(&piece.id.to_string());
        for turn in sample["conversations"].as_array().unwrap().iter().filter(|turn| turn["from"] == "gpt") {
            answers.push(turn["value"].as_str().unwrap().to_owned());
        }
    }
    let expected: Vec<String> =
        (0..12).map(|round| format!("Answer number {round}, which is about waves in it.")).collect();
    assert_eq!(answers, expected);
    assert_eq!(built.row("short").shortened, None);
    assert_eq!(built.manifest.sources[0].budget.num_pieces, pieces.len() as u64 - 1);
    built.verify();
}

/// A conversation of this many rounds about a large image that is cut into tiles.
fn tiled_conversation(policy: &str, max_tokens: u32, num_rounds: u32) -> Workshop {
    let mut workshop = with_policy(policy, max_tokens);
    workshop.write("media/big.jpg", photo(1, 1400, 1000));
    let turns = (0..num_rounds).flat_map(|round| {
        let image = if round == 0 { "<image>\n" } else { "" };
        let answer = format!("Answer number {round}, which is about the waves. ").repeat(4);
        [
            json!({ "from": "human", "value": format!("{image}Question number {round} about the picture?") }),
            json!({ "from": "gpt", "value": answer }),
        ]
    });
    let record = json!({ "id": "t0", "image": "big.jpg", "conversations": turns.collect::<Vec<_>>() });
    workshop.add_source("t", "llava", &json!([record]), "visuals = \"tiled\"");
    workshop
}

#[test]
fn policies_that_do_not_suffice_alone_are_combined_in_their_order() {
    for policy in [
        "\"fewer_tiles\", \"split_turns\"",
        "\"split_turns\", \"fewer_tiles\"",
        "\"fewer_frames\", \"fewer_tiles\", \"split_turns\", \"reject\"",
    ] {
        let workshop = tiled_conversation(policy, 700, 12);
        let built = workshop.build();
        assert!(built.ledger.len() > 1, "{policy}: {:?}", built.outcomes());
        for piece in &built.ledger {
            let (cost, _) = piece.measured.unwrap();
            assert!(piece.shard.is_some() && cost.num_tokens() <= 700 && cost.num_images >= 2, "{policy}: {piece:?}");
            let shortened = piece.shortened.as_deref().unwrap();
            assert!(shortened.starts_with("at most 1 tiles per image; piece "), "{shortened}");
        }
        built.verify();
    }
    for policy in ["\"fewer_tiles\"", "\"split_turns\"", "\"fewer_tiles\", \"reject\""] {
        let built = tiled_conversation(policy, 700, 12).build();
        assert_eq!(built.row("t0").reason.as_deref(), Some("too_long"), "{policy}");
    }
}

#[test]
fn a_policy_that_suffices_alone_is_not_combined() {
    let built = tiled_conversation("\"fewer_tiles\", \"split_turns\"", 2500, 12).build();
    let shortened = built.row("t0").shortened.clone().unwrap_or_default();
    assert!(shortened.starts_with("at most") && !shortened.contains("piece"), "{shortened}");
    let built = tiled_conversation("\"fewer_frames\", \"split_turns\"", 5000, 60).build();
    assert!(built.ledger.len() > 1 && built.ledger.iter().all(|row| row.shard.is_some()));
    assert!(built.ledger.iter().all(|row| row.shortened.as_deref().unwrap().starts_with("piece ")));
}

#[test]
fn a_conversation_of_very_many_turns_is_divided_in_seconds() {
    let mut workshop = with_policy("\"split_turns\"", 600);
    workshop.write("media/1.jpg", photo(1, 64, 48));
    let turns = (0..15_000).flat_map(|round| {
        let image = if round == 0 { "<image>\n" } else { "" };
        [
            json!({ "from": "human", "value": format!("{image}What is number {round}?") }),
            json!({ "from": "gpt", "value": format!("It is {round}.") }),
        ]
    });
    let record = json!({ "id": "long", "image": "1.jpg", "conversations": turns.collect::<Vec<_>>() });
    workshop.add_source("a", "llava", &json!([record]), "");
    let started = Instant::now();
    let num_pieces = workshop.build().manifest.total.num_samples;
    // A copy of the whole conversation for each attempt at a piece, or reading it again for each, takes many minutes.
    assert!(started.elapsed() < Duration::from_secs(100), "{:?}", started.elapsed());
    assert!((500..3_000).contains(&num_pieces), "{num_pieces}");
}

#[test]
fn what_no_policy_makes_fit_is_rejected_with_its_length() {
    let mut workshop = with_policy("\"fewer_frames\", \"split_turns\"", 150);
    workshop.write("media/1.jpg", photo(1, 64, 48));
    workshop.add_source("a", "llava", &json!([llava("r0", "1.jpg")]), "");
    let built = workshop.build();
    let row = built.row("r0");
    assert_eq!(row.reason.as_deref(), Some("too_long"));
    assert!(row.detail.as_deref().unwrap().contains("at most 150 fit"));
}
