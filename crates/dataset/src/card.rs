//! The data card: `README.md` of a dataset, with the front matter by which Hugging Face `datasets` reads its Parquet shards.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use manyframe_base::write_atomic;
use manyframe_shards::{BesideShards, FinishedShard, ShardFormat};

use crate::error::DatasetError;
use crate::manifest::Manifest;

/// The data card's file name.
pub const CARD_FILE: &str = "README.md";

/// Writes the data card of a dataset, and what else its formats put beside their shards.
///
/// # Errors
///
/// If a file cannot be written.
pub fn write_card(manifest: &Manifest, dataset: &Path) -> Result<(), DatasetError> {
    let beside = beside_shards(manifest)?;
    for (path, bytes) in beside.iter().flat_map(|beside| &beside.files) {
        write_atomic(&dataset.join(path), bytes)?;
    }
    Ok(write_atomic(&dataset.join(CARD_FILE), dataset_card(manifest, &beside).as_bytes())?)
}

fn beside_shards(manifest: &Manifest) -> Result<Vec<BesideShards>, DatasetError> {
    let columns = manifest.pipeline_with(&BTreeMap::new())?.file.sample_columns();
    let of_format = |format: ShardFormat| {
        let shards = manifest.shards.iter().filter(|shard| shard.format == format);
        let shards = shards.map(|shard| FinishedShard {
            path: shard.path.to_string(),
            layout: shard.layout,
            num_samples: shard.total.num_samples,
            num_bytes: shard.num_bytes,
        });
        format.finish_dataset(&shards.collect::<Vec<_>>(), columns)
    };
    Ok(ShardFormat::ALL.into_iter().map(of_format).collect())
}

/// The text of the card. It contains nothing that differs between machines.
fn dataset_card(manifest: &Manifest, beside: &[BesideShards]) -> String {
    let front_matter: String = beside.iter().map(|beside| beside.card_yaml.as_str()).collect();
    let mut card = if front_matter.is_empty() { String::new() } else { format!("---\n{front_matter}---\n\n") };
    // Writing to a string cannot fail.
    _ = write_body(&mut card, manifest);
    card
}

/// What the dataset is, and how much of it there is.
fn write_head(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
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
    if manifest.pipeline.pointer("/video/deliver").is_some_and(|deliver| deliver == "clip") {
        writeln!(
            card,
            "Videos are files, whose frames are not among the images: decode those at `frame_indices`, in the order of presentation.\n"
        )?;
    }
    Ok(())
}

fn write_body(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    write_head(card, manifest)?;
    writeln!(card, "## Sources\n")?;
    writeln!(card, "| source | kind | license | seen | rejected | duplicates | not drawn | delivered |")?;
    writeln!(card, "|---|---|---|--:|--:|--:|--:|--:|")?;
    for source in &manifest.sources {
        writeln!(
            card,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            source.budget.name,
            source.budget.kind,
            if source.license.is_empty() { "not stated" } else { &source.license },
            source.budget.num_seen,
            source.num_rejected(),
            source.num_duplicates,
            source.num_not_drawn,
            source.delivered.num_samples,
        )?;
    }
    writeln!(card, "\nThe licenses are those of the annotations; images and videos keep terms of their own.\n")?;
    writeln!(card, "## Files\n")?;
    writeln!(card, "| path | what |\n|---|---|")?;
    writeln!(card, "| `manifest.json` | shards with sizes and digests, sources, totals, the pipeline file |")?;
    writeln!(
        card,
        "| `ledger.parquet` | all {} records seen: delivered where, or why not |",
        manifest.ledger.num_records
    )?;
    // Packing again does not change the card.
    writeln!(card, "| `pack-….parquet` | the samples as training sequences, if the manifest names such a file |")?;
    for shard in &manifest.shards {
        writeln!(card, "| `{}` | {} samples, {} bytes |", shard.path, shard.total.num_samples, shard.num_bytes)?;
    }
    writeln!(card, "\nBuilt by manyframe {}; `manyframe verify` checks it.", manifest.manyframe_version)
}
