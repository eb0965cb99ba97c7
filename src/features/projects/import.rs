//! Takes an uploaded archive to disk, bounded, and inspects it before anything else knows of it.

use std::collections::HashMap;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use optidev_agent::archive;
use tokio::io::AsyncWriteExt;

use super::framework;
use super::model::ArchiveFormat;
use crate::context::Services;
use crate::kernel::{Code, Problem, UserId};

/// Uploads of one account that this server takes at a time: each may fill the disk up to `max_import_mib`.
const AT_ONCE: usize = 2;

/// One of the uploads of an account that are under way; counted until it is dropped.
struct Turn(UserId);

impl Turn {
    fn under_way() -> std::sync::MutexGuard<'static, HashMap<UserId, usize>> {
        // One folder takes the uploads of all workspaces, so one count is right for the process.
        static COUNT: LazyLock<Mutex<HashMap<UserId, usize>>> = LazyLock::new(Mutex::default);
        COUNT.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(user: UserId) -> Result<Self, Problem> {
        let mut all = Self::under_way();
        let count = all.entry(user).or_default();
        if *count >= AT_ONCE {
            return Err(Problem::rate_limited(
                format!(
                    "{AT_ONCE} uploads of yours are under way, which is the most. Wait until one is done."
                ),
                Duration::from_secs(10),
            ));
        }
        *count += 1;
        Ok(Self(user))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = Self::under_way();
        if let Some(count) = all.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.0);
            }
        }
    }
}

/// An archive that passed inspection. Its file is removed when it is dropped, unless it was moved to where it is kept.
pub struct Upload {
    path: PathBuf,
    _turn: Turn,
    /// Its format.
    pub format: ArchiveFormat,
    /// What the code is built with, when that could be told.
    pub framework: Option<String>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Nothing to do when it is gone already.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Upload {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the whole body of `user`'s upload into a file and inspects it.
///
/// # Errors
/// `rate_limited` when others of theirs are under way; `too_large`, `unsupported_media_type`, or `unprocessable` naming the entry that is not acceptable.
pub async fn receive<S, E>(services: &Services, user: UserId, body: S) -> Result<Upload, Problem>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: std::fmt::Display,
{
    let turn = Turn::take(user)?;
    let folder = services.paths.objects().join("incoming");
    tokio::fs::create_dir_all(&folder)
        .await
        .map_err(Problem::internal)?;
    let name: String = services
        .rng
        .bytes::<16>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut upload = Upload {
        path: folder.join(name),
        _turn: turn,
        format: ArchiveFormat::TarGz,
        framework: None,
    };
    let limit = services
        .config
        .server
        .max_import_mib
        .saturating_mul(1 << 20);
    write_body(&upload.path, limit, body).await?;
    let path = upload.path.clone();
    let inspected = tokio::task::spawn_blocking(move || inspect(&path))
        .await
        .map_err(Problem::internal)?;
    (upload.format, upload.framework) = inspected?;
    Ok(upload)
}

async fn write_body<S, E>(path: &Path, limit: u64, body: S) -> Result<(), Problem>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: std::fmt::Display,
{
    let mut file = tokio::fs::File::create_new(path)
        .await
        .map_err(Problem::internal)?;
    let mut written = 0u64;
    let mut body = std::pin::pin!(body);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(
                Code::BadRequest,
                format!(
                    "The upload broke off or is larger than allowed: {error}. Nothing was kept."
                ),
            )
        })?;
        written = written.saturating_add(chunk.len() as u64);
        if written > limit {
            return Err(Problem::new(
                Code::TooLarge,
                format!(
                    "The archive is larger than {} MiB ([server] max_import_mib). Leave out what can be built again, \
                     such as node_modules.",
                    limit >> 20
                ),
            ));
        }
        file.write_all(&chunk).await.map_err(Problem::internal)?;
    }
    file.sync_all().await.map_err(Problem::internal)
}

fn inspect(path: &Path) -> Result<(ArchiveFormat, Option<String>), Problem> {
    let mut file = std::fs::File::open(path).map_err(Problem::internal)?;
    let mut start = [0u8; 4];
    let read = file.read(&mut start).map_err(Problem::internal)?;
    let format = ArchiveFormat::sniff(start.get(..read).unwrap_or_default()).ok_or_else(|| {
        Problem::new(
            Code::UnsupportedMediaType,
            "This is neither a .tar.gz nor a .zip file, whatever its name says. Pack the folder as one of the two.",
        )
    })?;
    let kind = match format {
        ArchiveFormat::TarGz => archive::Format::TarGz,
        ArchiveFormat::Zip => archive::Format::Zip,
    };
    file.rewind().map_err(Problem::internal)?;
    // Whether it is too large was decided while it came, by [server] max_import_mib.
    let size = file.metadata().map_err(Problem::internal)?.len();
    archive::inspect(file, kind, &archive::Limits::of(size)).map_err(|error| {
        Problem::new(
            Code::Unprocessable,
            format!("archive: Not acceptable: {error}"),
        )
    })?;
    let package = std::fs::File::open(path)
        .ok()
        .and_then(|file| framework::package_json(file, format));
    Ok((format, package.as_deref().and_then(framework::detect)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `max_import_mib` alone says what is too large: an archive beyond the usual 512 MiB is looked into.
    #[test]
    fn an_archive_that_the_settings_allow_is_not_too_large_for_inspection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.zip");
        std::fs::write(&path, b"PK\x03\x04").unwrap();
        // A hole: nothing is written.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(600 << 20).unwrap();
        let problem = inspect(&path).unwrap_err();
        // It is refused for what was found in it, which is nothing.
        assert!(
            problem.detail.contains("list of entries"),
            "{}",
            problem.detail
        );
    }
}
