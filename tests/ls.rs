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
