//! Layer 0: what this process counts and measures, for Prometheus.
//!
//! What always holds: a label is one of few words that stand in the source, or the template of a route: no id, name, address or
//! text of anybody is one, so the number of series is bounded. Counting cannot fail and waits for nobody.
//!
//! One registry for the process, as there is one log: what is counted in the vault's client or in the calls to Kubernetes
//! is asked for by nobody who could be given it.

mod process;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// What the text is, for the header `Content-Type`.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Request {
    route: String,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: String,
    method: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Done {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SignIn {
    method: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Decision {
    verdict: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Call {
    verb: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// From a look into a cache to an answer that a model takes long for.
fn requests() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

fn operations() -> Histogram {
    Histogram::new([
        0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0,
    ])
}

fn starts() -> Histogram {
    Histogram::new([
        0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0,
    ])
}

/// Whose metrics are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `optidev serve`.
    Server,
    /// `optidev controller`.
    Controller,
}

struct Metrics {
    own: Registry,
    server: Registry,
    controller: Registry,
    process: process::Process,
    requests: Family<Request, Counter>,
    request_seconds: Histograms<Route>,
    sign_ins: Family<SignIn, Counter>,
    containers: Family<InState, Gauge>,
    starts: Family<Outcome, Counter>,
    start_seconds: Histogram,
    agents: Gauge,
    egress: Family<Decision, Counter>,
    vault: Family<Done, Counter>,
    vault_seconds: Histograms<Operation>,
    objects: Family<Done, Counter>,
    ai: Family<Outcome, Counter>,
    connections: Family<InState, Gauge>,
    connections_max: Gauge,
    redis_up: Gauge,
    objects_up: Gauge,
    leader: Gauge,
    looks: Family<Outcome, Counter>,
    queue: Gauge,
    calls: Family<Call, Counter>,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
    let mut metrics = Metrics {
        own: Registry::default(),
        server: Registry::default(),
        controller: Registry::default(),
        process: process::Process::default(),
        requests: Family::default(),
        request_seconds: Family::new_with_constructor(requests),
        sign_ins: Family::default(),
        containers: Family::default(),
        starts: Family::default(),
        start_seconds: starts(),
        agents: Gauge::default(),
        egress: Family::default(),
        vault: Family::default(),
        vault_seconds: Family::new_with_constructor(operations),
        objects: Family::default(),
        ai: Family::default(),
        connections: Family::default(),
        connections_max: Gauge::default(),
        redis_up: Gauge::default(),
        objects_up: Gauge::default(),
        leader: Gauge::default(),
        looks: Family::default(),
        queue: Gauge::default(),
        calls: Family::default(),
    };
    metrics.register();
    metrics
});

impl Metrics {
    // The library puts a full stop behind each text, and `_total` behind the name of each counter.
    fn register(&mut self) {
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        self.own
            .register("optidev_build", "The version that runs", build);
        self.process.register(&mut self.own);
        let all = &mut self.server;
        all.register(
            "optidev_http_requests",
            "Answers, by the template of the route; not of previews",
            self.requests.clone(),
        );
        all.register(
            "optidev_http_request_duration_seconds",
            "From the head of a request to the head of its answer",
            self.request_seconds.clone(),
        );
        all.register(
            "optidev_sign_ins",
            "Steps of signing in",
            self.sign_ins.clone(),
        );
        all.register(
            "optidev_containers",
            "Containers that this server works on, by state",
            self.containers.clone(),
        );
        all.register(
            "optidev_container_starts",
            "Starts of containers that ended",
            self.starts.clone(),
        );
        all.register(
            "optidev_container_start_duration_seconds",
            "How long starts took that succeeded",
            self.start_seconds.clone(),
        );
        all.register(
            "optidev_agents",
            "Agents of running containers that this server knows",
            self.agents.clone(),
        );
        all.register(
            "optidev_egress_decisions",
            "What containers wanted to connect to, and what was decided",
            self.egress.clone(),
        );
        all.register(
            "optidev_vault_operations",
            "Requests to the vault process",
            self.vault.clone(),
        );
        all.register(
            "optidev_vault_operation_duration_seconds",
            "From a request to the vault process to its answer",
            self.vault_seconds.clone(),
        );
        all.register(
            "optidev_object_operations",
            "Work on archives, wherever they are kept",
            self.objects.clone(),
        );
        all.register(
            "optidev_ai_requests",
            "Requests to the AI provider, of gateway and assistant",
            self.ai.clone(),
        );
        all.register(
            "optidev_database_connections",
            "Connections to the database that are open",
            self.connections.clone(),
        );
        all.register(
            "optidev_database_connections_max",
            "The most that may be open",
            self.connections_max.clone(),
        );
        all.register(
            "optidev_redis_up",
            "Whether Redis answers; 1 when none is configured",
            self.redis_up.clone(),
        );
        all.register(
            "optidev_object_storage_up",
            "Whether the object storage answers; 1 when there is none elsewhere",
            self.objects_up.clone(),
        );
        let all = &mut self.controller;
        all.register(
            "optidev_controller_leader",
            "Whether this controller works, and not another one",
            self.leader.clone(),
        );
        all.register(
            "optidev_controller_reconciles",
            "Looks at a container",
            self.looks.clone(),
        );
        all.register(
            "optidev_controller_queue",
            "Containers that are due or being looked at",
            self.queue.clone(),
        );
        all.register(
            "optidev_kubernetes_calls",
            "Calls to the API of Kubernetes",
            self.calls.clone(),
        );
    }
}

/// All of it as text (OpenMetrics 1.0), with what is asked of the system now.
pub fn render(role: Role) -> String {
    let metrics = &*METRICS;
    metrics.process.look();
    let registry = match role {
        Role::Server => &metrics.server,
        Role::Controller => &metrics.controller,
    };
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = text::encode_registry(&mut text, &metrics.own);
    let _ = text::encode_registry(&mut text, registry);
    let _ = text::encode_eof(&mut text);
    text
}

/// An answer with the head after `took`. `route` is a template, none for what no route is for.
pub fn request(route: Option<&str>, method: &str, status: u16, took: Duration) {
    let route = route.unwrap_or("none").to_owned();
    let method = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other");
    let status = match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        _ => "5xx",
    };
    let seconds = Route {
        route: route.clone(),
        method,
    };
    METRICS
        .request_seconds
        .get_or_create(&seconds)
        .observe(took.as_secs_f64());
    let labels = Request {
        route,
        method,
        status,
    };
    METRICS.requests.get_or_create(&labels).inc();
}

/// A step of signing in: `password`, `second_factor`, `again`.
pub fn sign_in(method: &'static str, outcome: &'static str) {
    METRICS
        .sign_ins
        .get_or_create(&SignIn { method, outcome })
        .inc();
}

/// The start of a container that ended, and how long it took when it succeeded.
pub fn container_start(outcome: &'static str, took: Option<Duration>) {
    METRICS.starts.get_or_create(&Outcome { outcome }).inc();
    if let Some(took) = took {
        METRICS.start_seconds.observe(took.as_secs_f64());
    }
}

/// A decision about a connection of a container.
pub fn egress(verdict: &'static str, reason: &'static str) {
    METRICS
        .egress
        .get_or_create(&Decision { verdict, reason })
        .inc();
}

/// A request to the vault process.
pub fn vault(operation: &'static str, outcome: &'static str, took: Duration) {
    let seconds = Operation { operation };
    METRICS
        .vault_seconds
        .get_or_create(&seconds)
        .observe(took.as_secs_f64());
    METRICS
        .vault
        .get_or_create(&Done { operation, outcome })
        .inc();
}

/// Work on an object.
pub fn object(operation: &'static str, outcome: &'static str) {
    METRICS
        .objects
        .get_or_create(&Done { operation, outcome })
        .inc();
}

/// A request to the AI provider, of gateway or assistant.
pub fn ai(outcome: &'static str) {
    METRICS.ai.get_or_create(&Outcome { outcome }).inc();
}

/// A controller's look at a container.
pub fn reconcile(outcome: &'static str) {
    METRICS.looks.get_or_create(&Outcome { outcome }).inc();
}

/// How many containers are due or being looked at.
pub fn queue(length: usize) {
    METRICS.queue.set(number(length));
}

/// Whether this controller leads.
pub fn leader(leads: bool) {
    METRICS.leader.set(i64::from(leads));
}

/// A call to the API of Kubernetes.
pub fn kubernetes(verb: &'static str, outcome: &'static str) {
    METRICS.calls.get_or_create(&Call { verb, outcome }).inc();
}

/// What is looked at when somebody asks.
#[derive(Debug, Default)]
pub struct Now {
    /// Containers by state.
    pub containers: Vec<(&'static str, usize)>,
    /// Agents that are known.
    pub agents: usize,
    /// Connections to the database: in use, idle, at most.
    pub connections: (usize, usize, usize),
    /// Whether Redis answers, or is not there to be asked.
    pub redis: bool,
    /// The same of object storage.
    pub objects: bool,
}

/// Sets what was looked at.
pub fn set(now: &Now) {
    let metrics = &*METRICS;
    for (state, count) in &now.containers {
        metrics
            .containers
            .get_or_create(&InState { state })
            .set(number(*count));
    }
    metrics.agents.set(number(now.agents));
    let (used, idle, max) = now.connections;
    for (state, count) in [("used", used), ("idle", idle)] {
        metrics
            .connections
            .get_or_create(&InState { state })
            .set(number(count));
    }
    metrics.connections_max.set(number(max));
    metrics.redis_up.set(i64::from(now.redis));
    metrics.objects_up.set(i64::from(now.objects));
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_in_the_text_and_nothing_unbounded_is() {
        request(Some("/x/{y}"), "GET", 204, Duration::from_millis(3));
        request(None, "BREW", 418, Duration::from_millis(3));
        let text = render(Role::Server);
        let line = r#"optidev_http_requests_total{route="/x/{y}",method="GET",status="2xx"} 1"#;
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains(r#"{route="none",method="other",status="4xx"} 1"#),
            "{text}"
        );
        assert!(text.contains("optidev_build_info{version="), "{text}");
        assert!(text.contains("\nprocess_open_fds "), "{text}");
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        assert!(!text.contains("optidev_controller_leader"));
        let text = render(Role::Controller);
        assert!(text.contains("\noptidev_controller_leader 0\n"), "{text}");
        assert!(!text.contains("optidev_redis_up"));
    }
}
