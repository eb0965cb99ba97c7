//! `optidev controller`: the one process with rights in the cluster. It takes no command and has no vault.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::BoxFuture;
use hyper::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::plain::{self, Answer};
use super::{StopSignal, metrics};
use crate::clients::cluster::{Access, Cluster, Election, Outcome};
use crate::config::{Config, KubernetesConfig, RuntimeKind};
use crate::features::containers::pods::{self, Around, Keeper};
use crate::kernel::{Clock, Rng};
use crate::metrics::{Role, leader};
use crate::store::Store;
use crate::store::ledger::{Seal, Sealing};
use crate::vault::VaultError;

/// Between two looks for the authority that the first server makes.
const AUTHORITY: Duration = Duration::from_secs(1);
/// After an election that failed.
const AGAIN: Duration = Duration::from_secs(5);
/// The kubelet's port, on every node.
const KUBELET: u16 = 10_250;
/// For giving the Lease back.
const GIVE_BACK: Duration = Duration::from_secs(5);

/// Where a controller runs, as whoever started it says.
#[derive(Debug)]
pub struct Place {
    /// Its name among others, for people who read the Lease.
    pub name: String,
    /// The address of its node.
    pub node: Option<IpAddr>,
}

/// Runs the controller until it is told to stop.
///
/// # Errors
/// When a setting cannot be used, or the database refuses this role.
pub async fn run_controller(config: &Config, place: &Place) -> anyhow::Result<()> {
    if config.runtime.kind != RuntimeKind::Kubernetes {
        bail!("[runtime] kind is not \"kubernetes\", so there is nothing for a controller to do");
    }
    let mut stop = StopSignal::watch()?;
    let stopping = CancellationToken::new();
    let answers = Arc::new(AtomicBool::new(false));
    let health = serve_health(config.kubernetes.health_listen, Arc::clone(&answers)).await?;
    // All of it is counted all the time.
    let nothing = Arc::new(|| -> BoxFuture<'static, ()> { Box::pin(std::future::ready(())) });
    let counted = metrics::serve(&config.metrics, Role::Controller, nothing).await;
    let counted = async move {
        match counted {
            Some(counted) => counted.await,
            None => std::future::pending().await,
        }
    };
    let nowhere = Path::new("");
    if config.database.url.is_empty() {
        bail!("[database] url is empty: the controller meets the servers in PostgreSQL alone");
    }
    let work = async {
        let store = Store::open(&config.database, nowhere, Arc::new(NoSeal))
            .await
            .context("opening the database")?;
        let authority = authority(&store).await?;
        let around = around(&config.kubernetes, place);
        let settings = pods::settings(config, authority, around);
        let access = match &config.kubernetes.kubeconfig {
            Some(path) => Access::Kubeconfig {
                path: path.clone(),
                context: None,
            },
            None => Access::InCluster,
        };
        let cluster = Cluster::connect(settings, access).await?;
        answers.store(true, Ordering::Relaxed);
        lead(config, place, &store, &cluster, &stopping).await
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => done,
        () = health => bail!("the port for health ended by itself"),
        () = counted => bail!("the port for metrics ended by itself"),
        () = stop.heard() => {
            tracing::info!("stopping");
            stopping.cancel();
            // The Lease is given back, so that another need not wait for its end.
            let _ = tokio::time::timeout(GIVE_BACK, work).await;
            Ok(())
        }
    }
}

/// Waits for the Lease, works, and waits again when it was lost.
async fn lead(
    config: &Config,
    place: &Place,
    store: &Store,
    cluster: &Cluster,
    stopping: &CancellationToken,
) -> anyhow::Result<()> {
    let random: [u8; 6] = Rng.bytes();
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let identity = format!("{}-{random}", place.name);
    let election = Election::new(&config.kubernetes.lease, &identity, || {
        Clock::system().now_ms()
    });
    loop {
        let leads = AtomicBool::new(false);
        let elected = cluster.elect(&election, |leadership| {
            leads.store(true, Ordering::Relaxed);
            leader(true);
            let keeper = Keeper::new(
                store.clone(),
                cluster.led_by(leadership),
                config.kubernetes.clone(),
                Clock::system(),
                Rng,
            );
            pods::keep(keeper, stopping.clone())
        });
        // One that leads ends its work by itself, and then gives the Lease back.
        let told_while_waiting = async {
            stopping.cancelled().await;
            if leads.load(Ordering::Relaxed) {
                std::future::pending().await
            }
        };
        let outcome = tokio::select! {
            outcome = elected => outcome,
            () = told_while_waiting => return Ok(()),
        };
        leader(false);
        match outcome {
            Ok(Outcome::Done(())) => return Ok(()),
            Ok(Outcome::Lost) => {}
            Err(error) => {
                tracing::error!(%error, "cannot lead; trying again");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn authority(store: &Store) -> anyhow::Result<String> {
    let mut said = false;
    loop {
        if let Some(certificate) = pods::certificate(store).await? {
            return Ok(certificate);
        }
        if !said {
            tracing::info!("waiting for the first server, which makes the authority of agents");
            said = true;
        }
        tokio::time::sleep(AUTHORITY).await;
    }
}

/// What no container may reach, as far as this process sees it: its own name server and its own node's kubelet.
fn around(config: &KubernetesConfig, place: &Place) -> Around {
    let resolver = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let name_server = resolver
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"))
        .find_map(|address| address.trim().parse().ok())
        .filter(|_| config.kubeconfig.is_none())
        .map(|address| SocketAddr::new(address, 53));
    let kubelet = place.node.map(|address| SocketAddr::new(address, KUBELET));
    Around {
        name_server,
        kubelet,
    }
}

/// `/healthz` while the process lives, `/readyz` once it has the database and settings that can be used: it need not lead.
async fn serve_health(
    address: SocketAddr,
    ready: Arc<AtomicBool>,
) -> anyhow::Result<impl Future<Output = ()>> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "listening on {address}: is it in use? Choose another with [kubernetes] health_listen"
        )
    })?;
    Ok(plain::serve(listener, move |path| {
        let ready = ready.load(Ordering::Relaxed);
        std::future::ready(match path.as_str() {
            "/healthz" => Answer::line(StatusCode::OK, "ok"),
            "/readyz" if ready => Answer::line(StatusCode::OK, "ok"),
            "/readyz" => Answer::line(StatusCode::SERVICE_UNAVAILABLE, "starting"),
            _ => Answer::line(StatusCode::NOT_FOUND, "not found"),
        })
    }))
}

/// The controller writes no audit entries and has no vault to seal them.
struct NoSeal;

impl Seal for NoSeal {
    fn seal<'a>(&'a self, _: &'a [u8]) -> Sealing<'a> {
        Box::pin(std::future::ready(Err(VaultError::Refused {
            reason: "the controller has no vault".to_owned(),
        })))
    }
}
