//! The data card: `README.md` of a dataset, with the front matter by which Hugging Face `datasets` reads its Parquet shards.

use std::fmt::Write;

use manyframe_core::Layout;
use manyframe_shards::{CardConfig, ShardFormat};

use crate::manifest::Manifest;
use crate::shard_name::ShardName;

/// The data card's file name.
pub const CARD_FILE: &str = "README.md";

/// The text of the card. It holds nothing that differs between machines.
pub fn dataset_card(manifest: &Manifest) -> String {
    let mut card = String::new();
    let has_parquet = manifest.shards.iter().any(|shard| shard.format == ShardFormat::Parquet);
    if has_parquet {
        card.push_str("---\n");
        card.push_str(&manyframe_shards::hugging_face_card_yaml(&configs(manifest)));
        card.push_str("---\n\n");
    }
    // Writing to a string cannot fail.
    _ = write_body(&mut card, manifest);
    card
}

/// What `load_dataset` can be asked for: everything, or one layout.
fn configs(manifest: &Manifest) -> Vec<CardConfig> {
    let config = |name: &str, files: &str| CardConfig { name: name.to_owned(), data_files: format!("parquet/{files}") };
    let all = config("default", "*/*.parquet");
    let layouts = layouts(manifest).into_iter().map(|layout| config(layout, &format!("{layout}/*.parquet")));
    std::iter::once(all).chain(layouts).collect()
}

/// The layouts that have Parquet shards, as directories below `parquet/`.
fn layouts(manifest: &Manifest) -> Vec<&'static str> {
    let is_parquet = |layout: Option<Layout>| {
        let mut shards = manifest.shards.iter();
        shards.any(|shard| shard.format == ShardFormat::Parquet && shard.layout == layout)
    };
    let layouts = Layout::ALL.into_iter().map(Some).chain([None]).filter(|layout| is_parquet(*layout));
    layouts.map(|layout| ShardName::directory(layout)).collect()
}

fn write_body(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    let total = manifest.total;
    writeln!(card, "# {}\n", manifest.name)?;
    if !manifest.description.is_empty() {
        writeln!(card, "{}\n", manifest.description)?;
    }
    writeln!(
        card,
        "{} samples, {} tokens ({} of text, {} of them delimiters of images; {} of images), {} images of which {} are frames of videos.\n",
        total.num_samples,
        total.cost.num_tokens(),
        total.cost.text_tokens,
        total.cost.delimiter_tokens,
        total.cost.visual_tokens,
        total.cost.num_images,
        total.cost.num_frames,
    )?;
    writeln!(card, "## Sources\n")?;
    writeln!(card, "| source | kind | licence | seen | rejected | duplicates | not drawn | delivered |")?;
    writeln!(card, "|---|---|---|--:|--:|--:|--:|--:|")?;
    for source in &manifest.sources {
        writeln!(
            card,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            source.name,
            source.kind,
            if source.license.is_empty() { "not stated" } else { &source.license },
            source.num_seen,
            source.num_rejected(),
            source.num_duplicates,
            source.num_not_drawn,
            source.delivered.num_samples,
        )?;
    }
    writeln!(card, "\nThe licences are those of the annotations; images and videos keep terms of their own.\n")?;
    writeln!(card, "## Files\n")?;
    writeln!(card, "| path | what |\n|---|---|")?;
    writeln!(card, "| `manifest.json` | shards with sizes and digests, sources, totals, the pipeline file |")?;
    writeln!(
        card,
        "| `ledger.parquet` | all {} records seen: delivered where, or why not |",
        manifest.ledger.num_records
    )?;
    if let Some(pack) = &manifest.pack {
        let (number, tokens) = (pack.summary.report.num_packs, pack.summary.capacity_tokens);
        writeln!(card, "| `{}` | the samples as {number} training sequences of at most {tokens} tokens |", pack.path)?;
    }
    for shard in &manifest.shards {
        writeln!(card, "| `{}` | {} samples, {} bytes |", shard.path, shard.total.num_samples, shard.num_bytes)?;
    }
    writeln!(card, "\nBuilt by manyframe {}; `manyframe verify` checks it.", manifest.manyframe_version)
}
