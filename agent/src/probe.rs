//! `optidev-agent probe`: the same probes as the gate's, in a pod that runs nothing else, for a proof on demand. One such pod
//! answers, so that silence of it means something; another tries, and reports in the pod's termination message, which whoever
//! may see the pod may read without a right to logs.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::cli::about;
use crate::isolation::Plan;

/// What the command is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Answers on these, over TCP and UDP.
    echo: Vec<SocketAddr>,
    /// Tries these, reports, and ends; without, answers until it is told to stop.
    probes: Option<PathBuf>,
    report: PathBuf,
}

impl Arguments {
    /// # Errors
    /// A line for people which names the argument.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let (mut echo, mut probes, mut report) = (Vec::new(), None, None);
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(format!("{name:?} needs a value"))?;
            match name.to_str() {
                Some("--echo") => {
                    let text = value.to_string_lossy();
                    let address = text.parse();
                    echo.push(address.map_err(|_| {
                        format!("--echo {text:?} is not an address like 0.0.0.0:7443")
                    })?);
                }
                Some("--probes") => probes = Some(value.into()),
                Some("--report") => report = Some(value.into()),
                _ => return Err(format!("unknown argument {name:?}")),
            }
        }
        Ok(Self {
            echo,
            probes,
            report: report.ok_or("--report is missing")?,
        })
    }
}

/// Runs it.
///
/// # Errors
/// What cannot be bound, read or written. That something is not as expected is no error: the report says so.
pub async fn run(arguments: Arguments) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut answering = JoinSet::new();
    for address in arguments.echo {
        let tcp = TcpListener::bind(address).await?;
        let udp = UdpSocket::bind(address).await?;
        answering.spawn(answer_tcp(tcp));
        answering.spawn(answer_udp(udp));
    }
    let Some(path) = arguments.probes else {
        terminate.recv().await;
        return Ok(());
    };
    let plan = Plan::read(&path).map_err(about("--probes", &path))?;
    let found = tokio::select! {
        found = plan.prove() => found,
        _ = terminate.recv() => return Err(io::Error::other("stopped before the probes were over")),
    };
    let report = serde_json::to_vec(&found).map_err(io::Error::other)?;
    std::fs::write(&arguments.report, report).map_err(about("--report", &arguments.report))
}

async fn answer_tcp(listener: TcpListener) {
    loop {
        if let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"reached\n").await;
        }
    }
}

async fn answer_udp(socket: UdpSocket) {
    let mut datagram = [0; 512];
    loop {
        if let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let _ = socket
                .send_to(datagram.get(..length).unwrap_or_default(), from)
                .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_answers_and_the_report_says_what_was_reached() {
        let folder = tempfile::tempdir().unwrap();
        let free = || {
            let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            bound.local_addr().unwrap()
        };
        let (open, shut) = (free(), free());
        let probe = |name: &str, address, kind: &str, expect: &str| serde_json::json!({ "name": name, "address": address, "kind": kind, "expect": expect, "timeout_ms": 500 });
        let probes = serde_json::json!({ "enforcer_wait_ms": 0, "probes": [
            probe("tcp", open.to_string(), "tcp", "reachable"),
            probe("udp", open.to_string(), "udp", "reachable"),
            probe("forbidden", open.to_string(), "tcp", "blocked"),
            probe("refused", shut.to_string(), "tcp", "blocked"),
        ] });
        let (file, report) = (folder.path().join("probes"), folder.path().join("report"));
        std::fs::write(&file, probes.to_string()).unwrap();
        let words = ["--echo", &open.to_string(), "--report"].map(OsString::from);
        let arguments =
            words
                .into_iter()
                .chain([report.clone().into(), "--probes".into(), file.into()]);
        run(Arguments::parse(arguments).unwrap()).await.unwrap();
        let found: crate::wire::Isolation =
            serde_json::from_slice(&std::fs::read(&report).unwrap()).unwrap();
        assert!(!found.proven);
        let holds: Vec<bool> = found
            .probes
            .iter()
            .map(crate::wire::ProbeResult::holds)
            .collect();
        assert_eq!(holds, [true, true, false, false]);
        // A pod's termination message is cut off at 4096 bytes.
        assert!(std::fs::metadata(&report).unwrap().len() < 1500);
    }

    #[test]
    fn arguments_that_are_not_understood_are_named() {
        let parse = |words: &[&str]| Arguments::parse(words.iter().map(OsString::from));
        for (words, named) in [
            (&["--echo", "x", "--report", "r"][..], "\"x\""),
            (&["--probes", "p"], "--report"),
            (&["--report"], "--report"),
            (&["--report", "r", "--more", "m"], "--more"),
        ] {
            let said = parse(words).unwrap_err();
            assert!(said.contains(named), "{said}");
        }
    }
}
