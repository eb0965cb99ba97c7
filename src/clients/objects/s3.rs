//! Storage that speaks S3, reached through `clients::http` alone.
//!
//! What always holds: an upload has one part in memory at a time; an object is there whole or not at all; no request takes
//! longer than `[objects] timeout_ms` between two signs of life.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::path::Path as Name;
use object_store::{
    BackoffConfig, ClientOptions, MultipartUpload, ObjectStoreExt, PutPayload, RetryConfig,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;
use url::Url;

use super::{ObjectKey, ObjectsError};
use crate::clients::http::destination::bucket;
use crate::clients::http::{Integration, Outbound, OutboundError, OutboundRequest};
use crate::config::ObjectsConfig;
use crate::kernel::SecretString;

/// The least that S3 takes as a part, and what is sent at once without parts.
const PART: u64 = 5 << 20;
/// The most parts that S3 takes are 10,000.
const PARTS: u64 = 9_000;
/// Uploads at a time; each has a part in memory.
const UPLOADS: usize = 8;
/// What fails is tried again for so long, within which most storage has recovered from a hiccup.
const AGAIN: Duration = Duration::from_secs(20);
/// The object that is asked for to see whether the storage answers. It is never there.
const NOBODY: &str = "_none";

/// A bucket, or the part of it below the prefix.
pub struct S3 {
    store: AmazonS3,
    prefix: String,
    uploads: Semaphore,
}

impl S3 {
    /// Reads settings and the key; connects to nothing.
    pub fn new(config: &ObjectsConfig, outbound: &Outbound) -> Result<Self, ObjectsError> {
        let setting = ObjectsError::Setting;
        let address = bucket(config).map_err(|error| setting(error.to_string()))?;
        let key = match &config.secret_access_key_file {
            Some(file) => SecretString::new(
                std::fs::read_to_string(file)
                    .map_err(|error| {
                        setting(format!(
                            "secret_access_key_file: {}: {error}",
                            file.display()
                        ))
                    })?
                    .trim_end_matches(['\r', '\n'])
                    .to_owned(),
            ),
            None => {
                return Err(setting(
                    "secret_access_key_file is empty: set it".to_owned(),
                ));
            }
        };
        if key.expose().is_empty() {
            return Err(setting(
                "the file of secret_access_key_file is empty".to_owned(),
            ));
        }
        let store = AmazonS3Builder::new()
            .with_http_connector(Connector(outbound.clone()))
            // The bucket is in this address already, whichever way.
            .with_endpoint(address.as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(true)
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_access_key_id(&config.access_key_id)
            // The library keeps a copy that it does not wipe.
            .with_secret_access_key(key.expose().as_str())
            // Else a deletion is a POST to the bucket itself, which is above the prefix.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(2),
                    base: 2.,
                },
                max_retries: 3,
                retry_timeout: AGAIN,
            })
            .build()
            .map_err(|error| setting(error.to_string()))?;
        Ok(Self {
            store,
            prefix: config.prefix.clone(),
            uploads: Semaphore::new(UPLOADS),
        })
    }

    /// Uploads a file.
    pub async fn put(&self, key: &ObjectKey, file: &Path) -> Result<(), ObjectsError> {
        let _turn = self
            .uploads
            .acquire()
            .await
            .map_err(std::io::Error::other)?;
        let mut file = File::open(file).await?;
        let size = file.metadata().await?.len();
        let name = self.name(key.as_str())?;
        if size <= PART {
            let whole = part(&mut file, size).await?;
            return self.store.put(&name, whole).await.map(drop).map_err(told);
        }
        let mut upload = self.store.put_multipart(&name).await.map_err(told)?;
        let sent = send_parts(upload.as_mut(), &mut file, size).await;
        if sent.is_err() {
            // What was sent stays invisible, and is paid for until it is given up; a rule of the bucket does it, too.
            if let Err(error) = upload.abort().await {
                tracing::warn!(%key, error = %told(error), "a broken upload could not be given up");
            }
        }
        sent
    }

    /// The object's bytes as they come; what breaks is taken up again where it broke.
    pub async fn get(
        &self,
        key: &ObjectKey,
    ) -> Result<BoxStream<'static, Result<Bytes, ObjectsError>>, ObjectsError> {
        let found = self.store.get(&self.name(key.as_str())?).await;
        Ok(found.map_err(told)?.into_stream().map_err(told).boxed())
    }

    /// Removes an object; one that is not there is removed already.
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectsError> {
        let done = self.store.delete(&self.name(key.as_str())?).await;
        match done.map_err(told) {
            Ok(()) | Err(ObjectsError::Absent) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether it answers and takes the key. Asks for an object that is never there, which costs least and needs no right to
    /// list: storage that may not say that something is absent says that this is not allowed.
    pub async fn ping(&self) -> Result<(), ObjectsError> {
        let found = self.store.get(&self.name(NOBODY)?).await;
        match found.map(drop).map_err(told) {
            Ok(()) | Err(ObjectsError::Absent) => Ok(()),
            Err(ObjectsError::Refused(code)) if code == "AccessDenied" => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn name(&self, key: &str) -> Result<Name, ObjectsError> {
        let name = if self.prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{}/{key}", self.prefix)
        };
        // It would be escaped otherwise, and then be another name.
        Name::parse(&name).map_err(|_| ObjectsError::Key(name))
    }
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    file: &mut File,
    size: u64,
) -> Result<(), ObjectsError> {
    // Some storage wants all parts but the last to be of one size.
    let each = PART.max(size.div_ceil(PARTS));
    let mut left = size;
    while left > 0 {
        let length = left.min(each);
        let payload = part(file, length).await?;
        upload.put_part(payload).await.map_err(told)?;
        left -= length;
    }
    upload.complete().await.map(drop).map_err(told)
}

async fn part(file: &mut File, length: u64) -> Result<PutPayload, ObjectsError> {
    let length = usize::try_from(length).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).await?;
    Ok(bytes.into())
}

fn told(error: object_store::Error) -> ObjectsError {
    ObjectsError::told(&error)
}

/// Gives the library our one way out in place of an HTTP stack of its own.
struct Connector(Outbound);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Self(self.0.clone())))
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Connector {
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> Answer<'b>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let url = Url::parse(&head.uri.to_string())
                .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
            let request = OutboundRequest {
                method: head.method,
                url,
                headers: head.headers,
                // One part: there is nothing to copy.
                body: body.collect().await?.to_bytes(),
            };
            let answer = self.0.send(Integration::Objects, request).await;
            let (head, body) = answer.map_err(failed)?.into_parts();
            let body = HttpResponseBody::new(body.map_err(broken));
            Ok(HttpResponse::from_parts(head, body))
        })
    }
}

fn failed(error: OutboundError) -> HttpError {
    match error {
        OutboundError::Unreachable(_, error) => broken(error),
        // It would be the same the next time.
        other => HttpError::new(HttpErrorKind::Unknown, other),
    }
}

fn broken(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}
