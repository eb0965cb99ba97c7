//! What can go wrong with objects.

use std::io;

use object_store::client::HttpErrorKind;

/// Why an object cannot be kept or had.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// A setting is wrong.
    #[error("[objects] {0}")]
    Setting(String),
    /// This installation keeps none.
    #[error("[objects] kind is \"none\"")]
    NotConfigured,
    /// No name of an object that could be meant.
    #[error("{0:?} is no name of an object of this workspace")]
    Key(String),
    /// There is no such object.
    #[error("the object is not there")]
    Absent,
    /// The disk does not do it.
    #[error("the disk does not do it: {0}")]
    Disk(#[from] io::Error),
    /// The storage refuses, with its own code: waiting does not help.
    #[error(
        "the object storage refuses ({0}): check the key, the bucket, the region and what the key may do"
    )]
    Refused(String),
    /// It cannot be reached, does not answer in time, or has a fault of its own.
    #[error("the object storage does not answer as it should: {0}")]
    Unavailable(String),
}

impl ObjectsError {
    /// Whether waiting may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// What the storage said, without the words of its answer: they repeat what was asked, signatures included.
    pub(super) fn told(error: &object_store::Error) -> Self {
        use object_store::Error;
        let whole = chain(error);
        let code = code(&whole);
        match (error, code) {
            // A bucket that is not there is no object that is not there.
            (Error::NotFound { .. }, Some(code))
                if code != "NoSuchKey" && code != "NoSuchUpload" =>
            {
                Self::Refused(code)
            }
            (Error::NotFound { .. }, _) => Self::Absent,
            (Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, code) => {
                Self::Refused(
                    code.unwrap_or_else(|| "it takes no such key, or not for this".to_owned()),
                )
            }
            // No answer that is worth following: where the bucket is, is for the settings to say.
            (_, None) if whole.contains("redirect") => {
                Self::Refused("a redirect, so the bucket is elsewhere".to_owned())
            }
            (_, Some(code)) if !is_passing(&code) => Self::Refused(code),
            (_, Some(code)) => Self::Unavailable(code),
            (_, None) => Self::Unavailable(kind(error)),
        }
    }
}

/// Codes that say "later".
fn is_passing(code: &str) -> bool {
    [
        "InternalError",
        "ServiceUnavailable",
        "SlowDown",
        "RequestTimeout",
        "OperationAborted",
        "Busy",
        "TooManyRequests",
    ]
    .contains(&code)
}

/// The texts of an error and of what is behind it.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The code in an error of S3's, which is a document of XML.
fn code(text: &str) -> Option<String> {
    let (_, after) = text.split_once("<Code>")?;
    let (code, _) = after.split_once("</Code>")?;
    let plain = !code.is_empty()
        && code.len() <= 64
        && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    plain.then(|| code.to_owned())
}

/// What happened on the way, in words of our own.
fn kind(error: &object_store::Error) -> String {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(http) = error.downcast_ref::<object_store::client::HttpError>() {
            return match http.kind() {
                HttpErrorKind::Connect => "no connection",
                HttpErrorKind::Timeout => "no answer in time",
                HttpErrorKind::Interrupted | HttpErrorKind::Request => "the connection broke",
                _ => "an answer that is not understood, or a certificate that does not fit",
            }
            .to_owned();
        }
        source = error.source();
    }
    "an answer that is not understood".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    fn absent(text: &str) -> object_store::Error {
        object_store::Error::NotFound {
            path: "p".to_owned(),
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn an_answer_is_told_by_its_code_alone() {
        let signed = "403: <Error><Code>SignatureDoesNotMatch</Code><StringToSign>AWS4 hunter2</StringToSign></Error>";
        let error = ObjectsError::told(&generic(signed));
        assert!(!error.is_passing());
        let text = error.to_string();
        assert!(
            text.contains("SignatureDoesNotMatch") && !text.contains("hunter2"),
            "{text}"
        );
        let later = ObjectsError::told(&generic("<Code>SlowDown</Code>"));
        assert!(later.is_passing(), "{later}");
        assert!(matches!(
            ObjectsError::told(&absent("<Code>NoSuchKey</Code>")),
            ObjectsError::Absent
        ));
        assert!(matches!(
            ObjectsError::told(&absent("")),
            ObjectsError::Absent
        ));
        assert!(matches!(
            ObjectsError::told(&absent("<Code>NoSuchBucket</Code>")),
            ObjectsError::Refused(_)
        ));
        assert!(ObjectsError::told(&generic("<Code><script></Code>")).is_passing());
    }
}
