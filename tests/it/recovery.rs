//! What a kill leaves behind: of the vault process, and of the server in the middle of saving a file.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::containers::{owner, running, sh, wait_for};
use crate::support::server::Server;
use crate::support::{eventually, processes};

#[tokio::test]
async fn a_killed_vault_is_reported_restarted_and_loses_nothing() {
    let server = Server::start().await;
    let api = owner(&server).await;
    let workspace = api.workspace().await;
    let secret = format!("/workspaces/{workspace}/secrets/SEEN");
    let body = json!({"tier": "visible", "value": "before the kill"});
    api.put(&secret, &body).await.expect(200);
    for _ in 0..3 {
        let vault = server.children(" vault ");
        assert_eq!(vault.len(), 1, "one vault process: {vault:?}");
        // Held still, it is there and answers nothing: the server must say so and not hang.
        processes::signal(vault[0], Signal::STOP);
        let asked = Instant::now();
        // An answer is believed for a second.
        let ready = eventually("a no", Duration::from_secs(4), || async {
            let ready = server.anonymous().get("//readyz").await;
            (ready.status == 503).then_some(ready)
        })
        .await;
        assert_eq!(ready.json()["vault"], "unavailable");
        assert!(asked.elapsed() < Duration::from_secs(5));
        processes::signal(vault[0], Signal::KILL);
        let killed = Instant::now();
        eventually("ready again", Duration::from_secs(10), || async {
            (server.anonymous().get("//readyz").await.status == 200).then_some(())
        })
        .await;
        assert!(
            killed.elapsed() < Duration::from_secs(5),
            "{:?}",
            killed.elapsed()
        );
        assert_ne!(server.children(" vault "), vault);
        let listed = api
            .get(&format!("/workspaces/{workspace}/secrets"))
            .await
            .ok();
        assert_eq!(listed["items"][0]["value"], "before the kill");
    }
    api.put(&secret, &json!({"tier": "visible", "value": "after"}))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_lost_master_stops_the_start_and_is_not_replaced() {
    let mut server = Server::start().await;
    owner(&server).await;
    server.terminate().await;
    let master = server.data_dir().join("vault/master");
    let kept = server.data_dir().join("master.kept");
    std::fs::rename(&master, &kept).unwrap();
    let (status, text) = Server::builder()
        .data_dir(server.data_dir())
        .start_and_fail()
        .await;
    assert!(!status.success(), "{text}");
    assert!(
        !master.exists(),
        "a fresh master would open nothing of what is stored"
    );
    std::fs::rename(&kept, &master).unwrap();
    server.start_again().await;
}

#[tokio::test]
async fn a_server_killed_while_saving_leaves_the_old_file_or_the_new_one() {
    let mut server = Server::start().await;
    let api = owner(&server).await;
    let path = running(&api).await;
    let file = format!("{path}/files/big.txt");
    let size = 24 << 20;
    let content = |letter: u8| vec![letter; size];
    api.put_bytes(&file, content(b'a')).await.expect(201);
    let mut saw = std::collections::BTreeSet::new();
    for round in 0..6_u64 {
        let letter = b'b' + u8::try_from(round).unwrap();
        let save = {
            let (api, file, body) = (api.clone(), file.clone(), content(letter));
            tokio::spawn(async move {
                // Broken off by the kill in most rounds: there may be no answer.
                let _ = api
                    .request(reqwest::Method::PUT, &file)
                    .body(body)
                    .send()
                    .await;
            })
        };
        // Early, in the middle, and about when it is done.
        tokio::time::sleep(Duration::from_millis(10 + round * 25)).await;
        server.kill().await;
        save.await.unwrap();
        server.start_again().await;
        wait_for(&api, &path, "running").await;
        let script = "wc -c < big.txt; head -c 1 big.txt; tail -c 1 big.txt; echo; \
                      tr -d \"$(head -c 1 big.txt)\" < big.txt | wc -c";
        let said = sh(&api, &path, script).await;
        let lines: Vec<&str> = said["stdout"]
            .as_str()
            .unwrap()
            .split_whitespace()
            .collect();
        assert_eq!(lines[0], size.to_string(), "whole: {said}");
        assert_eq!(lines[1].len(), 2, "{said}");
        assert_eq!(lines[2], "0", "one content from start to end: {said}");
        saw.insert(lines[1].to_owned());
    }
    assert!(!saw.is_empty());
}
