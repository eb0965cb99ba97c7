//! What one replica does for both, and goes on with when the other or Redis is away.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{NO_HANGING, Pair, closed, pair};
use crate::audit::receivers::Webhook;
use crate::containers::{member, running};
use crate::identity::{Browser, enrol, field, totp};
use crate::members::{signed_in, submit};
use crate::support::api::Api;
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;
use crate::support::server::{PASSWORD, Server};
use crate::support::terminal::Terminal;
use crate::support::{eventually, free_port};

#[tokio::test]
async fn a_member_who_goes_at_one_replica_loses_the_terminal_at_the_other_within_a_second() {
    let (postgres, redis) = (Postgres::shared(), Redis::start());
    let database = postgres.new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| builder).await;
    let at_two = two.anonymous().with_token(ada.token().unwrap());
    for change in ["demoted", "removed"] {
        let bob = member(&one, &ada, &format!("{change}@example.com"), "user").await;
        let container = running(&bob).await;
        let (_, screen) = Terminal::create(&bob, &container).await;
        let place = container.split_once("/containers").unwrap().0;
        let path = format!("{place}/members/{}", crate::members::id(&bob).await);
        match change {
            "demoted" => {
                let viewer = json!({"role": "viewer"});
                let changed = at_two.send("PATCH", &path, |request| request.json(&viewer));
                changed.await.expect(200)
            }
            _ => at_two.delete(&path).await.expect(204),
        };
        let took = closed(screen).await;
        eprintln!("{change} at the other replica, the terminal ended after {took:?}");
        assert!(took < Duration::from_secs(1), "{change}: {took:?}");
    }
}

/// Makes `count` entries.
async fn entries(api: &Api, name: &str, count: usize) {
    let secrets = format!("/workspaces/{}/secrets", api.workspace().await);
    for number in 0..count {
        let value = json!({"tier": "sensitive", "value": "v"});
        let path = format!("{secrets}/{name}{number}");
        api.put(&path, &value).await.expect(200);
    }
}

/// Waits until everything was carried; the number of the next entry.
async fn all_carried(api: &Api, sinks: &str) -> i64 {
    eventually("an empty spool", Duration::from_secs(40), || async {
        let sink = api.get(sinks).await.ok()["items"][0].clone();
        (sink["waiting"] == 0).then(|| sink["next_seq"].as_i64().unwrap())
    })
    .await
}

/// The numbers of all entries that arrived, in the order in which they did.
fn arrived(webhook: &Webhook) -> Vec<i64> {
    webhook.all().iter().flat_map(|one| one.seqs()).collect()
}

#[tokio::test]
async fn one_replica_carries_the_audit_log_and_the_other_goes_on_when_it_is_killed() {
    let (postgres, redis) = (Postgres::shared(), Redis::start());
    let database = postgres.new_database();
    let Pair {
        mut one,
        mut two,
        ada,
        _master,
    } = pair(&database, &redis, |builder| {
        builder.set("audit.also_allow", "[\"127.0.0.0/8\"]")
    })
    .await;
    let at_two = two.anonymous().with_token(ada.token().unwrap());
    let port = free_port();
    let webhook = Webhook::start(port, 204).await;
    let sinks = format!("/organizations/{}/audit-sinks", ada.organization().await);
    let new = json!({"name": "SIEM", "from_beginning": true,
        "target": {"kind": "webhook", "url": format!("http://127.0.0.1:{port}/hook")}});
    ada.post(&sinks, &new).await.expect(201);
    for part in ["A", "B", "C"] {
        entries(&ada, part, 5).await;
        entries(&at_two, part, 5).await;
        all_carried(&ada, &sinks).await;
    }
    // With two at it, entries would arrive twice.
    let seqs = arrived(&webhook);
    let mut once = seqs.clone();
    once.dedup();
    assert_eq!(seqs, once);
    assert!(
        seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{seqs:?}"
    );

    // Whichever it was, one of the two kills hits it.
    one.kill().await;
    entries(&at_two, "D", 5).await;
    all_carried(&at_two, &sinks).await;
    one.start_again().await;
    two.kill().await;
    entries(&ada, "E", 5).await;
    // While Redis is away nobody may carry, and nothing is lost by it.
    redis.down();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = arrived(&webhook).len();
    entries(&ada, "F", 5).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(arrived(&webhook).len(), before, "carried without the lock");
    redis.up();
    let next = all_carried(&ada, &sinks).await;
    let mut due = 1;
    for seq in arrived(&webhook) {
        assert!(seq <= due, "a gap before {seq}, {due} was due");
        due = due.max(seq + 1);
    }
    assert_eq!(due, next);
}

#[tokio::test]
async fn a_start_without_redis_works_and_what_needs_certainty_waits_for_it() {
    let redis = Redis::start();
    let mut server = Server::builder()
        .set("redis.url", redis.url())
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    let mut page = signed_in(&server, "ada@example.com").await;
    let seed = enrol(&mut page).await;
    let mut half = Browser::new(&server.url());
    let login = [("email", "ada@example.com"), ("password", PASSWORD)];
    let (_, to, _) = half.post("/sign-in", &login).await;
    assert!(to.starts_with("/sign-in/second-factor"), "{to}");
    let (_, _, asks) = half.get("/sign-in/second-factor").await;
    let asks = field(&asks, "csrf_token");

    server.terminate().await;
    redis.down();
    server.start_again().await;
    let ready = server.anonymous().get("//readyz").await.ok();
    assert_eq!(ready["redis"], "unavailable");
    assert_eq!(page.get("/account").await.0, 200);
    let next = totp(&seed, 1);
    let second = [("csrf_token", asks.as_str()), ("code", &next)];
    let start = Instant::now();
    let (status, _, text) = half.post("/sign-in/second-factor", &second).await;
    assert_eq!(status, 503, "{text}");
    let confirm = [
        ("password", PASSWORD),
        ("code", next.as_str()),
        ("next", "/account"),
    ];
    let form = "/account/reauthenticate";
    let (status, ..) = submit(&mut page, form, form, &confirm).await;
    assert_eq!(status, 503);
    assert!(start.elapsed() < NO_HANGING, "{:?}", start.elapsed());

    redis.up();
    // The code was not used up by the refusal.
    eventually("the second factor", Duration::from_secs(10), || {
        let mut half = half.clone();
        async move { (half.post("/sign-in/second-factor", &second).await.0 == 303).then_some(()) }
    })
    .await;
}
