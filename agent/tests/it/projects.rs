//! Import, clone, make, download.

use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use optidev_agent::wire::Imported;
use serde_json::json;

use crate::archives::{TarGz, zip_of};
use crate::support::{Agent, until};

fn names(path: &std::path::Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_archives_single_folder_is_left_out() {
    let agent = Agent::start();
    let archive = TarGz::new()
        .file("top-main/package.json", b"{}")
        .file("top-main/src/a", b"abc")
        .done();
    let imported: Imported = agent
        .put(
            "/v1/import?folder=projects/x&format=tar.gz",
            archive.clone(),
        )
        .await
        .is(200)
        .json();
    assert_eq!(
        imported,
        Imported {
            entries: 2,
            bytes: 5
        }
    );
    assert_eq!(names(&agent.home().join("projects")), ["x"]);
    assert_eq!(
        names(&agent.home().join("projects/x")),
        ["package.json", "src"]
    );
    agent
        .put("/v1/import?folder=projects/x&format=tar.gz", archive)
        .await
        .is(409);
    let zip = zip_of(&[("a", b"1"), ("d/b", b"2")]);
    agent
        .put("/v1/import?folder=projects/z&format=zip", zip)
        .await
        .is(200);
    assert_eq!(names(&agent.home().join("projects/z")), ["a", "d"]);
    // A link that leaves the one folder keeps that folder.
    let archive = TarGz::new()
        .link("top/l", "../top/x")
        .file("top/x", b"")
        .done();
    agent
        .put("/v1/import?folder=projects/l&format=tar.gz", archive)
        .await
        .is(200);
    assert_eq!(names(&agent.home().join("projects/l")), ["top"]);
}

#[tokio::test]
async fn a_refused_archive_leaves_nothing() {
    let agent = Agent::start();
    for (format, archive) in [
        (
            "tar.gz",
            TarGz::new().file("ok", b"x").file("../evil", b"x").done(),
        ),
        (
            "tar.gz",
            TarGz::new().file("ok", b"x").hard_link("h", "ok").done(),
        ),
        ("tar.gz", b"not an archive".to_vec()),
        ("zip", zip_of(&[("ok", b"x"), ("../evil", b"x")])),
        ("zip", b"PK\x03\x04".to_vec()),
    ] {
        let answer = agent
            .put(
                &format!("/v1/import?folder=projects/x&format={format}"),
                archive,
            )
            .await
            .is(422);
        assert!(answer.text().contains("rchive"), "{}", answer.text());
        assert_eq!(names(&agent.home().join("projects")), [""; 0]);
        assert_eq!(names(&agent.home()), ["projects"]);
    }
    agent
        .put("/v1/import?folder=../x&format=zip", "")
        .await
        .is(400);
    agent
        .put("/v1/import?folder=x&format=rar", "")
        .await
        .is(400);
    assert_eq!(names(&agent.dir.path().join("state/scratch")), [""; 0]);
}

#[tokio::test]
async fn killed_while_importing_leaves_nothing_or_all() {
    let mut agent = Agent::start();
    let many: Vec<_> = (0..3000).map(|n| format!("top/{n}")).collect();
    let archive = many
        .iter()
        .fold(TarGz::new(), |tar, name| tar.file(name, b"x"))
        .done();
    let (mut nothing, mut left) = (0, 0);
    for round in 0..8_u64 {
        let path = format!("/v1/import?folder=p{round}&format=tar.gz");
        {
            let import = agent.try_ask("PUT", &path, &[], archive.clone());
            let _ = tokio::time::timeout(Duration::from_millis(5 + round * 12), import).await;
        }
        agent.kill();
        left += usize::from(
            names(&agent.home())
                .iter()
                .any(|name| name.starts_with('.')),
        );
        match fs::read_dir(agent.home().join(format!("p{round}"))) {
            Ok(entries) => assert_eq!(entries.count(), 3000),
            Err(_) => nothing += 1,
        }
        agent.start_again();
        until("leftovers are swept", || {
            !names(&agent.home())
                .iter()
                .any(|name| name.starts_with('.'))
        })
        .await;
    }
    assert!(nothing > 0 && left > 0, "{nothing} {left}");
}

#[tokio::test]
async fn a_download_is_a_whole_archive() {
    let agent = Agent::start();
    agent
        .put("/v1/files/p/a/b?parents=1", "content")
        .await
        .is(201);
    agent
        .put("/v1/files/p/big", vec![7; 3_000_000])
        .await
        .is(201);
    std::os::unix::fs::symlink("a/b", agent.home().join("p/l")).unwrap();
    let answer = agent.get("/v1/archive?path=p").await.is(200);
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename=\"p.tar.gz\""
    );
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&answer.body[..]));
    let mut found = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        found.push((entry.path().unwrap().display().to_string(), content.len()));
    }
    let expected = [
        ("p", 0),
        ("p/a", 0),
        ("p/a/b", 7),
        ("p/big", 3_000_000),
        ("p/l", 0),
    ];
    assert_eq!(found, expected.map(|(path, size)| (path.to_owned(), size)));
    // And it comes back in.
    agent
        .put("/v1/import?folder=q&format=tar.gz", answer.body)
        .await
        .is(200);
    assert_eq!(
        fs::read_to_string(agent.home().join("q/l")).unwrap(),
        "content"
    );
}

#[tokio::test]
async fn clones_whole_or_not_at_all() {
    let agent = Agent::start();
    let source = agent.dir.path().join("source");
    let script = "git init -qb main . && git config user.email a@b && git config user.name n && echo hi > f && git add f && git commit -qm m";
    fs::create_dir(&source).unwrap();
    assert!(
        Command::new("sh")
            .args(["-c", script])
            .current_dir(&source)
            .status()
            .unwrap()
            .success()
    );
    let url = format!("file://{}", source.display());
    agent
        .post(
            "/v1/clone",
            json!({"folder": "projects/c", "url": url, "branch": "main"}),
        )
        .await
        .is(200);
    assert_eq!(names(&agent.home().join("projects/c")), [".git", "f"]);
    agent
        .post("/v1/clone", json!({"folder": "projects/c", "url": url}))
        .await
        .is(409);
    let failed = agent
        .post(
            "/v1/clone",
            json!({"folder": "projects/d", "url": url, "branch": "none"}),
        )
        .await
        .is(422);
    assert!(failed.text().contains("none"), "{}", failed.text());
    agent
        .post(
            "/v1/clone",
            json!({"folder": "projects/d", "url": "--upload-pack=x"}),
        )
        .await
        .is(400);
    let command = format!("ext::touch {}/owned", agent.dir.path().display());
    agent
        .post("/v1/clone", json!({"folder": "projects/d", "url": command}))
        .await
        .is(422);
    assert!(!agent.dir.path().join("owned").exists());
    assert_eq!(names(&agent.home().join("projects")), ["c"]);
    agent
        .post("/v1/mkproject", json!({"folder": "projects/e"}))
        .await
        .is(201);
    agent
        .post("/v1/mkproject", json!({"folder": "projects/e"}))
        .await
        .is(409);
}
