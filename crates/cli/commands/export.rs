//! `manyframe export`: writes a dataset in a format that other trainers read.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_engine::{Export, ExportAnswer, ExportFormat, ExportOptions, Exported};
use manyframe_shards::SingleImage;

use super::location::{expect_local, open_dataset};
use crate::args::{ExportArguments, ExportForm, Global, SingleImageForm};
use crate::exit::UsageError;
use crate::table::{bytes, plural};
use crate::{output, progress};

pub(super) fn run(arguments: &ExportArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let (format, main_file) = match (arguments.format, arguments.packed) {
        (ExportForm::LlavaJson, false) => (ExportFormat::LlavaJson, "data.json"),
        (ExportForm::LlavaJson, true) => (ExportFormat::LlavaPacks, "data.json"),
        (ExportForm::PackedParquet, _) => (ExportFormat::PackedParquet, ""),
        (ExportForm::XtunerPack, _) => (ExportFormat::XtunerPacks, "paths.json"),
        (ExportForm::LmmsEval, _) => (ExportFormat::LmmsEval, "needles.json"),
        (ExportForm::Vlmevalkit, _) => (ExportFormat::VlmEvalKit, "needles_circular.tsv"),
    };
    let is_evaluation = matches!(format, ExportFormat::LmmsEval | ExportFormat::VlmEvalKit);
    let is_packed = format.is_packed();
    let selects =
        !arguments.only_layout.is_empty() || !arguments.only_source.is_empty() || arguments.max_images.is_some();
    if is_evaluation && (selects || arguments.packed) {
        let message = "evaluation sets are exported whole: --packed, --only-layout, --only-source and --max-images are of llava_json";
        return Err(UsageError(message.to_owned()).into());
    }
    if is_packed && selects {
        let message =
            "packs are exported whole: --only-layout, --only-source and --max-images select samples of llava_json";
        return Err(UsageError(message.to_owned()).into());
    }
    let is_string = matches!(arguments.single_image, SingleImageForm::String);
    if is_string && format != ExportFormat::LlavaJson {
        let message = "--single-image has no effect: it is of llava_json without --packed";
        return Err(UsageError(message.to_owned()).into());
    }
    if format == ExportFormat::PackedParquet && !arguments.path_prefix.is_empty() {
        let message = "--path-prefix has no effect: packed_parquet has its images within it";
        return Err(UsageError(message.to_owned()).into());
    }
    expect_local(&arguments.output, "an export is written")?;
    let options = ExportOptions {
        format,
        only_layouts: arguments.only_layout.clone(),
        only_sources: arguments.only_source.clone(),
        max_images: arguments.max_images,
        single_image: match arguments.single_image {
            SingleImageForm::List => SingleImage::List,
            SingleImageForm::String => SingleImage::Text,
        },
        path_prefix: arguments.path_prefix.clone(),
    };
    let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
    let export = Export { dataset: &dataset, options: &options, progress: progress.as_ref() };
    let exported = export.write(&arguments.output)?;
    let annotations = arguments.output.join(main_file);
    let digests = arguments.output.join(format.list_file());
    if arguments.json {
        output::print_json(&ExportAnswer { annotations, digests, exported })?;
        return Ok(ExitCode::SUCCESS);
    }
    let skipped = skipped(&exported, arguments.max_images);
    output::print(&format!(
        "{}, {} ({})\n{skipped}annotations: {}\ndigests: {}\n",
        plural(exported.num_records, if is_packed { "pack" } else { "record" }),
        plural(exported.num_images, "image"),
        bytes(exported.num_bytes),
        annotations.display(),
        digests.display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What was left out, and why; a line for each reason.
fn skipped(exported: &Exported, max_images: Option<usize>) -> String {
    let mut text = String::new();
    if let (Some(most), number @ 1..) = (max_images, exported.num_over_max_images) {
        let most = plural(most as u64, "image");
        text.push_str(&format!("skipped: {} with more than {most} (--max-images)\n", plural(number, "sample")));
    }
    if exported.num_documents > 0 {
        let documents = plural(exported.num_documents, "document");
        text.push_str(&format!("skipped: {documents}, because these trainers read conversations only\n"));
    }
    text
}
