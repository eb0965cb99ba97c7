//! The port for Prometheus. It knows `/metrics` and nothing else, and is not the one that people and containers reach.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use hyper::StatusCode;
use tokio::net::TcpListener;

use super::plain::{self, Answer};
use crate::config::MetricsConfig;
use crate::context::Services;
use crate::features::containers::Controller;
use crate::metrics::{self, Now, Role};

/// Looks at what is not counted all the time.
type Look = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Answers on the port of the settings, if any. A port that is taken costs the metrics and nothing else: the default is the same
/// for every process of a machine.
pub async fn serve(
    config: &MetricsConfig,
    role: Role,
    look: Look,
) -> Option<BoxFuture<'static, ()>> {
    let address = config.address()?;
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(
                %address, %error,
                "no metrics: nothing can listen there. Choose another address with [metrics] listen, or none"
            );
            return None;
        }
    };
    Some(Box::pin(plain::serve(listener, move |path| {
        let look = Arc::clone(&look);
        async move {
            if path != "/metrics" {
                return Answer::line(StatusCode::NOT_FOUND, "not found; metrics are at /metrics");
            }
            look().await;
            Answer {
                status: StatusCode::OK,
                content_type: metrics::CONTENT_TYPE,
                text: metrics::render(role),
            }
        }
    })))
}

/// The server's.
pub async fn start(services: &Services, controller: &Arc<Controller>) {
    let (asked, controller) = (services.clone(), Arc::clone(controller));
    let look: Look = Arc::new(move || {
        let (services, controller) = (asked.clone(), Arc::clone(&controller));
        Box::pin(async move { metrics::set(&now(&services, &controller).await) })
    });
    let Some(answers) = serve(&services.config.metrics, Role::Server, look).await else {
        return;
    };
    let shutdown = services.shutdown.clone();
    services.tasks.spawn(async move {
        shutdown.run_until_cancelled(answers).await;
    });
}

async fn now(services: &Services, controller: &Controller) -> Now {
    let (containers, agents) = controller.counts();
    let (used, idle) = services.store.connections();
    let most = usize::try_from(services.config.database.max_connections).unwrap_or(usize::MAX);
    let (redis, objects) = tokio::join!(services.shared.ping(), services.objects.answers());
    Now {
        containers,
        agents,
        connections: (used, idle, most),
        redis: redis.is_none_or(|redis| redis.is_ok()),
        objects: objects.unwrap_or(true),
    }
}
