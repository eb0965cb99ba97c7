//! A project from a git address, fetched by git itself through the way out.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{Place, SOON, Site};
use crate::support::eventually;

fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .args(["-c", "user.name=T", "-c", "user.email=t@example.com"])
        .args(["-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "git {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[tokio::test]
async fn a_project_is_cloned_through_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    git(&work, &["init", "-q"]);
    std::fs::write(work.join("README.md"), "cloned\n").unwrap();
    git(&work, &["add", "."]);
    git(&work, &["commit", "-qm", "One"]);
    git(&work, &["checkout", "-qb", "next"]);
    std::fs::write(work.join("README.md"), "next\n").unwrap();
    git(&work, &["commit", "-qam", "Two"]);
    git(&work, &["checkout", "-q", "main"]);
    git(
        folder.path(),
        &["clone", "-q", "--bare", "work", "shop.git"],
    );
    // What a plain file server needs for git to find its way.
    git(&folder.path().join("shop.git"), &["update-server-info"]);
    let site = Site::new(folder.path()).await;
    let host = format!("127.0.0.2:{}", site.port());
    let container = Place::allowing(&[&host], &["127.0.0.0/8"]).await;

    let main = clone(&container, &host, None, "ready").await;
    assert_eq!(main, "cloned\n");
    let next = clone(&container, &host, Some("next"), "ready").await;
    assert_eq!(next, "next\n");
    assert!(site.asked().iter().any(|line| line.contains("info/refs")));
    let decisions = container.decisions().await;
    assert!(
        decisions
            .iter()
            .all(|one| one["verdict"] == "allowed" && one["port"] == site.port()),
        "{decisions:?}"
    );
    // Another port of the same machine: said in words that name the setting, and no half folder stays.
    let before = site.asked().len();
    let failed = clone(&container, "127.0.0.3:8080", None, "failed").await;
    assert!(failed.contains("127.0.0.3"), "{failed}");
    assert_eq!(
        container.decisions().await[0]["reason"],
        "address_not_listed"
    );
    assert_eq!(site.asked().len(), before);
    let folders = container.sh("ls projects").await.stdout;
    assert_eq!(folders, "shop\nshop-2\n");
}

/// Makes a project of the repository and brings it into the container: its README, or why it failed.
async fn clone(container: &Place, host: &str, branch: Option<&str>, state: &str) -> String {
    let api = &container.api;
    let mut source = json!({"kind": "git", "url": format!("http://{host}/shop.git")});
    if let Some(branch) = branch {
        source["branch"] = json!(branch);
    }
    let list = format!("/workspaces/{}/projects", api.workspace().await);
    let new = json!({"name": "Shop", "source": source});
    let made = api.post(&list, &new).await.expect(201).json();
    let checkout = format!(
        "{}/projects/{}",
        container.path,
        made["id"].as_str().unwrap()
    );
    api.put(&checkout, &json!({})).await.expect(202);
    let ended = eventually("the clone", SOON, || async {
        let now = api.get(&checkout).await.ok();
        (now["state"] != "importing").then_some(now)
    })
    .await;
    assert_eq!(ended["state"], state, "{ended}");
    if state != "ready" {
        return ended["message"].as_str().unwrap().to_owned();
    }
    let folder = made["folder"].as_str().unwrap();
    let file = format!("{}/files/{folder}/README.md", container.path);
    api.get(&file).await.expect(200).text()
}
