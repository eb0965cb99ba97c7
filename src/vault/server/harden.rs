//! What the vault process gives up before it answers anyone, and the proof that it is gone.
//!
//! [`before_secrets`] runs first, [`after_setup`] when files and socket are open. Both ask the kernel
//! what came of it, and the second tries forbidden things and keeps how they failed: [`Hardening`] is
//! what was found and not what was meant.

#![expect(
    unsafe_code,
    reason = "system calls that no safe wrapper offers; each block says why it is sound"
)]

use std::{io, path::Path};

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope,
};
use rustix::{
    process::{
        DumpableBehavior, Resource, Rlimit, dumpable_behavior, getrlimit, set_dumpable_behavior,
        setrlimit,
    },
    thread::{
        CapabilitySet, CapabilitySets, capabilities, no_new_privs, set_capabilities,
        set_no_new_privs,
    },
};

use super::seccomp;
use crate::vault::types::{Hardening, KeyMemory, Probe};

/// Before the master is read: no core dump, not dumpable, no descriptors that were inherited.
/// What fails here is found missing by [`after_setup`].
pub fn before_secrets() {
    undumpable();
    let _ = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    // SAFETY: nothing in this process has opened a descriptor above standard error yet.
    unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
}

/// No process of the same user looks into this one, nor is a core file left of it.
pub fn undumpable() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Ends the process at once when it is told to: there is nothing to bring to an end, since it may be killed at any moment.
/// Without a handler, process 1 of a container would not hear of it.
pub fn end_on_signals() {
    extern "C" fn end(_: libc::c_int) {
        // SAFETY: the one call that ends a process from a handler; it runs no code of this process.
        unsafe { libc::_exit(0) }
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler calls nothing but what may be called in one.
        unsafe { libc::signal(signal, end as *const () as libc::sighandler_t) };
    }
}

/// Gives up everything else. `master` is tried to be opened afterwards.
#[must_use]
pub fn after_setup(key_memory: KeyMemory, master: &Path) -> Hardening {
    let file = ("the master secret", master);
    lock_in(key_memory, file, seccomp::Reaches::Nothing)
}

/// As [`after_setup`], for the redactor: it has no master, and may connect to local sockets, of which it knows the vault's.
#[must_use]
pub fn lock_in_redactor() -> Hardening {
    let file = ("a file of the system", Path::new("/etc/passwd"));
    lock_in(KeyMemory::Plain, file, seccomp::Reaches::LocalSockets)
}

/// A file by its name in messages, which must not open afterwards.
type Closed<'a> = (&'static str, &'a Path);

fn lock_in(key_memory: KeyMemory, file: Closed<'_>, reaches: seccomp::Reaches) -> Hardening {
    let _ = set_no_new_privs(true);
    drop_capabilities();
    let landlock_abi = restrict();
    let mut probes = Vec::new();
    if landlock_abi > 0 {
        probes.push(probe(
            &format!("landlock: open {}", file.0),
            libc::EACCES,
            || open(file.1),
        ));
    }
    if landlock_abi >= 4 {
        probes.push(probe("landlock: connect by TCP", libc::EACCES, connect_tcp));
    }
    let not_dumpable = matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    let no_core = getrlimit(Resource::Core).current == Some(0);
    let no_new_privileges = matches!(no_new_privs(), Ok(true));
    let no_capabilities =
        capabilities(None).is_ok_and(|sets| sets.effective.is_empty() && sets.permitted.is_empty());
    let seccomp = seccomp::enforce(reaches).is_ok();
    if seccomp {
        probes.extend(forbidden(file, reaches));
    }
    Hardening {
        key_memory,
        not_dumpable,
        no_core,
        no_new_privileges,
        no_capabilities,
        landlock_abi,
        seccomp,
        probes,
    }
}

fn drop_capabilities() {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    let _ = set_capabilities(None, none);
}

/// No file, no TCP, no signal and no abstract socket outside; returns the ABI in force, 0 for none.
fn restrict() -> u32 {
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V7))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V7)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V7)))
        .and_then(Ruleset::create)
        // No rule is added: everything that is handled is denied.
        .and_then(|rules| rules.no_new_privs(true).restrict_self());
    match restricted {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => match status.landlock {
            LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
            _ => 0,
        },
        _ => 0,
    }
}

/// Tries what the system call filter must refuse. Each attempt is harmless where it is allowed: the
/// arguments are such that the kernel would find another error.
fn forbidden(file: Closed<'_>, reaches: seccomp::Reaches) -> Vec<Probe> {
    use libc::syscall;
    let refused =
        |name, attempt: &dyn Fn() -> libc::c_long| probe(name, libc::EPERM, || outcome(attempt()));
    // SAFETY: each call gets plain numbers, null pointers that the kernel checks, or a valid string;
    // none can change this process even where it is allowed.
    let mut probes = unsafe {
        vec![
            probe(&format!("open {}", file.0), libc::EPERM, || open(file.1)),
            refused("open an internet socket", &|| {
                syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0)
            }),
            refused("start a program", &|| {
                syscall(libc::SYS_execve, c"".as_ptr(), 0_usize, 0_usize)
            }),
            // Flags that contradict each other, so that there is no child where this is allowed.
            refused("start a process", &|| {
                let flags = libc::CLONE_FS | libc::CLONE_NEWNS;
                syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize)
            }),
            refused("trace a process", &|| {
                syscall(
                    libc::SYS_ptrace,
                    libc::PTRACE_ATTACH,
                    0_usize,
                    0_usize,
                    0_usize,
                )
            }),
            refused("read another process", &|| {
                syscall(
                    libc::SYS_process_vm_readv,
                    1_usize,
                    0_usize,
                    0_usize,
                    0_usize,
                    0_usize,
                    0_usize,
                )
            }),
            refused("signal a process", &|| {
                syscall(libc::SYS_kill, i64::from(std::process::id()), 0_usize)
            }),
            refused("become dumpable", &|| {
                syscall(
                    libc::SYS_prctl,
                    libc::PR_SET_DUMPABLE,
                    2_usize,
                    0_usize,
                    0_usize,
                )
            }),
            refused("shorten the record", &|| {
                syscall(libc::SYS_ftruncate, -1_i64, 0_usize)
            }),
            refused("make memory executable", &|| {
                let (protection, flags) = (
                    libc::PROT_READ | libc::PROT_EXEC,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                );
                syscall(
                    libc::SYS_mmap,
                    0_usize,
                    4096_usize,
                    protection,
                    flags,
                    -1_i64,
                    0_usize,
                )
            }),
        ]
    };
    if reaches == seccomp::Reaches::Nothing {
        // SAFETY: plain numbers; where it is allowed, the socket is a descriptor that nobody uses.
        probes.push(refused("open a local socket", &|| unsafe {
            syscall(libc::SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0)
        }));
    }
    probes
}

fn probe(name: &str, wanted: i32, attempt: impl Fn() -> io::Result<()>) -> Probe {
    let errno = attempt().map_or_else(|error| error.raw_os_error().unwrap_or_default(), |()| 0);
    Probe {
        name: name.to_owned(),
        errno,
        refused: errno == wanted,
    }
}

fn outcome(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<()> {
    std::fs::File::open(path).map(drop)
}

/// Connects to port 1 of the loopback, where nothing listens: ECONNREFUSED where it is allowed.
fn connect_tcp() -> io::Result<()> {
    std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, 1)).map(drop)
}
