//! PostgreSQL that is away, slow, or not who it says: what requests are told, and how soon.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::postgres::{on, password_file, refusal};
use crate::support::eventually;
use crate::support::postgres::Postgres;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_postgresql_is_survived() {
    let postgres = Postgres::start();
    let database = postgres.new_database();
    let server = on(&database)
        .set("database.acquire_timeout_ms", "1000")
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let projects = format!("/workspaces/{}/projects", ada.workspace().await);

    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..12)
        .map(|_| {
            let (ada, projects, stop) = (ada.clone(), projects.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let answer = ada.get(&projects).await;
                    seen.push((answer.status, asked.elapsed()));
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                seen
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    tokio::task::block_in_place(|| postgres.down());
    // What `/readyz` said before is believed for a second.
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        let asked = Instant::now();
        let answer = ada.get(&projects).await;
        let took = asked.elapsed();
        assert_eq!(answer.headers["retry-after"], "1");
        let problem = answer.problem(503, "unavailable");
        assert!(
            problem["detail"].as_str().unwrap().contains("database"),
            "{problem}"
        );
        assert!(took < Duration::from_millis(2500), "{took:?}");
        let ready = server.anonymous().get("//readyz").await;
        assert_eq!(
            (ready.status, &ready.json()["database"]),
            (503, &"unavailable".into())
        );
    }
    tokio::task::block_in_place(|| postgres.up());
    eventually("answers again", Duration::from_secs(5), || async {
        (ada.get(&projects).await.status == 200).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let mut counts = std::collections::BTreeMap::new();
    let mut longest = Duration::ZERO;
    for task in load {
        for (status, took) in task.await.unwrap() {
            *counts.entry(status).or_insert(0) += 1;
            longest = longest.max(took);
        }
    }
    eprintln!("under load: {counts:?}, the longest took {longest:?}");
    assert!(
        counts.keys().all(|status| [200, 503].contains(status)),
        "{counts:?}"
    );
    assert!(longest < Duration::from_secs(4), "{longest:?}");
    for _ in 0..20 {
        assert_eq!(ada.get(&projects).await.status, 200);
    }
    // So quick that nobody looked meanwhile: all the pool's connections are broken, and no request notices.
    for _ in 0..3 {
        tokio::task::block_in_place(|| {
            postgres.down();
            postgres.up();
        });
        let answers = futures_util::future::join_all((0..16).map(|_| ada.get(&projects))).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 16]);
    }
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_not_waited_for_without_end() {
    for setting in ["database.lock_timeout_ms", "database.statement_timeout_ms"] {
        let database = Postgres::shared().new_database();
        let server = on(&database)
            .set("database.lock_timeout_ms", "60000")
            .set(setting, "700")
            .start()
            .await;
        server.create_owner("ada@example.com").await;
        let ada = server.api("ada@example.com", "all").await;
        let projects = format!("/workspaces/{}/projects", ada.workspace().await);
        assert_eq!(ada.get(&projects).await.status, 200);

        let mut holder = database.session().spawn().unwrap();
        let mut input = holder.stdin.take().unwrap();
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        input
            .write_all(b"BEGIN; LOCK TABLE project IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n")
            .unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "held");
        let asked = Instant::now();
        let answer = ada.get(&projects).await;
        let took = asked.elapsed();
        assert_eq!(answer.headers["retry-after"], "1");
        let problem = answer.problem(503, "unavailable");
        assert!(
            problem["detail"].as_str().unwrap().contains("busy"),
            "{problem}"
        );
        assert!(
            (Duration::from_millis(600)..Duration::from_secs(3)).contains(&took),
            "{setting}: {took:?}"
        );
        drop(input);
        holder.wait().unwrap();
        assert_eq!(ada.get(&projects).await.status, 200);
    }
}

/// An authority, and a server's certificate of its, for `name`, as PEM files `<word>-ca.pem`, `<word>.crt`, `<word>.key`.
pub fn certificates(folder: &Path, word: &str, name: &str) {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    std::fs::write(folder.join(format!("{word}-ca.pem")), pem).unwrap();
    std::fs::write(folder.join(format!("{word}.crt")), leaf.pem()).unwrap();
    let file = folder.join(format!("{word}.key"));
    std::fs::write(&file, leaf_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn the_server_must_prove_who_it_is() {
    let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl all all all reject\n";
    let settings = [
        "ssl = on",
        "ssl_cert_file = '../good.crt'",
        "ssl_key_file = '../good.key'",
    ];
    let kept = tempfile::TempDir::new().unwrap();
    let postgres = Postgres::start_prepared(rules, &settings, |folder| {
        certificates(folder, "good", "localhost");
        certificates(folder, "other", "localhost");
        for name in ["good-ca.pem", "other-ca.pem"] {
            std::fs::copy(folder.join(name), kept.path().join(name)).unwrap();
        }
    });
    let database = postgres.empty_database();
    let password = password_file(kept.path());
    let ca = |word: &str| {
        kept.path()
            .join(format!("{word}-ca.pem"))
            .display()
            .to_string()
    };
    let url = |role: &str, host: &str, more: &str| {
        format!(
            "postgres://{role}@{host}:{}/{}{more}",
            postgres.port(),
            database.name
        )
    };
    let migrated = database
        .migrate_command()
        .env("OPTIDEV_DATABASE__URL", url("optidev", "localhost", ""))
        .env(
            "OPTIDEV_DATABASE__MIGRATE_URL",
            url("optidev_owner", "localhost", ""),
        )
        .env("OPTIDEV_DATABASE__PASSWORD_FILE", &password)
        .env("OPTIDEV_DATABASE__MIGRATE_PASSWORD_FILE", &password)
        .env("OPTIDEV_DATABASE__CA_FILE", ca("good"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&migrated.stderr);
    assert!(migrated.status.success(), "{said}");
    let with = |host: &str, more: &str, authority: &str| {
        on(&database)
            .set("database.url", url("optidev", host, more))
            .set("database.password_file", password.display().to_string())
            .set("database.ca_file", ca(authority))
    };
    let server = with("localhost", "", "good").start().await;
    assert_eq!(
        database.sql("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'optidev'"),
        "t"
    );
    drop(server);
    for (builder, words) in [
        (with("localhost", "", "other"), "ca_file"),
        // A certificate for another name, from the right authority.
        (
            with("127.0.0.1", "", "good"),
            "the host as the certificate has it",
        ),
        (with("localhost", "?sslmode=disable", "good"), "pg_hba.conf"),
    ] {
        let said = refusal(builder).await;
        assert!(said.contains(words), "{said}");
    }
    let wrong = kept.path().join("wrong");
    std::fs::write(&wrong, "not it\n").unwrap();
    let wrong =
        with("localhost", "", "good").set("database.password_file", wrong.display().to_string());
    let said = refusal(wrong).await;
    assert!(said.contains("password of the role optidev"), "{said}");
}
