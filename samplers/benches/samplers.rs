//! Speed and memory of mixing, ordering, packing and near-duplicates: `cargo bench -p manyframe-samplers`.
//!
//! Each job runs three times, each time in a separate process, so that peak memory is that of the job and its input.
//! Times are those of the job without its input; the table has their median. An argument selects the jobs whose names
//! contain it.
#![expect(clippy::print_stdout, reason = "a bench prints a table")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::error::Error;
use std::hint::black_box;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::Command;
use std::time::{Duration, Instant};

use manyframe_core::{IndexRow, SourceIndex, TypedIndex};
use manyframe_samplers::{
    ConcatOptions, ConcatSample, Drawn, Law, MixTotal, OnExhausted, Order, PackOptions, PackingStrategy, Replacement,
    SampleLength, SourceShare, Stratify, StratumSplit, Unit, audit_concat, mix, near_duplicates, pack,
};

type Job = fn() -> Result<(Duration, String), Box<dyn Error>>;

const JOBS: [(&str, Job); 10] = [
    ("mix 1M rows by weight, records", || mixed(1_000_000, Unit::Records, None)),
    ("mix 5M rows by weight, records", || mixed(5_000_000, Unit::Records, None)),
    ("mix 5M rows by weight, tokens", || mixed(5_000_000, Unit::Tokens, None)),
    ("mix 5M rows by weight, tokens, 16 strata", || mixed(5_000_000, Unit::Tokens, Some(16))),
    ("order 1M records, interleaved", || Ok(ordered())),
    ("pack 10M lengths, best-fit decreasing", || packed(PackingStrategy::BestFitDecreasing, None)),
    ("pack 10M lengths, balanced, 8 ranks", || packed(PackingStrategy::Balanced, None)),
    ("pack 10M lengths, balanced, window of 100,000", || packed(PackingStrategy::Balanced, NonZeroUsize::new(100_000))),
    ("audit 10M lengths, released packer", || Ok(audited())),
    ("near-duplicates of 1M hashes, distance 4", || Ok(near())),
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [child, name] = arguments.as_slice()
        && child == "--job"
    {
        let (_, job) = JOBS.into_iter().find(|(known, _)| known == name).ok_or("no such job")?;
        let (time, result) = job()?;
        println!("{} {} {result}", time.as_secs_f64(), peak_mib()?);
        return Ok(());
    }
    println!("{:<48} {:>8} {:>10}  result", "job", "seconds", "peak MiB");
    for (name, _) in JOBS {
        if !arguments.iter().all(|part| name.contains(part.as_str())) {
            continue;
        }
        let mut runs = (0..3).map(|_| run(name)).collect::<Result<Vec<_>, _>>()?;
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (seconds, mib, result) = runs.get(1).ok_or("no run")?;
        println!("{name:<48} {seconds:>8.3} {mib:>10}  {result}");
    }
    Ok(())
}

/// Seconds, peak MiB and result of a job in a separate process.
fn run(name: &str) -> Result<(f64, u64, String), Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?).args(["--job", name]).output()?;
    let text = String::from_utf8(output.stdout)?;
    let mut words = text.trim().splitn(3, ' ');
    let mut word = || words.next().ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned());
    Ok((word()?.parse()?, word()?.parse()?, word()?.to_owned()))
}

/// Peak of resident memory of this process.
fn peak_mib() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024)
}

/// The n-th record of the whole mix, its source drawn in proportion.
fn of_mix(n: u64) -> support::Generated {
    let mut part = support::splitmix64(3 * n) % 750;
    let is_of = |&(_, (_, thousands)): &(usize, (&str, u64))| {
        let found = part < thousands;
        part = part.saturating_sub(thousands);
        found
    };
    let source = support::SOURCES.into_iter().enumerate().find(is_of).map_or(0, |(source, _)| source);
    support::of_source(source, n)
}

fn rows(num: u64) -> Vec<IndexRow> {
    (0..num).map(|n| support::row(of_mix(n), n)).collect()
}

fn mixed(num: u64, unit: Unit, num_strata: Option<u64>) -> Result<(Duration, String), Box<dyn Error>> {
    let rows = rows(num);
    let mut shares: Vec<SourceShare> = support::SOURCES
        .into_iter()
        .map(|(name, _)| SourceShare {
            name: name.to_owned(),
            eligible: Vec::new(),
            law: Law::Weight(1.0),
            unit,
            on_exhausted: OnExhausted::Repeat,
            replacement: Replacement::Without,
            seed: 1,
            stratify: num_strata.map(|_| Stratify { strata: Vec::new(), split: StratumSplit::Proportional }),
        })
        .collect();
    for (at, row) in rows.iter().enumerate() {
        let share = shares.get_mut(row.source.position()).ok_or("no such source")?;
        share.eligible.push(at as u32);
        if let (Some(stratify), Some(num_strata)) = (&mut share.stratify, num_strata) {
            stratify.strata.push((support::splitmix64(at as u64) % num_strata) as u32);
        }
    }
    let total = rows.iter().map(|row| unit.amount(row)).sum::<u64>() / 2;
    let start = Instant::now();
    let mixture = mix(&rows, &shares, MixTotal::Units(total))?;
    let time = start.elapsed();
    let achieved: u64 = mixture.shares.iter().map(|share| share.achieved).sum();
    Ok((time, format!("{achieved} of {total} {}", unit.as_str())))
}

fn ordered() -> (Duration, String) {
    let rows = rows(1_000_000);
    let drawn: Vec<Drawn> = (0..rows.len() as u32).map(|row| Drawn { row, repetition: 0 }).collect();
    let start = Instant::now();
    let ordered = black_box(Order::Interleaved.arrange(&rows, vec![drawn], 1));
    (start.elapsed(), format!("{} records", ordered.len()))
}

fn packed(strategy: PackingStrategy, window: Option<NonZeroUsize>) -> Result<(Duration, String), Box<dyn Error>> {
    let generated = (0..10_000_000).map(of_mix);
    let length = |num_images: u32, text_tokens: u32| {
        let visual_tokens = 144 * num_images;
        SampleLength { tokens: visual_tokens + text_tokens, images: num_images, visual_tokens }
    };
    let (lengths, sources): (Vec<SampleLength>, Vec<SourceIndex>) =
        generated.map(|of| (length(of.num_images, of.text_tokens), of.source)).unzip();
    let number = |number| NonZeroU32::new(number).ok_or("zero");
    let options = PackOptions { window, ranks: number(8)?, ..PackOptions::new(strategy, number(40_960)?) };
    let start = Instant::now();
    let packs = pack(&lengths, &options)?;
    let time = start.elapsed();
    let report = packs.report(&lengths, &sources, &options);
    Ok((
        time,
        format!(
            "{} packs, fill {:.4} %, {:.2} sources a pack, max/mean of images {:.4} (worst excess {:.3}), tokens {:.4}",
            report.num_packs,
            100.0 * report.fill,
            report.sources_per_pack,
            report.image_balance.max_over_mean,
            report.image_balance.worst_excess,
            report.token_balance.max_over_mean,
        ),
    ))
}

fn audited() -> (Duration, String) {
    let sample = |of: support::Generated| ConcatSample {
        source: of.source,
        num_images: of.num_images,
        text_tokens: of.text_tokens,
        turn_tokens: of.text_tokens,
        num_turns: of.num_turns,
    };
    let samples: Vec<ConcatSample> = (0..10_000_000).map(|n| sample(of_mix(n))).collect();
    let options = ConcatOptions { limit_tokens: 40_960, ..ConcatOptions::default() };
    let start = Instant::now();
    let audit = audit_concat(samples.iter().copied(), &options);
    let time = start.elapsed();
    let (all, lost) = (audit.total().all, audit.total().lost());
    let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole as f64;
    let (samples, tokens) = (percent(lost.samples, all.samples), percent(lost.tokens, all.tokens));
    (time, format!("{samples:.1} % of samples and {tokens:.1} % of tokens lost, fill {:.1} %", 100.0 * audit.fill))
}

/// One hash in four is another one with up to four bits changed.
fn near() -> (Duration, String) {
    let hash = |n: u64| {
        let flips = (0..4).map(|flip| 1u64 << (support::splitmix64(8 * n + flip) % 64));
        if n % 4 == 3 {
            flips.fold(support::splitmix64(n / 2), |hash, flip| hash ^ flip)
        } else {
            support::splitmix64(n)
        }
    };
    let hashes: Vec<(usize, u64)> = (0..1_000_000).map(|n| (n as usize, hash(n))).collect();
    let start = Instant::now();
    let duplicates = near_duplicates(&hashes, 4);
    (start.elapsed(), format!("{} removed", duplicates.len()))
}
