//! The receiver's certificates, valid and faulty, and the handshake of each host.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use time::{Duration, OffsetDateTime};

use super::{ADDRESSES, DOMAIN, Mode};

/// A name that is not the receiver's.
const WRONG_NAME: &str = "another-host.test";

/// An issuer of certificates.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

/// A certificate chain and its key.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Ca {
    /// Returns a self-signed root.
    pub(super) fn new(name: &str) -> Result<Self> {
        let (params, key) = Self::asked(name)?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Returns an issuer below this one.
    fn intermediate(&self, name: &str) -> Result<Self> {
        let (params, key) = Self::asked(name)?;
        let pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    fn asked(name: &str) -> Result<(CertificateParams, KeyPair)> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Ok((params, KeyPair::generate()?))
    }

    fn certificate(&self) -> Result<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.pem.as_bytes()).context("the CA's certificate is not PEM")
    }

    /// Issues a certificate for all the receiver's names.
    pub(super) fn issue(&self) -> Result<Identity> {
        self.issue_with(&receiver_params()?)
    }

    /// Issues a certificate that expired yesterday.
    fn issue_expired(&self) -> Result<Identity> {
        let mut params = receiver_params()?;
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::days(90);
        params.not_after = now - Duration::days(1);
        self.issue_with(&params)
    }

    /// Issues a certificate for a name that is not the receiver's.
    fn issue_for_wrong_name(&self) -> Result<Identity> {
        let mut params = CertificateParams::new(vec![WRONG_NAME.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, WRONG_NAME);
        self.issue_with(&params)
    }

    /// Issues a certificate through an intermediate of this CA, with that intermediate in the chain.
    pub(super) fn issue_by_intermediate(&self) -> Result<Identity> {
        let intermediate = self.intermediate("Anzol test intermediate")?;
        let mut identity = intermediate.issue()?;
        identity.chain.push(intermediate.certificate()?);
        Ok(identity)
    }

    fn issue_with(&self, params: &CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        })
    }
}

impl Identity {
    /// Removes the intermediates from the chain.
    pub(super) fn alone(mut self) -> Self {
        self.chain.truncate(1);
        self
    }
}

fn receiver_params() -> Result<CertificateParams> {
    let names = vec![DOMAIN.to_owned(), format!("*.{DOMAIN}"), ADDRESSES.to_owned()];
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, DOMAIN);
    Ok(params)
}

/// The TLS configurations. Each has its own sessions, so that no session is resumed in another mode.
#[derive(Debug)]
pub(super) struct Handshakes {
    good: Arc<ServerConfig>,
    bad: Arc<ServerConfig>,
    expired: Arc<ServerConfig>,
    wrong_name: Arc<ServerConfig>,
    missing_intermediate: Arc<ServerConfig>,
    wants_client: Arc<ServerConfig>,
}

impl Handshakes {
    pub(super) fn new(ca: &Ca) -> Result<Self> {
        let mut wants_client = RootCertStore::empty();
        wants_client.add(ca.certificate()?)?;
        Ok(Self {
            good: config(ca.issue()?, None)?,
            bad: config(Ca::new("Untrusted issuer")?.issue()?, None)?,
            expired: config(ca.issue_expired()?, None)?,
            wrong_name: config(ca.issue_for_wrong_name()?, None)?,
            missing_intermediate: config(ca.issue_by_intermediate()?.alone(), None)?,
            wants_client: config(ca.issue()?, Some(wants_client))?,
        })
    }

    /// Returns the configuration for a mode; none when the host does not speak TLS.
    pub(super) fn of(&self, mode: Mode) -> Option<Arc<ServerConfig>> {
        let config = match mode {
            Mode::PlainHttp => return None,
            Mode::BadTls => &self.bad,
            Mode::ExpiredCert => &self.expired,
            Mode::WrongNameCert => &self.wrong_name,
            Mode::MissingIntermediate => &self.missing_intermediate,
            Mode::WantsClientCert => &self.wants_client,
            Mode::Ok | Mode::Stall | Mode::Endless | Mode::Cut | Mode::Reset | Mode::Raw => &self.good,
        };
        Some(Arc::clone(config))
    }
}

fn config(identity: Identity, clients: Option<RootCertStore>) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
        ),
    };
    let mut config = builder.with_single_cert(identity.chain, identity.key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
