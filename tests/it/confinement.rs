//! What namespaces do not part: inherited descriptors, key rings, and system calls outside of every namespace.

use std::os::fd::AsRawFd;

use rustix::fs::{Mode, OFlags};

use crate::containers::{member, owner, running, sh};
use crate::support::server::Server;

/// Calls each of the refused kinds and says what came of it.
const CALLS: &str = r#"
import ctypes, errno, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *arguments):
    ctypes.set_errno(0)
    answer = libc.syscall(number, *arguments)
    print(name, "allowed" if answer >= 0 else errno.errorcode[ctypes.get_errno()])
machine = os.uname().machine
x86 = machine == "x86_64"
call("add_key", 248 if x86 else 217, b"user", b"probe", b"x", 1, -3)
call("request_key", 249 if x86 else 218, b"user", b"probe", None, -3)
call("keyctl", 250 if x86 else 219, 0, -3, 1)
call("bpf", 321 if x86 else 280, 0, None, 0)
call("perf_event_open", 298 if x86 else 241, None, 0, -1, -1, 0)
call("userfaultfd", 323 if x86 else 282, 0)
call("io_uring_setup", 425, 1, None)
for family in ("AF_VSOCK", "AF_PACKET", "AF_ALG"):
    try:
        socket.socket(getattr(socket, family), socket.SOCK_STREAM if family == "AF_VSOCK" else socket.SOCK_DGRAM)
        print(family, "allowed")
    except OSError as error:
        print(family, errno.errorcode[error.errno])
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6):
    socket.socket(family, socket.SOCK_STREAM).close()
print("ordinary sockets work")
"#;

#[tokio::test]
async fn user_code_inherits_nothing_and_calls_nothing_outside_its_namespaces() {
    // A folder of the host, open without CLOEXEC, as a shell or a service manager may leave one to the server.
    let host = rustix::fs::open("/", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let number = host.as_raw_fd();
    let server = Server::start().await;
    let fds = format!("/proc/{}/fd/{number}", server.pid());
    assert_eq!(
        std::fs::read_link(&fds).unwrap().to_str(),
        Some("/"),
        "the server has it, else this test shows nothing"
    );
    drop(host);
    let api = owner(&server).await;
    let path = running(&api).await;
    let script = "for pid in 1 $$ $(pgrep optidev-agent); do for fd in /proc/$pid/fd/*; do readlink $fd; done; done";
    let seen = sh(&api, &path, script).await;
    for open in seen["stdout"].as_str().unwrap().lines() {
        let harmless = [
            "/dev/null",
            "/dev/urandom",
            "pipe:",
            "socket:",
            "anon_inode:",
            "/var/lib/optidev",
            // What was delivered to this container.
            "/run/secrets",
            "/home/dev",
            "/proc/",
            "/dev/pts/",
            "/dev/ptmx",
        ];
        let log = open.ends_with("start.log");
        assert!(
            log || harmless.iter().any(|start| open.starts_with(start)),
            "{open} in {seen}"
        );
    }
    let seen = sh(
        &api,
        &path,
        &format!("ls /proc/1/fd/{number}/ /proc/self/fd/{number}/ 2>/dev/null; ls -1 /proc/1/fd"),
    )
    .await;
    assert!(!seen["stdout"].as_str().unwrap().contains("etc"), "{seen}");

    let put = api
        .put_bytes(&format!("{path}/files/calls.py"), CALLS.as_bytes().to_vec())
        .await;
    put.expect(201);
    let said = sh(&api, &path, "python3 calls.py").await;
    let text = said["stdout"].as_str().unwrap();
    let refused = text.lines().filter(|line| line.ends_with(" EPERM")).count();
    assert_eq!(refused, 10, "{said}");
    assert!(text.contains("ordinary sockets work"), "{said}");

    // A key made in one container's session keyring, were that still allowed, is not in another's.
    let other = member(&server, &api, "bo@example.com", "user").await;
    let second = running(&other).await;
    let inside = sh(&other, &second, "cat /proc/keys").await;
    assert!(
        !inside["stdout"].as_str().unwrap().contains("probe"),
        "{inside}"
    );
}
