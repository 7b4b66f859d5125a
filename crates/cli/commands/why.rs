//! `manyframe why`: what became of a record, why, and the very text it came from.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_engine::{LedgerRow, Status};

use crate::args::WhyArguments;
use crate::output;
use crate::table::count;

pub(super) fn run(arguments: &WhyArguments) -> Result<ExitCode> {
    let row = super::find_one(&arguments.dataset, &arguments.id)?;
    let variables = arguments.set.iter().map(|set| (set.key.clone(), set.value.clone())).collect();
    let mut text = render(&row);
    match manyframe_engine::read_origin(&arguments.dataset, &row, &variables) {
        Ok(record) => text.push_str(&format!("\n{}\n", record.trim_end())),
        Err(error) => {
            // The verdict is known even where the annotations are not: on another machine, say.
            let causes: Vec<String> = anyhow::Error::from(error).chain().map(ToString::to_string).collect();
            text.push_str(&format!(
                "\nits text cannot be shown: {}\n(--set NAME=PATH says where a variable of the pipeline file is)\n",
                causes.join(": ")
            ));
        }
    }
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn render(row: &LedgerRow) -> String {
    let mut text = format!("record    {}\n", row.id);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<9} {value}\n"));
        }
    };
    line("source", &[row.source.as_str(), &row.subset].join("  "));
    line("upstream", &row.upstream_id);
    line("from", &row.origin.to_string());
    let became = match row.status {
        Status::Delivered => format!("delivered in shard {}", row.shard.as_deref().unwrap_or_default()),
        Status::Rejected => format!("rejected: {}", row.reason.as_deref().unwrap_or_default()),
        Status::Duplicate => {
            let kept = row.duplicate_of.map(|id| id.to_string()).unwrap_or_default();
            format!("left out as a duplicate of record {kept}, which is kept")
        }
        Status::NotDrawn => "not drawn: its source gave as many as the pipeline file asks for without it".to_owned(),
    };
    line("outcome", &became);
    line("because", row.detail.as_deref().unwrap_or_default());
    line("shortened", row.shortened.as_deref().unwrap_or_default());
    if let Some((cost, _)) = row.measured {
        let tokens = format!("{} ({} images)", count(cost.num_tokens()), count(cost.num_images));
        line("tokens", &tokens);
    }
    text
}
