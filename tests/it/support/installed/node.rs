//! The node, whose process and namespaces are this machine's to enter.

use std::process::Command;

use super::{Container, Installed};

impl Installed {
    /// The process in whose namespaces the node is.
    fn node(&self) -> String {
        let status = self.run(&self.kit, &["status"]);
        let (_, pid) = status.split_once("pid ").unwrap();
        pid.split(',').next().unwrap().to_owned()
    }

    /// Has the volume of a stopped container be full at `size`, as a block volume is at its own (the kit's are folders). What it held is
    /// hidden until this is dropped.
    pub fn hold_volume(&self, container: &Container, size: &str) -> HeldVolume {
        let name = ["get", "pvc", "home", "-o", "jsonpath={.spec.volumeName}"];
        let name = container.kubectl(self, &name);
        let folder = ["get", "pv", &name, "-o", "jsonpath={.spec.hostPath.path}"];
        let held = HeldVolume {
            node: self.node(),
            folder: self.run("kubectl", &folder),
        };
        let options = format!("size={size},mode=777");
        let mount = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            &options,
            "volume",
            &held.folder,
        ];
        let enter = ["-t", &held.node, "-m", "-p", "--"];
        self.run("nsenter", &[&enter[..], &mount].concat());
        held
    }

    /// Lets a running container have so many processes and threads. That is the kubelet's `podPidsLimit`, which the kit's kubelet does
    /// not set.
    pub fn hold_processes(&self, container: &Container, most: u32) {
        let agent = self.pod_of(&container.id).unwrap().process("optidev-agent");
        let groups = std::fs::read_to_string(format!("/proc/{agent}/cgroup")).unwrap();
        let file = groups.lines().find_map(|line| {
            let (kind, path) = line.split_once(':')?.1.split_once(':')?;
            match kind {
                "pids" => Some(format!("/sys/fs/cgroup/pids{path}/pids.max")),
                "" => Some(format!("/sys/fs/cgroup{path}/pids.max")),
                _ => None,
            }
        });
        let file = file.unwrap_or_else(|| panic!("no group counts processes: {groups}"));
        std::fs::write(&file, most.to_string()).unwrap_or_else(|error| panic!("{file}: {error}"));
    }

    /// Holds what goes between this machine and the cluster's node to `rate` (tc-tbf(8)), until it is dropped.
    pub fn hold_link(&self, rate: &str) -> HeldLink {
        let pid = self.node();
        let route = self.run("ip", &["-o", "route", "get", &self.node_ip]);
        let (_, device) = route.split_once(" dev ").unwrap();
        let here = device.split_whitespace().next().unwrap().to_owned();
        let held = HeldLink { pid, here };
        for end in held.ends("add") {
            let how = ["tbf", "rate", rate, "burst", "256k", "latency", "50ms"];
            let all: Vec<&str> = end.iter().map(String::as_str).chain(how).collect();
            self.run(all[0], &all[1..]);
        }
        held
    }
}

/// Lets go when it is dropped.
pub struct HeldLink {
    /// The node's process, in whose network namespace the other end is.
    pid: String,
    here: String,
}

impl HeldLink {
    fn ends(&self, what: &str) -> [Vec<String>; 2] {
        let qdisc = |before: &[&str], device: &str| {
            let command = ["tc", "qdisc", what, "dev", device, "root"];
            let all = before.iter().chain(&command);
            all.map(|&part| part.to_owned()).collect()
        };
        [
            qdisc(&[], &self.here),
            qdisc(&["nsenter", "-t", &self.pid, "-n", "--"], "eth0"),
        ]
    }
}

impl Drop for HeldLink {
    fn drop(&mut self) {
        for end in self.ends("del") {
            let _ = Command::new(&end[0]).args(&end[1..]).status();
        }
    }
}

/// Is taken away when it is dropped; its container has to have stopped.
pub struct HeldVolume {
    node: String,
    folder: String,
}

impl Drop for HeldVolume {
    fn drop(&mut self) {
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &self.node,
            "-m",
            "-p",
            "--",
            "umount",
            "-l",
            &self.folder,
        ]);
        let _ = command.status();
    }
}
