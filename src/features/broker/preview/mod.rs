//! Previews: what listens on a port of a container, in the owner's browser, at a site of its own.
//!
//! What always holds:
//! - A request to a preview host never reaches OptiDev's own routes, and a console cookie opens nothing here.
//! - Only the owner gets through: a ticket, good once, sets a cookie for this one host, and every request checks the
//!   cookie, the membership and the session behind it (an answer is believed for at most a second). What goes on after
//!   that, whatever it is, breaks off when they do.
//! - The application is user code: OptiDev's cookies and tokens do not reach it, and it cannot set them.

mod forward;
mod headers;
mod host;
mod page;
mod pass;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use forward::{ForwardError, Forwarder};
use host::Named;
use pass::{Kind, Pass, TICKET_MS};

use super::relay::is_events;

use crate::authz::permission::ContainersUse;
use crate::clients::agent::Agents;
use crate::context::{Ctx, Services};
use crate::features::containers::{Identity, Standing};
use crate::kernel::{ContainerId, Problem};
use crate::web::{Peer, cut_when};

/// How long a positive answer is believed.
const BELIEVED: Duration = Duration::from_millis(900);
/// Where tickets are shown.
const TICKET_PATH: &str = "/__optidev/ticket";

/// All previews. Cheap to clone.
#[derive(Clone)]
pub struct Preview(Arc<Inner>);

struct Inner {
    services: Services,
    forwarder: Forwarder,
    known: Mutex<HashMap<[u8; 32], (Instant, Pass)>>,
}

impl Preview {
    /// Previews of the containers whose agents are these.
    pub fn new(services: Services, agents: Agents) -> Self {
        Self(Arc::new(Inner {
            services,
            forwarder: Forwarder::new(agents),
            known: Mutex::default(),
        }))
    }

    /// An address that lets the caller's browser in, once. `who` is the caller's own container.
    ///
    /// # Errors
    /// When the vault does not answer.
    pub async fn open(&self, ctx: &Ctx, who: Identity, port: u16) -> Result<String, Problem> {
        let pass = Pass {
            who,
            port,
            credential: ctx.actor.credential().clone(),
        };
        let services = &self.0.services;
        let ticket = pass
            .issue(Kind::Ticket, &services.vault, &services.rng, ctx.now_ms())
            .await?;
        Ok(format!(
            "{}{TICKET_PATH}?t={ticket}&to=%2F",
            self.origin(who.container, port)
        ))
    }

    /// Scheme and host of a preview, as the browser says them.
    fn origin(&self, container: ContainerId, port: u16) -> String {
        let services = &self.0.services;
        let public = url::Url::parse(&services.public_url).ok();
        let own_port = public
            .as_ref()
            .and_then(url::Url::port)
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        let apps = &services.config.server.apps_domain;
        format!(
            "{}://{}.{apps}{own_port}",
            self.scheme(),
            host::label(container, port)
        )
    }

    fn scheme(&self) -> &'static str {
        if self.0.services.public_url.starts_with("https://") {
            "https"
        } else {
            "http"
        }
    }

    async fn answer(&self, container: ContainerId, port: u16, request: Request) -> Response<Body> {
        let (head, body) = request.into_parts();
        if head.uri.path().starts_with("/__optidev/") {
            return self.let_in(container, port, &head).await;
        }
        let pass = match self.pass_of(container, port, &head.headers).await {
            Ok(Some(pass)) => pass,
            Ok(None) => {
                let text = "It is for the owner of the container only. If that is you, open the port in OptiDev.";
                return self.message(
                    StatusCode::UNAUTHORIZED,
                    ("This preview is private", text),
                    0,
                    &head.headers,
                );
            }
            Err(problem) => {
                let text = ("Not available right now", &*problem.detail);
                return self.message(StatusCode::SERVICE_UNAVAILABLE, text, 5, &head.headers);
            }
        };
        let origin = self.origin(container, port);
        let shown = head.headers.get(header::ORIGIN);
        let upgrade = head.headers.contains_key(header::UPGRADE);
        if upgrade && shown.is_none_or(|shown| shown.as_bytes() != origin.as_bytes()) {
            let text = "A WebSocket of this preview can be opened by its own pages only.";
            return self.message(
                StatusCode::FORBIDDEN,
                ("Not allowed", text),
                0,
                &head.headers,
            );
        }
        self.forward(pass, Request::from_parts(head, body)).await
    }

    /// Uses up a ticket and sets the cookie.
    async fn let_in(&self, container: ContainerId, port: u16, head: &Parts) -> Response<Body> {
        let text = "Open it from OptiDev again: each link works once, within 30 seconds.";
        let refused = || {
            self.message(
                StatusCode::UNAUTHORIZED,
                ("This link does not open the preview", text),
                0,
                &head.headers,
            )
        };
        if head.uri.path() != TICKET_PATH || head.method != Method::GET {
            return refused();
        }
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let services = &self.0.services;
        let now = services.clock.now_ms();
        let ticket = query.get("t").map(String::as_str).unwrap_or_default();
        let Ok(Some((pass, number, expires_ms))) =
            Pass::check(ticket, Kind::Ticket, &services.vault, now).await
        else {
            return refused();
        };
        if pass.who.container != container || pass.port != port {
            return refused();
        }
        let name = format!("preview ticket {}", URL_SAFE_NO_PAD.encode(number));
        let made_ms = expires_ms - TICKET_MS;
        match services.shared.once.first(&name, made_ms, TICKET_MS).await {
            Ok(true) => {}
            Ok(false) => return refused(),
            Err(error) => {
                let problem = Problem::from(error);
                let text = ("Not available right now", &*problem.detail);
                return self.message(StatusCode::SERVICE_UNAVAILABLE, text, 5, &head.headers);
            }
        }
        if self.standing(&pass).holds().await != Some(true) {
            return refused();
        }
        let Ok(value) = pass
            .issue(Kind::Cookie, &services.vault, &services.rng, now)
            .await
        else {
            return refused();
        };
        let cookie = format!(
            "{}={value}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
            headers::COOKIE
        );
        let to = same_host_path(query.get("to").map(String::as_str).unwrap_or("/"));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SEE_OTHER;
        for (name, value) in [
            (header::LOCATION, to.as_str()),
            (header::SET_COOKIE, cookie.as_str()),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
        ] {
            match HeaderValue::from_str(value) {
                Ok(value) => response.headers_mut().insert(name, value),
                Err(_) => return refused(),
            };
        }
        response
    }

    /// What has to hold for a pass to be good.
    fn standing(&self, pass: &Pass) -> Standing<ContainersUse> {
        Standing::inside(&self.0.services, &pass.credential, pass.who)
    }

    /// Who asks, when their cookie is good for this very host and everything behind it still holds.
    async fn pass_of(
        &self,
        container: ContainerId,
        port: u16,
        headers: &HeaderMap,
    ) -> Result<Option<Pass>, Problem> {
        let Some(cookie) = headers::cookie(headers) else {
            return Ok(None);
        };
        let key: [u8; 32] = Sha256::digest(cookie.as_bytes()).into();
        let known = {
            let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
            known
                .get(&key)
                .filter(|(since, _)| since.elapsed() < BELIEVED)
                .map(|(_, pass)| pass.clone())
        };
        let pass = match known {
            Some(pass) => pass,
            None => {
                let services = &self.0.services;
                let checked = Pass::check(
                    &cookie,
                    Kind::Cookie,
                    &services.vault,
                    services.clock.now_ms(),
                )
                .await?;
                let Some((pass, ..)) = checked else {
                    return Ok(None);
                };
                match self.standing(&pass).holds().await {
                    Some(true) => {}
                    Some(false) => return Ok(None),
                    None => {
                        return Err(Problem::unavailable(
                            "The database does not answer at the moment.",
                            "preview",
                        ));
                    }
                }
                let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.retain(|_, (since, _)| since.elapsed() < BELIEVED);
                known.insert(key, (Instant::now(), pass.clone()));
                pass
            }
        };
        Ok((pass.who.container == container && pass.port == port).then_some(pass))
    }

    async fn forward(&self, pass: Pass, mut request: Request) -> Response<Body> {
        let asked = request.headers().clone();
        let host = host_of(&request).unwrap_or_default();
        let address = request
            .extensions()
            .get::<ConnectInfo<Peer>>()
            .map(|info| info.0.0.ip().to_string());
        headers::to_application(request.headers_mut(), &host, self.scheme(), address);
        let services = self.0.services.clone();
        let (container, port) = (pass.who.container, pass.port);
        // By itself, for an upload may go on after its answer.
        let request = request.map(|body| cut_when(self.standing(&pass).lost(), body));
        let mut lost = Box::pin(self.standing(&pass).lost());
        let sent = tokio::select! {
            sent = self.0.forwarder.send(container, port, request) => sent,
            // An upload goes on for as long as it likes, and so does an application that thinks about its answer.
            () = &mut lost => {
                let text = "What opened it has ended: a session, a token or a right. Open the port in OptiDev again.";
                return self.message(
                    StatusCode::UNAUTHORIZED,
                    ("This preview is private", text),
                    0,
                    &asked,
                );
            }
        };
        match sent {
            Ok((mut response, ends)) => {
                let switched = ends.is_some();
                headers::to_browser(response.headers_mut());
                if let Some((browser, application)) = ends {
                    let over = self.standing(&pass).ended();
                    services.tasks.spawn(async move {
                        tokio::select! {
                            () = forward::carry(browser, application) => {}
                            () = over => {}
                        }
                    });
                    response
                        .headers_mut()
                        .insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                    return response;
                }
                if response.status() == StatusCode::SWITCHING_PROTOCOLS && !switched {
                    return self.message(
                        StatusCode::BAD_GATEWAY,
                        (
                            "Unexpected answer",
                            "The application switched to a protocol that nobody asked for.",
                        ),
                        0,
                        &asked,
                    );
                }
                if is_events(response.headers()) {
                    let ended = self.standing(&pass).ended();
                    return response.map(|body| cut_when(ended, body));
                }
                response.map(|body| cut_when(lost, body))
            }
            Err(ForwardError::NothingListens) => {
                let text = format!(
                    "Nothing listens on port {port} of your container yet. Start your application there; this page looks again by itself."
                );
                self.message(
                    StatusCode::BAD_GATEWAY,
                    ("Waiting for your application", &text),
                    2,
                    &asked,
                )
            }
            Err(ForwardError::NotRunning) => {
                let text = "Your container is not running. Start it in OptiDev; this page looks again by itself.";
                self.message(
                    StatusCode::SERVICE_UNAVAILABLE,
                    ("The container is not running", text),
                    5,
                    &asked,
                )
            }
            Err(ForwardError::Failed(cause)) => {
                tracing::debug!(%container, port, cause, "a preview request failed");
                let text = format!(
                    "What listens on port {port} of your container closed the connection or does not speak HTTP."
                );
                self.message(
                    StatusCode::BAD_GATEWAY,
                    ("The application did not answer", &text),
                    5,
                    &asked,
                )
            }
        }
    }

    fn message(
        &self,
        status: StatusCode,
        text: (&str, &str),
        again: u32,
        asked: &HeaderMap,
    ) -> Response<Body> {
        page::message(status, text, again, &self.0.services.public_url, asked)
    }
}

/// Middleware around everything else: answers requests to preview hosts, and lets all others pass.
pub async fn intercept(
    State(preview): State<Preview>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let named = match host_of(&request) {
        Some(host) => host::parse(&host, &preview.0.services.config.server.apps_domain),
        None => Named::Else,
    };
    match named {
        Named::Else => next.run(request).await,
        Named::Port(container, port) => preview.answer(container, port, request).await,
        Named::Nothing => {
            let text = (
                "No such preview",
                "Check the address: it names no port of a container.",
            );
            preview.message(StatusCode::NOT_FOUND, text, 0, request.headers())
        }
    }
}

fn host_of(request: &Request) -> Option<String> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str().to_owned());
    }
    request
        .headers()
        .get(header::HOST)?
        .to_str()
        .ok()
        .map(str::to_owned)
}

/// A path on the same host: anything that a browser could read as another host becomes `/`.
fn same_host_path(to: &str) -> String {
    let plain = to.starts_with('/')
        && !to.starts_with("//")
        && !to.contains('\\')
        && !to.chars().any(|c| c.is_control() || c == ' ')
        && !to.starts_with("/__optidev/");
    if plain { to.to_owned() } else { "/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::same_host_path;

    #[test]
    fn a_ticket_leads_to_its_own_host_only() {
        assert_eq!(same_host_path("/app?x=1#y"), "/app?x=1#y");
        for bad in [
            "//evil.com",
            "https://evil.com",
            "/\\evil.com",
            "\\\\evil.com",
            "",
            "/a\r\nset-cookie: x",
            "/__optidev/ticket",
        ] {
            assert_eq!(same_host_path(bad), "/", "{bad:?}");
        }
    }
}
