//! What the server reads from the vault: replies, and what their bodies hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use optidev_fuzz::vault::protocol::{decode_anchors, decode_reply, decode_status};

fuzz_target!(|bytes: &[u8]| {
    for read in [
        |bytes| drop(decode_reply(bytes).map(|(_, reply)| reply.map(decode_status))),
        |bytes: &[u8]| drop(decode_reply(bytes).map(|(_, reply)| reply.map(decode_anchors))),
    ] {
        read(bytes);
    }
});
