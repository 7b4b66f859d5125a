//! The promises of the crate, one file per topic. Fixtures are in `data/`, with the program that made them.

mod archives;
mod damaged;
mod images;
mod roots;
mod support;
mod tiles;
