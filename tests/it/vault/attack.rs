//! Attacks on the running process: from its own uid, from root, from another uid, over the socket.
//!
//! What holds for root: the pages of the keys cannot be read, because they are `memfd_secret`. What
//! does not: root can trace the process and make it do things, and can read values that pass through
//! it. That needs the processes apart, in containers without CAP_SYS_PTRACE.

#![expect(unsafe_code, reason = "the attacks are system calls")]

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    process::{Command, Stdio},
    time::Duration,
};

use hkdf::Hkdf;
use optidev::vault::{KeyMemory, MacPurpose, VaultError};
use sha2::Sha256;

use super::harness::{OPTIDEV, Vault, WORKSPACE};

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn everything_forbidden_fails_inside_the_running_process() {
    let vault = Vault::start_with(&["--require-hardening"]).await;
    let status = vault.client().status().await.unwrap();
    assert_eq!(status.pid, vault.pid());
    assert_eq!(status.hardening.missing(), Vec::<String>::new());
    assert_eq!(status.hardening.key_memory, KeyMemory::MemfdSecret);
    assert!(
        status.hardening.probes.len() >= 13,
        "{:?}",
        status.hardening.probes
    );
    // The kernel's own view, from outside.
    let facts = fs::read_to_string(format!("/proc/{}/status", vault.pid())).unwrap();
    for fact in [
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
        "CapPrm:\t0000000000000000",
    ] {
        assert!(facts.contains(fact), "{fact} is not in {facts}");
    }
}

/// Runs in a process of the vault's own uid, see the test below; does nothing otherwise.
#[test]
fn attacker_of_the_same_uid() {
    let Ok(target) = std::env::var("ATTACK_PID") else {
        return;
    };
    let pid: i32 = target.parse().unwrap();
    let errno = || {
        std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or_default()
    };
    for name in [
        "mem",
        "environ",
        "maps",
        "fd",
        "root",
        "cwd",
        "exe",
        "auxv",
        "map_files",
        "stack",
    ] {
        let path = format!("/proc/{pid}/{name}");
        let read = match name {
            "fd" | "map_files" => fs::read_dir(&path).map(drop),
            "root" | "cwd" | "exe" => fs::read_link(&path).map(drop),
            "mem" => fs::File::open(&path).map(drop),
            _ => fs::read(&path).map(drop),
        };
        println!("ATTACK {name} {}", read.is_ok());
    }
    let mut byte = [0_u8];
    // SAFETY: plain numbers and valid vectors; the target is the test's own child.
    unsafe {
        let local = libc::iovec {
            iov_base: byte.as_mut_ptr().cast(),
            iov_len: 1,
        };
        let remote = libc::iovec {
            iov_base: 0x40_0000 as *mut _,
            iov_len: 1,
        };
        let read = libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0);
        println!(
            "ATTACK process_vm_readv {}",
            read >= 0 || errno() != libc::EPERM
        );
        let traced = libc::ptrace(libc::PTRACE_SEIZE, pid, 0_usize, 0_usize);
        println!("ATTACK ptrace {}", traced == 0);
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        let stolen = libc::syscall(libc::SYS_pidfd_getfd, process, 3, 0);
        println!("ATTACK pidfd_getfd {}", stolen >= 0);
    }
}

/// Starts a copied executable. Another test that starts a process at the wrong moment hands it the copy's open file for a
/// few milliseconds, in which the kernel refuses to run it (ETXTBSY).
fn patiently<T>(mut start: impl FnMut() -> std::io::Result<T>) -> T {
    for _ in 0..500 {
        match start() {
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => {
                std::thread::sleep(Duration::from_millis(10));
            }
            started => return started.unwrap(),
        }
    }
    panic!("a copied executable was busy for five seconds");
}

/// What a process of `uid` can do to process `pid`, by attack.
pub fn attacks(folder: &std::path::Path, uid: Option<u32>, pid: u32) -> Vec<(String, bool)> {
    // A copy, because the build's folder may be closed to that user.
    let copy = folder.join("attacker");
    if !copy.exists() {
        fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    }
    let mut command = Command::new(copy);
    command
        .args([
            "--exact",
            "vault::attack::attacker_of_the_same_uid",
            "--nocapture",
        ])
        .env("ATTACK_PID", pid.to_string())
        .current_dir("/");
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    let output = patiently(|| command.output());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_once("ATTACK ").map(|(_, rest)| rest))
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, possible)| (name.to_owned(), possible == "true"))
        .collect()
}

#[tokio::test]
async fn its_own_uid_can_neither_read_nor_trace_it() {
    // As root, both run under an ordinary user, because root's CAP_SYS_PTRACE is not what is tested.
    let uid = is_root().then_some(64_242_u32);
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    let program = folder.path().join("optidev");
    fs::copy(OPTIDEV, &program).unwrap();
    if let Some(uid) = uid {
        std::os::unix::fs::chown(&own, Some(uid), Some(uid)).unwrap();
    }
    let as_user = |mut command: Command| {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/");
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        patiently(|| command.spawn())
    };
    let mut command = Command::new(&program);
    command
        .args(["vault", "--create-master", "--require-hardening"])
        .arg("--socket")
        .arg(own.join("s"))
        .arg("--master")
        .arg(own.join("master"))
        .arg("--record")
        .arg(own.join("record"));
    let mut vault = as_user(command);
    let mut control = as_user({
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    });
    while !own.join("s").exists() {
        assert!(
            vault.try_wait().unwrap().is_none(),
            "the vault did not start"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let client = optidev::vault::VaultClient::new(own.join("s"));
    let answer = client.status().await;
    let on_vault = attacks(folder.path(), uid, vault.id());
    let alive = vault.try_wait().unwrap().is_none();
    let on_control = attacks(folder.path(), uid, control.id());
    for child in [&mut vault, &mut control] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // As root, this test itself is a stranger to that vault; either way it was up and answered.
    assert!(
        alive && !matches!(answer, Err(VaultError::Unavailable { .. })),
        "{answer:?}"
    );
    assert_eq!(on_vault.len(), 13);
    for (name, possible) in &on_vault {
        assert!(!possible, "{name} is possible");
    }
    // The same attacks work on an ordinary process, so that the test can tell.
    for name in ["mem", "environ", "fd", "ptrace"] {
        let possible = on_control
            .iter()
            .any(|(attack, possible)| attack == name && *possible);
        assert!(possible, "{name} does not even work on an ordinary process");
    }
}

/// The readable memory of a process, and which mappings cannot be read. Needs root.
fn memory(pid: u32) -> (Vec<u8>, Vec<String>) {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut file = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let (mut readable, mut refused) = (Vec::new(), Vec::new());
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] =
            [start, end].map(|text| u64::from_str_radix(text, 16).unwrap_or(u64::MAX));
        if !rest.starts_with('r') || start > i64::MAX as u64 {
            continue;
        }
        let mut bytes = vec![0; (end - start) as usize];
        file.seek(SeekFrom::Start(start)).unwrap();
        match file.read_exact(&mut bytes) {
            Ok(()) => readable.extend(bytes),
            Err(_) => refused.push(rest.to_owned()),
        }
    }
    (readable, refused)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

#[tokio::test]
async fn not_even_root_finds_the_master_or_a_root_key_in_its_memory() {
    if !is_root() {
        eprintln!(
            "not root, so the memory of a process that is not dumpable cannot be read at all"
        );
        return;
    }
    let vault = Vault::start().await;
    let client = vault.client();
    for _ in 0..20 {
        client.new_workspace_key(WORKSPACE).await.unwrap();
        client.mac(MacPurpose::SessionToken, b"data").await.unwrap();
        client.totp_seed([1; 16]).await.unwrap();
    }
    let (readable, refused) = memory(vault.pid());
    assert!(
        refused.iter().any(|name| name.contains("secretmem")),
        "{refused:?}"
    );
    assert!(
        contains(&readable, b"GNU C Library") || readable.len() > 1 << 20,
        "nothing was read"
    );

    let text = fs::read_to_string(vault.folder.path().join("master")).unwrap();
    let digits = text.trim().split_once(' ').unwrap().1;
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len() / 2)
            .map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap())
            .collect()
    };
    let master = bytes(digits);
    let install = bytes(
        fs::read_to_string(vault.folder.path().join("install-id"))
            .unwrap()
            .trim(),
    );
    assert!(
        contains(&readable, &install),
        "the search finds what is there"
    );
    let (extracted, hkdf) = Hkdf::<Sha256>::extract(Some(&install), &master);
    let mut wrapping = [0; 32];
    let info: [&[u8]; 4] = [b"optidev vault root 1", &1_u32.to_be_bytes(), b"wrap", &[0]];
    hkdf.expand_multi_info(&info, &mut wrapping).unwrap();
    let mut base = [0; 32];
    let info: [&[u8]; 4] = [
        b"optidev vault root 1",
        &1_u32.to_be_bytes(),
        b"mac base",
        &[0],
    ];
    hkdf.expand_multi_info(&info, &mut base).unwrap();
    let mut session = [0; 32];
    let info: [&[u8]; 2] = [b"optidev vault mac 1", &[1]];
    Hkdf::<Sha256>::new(Some(&install), &base)
        .expand_multi_info(&info, &mut session)
        .unwrap();
    let secrets: [(&str, &[u8]); 6] = [
        ("the master in hexadecimal", digits.as_bytes()),
        ("the master", &master),
        ("the extracted key", &extracted),
        ("the wrapping key", &wrapping),
        ("the secret of the MACs", &base),
        ("the key of session tokens", &session),
    ];
    for (name, secret) in secrets {
        for part in secret.chunks(16) {
            assert!(!contains(&readable, part), "{name} lies in readable memory");
        }
    }
}

#[tokio::test]
async fn another_user_is_refused_by_the_socket_itself() {
    // The vault is told that its server has another uid than the one that runs this test.
    let stranger = rustix::process::geteuid().as_raw() + 1;
    let folder = tempfile::tempdir().unwrap();
    let record = folder.path().join("record");
    let vault = Vault::start_in(folder, record, &["--client-uid", &stranger.to_string()]).await;
    let error = vault.client().status().await.unwrap_err();
    let VaultError::Refused { reason } = error else {
        panic!("{error}");
    };
    assert!(
        reason.contains(&format!("user {stranger} only")),
        "{reason}"
    );
    // By default the file's mode keeps others out before that.
    let vault = Vault::start().await;
    let mode = fs::metadata(vault.socket()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[tokio::test]
async fn nonsense_on_one_connection_disturbs_no_other() {
    let vault = Vault::start().await;
    let client = vault.client();
    let mac = client.mac(MacPurpose::Csrf, b"data").await.unwrap();
    let nonsense: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: vault\r\n\r\n",
        &[0xff; 64],
        &[0, 0, 0, 0],
        &[0, 0, 0, 10, 1, 0, 0, 0, 0, 0, 0, 0, 1, 99],
        &[0, 0, 0, 10, 2, 0, 0, 0, 0, 0, 0, 0, 1, 1],
        &[0, 0, 0, 11, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0],
    ];
    for bytes in nonsense {
        let mut stream = UnixStream::connect(vault.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the vault hangs up");
        assert!(!answer.is_empty(), "it says why");
    }
    // Half a frame and silence, on as many connections as there are places.
    let mut held: Vec<_> = (0..63)
        .map(|_| UnixStream::connect(vault.socket()).unwrap())
        .collect();
    for stream in &mut held {
        stream.write_all(&[0, 0, 1, 0, 1]).unwrap();
    }
    assert_eq!(client.mac(MacPurpose::Csrf, b"data").await.unwrap(), mac);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let late = vault.client().status().await.unwrap_err();
    assert!(late.to_string().contains("64 connections"), "{late}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(vault.client().status().await.is_ok(), "places come back");
}
