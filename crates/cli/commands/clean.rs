//! `manyframe clean`: removes what killed and superseded builds left.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_engine::{CleanAnswer, CleanMode, CleanScope, Leftover, LeftoverKind};

use super::{location, outputs};
use crate::args::CleanArguments;
use crate::output;
use crate::table::{Table, bytes, plural};

pub(super) fn run(arguments: &CleanArguments) -> Result<ExitCode> {
    let scope = if arguments.interrupted { CleanScope::Interrupted } else { CleanScope::Useless };
    let stores = location::stores()?;
    let mode = if arguments.dry_run { CleanMode::DryRun } else { CleanMode::Remove(&stores) };
    let mut leftovers: Vec<Leftover> = Vec::new();
    for found in outputs::find(&arguments.path, &arguments.overrides.set)? {
        let left = manyframe_engine::clean(&found.place, scope, mode)?;
        // Datasets beside each other share a directory.
        leftovers.extend(
            left.into_iter().filter(|left| !leftovers.iter().any(|known| known.path == left.path)).collect::<Vec<_>>(),
        );
    }
    let num_bytes = leftovers.iter().map(|leftover| leftover.num_bytes).sum();
    if arguments.json {
        output::print_json(&CleanAnswer { is_dry_run: arguments.dry_run, num_bytes, leftovers })?;
    } else {
        output::print(&render(&leftovers, num_bytes, arguments.dry_run))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(leftovers: &[Leftover], num_bytes: u64, is_dry_run: bool) -> String {
    if leftovers.is_empty() {
        return "nothing to remove\n".to_owned();
    }
    let mut table = Table::new(&["size", "what", "path"]);
    for Leftover { path, kind, num_bytes } in leftovers {
        table.push(vec![bytes(*num_bytes), kind_text(*kind).to_owned(), path.display().to_string()]);
    }
    let verb = if is_dry_run { "would be removed" } else { "removed" };
    let number = plural(leftovers.len() as u64, "leftover");
    format!("{}\n{number} {verb}: {}\n", table.render(), bytes(num_bytes))
}

fn kind_text(kind: LeftoverKind) -> &'static str {
    match kind {
        LeftoverKind::Unfinished => "unfinished file",
        LeftoverKind::SupersededPlan => "superseded plan",
        LeftoverKind::InterruptedPlan => "interrupted build",
    }
}
