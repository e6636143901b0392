//! Baseline of deliveries: a client that only POSTs a body over persistent TLS connections, ten at a time.
//!
//! Arguments: URL, address to connect to, CA file (PEM), body file. For each number on a line of standard input, it sends that many POSTs
//! and prints how many were answered with 200.

use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

type Error = Box<dyn std::error::Error>;

const CONCURRENCY: usize = 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let mut word = || words.next().ok_or("post URL ADDRESS CA_FILE BODY_FILE");
    let (url, address, authority, body) = (word()?, word()?, word()?, word()?);
    let (address, body): (SocketAddr, String) = (address.parse()?, std::fs::read_to_string(body)?);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let url: reqwest::Url = url.parse()?;
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve(url.host_str().ok_or("no host")?, address)
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()?;
    for line in std::io::stdin().lock().lines() {
        let posts = (0..line?.trim().parse::<usize>()?).map(|_| {
            let request =
                client.post(url.clone()).header("content-type", "application/json").body(body.clone());
            async {
                let answer = request.send().await?;
                let good = answer.status() == 200;
                answer.bytes().await?;
                Ok::<_, reqwest::Error>(good)
            }
        });
        let answers: Vec<_> = futures::stream::iter(posts).buffer_unordered(CONCURRENCY).collect().await;
        let good = answers.into_iter().filter(|answer| matches!(answer, Ok(true))).count();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{good}")?;
        out.flush()?;
    }
    Ok(())
}
