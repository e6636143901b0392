//! Free TCP ports on this machine.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// Returns the requested port, or the first free one of the hundred from `first`; fails when the requested port is taken.
pub(crate) fn choose_port(requested: Option<u16>, first: u16) -> Result<u16> {
    if let Some(port) = requested {
        ensure!(
            is_free(port),
            "port {port} is taken; choose another with --port, or omit the option to use the next free one"
        );
        return Ok(port);
    }
    (first..first.saturating_add(100))
        .find(|port| is_free(*port))
        .with_context(|| format!("none of the ports {first} to {} is free", first.saturating_add(99)))
}

/// Returns whether a port accepts no connection on either address of `localhost` and can be bound.
fn is_free(port: u16) -> bool {
    let answers =
        |address: SocketAddr| TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
    !answers((Ipv4Addr::LOCALHOST, port).into())
        && !answers((Ipv6Addr::LOCALHOST, port).into())
        && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
