//! What is delivered: variables by project, and files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use optidev_agent::sealing;
use optidev_agent::wire::{Context, Environment, ExecResult, FileForm, Hello};
use serde_json::json;

use crate::support::{Agent, Answer};

struct Place {
    agent: Agent,
    hello: Hello,
}

impl Place {
    async fn new() -> Self {
        let agent = Agent::start();
        let hello: Hello = agent.get("/v1/hello").await.json();
        assert_eq!(hello.protocol, 1);
        Self { agent, hello }
    }

    fn context(&self, plain: &str, files: &[(&str, FileForm)]) -> Context {
        let files = files.iter();
        Context {
            sealed: sealing::seal(&self.hello.hpke_public_key, b"ctr_1", plain.as_bytes()).unwrap(),
            info: "ctr_1".to_owned(),
            files: files
                .map(|(name, form)| ((*name).to_owned(), *form))
                .collect(),
        }
    }

    async fn put(&self, workspace: Context, projects: &[(&str, Context)]) -> Answer {
        let projects = projects.iter();
        let environment = Environment {
            workspace,
            projects: projects
                .map(|(folder, context)| ((*folder).to_owned(), context.clone()))
                .collect::<BTreeMap<_, _>>(),
        };
        let body = serde_json::to_string(&environment).unwrap();
        self.agent.put("/v1/environment", body).await
    }

    async fn sh(&self, cwd: &str, script: &str) -> String {
        let body = json!({"command": ["sh", "-c", script], "cwd": cwd});
        let ended: ExecResult = self.agent.post("/v1/exec", body).await.is(200).json();
        ended.stdout
    }

    fn found(&self, text: &str) -> String {
        let found = std::process::Command::new("grep")
            .args(["-rl", text])
            .arg(self.agent.dir.path())
            .output()
            .unwrap();
        String::from_utf8(found.stdout).unwrap()
    }
}

#[tokio::test]
async fn delivered_variables_reach_processes_and_no_disk() {
    let place = Place::new().await;
    let delivered = place.context(r#"{"TOKEN":"c4nary-value"}"#, &[]);
    place.put(delivered.clone(), &[]).await.is(204);
    let show = "echo ${TOKEN-unset} $HTTP_PROXY";
    let shown = place.sh("", show).await;
    assert!(
        shown.starts_with("c4nary-value http://127.0.0.1:"),
        "{shown}"
    );

    let mut wrong = place.context(r#"{"TOKEN":"other"}"#, &[]);
    wrong.info = "ctr_2".into();
    place.put(wrong, &[]).await.is(422);
    for bad in [
        r#"["c4nary-value"]"#,
        r#"{"A B":"c4nary-value"}"#,
        r#"{"A":7}"#,
        r#"{"A":"c4nary-value\u0000"}"#,
    ] {
        let answer = place.put(place.context(bad, &[]), &[]).await.is(422);
        assert!(!answer.text().contains("c4nary"), "{}", answer.text());
    }
    assert!(place.sh("", show).await.starts_with("c4nary-value "));
    assert_eq!(place.found("c4nary"), "");
    place.put(place.context("{}", &[]), &[]).await.is(204);
    assert!(place.sh("", show).await.starts_with("unset "));
}

#[tokio::test]
async fn a_process_gets_what_is_of_the_project_that_it_starts_in() {
    let place = Place::new().await;
    for path in ["projects/app/src/f", "projects/other/f"] {
        let path = format!("/v1/files/{path}?parents=1");
        place.agent.put(&path, "").await.is(201);
    }
    std::os::unix::fs::symlink("projects/app", place.agent.home().join("link")).unwrap();
    let workspace = || place.context(r#"{"NAME":"workspace","ONLY":"here"}"#, &[]);
    let app = place.context(r#"{"NAME":"app"}"#, &[]);
    place.put(workspace(), &[("app", app)]).await.is(204);
    let show = "printf %s-%s \"$NAME\" \"$ONLY\"";
    for (cwd, shown) in [
        ("", "workspace-here"),
        ("projects", "workspace-here"),
        ("projects/other", "workspace-here"),
        ("projects/app", "app-"),
        ("projects/app/src", "app-"),
        ("link", "app-"),
    ] {
        assert_eq!(place.sh(cwd, show).await, shown, "{cwd}");
    }
    // All of it is replaced, a project that has none of its own any more included.
    place.put(workspace(), &[]).await.is(204);
    assert_eq!(place.sh("projects/app", show).await, "workspace-here");
    for bad in ["", "a/b", "..", "."] {
        let refused = place.put(workspace(), &[(bad, workspace())]).await;
        assert!(matches!(refused.status, 400 | 422), "{bad}");
    }
}

#[tokio::test]
async fn files_are_written_with_what_says_where_they_are() {
    let place = Place::new().await;
    let folder = place
        .agent
        .dir
        .path()
        .join("secrets")
        .canonicalize()
        .unwrap();
    let plain = r#"{"A":"c4nary a","B":"b","C":"c","C_FILE":"mine"}"#;
    let forms = [
        ("A", FileForm::File),
        ("B", FileForm::Both),
        ("C", FileForm::File),
        ("GONE", FileForm::File),
    ];
    let app = place.context(r#"{"A":"app's"}"#, &forms[..1]);
    let workspace = place.context(plain, &forms);
    place.put(workspace, &[("app", app)]).await.is(204);
    let at = |path: &str| folder.join(path);
    assert_eq!(fs::read_to_string(at("A")).unwrap(), "c4nary a");
    assert_eq!(fs::read_to_string(at("projects/app/A")).unwrap(), "app's");
    assert!(!at("GONE").exists());
    let mode = fs::metadata(at("B")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o400);
    let show = "printf '%s|%s|%s|%s|%s' \"$A\" \"$A_FILE\" \"$B\" \"${B_FILE-none}\" \"$C_FILE\"";
    let shown = format!("|{}|b|none|mine", at("A").display());
    assert_eq!(place.sh("", show).await, shown);

    // One context that does not open leaves files and variables as they were.
    let mut sealed_otherwise = place.context("{}", &[]);
    sealed_otherwise.info = "ctr_2".to_owned();
    let changed = place.context(r#"{"A":"new","B":"new"}"#, &forms[..2]);
    place
        .put(changed.clone(), &[("app", sealed_otherwise)])
        .await
        .is(422);
    let taken = place.context(r#"{"projects":"x"}"#, &[("projects", FileForm::Both)]);
    place.put(taken, &[]).await.is(422);
    assert_eq!(place.sh("", show).await, shown);
    assert_eq!(fs::read_to_string(at("A")).unwrap(), "c4nary a");

    place.put(changed, &[]).await.is(204);
    assert_eq!(fs::read_to_string(at("A")).unwrap(), "new");
    assert!(!at("C").exists() && !at("projects").exists());
    place.put(place.context("{}", &[]), &[]).await.is(204);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(place.found("c4nary"), "");
}
