//! The promises of the crate, one file per topic. Fixtures are in `data/`, with the program that made them.

#[cfg(test)]
mod archives;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod damaged;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod images;
#[cfg(test)]
mod invented;
#[cfg(test)]
mod lossless;
#[cfg(test)]
mod orientation;
#[cfg(test)]
mod pixels;
#[cfg(test)]
mod roots;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tiles;
