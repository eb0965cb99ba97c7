//! What one replica decides about a container's connections is seen at the other, and connections wait for no Redis.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{NO_HANGING, Pair, pair};
use crate::containers::running;
use crate::support::api::Api;
use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;

async fn decisions(api: &Api, container: &str) -> Vec<Value> {
    let list = api.get(&format!("{container}/egress")).await.ok();
    list["items"].as_array().unwrap().clone()
}

/// Wants to go to `host`; how long the refusal took.
async fn refused(api: &Api, container: &str, host: &str) -> Duration {
    let body = json!({"command": ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %{time_total}",
        format!("http://{host}/")], "timeout_ms": 60_000});
    let done = api.post(&format!("{container}/exec"), &body).await.ok();
    let (code, took) = done["stdout"].as_str().unwrap().split_once(' ').unwrap();
    assert_eq!(code, "403", "{done}");
    Duration::from_secs_f64(took.parse().unwrap())
}

fn hosts(decisions: &[Value]) -> Vec<&str> {
    decisions
        .iter()
        .map(|one| one["host"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_one_replica_decides_is_seen_at_the_other_and_redis_is_not_waited_for() {
    let (postgres, redis) = (Postgres::shared(), Redis::start());
    let database = postgres.new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| builder).await;
    let at_two = two.anonymous().with_token(ada.token().unwrap());
    let container = running(&ada).await;
    for host in ["first.example", "second.example"] {
        refused(&ada, &container, host).await;
    }
    let seen = eventually("the other's decisions", Duration::from_secs(5), || async {
        let seen = decisions(&at_two, &container).await;
        (seen.len() == 2).then_some(seen)
    })
    .await;
    assert_eq!(hosts(&seen), ["second.example", "first.example"]);
    // The same to the letter, and no decision twice where it was made.
    assert_eq!(decisions(&ada, &container).await, seen);
    assert_eq!(seen[0]["verdict"], "refused");
    assert!(seen[0]["message"].as_str().unwrap().contains("allow-list"));
    // Bounded, and gone by itself.
    let key = redis.cli(&["--scan", "--pattern", "*:recent:*"]);
    let key = key.trim();
    assert!(!key.is_empty() && !key.contains("ctr_"), "{key}");
    let left: i64 = redis.cli(&["ttl", key]).trim().parse().unwrap();
    assert!((1..=86_400).contains(&left), "{left}");
    let flood = "for i in $(seq 250); do curl -s -o /dev/null http://many.example/; done";
    let body = json!({"command": ["sh", "-c", flood], "timeout_ms": 120_000});
    ada.post(&format!("{container}/exec"), &body).await.ok();
    eventually("a list that is full", Duration::from_secs(5), || async {
        let seen = decisions(&at_two, &container).await;
        (seen.len() == 200 && hosts(&seen) == ["many.example"; 200]).then_some(())
    })
    .await;
    assert_eq!(redis.cli(&["llen", key]).trim(), "200");
    // What somebody else writes there is passed over, and fails nothing.
    redis.cli(&["lpush", key, "nonsense"]);
    assert_eq!(decisions(&at_two, &container).await.len(), 199);
    redis.cli(&["del", key]);
    redis.cli(&["set", key, "nonsense"]);
    assert_eq!(decisions(&at_two, &container).await.len(), 0);
    assert_eq!(decisions(&ada, &container).await.len(), 200);

    for gone in ["frozen", "down"] {
        match gone {
            "frozen" => redis.freeze(),
            _ => redis.down(),
        }
        // Connections cost no more, and where they come through they are seen.
        let host = format!("{gone}.example");
        for _ in 0..5 {
            let took = refused(&ada, &container, &host).await;
            assert!(took < Duration::from_millis(400), "{gone}: {took:?}");
        }
        let start = Instant::now();
        assert_eq!(hosts(&decisions(&ada, &container).await)[..5], [&host; 5]);
        assert!(decisions(&at_two, &container).await.is_empty(), "{gone}");
        assert!(start.elapsed() < NO_HANGING, "{:?}", start.elapsed());
        match gone {
            "frozen" => redis.thaw(),
            _ => redis.up(),
        }
    }
    // And shared again, once it is back.
    eventually("sharing again", Duration::from_secs(10), || async {
        refused(&ada, &container, "back.example").await;
        let seen = decisions(&at_two, &container).await;
        hosts(&seen).contains(&"back.example").then_some(())
    })
    .await;
    drop(one);
}

#[tokio::test]
async fn a_ceiling_that_is_set_at_one_replica_holds_at_the_other_within_a_second() {
    let (postgres, redis) = (Postgres::shared(), Redis::start());
    let database = postgres.new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| {
        builder.set("egress.allow", "[\"one.invalid\", \"two.invalid\"]")
    })
    .await;
    let at_two = two.anonymous().with_token(ada.token().unwrap());
    let container = running(&ada).await;
    let ceiling = format!("/organizations/{}/egress", ada.organization().await);
    let reason = async |host: &str| {
        let body = json!({"command": ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
            format!("http://{host}/")], "timeout_ms": 60_000});
        let done = ada.post(&format!("{container}/exec"), &body).await.ok();
        done["stdout"].as_str().unwrap().to_owned()
    };
    // With Redis gone, too: what holds is read from the database.
    for away in [false, true] {
        if away {
            redis.down();
        }
        for (only, other) in [
            ("one.invalid", "two.invalid"),
            ("two.invalid", "one.invalid"),
        ] {
            // Fresh in the first replica's memory.
            reason(other).await;
            let body = json!({ "ceiling": [only] });
            at_two.put(&ceiling, &body).await.ok();
            let changed = Instant::now();
            eventually("the new ceiling", Duration::from_secs(5), || async {
                (reason(other).await == "403").then_some(())
            })
            .await;
            let took = changed.elapsed();
            assert!(took < Duration::from_millis(1_800), "{took:?}");
            // Let through, and known to nobody.
            assert_eq!(reason(only).await, "502");
        }
    }
    drop(one);
}
