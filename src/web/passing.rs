//! Bodies that must not go on for ever: answers that end with a right, and requests that stand still.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Longest pause between two pieces of a request's body.
const PAUSE: Duration = Duration::from_secs(30);

type Polled = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

/// `body`, which breaks off when `ended` does: what was sent until then must not look like the whole.
pub fn cut_when(ended: impl Future<Output = ()> + Send + 'static, body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Cut {
        body,
        ended: Box::pin(ended),
    })
}

struct Cut {
    body: Body,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        // First, for a body that always has more would never let it be asked.
        if this.ended.as_mut().poll(context).is_ready() {
            this.ended = Box::pin(std::future::ready(()));
            this.body = Body::empty();
            return Poll::Ready(Some(Err(axum::Error::new("the right to it has ended"))));
        }
        Pin::new(&mut this.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body, which breaks off when nothing of it came for half a minute while somebody waited for it: else it
/// would keep what it holds (a file, a connection to an agent) for as long as its sender likes.
pub fn without_pauses(body: Body) -> Body {
    without(body, PAUSE)
}

fn without(body: Body, longest: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Unpaused {
        body,
        longest,
        pause: None,
    })
}

struct Unpaused {
    body: Body,
    longest: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for Unpaused {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if polled.is_ready() {
            this.pause = None;
            return polled;
        }
        let longest = this.longest;
        let pause = this.pause.get_or_insert_with(|| Box::pin(sleep(longest)));
        if pause.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        let text = format!("nothing more of it came for {} s", longest.as_secs());
        Poll::Ready(Some(Err(axum::Error::new(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            text,
        )))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    fn pieces(count: usize) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
        stream::repeat_with(|| Ok(Bytes::from_static(b"x"))).take(count)
    }

    #[tokio::test]
    async fn a_cut_body_fails_and_does_not_just_end() {
        let endless = Body::from_stream(pieces(usize::MAX));
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let ended = async {
            let _ = ended.await;
        };
        let mut body = cut_when(ended, endless);
        for _ in 0..10 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        end.send(()).unwrap();
        assert!(body.frame().await.unwrap().is_err());

        let silent = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let mut body = cut_when(std::future::ready(()), silent);
        assert!(body.frame().await.unwrap().is_err());
        let whole = cut_when(std::future::pending(), Body::from("whole"));
        assert_eq!(whole.size_hint().exact(), Some(5));
        assert_eq!(whole.collect().await.unwrap().to_bytes(), "whole");
    }

    #[tokio::test]
    async fn a_body_that_stands_still_breaks_off() {
        let longest = Duration::from_secs(2);
        // Longer than that as a whole, and never still for that long.
        let slow = pieces(8).then(|piece| async {
            sleep(Duration::from_millis(300)).await;
            piece
        });
        let body = without(Body::from_stream(slow), longest);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "xxxxxxxx");
        let stands = pieces(1).chain(stream::pending());
        let mut body = without(Body::from_stream(stands), longest);
        assert!(body.frame().await.unwrap().is_ok());
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("2 s"), "{error}");
    }
}
