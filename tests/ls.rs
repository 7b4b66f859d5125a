//! Promise: `ls` lists exactly the rows of the ledger that were asked for.

use serde_json::Value;

use crate::demo::stages;
use crate::support::{Built, run, stdout};

#[test]
fn records_are_listed_by_what_became_of_them() {
    let dataset = &stages()[2];
    let (built, dataset) = (Built::read(dataset), dataset.display().to_string());
    let list = |options: &[&str]| -> Vec<Value> {
        let text = stdout(&[&["ls", &dataset, "--json"], options].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = list(&[]);
    assert_eq!(all.len(), built.ledger.len());
    for (listed, row) in all.iter().zip(&built.ledger) {
        assert_eq!(listed["id"], row.id.to_string());
        assert_eq!(listed["status"], row.status.as_str());
        assert_eq!(listed["num_tokens"].as_u64(), row.measured.map(|(cost, _)| cost.num_tokens()));
        assert_eq!(listed["shard_row"].as_u64(), row.shard_row);
    }
    let number = |field: &str, value: &str| all.iter().filter(|listed| listed[field] == value).count();
    for (option, field, value) in [
        ("--source", "source", "videochat2"),
        ("--status", "status", "rejected"),
        ("--status", "status", "not_drawn"),
        ("--reason", "reason", "media_missing"),
        ("--layout", "layout", "spatial"),
    ] {
        let listed = list(&[option, value]);
        assert!(!listed.is_empty() && listed.len() == number(field, value), "{option} {value}");
        assert!(listed.iter().all(|listed| listed[field] == value), "{option} {value}");
    }
    let both = list(&["--status", "rejected", "--source", "videochat2"]);
    assert!(both.iter().all(|listed| listed["status"] == "rejected" && listed["source"] == "videochat2"));

    let first = all.iter().find(|listed| listed["status"] == "delivered").unwrap();
    let (source, least) = (first["source"].as_str().unwrap(), first["num_tokens"].as_u64().unwrap());
    let large =
        list(&["--where", &format!("num_tokens >= {least} and status == 'delivered' and source in ['{source}']")]);
    let is_large = |listed: &&Value| {
        listed["num_tokens"].as_u64() >= Some(least) && listed["status"] == "delivered" && listed["source"] == source
    };
    assert!(!large.is_empty() && large.len() == all.iter().filter(is_large).count());
    let frames = list(&["--where", "num_frames > 0"]);
    assert!(!frames.is_empty() && frames.iter().all(|listed| listed["num_frames"].as_u64() > Some(0)));

    let reader = manyframe_dataset::DatasetReader::open(&built.dataset).unwrap();
    let samples = built.ledger.iter().filter_map(|row| reader.read_sample(row).unwrap());
    let prompts: Vec<(String, String)> =
        samples.map(|sample| (sample.id.to_string(), sample.prompt.to_lowercase())).collect();
    let word = prompts[0].1.split_whitespace().find(|word| word.len() > 4 && !word.contains('<')).unwrap();
    let mut expected: Vec<_> =
        prompts.iter().filter(|(_, prompt)| prompt.contains(word)).map(|(id, _)| id.as_str()).collect();
    let found = list(&["--text", &word.to_uppercase()]);
    let mut found: Vec<_> = found.iter().map(|listed| listed["id"].as_str().unwrap()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert!(!found.is_empty() && found == expected, "{word:?}: {found:?} {expected:?}");
    assert!(list(&["--text", "no prompt has this"]).is_empty());
    for (condition, expected) in [
        ("num_token > 1", "--where: a record has no \"num_token\"; it has "),
        ("num_tokens >", "ends where a field or value belongs"),
        ("source > 1", "--where \"source > 1\": source is "),
    ] {
        let wrong = String::from_utf8(run(&["ls", &dataset, "--where", condition], 2).stderr).unwrap();
        assert!(wrong.contains(expected), "{wrong}");
    }

    let ids = stdout(&["ls", &dataset, "--status", "rejected", "--reason", "media_missing", "--ids"]);
    let first = ids.lines().next().unwrap();
    assert!(stdout(&["why", &dataset, first]).contains("rejected: media_missing"));
    let table = run(&["ls", &dataset, "--limit", "3"], 0);
    assert_eq!(String::from_utf8(table.stdout).unwrap().lines().count(), 4);
    assert!(String::from_utf8(table.stderr).unwrap().contains("records more; --limit 3 ends the list"));
    assert_eq!(stdout(&["ls", &dataset, "--upstream-id", "no such id"]), "");
    let wrong = String::from_utf8(run(&["ls", &dataset, "--reason", "missing"], 2).stderr).unwrap();
    assert!(wrong.contains("\"missing\" is no reason; expected one of"), "{wrong}");
    run(&["ls", &dataset, "--status", "lost"], 2);
    run(&["ls", &dataset, "--source", "nobody"], 2);
}
