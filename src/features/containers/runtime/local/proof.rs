//! The fail-closed gate: a container counts as running only after the kernel itself was asked what it can reach.
//!
//! Everything is read from the host's `/proc`, which the container cannot influence. bubblewrap's first process has
//! given up its rights before the agent exists, and all that runs inside inherits from it.

use std::collections::BTreeSet;
use std::fs;

use super::procfs::status_line;
use super::sandbox::{SECRETS, UID};

const NAMESPACES: [&str; 7] = ["user", "pid", "net", "mnt", "ipc", "uts", "cgroup"];

/// Shows that the container whose first process is `pid` is isolated; `uid` is the host user that it must have.
pub fn prove(pid: i32, uid: Option<u32>, mount_points: &[String]) -> Result<(), String> {
    let read = |name: &str| {
        fs::read_to_string(format!("/proc/{pid}/{name}"))
            .map_err(|error| format!("/proc/{pid}/{name}: {error}"))
    };
    rights(&read("status")?, uid)?;
    user(&read("uid_map")?)?;
    network(&read("net/dev")?)?;
    mounts(&read("mountinfo")?, mount_points)?;
    for name in NAMESPACES {
        let inside = fs::read_link(format!("/proc/{pid}/ns/{name}"));
        let outside = fs::read_link(format!("/proc/self/ns/{name}"));
        match (inside, outside) {
            (Ok(inside), Ok(outside)) if inside != outside => {}
            (Ok(_), Ok(_)) => return Err(format!("the {name} namespace is the server's own")),
            (Err(error), _) | (_, Err(error)) => {
                return Err(format!("the {name} namespace: {error}"));
            }
        }
    }
    Ok(())
}

fn rights(status: &str, uid: Option<u32>) -> Result<(), String> {
    for name in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
        match status_line(status, name) {
            Some(set) if set.bytes().all(|digit| digit == b'0') => {}
            other => {
                return Err(format!(
                    "{name} is {}, not empty",
                    other.unwrap_or("unknown")
                ));
            }
        }
    }
    if status_line(status, "Seccomp") != Some("2") {
        return Err("its system calls are not filtered".to_owned());
    }
    if status_line(status, "NoNewPrivs") != Some("1") {
        return Err("it could gain rights by executing a file (NoNewPrivs is off)".to_owned());
    }
    let uids: Vec<&str> = status_line(status, "Uid")
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let expected = uid
        .unwrap_or_else(|| rustix::process::geteuid().as_raw())
        .to_string();
    if uids.len() != 4 || uids.iter().any(|one| *one != expected) {
        return Err(format!("it runs as host user {uids:?}, not {expected}"));
    }
    let groups = status_line(status, "Groups").unwrap_or("unknown");
    if uid.is_some() && !groups.is_empty() {
        return Err(format!("it kept the groups {groups}"));
    }
    match status_line(status, "NSpid").map(|pids| pids.split_whitespace().count()) {
        Some(levels) if levels >= 2 => Ok(()),
        _ => Err("it has no process ids of its own".to_owned()),
    }
}

fn user(uid_map: &str) -> Result<(), String> {
    let fields: Vec<&str> = uid_map.split_whitespace().collect();
    match fields.as_slice() {
        [inside, _, "1"] if *inside == UID.to_string() => Ok(()),
        _ => Err(format!(
            "more users than one are mapped: {}",
            uid_map.trim()
        )),
    }
}

fn network(devices: &str) -> Result<(), String> {
    // Two lines of headings, then a line for each device.
    let names: Vec<&str> = devices
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim())
        .collect();
    if names == ["lo"] {
        Ok(())
    } else {
        Err(format!("it has the network devices {names:?}, not just lo"))
    }
}

fn mounts(mountinfo: &str, expected: &[String]) -> Result<(), String> {
    let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    for line in mountinfo.lines() {
        let mut fields = line.split(' ').skip(4);
        let (point, options) = (
            fields.next().unwrap_or_default(),
            fields.next().unwrap_or_default(),
        );
        let point = unescape(point);
        // Toolchains bring what is mounted below them.
        let below_toolchain = || {
            expected
                .iter()
                .any(|known| known.len() > 1 && below(&point, known))
        };
        if !expected.contains(point.as_str()) && !below_toolchain() {
            return Err(format!("{point} is mounted and should not be"));
        }
        let kind = fields.skip_while(|field| *field != "-").nth(1);
        if point == SECRETS && kind != Some("tmpfs") {
            return Err(format!(
                "{point} is not memory but {}",
                kind.unwrap_or("unknown")
            ));
        }
        if !options.split(',').any(|option| option == "nosuid") {
            return Err(format!("{point} is mounted without nosuid"));
        }
    }
    Ok(())
}

fn below(point: &str, folder: &str) -> bool {
    point
        .strip_prefix(folder)
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Spaces and the like are written as `\040` (proc_pid_mountinfo(5)).
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'\\').then(|| after.get(..3)).flatten();
        let code =
            code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Uid:\t200001\t200001\t200001\t200001\nGroups:\t \nNSpid:\t4636\t1\nCapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn every_right_that_is_left_is_found() {
        rights(STATUS, Some(200_001)).unwrap();
        for (from, to) in [
            ("CapEff:\t0000000000000000", "CapEff:\t0000000000200000"),
            ("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("Uid:\t200001\t200001", "Uid:\t200001\t0"),
            ("Groups:\t ", "Groups:\t4 27"),
            ("NSpid:\t4636\t1", "NSpid:\t4636"),
        ] {
            assert!(
                rights(&STATUS.replace(from, to), Some(200_001)).is_err(),
                "{to}"
            );
        }
        assert!(rights("", Some(200_001)).is_err());
    }

    #[test]
    fn every_way_out_is_found() {
        user("      1000     200001          1\n").unwrap();
        assert!(user("0 0 4294967295\n").is_err());
        let lo = "Inter-|\n face |\n    lo: 0 0\n";
        network(lo).unwrap();
        assert!(network(&format!("{lo}  eth0: 0 0\n")).is_err());
        assert!(network("").is_err());
        let expected = ["/".to_owned(), "/usr".to_owned()];
        let good = "1 0 0:5 / / ro,nosuid,nodev - tmpfs t rw\n2 1 254:0 /usr /usr ro,nosuid - ext4 /dev/vda rw\n\
                    3 2 254:0 /x /usr/local\\040x ro,nosuid - ext4 /dev/vda rw\n";
        mounts(good, &expected).unwrap();
        assert!(
            mounts(
                &format!("{good}4 1 254:0 /root /root ro,nosuid - ext4 d rw\n"),
                &expected
            )
            .is_err()
        );
        assert!(mounts(&good.replace("ro,nosuid -", "ro -"), &expected).is_err());
        let secrets = "1 0 0:5 / /run/secrets rw,nosuid shared:1 - tmpfs t rw\n";
        let expected = [SECRETS.to_owned()];
        mounts(secrets, &expected).unwrap();
        assert!(mounts(&secrets.replace("tmpfs", "ext4"), &expected).is_err());
    }
}
