//! The system calls that remain.
//!
//! An allow-list: what the vault's loop, its threads and its allocator need. Everything else fails
//! with EPERM: opening files, sockets, starting programs, tracing, reading other processes, signals,
//! passing descriptors, making memory executable. It fails and does not kill, because the C library
//! tries some calls (such as looking at /proc for the number of processors) that may fail harmlessly.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// What a process may still begin to speak with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaches {
    /// Nothing: it answers who connects.
    Nothing,
    /// Local sockets, which it connects to.
    LocalSockets,
}

/// Puts the filter on this thread and all that it starts. There must be no other thread yet.
///
/// # Errors
/// When the kernel has no seccomp.
pub fn enforce(reaches: Reaches) -> Result<(), Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let allowed = SeccompFilter::new(
        allow_list(reaches)?,
        errno(libc::EPERM),
        SeccompAction::Allow,
        arch,
    )?;
    // clone3 has its flags in memory, where a filter cannot look; the C library falls back to clone.
    let no_clone3 = SeccompFilter::new(
        BTreeMap::from([(libc::SYS_clone3, vec![])]),
        SeccompAction::Allow,
        errno(libc::ENOSYS),
        arch,
    )?;
    // The kernel takes the strictest answer of all filters, and of two error numbers that of the
    // newer filter: so the allow-list lets clone3 pass, for the other filter to answer.
    let programs: [BpfProgram; 2] = [no_clone3.try_into()?, allowed.try_into()?];
    for program in &programs {
        seccompiler::apply_filter(program)?;
    }
    Ok(())
}

const fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn allow_list(reaches: Reaches) -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    // An empty list of rules allows the call with any arguments.
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = [
        // The connections, the record and standard error, all opened before or accepted.
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_readv,
        libc::SYS_writev,
        // Anchors, in their slots. The record is open for appending, where the kernel ignores an offset.
        libc::SYS_pwrite64,
        libc::SYS_recvfrom,
        libc::SYS_sendto,
        libc::SYS_accept4,
        libc::SYS_getsockopt,
        libc::SYS_shutdown,
        libc::SYS_close,
        // Memory that is never executable; mmap and mprotect have rules below.
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        // Threads; clone has a rule below, clone3 is answered by the other filter.
        libc::SYS_clone3,
        libc::SYS_futex,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_restart_syscall,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // Time and randomness.
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
    ]
    .into_iter()
    .map(|number| (number, vec![]))
    .collect();

    if reaches == Reaches::LocalSockets {
        let local = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            libc::AF_UNIX as u64,
        )?;
        rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![local])?]);
        rules.insert(libc::SYS_connect, vec![]);
        // Time limits of connections.
        rules.insert(libc::SYS_setsockopt, vec![]);
    }
    let not_executable = masked(2, libc::PROT_EXEC as u64, 0)?;
    let anonymous = masked(3, libc::MAP_ANONYMOUS as u64, libc::MAP_ANONYMOUS as u64)?;
    rules.insert(
        libc::SYS_mmap,
        vec![SeccompRule::new(vec![not_executable.clone(), anonymous])?],
    );
    rules.insert(
        libc::SYS_mprotect,
        vec![SeccompRule::new(vec![not_executable])?],
    );
    // Threads of this process, no new process.
    let thread = masked(0, libc::CLONE_THREAD as u64, libc::CLONE_THREAD as u64)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![thread])?]);
    // An abort signals the process itself.
    let own = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        std::process::id().into(),
    )?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![own])?]);
    // Thread names.
    let set_name = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        libc::PR_SET_NAME as u64,
    )?;
    rules.insert(libc::SYS_prctl, vec![SeccompRule::new(vec![set_name])?]);
    Ok(rules)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(mask),
        value,
    )
}
