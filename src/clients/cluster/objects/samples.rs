//! Samples for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Of;
use crate::clients::cluster::settings::{Class, Overhead, Server, Settings};
use crate::clients::cluster::{Labels, Start, Wanted, WantedState, Work};

pub const ID: &str = "ctr_01hzy3v9k2m4n6p8q0r2s4t6vw";
pub const NAMESPACE: &str = "od-01hzy3v9k2m4n6p8q0r2s4t6vw";

pub fn settings() -> Settings {
    Settings {
        install: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned(),
        release_namespace: "optidev".to_owned(),
        web_labels: BTreeMap::from([
            ("app.kubernetes.io/name".to_owned(), "optidev".to_owned()),
            ("app.kubernetes.io/component".to_owned(), "web".to_owned()),
        ]),
        server: Server::Address(([10, 96, 0, 9], 7444).into()),
        server_port: 7444,
        agent_port: 7443,
        agent_image: "agent:1".to_owned(),
        authority_pem: "-----BEGIN CERTIFICATE-----".to_owned(),
        environment: [("HOSTS".to_owned(), ".apps.example.com".to_owned())].into(),
        probes: Arc::new(|facts| format!("{{\"allowed\":\"{}\"}}", facts.server)),
        storage_class: None,
        runtime_class: None,
        overhead: Overhead::default(),
        node_selector: BTreeMap::new(),
        tolerations: Vec::new(),
        image_pull_policy: "IfNotPresent".to_owned(),
        image_pull_secrets: Vec::new(),
        pod_security_level: "restricted".to_owned(),
        uid: 10_000,
        host_users: None,
        allow_tags: true,
        free_namespaces: true,
    }
}

pub fn class() -> Class {
    Class {
        name: "small".to_owned(),
        cpu_request_milli: 250,
        cpu_limit_milli: 2000,
        memory_mib: 2048,
        ephemeral_mib: 1500,
        volume_gib: 5,
        gpu: None,
    }
}

pub fn start() -> Start {
    Start {
        number: 3,
        token: crate::kernel::SecretString::new("hunter2".to_owned()),
        enrolled: false,
        class: class(),
        image: "dev:1".to_owned(),
        work: Work::Agent,
    }
}

pub fn wanted() -> Wanted {
    Wanted {
        container: ID.to_owned(),
        workspace: "wsp_01hzy3v9k2m4n6p8q0r2s4t6vx".to_owned(),
        owner: "usr_01hzy3v9k2m4n6p8q0r2s4t6vy".to_owned(),
        state: WantedState::Running(Box::new(start())),
    }
}

pub fn all() -> (Settings, Labels, Wanted) {
    let settings = settings();
    let labels = Labels::new(&settings.install);
    (settings, labels, wanted())
}

pub fn of<'a>(settings: &'a Settings, labels: &'a Labels, wanted: &'a Wanted) -> Of<'a> {
    Of {
        settings,
        labels,
        wanted,
        namespace: NAMESPACE,
    }
}
