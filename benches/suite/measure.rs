//! Samples to figures, and the processor time of processes.

use crate::support::processes;

/// USER_HZ, which Linux fixes for x86-64 and arm64 (time(7)).
const TICKS_PER_SECOND: f64 = 100.0;

/// The value below which `share` (0 to 1) of `samples` lie, with linear interpolation between neighbours.
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    assert!(!samples.is_empty(), "nothing was measured");
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}

/// The middle of `samples`.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The width of the middle half of `samples`.
pub fn iqr(samples: &[f64]) -> f64 {
    quantile(samples, 0.75) - quantile(samples, 0.25)
}

/// A server's process and all below it.
pub fn family(server: u32) -> Vec<u32> {
    let mut family = vec![server];
    family.extend(processes::descendants(server));
    family
}

/// Resident memory of `processes` together in MiB. A page that two of them share counts twice.
pub fn resident_mib(processes: &[u32]) -> f64 {
    let kib: u64 = processes
        .iter()
        .map(|pid| processes::resident_kib(*pid))
        .sum();
    kib as f64 / 1024.0
}

/// Processor time that `processes` have used so far, user and system, in seconds (proc_pid_stat(5), fields 14 and 15).
pub fn processor_s(processes: &[u32]) -> f64 {
    let ticks: u64 = processes
        .iter()
        .map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // The name in parentheses may hold anything; what follows starts with field 3.
            let after = stat
                .rsplit_once(')')
                .map_or("", |(_, after)| after)
                .to_owned();
            let numbers = after.split_whitespace().skip(11).take(2);
            numbers
                .filter_map(|number| number.parse::<u64>().ok())
                .sum::<u64>()
        })
        .sum();
    ticks as f64 / TICKS_PER_SECOND
}
