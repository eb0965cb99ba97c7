//! The protocol's calls that the server makes for itself: starting containers, projects, the assistant.
//!
//! Paths are relative to the container's home. Requests of users are streamed by the broker instead.

use std::time::Duration;

use hyper::{Method, Request, header};
use optidev_agent::wire;

use super::error::check_protocol;
use super::transport::{Body, bytes, collect, empty, refusal};
use super::{Agent, AgentError};

/// Limit of calls that answer at once.
const SHORT: Duration = Duration::from_secs(10);
/// Limit of calls that work through files.
const LONG: Duration = Duration::from_secs(60);
/// Limit of cloning and of importing: large repositories take minutes.
const VERY_LONG: Duration = Duration::from_secs(30 * 60);

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The entity tag of the new content, without quotes.
    pub etag: String,
    /// Whether the file was not there before.
    pub created: bool,
}

impl Agent {
    /// Who the agent is, and the key that its environment is sealed to.
    ///
    /// # Errors
    /// [`AgentError::Protocol`] when it speaks another version.
    pub async fn hello(&self) -> Result<wire::Hello, AgentError> {
        let hello: wire::Hello = self.json(get("/v1/hello")?, SHORT).await?;
        check_protocol(&hello)?;
        Ok(hello)
    }

    /// Replaces the variables that processes get from now on. `info` must be what they were sealed with.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when they do not open.
    pub async fn put_environment(&self, environment: &wire::Environment) -> Result<(), AgentError> {
        self.done(
            with_json(Method::PUT, "/v1/environment", environment)?,
            SHORT,
        )
        .await
    }

    /// When something last happened in the container.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn activity(&self) -> Result<wire::Activity, AgentError> {
        self.json(get("/v1/activity")?, SHORT).await
    }

    /// Asks the agent to end in good order.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn shutdown(&self) -> Result<(), AgentError> {
        self.done(build(Method::POST, "/v1/shutdown", empty())?, SHORT)
            .await
    }

    /// Makes an empty project folder.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with 409 when the folder is there.
    pub async fn make_project(&self, folder: &str) -> Result<(), AgentError> {
        let body = wire::FolderRequest {
            folder: folder.to_owned(),
        };
        self.done(with_json(Method::POST, "/v1/mkproject", &body)?, SHORT)
            .await
    }

    /// Clones a repository; whole or not at all.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with git's last lines.
    pub async fn clone_project(&self, request: &wire::CloneRequest) -> Result<(), AgentError> {
        self.done(with_json(Method::POST, "/v1/clone", request)?, VERY_LONG)
            .await
    }

    /// Extracts an archive (`tar.gz` or `zip`) into a new folder; whole or not at all.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with what is wrong with the archive, 409 when the folder is there.
    pub async fn import(
        &self,
        folder: &str,
        format: &str,
        archive: Body,
    ) -> Result<wire::Imported, AgentError> {
        let path = format!(
            "/v1/import?folder={}&format={}",
            encode(folder),
            encode(format)
        );
        self.json(build(Method::PUT, &path, archive)?, VERY_LONG)
            .await
    }

    /// A file's content and entity tag; `None` when there is no such file.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with 413 when it is larger than `limit` bytes.
    pub async fn read_file(
        &self,
        path: &str,
        limit: usize,
    ) -> Result<Option<(bytes::Bytes, String)>, AgentError> {
        let answer = self.request(get(&files(path, ""))?).await?;
        if answer.status() == hyper::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        let length = answer
            .headers()
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > limit) {
            return Err(AgentError::Refused {
                status: 413,
                detail: format!(
                    "{path} is larger than {limit} bytes. Read a part of it with a command instead."
                ),
                etag: None,
            });
        }
        let etag = answer
            .headers()
            .get(header::ETAG)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let etag = etag.trim_matches('"').to_owned();
        Ok(Some((collect(answer.into_body(), limit).await?, etag)))
    }

    /// Writes a whole file and makes its folders. `expected`: the entity tag that it must still have, or `None` when
    /// it must not exist yet; leave the outer option out to write whatever is there.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with 412 when the file is not as expected.
    pub async fn write_file(
        &self,
        path: &str,
        content: impl Into<bytes::Bytes>,
        expected: Option<Option<&str>>,
    ) -> Result<Written, AgentError> {
        let mut request = build(Method::PUT, &files(path, "?parents=1"), bytes(content))?;
        match expected {
            Some(Some(etag)) => insert(&mut request, header::IF_MATCH, &format!("\"{etag}\""))?,
            Some(None) => insert(&mut request, header::IF_NONE_MATCH, "*")?,
            None => {}
        }
        let answer = self.request_within(request, LONG).await?;
        let created = answer.status() == hyper::StatusCode::CREATED;
        if !answer.status().is_success() {
            return Err(refusal(answer).await);
        }
        let body = collect(answer.into_body(), 64 << 10).await?;
        let written: wire::Written = serde_json::from_slice(&body)
            .map_err(|error| AgentError::Protocol(error.to_string()))?;
        Ok(Written {
            etag: written.etag,
            created,
        })
    }

    /// Deletes a file; with `recursive`, a folder and what is in it.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with 404 when it is not there.
    pub async fn delete_file(&self, path: &str, recursive: bool) -> Result<(), AgentError> {
        let query = if recursive { "?recursive=1" } else { "" };
        self.done(build(Method::DELETE, &files(path, query), empty())?, LONG)
            .await
    }

    /// What is in a folder.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with 404 when it is not there.
    pub async fn list(&self, path: &str) -> Result<wire::Listing, AgentError> {
        self.json(get(&files(path, "?list=1"))?, LONG).await
    }

    /// Lines that match.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when the expression is not valid.
    pub async fn search(
        &self,
        query: &wire::SearchQuery,
    ) -> Result<wire::SearchResult, AgentError> {
        let mut path = format!(
            "/v1/search?path={}&query={}&regex={}&case={}",
            encode(&query.path),
            encode(&query.query),
            query.regex,
            query.case
        );
        if let Some(glob) = &query.glob {
            path.push_str(&format!("&glob={}", encode(glob)));
        }
        if let Some(limit) = query.limit {
            path.push_str(&format!("&limit={limit}"));
        }
        self.json(get(&path)?, LONG).await
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// [`AgentError::Refused`] when it cannot be started.
    pub async fn exec(&self, request: &wire::ExecRequest) -> Result<wire::ExecResult, AgentError> {
        let limit =
            Duration::from_millis(request.timeout_ms.unwrap_or(120_000).min(3_600_000)) + LONG;
        self.json(with_json(Method::POST, "/v1/exec", request)?, limit)
            .await
    }

    /// Ports that something listens on.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn ports(&self) -> Result<wire::List<wire::Port>, AgentError> {
        self.json(get("/v1/ports")?, SHORT).await
    }

    /// A raw connection to a port inside the container.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with 502 when nothing listens there.
    pub async fn tunnel(&self, port: u16) -> Result<super::Upgraded, AgentError> {
        let mut request = get(&format!("/v1/ports/{port}/tunnel"))?;
        insert(&mut request, header::CONNECTION, "Upgrade")?;
        insert(&mut request, header::UPGRADE, wire::TUNNEL_UPGRADE)?;
        Ok(self.upgrade(request).await?.1)
    }
}

fn build(method: Method, path: &str, body: Body) -> Result<Request<Body>, AgentError> {
    Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .map_err(|error| AgentError::Protocol(format!("{path:?} cannot be asked for: {error}")))
}

fn get(path: &str) -> Result<Request<Body>, AgentError> {
    build(Method::GET, path, empty())
}

fn with_json<T: serde::Serialize>(
    method: Method,
    path: &str,
    value: &T,
) -> Result<Request<Body>, AgentError> {
    let body =
        serde_json::to_vec(value).map_err(|error| AgentError::Protocol(error.to_string()))?;
    let mut request = build(method, path, bytes(body))?;
    insert(&mut request, header::CONTENT_TYPE, "application/json")?;
    Ok(request)
}

fn insert(
    request: &mut Request<Body>,
    name: header::HeaderName,
    value: &str,
) -> Result<(), AgentError> {
    let value = value
        .parse()
        .map_err(|_| AgentError::Protocol(format!("{value:?} cannot be sent in {name}")))?;
    request.headers_mut().insert(name, value);
    Ok(())
}

/// The URI of a file: each part of its path percent-encoded.
fn files(path: &str, query: &str) -> String {
    let encoded: Vec<String> = path.split('/').map(encode).collect();
    if path.is_empty() {
        return format!("/v1/files{query}");
    }
    format!("/v1/files/{}{query}", encoded.join("/"))
}

/// Percent-encodes everything but unreserved characters (RFC 3986, section 2.3).
pub(super) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_part_by_part() {
        assert_eq!(
            files("projects/a b/ü?.ts", "?list=1"),
            "/v1/files/projects/a%20b/%C3%BC%3F.ts?list=1"
        );
        assert_eq!(files("", "?list=1"), "/v1/files?list=1");
    }
}
