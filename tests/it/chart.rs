//! The Helm chart as it renders (tests/helm/golden, which scripts/chart-check compares with the chart): what the server is
//! started with is what the server takes, and the master secret is in one container alone.

use std::fs;
use std::path::{Path, PathBuf};

use optidev::config::{self, RuntimeKind};

fn rendered() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/helm/golden");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect();
    found.sort();
    assert!(found.len() >= 6, "{found:?}");
    found
}

/// The Deployment of the server's pods, and not the controller's.
fn server(text: &str) -> &str {
    text.split("\n---\n")
        .find(|document| {
            document.contains("\nkind: Deployment\n") && document.contains("- name: vault\n")
        })
        .unwrap()
}

/// The document of `kind`, without what others say.
fn document<'a>(text: &'a str, kind: &str) -> &'a str {
    let line = format!("\nkind: {kind}\n");
    text.split("\n---\n")
        .find(|document| document.contains(&line))
        .unwrap_or_else(|| panic!("no {kind}"))
}

#[test]
fn the_settings_of_the_chart_are_settings_of_the_server() {
    for (path, text) in rendered() {
        let settings = document(&text, "ConfigMap");
        let (_, block) = settings.split_once("optidev.toml: |\n").unwrap();
        let toml: String = block
            .lines()
            .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("optidev.toml");
        fs::write(&file, toml).unwrap();
        let loaded = config::load(Some(&file)).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let config = loaded.config;
        assert!(config.vault.socket.is_some(), "{path:?}");
        assert!(config.redactor.socket.is_some(), "{path:?}");
        // Who sets the one has the other.
        let kind = if text.contains("app.kubernetes.io/component: controller") {
            RuntimeKind::Kubernetes
        } else {
            RuntimeKind::None
        };
        assert_eq!(config.runtime.kind, kind, "{path:?}");
        assert!(config.database.migrate_url.is_empty(), "{path:?}");
    }
}

#[test]
fn the_key_of_the_storage_is_mounted_by_the_server_alone() {
    let mut with_storage = 0;
    for (path, text) in rendered() {
        let s3 = text.contains("    kind = \"s3\"\n");
        with_storage += usize::from(s3);
        let named = text.matches("secretName: optidev-objects\n").count();
        assert_eq!(named, usize::from(s3), "{path:?}");
        let (beside, web) = server(&text).split_once("\n      containers:\n").unwrap();
        assert!(!beside.contains("- name: objects"), "{path:?}");
        let mounted = web.contains("mountPath: /etc/optidev/objects\n");
        assert_eq!(mounted, s3, "{path:?}");
    }
    assert!(with_storage >= 5, "{with_storage}");
}

#[test]
fn nothing_that_leads_in_from_outside_leads_to_the_metrics() {
    for (path, text) in rendered() {
        for document in text.split("\n---\n") {
            let public = document.contains("\nkind: Ingress\n")
                || (document.contains("\nkind: Service\n")
                    && !document.contains("optidev.dev/metrics"));
            assert!(
                !public || !document.contains("metrics"),
                "{path:?}: {document}"
            );
        }
    }
}

#[test]
fn the_master_secret_is_mounted_by_the_vault_alone() {
    for (path, text) in rendered() {
        let pod = server(&text);
        let (vault, web) = pod.split_once("\n      containers:\n").unwrap();
        let (vault, redactor) = vault.split_once("- name: redactor\n").unwrap();
        let (web, volumes) = web.split_once("\n      volumes:\n").unwrap();
        let mount = "- name: master\n";
        assert_eq!(vault.matches(mount).count(), 1, "{path:?}");
        assert!(
            !web.contains(mount) && !redactor.contains(mount),
            "{path:?}"
        );
        // Nobody but its owner puts anything in a socket's place.
        for (container, sockets) in [
            (web, ["vault-socket", "redactor-socket"].as_slice()),
            (redactor, &["vault-socket"]),
        ] {
            for socket in sockets {
                let (_, mounted) = container
                    .split_once(&format!("- name: {socket}\n"))
                    .unwrap();
                let (mounted, _) = mounted.split_once("- name: ").unwrap_or((mounted, ""));
                assert!(mounted.contains("readOnly: true"), "{path:?}: {socket}");
            }
        }
        assert!(volumes.contains(mount), "{path:?}");
        // Nor does any other object name it: neither a Job, nor a variable.
        assert_eq!(text.matches("optidev-master").count(), 1, "{path:?}");
        for always in [
            "shareProcessNamespace: false",
            "automountServiceAccountToken: false",
            "enableServiceLinks: false",
        ] {
            assert!(pod.contains(always), "{path:?}: {always}");
        }
        for (user, container) in [("10002", vault), ("10004", redactor), ("10001", web)] {
            assert!(
                container.contains(&format!("runAsUser: {user}")),
                "{path:?}"
            );
            for always in [
                "allowPrivilegeEscalation: false",
                "readOnlyRootFilesystem: true",
                "runAsNonRoot: true",
                "drop: [ALL]",
                "type: RuntimeDefault",
            ] {
                assert!(container.contains(always), "{path:?}: {always}");
            }
        }
    }
}
