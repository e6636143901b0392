//! TLS to receivers, and messages about its failures for the owner of a receiver.

use rustls::{AlertDescription, CertificateError, ClientConfig, InvalidMessage, RootCertStore};

use anzol_domain::FailureKind;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Failure;

/// Maximum number of a certificate's names that a message shows.
const MAX_NAMES: usize = 3;

/// Returns a configuration for TLS 1.2 and 1.3 with ring, the only TLS provider of the workspace.
pub(crate) fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into());
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Describes a failed TLS connection and how to fix it.
pub(crate) fn failure(error: &rustls::Error) -> Failure {
    Failure::new(FailureKind::Tls, format!("the TLS connection failed: {}", sentence(error)))
}

fn sentence(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate(error),
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "the receiver does not speak TLS on this port; does it serve plain HTTP there?".to_owned(),
        rustls::Error::AlertReceived(alert) => refused(*alert),
        rustls::Error::PeerIncompatible(_) => {
            format!(
                "the receiver supports none of the TLS versions and cipher suites of webhooks; TLS 1.2 or 1.3 is required ({error})"
            )
        }
        other => other.to_string(),
    }
}

/// Describes what is wrong with a receiver's certificate.
fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "the receiver's certificate is not issued by a trusted authority: the receiver does not send the intermediate \
             certificate, or the authority is private, or the certificate is self-signed"
                .to_owned()
        }
        CertificateError::Expired => "the receiver's certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the receiver's certificate expired at {}", moment(not_after.as_secs()))
        }
        CertificateError::NotValidYet => "the receiver's certificate is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the receiver's certificate is not valid before {}", moment(not_before.as_secs()))
        }
        CertificateError::NotValidForName => "the receiver's certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().take(MAX_NAMES).map(|name| shown(name)).collect();
            let names = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
            format!("the receiver's certificate is for {names}, not for {}", expected.to_str())
        }
        CertificateError::Revoked => "the receiver's certificate was revoked".to_owned(),
        other => format!("the receiver's certificate is not accepted: {other}"),
    }
}

/// Formats an untrusted name from a certificate. The library writes it as `DnsName("a.example")`.
fn shown(name: &str) -> String {
    let inner = name.strip_prefix("DnsName(\"").and_then(|name| name.strip_suffix("\")"));
    inner.unwrap_or(name).chars().take(253).collect::<String>().escape_debug().to_string()
}

/// Describes why a receiver closed the connection, by the alert that it sent.
fn refused(alert: AlertDescription) -> String {
    let name = format!("{alert:?}");
    match alert {
        AlertDescription::CertificateRequired => {
            "the receiver requires a client certificate, and webhooks have none".to_owned()
        }
        AlertDescription::HandshakeFailure
        | AlertDescription::BadCertificate
        | AlertDescription::NoCertificate
        | AlertDescription::AccessDenied => format!(
            "the receiver refused the connection ({name}): it may require a client certificate, which webhooks do not have, or other \
             cipher suites"
        ),
        AlertDescription::ProtocolVersion => {
            format!("the receiver refused TLS 1.2 and TLS 1.3 ({name}); it must support one of them")
        }
        AlertDescription::UnrecognisedName => {
            format!("the receiver has no certificate for this host name ({name})")
        }
        AlertDescription::NoApplicationProtocol => {
            format!("the receiver does not support HTTP/1.1 ({name})")
        }
        _ => format!("the receiver closed the connection ({name})"),
    }
}

/// Formats Unix seconds as a date and time.
fn moment(seconds: u64) -> String {
    let at =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("second {seconds}"))
}
