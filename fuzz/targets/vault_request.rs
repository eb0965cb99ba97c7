//! What the vault process reads from its socket: frames, and the request in each. Whatever is understood must be written
//! again as it came, so that nothing has two meanings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use optidev_fuzz::vault::protocol::{decode_request, encode_request, split_frame};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    while let Ok(Some((body, taken))) = split_frame(rest) {
        if let Ok((id, request)) = decode_request(body) {
            let again = encode_request(id, &request).unwrap();
            assert_eq!(&rest[..taken], again.as_slice());
        }
        rest = &rest[taken..];
    }
    // A body alone, so that the fuzzer need not find a length first.
    if let Ok((id, request)) = decode_request(bytes) {
        let again = encode_request(id, &request).unwrap();
        assert_eq!(bytes, &again.as_slice()[4..]);
    }
});
