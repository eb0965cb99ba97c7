//! From when until when a certificate is valid (RFC 5280, section 4.1.2.5), which rustls checks and does not tell.

use yasna::models::{GeneralizedTime, UTCTime};
use yasna::tags::{TAG_GENERALIZEDTIME, TAG_UTCTIME};
use yasna::{ASN1Error, ASN1ErrorKind, ASN1Result, BERReader, Tag};

/// Both ends, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    pub from_ms: i64,
    pub until_ms: i64,
}

impl Validity {
    /// `None` when the certificate is not understood.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let parsed = yasna::parse_der(certificate, |reader| {
            reader.read_sequence(|reader| {
                let validity = reader.next().read_sequence(|reader| {
                    // Version, serial number, algorithm, issuer.
                    reader.read_optional(|reader| {
                        reader.read_tagged(Tag::context(0), |version| version.read_i64())
                    })?;
                    reader.next().read_bigint_bytes()?;
                    reader.next().read_der()?;
                    reader.next().read_der()?;
                    let validity = reader.next().read_sequence(|reader| {
                        Ok(Self {
                            from_ms: time(reader.next())?,
                            until_ms: time(reader.next())?,
                        })
                    })?;
                    // Subject, key, and whatever extensions there are.
                    while reader.read_optional(|rest| rest.read_der())?.is_some() {}
                    Ok(validity)
                })?;
                // Algorithm and signature.
                reader.next().read_der()?;
                reader.next().read_der()?;
                Ok(validity)
            })
        });
        parsed
            .ok()
            .filter(|validity| validity.from_ms < validity.until_ms)
    }
}

fn time(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    let seconds = match reader.lookahead_tag()? {
        TAG_UTCTIME => UTCTime::datetime(&reader.read_utctime()?).unix_timestamp(),
        TAG_GENERALIZEDTIME => {
            GeneralizedTime::datetime(&reader.read_generalized_time()?).unix_timestamp()
        }
        _ => return Err(ASN1Error::new(ASN1ErrorKind::Invalid)),
    };
    Ok(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time_are_read() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2024, 1, 1);
        // From 2050 on RFC 5280 wants the other form.
        params.not_after = rcgen::date_time_ymd(2051, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        assert_eq!(
            Validity::of(certificate.der()).unwrap(),
            Validity {
                from_ms: 1_704_067_200_000,
                until_ms: 2_556_144_000_000,
            }
        );
        assert_eq!(Validity::of(b"no certificate"), None);
        let cut = certificate.der().get(..60).unwrap();
        assert_eq!(Validity::of(cut), None);
    }
}
