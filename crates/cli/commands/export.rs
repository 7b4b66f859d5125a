//! `manyframe export`: writes a dataset in a format that other trainers read.

use std::process::ExitCode;

use anyhow::Result;
use manyframe_engine::{ExportOptions, LlavaExport};
use manyframe_shards::SingleImage;

use super::location::open_dataset;
use crate::args::{ExportArguments, ExportFormat, Global, SingleImageForm};
use crate::table::{bytes, count, plural};
use crate::{output, progress};

pub(super) fn run(arguments: &ExportArguments, global: &Global) -> Result<ExitCode> {
    let progress = progress::on_stderr(global.quiet);
    let options = ExportOptions {
        only_layouts: arguments.only_layout.clone(),
        only_sources: arguments.only_source.clone(),
        max_images: arguments.max_images,
        single_image: match arguments.single_image {
            SingleImageForm::List => SingleImage::List,
            SingleImageForm::String => SingleImage::Text,
        },
        path_prefix: arguments.path_prefix.clone(),
    };
    let exported = match arguments.format {
        ExportFormat::LlavaJson => {
            let dataset = open_dataset(&arguments.dataset, &arguments.store)?;
            let export = LlavaExport { dataset: &dataset, options: &options, progress: progress.as_ref() };
            export.write(&arguments.output)?
        }
    };
    let skipped = match exported.num_documents {
        0 => String::new(),
        number => format!("skipped: {}, because these trainers read conversations only\n", plural(number, "document")),
    };
    output::print(&format!(
        "{} records, {} images ({})\n{skipped}annotations: {}\n",
        count(exported.num_records),
        count(exported.num_images),
        bytes(exported.num_bytes),
        arguments.output.join("data.json").display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}
