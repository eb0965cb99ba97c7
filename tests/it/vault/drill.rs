//! The drill of docs/operations.md: a backup opens with its master, and with nothing else.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::containers::owner;
use crate::support::server::Server;

fn sh(script: &str, folder: &Path) {
    let done = Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(done.success(), "{script}");
}

#[tokio::test]
async fn a_backup_opens_with_its_master_and_with_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut server = Server::builder()
        .embedded()
        .data_dir(&here.join("data"))
        .start()
        .await;
    let api = owner(&server).await;
    let secrets = format!("/workspaces/{}/secrets", api.workspace().await);
    let set = json!({"tier": "visible", "value": "worth a backup"});
    api.put(&format!("{secrets}/KEPT"), &set).await.expect(200);
    let token = api.token().unwrap().to_owned();
    server.terminate().await;
    // The commands of the document.
    sh(
        "install -d -m 700 safe-place && cp -a data/vault/master data/vault/install-id safe-place/
         tar --create --gzip --file optidev-data.tar.gz --numeric-owner --exclude=./vault/master --exclude=./run -C data .
         mv data gone
         mkdir -p data && tar --extract --file optidev-data.tar.gz --numeric-owner --preserve-permissions -C data",
        here,
    );
    let refused = async |what: &str| {
        let (status, said) = Server::builder()
            .embedded()
            .data_dir(&here.join("data"))
            .start_and_fail()
            .await;
        assert!(!status.success(), "{what}: {said}");
        said
    };
    let said = refused("without a master").await;
    assert!(said.contains("there is no master secret at"), "{said}");
    // Another installation's, complete: it is told at the start, before anything fails to open.
    let mut other = Server::builder()
        .embedded()
        .data_dir(&here.join("other"))
        .start()
        .await;
    other.terminate().await;
    sh(
        "cp -a other/vault/master other/vault/install-id data/vault/",
        here,
    );
    let said = refused("with another installation's").await;
    assert!(said.contains("belongs to the installation"), "{said}");
    // The right name and another key: nothing that was sealed opens, nobody is recognised.
    sh("cp -a safe-place/install-id data/vault/", here);
    let stranger = Server::builder()
        .embedded()
        .data_dir(&here.join("data"))
        .start()
        .await;
    let unknown = stranger.anonymous().with_token(&token).get("/me").await;
    assert_eq!(unknown.status, 401);
    let own = stranger.api("ada@example.com", "all").await;
    let answer = own.get(&secrets).await;
    assert!(answer.status >= 400, "{}", answer.text());
    assert!(!answer.text().contains("worth a backup"));
    drop(stranger);
    sh(
        "cp -a safe-place/master safe-place/install-id data/vault/",
        here,
    );
    let restored = Server::builder()
        .embedded()
        .data_dir(&here.join("data"))
        .start()
        .await;
    let api = restored.anonymous().with_token(&token);
    let listed = api.get(&secrets).await.ok();
    assert_eq!(listed["items"][0]["value"], "worth a backup");
}
