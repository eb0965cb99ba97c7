//! The installation that these tests use, its users and their containers.
//!
//! `OPTIDEV_INSTALLED` names the file that says which: `url`, `ca_file`, `node_ip`, `namespace`, and the `storage_class` of its
//! containers, which has no provisioner; the namespace's name when it is not said. The release is called `optidev`.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use optidev::clients::cluster::namespace_of;
use serde_json::{Value, json};

use crate::support::api::{Answer, Api, http_client};

pub struct Site {
    api: Api,
    pub namespace: String,
    storage_class: String,
}

/// A user with a workspace, and a container in it.
pub struct Container {
    pub api: Api,
    path: String,
    pub id: String,
    /// Where its pod is.
    pub namespace: String,
    /// The pod's address.
    pub ip: String,
}

/// What kubectl prints.
pub fn kubectl(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

impl Site {
    pub fn open() -> Self {
        let file = std::env::var("OPTIDEV_INSTALLED").expect("OPTIDEV_INSTALLED names no file");
        let said: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let text = |key: &str| {
            said[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key}: {said}"))
        };
        let url = text("url");
        let host = url.trim_start_matches("https://");
        let (host, port) = host.split_once(':').unwrap();
        let certificate = std::fs::read(text("ca_file")).unwrap();
        let address = format!("{}:{port}", text("node_ip"));
        // Sets the library of TLS up, too.
        drop(http_client());
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .resolve(host, address.parse().unwrap())
            .tls_certs_only([reqwest::Certificate::from_pem(&certificate).unwrap()])
            // Each request may meet another replica.
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(60))
            .build()
            .unwrap();
        Self {
            api: Api::over(url, http),
            namespace: text("namespace").to_owned(),
            storage_class: said["storage_class"]
                .as_str()
                .unwrap_or(text("namespace"))
                .to_owned(),
        }
    }

    /// The installation's own command in its pod.
    fn command(&self, arguments: &[&str], input: &str) -> Value {
        let mut all = vec!["-n", &self.namespace, "exec", "-i", "deployment/optidev"];
        all.extend(["-c", "web", "--", "/usr/bin/optidev"]);
        all.extend(arguments);
        all.extend(["--config", "/etc/optidev/optidev.toml", "--json"]);
        all.extend(["--data-dir", "/var/lib/optidev/data"]);
        let said = kubectl(&all, input).unwrap();
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}: {error}"))
    }

    fn user(&self, email: &str) -> Api {
        let made = self.command(&["admin", "token", "--user", email, "--scopes", "all"], "");
        self.api.with_token(made["token"].as_str().unwrap())
    }

    /// A new workspace with that many members; the first owns it.
    pub fn workspace(&self, name: &str, members: usize) -> (String, Vec<Api>) {
        // An earlier run may have left its users.
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let email = |number: usize| format!("{name}{number}-{}@example.com", now.as_millis());
        let password = "correct horse battery staple";
        let owner = email(0);
        let made = self.command(
            &[
                "admin",
                "create-owner",
                "--email",
                &owner,
                "--name",
                name,
                "--password-stdin",
            ],
            password,
        );
        let workspace = made["workspace_id"].as_str().unwrap().to_owned();
        let mut users = vec![self.user(&owner)];
        for number in 1..members {
            let member = email(number);
            self.command(
                &[
                    "admin",
                    "add-member",
                    "--workspace",
                    &workspace,
                    "--email",
                    &member,
                    "--name",
                    name,
                    "--role",
                    "user",
                    "--password-stdin",
                ],
                password,
            );
            users.push(self.user(&member));
        }
        (workspace, users)
    }

    /// A volume for a container to come: nothing makes them here.
    pub fn volume(&self) {
        let random = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        let random = random.trim();
        let directory = format!("/tmp/lab-volumes/{random}");
        std::fs::create_dir_all(&directory).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&directory, open).unwrap();
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": format!("live-{random}") },
            "spec": { "storageClassName": self.storage_class, "capacity": { "storage": "20Gi" }, "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Delete", "hostPath": { "path": directory } },
        });
        kubectl(&["apply", "-f", "-"], &volume.to_string()).unwrap();
    }

    /// A running container of this user.
    pub async fn container(&self, workspace: &str, api: &Api) -> Container {
        self.volume();
        let containers = format!("/workspaces/{workspace}/containers");
        let made = api.post(&containers, &json!({})).await.expect(202).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let mut container = Container {
            api: api.clone(),
            path: format!("{containers}/{id}"),
            namespace: namespace_of(&id).unwrap(),
            id,
            ip: String::new(),
        };
        container.until("running", Duration::from_secs(120)).await;
        container.ip = container.address();
        container
    }

    /// A statement as the owner of the tables, inside one workspace.
    pub fn sql(&self, workspace: &str, statement: &str) {
        let pod = "pod/optidev-postgres-0";
        let port = crate::support::free_port().to_string();
        let mut forward = Command::new("kubectl")
            .args([
                "-n",
                &self.namespace,
                "port-forward",
                pod,
                &format!("{port}:5432"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let url = kubectl(
            &[
                "-n",
                &self.namespace,
                "get",
                "secret",
                "database",
                "-o",
                "go-template={{index .data \"migrate-url\" | base64decode}}",
            ],
            "",
        )
        .unwrap();
        let (user, rest) = url.split_once('@').unwrap();
        let (_, path) = rest.split_once('/').unwrap();
        let url = format!("{user}@127.0.0.1:{port}/{path}");
        let text = format!(
            "BEGIN; SELECT set_config('app.workspace', '{workspace}', true); {statement}; COMMIT"
        );
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let done = Command::new("psql")
                .args(["-X", "-v", "ON_ERROR_STOP=1", &url, "-c", &text])
                .output()
                .unwrap();
            if done.status.success() {
                let said = String::from_utf8_lossy(&done.stdout).into_owned();
                assert!(!said.contains("UPDATE 0"), "{statement}: {said}");
                break;
            }
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(Instant::now() < end, "{said}");
            std::thread::sleep(Duration::from_millis(200));
        }
        let _ = forward.kill();
        let _ = forward.wait();
    }
}

impl Container {
    pub async fn get(&self) -> Value {
        self.api.get(&self.path).await.ok()
    }

    pub async fn until(&self, state: &str, limit: Duration) -> Value {
        let since = Instant::now();
        loop {
            let now = self.get().await;
            if now["state"] == state {
                return now;
            }
            assert!(since.elapsed() < limit, "{} is not {state}: {now}", self.id);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub fn address(&self) -> String {
        kubectl(
            &[
                "-n",
                &self.namespace,
                "get",
                "pod",
                "dev",
                "-o",
                "jsonpath={.status.podIP}",
            ],
            "",
        )
        .unwrap()
    }

    pub async fn ask(&self, command: &[&str], limit_ms: u64) -> Answer {
        let body = json!({ "command": command, "timeout_ms": limit_ms });
        self.api.post(&format!("{}/exec", self.path), &body).await
    }

    /// What a shell script prints.
    pub async fn sh(&self, script: &str) -> String {
        let said = self.ask(&["/bin/sh", "-c", script], 30_000).await.ok();
        assert_eq!(said["exit_code"], 0, "{script}: {said}");
        said["stdout"].as_str().unwrap().to_owned()
    }

    /// A file of the home volume.
    pub async fn file(&self, name: &str) -> String {
        self.api
            .get(&format!("{}/files/{name}", self.path))
            .await
            .expect(200)
            .text()
    }

    pub async fn post(&self, what: &str) -> Answer {
        self.api
            .post(&format!("{}/{what}", self.path), &json!({}))
            .await
    }

    pub async fn remove(self) {
        let answer = self.api.delete(&self.path).await;
        assert!(answer.status < 300, "{}: {}", self.id, answer.text());
    }
}
