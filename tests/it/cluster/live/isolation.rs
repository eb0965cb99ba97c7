//! No container reaches another: packets between real pods.

use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::site::{Container, Site, kubectl};

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
struct Open {
    namespace: String,
    image: String,
}

impl Open {
    fn make(image: String) -> Self {
        let open = Self {
            namespace: format!("open-{}", std::process::id()),
            image,
        };
        kubectl(&["create", "namespace", &open.namespace], "").unwrap();
        open
    }

    /// Starts one that listens; answers its address.
    fn pod(&self, name: &str) -> String {
        let pod = serde_json::json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": self.namespace },
            "spec": { "terminationGracePeriodSeconds": 0, "containers": [{ "name": "a", "image": self.image,
                "imagePullPolicy": "IfNotPresent", "command": ["python3", "-c", LISTEN] }] } });
        kubectl(&["apply", "-f", "-"], &pod.to_string()).unwrap();
        let ready = [
            "-n",
            &self.namespace,
            "wait",
            "--for=condition=Ready",
            "--timeout=60s",
            "pod",
            name,
        ];
        kubectl(&ready, "").unwrap();
        kubectl(
            &[
                "-n",
                &self.namespace,
                "get",
                "pod",
                name,
                "-o",
                "jsonpath={.status.podIP}",
            ],
            "",
        )
        .unwrap()
    }

    fn reaches(&self, name: &str, addresses: &[&str]) -> Vec<String> {
        let mut all = vec![
            "-n",
            &self.namespace,
            "exec",
            name,
            "--",
            "python3",
            "-c",
            TRY,
        ];
        all.extend(addresses);
        reached(&kubectl(&all, "").unwrap())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let _ = kubectl(
            &["delete", "namespace", &self.namespace, "--wait=false"],
            "",
        );
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
    let mut command = vec!["python3", "-c", TRY];
    command.extend(addresses);
    let said = container.ask(&command, 30_000).await.ok();
    reached(said["stdout"].as_str().unwrap())
}

#[ignore = "needs an installation in a cluster"]
#[tokio::test]
async fn no_container_reaches_another_in_any_way_and_none_is_reached() {
    let site = Site::open();
    let mut containers = Vec::new();
    for name in ["ada", "eve"] {
        let (workspace, users) = site.workspace(name, 2);
        for user in &users {
            containers.push(site.container(&workspace, user).await);
        }
    }
    for container in &containers {
        listen(container).await;
    }
    let image = kubectl(
        &[
            "-n",
            &containers[0].namespace,
            "get",
            "pod",
            "dev",
            "-o",
            "jsonpath={.spec.containers[0].image}",
        ],
        "",
    )
    .unwrap();
    let open = Open::make(image);
    let outside = open.pod("one");
    open.pod("two");

    // The network works, and the tools tell.
    let control = open.reaches("two", &[&outside]);
    eprintln!("between pods that nothing guards: {control:?}");
    assert!(
        control.iter().any(|way| way.contains("tcp 5000")),
        "{control:?}"
    );
    assert!(
        control.iter().any(|way| way.contains("udp 5001")),
        "{control:?}"
    );
    assert!(
        control.iter().any(|way| way.contains("refused")),
        "an unused port: {control:?}"
    );

    let mut pairs = 0;
    for (number, container) in containers.iter().enumerate() {
        let own = reaches(container, &["127.0.0.1"]).await;
        assert!(own.iter().any(|way| way.contains("tcp 5000")), "{own:?}");
        assert!(own.iter().any(|way| way.contains("udp 5001")), "{own:?}");
        let others = containers
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number);
        let mut others: Vec<&str> = others.map(|(_, other)| other.ip.as_str()).collect();
        pairs += others.len();
        others.push(&outside);
        assert_eq!(
            reaches(container, &others).await,
            Vec::<String>::new(),
            "{}",
            container.ip
        );
    }
    let all: Vec<&str> = containers
        .iter()
        .map(|container| container.ip.as_str())
        .collect();
    assert_eq!(
        open.reaches("two", &all),
        Vec::<String>::new(),
        "from outside"
    );
    // Not even one way, without an answer.
    for container in &containers {
        let came = container.sh("cat /tmp/came").await;
        let foreign: Vec<&str> = came
            .lines()
            .filter(|line| line.contains(' ') && !line.ends_with("127.0.0.1"))
            .collect();
        assert!(foreign.is_empty(), "{foreign:?} came to {}", container.ip);
        assert!(came.contains("udp 127.0.0.1"), "{came}");
    }
    eprintln!(
        "{pairs} ordered pairs of containers in five ways, and both ways with a pod outside: nothing passes"
    );
    for container in containers {
        container.remove().await;
    }
}

#[ignore = "needs an installation in a cluster"]
#[tokio::test]
async fn an_address_that_another_container_has_by_now_is_not_spoken_to() {
    let site = Site::open();
    let (workspace, users) = site.workspace("ann", 2);
    let first = site.container(&workspace, &users[0]).await;
    let second = site.container(&workspace, &users[1]).await;
    first.sh("echo first >~/who").await;
    second.sh("echo second >~/who").await;
    // The controller would put the address right; it is not what this is about.
    let scale = |count: &str| {
        let how = format!("--replicas={count}");
        kubectl(
            &[
                "-n",
                &site.namespace,
                "scale",
                "deployment/optidev-controller",
                &how,
            ],
            "",
        )
        .unwrap();
    };
    scale("0");
    let uuid = |id: &str| id.parse::<optidev::kernel::ContainerId>().unwrap().uuid();
    let tenant: Uuid = workspace
        .parse::<optidev::kernel::WorkspaceId>()
        .unwrap()
        .uuid();
    let put = |ip: &str| {
        let statement = format!(
            "UPDATE pod SET ip = '{ip}' WHERE container_id = '{}'",
            uuid(&first.id)
        );
        site.sql(&tenant.to_string(), &statement);
    };
    put(&second.ip);
    // Servers that start now know the row alone.
    kubectl(
        &[
            "-n",
            &site.namespace,
            "delete",
            "pod",
            "-l",
            "app.kubernetes.io/component=web",
            "--wait=true",
        ],
        "",
    )
    .unwrap();
    kubectl(
        &[
            "-n",
            &site.namespace,
            "rollout",
            "status",
            "deployment/optidev",
            "--timeout=120s",
        ],
        "",
    )
    .unwrap();
    let (mut failed, mut said) = (0, String::new());
    for _ in 0..12 {
        let answer = first.ask(&["/bin/sh", "-c", "cat ~/who"], 10_000).await;
        assert!(!answer.text().contains("second"), "{}", answer.text());
        if answer.status != 200 {
            failed += 1;
            said = answer.text();
        }
    }
    eprintln!("{failed} of 12 requests failed: {said}");
    assert_eq!(failed, 12, "the address was not used");
    assert!(second.sh("cat ~/who").await.contains("second"));
    put(&first.ip);
    scale("2");
    let end = std::time::Instant::now() + Duration::from_secs(90);
    loop {
        let answer = first.ask(&["/bin/sh", "-c", "cat ~/who"], 10_000).await;
        if answer.status == 200 && answer.text().contains("first") {
            break;
        }
        assert!(
            std::time::Instant::now() < end,
            "it does not come back: {}",
            answer.text()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    first.remove().await;
    second.remove().await;
}
