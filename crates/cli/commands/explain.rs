//! Why a build reuses samples and makes others.

use manyframe_engine::PlannedBuild;
use manyframe_plan::{MadeBecause, MadeSamples, SourceReuse};

use crate::table::{Table, count, plural};

/// What a build is about to do, and why.
pub(super) fn render(planned: &PlannedBuild) -> String {
    let open = planned.open_plan();
    let mut text = String::new();
    for (source, changed) in planned.changed_media() {
        let number = plural(changed.num_records, "record");
        text.push_str(&format!(
            "media of {number} of {source:?} changed and were read again: {:?} …\n",
            changed.example
        ));
    }
    let num_tasks = open.plan.tasks.len();
    let num_done = num_tasks - open.unfinished_tasks().len();
    if num_done > 0 {
        text.push_str(&format!("an interrupted build is continued: {num_done} of {num_tasks} tasks are done\n"));
    }
    let mut table = Table::new(&["source", "samples", "are", "because", "example"]).with_expendable(&["example"]);
    for source in &open.plan.reuse {
        if source.num_reused > 0 {
            let because = "text, media and settings are the same".to_owned();
            table.push(vec![source.source.clone(), count(source.num_reused), "reused".into(), because, String::new()]);
        }
        for (because, MadeSamples { num_samples, example }) in &source.made {
            let because = reason(*because, source);
            table.push(vec![source.source.clone(), count(*num_samples), "made".into(), because, example.clone()]);
        }
    }
    text + &table.render() + "\n"
}

/// Why samples were made although there was a dataset, in one line; empty if all were reused, or there was none.
pub(super) fn summary(reuse: &[SourceReuse]) -> String {
    let of_source = |source: &SourceReuse| {
        let made = source.made.iter().filter(|(because, _)| **because != MadeBecause::NothingBefore);
        let line = |(because, made): (&MadeBecause, &MadeSamples)| {
            format!("{} of {} ({})", count(made.num_samples), source.source, reason(*because, source))
        };
        made.map(line).collect::<Vec<_>>()
    };
    let reasons: Vec<String> = reuse.iter().flat_map(of_source).collect();
    if reasons.is_empty() { String::new() } else { format!("made:   {}\n", reasons.join(", ")) }
}

fn reason(because: MadeBecause, source: &SourceReuse) -> String {
    match because {
        // Those that are reused are of a build that was not published.
        MadeBecause::NothingBefore if source.num_reused > 0 => "no earlier build has them".to_owned(),
        MadeBecause::NothingBefore => "there is no dataset to reuse samples of".to_owned(),
        MadeBecause::OtherVersion => "the dataset is of another version of manyframe".to_owned(),
        MadeBecause::NewSource => "the source is new".to_owned(),
        MadeBecause::SettingsChanged => {
            let settings: Vec<&str> = source.changed_settings.iter().map(String::as_str).collect();
            if settings.is_empty() {
                // The same words lead to something else, such as a link that points elsewhere.
                return "what a setting names is another file or directory".to_owned();
            }
            format!("settings changed: {}", settings.join(", "))
        }
        MadeBecause::NewRecord => "the dataset does not have them".to_owned(),
        MadeBecause::MediaChanged => "their media changed".to_owned(),
        MadeBecause::MediaUnknown => "the versions of their media in the dataset are not known".to_owned(),
        MadeBecause::ShardDamaged => "their shard was changed or damaged since it was built".to_owned(),
    }
}
