//! What Linux knows of this process, under the names that all Prometheus clients use.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Default)]
pub struct Process {
    resident: Gauge,
    open_files: Gauge,
    most_files: Gauge,
    threads: Gauge,
    cpu_seconds: Counter<f64, AtomicU64>,
}

impl Process {
    pub fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        add(
            "process_resident_memory_bytes",
            "Resident memory",
            &self.resident,
        );
        add(
            "process_open_fds",
            "Open file descriptors",
            &self.open_files,
        );
        add(
            "process_max_fds",
            "The most that may be open",
            &self.most_files,
        );
        add("process_threads", "Threads", &self.threads);
        registry.register(
            "process_cpu_seconds",
            "Time of processors that was spent, of the system and the program",
            self.cpu_seconds.clone(),
        );
    }

    /// Asks the kernel. What it does not tell stays as it was.
    pub fn look(&self) {
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            // proc_pid_status(5).
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name))?;
                line.split_ascii_whitespace().next()?.parse::<i64>().ok()
            };
            if let Some(kibibytes) = field("VmRSS:") {
                self.resident.set(kibibytes.saturating_mul(1024));
            }
            if let Some(threads) = field("Threads:") {
                self.threads.set(threads);
            }
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the folder that is being read.
            let open = files.count().saturating_sub(1);
            self.open_files.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        self.most_files
            .set(most.map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX)));
        let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let nanoseconds = u32::try_from(spent.tv_nsec).unwrap_or_default();
        let seconds = u64::try_from(spent.tv_sec).unwrap_or_default();
        let spent = std::time::Duration::new(seconds, nanoseconds);
        // It counts up by itself, and is only shown here.
        let shown = self.cpu_seconds.inner();
        shown.store(spent.as_secs_f64().to_bits(), Ordering::Relaxed);
    }
}
