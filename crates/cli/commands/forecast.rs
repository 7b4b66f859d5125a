//! `manyframe plan --forecast`: how long a build takes on a cluster, where it is bound, and what it costs to store and move.

use std::time::Duration;

use manyframe_engine::{Bound, BuildForecast, PlannedBuild, RateBasis, RunForecast};

use crate::args::BuildForecastArguments;
use crate::table::{Table, bytes, percent};

const GB: f64 = 1e9;

/// A forecast with the costs of what one build moves and what its dataset takes, at the prices of the arguments.
fn with_costs(forecast: RunForecast, arguments: &BuildForecastArguments) -> BuildForecast {
    let RunForecast { read_bytes, written_bytes, .. } = forecast;
    BuildForecast {
        forecast,
        cost_of_moving: arguments.price_moved.map(|price| (read_bytes + written_bytes) / GB * price),
        cost_of_storing: arguments.price_stored.map(|price| written_bytes / GB * price),
    }
}

fn forecasts(planned: &PlannedBuild, arguments: &BuildForecastArguments) -> Vec<(RunForecast, RateBasis)> {
    arguments.forecast.iter().map(|workers| planned.forecast(*workers)).collect()
}

/// The forecasts that are asked for.
pub(super) fn answers(planned: &PlannedBuild, arguments: &BuildForecastArguments) -> Vec<BuildForecast> {
    forecasts(planned, arguments).into_iter().map(|(forecast, _)| with_costs(forecast, arguments)).collect()
}

/// A table with a row for each of the clusters that are asked for.
pub(super) fn render(planned: &PlannedBuild, arguments: &BuildForecastArguments) -> String {
    let forecasts = forecasts(planned, arguments);
    let Some(&(first, basis)) = forecasts.first() else { return String::new() };
    let mut table = Table::new(&["workers", "cores each", "MB/s each", "time", "bound by", "cores at work"]);
    for (forecast, _) in &forecasts {
        let workers = forecast.workers;
        table.push(vec![
            workers.num_workers.to_string(),
            workers.cores.to_string(),
            workers.mb_per_second.map_or_else(|| "any".to_owned(), |rate| rate.to_string()),
            indicatif::HumanDuration(Duration::from_secs_f64(forecast.seconds.clamp(1.0, 1e9))).to_string(),
            bound_text(forecast.bound).to_owned(),
            percent(forecast.utilization),
        ]);
    }
    let (read, written) = (first.read_bytes, first.written_bytes);
    let mut text = format!("\n{}", table.render());
    text.push_str(match basis {
        RateBasis::LastBuild => {
            "(at the speed of the last build; planning, and what a scheduler takes, are not part of it)\n"
        }
        RateBasis::RoughGuess => {
            "(a rough guess: after the first build of this output, or of a small part of it, its speed is used)\n"
        }
    });
    text.push_str(&format!("a build reads {} and writes {}", bytes(read as u64), bytes(written as u64)));
    let costs = with_costs(first, arguments);
    if let Some(cost) = costs.cost_of_moving {
        text.push_str(&format!(", which costs {cost:.2}"));
    }
    if let Some(cost) = costs.cost_of_storing {
        text.push_str(&format!("; the dataset costs {cost:.2} a month"));
    }
    text.push('\n');
    text
}

fn bound_text(bound: Bound) -> &'static str {
    match bound {
        Bound::Cores => "cores",
        Bound::Storage => "storage",
        Bound::Tasks => "number of shards",
    }
}
