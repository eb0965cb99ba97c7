//! One connection of a container: its requests are judged one by one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::decision::{Decision, Decisions};
use super::dial::{Dialer, Lookups, Resolver};
use super::host::{Host, HostError, Target};
use super::judge::judge;
use super::known::{Known, Lists};
use super::policy::{AllowList, SettingError};
use super::refusal::Refusal;
use super::upstream::Upstream;
use super::{forward, tunnel};
use crate::config::EgressConfig;
use crate::context::Services;
use crate::features::containers::Identity;
use crate::kernel::{Clock, ContainerId};
use crate::shared::Recent;

/// Connections of one container at a time.
const CONNECTIONS: usize = 512;
/// Of those beyond, so many at a time are told why; more are closed without a word, as each costs a descriptor.
const TOLD: usize = 64;
/// Time between two requests on one connection, and for the head of a request.
const HEAD: Duration = Duration::from_secs(120);
/// Largest head of a request.
const HEAD_BYTES: usize = 32 * 1024;

type Body = BoxBody<Bytes, hyper::Error>;

/// The egress role. Cheap to clone.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    allow: AllowList,
    known: Known,
    dialer: Dialer,
    clock: Clock,
    tasks: TaskTracker,
    decisions: Decisions,
    open: Mutex<HashMap<ContainerId, Open>>,
}

impl Egress {
    /// Reads the allow-list from the settings.
    ///
    /// # Errors
    /// [`SettingError`] names the entry that cannot be used.
    pub fn new(services: &Services) -> Result<Self, SettingError> {
        Self::with(
            &services.config.egress,
            services.clock.clone(),
            services.tasks.clone(),
            services.shared.recent.clone(),
            (Resolver::System, Lists::Store(services.store.clone())),
        )
    }

    pub(super) fn with(
        config: &EgressConfig,
        clock: Clock,
        tasks: TaskTracker,
        recent: Recent,
        (resolver, lists): (Resolver, Lists),
    ) -> Result<Self, SettingError> {
        let dialer = Dialer {
            lookups: Lookups::new(resolver, tasks.clone()),
            also_allow: config.also_allow.clone(),
            timeout: Duration::from_millis(config.connect_timeout_ms),
            upstream: Upstream::read(config)?,
        };
        Ok(Self(Arc::new(Inner {
            allow: AllowList::parse(&config.allow)
                .map_err(|error| SettingError::List("allow", error))?,
            known: Known::new(lists, config.workspace_additions),
            dialer,
            clock,
            tasks,
            decisions: Decisions::new(recent),
            open: Mutex::default(),
        })))
    }

    /// A ceiling or additions were changed by this process: the next connection looks.
    pub(super) fn changed(&self) {
        self.0.known.forget();
    }

    /// The last decisions about a container at all replicas, newest first.
    pub async fn decisions(&self, container: ContainerId) -> Vec<Decision> {
        self.0.decisions.of(container).await
    }

    /// The last decisions about a container in this process, newest first.
    #[cfg(test)]
    pub(super) fn decided_here(&self, container: ContainerId) -> Vec<Decision> {
        self.0.decisions.here(container)
    }

    /// Serves one connection of a container's agent until it ends. Dropping the future ends it at once.
    pub async fn serve<S>(&self, who: Identity, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Some(place) = Place::take(&self.0, who.container) else {
            return;
        };
        if !place.served {
            return self.turn_away(who, stream).await;
        }
        // A CONNECT ends the HTTP part of the connection; what it asked for is left here.
        let granted: Arc<Mutex<Option<Granted>>> = Arc::default();
        let service = service_fn(|request| {
            let (inner, granted) = (Arc::clone(&self.0), Arc::clone(&granted));
            async move { Ok::<_, Infallible>(answer(&inner, who, request, &granted).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        if let Err(error) = connection.await {
            tracing::debug!(target: "egress", container = %who.container, %error, "a proxy connection ended early");
            // What hyper refuses by itself is refused all the same, though nobody can say where it was to go.
            if error.is_parse() {
                let refusal = Refusal::Malformed("the request cannot be read.");
                self.0.record_nowhere(who, &refusal);
            }
        }
        let granted = granted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Granted {
            upgrade,
            upstream,
            asked,
        }) = granted
            && let Ok(client) = upgrade.await
        {
            let approved = || asked.decide(Ok(()));
            if let Err(refusal) =
                tunnel::run(TokioIo::new(client), upstream, &asked.target, approved).await
            {
                asked.decide(Err(&refusal));
            }
        }
    }

    /// Says that there are too many connections, without a place of its own.
    async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(&self, who: Identity, mut stream: S) {
        let refusal = Refusal::TooMany(CONNECTIONS);
        self.0.record_nowhere(who, &refusal);
        let line = format!("{refusal}\n");
        let answer = format!(
            "HTTP/1.1 503 {refusal}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{line}",
            line.len()
        );
        // The request is read first, so that the answer is not lost in a reset connection.
        let _ = timeout(Duration::from_secs(1), async {
            let mut head = [0u8; 4096];
            let _whatever_came = stream.read(&mut head).await?;
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
    }
}

/// A CONNECT that was let through.
struct Granted {
    upgrade: OnUpgrade,
    upstream: TcpStream,
    asked: Asked,
}

/// A destination that a container asked for, until the decision about it is recorded. A client that goes away takes
/// the request's future with it; what that did until then is recorded all the same.
struct Asked {
    inner: Arc<Inner>,
    who: Identity,
    target: Target,
    connected: bool,
    decided: AtomicBool,
}

impl Asked {
    fn decide(&self, outcome: Result<(), &Refusal>) {
        self.decided.store(true, Ordering::Relaxed);
        let host = self.target.host.to_string();
        self.inner.record(self.who, host, self.target.port, outcome);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.decided.load(Ordering::Relaxed) {
            let given_up = Refusal::GivenUp(self.target.clone());
            self.decide(if self.connected {
                Ok(())
            } else {
                Err(&given_up)
            });
        }
    }
}

async fn answer(
    inner: &Arc<Inner>,
    who: Identity,
    request: Request<Incoming>,
    granted: &Mutex<Option<Granted>>,
) -> Response<Body> {
    let outcome = match target_of(request.method(), request.uri()) {
        Ok(target) => {
            let mut asked = Asked {
                inner: Arc::clone(inner),
                who,
                target,
                connected: false,
                decided: AtomicBool::new(false),
            };
            match inner.connect(who, request.method(), &asked.target).await {
                Ok(upstream) => {
                    asked.connected = true;
                    inner.proceed(asked, request, upstream, granted).await
                }
                Err(refusal) => {
                    asked.decide(Err(&refusal));
                    Err(refusal)
                }
            }
        }
        Err(refusal) => {
            let host = request.uri().host().unwrap_or("");
            let host: String = host.chars().take(253).collect();
            let port = request.uri().port_u16().unwrap_or(0);
            inner.record(who, host, port, Err(&refusal));
            Err(refusal)
        }
    };
    outcome.unwrap_or_else(|refusal| refuse(&refusal))
}

impl Inner {
    async fn connect(
        &self,
        who: Identity,
        method: &Method,
        target: &Target,
    ) -> Result<TcpStream, Refusal> {
        let rules = match timeout(self.dialer.timeout, self.known.of(who.workspace)).await {
            Ok(Ok(rules)) => rules,
            Ok(Err(error)) => {
                tracing::warn!(target: "egress", workspace = %who.workspace, error = %error, source = ?std::error::Error::source(&error), "the lists of a workspace cannot be read");
                return Err(Refusal::RulesUnknown(target.clone()));
            }
            Err(_) => return Err(Refusal::RulesUnknown(target.clone())),
        };
        let listed = judge(&self.allow, &rules, target, method == Method::CONNECT)?;
        self.dialer.connect(who.container, target, listed).await
    }

    async fn proceed(
        &self,
        asked: Asked,
        mut request: Request<Incoming>,
        upstream: TcpStream,
        granted: &Mutex<Option<Granted>>,
    ) -> Result<Response<Body>, Refusal> {
        if request.method() == Method::CONNECT {
            let upgrade = hyper::upgrade::on(&mut request);
            *granted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Granted {
                upgrade,
                upstream,
                asked,
            });
            return Ok(Response::new(
                Empty::new().map_err(|never| match never {}).boxed(),
            ));
        }
        // Plain text to the port of TLS would be a way around the check of the server name.
        let target = &asked.target;
        let outcome = if target.port == 443 {
            Err(Refusal::NotTls(target.clone()))
        } else {
            forward::send(request, upstream, target, &self.tasks).await
        };
        asked.decide(outcome.as_ref().map(|_| ()));
        outcome.map(|response| response.map(BodyExt::boxed))
    }

    fn record(&self, who: Identity, host: String, port: u16, outcome: Result<(), &Refusal>) {
        let decision = Decision::new(self.clock.now_ms(), host, port, outcome);
        self.decisions.record(who, decision);
    }

    fn record_nowhere(&self, who: Identity, refusal: &Refusal) {
        self.record(who, String::new(), 0, Err(refusal));
    }
}

/// Where a request wants to go.
fn target_of(method: &Method, uri: &Uri) -> Result<Target, Refusal> {
    let Some(authority) = uri.authority() else {
        return Err(Refusal::Malformed(
            "this is a proxy, and the request names no host. Set http_proxy and https_proxy, and ask for a whole address.",
        ));
    };
    if authority.as_str().contains('@') {
        return Err(Refusal::Malformed(
            "the address must not hold a user name or password.",
        ));
    }
    let port = match (
        method == Method::CONNECT,
        uri.scheme_str(),
        authority.port_u16(),
    ) {
        (true, _, Some(port)) => port,
        (false, Some("http"), Some(port)) => port,
        (false, Some("http"), None) if authority.port().is_none() => 80,
        (true, _, None) => return Err(Refusal::Malformed("CONNECT needs a host and a port.")),
        _ => {
            return Err(Refusal::Malformed(
                "only http:// addresses and CONNECT are served.",
            ));
        }
    };
    let host = Host::parse(authority.host()).map_err(|error| match error {
        HostError::Malformed => Refusal::Malformed("the host is not a host name."),
        HostError::UnusualAddress => Refusal::UnusualAddress,
    })?;
    if port == 0 {
        return Err(Refusal::Malformed("port 0 cannot be connected to."));
    }
    Ok(Target { host, port })
}

/// The answer to a refused request. The line is the reason phrase too: npm and `curl -v` show that one only.
fn refuse(refusal: &Refusal) -> Response<Body> {
    let line = refusal.to_string();
    let body = Full::new(Bytes::from(format!("{line}\n")))
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    if let Ok(value) = HeaderValue::from_str(&format!("OptiDev; error={}", refusal.proxy_status()))
    {
        response.headers_mut().insert("proxy-status", value);
    }
    if let Ok(phrase) = ReasonPhrase::try_from(line) {
        response.extensions_mut().insert(phrase);
    }
    response
}

/// How many connections a container has.
#[derive(Default)]
struct Open {
    served: usize,
    turned_away: usize,
}

/// One of a container's connections.
struct Place<'a> {
    inner: &'a Inner,
    container: ContainerId,
    /// Else it is told that there are too many.
    served: bool,
}

impl<'a> Place<'a> {
    /// `None` when not even an answer is due.
    fn take(inner: &'a Inner, container: ContainerId) -> Option<Self> {
        let mut all = inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry(container).or_default();
        let served = open.served < CONNECTIONS;
        if served {
            open.served += 1;
        } else if open.turned_away < TOLD {
            open.turned_away += 1;
        } else {
            return None;
        }
        Some(Self {
            inner,
            container,
            served,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut all = self
            .inner
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(&self.container) {
            let count = if self.served {
                &mut open.served
            } else {
                &mut open.turned_away
            };
            *count = count.saturating_sub(1);
            if open.served == 0 && open.turned_away == 0 {
                all.remove(&self.container);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Rng;

    #[test]
    fn a_flood_costs_so_many_descriptors_and_no_more() {
        let config = EgressConfig {
            allow: Vec::new(),
            connect_timeout_ms: 1,
            ..EgressConfig::default()
        };
        let parts = (Resolver::System, Lists::Test(Arc::default()));
        let (clock, tasks) = (Clock::fixed(1), TaskTracker::new());
        let egress = Egress::with(&config, clock, tasks, Recent::alone(), parts).unwrap();
        let container = ContainerId::new(&Clock::fixed(1), &Rng);
        let mut places: Vec<_> = std::iter::from_fn(|| Place::take(&egress.0, container))
            .take(10_000)
            .collect();
        assert_eq!(places.len(), CONNECTIONS + TOLD);
        assert_eq!(
            places.iter().filter(|place| place.served).count(),
            CONNECTIONS
        );
        // One that ends makes room for one that is served, whoever is being turned away.
        places.remove(0);
        assert!(Place::take(&egress.0, container).is_some_and(|place| place.served));
        places.clear();
        assert!(egress.0.open.lock().unwrap().is_empty());
    }
}
