//! Who may have secrets delivered where, and what is told of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::place;
use crate::containers::{member, running_in, sh, wait_for};
use crate::members::id;
use crate::support::api::Api;
use crate::support::eventually;

const MINE: &str = "mine";
const ALL: &str = "all";

async fn deliver(api: &Api, secrets: &str, whose: &str) -> Vec<Value> {
    let body = json!({"containers": whose});
    let told = api.post(&format!("{secrets}/deliver"), &body).await.ok();
    told["items"].as_array().unwrap().clone()
}

async fn entries(api: &Api, workspace: &str, container: &str) -> Vec<Value> {
    let log = format!("/workspaces/{workspace}/audit?action=secrets.deliver&limit=100");
    let log = api.get(&log).await.ok();
    let all = log["items"].as_array().unwrap().iter();
    all.filter(|entry| container.ends_with(entry["object"].as_str().unwrap()))
        .cloned()
        .collect()
}

#[tokio::test]
async fn each_container_gets_what_its_owner_may_have_whoever_asks() {
    let (server, ada, secrets) = place().await;
    let workspace = ada.workspace().await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let vic = member(&server, &ada, "vic@example.com", "viewer").await;
    let set = async |api: &Api, path: &str, value: &str| {
        let body = json!({"tier": "masked", "value": value, "delivered_as": "both"});
        api.put(&format!("{secrets}/{path}"), &body).await.ok();
    };
    let (hers, his) = (
        running_in(&ada, &workspace).await,
        running_in(&bob, &workspace).await,
    );
    set(&ada, "SHARED", "shared").await;
    set(&bob, "BOBS_NAME?scope=own", "bob's canary").await;
    set(&ada, "ADAS_NAME?scope=own", "ada's canary").await;

    // What is outdated: of hers by name, of his own only how many.
    let listed = ada.get(&format!("{secrets}/containers")).await.ok();
    assert!(!listed.to_string().contains("BOBS_NAME"), "{listed}");
    let of = |listed: &Value, path: &str| {
        let items = listed["items"].as_array().unwrap().iter();
        let mut found = items.filter(|one| path.ends_with(one["container"].as_str().unwrap()));
        found.next().cloned().unwrap()
    };
    let his_listed = of(&listed, &his);
    assert_eq!(
        (
            &his_listed["current"],
            &his_listed["outdated_own"],
            &his_listed["outdated"][0]["name"]
        ),
        (&json!(false), &json!(1), &json!("SHARED"))
    );
    assert_eq!(his_listed["owner"]["id"], json!(id(&bob).await));
    assert_eq!(of(&listed, &hers)["outdated"][0]["name"], "ADAS_NAME");
    let page = bob.get(&format!("{secrets}/containers")).await.ok();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    assert!(page.to_string().contains("BOBS_NAME") && !page.to_string().contains("ADAS_NAME"));
    let nothing = vic.get(&format!("{secrets}/containers")).await.ok();
    assert_eq!(nothing["items"], json!([]));

    // To all is for who sets them; to one's own for who has one.
    let all = json!({"containers": ALL});
    let to = format!("{secrets}/deliver");
    bob.post(&to, &all).await.problem(403, "forbidden");
    for whose in [MINE, ALL] {
        let body = json!({"containers": whose});
        vic.post(&to, &body).await.problem(403, "forbidden");
    }
    let show = "cd /run/secrets; ls -A; echo \"$SHARED|$ADAS_NAME|$BOBS_NAME\"";
    let before = sh(&bob, &his, show).await;
    assert_eq!(before["stdout"], "||\n");
    let told = deliver(&bob, &secrets, MINE).await;
    assert_eq!((told.len(), &told[0]["outcome"]), (1, &json!("delivered")));
    assert!(his.ends_with(told[0]["container"].as_str().unwrap()));
    let has = "BOBS_NAME\nSHARED\nshared||bob's canary\n";
    assert_eq!(sh(&bob, &his, show).await["stdout"], has);
    assert_eq!(sh(&ada, &hers, show).await["stdout"], "||\n");

    // Another's own never goes along, whoever asks.
    set(&ada, "SHARED", "again").await;
    let told = deliver(&ada, &secrets, ALL).await;
    assert_eq!(told.len(), 2);
    for one in &told {
        assert_eq!(one["outcome"], "delivered", "{one}");
    }
    let has = "BOBS_NAME\nSHARED\nagain||bob's canary\n";
    assert_eq!(sh(&bob, &his, show).await["stdout"], has);
    let has = "ADAS_NAME\nSHARED\nagain|ada's canary|\n";
    assert_eq!(sh(&ada, &hers, show).await["stdout"], has);

    // The log says who asked, and names what is everybody's.
    let told = entries(&ada, &workspace, &his).await;
    let ada_id = id(&ada).await;
    let hers = told
        .iter()
        .find(|entry| entry["actor"]["id"] == json!(ada_id));
    let hers = hers.unwrap_or_else(|| panic!("{told:?}"));
    assert_eq!(
        hers["detail"],
        "while it runs: 1 of the member's own and SHARED"
    );
    assert!(!json!(told).to_string().contains("BOBS_NAME"));
    assert!(!server.logs().contains("canary"));
}

#[tokio::test]
async fn who_lost_the_right_gets_nothing_and_a_stranger_finds_nothing() {
    let (server, ada, secrets) = place().await;
    let workspace = ada.workspace().await;
    server.create_owner("eve@example.com").await;
    let eve = server.api("eve@example.com", "all").await;
    for whose in [MINE, ALL] {
        let body = json!({"containers": whose});
        eve.post(&format!("{secrets}/deliver"), &body)
            .await
            .problem(404, "not_found");
    }
    eve.get(&format!("{secrets}/containers"))
        .await
        .problem(404, "not_found");

    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let value = json!({"tier": "masked", "value": "before", "delivered_as": "file"});
    ada.put(&format!("{secrets}/KEY"), &value).await.ok();
    let his = running_in(&bob, &workspace).await;
    assert_eq!(entries(&ada, &workspace, &his).await.len(), 1);
    // Behind the server's back, so that nothing has ended yet.
    server
        .execute(
            "UPDATE member SET role = 'viewer' WHERE account_id = (SELECT id FROM account WHERE email = 'bob@example.com')",
        )
        .await;
    let told = deliver(&ada, &secrets, ALL).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["outcome"], "failed", "{told:?}");
    let reason = "Its owner may not have a container here any more.";
    assert_eq!(told[0]["reason"], reason);
    // The vault was asked for nothing: that would be in the log before.
    assert_eq!(entries(&ada, &workspace, &his).await.len(), 1);
    bob.post(&format!("{secrets}/deliver"), &json!({"containers": MINE}))
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn two_hundred_secrets_are_delivered_at_once() {
    let (_server, ada, secrets) = place().await;
    let workspace = ada.workspace().await;
    let all: Vec<Value> = (0..200)
        .map(|n| json!({"name": format!("S{n}"), "tier": "sensitive", "value": format!("v{n}"), "delivered_as": "both"}))
        .collect();
    ada.post(&format!("{secrets}/bulk"), &json!({"secrets": all}))
        .await
        .ok();
    let container = running_in(&ada, &workspace).await;
    let begun = std::time::Instant::now();
    let asked = (0..4).map(|_| deliver(&ada, &secrets, MINE));
    for told in futures_util::future::join_all(asked).await {
        assert_eq!(told[0]["outcome"], "delivered", "{told:?}");
    }
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let show = "ls /run/secrets | wc -l; env | grep -c '^S[0-9]*=v'; cat /run/secrets/S199";
    let shown = sh(&ada, &container, show).await;
    assert_eq!(shown["stdout"], "200\n200\nv199");
}

/// What keeps a container from its secrets may be the name of one of its owner's own.
#[tokio::test]
async fn why_secrets_cannot_be_put_together_is_for_the_owner() {
    let (server, ada, secrets) = place().await;
    let workspace = ada.workspace().await;
    let bob = member(&server, &ada, "bob@example.com", "user").await;
    let his = running_in(&bob, &workspace).await;
    let shared = json!({"tier": "visible", "value": "v"});
    ada.put(&format!("{secrets}/SHARED"), &shared).await.ok();
    let own = json!({"tier": "masked", "value": "${SHARED}", "expand": true});
    bob.put(&format!("{secrets}/BOBS_NAME?scope=own"), &own)
        .await
        .ok();
    // Nobody else is told that something of his refers to it.
    ada.delete(&format!("{secrets}/SHARED")).await.expect(204);
    let told = deliver(&bob, &secrets, MINE).await;
    assert_eq!(told[0]["outcome"], "failed");
    assert!(
        told[0]["reason"].as_str().unwrap().contains("BOBS_NAME"),
        "{told:?}"
    );
    let told = json!(deliver(&ada, &secrets, ALL).await).to_string();
    assert!(
        told.contains("failed") && !told.contains("BOBS_NAME"),
        "{told}"
    );

    bob.post(&format!("{his}/stop"), &json!({})).await.ok();
    wait_for(&bob, &his, "stopped").await;
    bob.post(&format!("{his}/start"), &json!({})).await.ok();
    let shown = eventually("its step fails", Duration::from_secs(30), || async {
        let shown = bob.get(&his).await.ok();
        shown.to_string().contains("BOBS_NAME").then_some(shown)
    })
    .await;
    assert_eq!(shown["mine"], true);
    let containers = format!("/workspaces/{workspace}/containers");
    for _ in 0..10 {
        let others = ada.get(&containers).await.ok().to_string();
        assert!(!others.contains("BOBS_NAME"), "{others}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!server.logs().contains("BOBS_NAME"));
}

/// An agent that does not answer holds up the deliveries to its own container only, and no stop.
#[tokio::test]
async fn a_frozen_container_holds_up_nobody() {
    let (mut server, ada, secrets) = place().await;
    let workspace = ada.workspace().await;
    let hers = running_in(&ada, &workspace).await;
    let freeze = json!({"command": ["pkill", "-STOP", "optidev-agent"]});
    let exec = format!("{hers}/exec");
    let answer = tokio::time::timeout(Duration::from_secs(2), ada.post(&exec, &freeze)).await;
    assert!(
        answer.is_err(),
        "it is frozen, else this test shows nothing"
    );
    let first = tokio::spawn({
        let (ada, secrets) = (ada.clone(), secrets.clone());
        async move { deliver(&ada, &secrets, MINE).await }
    });
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let told = deliver(&ada, &secrets, MINE).await;
    let reason = told[0]["reason"].as_str().unwrap();
    assert!(reason.contains("under way"), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{told:?}");
    assert_eq!(first.await.unwrap()[0]["outcome"], "failed");
    let begun = Instant::now();
    server.terminate().await;
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
}
