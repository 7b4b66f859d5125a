//! Rules of the table `[pack]`.

use manyframe_samplers::{PackingStrategy, Padding};

use crate::document::Node;
use crate::problem::Problem;
use crate::rules::Rules;
use crate::settings::packing::PackTable;

/// The rules of the table `[pack]`.
pub(crate) fn check_pack(table: &PackTable, node: &Node, problems: &mut Vec<Problem>) {
    let mut rules = Rules { table: node, name: "pack", problems };
    if let (Some(parallel), Some(multiple)) = (table.sequence_parallel, table.pad_to_multiple)
        && !u64::from(multiple.get()).is_multiple_of(parallel.num_chunks())
    {
        let message =
            format!(".pad_to_multiple: sequences of {multiple} tokens cannot be divided as {parallel} requires");
        rules.broken(&["pad_to_multiple"], &message, &format!("a multiple of {}", parallel.num_chunks()));
    }
    if let (Some(most), Some(multiple)) = (table.max_tokens, table.pad_to_multiple)
        && multiple > most
    {
        let message = format!(".pad_to_multiple = {multiple} is more than max_tokens = {most}");
        rules.broken(&["pad_to_multiple"], &message, &format!("at most {most}"));
    }
    if table.padding != Padding::default() && table.pad_to_multiple.is_none() && table.sequence_parallel.is_none() {
        let message = ".padding has no effect without pad_to_multiple or sequence_parallel";
        rules.broken(&["padding"], message, "with pad_to_multiple or sequence_parallel");
    }
    if table.balance.is_some() && table.strategy != PackingStrategy::Balanced {
        let message = ".balance has no effect without strategy = \"balanced\"";
        rules.broken(&["balance"], message, "with strategy = \"balanced\"");
    }
    if table.audit_max_tokens.is_some() && table.audit.is_none() {
        let message = ".audit_max_tokens has no effect without audit";
        rules.broken(&["audit_max_tokens"], message, "with audit = \"concat\"");
    }
}
