//! `[runtime]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How containers run.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuntimeConfig {
    /// What runs containers: `local` is bubblewrap on this machine, `kubernetes` pods of the cluster in `[kubernetes]`; with
    /// `none` this installation has no containers.
    pub kind: RuntimeKind,
    /// Whether this server makes containers run and stop. Of several servers with one database, one does; the others only
    /// show what it does. With `kubernetes` the servers that may agree on one by themselves.
    pub controller: bool,
    /// The embedded runtime.
    pub local: LocalRuntimeConfig,
}

impl Default for RuntimeConfig {
    fn default() -> Self {
        Self {
            kind: RuntimeKind::Local,
            controller: true,
            local: LocalRuntimeConfig::default(),
        }
    }
}

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeKind {
    /// bubblewrap on this machine.
    Local,
    /// Pods, made by `optidev controller`.
    Kubernetes,
    /// Nothing.
    None,
}

/// The embedded runtime: bubblewrap on this machine.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalRuntimeConfig {
    /// Host folders that containers see, read-only, at the same place: the system and its toolchains.
    /// Example: `["/usr", "/opt/rust"]`.
    pub toolchains: Vec<PathBuf>,
    /// Folders put first in `PATH` inside containers. Example: `["/opt/rust/bin"]`.
    pub path: Vec<PathBuf>,
    /// Memory of one container, in MiB.
    pub memory_mib: u64,
    /// Most processes and threads in one container.
    pub pids: u64,
    /// When the server runs as root, container number n runs as this host user id plus n.
    pub uid_base: u32,
    /// Stop the containers when the server is stopped in good order; those that were wanted running come back with it.
    pub stop_with_server: bool,
    /// Stop a container after this many minutes without activity; 0 means never.
    pub idle_stop_minutes: u32,
}

impl Default for LocalRuntimeConfig {
    fn default() -> Self {
        Self {
            toolchains: vec![PathBuf::from("/usr")],
            path: Vec::new(),
            memory_mib: 4096,
            pids: 2048,
            uid_base: 200_000,
            stop_with_server: true,
            idle_stop_minutes: 240,
        }
    }
}
