//! How much memory there is.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

/// Memory that this process may take: that of this machine, or less if its control group or `ulimit -d` says so. `None` if the system
/// does not tell.
pub fn memory_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?.split_whitespace().next()?.parse().ok()?;
    let limits = [Some(kib << 10), control_group_bytes(), getrlimit(Resource::Data).current];
    limits.into_iter().flatten().min()
}

/// What the control group of this process allows, if it allows a certain number of bytes.
fn control_group_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let limit = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let of_line = |line: &str| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            // Version 1, where no limit is a number that is larger than any memory.
            "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        // Groups around it limit it, too.
        let around = Path::new(group.trim_start_matches('/')).ancestors();
        around.filter_map(|group| limit(Path::new(root).join(group).join(file))).min()
    };
    groups.lines().filter_map(of_line).min()
}
