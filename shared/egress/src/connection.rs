//! A connection to a receiver: name, vetted address, TCP, TLS, HTTP/1.1.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use anzol_domain::FailureKind;

use crate::error::{self, Failure};
use crate::resolver::VettingResolver;
use crate::tap::{Seen, Tap};
use crate::tls;

/// Maximum number of headers that hyper reads; [`crate::unusual`] reads a response with more. Our choice: hyper's default is 100.
pub(crate) const MAX_HEADERS: usize = 1_000;

/// A byte stream, with TLS or without.
trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

type Driver = http1::Connection<TokioIo<Tap<Box<dyn Bytestream>>>, Full<Bytes>>;

/// Opens connections.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    resolver: VettingResolver,
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
    http: http1::Builder,
}

impl Connector {
    pub(crate) fn new(resolver: VettingResolver, tls: rustls::ClientConfig, timeout: Duration) -> Self {
        let mut http = http1::Builder::new();
        // As lenient as browsers and curl.
        http.allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .max_headers(MAX_HEADERS);
        Self { resolver, tls: Arc::new(tls), timeout, http }
    }

    /// Opens a connection to the https server with this name.
    pub(crate) async fn connect(&self, host: &str) -> Result<Connection, Failure> {
        let made = tokio::time::timeout(self.timeout, self.make(host)).await;
        made.unwrap_or_else(|_| {
            let message = format!("no connection within {} s", self.timeout.as_secs());
            Err(Failure::new(FailureKind::Timeout, message))
        })
    }

    async fn make(&self, host: &str) -> Result<Connection, Failure> {
        let addresses = self.resolver.look_up(host).await?;
        // Without a port, an address with port 0 gets the https port.
        let target = Uri::builder().scheme("https").authority(host).path_and_query("/").build();
        let target = target.map_err(|error| unconnected(&error))?;
        let tcp = open(HttpConnector::new_with_resolver(Vetted(addresses)), target, self.timeout).await?;
        self.speak(Box::new(self.secure(host, tcp).await?)).await
    }

    /// Opens a connection to a trusted server of the deployment, at any address; without TLS if the URL has the scheme `http`.
    pub(crate) async fn connect_to_trusted(&self, url: &Uri) -> Result<Connection, Failure> {
        let tcp = open(HttpConnector::new(), url.clone(), self.timeout).await?;
        if url.scheme_str() == Some("https") {
            let host = url.host().unwrap_or_default();
            return self.speak(Box::new(self.secure(host, tcp).await?)).await;
        }
        self.speak(Box::new(tcp)).await
    }

    async fn secure(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| unconnected(&error))?;
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.map_err(|error| {
            let broken = error::find::<rustls::Error>(&error);
            broken.map_or_else(|| unconnected(&error), tls::failure)
        })
    }

    async fn speak(&self, stream: Box<dyn Bytestream>) -> Result<Connection, Failure> {
        let seen = Seen::default();
        let stream = TokioIo::new(Tap::new(stream, seen.clone()));
        let (sender, driver) = self.http.handshake(stream).await.map_err(|error| unconnected(&error))?;
        Ok(Connection { sender, driver: Some(Box::new(driver)), is_over: false, seen })
    }
}

/// Opens a TCP connection to the first address that answers.
async fn open<R>(
    mut connector: HttpConnector<R>,
    target: Uri,
    timeout: Duration,
) -> Result<TcpStream, Failure>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>>,
    <HttpConnector<R> as Service<Uri>>::Error: Error + 'static,
{
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // The timeout is divided among the addresses, so that one without a response leaves time for the others.
    connector.set_connect_timeout(Some(timeout));
    Ok(connector.call(target).await.map_err(|error| unconnected(&error))?.into_inner())
}

fn unconnected(error: &(dyn Error + 'static)) -> Failure {
    Failure::new(FailureKind::Connect, format!("the connection failed: {}", error::root(error)))
}

/// A resolver for hyper that returns the vetted addresses for any name.
#[derive(Clone)]
struct Vetted(Vec<SocketAddr>);

impl Service<Name> for Vetted {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        std::future::ready(Ok(std::mem::take(&mut self.0).into_iter()))
    }
}

/// A connection. It is driven only while a caller waits for it, so no connection runs in the background of a frozen function.
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` after [`Connection::read_on`].
    driver: Option<Box<Driver>>,
    is_over: bool,
    /// The received bytes.
    pub(crate) seen: Seen,
}

impl Connection {
    /// Sends a request. Returns the head of the response.
    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        self.seen.start();
        let Self { sender, driver, is_over, .. } = self;
        drive(driver, is_over, sender.ready()).await?;
        let answer = sender.send_request(request);
        drive(driver, is_over, answer).await
    }

    /// Drives the connection until `future` completes.
    pub(crate) async fn wait_for<F: Future>(&mut self, future: F) -> F::Output {
        drive(&mut self.driver, &mut self.is_over, future).await
    }

    /// Returns whether an idle connection is still usable, as far as this side knows.
    pub(crate) async fn is_usable(&mut self) -> bool {
        // Lets the reactor notice what arrived while the function was frozen.
        tokio::task::yield_now().await;
        std::future::poll_fn(|context| {
            poll(&mut self.driver, &mut self.is_over, context);
            Poll::Ready(())
        })
        .await;
        !self.is_over && self.sender.is_ready()
    }

    /// Continues to read after hyper failed, until `is_enough` holds for all received bytes, or the stream ends.
    pub(crate) async fn read_on(&mut self, is_enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut received = self.seen.beginning();
        let Some(driver) = self.driver.take() else { return received };
        let mut stream = driver.into_parts().io.into_inner();
        let mut piece = vec![0; 16 * 1024];
        while !is_enough(&received) {
            // The tap keeps the bytes, and fails if there are too many.
            let read = stream.read(&mut piece).await;
            received = self.seen.beginning();
            if !matches!(read, Ok(1..)) {
                break;
            }
        }
        received
    }
}

/// Drives a connection until `future`, which depends on it, completes.
async fn drive<F: Future>(driver: &mut Option<Box<Driver>>, is_over: &mut bool, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        if let Poll::Ready(done) = future.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        poll(driver, is_over, context);
        future.as_mut().poll(context)
    })
    .await
}

fn poll(driver: &mut Option<Box<Driver>>, is_over: &mut bool, context: &mut Context<'_>) {
    let Some(driver) = driver.as_mut().filter(|_| !*is_over) else { return };
    // An error also reaches the pending request. No shutdown, because there may be more to read.
    *is_over = driver.poll_without_shutdown(context).is_ready();
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    #[tokio::test]
    async fn k2_dead_address_leaves_time_for_the_next() {
        // A listener with a full backlog neither accepts nor rejects connections.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let full = socket.listen(1).unwrap();
        let dead = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(dead)).await
        {
            waiting.push(connected);
            assert!(waiting.len() < 1000, "the backlog never fills");
        }
        let alive = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = vec![dead, alive.local_addr().unwrap()];
        let start = Instant::now();
        let connector = HttpConnector::new_with_resolver(Vetted(addresses));
        let target = Uri::from_static("https://hooks.example.com/");
        let stream = open(connector, target, Duration::from_secs(2)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), alive.local_addr().unwrap());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}
