//! The command line: two ways to be served, and the folders that both need.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::pod;

pub const USAGE: &str = "\
usage: optidev-agent --socket PATH [--egress-socket PATH --proxy 127.0.0.1:3128] FOLDERS
       optidev-agent --listen IP:PORT --server IP:PORT --authority FILE --token-file FILE
                     --container ID --probes FILE --proxy 127.0.0.1:3128 FOLDERS
       optidev-agent probe [--echo IP:PORT]... [--probes FILE] --report FILE

FOLDERS, the only ones that are written to:
  --home DIR            the home folder; no request reaches beyond it
  --state DIR           terminal history and scratch records; made when missing
  --secrets DIR         where secrets that are files are written: memory, never a disk
  --shell PATH          shell of terminals (default /bin/bash)
  --proxy ADDRESS       loopback address of the HTTP proxy that is relayed to the server

on one machine:
  --socket PATH         Unix socket to serve agent protocol v1 on (made with mode 0600)
  --egress-socket PATH  where the server's egress listens

in a pod:
  --listen IP:PORT      where the protocol is served over TLS 1.3, to the broker alone
  --server IP:PORT      the server's port for agents: enrolment, renewal, egress
  --authority FILE      the installation's root certificates, PEM
  --token-file FILE     the one-use token of enrolment; read once, then removed where possible
  --container ID        the container's id, ctr_...
  --probes FILE         JSON: what must be unreachable, and what must not, before anything starts
  --scratch DIR         emptied at the start; then nothing is written outside of the folders, but to devices

for a proof on demand:
  --echo IP:PORT        answers there over TCP and UDP
  --probes FILE         tried once, and then it ends; without, it answers until it is told to stop
  --report FILE         where what was found is written, as JSON
";

/// The arguments of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub served: Served,
    pub home: PathBuf,
    pub state: PathBuf,
    pub secrets: PathBuf,
    /// Where the proxy listens. A name and port in socket served, where it may be absent.
    pub proxy: Option<String>,
    pub shell: PathBuf,
}

/// How the protocol is served, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub enum Served {
    Socket {
        path: PathBuf,
        egress: Option<PathBuf>,
    },
    Pod(pod::Arguments),
}

/// What is given more than once, or left.
#[derive(Default)]
struct Given(Vec<(String, OsString)>);

impl Given {
    fn take(&mut self, name: &str) -> Option<OsString> {
        let place = self.0.iter().position(|(given, _)| given == name)?;
        Some(self.0.swap_remove(place).1)
    }

    fn need(&mut self, name: &str) -> Result<OsString, String> {
        self.take(name).ok_or_else(|| format!("{name} is missing"))
    }

    fn text(&mut self, name: &str) -> Result<String, String> {
        let value = self.need(name)?.into_string();
        value.map_err(|value| format!("{name} {value:?} is not UTF-8"))
    }

    fn address(&mut self, name: &str) -> Result<SocketAddr, String> {
        let value = self.text(name)?;
        // A name would need DNS, which a pod does not have.
        let parsed = value.parse();
        parsed.map_err(|_| format!("{name} {value:?} is not an address like 10.0.0.1:7443"))
    }
}

impl Arguments {
    /// # Errors
    /// A line for people which names the argument.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut given = Given::default();
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let name = name
                .into_string()
                .map_err(|name| format!("unknown argument {name:?}"))?;
            if !KNOWN.contains(&name.as_str()) {
                return Err(format!("unknown argument {name:?}"));
            }
            let value = arguments.next().ok_or(format!("{name:?} needs a value"))?;
            if given.take(&name).is_some() {
                return Err(format!("{name:?} is given twice"));
            }
            given.0.push((name, value));
        }
        let served = match given.take("--socket") {
            Some(path) => Served::Socket {
                path: path.into(),
                egress: given.take("--egress-socket").map(PathBuf::from),
            },
            None if given.0.iter().any(|(name, _)| name == "--listen") => {
                Served::Pod(pod_mode(&mut given)?)
            }
            None => return Err("--socket or --listen is missing".to_owned()),
        };
        let all = Self {
            home: given.need("--home")?.into(),
            state: given.need("--state")?.into(),
            secrets: given.need("--secrets")?.into(),
            proxy: given
                .take("--proxy")
                .map(|address| address.to_string_lossy().into_owned()),
            shell: given
                .take("--shell")
                .map_or_else(|| "/bin/bash".into(), PathBuf::from),
            served,
        };
        if let Some((name, _)) = given.0.first() {
            return Err(format!("{name} does not go with the others"));
        }
        all.check()
    }

    fn check(self) -> Result<Self, String> {
        match (&self.served, &self.proxy) {
            (Served::Socket { egress, .. }, proxy) if egress.is_some() != proxy.is_some() => {
                Err("--egress-socket and --proxy need each other".to_owned())
            }
            (Served::Socket { .. }, _) => Ok(self),
            (Served::Pod(_), None) => Err("--proxy is missing".to_owned()),
            (Served::Pod(_), Some(proxy)) => match proxy.parse::<SocketAddr>() {
                // The proxy asks nobody who they are: on another address every neighbour had this container's way out.
                Ok(address) if address.ip().is_loopback() => Ok(self),
                _ => Err(format!(
                    "--proxy {proxy} is not a loopback address and port"
                )),
            },
        }
    }
}

const KNOWN: [&str; 14] = [
    "--socket",
    "--egress-socket",
    "--listen",
    "--server",
    "--authority",
    "--token-file",
    "--container",
    "--probes",
    "--scratch",
    "--home",
    "--state",
    "--secrets",
    "--proxy",
    "--shell",
];

fn pod_mode(given: &mut Given) -> Result<pod::Arguments, String> {
    let container = given.text("--container")?;
    if !is_container(&container) {
        return Err(format!(
            "--container {container:?} is not ctr_ and 26 characters"
        ));
    }
    Ok(pod::Arguments {
        listen: given.address("--listen")?,
        server: given.address("--server")?,
        authority: given.need("--authority")?.into(),
        token_file: given.need("--token-file")?.into(),
        probes: given.need("--probes")?.into(),
        scratch: given.take("--scratch").map(PathBuf::from),
        container,
    })
}

/// It becomes a DNS name, so nothing else may be in it.
fn is_container(id: &str) -> bool {
    id.strip_prefix("ctr_").is_some_and(|rest| {
        rest.len() == 26
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "--listen 0.0.0.0:7443 --server 10.0.0.9:7443 --authority a --token-file k --container ctr_01j8z3k4m5n6p7q8r9s0t1v2w3 --probes p --home h --state t --secrets r --proxy 127.0.0.1:3128";

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn arguments_of_a_socket() {
        let all = parse(
            "--socket s --home h --state t --secrets r --egress-socket e --proxy 127.0.0.1:3128",
        )
        .unwrap();
        assert_eq!(all.proxy.as_deref(), Some("127.0.0.1:3128"));
        assert_eq!(
            all.served,
            Served::Socket {
                path: "s".into(),
                egress: Some("e".into())
            }
        );
        for (line, named) in [
            ("--socket s --home h", "--state"),
            ("--socket s --hom h", "--hom"),
            ("--socket s --socket s", "twice"),
            ("--socket", "value"),
            ("--home h", "--listen"),
            ("--socket s --home h --state t", "--secrets"),
            (
                "--socket s --home h --state t --secrets r --proxy p",
                "--egress-socket",
            ),
            (
                "--socket s --home h --state t --secrets r --server 1.1.1.1:1",
                "--server",
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }

    #[test]
    fn arguments_of_a_pod() {
        let Served::Pod(pod) = parse(POD).unwrap().served else {
            panic!("not a pod");
        };
        assert_eq!(pod.container, "ctr_01j8z3k4m5n6p7q8r9s0t1v2w3");
        assert_eq!(pod.server, "10.0.0.9:7443".parse().unwrap());
        for (from, to, named) in [
            ("--proxy 127.0.0.1:3128", "--proxy 0.0.0.0:3128", "loopback"),
            (" --proxy 127.0.0.1:3128", "", "--proxy"),
            ("10.0.0.9:7443", "optidev:7443", "--server"),
            ("ctr_01", "ctr_.x", "--container"),
            ("ctr_01", "ctr_0", "--container"),
            (" --probes p", "", "--probes"),
            (" --token-file k", "", "--token-file"),
            (" --authority a", "", "--authority"),
            ("--listen", "--socket s --listen", "does not go with"),
            (
                " --home h",
                " --home h --egress-socket e",
                "--egress-socket",
            ),
        ] {
            let line = POD.replace(from, to);
            let error = parse(&line).unwrap_err();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
