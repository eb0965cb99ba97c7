//! What a workspace and its organization say, at the proxy.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::super::Egress;
use super::super::dial::Resolver;
use super::super::judge::Rules;
use super::super::known::Lists;
use super::super::policy::AllowList;
use super::{ask, echo};
use crate::config::EgressConfig;
use crate::context::testing::services;
use crate::kernel::Clock;
use crate::shared::Recent;

/// A proxy whose every name leads to 127.0.0.1, which the operator opened.
fn egress(allow: &[String], lists: Lists) -> Egress {
    let config = EgressConfig {
        allow: allow.to_vec(),
        also_allow: vec!["127.0.0.0/8".parse().unwrap()],
        workspace_additions: true,
        connect_timeout_ms: 2_000,
        ..EgressConfig::default()
    };
    let loopback = |_: &str, port| vec![SocketAddr::from(([127, 0, 0, 1], port))];
    let parts = (Resolver::Test(Box::new(loopback)), lists);
    let (clock, tasks) = (Clock::fixed(7), TaskTracker::new());
    Egress::with(&config, clock, tasks, Recent::alone(), parts).unwrap()
}

fn get(host: &str, port: u16) -> String {
    format!("GET http://{host}:{port}/ HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[tokio::test]
async fn what_the_operator_opened_is_open_to_the_operator_s_names_only() {
    let (port, count) = echo().await;
    let list = |hosts: &[&str]| {
        let entries: Vec<String> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
        AllowList::parse(&entries).unwrap()
    };
    let rules = Rules {
        additions: Some(list(&["added.example", "both.example"])),
        ceiling: Some(list(&["added.example", "both.example"])),
    };
    let operators = ["both.example", "beyond.example"].map(|host| format!("{host}:{port}"));
    let egress = egress(&operators, Lists::Test(Arc::new(rules)));
    let answer = ask(&egress, &get("both.example", port)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for (host, words) in [
        ("added.example", "opens public addresses only"),
        ("beyond.example", "beyond the ceiling"),
        ("neither.example", "nor on this workspace's own"),
    ] {
        let answer = ask(&egress, &get(host, port)).await;
        assert!(
            answer.starts_with("HTTP/1.1 403") && answer.contains(words),
            "{host}: {answer}"
        );
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nothing_passes_while_the_lists_cannot_be_read() {
    let (port, count) = echo().await;
    let folder = tempfile::tempdir().unwrap();
    // The workspace is not in this database.
    let lists = Lists::Store(services(folder.path()).await.store);
    let egress = egress(&[format!("listed.example:{port}")], lists);
    let answer = ask(&egress, &get("listed.example", port)).await;
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("cannot be read at the moment"),
        "{answer}"
    );
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
}
