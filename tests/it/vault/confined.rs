//! Attacks on the master secret by code in the server itself: a process that has confined itself with the server's own
//! function, runs as the server's user (root, when the tests do) beside a running server, and has that server's settings.

#![expect(unsafe_code, reason = "the attacks are system calls")]

use std::ffi::CString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use optidev::config::{Config, Paths};

use crate::support::server::Server;

/// Runs in a process of its own, see the test below; does nothing otherwise.
#[test]
fn attacker_in_the_server() {
    let Some(data) = std::env::var_os("ATTACK_DATA").map(PathBuf::from) else {
        return;
    };
    let pid = |name: &str| -> i32 { std::env::var(name).unwrap().parse().unwrap() };
    let (vault, launcher) = (pid("ATTACK_VAULT"), pid("ATTACK_LAUNCHER"));
    let paths = Paths::new(data);
    if std::env::var_os("ATTACK_FREELY").is_none() {
        // What a test thread does holds for this thread and its children: enough, because all attacks are made from it.
        let mut config = Config::default();
        config.vault.master_file = std::env::var_os("ATTACK_MASTER").map(PathBuf::from);
        let confinement = optidev::app::confine(&config, None, &paths).unwrap();
        assert_eq!(confinement.missing(), Vec::<String>::new());
    }
    let say = |name: &str, possible: bool| println!("ATTACK {name} {possible}");
    on_files(&paths, &say);
    on_a_named_master(&say);
    on_processes(&paths, vault, launcher, &say);
    with_rights(&paths, &say);
}

fn on_files(paths: &Paths, say: &dyn Fn(&str, bool)) {
    let (vault, master) = (paths.vault(), paths.vault().join("master"));
    let loot = paths.objects().join(format!("loot-{}", std::process::id()));
    say("open_master", fs::read(&master).is_ok());
    say(
        "open_through_root",
        fs::read(Path::new("/proc/self/root").join(master.strip_prefix("/").unwrap())).is_ok(),
    );
    say(
        "open_through_dots",
        fs::read(paths.objects().join("../vault/master")).is_ok(),
    );
    say("list_the_folder", fs::read_dir(&vault).is_ok());
    say(
        "read_the_record",
        fs::read(vault.join("record.jsonl")).is_ok(),
    );
    say(
        "write_the_record",
        fs::OpenOptions::new()
            .append(true)
            .open(vault.join("record.jsonl"))
            .is_ok(),
    );
    say("read_the_anchors", fs::read(vault.join("anchors")).is_ok());
    say(
        "replace_the_master",
        fs::write(vault.join("master.new"), "1 00").is_ok(),
    );
    let linked = symlink(&master, &loot).is_ok();
    say("read_by_symlink", linked && fs::read(&loot).is_ok());
    let _ = fs::remove_file(&loot);
    let linked = fs::hard_link(&master, &loot).is_ok();
    say("read_by_hard_link", linked && fs::read(&loot).is_ok());
    let _ = fs::remove_file(&loot);
    let moved = paths.data_dir().join("vault-moved");
    let renamed = fs::rename(&vault, &moved).is_ok();
    if renamed {
        fs::rename(&moved, &vault).unwrap();
    }
    say("move_the_folder", renamed);
    say(
        "plant_a_container",
        fs::create_dir(paths.containers().join("planted")).is_ok()
            && fs::remove_dir(paths.containers().join("planted")).is_ok(),
    );
    let program = std::env::current_exe().unwrap();
    say(
        "exchange_the_program",
        fs::OpenOptions::new()
            .write(true)
            .open(program.with_file_name("optidev-copy"))
            .is_ok(),
    );
    say(
        "start_a_program",
        Command::new("/bin/cat").arg(&master).output().is_ok(),
    );
}

/// A master that the settings name among files that the server reads, and what a rotation that was killed left beside it.
fn on_a_named_master(say: &dyn Fn(&str, bool)) {
    let Some(master) = std::env::var_os("ATTACK_MASTER").map(PathBuf::from) else {
        return;
    };
    let folder = master.parent().unwrap();
    say("open_named_master", fs::read(&master).is_ok());
    say(
        "open_what_a_rotation_left",
        fs::read(folder.join("master.rotation")).is_ok(),
    );
    assert!(
        fs::read(folder.join("config.toml")).is_ok(),
        "its other neighbours are read"
    );
}

fn on_processes(paths: &Paths, vault: i32, launcher: i32, say: &dyn Fn(&str, bool)) {
    for (who, pid) in [("vault", vault), ("launcher", launcher)] {
        for name in ["mem", "environ", "maps", "auxv"] {
            say(
                &format!("{who}_{name}"),
                fs::read(format!("/proc/{pid}/{name}")).is_ok_and(|read| !read.is_empty())
                    || (name == "mem" && fs::File::open(format!("/proc/{pid}/mem")).is_ok()),
            );
        }
        // Their numbers may be listed; what they are may be neither read nor opened.
        let held = fs::read_dir(format!("/proc/{pid}/fd"));
        let opens = |entry: fs::DirEntry| {
            fs::read_link(entry.path()).is_ok() || fs::File::open(entry.path()).is_ok()
        };
        let held = held.is_ok_and(|held| held.flatten().any(opens));
        say(&format!("{who}_fds"), held);
        let through = format!("/proc/{pid}/root{}", paths.vault().join("master").display());
        say(&format!("{who}_root"), fs::read(through).is_ok());
        // SAFETY: plain numbers; the targets are the test's own processes, and no signal number is 0's equal in effect.
        unsafe {
            say(
                &format!("{who}_ptrace"),
                libc::ptrace(libc::PTRACE_SEIZE, pid, 0_usize, 0_usize) == 0,
            );
            let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            say(
                &format!("{who}_pidfd_getfd"),
                libc::syscall(libc::SYS_pidfd_getfd, process, 0, 0) >= 0,
            );
            // Signal 0 asks whether a signal would be allowed.
            say(&format!("{who}_signal"), libc::kill(pid, 0) == 0);
            let mut byte = [0_u8];
            let local = libc::iovec {
                iov_base: byte.as_mut_ptr().cast(),
                iov_len: 1,
            };
            let remote = libc::iovec {
                iov_base: 0x40_0000 as *mut _,
                iov_len: 1,
            };
            let read = libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0);
            let refused = std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
            say(&format!("{who}_process_vm_readv"), read >= 0 || !refused);
        }
    }
}

fn with_rights(paths: &Paths, say: &dyn Fn(&str, bool)) {
    let text = |path: &Path| CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    let (from, to) = (text(&paths.vault()), text(&paths.objects()));
    // SAFETY: valid strings and plain numbers; where a call is allowed, it changes this process's namespaces only.
    unsafe {
        let mounted = libc::mount(
            from.as_ptr(),
            to.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        ) == 0;
        if mounted {
            libc::umount(to.as_ptr());
        }
        say("bind_mount", mounted);
        let apart = libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) == 0;
        let mounted = apart
            && libc::mount(
                from.as_ptr(),
                to.as_ptr(),
                std::ptr::null(),
                libc::MS_BIND,
                std::ptr::null(),
            ) == 0;
        say(
            "bind_mount_in_a_namespace_of_its_own",
            mounted && fs::read(paths.objects().join("master")).is_ok(),
        );
    }
    let disk = fs::read_dir("/sys/class/block")
        .ok()
        .and_then(|mut disks| disks.next()?.ok());
    if let Some(disk) = disk {
        let number = fs::read_to_string(disk.path().join("dev")).unwrap_or_default();
        let number = number.trim().split_once(':').and_then(|(major, minor)| {
            Some(libc::makedev(major.parse().ok()?, minor.parse().ok()?))
        });
        let device = paths.objects().join("disk");
        // SAFETY: a valid string and plain numbers.
        let made = number.is_some_and(|number| unsafe { libc::mknod(text(&device).as_ptr(), libc::S_IFBLK | 0o600, number) } == 0);
        say("read_the_disk", made && fs::File::open(&device).is_ok());
        let _ = fs::remove_file(&device);
    }
    say(
        "read_kernel_memory",
        fs::File::open("/dev/mem").is_ok() || fs::File::open("/proc/kcore").is_ok_and(|_| false),
    );
    say(
        "catch_core_dumps",
        fs::OpenOptions::new()
            .write(true)
            .open("/proc/sys/kernel/core_pattern")
            .and_then(|mut file| file.write_all(b""))
            .is_ok(),
    );
}

#[tokio::test]
async fn code_in_the_server_reaches_neither_the_master_nor_what_could_reach_it() {
    let server = Server::start().await;
    let found = |part: &str| server.children(part).into_iter().next().unwrap();
    // Below a folder of the system's, which the server reads; only root can make one.
    let named = tempfile::tempdir_in("/run").ok();
    if let Some(folder) = &named {
        for name in ["master", "master.rotation", "config.toml"] {
            fs::write(folder.path().join(name), "1 00").unwrap();
        }
    }
    let attacks = |freely: bool| -> Vec<(String, bool)> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--exact",
                "vault::confined::attacker_in_the_server",
                "--nocapture",
            ])
            .env("ATTACK_DATA", server.data_dir())
            .env("ATTACK_VAULT", found(" vault ").to_string())
            .env("ATTACK_LAUNCHER", found(" launcher ").to_string())
            .process_group(0);
        if freely {
            command.env("ATTACK_FREELY", "1");
        }
        if let Some(folder) = &named {
            command.env("ATTACK_MASTER", folder.path().join("master"));
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text.lines()
            .filter_map(|line| line.split_once("ATTACK ").map(|(_, rest)| rest))
            .map(|line| line.rsplit_once(' ').unwrap())
            .map(|(name, possible)| (name.to_owned(), possible == "true"))
            .collect()
    };
    let confined = attacks(false);
    assert!(confined.len() >= 30, "{confined:?}");
    let possible: Vec<&String> = confined
        .iter()
        .filter(|(_, possible)| *possible)
        .map(|(name, _)| name)
        .collect();
    assert!(possible.is_empty(), "possible: {possible:?}");
    // The same attacks work for a process of this user that is not confined, so that the test can tell.
    let free = attacks(true);
    let of_the_named = ["open_named_master", "open_what_a_rotation_left"];
    let of_the_named = of_the_named.into_iter().filter(|_| named.is_some());
    let ordinary = [
        "open_master",
        "read_by_symlink",
        "read_by_hard_link",
        "move_the_folder",
        "start_a_program",
        "launcher_environ",
        "launcher_ptrace",
        "vault_signal",
    ];
    for name in ordinary.into_iter().chain(of_the_named) {
        assert!(
            free.contains(&(name.to_owned(), true)),
            "{name} does not even work for an ordinary process: {free:?}"
        );
    }
    // The server in use is confined in the same way: the kernel's own view.
    let facts = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    assert!(facts.contains("NoNewPrivs:\t1"), "{facts}");
    let effective = facts
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:\t"))
        .unwrap();
    let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
    // CAP_DAC_OVERRIDE is 1, CAP_NET_BIND_SERVICE is 10.
    assert_eq!(effective & !(1 << 1 | 1 << 10), 0, "{facts}");
    assert!(
        !server.logs().contains("does not confine"),
        "{}",
        server.logs()
    );
}
