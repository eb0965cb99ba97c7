//! Settings: one TOML file and `OPTIDEV_SECTION__KEY` variables over defaults. Unknown keys are errors.
//!
//! Holds plain values only; reads files and the environment in [`load`] and nowhere else.

mod ai;
mod audit;
mod database;
mod egress;
mod kubernetes;
mod limits;
mod load;
mod log;
mod mail;
mod metrics;
mod objects;
mod redactor;
mod redis;
mod runtime;
mod server;
mod service_url;
mod tls;
mod vault;

pub use ai::AiConfig;
pub use audit::AuditConfig;
pub use database::DatabaseConfig;
pub use egress::EgressConfig;
pub use kubernetes::{
    ClassConfig, GpuConfig, KubernetesConfig, TolerationConfig, UnprovenIsolation,
};
pub use limits::LimitsConfig;
pub use load::{ConfigError, Loaded, load};
pub use log::{LogConfig, LogFormat};
pub use mail::{MailConfig, MailTls};
pub use metrics::MetricsConfig;
pub use objects::{ObjectsConfig, ObjectsKind};
pub use redactor::RedactorConfig;
pub use redis::RedisConfig;
pub use runtime::{LocalRuntimeConfig, RuntimeConfig, RuntimeKind};
pub use server::ServerConfig;
pub use service_url::ServiceUrl;
pub use tls::TlsConfig;
pub use vault::VaultConfig;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Every setting, one field per section of the file.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The listener and the addresses that people see.
    pub server: ServerConfig,
    /// TLS of the listener.
    pub tls: TlsConfig,
    /// Where rows are kept.
    pub database: DatabaseConfig,
    /// What several replicas share.
    pub redis: RedisConfig,
    /// Where archives of imported projects are kept.
    pub objects: ObjectsConfig,
    /// How many requests are taken.
    pub limits: LimitsConfig,
    /// The vault process.
    pub vault: VaultConfig,
    /// The redactor.
    pub redactor: RedactorConfig,
    /// What containers may reach.
    pub egress: EgressConfig,
    /// How containers run.
    pub runtime: RuntimeConfig,
    /// Containers as pods of a Kubernetes cluster.
    pub kubernetes: KubernetesConfig,
    /// The AI gateway and the assistant.
    pub ai: AiConfig,
    /// Invitations by mail.
    pub mail: MailConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// What is counted.
    pub metrics: MetricsConfig,
    /// The log.
    pub log: LogConfig,
}

/// Where things are kept below the data folder.
#[derive(Debug, Clone)]
pub struct Paths {
    data_dir: PathBuf,
}

impl Paths {
    /// The layout below `data_dir`, which must be absolute.
    pub fn new(data_dir: PathBuf) -> Self {
        Self { data_dir }
    }

    /// The data folder itself.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The embedded database's folder.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("database")
    }

    /// The embedded database.
    pub fn sqlite(&self) -> PathBuf {
        self.database().join("optidev.db")
    }

    /// The vault process's own folder: only that process reads it.
    pub fn vault(&self) -> PathBuf {
        self.data_dir.join("vault")
    }

    /// Sockets between OptiDev's processes.
    pub fn run(&self) -> PathBuf {
        self.data_dir.join("run")
    }

    /// Archives on their way in, and with `[objects] kind = "disk"` all that were imported.
    pub fn objects(&self) -> PathBuf {
        self.data_dir.join("objects")
    }

    /// Volumes and sockets of the local runtime's containers.
    pub fn containers(&self) -> PathBuf {
        self.data_dir.join("containers")
    }

    /// The listener's certificate and key when none is configured.
    pub fn tls(&self) -> PathBuf {
        self.data_dir.join("tls")
    }
}
