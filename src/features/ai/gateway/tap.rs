//! An answer's body that is read along: each frame passes as it comes, a copy feeds the usage reader.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::super::usage::UsageReader;
use crate::kernel::{UserId, WorkspaceId};

/// Whose tokens are counted.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Who asked.
    pub user: UserId,
}

/// A body with a usage reader beside it. Dropped, it logs what was used; the client may have left before the end.
pub struct Tap<B> {
    body: B,
    reader: UsageReader,
    account: Account,
    ended: bool,
}

impl<B> Tap<B> {
    /// Reads along `body`, whose media type is `content_type`.
    pub fn new(body: B, content_type: &str, account: Account) -> Self {
        Self {
            body,
            reader: UsageReader::new(content_type),
            account,
            ended: false,
        }
    }
}

impl<B> Body for Tap<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    this.reader.feed(bytes);
                }
            }
            Poll::Ready(None) => this.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Tap<B> {
    fn drop(&mut self) {
        let Some(usage) = self.reader.usage() else {
            return;
        };
        tracing::info!(
            target: "ai.usage",
            workspace = %self.account.workspace,
            user = %self.account.user,
            via = "gateway",
            input_tokens = usage.input_tokens,
            output_tokens = usage.output_tokens,
            cache_read_tokens = usage.cache_read_tokens,
            cache_write_tokens = usage.cache_write_tokens,
            ended = self.ended,
        );
    }
}
