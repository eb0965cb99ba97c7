//! The codec against itself and against noise.

use super::*;
use crate::vault::types::{Anchor, Audience, MacPurpose, Purpose, SystemPurpose, Tier, VaultError};

const ID: [u8; 16] = [7; 16];

fn binding() -> BindingRef<'static> {
    BindingRef {
        workspace: &ID,
        secret: &[9; 16],
        version: 3,
        name: "DATABASE_URL",
        purpose: Purpose::Environment,
        tier: Tier::Masked,
    }
}

fn samples() -> Vec<Request<'static>> {
    vec![
        Request::Status,
        Request::NewWorkspaceKey { workspace: &ID },
        Request::RewrapKey {
            workspace: &ID,
            key: b"key",
        },
        Request::Seal {
            key: b"key",
            binding: binding(),
            value: b"value",
        },
        Request::Reveal {
            key: b"key",
            binding: binding(),
            sealed: b"sealed",
        },
        Request::Deliver {
            audience: Audience::Person,
            key: b"key",
            recipient: &[4; 32],
            info: "container",
            items: vec![
                DeliverRef {
                    env: "A",
                    binding: binding(),
                    sealed: b"sealed",
                    expand: true,
                };
                3
            ],
            extra: vec![("B", b"value"), ("C", b"")],
        },
        Request::Mac {
            purpose: MacPurpose::Audit,
            data: b"data",
        },
        Request::TotpSeed { user: &ID },
        Request::TotpVerify {
            user: &ID,
            sealed: b"sealed",
            code: "123456",
            now_ms: -1,
            last_step: Some(5),
        },
        Request::TotpVerify {
            user: &ID,
            sealed: b"",
            code: "",
            now_ms: i64::MAX,
            last_step: None,
        },
        Request::SealSystem {
            purpose: SystemPurpose::Smtp,
            name: "main",
            value: b"value",
        },
        Request::OpenSystem {
            purpose: SystemPurpose::Smtp,
            name: "main",
            sealed: b"sealed",
        },
        Request::Anchor {
            message: &[1; 88],
            mac: &[2; 32],
        },
        Request::Anchors,
        Request::SubmissionKey,
        Request::SealSubmitted {
            key: b"key",
            binding: binding(),
            submission: SubmissionRef {
                root: 2,
                enc: &[5; 32],
                ciphertext: b"ciphertext",
            },
        },
        Request::Reseal {
            from_key: b"from",
            from: binding(),
            sealed: b"sealed",
            to_key: b"to",
            to: binding(),
        },
        Request::RewrapSystem {
            purpose: SystemPurpose::Smtp,
            name: "mail",
            sealed: b"sealed",
        },
        Request::RewrapTotp {
            user: &ID,
            sealed: b"sealed",
        },
        Request::Redactor { token: &[6; 32] },
        Request::Patterns {
            key: b"key",
            items: vec![
                PatternRef {
                    binding: binding(),
                    sealed: b"sealed",
                };
                2
            ],
        },
    ]
}

#[test]
fn requests_come_back_as_they_were() {
    for (id, request) in samples().into_iter().enumerate() {
        let frame = encode_request(id as u64, &request).unwrap();
        let (body, taken) = split_frame(frame.as_slice()).unwrap().unwrap();
        assert_eq!(taken, frame.len());
        let (decoded_id, decoded) = decode_request(body).unwrap();
        assert_eq!(decoded_id, id as u64);
        assert!(decoded == request, "{} changed on the wire", request.name());
    }
}

#[test]
fn every_truncation_and_every_extra_byte_is_an_error() {
    for request in samples() {
        let frame = encode_request(1, &request).unwrap();
        let body = &frame.as_slice()[4..];
        for end in 0..body.len() {
            assert!(decode_request(&body[..end]).is_err());
        }
        let mut longer = body.to_vec();
        longer.push(0);
        assert!(decode_request(&longer).is_err());
    }
}

#[test]
fn anchors_come_back_as_they_were() {
    let anchors = [(1, i64::MAX), (2, 0)].map(|(byte, seq)| Anchor {
        chain: [byte; 16],
        seq,
        mac: [byte; 32],
    });
    let frame = encode_reply(3, 64, |w| encode_anchors(w, &anchors)).unwrap();
    let (_, reader) = decode_reply(&frame.as_slice()[4..]).unwrap();
    assert_eq!(decode_anchors(reader.unwrap()).unwrap(), anchors);
}

#[test]
fn errors_come_back_as_they_were() {
    let errors = [
        VaultError::Refused {
            reason: "because".into(),
        },
        VaultError::DoesNotDecrypt,
        VaultError::TooLarge {
            what: "a value".into(),
            bytes: 9,
            limit: 8,
        },
        VaultError::Throttled { retry_after_ms: 10 },
        VaultError::NotRecorded,
        VaultError::Protocol {
            detail: "what".into(),
        },
    ];
    for error in errors {
        let frame = encode_error(2, &error).unwrap();
        let (id, reply) = decode_reply(&frame.as_slice()[4..]).unwrap();
        assert_eq!((id, reply.err()), (2, Some(error)));
    }
}

/// xorshift64*: repeatable noise, so that a failure can be run again.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn decode_everything(bytes: &[u8]) {
    let _ = split_frame(bytes);
    if let Ok((id, request)) = decode_request(bytes) {
        // What is understood has one form: nothing that was read is left out of what it means.
        let again = encode_request(id, &request).unwrap();
        assert!(again.as_slice()[4..] == *bytes, "{bytes:?}");
    }
    if let Ok((_, Ok(reader))) = decode_reply(bytes) {
        let _ = decode_status(reader.clone());
        let _ = decode_anchors(reader);
    }
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise(0x5eed);
    for _ in 0..100_000 {
        let length = (noise.next() % 300) as usize;
        let mut bytes: Vec<u8> = (0..length).map(|_| noise.next() as u8).collect();
        decode_everything(&bytes);
        // The same, past the version check and into a real operation.
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        if let Some(code) = bytes.get_mut(9) {
            *code %= 19;
        }
        decode_everything(&bytes);
    }
}

#[test]
fn mutated_requests_never_panic() {
    let mut noise = Noise(0xf00d);
    for request in samples() {
        let frame = encode_request(1, &request).unwrap();
        for _ in 0..20_000 {
            let mut bytes = frame.as_slice()[4..].to_vec();
            for _ in 0..=noise.next() % 4 {
                let at = (noise.next() % bytes.len() as u64) as usize;
                bytes[at] = match noise.next() % 4 {
                    0 => 0xff,
                    1 => 0,
                    _ => noise.next() as u8,
                };
            }
            decode_everything(&bytes);
        }
    }
}

#[test]
fn announced_sizes_cost_nothing_before_they_arrive() {
    // A list of four thousand million items in a frame of a few bytes.
    let mut w = Writer::new(1, 6, 0);
    w.u8(Audience::Container.number());
    w.bytes(b"key");
    w.fixed(&[0; 32]);
    w.bytes(b"info");
    w.u32(u32::MAX);
    let frame = w.finish().unwrap();
    assert_eq!(
        decode_request(&frame.as_slice()[4..]).err(),
        Some(DecodeError::Truncated { field: "variable" })
    );
    assert_eq!(
        split_frame(&[0x7f, 0xff, 0xff, 0xff]).err(),
        Some(DecodeError::TooLong { bytes: 0x7fff_ffff })
    );
    assert_eq!(split_frame(&[0, 0]), Ok(None));
    assert!(matches!(
        encode_request(
            1,
            &Request::Mac {
                purpose: MacPurpose::Audit,
                data: &vec![0; MAX_FRAME]
            }
        )
        .err(),
        Some(DecodeError::TooLong { .. })
    ));
}
