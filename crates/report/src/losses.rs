//! What a model measured of samples: `validation.json` and the table that it names.

use std::collections::BTreeMap;

use manyframe_columnar::table;
use manyframe_core::RecordId;
use manyframe_dataset::{DatasetError, DatasetReader, LedgerRow, read_rows};
use manyframe_validate::measure::{GroupMeasures, Report};
use serde::Serialize;

use crate::samples::{self, ShownSample};

const VALIDATION_FILE: &str = "validation.json";
/// Samples at each end of an order that are shown.
const NUM_SHOWN: usize = 3;

table! {
    /// The columns of a validation's table that are shown.
    struct LossTable<'r>(row: &'r Loss) -> Loss {
        id: String = &row.id,
        num_images: u64 = row.num_images,
        loss_mean: Option<f64> = row.own,
        loss_blank: Option<f64> = row.blank,
        loss_other: Option<f64> = row.other,
    }
    read { Ok(Loss { id, num_images, own: loss_mean, blank: loss_blank, other: loss_other }) }
}

/// The losses of a sample, in nats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Loss {
    id: String,
    num_images: u64,
    own: Option<f64>,
    blank: Option<f64>,
    other: Option<f64>,
}

/// The validation of a dataset.
pub(crate) struct Losses {
    report: Report,
    /// Which samples to show, and why.
    chosen: Vec<(&'static str, Loss)>,
}

/// What the page shows of it.
#[derive(Debug, Serialize)]
pub(crate) struct ShownLosses {
    device: String,
    is_random: bool,
    verdict: String,
    groups: Vec<Group>,
    samples: Vec<Ranked>,
}

#[derive(Debug, Serialize)]
struct Group {
    name: String,
    num_samples: u64,
    num_labels: u64,
    loss: Option<f64>,
    over_blank: Option<f64>,
    over_other: Option<f64>,
    /// Of the samples that were also run with another sample's images.
    num_independent: u64,
    num_controlled: u64,
}

#[derive(Debug, Serialize)]
struct Ranked {
    why: &'static str,
    loss: Option<f64>,
    blank: Option<f64>,
    other: Option<f64>,
    sample: ShownSample,
}

impl Losses {
    /// The validation of a dataset; `None` if there is none that this version can read.
    pub(crate) fn read(dataset: &DatasetReader) -> Result<Option<Self>, DatasetError> {
        let storage = dataset.storage();
        if storage.num_bytes(VALIDATION_FILE)?.is_none() {
            return Ok(None);
        }
        let Ok(report) = serde_json::from_slice::<Report>(&storage.read(VALIDATION_FILE)?) else { return Ok(None) };
        let mut losses = Vec::new();
        if let Some(table) = &report.table
            && storage.num_bytes(&table.path)?.is_some()
        {
            losses = read_rows::<LossTable>(storage.open(&table.path)?)?.collect::<Result<_, _>>()?;
        }
        Ok(Some(Self { report, chosen: choose(&losses) }))
    }

    /// The samples that are shown.
    pub(crate) fn ids(&self) -> impl Iterator<Item = RecordId> {
        self.chosen.iter().filter_map(|(_, loss)| loss.id.parse().ok())
    }

    /// What is shown, with samples whose rows are among `rows`.
    pub(crate) fn shown(
        self,
        dataset: &DatasetReader,
        rows: &BTreeMap<RecordId, LedgerRow>,
    ) -> Result<ShownLosses, DatasetError> {
        let mut ranked = Vec::new();
        for (why, loss) in self.chosen {
            let row = loss.id.parse::<RecordId>().ok().and_then(|id| rows.get(&id));
            if let Some(sample) = row.map(|row| samples::shown(dataset, row)).transpose()?.flatten() {
                ranked.push(Ranked { why, loss: loss.own, blank: loss.blank, other: loss.other, sample });
            }
        }
        let report = self.report;
        let of_sources = report.by_source.iter().map(|(name, group)| (name.clone(), group));
        let of_layouts = report.by_layout.iter().map(|(name, group)| (format!("layout {name}"), group));
        let all = std::iter::once(("all".to_owned(), &report.total));
        Ok(ShownLosses {
            device: report.model.device.clone(),
            is_random: report.model.is_random,
            verdict: format!("{:?}", report.verdict).to_lowercase(),
            groups: of_sources.chain(of_layouts).chain(all).map(|(name, group)| Group::of(name, group)).collect(),
            samples: ranked,
        })
    }
}

impl Group {
    fn of(name: String, measures: &GroupMeasures) -> Self {
        Self {
            name,
            num_samples: measures.num_samples,
            num_labels: measures.num_labels,
            loss: measures.loss_mean,
            over_blank: measures.gain_over_blank,
            over_other: measures.gain_over_other,
            num_independent: measures.num_image_independent,
            num_controlled: measures.num_controlled,
        }
    }
}

/// The samples at the ends: by loss, and by how much it rises with the images of another sample.
fn choose(losses: &[Loss]) -> Vec<(&'static str, Loss)> {
    let mut chosen = Vec::new();
    let by_loss = ranked(losses, |loss| loss.own);
    chosen.extend(by_loss.iter().rev().take(NUM_SHOWN).map(|loss| ("highest loss", (*loss).clone())));
    let num_left = by_loss.len().saturating_sub(NUM_SHOWN);
    chosen.extend(by_loss.iter().take(NUM_SHOWN.min(num_left)).map(|loss| ("lowest loss", (*loss).clone())));
    let by_gain = ranked(losses, |loss| if loss.num_images > 0 { Some(loss.other? - loss.own?) } else { None });
    chosen.extend(by_gain.iter().take(NUM_SHOWN).map(|loss| ("least dependent on its images", (*loss).clone())));
    let num_left = by_gain.len().saturating_sub(NUM_SHOWN);
    let most = by_gain.iter().rev().take(NUM_SHOWN.min(num_left));
    chosen.extend(most.map(|loss| ("most dependent on its images", (*loss).clone())));
    chosen
}

/// Those that have a measure, ascending; equal ones by their ids.
fn ranked(losses: &[Loss], measure: impl Fn(&Loss) -> Option<f64>) -> Vec<&Loss> {
    let mut measured: Vec<(f64, &Loss)> =
        losses.iter().filter_map(|loss| Some((measure(loss).filter(|value| value.is_finite())?, loss))).collect();
    measured.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
    measured.into_iter().map(|(_, loss)| loss).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_at_one_end_of_an_order_only() {
        let loss = |id: &str, own, other| Loss { id: id.to_owned(), num_images: 1, own: Some(own), blank: None, other };
        let losses =
            vec![loss("a", 1.0, Some(1.5)), loss("b", 3.0, Some(2.0)), loss("c", 2.0, None), loss("d", 0.5, None)];
        let chosen: Vec<(&str, String)> = choose(&losses).into_iter().map(|(why, loss)| (why, loss.id)).collect();
        let of = |wanted: &str| -> Vec<&str> {
            chosen.iter().filter(|(why, _)| *why == wanted).map(|(_, id)| id.as_str()).collect()
        };
        assert_eq!(of("highest loss"), ["b", "c", "a"]);
        assert_eq!(of("lowest loss"), ["d"]);
        assert_eq!(of("least dependent on its images"), ["b", "a"]);
        assert_eq!(of("most dependent on its images"), Vec::<&str>::new());
    }
}
