//! Projects and secrets over the API: what is taken, what is refused, and what another workspace sees of it.

use std::io::Write;

use serde_json::json;

use crate::support::api::Api;
use crate::support::eventually;
use crate::support::server::Server;

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

pub fn tar_gz(entries: &[(&str, tar::EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::best(),
    ));
    for (name, kind, link, data) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        // Written as bytes: the builder would refuse the hostile names.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if !link.is_empty() {
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        builder.append(&header, *data).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, data) in entries {
        writer
            .start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub async fn import(
    api: &Api,
    workspace: &str,
    name: &str,
    body: Vec<u8>,
) -> crate::support::api::Answer {
    let path = format!("/workspaces/{workspace}/projects/import?name={name}");
    api.post_bytes(&path, "application/octet-stream", body)
        .await
}

#[tokio::test]
async fn archives_become_projects_and_hostile_ones_do_not() {
    let server = Server::builder()
        .set("server.max_import_mib", "8")
        .start()
        .await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let workspace = api.workspace().await;
    let package = br#"{"dependencies":{"react":"19"},"devDependencies":{"vite":"8"}}"#;
    use tar::EntryType::{Char, Link, Regular, Symlink};
    let good = tar_gz(&[("app/package.json", Regular, "", package)]);
    let project = import(&api, &workspace, "My%20App", good)
        .await
        .expect(201)
        .json();
    assert_eq!(project["slug"], "my-app");
    assert_eq!(project["framework"], "React + Vite");
    let zipped = import(
        &api,
        &workspace,
        "My%20App",
        zip(&[("package.json", package)]),
    )
    .await;
    assert_eq!(zipped.expect(201).json()["slug"], "my-app-2");

    let bomb = tar_gz(&[("zeros", Regular, "", &vec![0u8; 64 << 20])]);
    assert!(bomb.len() < 1 << 20, "the bomb must fit through the door");
    let hostile: Vec<(&str, Vec<u8>, u16)> = vec![
        ("dotdot", tar_gz(&[("../evil", Regular, "", b"x")]), 422),
        ("absolute", tar_gz(&[("/etc/evil", Regular, "", b"x")]), 422),
        (
            "inside-dotdot",
            tar_gz(&[("a/../../evil", Regular, "", b"x")]),
            422,
        ),
        ("link-out", tar_gz(&[("l", Symlink, "/etc", b"")]), 422),
        ("link-up", tar_gz(&[("l", Symlink, "../..", b"")]), 422),
        (
            "write-through",
            tar_gz(&[("l", Symlink, "sub", b""), ("l/x", Regular, "", b"x")]),
            422,
        ),
        ("hard-link", tar_gz(&[("h", Link, "/etc/passwd", b"")]), 422),
        ("device", tar_gz(&[("d", Char, "", b"")]), 422),
        ("zip-slip", zip(&[("../../evil", b"x")]), 422),
        ("zip-backslash", zip(&[("..\\evil", b"x")]), 422),
        ("ratio", bomb, 422),
        ("too-large", vec![0x1f; 9 << 20], 413),
        ("no-archive", b"<html>".to_vec(), 415),
        ("empty", Vec::new(), 415),
        (
            "torn",
            tar_gz(&[("a", Regular, "", &[7u8; 5000])])[..30].to_vec(),
            422,
        ),
    ];
    for (name, body, status) in hostile {
        let answer = import(&api, &workspace, name, body).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
    }
    let listed = api
        .get(&format!("/workspaces/{workspace}/projects"))
        .await
        .ok();
    assert_eq!(
        listed["items"].as_array().unwrap().len(),
        2,
        "nothing hostile was kept"
    );
    let incoming = server.data_dir().join("objects/incoming");
    assert_eq!(
        std::fs::read_dir(incoming).unwrap().count(),
        0,
        "no half upload stays"
    );
}

#[tokio::test]
async fn the_folder_of_a_deleted_project_is_never_given_again() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let path = format!("/workspaces/{}/projects", api.workspace().await);
    let new = json!({"name": "App", "source": {"kind": "empty"}});
    // Folders stay in containers when their project goes: a name that came back would show the old code.
    for expected in ["app", "app-2", "app-3"] {
        let made = api.post(&path, &new).await.expect(201).json();
        assert_eq!(made["slug"], expected);
        assert_eq!(made["folder"], format!("projects/{expected}"));
        let id = made["id"].as_str().unwrap();
        api.delete(&format!("{path}/{id}")).await.expect(204);
    }
}

#[tokio::test]
async fn names_and_addresses_that_are_not_acceptable_are_named() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let path = format!("/workspaces/{}/projects", api.workspace().await);
    for (name, source, part) in [
        ("", json!({"kind": "empty"}), "name"),
        (&*"x".repeat(101), json!({"kind": "empty"}), "101"),
        (
            "x",
            json!({"kind": "git", "url": "file:///etc/passwd"}),
            "file:///etc/passwd",
        ),
        (
            "x",
            json!({"kind": "git", "url": "https://u:p@example.com/x"}),
            "password",
        ),
        (
            "x",
            json!({"kind": "git", "url": "https://example.com/x", "branch": "--exec=id"}),
            "--exec=id",
        ),
        ("x", json!({"kind": "archive"}), "import"),
    ] {
        let problem = api
            .post(&path, &json!({"name": name, "source": source}))
            .await
            .problem(422, "unprocessable");
        assert!(
            problem["detail"].as_str().unwrap().contains(part),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn tiers_hold_and_the_database_holds_no_value() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let api = server.api("ada@example.com", "all").await;
    let secrets = format!("/workspaces/{}/secrets", api.workspace().await);
    for (name, tier) in [
        ("SEEN", "visible"),
        ("HIDDEN", "masked"),
        ("GONE", "sensitive"),
    ] {
        let body = json!({"tier": tier, "value": format!("canary-{name}-7f3a")});
        api.put(&format!("{secrets}/{name}"), &body)
            .await
            .expect(200);
    }
    let listed = api.get(&secrets).await.ok();
    let value = |name: &str| {
        let items = listed["items"].as_array().unwrap();
        items.iter().find(|item| item["name"] == name).unwrap()["value"].clone()
    };
    assert_eq!(value("SEEN"), "canary-SEEN-7f3a");
    assert!(value("HIDDEN").is_null() && value("GONE").is_null());
    // Two versions, one current.
    let again = api
        .put(
            &format!("{secrets}/GONE"),
            &json!({"tier": "sensitive", "value": "canary-2nd-7f3a"}),
        )
        .await;
    assert_eq!(again.expect(200).json()["version"], 2);
    for (name, value) in [
        ("PATH", "x"),
        ("1A", "x"),
        ("LD_PRELOAD", "x"),
        ("OK", ""),
        ("OK", "a\0b"),
    ] {
        let body = json!({"tier": "masked", "value": value});
        api.put(&format!("{secrets}/{name}"), &body)
            .await
            .problem(422, "unprocessable");
    }
    let mut files = vec![];
    for entry in std::fs::read_dir(server.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files.extend(std::fs::read(path).unwrap());
        }
    }
    let record = std::fs::read(server.data_dir().join("vault/record.jsonl")).unwrap();
    for canary in [
        "canary-SEEN-7f3a",
        "canary-HIDDEN-7f3a",
        "canary-GONE-7f3a",
        "canary-2nd-7f3a",
    ] {
        let found = |bytes: &[u8]| {
            bytes
                .windows(canary.len())
                .any(|window| window == canary.as_bytes())
        };
        assert!(!found(&files), "{canary} in the database");
        assert!(!found(&record), "{canary} in the vault's record");
        assert!(!server.logs().contains(canary), "{canary} in the log");
    }
    api.delete(&format!("{secrets}/GONE")).await.expect(204);
    api.delete(&format!("{secrets}/GONE"))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn another_workspace_sees_nothing_and_cannot_tell_foreign_from_absent() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    server.create_owner("eve@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let eve = server.api("eve@example.com", "all").await;
    let (hers, his) = (ada.workspace().await, eve.workspace().await);
    assert_ne!(hers, his);
    let project = ada
        .post(
            &format!("/workspaces/{hers}/projects"),
            &json!({"name": "x", "source": {"kind": "empty"}}),
        )
        .await
        .expect(201)
        .json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    ada.put(
        &format!("/workspaces/{hers}/secrets/S"),
        &json!({"tier": "visible", "value": "v"}),
    )
    .await
    .expect(200);
    let absent = "prj_00000000000000000000000000";
    let shape = |answer: &crate::support::api::Answer| {
        let mut problem = answer.json();
        problem["request_id"] = json!("");
        (answer.status, problem)
    };
    // Through the foreign workspace, and with the foreign id in one's own.
    for path in [
        format!("/workspaces/{hers}/projects"),
        format!("/workspaces/{hers}/secrets"),
        format!("/workspaces/{hers}/projects/{project}"),
        format!("/workspaces/{his}/projects/{project}"),
    ] {
        let foreign = eve.get(&path).await;
        let nothing = eve
            .get(&format!("/workspaces/{his}/projects/{absent}"))
            .await;
        assert_eq!(shape(&foreign), shape(&nothing), "{path}");
        assert_eq!(foreign.status, 404);
    }
    eve.delete(&format!("/workspaces/{his}/projects/{project}"))
        .await
        .problem(404, "not_found");
    eve.delete(&format!("/workspaces/{hers}/secrets/S"))
        .await
        .problem(404, "not_found");
    eve.put(
        &format!("/workspaces/{hers}/secrets/S"),
        &json!({"tier": "visible", "value": "evil"}),
    )
    .await
    .problem(404, "not_found");
    ada.get(&format!("/workspaces/{hers}/projects/{project}"))
        .await
        .expect(200);
    assert_eq!(
        ada.get(&format!("/workspaces/{hers}/secrets")).await.ok()["items"][0]["value"],
        "v"
    );
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() {
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let workspace = ada.workspace().await;
    let arguments = [
        "add-member",
        "--workspace",
        &workspace,
        "--email",
        "vi@example.com",
        "--name",
        "Vi",
        "--role",
        "viewer",
        "--password-stdin",
    ];
    server.admin(&arguments, "a viewer's password\n").await;
    let viewer = server.api("vi@example.com", "all").await;
    viewer
        .get(&format!("/workspaces/{workspace}/projects"))
        .await
        .expect(200);
    let new = json!({"name": "x", "source": {"kind": "empty"}});
    viewer
        .post(&format!("/workspaces/{workspace}/projects"), &new)
        .await
        .problem(403, "forbidden");
    let set = json!({"tier": "visible", "value": "v"});
    viewer
        .put(&format!("/workspaces/{workspace}/secrets/S"), &set)
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn two_uploads_of_one_account_are_taken_at_a_time() {
    use tokio::io::AsyncWriteExt;
    let server = Server::start().await;
    server.create_owner("ada@example.com").await;
    server.create_owner("eve@example.com").await;
    let ada = server.api("ada@example.com", "all").await;
    let eve = server.api("eve@example.com", "all").await;
    let (workspace, hers) = (ada.workspace().await, eve.workspace().await);
    let archive = zip(&[("a.txt", b"a")]);
    let incoming = server.data_dir().join("objects/incoming");
    let under_way = || std::fs::read_dir(&incoming).map_or(0, |all| all.count());
    // Begun, and not gone on with.
    let mut slow = Vec::new();
    for number in 0..2 {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", server.port()))
            .await
            .unwrap();
        let head = format!(
            "POST /api/v1/workspaces/{workspace}/projects/import?name=Slow HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/octet-stream\r\nContent-Length: 4096\r\n\r\nPK",
            ada.token().unwrap()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
        eventually("it is under way", SOON, || async {
            (under_way() == number + 1).then_some(())
        })
        .await;
    }
    let third = import(&ada, &workspace, "Third", archive.clone()).await;
    third.problem(429, "rate_limited");
    assert!(third.headers.contains_key("retry-after"));
    assert_eq!(under_way(), 2, "nothing of it was kept");
    import(&eve, &hers, "Other", archive.clone())
        .await
        .expect(201);
    drop(slow);
    eventually("their places are free", SOON, || async {
        let again = import(&ada, &workspace, "Third", archive.clone()).await;
        (again.status == 201).then_some(())
    })
    .await;
    assert_eq!(under_way(), 0);
}
