//! No container reaches another: packets between real pods.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use optidev::kernel::{ContainerId, WorkspaceId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::installed::unguarded::Unguarded;
use crate::support::installed::{Container, Installed, Pod};
use crate::support::terminal::Terminal;
use crate::support::{eventually, free_port};

const SOON: Duration = Duration::from_secs(20);

/// Listens on TCP 5000 and UDP 5001 of all addresses, and writes down who came.
const LISTEN: &str = r#"
import socket, threading
def note(*what):
    with open('/tmp/came', 'a') as f: print(*what, file=f, flush=True)
t = socket.create_server(('0.0.0.0', 5000))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', 5001))
def tcp():
    while True:
        c, who = t.accept(); note('tcp', who[0]); c.sendall(b'here'); c.close()
threading.Thread(target=tcp, daemon=True).start()
note('ready')
while True:
    data, who = u.recvfrom(99); note('udp', who[0]); u.sendto(data, who)
"#;

/// Keeps a connection to the egress proxy open, and writes down when it ends.
const WAY_OUT: &str = r#"
import socket
s = socket.create_connection(("127.0.0.1", 3128))
s.sendall(b"GET http://nowhere.example/ HTTP/1.1\r\nHost: nowhere.example\r\n\r\n")
f = open("/tmp/way-out", "w")
print("open", s.recv(9999).split()[1].decode(), file=f, flush=True)
while s.recv(9999): pass
print("ended", file=f, flush=True)
"#;

/// Tries every address that it is given in every way, and prints what came of it. Whatever is not silence is an answer: a
/// refused connection has been there and back.
const TRY: &str = r#"
import json, socket, struct, sys, concurrent.futures as cf
def tcp(a, p):
    s = socket.socket(); s.settimeout(2)
    try: s.connect((a, p)); return 'connected'
    except ConnectionRefusedError: return 'refused'
    except TimeoutError: return 'silent'
    except OSError as e: return 'silent' if e.errno in (101, 113) else 'refused' if e.errno == 111 else 'local: %s' % e
def udp(a, p):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
    try:
        s.connect((a, p)); s.send(b'ping'); s.recv(9); return 'answered'
    except ConnectionRefusedError: return 'refused'
    except TimeoutError: return 'silent'
    except OSError as e: return 'local: %s' % e
def icmp(a, kind):
    try: s = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
    except PermissionError: return 'not allowed'
    s.settimeout(2); b = struct.pack('!BBHHH', 8, 0, 0, 1, 1)
    n = sum(struct.unpack('!4H', b)); b = struct.pack('!BBHHH', 8, 0, ~n & 0xffff, 1, 1)
    try: s.sendto(b, (a, 0)); s.recvfrom(99); return 'answered'
    except TimeoutError: return 'silent'
    except OSError as e: return 'local: %s' % e
ways = {'tcp 7443': lambda a: tcp(a, 7443), 'tcp 5000': lambda a: tcp(a, 5000), 'udp 5001': lambda a: udp(a, 5001),
        'icmp raw': lambda a: icmp(a, socket.SOCK_RAW), 'icmp ping': lambda a: icmp(a, socket.SOCK_DGRAM)}
with cf.ThreadPoolExecutor(40) as pool:
    tried = {(a, w): pool.submit(f, a) for a in sys.argv[1:] for w, f in ways.items()}
    print(json.dumps([[a, w, f.result()] for (a, w), f in tried.items()]))
"#;

/// Ways that reached something, of what was printed.
fn reached(printed: &str) -> Vec<String> {
    let all: Value = serde_json::from_str(printed).unwrap_or_else(|_| panic!("{printed}"));
    let each = all.as_array().unwrap().iter().filter(|one| {
        let said = one[2].as_str().unwrap();
        assert!(!said.starts_with("local"), "nothing was tried: {one}");
        !matches!(said, "silent" | "not allowed")
    });
    each.map(ToString::to_string).collect()
}

/// Pods in a namespace that nothing guards, with the containers' image.
struct Open<'a>(Unguarded<'a>);

impl Open<'_> {
    /// Starts one that listens; answers its address.
    fn pod(&self, name: &str) -> String {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
            "spec": { "terminationGracePeriodSeconds": 0, "containers": [{
                "name": "a", "image": self.0.installed.dev_image, "imagePullPolicy": "Never", "command": ["python3", "-c", LISTEN],
            }] },
        });
        self.0.kubectl(&["apply", "-f", "-"], &pod.to_string());
        self.0.ready(name);
        self.0.address(name)
    }

    /// The process that listens.
    fn process(&self, name: &str) -> u32 {
        let uid = self
            .0
            .kubectl(&["get", "pod", name, "-o", "jsonpath={.metadata.uid}"], "");
        let pod = Pod {
            name: name.to_owned(),
            uid,
            address: String::new(),
        };
        pod.process("python3")
    }

    fn reaches(&self, name: &str, addresses: &[&str]) -> Vec<String> {
        let command = ["exec", name, "--", "python3", "-c", TRY];
        reached(&self.0.kubectl(&[&command[..], addresses].concat(), ""))
    }
}

async fn listen(container: &Container) {
    container
        .sh(&format!(
            "setsid python3 -c \"$(cat <<'END'\n{LISTEN}\nEND\n)\" >/dev/null 2>/tmp/listen.err </dev/null &\n\
             for i in $(seq 50); do grep -q ready /tmp/came 2>/dev/null && exit 0; sleep 0.1; done; cat /tmp/listen.err; exit 1"
        ))
        .await;
}

async fn reaches(container: &Container, addresses: &[&str]) -> Vec<String> {
    let command = [&["python3", "-c", TRY], addresses].concat();
    let said = container.exec(&command, 30_000).await.ok();
    reached(said["stdout"].as_str().unwrap())
}

/// As root in the network of a pod's process, which the node can be and user code cannot: raw packets go as well.
fn reaches_as_root(installed: &Installed, pod: u32, addresses: &[&str]) -> Vec<String> {
    let pid = pod.to_string();
    let command = ["-t", &pid, "-n", "--", "python3", "-c", TRY];
    reached(&installed.run("nsenter", &[&command[..], addresses].concat()))
}

fn has(ways: &[String], way: &str) -> bool {
    ways.iter().any(|one| one.contains(way))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn no_container_reaches_another_in_any_way_and_none_is_reached() {
    let installed = Installed::given();
    let mut containers = Vec::new();
    for name in ["ann", "eve"] {
        let (workspace, people) = installed.new_workspace(name, 2);
        for person in &people {
            let container = Container::running(person, &workspace).await;
            listen(&container).await;
            containers.push((container.address(&installed), container));
        }
    }
    let open = Open(Unguarded::new(&installed));
    let outside = open.pod("one");
    open.pod("two");

    // The network works, and the tools tell.
    let control = open.reaches("two", &[&outside]);
    eprintln!("between pods that nothing guards: {control:?}");
    for way in ["tcp 5000", "udp 5001", "refused"] {
        assert!(has(&control, way), "{way}: {control:?}");
    }
    let bare = open.process("two");
    let control = reaches_as_root(&installed, bare, &[&outside]);
    assert!(has(&control, "icmp raw"), "{control:?}");
    let mut pairs = 0;
    for (own, container) in &containers {
        let control = reaches(container, &["127.0.0.1"]).await;
        assert!(
            has(&control, "tcp 5000") && has(&control, "udp 5001"),
            "{control:?}"
        );
        let all = containers.iter().map(|(address, _)| address.as_str());
        let mut others: Vec<&str> = all.filter(|address| address != own).collect();
        pairs += others.len();
        others.push(&outside);
        let agent = installed.pod_of(&container.id).unwrap();
        let agent = agent.process("optidev-agent");
        let as_root = reaches_as_root(&installed, agent, &others);
        assert_eq!(as_root, Vec::<String>::new(), "{own}, as root");
        assert_eq!(
            reaches(container, &others).await,
            Vec::<String>::new(),
            "{own}"
        );
    }
    let all: Vec<&str> = containers
        .iter()
        .map(|(address, _)| address.as_str())
        .collect();
    let as_root = reaches_as_root(&installed, bare, &all);
    assert_eq!(as_root, Vec::<String>::new(), "from outside, as root");
    assert_eq!(
        open.reaches("two", &all),
        Vec::<String>::new(),
        "from outside"
    );
    // Not even one way, without an answer.
    for (address, container) in &containers {
        let came = container.sh("cat /tmp/came").await;
        let foreign: Vec<&str> = came
            .lines()
            .filter(|line| line.contains(' ') && !line.ends_with("127.0.0.1"))
            .collect();
        assert!(foreign.is_empty(), "{foreign:?} came to {address}");
        assert!(came.contains("udp 127.0.0.1"), "{came}");
    }
    eprintln!(
        "{pairs} ordered pairs of containers in TCP, UDP and ICMP, as their user and as root, and both ways with a pod outside: nothing passes"
    );
    for (_, container) in containers {
        container.remove().await;
    }
}

/// A policy that is put back does not end what was connected while there was none, so OptiDev does.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn a_container_whose_policies_are_deleted_is_cut_off_until_they_are_back() {
    let installed = Installed::given();
    let (workspace, people) = installed.new_workspace("ann", 1);
    let container = Container::running(&people[0], &workspace).await;
    let (id, mut terminal) = Terminal::create(&container.api, &container.path).await;
    let way_out = format!("setsid python3 -c '{WAY_OUT}' >/dev/null 2>&1 </dev/null &");
    container.sh(&way_out).await;
    // What it wrote down, once the container can be asked.
    let told = async || {
        let said = container.exec(&["cat", "/tmp/way-out"], 5_000).await;
        (said.status == 200).then(|| said.json()["stdout"].as_str().unwrap().to_owned())
    };
    eventually("a way out is open", SOON, || async {
        told().await.filter(|told| told.starts_with("open 403"))
    })
    .await;
    let policies = ["get", "networkpolicies", "-o", "name"];
    let policies = || container.kubectl(&installed, &policies);
    let before = policies();
    let deleted = Instant::now();
    container.kubectl(&installed, &["delete", "networkpolicies", "--all"]);
    while terminal.receive().await {
        assert!(deleted.elapsed() < SOON, "it stays connected");
    }
    let cut = deleted.elapsed();
    eventually("the way out has ended", SOON, || async {
        told().await.filter(|told| told.ends_with("ended\n"))
    })
    .await;
    let back = deleted.elapsed();
    eprintln!(
        "policies deleted: the terminal was cut off after {cut:.1?}, the way out has ended and the container is back after {back:.1?}"
    );
    assert_eq!(policies(), before);
    let path = format!("{}/terminals/{id}", container.path);
    let again = Terminal::resume(&container.api, &path, terminal.next, SOON).await;
    assert!(again.gaps.is_empty());
    container.remove().await;
}

/// The network hands addresses out again. What a server believes about an address is checked by the name in the certificate.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test-cluster"]
async fn an_address_that_another_container_has_by_now_is_not_spoken_to() {
    let installed = Installed::given();
    let (workspace, people) = installed.new_workspace("ann", 2);
    let first = Container::running(&people[0], &workspace).await;
    let second = Container::running(&people[1], &workspace).await;
    first.sh("echo first >~/who").await;
    second.sh("echo second >~/who").await;
    // The controller would put the address right; it is not what this is about.
    let scale = |count: &str| {
        let deployment = format!("deployment/{}-controller", installed.release);
        installed.kubectl(&["scale", &deployment, &format!("--replicas={count}")]);
    };
    scale("0");
    let uuid = first.id.parse::<ContainerId>().unwrap().uuid();
    let tenant = workspace.parse::<WorkspaceId>().unwrap().uuid();
    let put = |address: &str| {
        let statement = format!("UPDATE pod SET ip = '{address}' WHERE container_id = '{uuid}'");
        sql(&installed, tenant, &statement);
    };
    let own = first.address(&installed);
    put(&second.address(&installed));
    // Servers that start now know the row alone.
    let deployment = format!("deployment/{}", installed.release);
    installed.kubectl(&["rollout", "restart", &deployment]);
    installed.kubectl(&["rollout", "status", &deployment, "--timeout=120s"]);
    let mut said = String::new();
    for _ in 0..12 {
        let answer = first.exec(&["/bin/sh", "-c", "cat ~/who"], 10_000).await;
        said = answer.text();
        assert!(answer.status >= 500, "the address was not used: {said}");
        assert!(!said.contains("second"), "{said}");
    }
    eprintln!("12 of 12 requests failed: {said}");
    assert!(second.sh("cat ~/who").await.contains("second"));
    put(&own);
    scale("2");
    eventually(
        "the first one comes back",
        Duration::from_secs(90),
        || async {
            let answer = first.exec(&["/bin/sh", "-c", "cat ~/who"], 10_000).await;
            (answer.status == 200 && answer.text().contains("first")).then_some(())
        },
    )
    .await;
    first.remove().await;
    second.remove().await;
}

/// A statement as the owner of the trial database's tables, inside one workspace.
fn sql(installed: &Installed, workspace: Uuid, statement: &str) {
    let port = free_port();
    let mut forward = Command::new("kubectl")
        .env("KUBECONFIG", &installed.kubeconfig)
        .args(["-n", &installed.namespace, "port-forward"])
        .arg(format!("pod/{}-postgres-0", installed.release))
        .arg(format!("{port}:5432"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let decoded = "go-template={{index .data \"migrate-url\" | base64decode}}";
    let url = installed.kubectl(&["get", "secret", "database", "-o", decoded]);
    let (user, rest) = url.split_once('@').unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    let url = format!("{user}@127.0.0.1:{port}/{path}");
    let tenant = format!("SELECT set_config('app.workspace', '{workspace}', true)");
    let text = format!("BEGIN; {tenant}; {statement}; COMMIT");
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        let command = ["-X", "-v", "ON_ERROR_STOP=1", &url, "-c", &text];
        let done = Command::new("psql").args(command).output().unwrap();
        if done.status.success() {
            let said = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(!said.contains("UPDATE 0"), "{statement}: {said}");
            break;
        }
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(Instant::now() < end, "{said}");
        std::thread::sleep(Duration::from_millis(200));
    }
    forward.kill().unwrap();
    forward.wait().unwrap();
}
