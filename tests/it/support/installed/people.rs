//! Accounts of an installation, and their containers.

use std::time::{Duration, Instant};

use optidev::clients::cluster::namespace_of;
use serde_json::{Value, json};

use super::Installed;
use crate::support::api::{Answer, Api};
use crate::support::eventually;

/// A container starts in three seconds; a node that has just come back has more to do.
const START_LIMIT: Duration = Duration::from_secs(90);
const PASSWORD: &str = "correct horse battery staple 42";

/// Somebody's container.
pub struct Container {
    /// Its owner's.
    pub api: Api,
    pub id: String,
    /// `/workspaces/{w}/containers/{c}`
    pub path: String,
}

impl Installed {
    /// The installation's own command beside a running server; answers what it printed.
    pub fn cli(&self, arguments: &[&str], input: &str) -> String {
        let deployment = format!("deployment/{}", self.release);
        let mut all = vec!["-n", &self.namespace, "exec", "-i", &deployment];
        all.extend(["-c", "web", "--", "/usr/bin/optidev"]);
        all.extend(arguments);
        all.extend(["--config", "/etc/optidev/optidev.toml"]);
        all.extend(["--data-dir", "/var/lib/optidev/data"]);
        self.feed("kubectl", &all, input)
    }

    fn cli_json(&self, arguments: &[&str], input: &str) -> Value {
        let said = self.cli(&[arguments, &["--json"]].concat(), input);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}: {error}"))
    }

    /// The API with a new token of somebody's.
    pub fn api_of(&self, email: &str) -> Api {
        let made = self.cli_json(&["admin", "token", "--user", email, "--scopes", "all"], "");
        self.anonymous().with_token(made["token"].as_str().unwrap())
    }

    /// A new workspace with that many members; the first owns it.
    pub fn new_workspace(&self, name: &str, members: usize) -> (String, Vec<Api>) {
        // An earlier run may have left its accounts.
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let email = |number: usize| format!("{name}{number}-{}@example.com", now.as_millis());
        let owner = email(0);
        let create = ["admin", "create-owner", "--email", &owner, "--name", name];
        let made = self.cli_json(&[&create[..], &["--password-stdin"]].concat(), PASSWORD);
        let workspace = made["workspace_id"].as_str().unwrap().to_owned();
        let mut people = vec![self.api_of(&owner)];
        for number in 1..members {
            let member = email(number);
            let add = ["admin", "add-member", "--workspace", &workspace];
            let who = ["--email", &member, "--name", name, "--role", "user"];
            self.cli(&[&add[..], &who, &["--password-stdin"]].concat(), PASSWORD);
            people.push(self.api_of(&member));
        }
        (workspace, people)
    }

    /// The running container of `owner` or `user`.
    pub async fn container(&self, who: &str) -> Container {
        let workspace = self.workspace.as_ref().unwrap();
        Container::running(&self.api(who), workspace).await
    }
}

impl Container {
    /// The caller's in this workspace, made if need be; it runs.
    pub async fn running(api: &Api, workspace: &str) -> Self {
        let container = Self::asked_for(api, workspace).await;
        container.runs().await;
        container
    }

    /// The same, which may not run yet.
    pub async fn asked_for(api: &Api, workspace: &str) -> Self {
        let containers = format!("/workspaces/{workspace}/containers");
        let made = api.post(&containers, &json!({})).await.expect(202).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let (api, path) = (api.clone(), format!("{containers}/{id}"));
        Self { api, id, path }
    }

    /// Waits until it runs, and does what it is asked: a server may say that it runs a moment before it knows the way to it.
    pub async fn runs(&self) {
        eventually("the container runs", START_LIMIT, || async {
            let seen = self.get().await;
            assert_ne!(seen["state"], "failed", "{seen:#}");
            (seen["state"] == "running").then_some(())
        })
        .await;
        eventually("the container answers", START_LIMIT, || async {
            let said = self.exec(&["/bin/true"], 10_000).await.status;
            (said == 200).then_some(())
        })
        .await;
    }

    /// Waits for a state.
    pub async fn until(&self, state: &str) -> Value {
        eventually(state, START_LIMIT, || async {
            let seen = self.get().await;
            (seen["state"] == state).then_some(seen)
        })
        .await
    }

    /// Waits until the reason, or the words of the step that it is at, contain this; answers the container.
    pub async fn says(&self, what: &str) -> Value {
        let end = Instant::now() + START_LIMIT;
        loop {
            let now = self.get().await;
            let steps = now["steps"].as_array().into_iter().flatten();
            let said = steps
                .map(|step| &step["message"])
                .chain([&now["reason"]])
                .filter_map(Value::as_str)
                .find(|said| said.contains(what));
            if let Some(said) = said {
                eprintln!("{}: {said}", now["state"]);
                return now;
            }
            assert!(Instant::now() < end, "{what:?} is not said: {now:#}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub async fn get(&self) -> Value {
        self.api.get(&self.path).await.ok()
    }

    /// `start`, `stop`.
    pub async fn post(&self, what: &str) -> Answer {
        let path = format!("{}/{what}", self.path);
        self.api.post(&path, &json!({})).await
    }

    pub async fn stop(&self) {
        self.post("stop").await.ok();
        self.until("stopped").await;
    }

    pub async fn start(&self) {
        self.post("start").await.expect(202);
        self.runs().await;
    }

    /// Asks for a class and an image, and for a start with them.
    pub async fn choose(&self, choice: &Value) -> Answer {
        let (containers, _) = self.path.rsplit_once('/').unwrap();
        self.api.post(containers, choice).await
    }

    /// Runs a command in it.
    pub async fn exec(&self, command: &[&str], limit_ms: u64) -> Answer {
        let body = json!({ "command": command, "timeout_ms": limit_ms });
        self.api.post(&format!("{}/exec", self.path), &body).await
    }

    /// What a shell script prints that ends well.
    pub async fn sh(&self, script: &str) -> String {
        let said = self.exec(&["/bin/sh", "-c", script], 30_000).await.ok();
        assert_eq!(said["exit_code"], 0, "{script}: {said}");
        said["stdout"].as_str().unwrap().to_owned()
    }

    /// Where its pod is.
    pub fn namespace(&self) -> String {
        namespace_of(&self.id).unwrap()
    }

    /// `kubectl` there; answers what it printed.
    pub fn kubectl(&self, installed: &Installed, arguments: &[&str]) -> String {
        let namespace = self.namespace();
        installed.run("kubectl", &[&["-n", &namespace], arguments].concat())
    }

    /// Its pod's address.
    pub fn address(&self, installed: &Installed) -> String {
        installed.pod_of(&self.id).unwrap().address
    }

    pub async fn remove(self) {
        self.api.delete(&self.path).await.ok();
    }
}
