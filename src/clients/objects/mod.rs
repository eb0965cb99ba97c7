//! Objects: files that are kept for a workspace, on this server's disk or in storage that all servers share.
//!
//! What always holds: an object is there whole or not at all; its name is a plain one in its workspace's folder, whatever a
//! row says; and nothing outside of the configured folder, or bucket and prefix, is reached.
//!
//! The disk takes a file by renaming it, which is why it is not the library's: that one would copy.

mod error;
mod key;
mod s3;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;

use crate::clients::http::Outbound;
use crate::config::{ObjectsConfig, ObjectsKind, Paths};
use crate::metrics;

pub use error::ObjectsError;
pub use key::ObjectKey;

use s3::S3;

/// An object's bytes as they come.
pub type Reading = BoxStream<'static, Result<Bytes, ObjectsError>>;

/// How long it is believed whether the storage answers: asking costs money, and readiness is asked for every few seconds.
const BELIEVED: Duration = Duration::from_secs(30);
/// And how long that it does not.
const DOUBTED: Duration = Duration::from_secs(5);
/// Somebody waits for the answer.
const ASKED: Duration = Duration::from_secs(1);

/// Where objects are kept. Cheap to clone.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    place: Place,
    seen: Mutex<Option<(Instant, bool)>>,
}

enum Place {
    Disk(PathBuf),
    S3(Box<S3>),
    Nowhere,
}

impl Objects {
    /// Reads the settings, and the key when there is one; connects to nothing.
    ///
    /// # Errors
    /// [`ObjectsError::Setting`] naming the setting and the remedy.
    pub fn new(
        config: &ObjectsConfig,
        paths: &Paths,
        outbound: &Outbound,
    ) -> Result<Self, ObjectsError> {
        let place = match config.kind {
            ObjectsKind::Disk => Place::Disk(paths.objects()),
            ObjectsKind::S3 => Place::S3(Box::new(S3::new(config, outbound)?)),
            ObjectsKind::None => Place::Nowhere,
        };
        Ok(Self(Arc::new(Inner {
            place,
            seen: Mutex::default(),
        })))
    }

    /// What keeps them.
    pub fn kind(&self) -> ObjectsKind {
        match self.0.place {
            Place::Disk(_) => ObjectsKind::Disk,
            Place::S3(_) => ObjectsKind::S3,
            Place::Nowhere => ObjectsKind::None,
        }
    }

    /// Demands that objects can be kept at all.
    ///
    /// # Errors
    /// [`ObjectsError::NotConfigured`].
    pub fn require(&self) -> Result<(), ObjectsError> {
        match self.0.place {
            Place::Nowhere => Err(ObjectsError::NotConfigured),
            Place::Disk(_) | Place::S3(_) => Ok(()),
        }
    }

    /// Keeps what is in `file`, which lies in the folder of objects and may be gone afterwards.
    ///
    /// # Errors
    /// [`ObjectsError`]. The object may be there all the same when the storage answered too late: delete it.
    pub async fn put(&self, key: &ObjectKey, file: &Path) -> Result<(), ObjectsError> {
        counted("put", self.do_put(key, file).await)
    }

    async fn do_put(&self, key: &ObjectKey, file: &Path) -> Result<(), ObjectsError> {
        match &self.0.place {
            Place::Disk(folder) => {
                let target = folder.join(key.as_str());
                if let Some(folder) = target.parent() {
                    tokio::fs::create_dir_all(folder).await?;
                }
                Ok(tokio::fs::rename(file, target).await?)
            }
            Place::S3(storage) => storage.put(key, file).await,
            Place::Nowhere => Err(ObjectsError::NotConfigured),
        }
    }

    /// An object's bytes, as they come.
    ///
    /// # Errors
    /// [`ObjectsError::Absent`], and as the storage fails; while reading, too.
    pub async fn get(&self, key: &ObjectKey) -> Result<Reading, ObjectsError> {
        counted("get", self.do_get(key).await)
    }

    async fn do_get(&self, key: &ObjectKey) -> Result<Reading, ObjectsError> {
        match &self.0.place {
            Place::Disk(folder) => {
                let file = tokio::fs::File::open(folder.join(key.as_str()))
                    .await
                    .map_err(absent)?;
                let bytes = tokio_util::io::ReaderStream::with_capacity(file, 64 << 10);
                Ok(bytes.map_err(ObjectsError::from).boxed())
            }
            Place::S3(storage) => storage.get(key).await,
            Place::Nowhere => Err(ObjectsError::NotConfigured),
        }
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectsError> {
        counted("delete", self.do_delete(key).await)
    }

    async fn do_delete(&self, key: &ObjectKey) -> Result<(), ObjectsError> {
        match &self.0.place {
            Place::Disk(folder) => match tokio::fs::remove_file(folder.join(key.as_str())).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
            Place::S3(storage) => storage.delete(key).await,
            // What was kept when there was a place is nobody's to find.
            Place::Nowhere => Ok(()),
        }
    }

    /// Whether storage elsewhere answers and takes the key; none when there is none.
    ///
    /// # Errors
    /// [`ObjectsError`].
    pub async fn ping(&self) -> Option<Result<(), ObjectsError>> {
        let Place::S3(storage) = &self.0.place else {
            return None;
        };
        Some(storage.ping().await)
    }

    /// As [`Objects::ping`], soon, and as it was lately; for who asks often.
    pub async fn answers(&self) -> Option<bool> {
        let Place::S3(storage) = &self.0.place else {
            return None;
        };
        let mut seen = self.0.seen.lock().await;
        if let Some((since, answers)) = *seen
            && since.elapsed() < if answers { BELIEVED } else { DOUBTED }
        {
            return Some(answers);
        }
        let answers = matches!(
            tokio::time::timeout(ASKED, storage.ping()).await,
            Ok(Ok(()))
        );
        *seen = Some((Instant::now(), answers));
        Some(answers)
    }
}

fn counted<T>(operation: &'static str, result: Result<T, ObjectsError>) -> Result<T, ObjectsError> {
    let outcome = match &result {
        Ok(_) => "ok",
        Err(ObjectsError::Absent) => "absent",
        Err(ObjectsError::Unavailable(_)) => "unavailable",
        Err(ObjectsError::Refused(_)) => "refused",
        Err(_) => "failed",
    };
    metrics::object(operation, outcome);
    result
}

fn absent(error: io::Error) -> ObjectsError {
    match error.kind() {
        io::ErrorKind::NotFound => ObjectsError::Absent,
        _ => ObjectsError::Disk(error),
    }
}
