//! Engines that run tasks on other machines.
//!
//! ```text
//! TaskSet ──divide──▶ jobs: ranges of tasks ──Slurm, Ray──▶ `manyframe task DIRECTORY 0-9`, on any machine
//!                                                               ├── DIRECTORY/done/NNNNNN.json     watched here
//!                                                               └── DIRECTORY/failed/NNNNNN.json   read here
//! ```
//!
//! A scheduler only says that jobs are there, and where they run. Which tasks are done and why one failed is in the directory, so
//! that a driver that was killed loses nothing. Of machines that share no disk, both are brought there from a store.

mod call;
pub(crate) mod jobs;
pub(crate) mod ray;
pub(crate) mod slurm;
mod watch;
