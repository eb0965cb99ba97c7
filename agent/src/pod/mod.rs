//! The agent in a pod: enrolled by the server, served over TLS to the broker alone, shut until isolation is proven.
//!
//! Always holds: TLS 1.3 in both directions and no plaintext beside it; the private key is in memory only and changes with
//! each certificate; every peer is checked by name, because all certificates have one authority.

mod authority;
mod enrol;
mod identity;
mod link;
mod listener;
mod renew;
mod token;
mod validity;
pub mod writes;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::net::TcpListener;

use crate::app::App;
use crate::identity::{EGRESS_ALPN, ENROL_ALPN};
use crate::proxy::{self, Way};
use crate::server;
use authority::Authority;
use identity::Holder;
use link::Link;
use listener::TlsListener;

pub use link::Link as Egress;

/// What an agent in a pod is told.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    pub listen: SocketAddr,
    pub server: SocketAddr,
    pub authority: PathBuf,
    pub token_file: PathBuf,
    pub container: String,
    pub probes: PathBuf,
    /// A folder of the volume that is empty at each start: the pod's `/tmp`. Given, writes to anywhere else are refused.
    pub scratch: Option<PathBuf>,
}

/// Enrols, proves the isolation, and serves until the agent is told to stop.
///
/// # Errors
/// What cannot be read or bound, and the server's refusal to enrol this container.
pub async fn serve(app: &App, arguments: Arguments, proxy: TcpListener) -> io::Result<()> {
    // What runs in the container has this process's user id. Without this it could read key and values out of its memory.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let path = &arguments.authority;
    let authority =
        Arc::new(Authority::read(path).map_err(crate::cli::about("--authority", path))?);
    let path = &arguments.token_file;
    let token = token::read(path).map_err(crate::cli::about("--token-file", path))?;
    let enrolment = Link::new(arguments.server, authority.client(ENROL_ALPN, None)?)?;
    let first = enrol::enrol(&enrolment, &authority, &arguments.container, token).await?;
    token::remove(path);

    let holder = Arc::new(Holder::new(first));
    let renewal = Link::new(
        arguments.server,
        authority.client(ENROL_ALPN, Some(Arc::clone(&holder)))?,
    )?;
    let egress = Link::new(
        arguments.server,
        authority.client(EGRESS_ALPN, Some(Arc::clone(&holder)))?,
    )?;
    let config = authority.server(Arc::clone(&holder))?;
    let address = arguments.listen.to_string();
    let bound = TcpListener::bind(arguments.listen).await;
    let bound = bound.map_err(crate::cli::about("--listen", address.as_ref()))?;

    let stop = app.stop.clone();
    let renewing = renew::keep(renewal, authority, arguments.container, holder);
    app.tasks
        .spawn(stop.clone().run_until_cancelled_owned(renewing));
    app.tasks.spawn(proxy::serve(
        app.clone(),
        proxy,
        Way::Server(Arc::new(egress)),
    ));
    let gate = app.clone();
    app.tasks
        .spawn(stop.run_until_cancelled_owned(async move { gate.gate.check().await }));
    server::serve(TlsListener::start(bound, config, app)?, app.clone()).await
}
