//! What the kernel tells about processes.

use std::fs;

/// When a process started, in clock ticks since boot; field 22 of proc_pid_stat(5).
pub fn start_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in brackets, and may hold anything.
    let after = stat.get(stat.rfind(')')? + 2..)?;
    after.split(' ').nth(19)?.parse().ok()
}

/// The child of `parent` that is the oldest in its own pid namespace, by its id outside. The kernel gives the first ids of
/// a namespace out once only, so what was adopted by `parent` later is never taken for it.
pub fn first_child(parent: i32) -> Option<i32> {
    let child = |entry: std::io::Result<fs::DirEntry>| {
        let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let above: i32 = status_line(&status, "PPid")?.parse().ok()?;
        let inside: i32 = status_line(&status, "NSpid")?
            .split_whitespace()
            .next_back()?
            .parse()
            .ok()?;
        (above == parent).then_some((inside, pid))
    };
    let children = fs::read_dir("/proc").ok()?.filter_map(child);
    children.min().map(|(_, pid)| pid)
}

/// Random for each boot of this machine.
pub fn machine_boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// A line of `/proc/<pid>/status` without its name.
pub fn status_line<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
}
