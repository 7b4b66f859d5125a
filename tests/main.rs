//! Integration tests: one file per promise. They run the program that users run.

mod cli;
mod demo;
mod determinism;
mod dirt;
mod layering;
mod pipelines;
mod readme;
mod samples;
mod schemas;
mod support;
