//! One connection to the vault process, shared by all calls that are under way.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::sleep,
};

use crate::vault::{
    protocol::{Buffer, decode_reply, split_frame},
    types::VaultError,
};

/// Requests that may wait for the writer before callers have to wait for room.
const QUEUE: usize = 1024;

/// How much is read at once.
const READ: usize = 64 * 1024;

/// How long the reader may take to find what the vault said before it hung up.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How the calls of one connection end.
#[derive(Default)]
struct Calls {
    waiting: HashMap<u64, oneshot::Sender<Buffer>>,
    closed: bool,
    /// What the vault said before it hung up, such as that this uid is not its parent's.
    farewell: Option<VaultError>,
}

/// An open connection. Its two tasks end with it: when the last holder drops it, when the vault
/// process goes away, or when either side sends nonsense.
pub(super) struct Connection {
    outgoing: mpsc::Sender<Buffer>,
    calls: Arc<Mutex<Calls>>,
    /// Aborts both tasks on drop, so that nothing outlives the client and no tracker is needed.
    _tasks: JoinSet<()>,
}

/// Why a call got no reply.
pub(super) enum Lost {
    /// The connection ended; the call may be tried on another one.
    Ended,
    /// The vault hung up and said why; another connection will not help.
    Dismissed(VaultError),
}

impl Connection {
    /// Connects to `socket`.
    pub(super) async fn open(socket: &Path) -> std::io::Result<Self> {
        let (reading, writing) = UnixStream::connect(socket).await?.into_split();
        let (outgoing, queue) = mpsc::channel(QUEUE);
        let calls = Arc::new(Mutex::new(Calls::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(read_replies(reading, Arc::clone(&calls)));
        tasks.spawn(write_requests(writing, queue, Arc::clone(&calls)));
        Ok(Self {
            outgoing,
            calls,
            _tasks: tasks,
        })
    }

    /// True once the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.calls).closed
    }

    /// Sends a request's frame and waits for the body of its reply.
    pub(super) async fn call(&self, id: u64, frame: Buffer) -> Result<Buffer, Lost> {
        let (sender, reply) = oneshot::channel();
        {
            let mut calls = lock(&self.calls);
            if calls.closed {
                return Err(calls.lost());
            }
            calls.waiting.insert(id, sender);
        }
        // A call that is cancelled or too late must not leave its entry behind.
        let _forget = Forget {
            calls: &self.calls,
            id,
        };
        if self.outgoing.send(frame).await.is_err() {
            return Err(lock(&self.calls).lost());
        }
        match reply.await {
            Ok(body) => Ok(body),
            Err(_) => Err(lock(&self.calls).lost()),
        }
    }
}

impl Calls {
    fn lost(&self) -> Lost {
        self.farewell.clone().map_or(Lost::Ended, Lost::Dismissed)
    }
}

struct Forget<'a> {
    calls: &'a Mutex<Calls>,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        lock(self.calls).waiting.remove(&self.id);
    }
}

/// Ends every call of a connection when either task stops, for whatever reason.
struct Close(Arc<Mutex<Calls>>);

impl Drop for Close {
    fn drop(&mut self) {
        let mut calls = lock(&self.0);
        calls.closed = true;
        calls.waiting.clear();
    }
}

async fn read_replies(mut from: OwnedReadHalf, calls: Arc<Mutex<Calls>>) {
    let close = Close(calls);
    let mut buffer = Buffer::with_capacity(READ);
    loop {
        let room = buffer.grow(READ);
        let Ok(count) = from.read(room).await else {
            return;
        };
        buffer.truncate_tail(READ - count);
        if count == 0 {
            return;
        }
        loop {
            let taken = match split_frame(buffer.as_slice()) {
                Ok(Some((body, taken))) => {
                    if !hand_over(&close.0, body) {
                        return;
                    }
                    taken
                }
                Ok(None) => break,
                Err(_) => return,
            };
            buffer.consume(taken);
        }
    }
}

/// Gives a reply to the call that waits for it; false when the bytes are no reply.
fn hand_over(calls: &Mutex<Calls>, body: &[u8]) -> bool {
    let Ok((id, reply)) = decode_reply(body) else {
        return false;
    };
    let mut calls = lock(calls);
    if id == 0 {
        // Id 0 belongs to no request: it is what the vault says before it hangs up.
        calls.farewell = reply.err();
        return false;
    }
    if let Some(caller) = calls.waiting.remove(&id) {
        let mut copy = Buffer::with_capacity(body.len());
        copy.extend(body);
        // The caller may have given up in this moment; the copy is wiped then.
        drop(caller.send(copy));
    }
    true
}

async fn write_requests(
    mut to: OwnedWriteHalf,
    mut queue: mpsc::Receiver<Buffer>,
    calls: Arc<Mutex<Calls>>,
) {
    const TOGETHER: usize = 64;
    let _close = Close(calls);
    let mut frames = Vec::with_capacity(TOGETHER);
    // One write for all that is waiting: under load a system call serves many requests.
    while queue.recv_many(&mut frames, TOGETHER).await > 0 {
        let mut batch = match frames.len() {
            1 => frames.pop().unwrap_or_default(),
            _ => {
                let mut batch = Buffer::with_capacity(frames.iter().map(Buffer::len).sum());
                for frame in frames.drain(..) {
                    batch.extend(frame.as_slice());
                }
                batch
            }
        };
        if to.write_all(batch.as_slice()).await.is_err() {
            // The vault hung up. What it said before may still be unread, and the reader ends the
            // calls when it has read that; this ends them only should it not come to that.
            sleep(LAST_WORDS).await;
            return;
        }
        batch.clear();
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    // No code panics while it holds the lock, and the state is whole at every point.
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}
