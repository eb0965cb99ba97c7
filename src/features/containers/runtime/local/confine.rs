//! What namespaces do not part: descriptors that the server was started with, the kernel's key rings, and system calls
//! that know no namespace.

#![expect(
    unsafe_code,
    reason = "between fork and exec there are only system calls, and std gives no safe way to make them"
)]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use tokio::process::Command;

/// `keyctl(2)`: begin a new, empty session keyring.
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;

/// Lets the process that `command` starts inherit no descriptor but the standard ones, and no key ring.
pub fn part(command: &mut Command) {
    // SAFETY: the closure makes two system calls, both safe after fork, and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| {
            // What the server was started with, from a shell or a service manager, is open without CLOEXEC.
            if libc::close_range(
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC as libc::c_int,
            ) < 0
            {
                return Err(io::Error::last_os_error());
            }
            // Keys of whoever started the server, and of other containers, are reached through the session keyring.
            let joined = libc::syscall(
                libc::SYS_keyctl,
                KEYCTL_JOIN_SESSION_KEYRING,
                std::ptr::null::<libc::c_char>(),
            );
            if joined < 0 {
                let error = io::Error::last_os_error();
                // A kernel without key rings has none to share.
                if error.raw_os_error() != Some(libc::ENOSYS) {
                    return Err(error);
                }
            }
            Ok(())
        });
    }
}

/// System calls that reach what no namespace parts, or whose size alone is a risk: they fail with EPERM.
const REFUSED: &[libc::c_long] = &[
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_open_by_handle_at,
    libc::SYS_lookup_dcookie,
    libc::SYS_quotactl,
    libc::SYS_fanotify_init,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_reboot,
];

/// Address families that containers have: everything else, AF_VSOCK above all, may lead around the network namespace.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// The x32 numbers of x86-64 are the same calls by another name.
#[cfg(target_arch = "x86_64")]
const ALIASES: [i64; 2] = [0, 0x4000_0000];
#[cfg(not(target_arch = "x86_64"))]
const ALIASES: [i64; 1] = [0];

/// The filter as bubblewrap takes it, written once below `folder`.
///
/// # Errors
/// When the filter cannot be made for this machine, or the file cannot be written.
pub fn filter_file(folder: &Path) -> io::Result<PathBuf> {
    let program = program().map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(program.len() * 8);
    for step in &program {
        bytes.extend_from_slice(&step.code.to_ne_bytes());
        bytes.extend_from_slice(&[step.jt, step.jf]);
        bytes.extend_from_slice(&step.k.to_ne_bytes());
    }
    let path = folder.join("system-calls.bpf");
    let half = folder.join("system-calls.bpf.new");
    std::fs::write(&half, bytes)?;
    std::fs::rename(&half, &path)?;
    Ok(path)
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for alias in ALIASES {
        for call in REFUSED {
            rules.insert(*call | alias, Vec::new());
        }
        // All of the conditions of a rule must hold: a family that is none of the four.
        let others = FAMILIES.iter().map(|family| {
            let family = u64::from(family.unsigned_abs());
            SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
        });
        let others = SeccompRule::new(others.collect::<Result<_, _>>()?)?;
        rules.insert(libc::SYS_socket | alias, vec![others.clone()]);
        rules.insert(libc::SYS_socketpair | alias, vec![others]);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, SeccompAction::Allow, refused, machine)?.try_into()
}
