//! Integration tests: one file per promise. They run the program that users run.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test that cannot go on fails at once")]
#![expect(clippy::print_stdout, reason = "figures are for people who read them")]
#![expect(clippy::disallowed_methods, reason = "tests write fixtures and read their own settings")]

mod anywhere;
mod browser;
mod budgets;
mod chaos;
mod cli;
mod clients;
#[cfg(feature = "video")]
mod clips;
mod cluster;
#[cfg(feature = "video")]
mod damage;
mod demo;
mod determinism;
mod dirt;
mod documents;
mod duplicates;
mod export;
mod exported;
mod families;
mod folders;
mod forms;
mod freshness;
mod init;
mod json;
#[cfg(feature = "video")]
mod kills;
mod layering;
mod licenses;
mod losses;
mod lossless;
mod ls;
mod messages;
mod mixing;
mod needle_exports;
mod needle_inputs;
mod needle_leaks;
mod needle_scores;
mod needle_sources;
mod needles;
mod overlength;
mod packing;
mod pipelines;
mod python_package;
mod readme;
mod recipes;
mod remote;
mod replaced;
mod report;
mod robustness;
mod samples;
mod schemas;
mod settings;
mod shards;
mod state;
mod support;
mod tampering;
mod templates;
mod terminal;
mod tokens;
mod troubleshooting;
mod upload;
mod urls;
mod validate;
mod verify;
#[cfg(feature = "video")]
mod video_packs;
mod web;
#[cfg(not(any(feature = "stores", feature = "video")))]
mod without_features;
mod work;
