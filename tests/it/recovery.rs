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
    let begun = Instant::now();
    api.put_bytes(&file, content(b'a')).await.expect(200);
    let takes = begun.elapsed();
    let listing = async || {
        let all = sh(&api, &path, "find . /tmp | sort").await;
        all["stdout"].as_str().unwrap().to_owned()
    };
    let nothing_else = listing().await;

    let (mut broken_off, mut kept_old, mut took_new) = (0, 0, 0);
    let mut old = 'a';
    for round in 0..6_u32 {
        let new = char::from(b'b' + u8::try_from(round).unwrap());
        let mut save = {
            let (api, file, body) = (api.clone(), file.clone(), content(new as u8));
            tokio::spawn(async move {
                let sent = api
                    .request(reqwest::Method::PUT, &file)
                    .body(body)
                    .send()
                    .await;
                sent.is_ok_and(|answer| answer.status() == 200)
            })
        };
        // Early, in the middle, about when it is done; and at last when it has been said that it is done.
        let mut answered = None;
        if round < 5 {
            tokio::time::sleep(takes * round / 4).await;
        } else {
            answered = Some((&mut save).await.unwrap());
        }
        server.kill().await;
        let saved = match answered {
            Some(saved) => saved,
            None => save.await.unwrap(),
        };
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
        assert_eq!(lines[2], "0", "one content from start to end: {said}");
        let (was, is) = (format!("{old}{old}"), format!("{new}{new}"));
        assert!(lines[1] == was || lines[1] == is, "{was} or {is}: {said}");
        assert!(
            !saved || lines[1] == is,
            "what was said to be saved is not there: {said}"
        );
        broken_off += u32::from(!saved);
        if lines[1] == is {
            (took_new, old) = (took_new + 1, new);
        } else {
            kept_old += 1;
        }
        // What was written beside the file goes with the connection that wrote it.
        eventually("nothing is left over", Duration::from_secs(10), || async {
            (listing().await == nothing_else).then_some(())
        })
        .await;
    }
    assert!(
        broken_off > 0 && kept_old > 0 && took_new > 0,
        "no kill hit a save: {broken_off} broken off, {kept_old} times the old, {took_new} times the new"
    );
}
