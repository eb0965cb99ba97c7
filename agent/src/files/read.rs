//! Reading a file: whole, one range, or only the headers (RFC 9110 section 14).

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use rustix::fs::OFlags;
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::etag::{self, Tagged};
use crate::app::{App, blocking};
use crate::home::{Home, RelPath};
use crate::problem::{Problem, shown};

/// Opens a regular file beneath the home; others (folders, pipes) are refused.
pub fn open(home: &Home, path: &RelPath, doing: &str) -> Result<File, Problem> {
    // NONBLOCK: opening a pipe must not wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: File = home
        .open_beneath(Path::new(path.as_str()), flags)
        .map_err(|errno| Problem::from_errno(doing, path.as_str(), errno))?
        .into();
    let kind = file
        .metadata()
        .map_err(|error| Problem::from_io(doing, path.as_str(), &error))?
        .file_type();
    if kind.is_dir() {
        return Err(Problem::conflict(format!(
            "{} is a folder; add ?list=1 to list it.",
            shown(path.as_str())
        )));
    }
    if !kind.is_file() {
        return Err(Problem::unprocessable(format!(
            "{} is not a regular file; only regular files can be read.",
            shown(path.as_str())
        )));
    }
    Ok(file)
}

pub async fn read(app: App, path: RelPath, headers: &HeaderMap) -> Result<Response, Problem> {
    let opened = path.clone();
    let (mut file, tagged) = blocking(move || {
        let mut file = open(&app.home, &opened, "read")?;
        let tagged = etag::tag(&mut file)
            .map_err(|error| Problem::from_io("read", opened.as_str(), &error))?;
        Ok((file, tagged))
    })
    .await?;
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let quoted = format!("\"{}\"", tagged.etag);
    let mut answer = HeaderMap::new();
    answer.insert(header::ETAG, value(&quoted));
    answer.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if text(header::IF_NONE_MATCH).is_some_and(|list| etag::list_names(list, &tagged.etag, true)) {
        return Ok((StatusCode::NOT_MODIFIED, answer).into_response());
    }
    // RFC 9110 13.1.5: a range of something else is of no use; send the whole.
    let same = text(header::IF_RANGE).is_none_or(|tag| tag == quoted);
    let range = match text(header::RANGE).filter(|_| same) {
        Some(range) => range_of(range, tagged.size),
        None => Range::Whole,
    };
    let (status, start, length) = match range {
        Range::Whole => (StatusCode::OK, 0, tagged.size),
        Range::Part { start, length } => {
            let last = start + length - 1;
            let part = format!("bytes {start}-{last}/{}", tagged.size);
            answer.insert(header::CONTENT_RANGE, value(&part));
            (StatusCode::PARTIAL_CONTENT, start, length)
        }
        Range::Outside => {
            let mut response = Problem::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "bad_request",
                "Range not satisfiable",
                format!(
                    "{} has {} bytes; ask for a range within.",
                    shown(path.as_str()),
                    tagged.size
                ),
            )
            .into_response();
            let size = format!("bytes */{}", tagged.size);
            response
                .headers_mut()
                .insert(header::CONTENT_RANGE, value(&size));
            return Ok(response);
        }
    };
    answer.insert(header::CONTENT_TYPE, content_type(path.as_str(), &tagged));
    answer.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    let body = match tagged.content {
        Some(content) => {
            let from = usize::try_from(start).unwrap_or(usize::MAX);
            let to = usize::try_from(start + length).unwrap_or(usize::MAX);
            Body::from(Bytes::from(content).slice(from..to))
        }
        None => {
            file.seek(SeekFrom::Start(start))
                .map_err(|error| Problem::from_io("read", path.as_str(), &error))?;
            let file = tokio::fs::File::from_std(file).take(length);
            Body::from_stream(ReaderStream::with_capacity(file, 64 << 10))
        }
    };
    Ok((status, answer, body).into_response())
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    Part { start: u64, length: u64 },
    Outside,
}

/// One `bytes=` range; several, or what is malformed, are ignored as RFC 9110 14.2 allows.
fn range_of(text: &str, size: u64) -> Range {
    let Some((from, to)) = text
        .strip_prefix("bytes=")
        .filter(|spec| !spec.contains(','))
        .and_then(|spec| spec.trim().split_once('-'))
    else {
        return Range::Whole;
    };
    let (start, end) = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => (from, to.saturating_add(1).min(size)),
        (Ok(from), _) if to.is_empty() => (from, size),
        (_, Ok(last)) if from.is_empty() => (size - last.min(size), size),
        _ => return Range::Whole,
    };
    if start >= end {
        return Range::Outside;
    }
    Range::Part {
        start,
        length: end - start,
    }
}

/// Deliberately few types, none that a browser would run.
fn content_type(path: &str, tagged: &Tagged) -> HeaderValue {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension);
    let by_name = match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "ico" => "image/x-icon",
        _ => "",
    };
    if !by_name.is_empty() {
        return HeaderValue::from_static(by_name);
    }
    let text = tagged
        .content
        .as_deref()
        .is_some_and(|content| !content.contains(&0) && std::str::from_utf8(content).is_ok());
    HeaderValue::from_static(if text {
        "text/plain; charset=utf-8"
    } else {
        "application/octet-stream"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let part = |start, length| Range::Part { start, length };
        assert_eq!(range_of("bytes=0-0", 10), part(0, 1));
        assert_eq!(range_of("bytes=5-", 10), part(5, 5));
        assert_eq!(range_of("bytes=-3", 10), part(7, 3));
        assert_eq!(range_of("bytes=-30", 10), part(0, 10));
        assert_eq!(range_of("bytes=2-99", 10), part(2, 8));
        assert_eq!(range_of("bytes=10-", 10), Range::Outside);
        assert_eq!(range_of("bytes=-0", 10), Range::Outside);
        assert_eq!(range_of("bytes=0-", 0), Range::Outside);
        for ignored in [
            "bytes=1-2,4-5",
            "bytes=5-2",
            "lines=1-2",
            "bytes=x-y",
            "bytes=-",
        ] {
            assert_eq!(range_of(ignored, 10), Range::Whole, "{ignored}");
        }
    }
}
