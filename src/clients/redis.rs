//! The Redis server: commands that are answered soon or fail, and channels that come back.
//!
//! What always holds: nobody waits longer than `[redis] timeout_ms`. After a failure the server is left alone for a
//! second, in which everything fails at once; what follows from that is for `shared` to say.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    Client, Cmd, FromRedisValue, IntoConnectionInfo, Script, TlsCertificates, ToRedisArgs,
};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::config::RedisConfig;

/// How long a server that failed is left alone.
const REST: Duration = Duration::from_secs(1);
/// A channel in which nothing is said is asked this often whether anybody is there.
const PING: Duration = Duration::from_secs(2);

/// Why there is no answer, or cannot be one.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    /// A setting is wrong.
    #[error("[redis] {0}")]
    Setting(String),
    /// Redis refused, or the connection broke.
    #[error("Redis does not do what it is asked")]
    Failed(#[from] redis::RedisError),
    /// No answer in time.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// A script answered what it cannot answer: another program uses its name.
    #[error("Redis answered what OptiDev's script does not say")]
    Nonsense,
    /// It failed a moment ago and was not asked again.
    #[error("Redis failed a moment ago")]
    Resting,
}

impl RedisError {
    /// Whether waiting may help: the server cannot be reached. Else it refuses, and a person must act.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Setting(_) | Self::Nonsense => false,
            Self::Failed(error) => error.is_io_error() && !is_certificate(error),
            Self::Timeout(_) | Self::Resting => true,
        }
    }
}

/// The library wraps TLS errors into ones of input and output.
fn is_certificate(error: &redis::RedisError) -> bool {
    error.to_string().contains("certificate")
}

/// A Redis server. Cheap to clone.
#[derive(Clone)]
pub struct Redis(Arc<Inner>);

struct Inner {
    client: Client,
    manager: Mutex<ConnectionManager>,
    timeout: Duration,
    prefix: String,
    /// When it may be asked again, after a failure.
    rests_until: Mutex<Option<Instant>>,
}

impl Redis {
    /// Reads the settings; none when no server is configured. Connects to nothing; needs a tokio runtime.
    ///
    /// # Errors
    /// [`RedisError::Setting`] naming the setting and the remedy.
    pub fn new(config: &RedisConfig) -> Result<Option<Self>, RedisError> {
        if config.url.is_empty() {
            return Ok(None);
        }
        let client = client(config)?;
        let timeout = Duration::from_millis(config.timeout_ms.max(1));
        Ok(Some(Self(Arc::new(Inner {
            manager: Mutex::new(manager(&client, timeout)?),
            client,
            timeout,
            prefix: config.key_prefix.clone(),
            rests_until: Mutex::default(),
        }))))
    }

    /// The same server over a connection of its own, which also fails and rests by itself: for what nothing depends on.
    pub fn aside(&self) -> Self {
        Self(Arc::new(Inner {
            manager: Mutex::new(
                manager(&self.0.client, self.0.timeout).unwrap_or_else(|_| self.manager()),
            ),
            client: self.0.client.clone(),
            timeout: self.0.timeout,
            prefix: self.0.prefix.clone(),
            rests_until: Mutex::default(),
        }))
    }

    /// A key or channel of this installation.
    pub fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.0.prefix)
    }

    /// Whether it is there and takes the password.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn ping(&self) -> Result<(), RedisError> {
        self.command(redis::cmd("PING")).await
    }

    /// Runs one command.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn command<T: FromRedisValue>(&self, command: Cmd) -> Result<T, RedisError> {
        let mut manager = self.manager();
        self.within(async { command.query_async(&mut manager).await })
            .await
    }

    /// Runs a script, which Redis runs as a whole.
    ///
    /// # Errors
    /// [`RedisError`].
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[impl ToRedisArgs + Sync],
    ) -> Result<T, RedisError> {
        let mut manager = self.manager();
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(key);
        }
        for argument in arguments {
            invocation.arg(argument);
        }
        self.within(async { invocation.invoke_async(&mut manager).await })
            .await
    }

    /// Listens on a channel until the connection breaks. `hear` is given `None` once the channel is open, for what was
    /// said before then is lost, and each message after that.
    ///
    /// # Errors
    /// Always ends with one.
    pub async fn listen(
        &self,
        channel: &str,
        hear: impl Fn(Option<String>),
    ) -> Result<std::convert::Infallible, RedisError> {
        // A server that must be waited for at each step may take its time: nobody waits for this.
        let limit = self.0.timeout * 4;
        let in_time = |_| RedisError::Timeout(limit);
        let opening = async {
            let mut open = self.0.client.get_async_pubsub().await?;
            open.subscribe(channel).await?;
            Ok::<_, redis::RedisError>(open)
        };
        let (mut sink, mut messages) = timeout(limit, opening).await.map_err(in_time)??.split();
        hear(None);
        let mut next_ping = Instant::now() + PING;
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => hear(Some(message.get_payload()?)),
                    None => return Err(closed()),
                },
                () = tokio::time::sleep_until(next_ping) => {
                    timeout(limit, sink.ping::<redis::Value>()).await.map_err(in_time)??;
                    next_ping = Instant::now() + PING;
                }
            }
        }
    }

    fn manager(&self) -> ConnectionManager {
        let manager = self
            .0
            .manager
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        manager.clone()
    }

    async fn within<T>(
        &self,
        answer: impl Future<Output = redis::RedisResult<T>>,
    ) -> Result<T, RedisError> {
        if !self.may_ask() {
            return Err(RedisError::Resting);
        }
        let limit = self.0.timeout;
        let answer = match timeout(limit, answer).await {
            Ok(answer) => answer.map_err(RedisError::Failed),
            Err(_) => Err(RedisError::Timeout(limit)),
        };
        self.note(answer.as_ref().err());
        answer
    }

    /// One of those who ask after the rest is let through; the others follow when it has an answer.
    fn may_ask(&self) -> bool {
        let mut rests_until = self.rests_until();
        let now = Instant::now();
        match *rests_until {
            Some(until) if until > now => false,
            Some(_) => {
                *rests_until = Some(now + REST);
                true
            }
            None => true,
        }
    }

    fn note(&self, failure: Option<&RedisError>) {
        let mut rests_until = self.rests_until();
        let Some(failure) = failure else {
            if rests_until.take().is_some() {
                tracing::info!("Redis answers again");
            }
            return;
        };
        let timed_out = match failure {
            RedisError::Timeout(_) => true,
            RedisError::Failed(error) => error.is_timeout(),
            _ => false,
        };
        if timed_out {
            // The other end may be gone without a word: the next one who asks gets a new connection.
            if let Ok(fresh) = manager(&self.0.client, self.0.timeout) {
                *self
                    .0
                    .manager
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = fresh;
            }
        }
        if rests_until.replace(Instant::now() + REST).is_none() {
            tracing::warn!(
                cause = told(failure),
                "Redis fails; docs/operations.md says what works without it"
            );
        }
    }

    fn rests_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0
            .rests_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error with its causes, in one line.
pub fn told(error: &RedisError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn closed() -> RedisError {
    RedisError::Failed(redis::RedisError::from(std::io::Error::from(
        std::io::ErrorKind::ConnectionReset,
    )))
}

/// A connection that is made when it is first used, and anew when it breaks.
fn manager(client: &Client, limit: Duration) -> Result<ConnectionManager, RedisError> {
    let settings = ConnectionManagerConfig::new()
        // Whoever asks tries once; trying again is for those who ask next.
        .set_number_of_retries(0)
        .set_connection_timeout(Some(limit))
        .set_response_timeout(Some(limit))
        .set_pipeline_buffer_size(1_024);
    Ok(ConnectionManager::new_lazy_with_config(
        client.clone(),
        settings,
    )?)
}

fn client(config: &RedisConfig) -> Result<Client, RedisError> {
    let setting = |text: String| RedisError::Setting(text);
    let url = Url::parse(config.url.expose()).map_err(|error| {
        setting(format!(
            "url: {error}. Write it like \"rediss://redis.example.com:6379\"."
        ))
    })?;
    // Of schemes that are not the web's, the parser takes every host for a name.
    let host = url.host_str().unwrap_or_default();
    let local = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host == "localhost",
    };
    match url.scheme() {
        "rediss" | "unix" | "redis+unix" => {}
        "redis" if local || config.allow_unverified_server => {}
        "redis" => {
            return Err(setting(format!(
                "url: {host} is reached over a network without TLS. Write rediss:// in place of redis://, or, where the network \
                 itself protects the way, set [redis] allow_unverified_server = true"
            )));
        }
        other => {
            return Err(setting(format!(
                "url: {other:?} is no scheme of Redis. Write it like \"rediss://redis.example.com:6379\"."
            )));
        }
    }
    if url.fragment().is_some() {
        return Err(setting(
            "url: what stands after # would turn off the check of the certificate, or means nothing. Leave it out.".to_owned(),
        ));
    }
    let mut info = url
        .into_connection_info()
        .map_err(|error| setting(format!("url: {error}")))?;
    // Redis before 7.2 does not know it, and a user with few rights may not say it.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    info = info.set_redis_settings(settings);
    if let Some(file) = &config.password_file {
        let text = std::fs::read_to_string(file)
            .map_err(|error| setting(format!("password_file: {}: {error}", file.display())))?;
        let settings = info
            .redis_settings()
            .clone()
            .set_password(text.trim_end_matches(['\r', '\n']));
        info = info.set_redis_settings(settings);
    }
    let tls = matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
    let client = if tls {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root_cert = match &config.ca_file {
            Some(file) => Some(
                std::fs::read(file)
                    .map_err(|error| setting(format!("ca_file: {}: {error}", file.display())))?,
            ),
            None => None,
        };
        Client::build_with_tls(
            info,
            TlsCertificates {
                client_tls: None,
                root_cert,
            },
        )
    } else {
        Client::open(info)
    };
    client.map_err(|error| setting(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, change: impl FnOnce(&mut RedisConfig)) -> String {
        let mut config = RedisConfig {
            url: url.into(),
            ..RedisConfig::default()
        };
        change(&mut config);
        client(&config).unwrap_err().to_string()
    }

    #[test]
    fn a_network_is_crossed_with_tls_only() {
        for url in ["redis://redis.example.com", "redis://10.0.0.7:6379/1"] {
            let error = refused(url, |_| {});
            assert!(error.contains("allow_unverified_server"), "{error}");
        }
        for url in [
            "redis://127.0.0.1",
            "redis://localhost:1/3",
            "redis://[::1]",
            "rediss://r.example.com",
        ] {
            let config = RedisConfig {
                url: url.into(),
                ..RedisConfig::default()
            };
            client(&config).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_told() {
        assert!(refused("redis.example.com:6379", |_| {}).contains("rediss://"));
        assert!(refused("http://localhost", |_| {}).contains("\"http\""));
        let insecure = refused("rediss://r.example.com/#insecure", |_| {});
        assert!(insecure.contains("check of the certificate"), "{insecure}");
        let error = refused("redis://u:hunter2@r.example.com", |_| {});
        assert!(!error.contains("hunter2"), "{error}");
        let error = refused("redis://localhost", |config| {
            config.password_file = Some("/nowhere/password".into());
        });
        assert!(
            error.contains("password_file: /nowhere/password"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_fails_at_once_and_is_left_alone() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // It accepts and never says anything.
        let config = RedisConfig {
            url: format!("redis://127.0.0.1:{port}").as_str().into(),
            timeout_ms: 100,
            ..RedisConfig::default()
        };
        let redis = Redis::new(&config).unwrap().unwrap();
        let started = Instant::now();
        let error = redis.ping().await.unwrap_err();
        assert!(error.is_passing(), "{error:?}");
        assert!(started.elapsed() < Duration::from_millis(900));
        let started = Instant::now();
        assert!(matches!(redis.ping().await, Err(RedisError::Resting)));
        assert!(started.elapsed() < Duration::from_millis(50));
    }
}
