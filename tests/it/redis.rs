//! Two servers on one PostgreSQL and one Redis: what one ends is over on the other, both count together, and what happens
//! when Redis is away.

mod away;
mod egress;

use std::time::{Duration, Instant};

use serde_json::json;

use crate::containers::running;
use crate::identity::Browser;
use crate::members::signed_in;
use crate::postgres::{on, password_file, refusal};
use crate::postgres_faults::certificates;
use crate::preview;
use crate::support::api::Api;
use crate::support::eventually;
use crate::support::postgres::{Database, PASSWORD as REDIS_PASSWORD, Postgres};
use crate::support::redis::Redis;
use crate::support::server::{Builder, PASSWORD, Server};
use crate::support::terminal::Terminal;

/// Nothing may wait for Redis for longer than that, with some for a busy machine.
const NO_HANGING: Duration = Duration::from_secs(3);

/// Two replicas; the first one makes containers run.
struct Pair {
    one: Server,
    two: Server,
    ada: Api,
    _master: tempfile::TempDir,
}

async fn pair(database: &Database<'_>, redis: &Redis, change: impl Fn(Builder) -> Builder) -> Pair {
    let master = tempfile::TempDir::new().unwrap();
    let file = master.path().join("master").display().to_string();
    let replica = |controller: &str| {
        change(
            on(database)
                .set("vault.master_file", &file)
                .set("redis.url", redis.url())
                .set("runtime.controller", controller),
        )
    };
    let one = replica("true").start().await;
    let two = replica("false").start().await;
    one.create_owner("ada@example.com").await;
    let ada = one.api("ada@example.com", "all").await;
    Pair {
        one,
        two,
        ada,
        _master: master,
    }
}

/// How long a terminal goes on.
async fn closed(mut terminal: Terminal) -> Duration {
    let start = Instant::now();
    let all = async { while terminal.receive().await {} };
    tokio::time::timeout(Duration::from_secs(10), all)
        .await
        .expect("the terminal stays open");
    start.elapsed()
}

/// How long it takes until `page` is sent to the sign-in page by its server.
async fn signed_out(page: &mut Browser) -> Duration {
    let start = Instant::now();
    eventually("the end of the session", Duration::from_secs(10), || {
        let mut page = page.clone();
        async move { (page.get("/account").await.0 == 303).then_some(()) }
    })
    .await;
    start.elapsed()
}

#[tokio::test]
async fn what_one_replica_ends_is_over_on_the_other_within_a_second() {
    let (postgres, redis) = (Postgres::shared(), Redis::start());
    let database = postgres.new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| builder).await;
    let at_two = two.anonymous().with_token(ada.token().unwrap());
    let container = running(&ada).await;
    let newest = async || {
        let listed = at_two.get("/sessions").await.ok();
        listed["items"][0]["id"].as_str().unwrap().to_owned()
    };
    let mut took = Vec::new();
    for _ in 0..5 {
        let (terminal, _) = Terminal::create(&ada, &container).await;
        let path = format!("{container}/terminals/{terminal}");
        let mut page = signed_in(&one, "ada@example.com").await;
        let screen = Terminal::connect_as_page(&one.url(), &path, page.cookie()).await;
        // What the first replica has just recognised is what it remembers.
        assert_eq!(page.get("/account").await.0, 200);
        let session = newest().await;
        at_two
            .delete(&format!("/sessions/{session}"))
            .await
            .expect(204);
        let (screen, page) = tokio::join!(closed(screen), signed_out(&mut page));
        took.push(screen.max(page));
    }
    took.sort();
    eprintln!("a session that the other replica ended went on for {took:?}");
    assert!(took[4] < Duration::from_secs(1), "{took:?}");
    // Told, and not only found out by looking each second.
    assert!(took[2] < Duration::from_millis(400), "{took:?}");

    // A token, and a member who is removed, on the other replica too.
    let token = one.api("ada@example.com", "all").await;
    let (_, screen) = Terminal::create(&token, &container).await;
    let listed = at_two.get("/tokens").await.ok();
    let id = listed["items"][0]["id"].as_str().unwrap();
    at_two.delete(&format!("/tokens/{id}")).await.expect(204);
    assert!(closed(screen).await < Duration::from_secs(1));
    token.get("/me").await.problem(401, "unauthenticated");

    // With Redis gone, it takes a second longer and no more.
    redis.down();
    let mut page = signed_in_without_redis(&one, &two, &redis).await;
    let (terminal, _) = Terminal::create(&ada, &container).await;
    let path = format!("{container}/terminals/{terminal}");
    let screen = Terminal::connect_as_page(&one.url(), &path, page.cookie()).await;
    let session = newest().await;
    at_two
        .delete(&format!("/sessions/{session}"))
        .await
        .expect(204);
    let (screen, page) = tokio::join!(closed(screen), signed_out(&mut page));
    assert!(
        screen.max(page) < Duration::from_millis(3_500),
        "{screen:?} {page:?}"
    );
}

/// Signing in fails closed while Redis is away, and works as soon as it is back; then it goes away again.
async fn signed_in_without_redis(one: &Server, two: &Server, redis: &Redis) -> Browser {
    for server in [one, two] {
        let mut page = Browser::new(&server.url());
        let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
        let start = Instant::now();
        let (status, _, text) = page.post("/sign-in", &fields).await;
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("try again"), "{text}");
        assert!(start.elapsed() < NO_HANGING);
    }
    redis.up();
    let page = eventually("signing in again", Duration::from_secs(10), || async {
        let mut page = Browser::new(&one.url());
        let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
        (page.post("/sign-in", &fields).await.0 == 303).then_some(page)
    })
    .await;
    redis.down();
    page
}

#[tokio::test]
async fn replicas_count_requests_and_guesses_together() {
    let redis = Redis::start();
    let database = Postgres::shared().new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| {
        builder.set("limits.token_per_minute", "20")
    })
    .await;
    let at_two = two.anonymous().with_token(ada.token().unwrap());
    let mut refused = None;
    for number in 0..30 {
        let answer = [&ada, &at_two][number % 2].get("/me").await;
        if answer.status == 429 {
            refused = Some((number, answer));
            break;
        }
    }
    let (number, refused) = refused.expect("it is never refused");
    // One grows back every three seconds.
    assert!((20..24).contains(&number), "refused after {number}");
    refused.problem(429, "rate_limited");
    // Another token of the same person has its own count.
    let other = one.api("ada@example.com", "all").await;
    assert_eq!(other.get("/me").await.status, 200);

    // Ten guesses, wherever they are made.
    let fields = [("email", "ada@example.com"), ("password", "a wrong guess")];
    let mut answers = Vec::new();
    for number in 0..12 {
        let mut page = Browser::new(&[&one, &two][number % 2].url());
        answers.push(page.post("/sign-in", &fields).await.0.as_u16());
    }
    assert_eq!(answers[..10], [403; 10]);
    assert_eq!(answers[11], 429, "{answers:?}");
    // The right password is no exception.
    let right = [("email", "ada@example.com"), ("password", PASSWORD)];
    let mut page = Browser::new(&two.url());
    assert_eq!(page.post("/sign-in", &right).await.0, 429);

    // Names of keys tell nobody's address, and values are numbers.
    let keys = redis.cli(&["--scan"]);
    assert!(keys.lines().count() >= 4, "{keys}");
    for told in ["ada", "example", "127.0.0.1", "usr_", "tok_"] {
        assert!(!keys.contains(told), "{keys}");
    }
}

#[tokio::test]
async fn replicas_count_an_account_and_an_address_together() {
    let redis = Redis::start();
    let database = Postgres::shared().new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| {
        builder
            .set("limits.account_per_minute", "20")
            .set("limits.address_per_minute", "10")
    })
    .await;
    let other = one.api("ada@example.com", "all").await;
    let other = two.anonymous().with_token(other.token().unwrap());
    // Two tokens of one person, each at a replica of its own; then nobody, at both.
    let strangers = [one.anonymous(), two.anonymous()];
    for (of, callers, expected) in [
        ("account", [&ada, &other], 20),
        ("address", [&strangers[0], &strangers[1]], 10),
    ] {
        let mut answers = Vec::new();
        for number in 0..2 * expected {
            answers.push(callers[number % 2].get("/me").await);
        }
        let first = answers.iter().position(|answer| answer.status == 429);
        let first = first.unwrap_or_else(|| panic!("an {of} is never refused"));
        // Some grow back meanwhile.
        assert!((expected..expected + 6).contains(&first), "{of}: {first}");
        let problem = answers[first].problem(429, "rate_limited");
        assert!(
            problem["detail"].as_str().unwrap().contains(of),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn without_redis_requests_go_on_and_nothing_hangs() {
    let redis = Redis::start();
    let database = Postgres::shared().new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| builder).await;
    let at_two = two.anonymous().with_token(ada.token().unwrap());
    let mut page = signed_in(&one, "ada@example.com").await;
    let ready = async |server: &Server| server.anonymous().get("//readyz").await;
    assert_eq!(ready(&one).await.ok()["redis"], "ok");
    for gone in ["frozen", "down"] {
        match gone {
            "frozen" => redis.freeze(),
            _ => redis.down(),
        }
        for api in [&ada, &at_two, &ada, &at_two, &ada] {
            let start = Instant::now();
            api.get("/me").await.expect(200);
            assert!(
                start.elapsed() < NO_HANGING,
                "{gone}: {:?}",
                start.elapsed()
            );
        }
        // After the first failure nobody waits at all.
        let start = Instant::now();
        for _ in 0..10 {
            ada.get("/me").await.expect(200);
        }
        assert!(
            start.elapsed() < NO_HANGING,
            "{gone}: {:?}",
            start.elapsed()
        );
        assert_eq!(page.get("/account").await.0, 200, "{gone}");
        let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
        let mut stranger = Browser::new(&two.url());
        let start = Instant::now();
        let (status, _, text) = stranger.post("/sign-in", &fields).await;
        assert_eq!(status, 503, "{gone}: {text}");
        assert!(
            start.elapsed() < NO_HANGING,
            "{gone}: {:?}",
            start.elapsed()
        );
        // Ready all the same: taking every replica away would be worse.
        // What it said before is believed for a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let said = ready(&one).await.ok();
        assert_eq!(
            (&said["status"], &said["redis"]),
            (&json!("ready"), &json!("unavailable"))
        );
        match gone {
            "frozen" => redis.thaw(),
            _ => redis.up(),
        }
        eventually("signing in again", Duration::from_secs(10), || async {
            let mut page = Browser::new(&two.url());
            (page.post("/sign-in", &fields).await.0 == 303).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_ticket_of_a_preview_opens_once_on_all_replicas_together() {
    let redis = Redis::start();
    let database = Postgres::shared().new_database();
    let Pair { one, two, ada, .. } = pair(&database, &redis, |builder| builder).await;
    let container = running(&ada).await;
    let (host, ticket) = preview::open(&ada, &container, 5173).await;
    let mut tries = tokio::task::JoinSet::new();
    for number in 0..20 {
        let url = format!("{}{ticket}", [&one, &two][number % 2].url());
        let host = host.clone();
        tries.spawn(async move {
            let asked = crate::support::api::http_client()
                .get(url)
                .header("host", host);
            asked.send().await.unwrap().status().as_u16()
        });
    }
    let answers = tries.join_all().await;
    let opened = answers.iter().filter(|status| **status == 303).count();
    assert_eq!(opened, 1, "{answers:?}");
    assert!(
        answers.iter().all(|status| [303, 401].contains(status)),
        "{answers:?}"
    );

    // Of a ticket whose use nobody can remember, none is opened.
    let (host, ticket) = preview::open(&ada, &container, 5173).await;
    redis.down();
    let (status, ..) = preview::redeem(&one, &host, &ticket).await;
    assert_eq!(status, 503);
    redis.up();
    // Redis has forgotten what was used, and says so: older tickets are not good any more.
    let status = eventually("an answer", Duration::from_secs(10), || async {
        let (status, ..) = preview::redeem(&one, &host, &ticket).await;
        (status != 503).then_some(status)
    })
    .await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn redis_asks_for_a_password_and_shows_who_it_is() {
    let kept = tempfile::TempDir::new().unwrap();
    let redis = Redis::start_prepared(|folder, port| {
        certificates(folder, "good", "localhost");
        certificates(folder, "other", "localhost");
        for name in ["good-ca.pem", "other-ca.pem"] {
            std::fs::copy(folder.join(name), kept.path().join(name)).unwrap();
        }
        // What docs/operations.md says that OptiDev needs, and nothing else.
        let rights = "~optidev:* &optidev:* -@all +ping +get +set +del +lpush +ltrim +lrange +pexpire +time +eval +evalsha +script|load +publish \
                      +subscribe +unsubscribe";
        let users = format!(
            "user default off\nuser optidev on >{} {rights}\n",
            "a-password-of-redis"
        );
        std::fs::write(folder.join("users.acl"), users).unwrap();
        format!(
            "port 0\ntls-port {port}\ntls-auth-clients no\ntls-cert-file {0}/good.crt\ntls-key-file {0}/good.key\n\
             aclfile {0}/users.acl\n",
            folder.display()
        )
    });
    let password = kept.path().join("redis.password");
    std::fs::write(&password, "a-password-of-redis\n").unwrap();
    let wrong = password_file(kept.path());
    assert_ne!(
        std::fs::read_to_string(&wrong).unwrap().trim(),
        "a-password-of-redis"
    );
    let text = |path: &std::path::Path| path.display().to_string();
    let with = |host: &str, authority: &str, password: &std::path::Path| {
        Server::builder()
            .set(
                "redis.url",
                format!("\"rediss://optidev@{host}:{}\"", redis.port()),
            )
            .set("redis.key_prefix", "optidev")
            .set("redis.password_file", text(password))
            .set(
                "redis.ca_file",
                text(&kept.path().join(format!("{authority}-ca.pem"))),
            )
    };
    let server = with("localhost", "good", &password).start().await;
    let ready = server.anonymous().get("//readyz").await.ok();
    assert_eq!(ready["redis"], "ok", "{}", server.logs());
    server.create_owner("ada@example.com").await;
    signed_in(&server, "ada@example.com").await;
    let logs = server.logs();
    assert!(
        !logs.contains("Redis fails") && !logs.contains("channel of revocations"),
        "{logs}"
    );

    let said = refusal(with("localhost", "other", &password)).await;
    assert!(
        said.contains("[redis]") && said.contains("certificate"),
        "{said}"
    );
    // The certificate is for another name.
    let said = refusal(with("127.0.0.1", "good", &password)).await;
    assert!(said.contains("certificate"), "{said}");
    let said = refusal(with("localhost", "good", &wrong)).await;
    assert!(said.contains("password"), "{said}");
    assert!(!said.contains(REDIS_PASSWORD), "{said}");
    let clear = Server::builder().set("redis.url", "\"redis://redis.example.com\"");
    let said = refusal(clear).await;
    assert!(said.contains("rediss://"), "{said}");
}
