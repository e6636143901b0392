//! Calls to AWS over failing connections: closed connections and truncated answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anzol_domain::{TenantId, WebhookId};
use anzol_runtime::now;
use anzol_store::Webhooks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::config;

const EMPTY: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}";
const TRUNCATED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 200\r\n\r\n{\"Item\":";

/// Reads one request to its end.
async fn read(stream: &mut TcpStream) -> bool {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
            if body.len() >= length.parse().unwrap() {
                return true;
            }
        }
        if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}

/// Starts a table whose nth request gets the nth answer, further ones the last; `close` closes the connection after each answer.
async fn table(answers: &'static [&'static str], close: bool) -> (Webhooks, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                while read(&mut stream).await {
                    let index = counted.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                    stream.write_all(answers[index].as_bytes()).await.unwrap();
                    if close || answers[index] != EMPTY {
                        break;
                    }
                }
            });
        }
    });
    (Webhooks::new(&config(endpoint), "webhooks"), requests)
}

async fn get(table: &Webhooks) {
    let tenant = TenantId::parse("acme").unwrap();
    assert!(table.get(&tenant, WebhookId::mint(now())).await.unwrap().is_none());
}

#[tokio::test]
async fn truncated_answer_is_retried() {
    let (table, requests) = table(&[TRUNCATED, EMPTY], false).await;
    get(&table).await;
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn connection_closed_before_the_answer_is_retried() {
    let (table, requests) = table(&["", EMPTY], false).await;
    get(&table).await;
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

/// AWS closes connections that have been idle for long, such as those of a frozen function.
#[tokio::test]
async fn connection_closed_after_the_answer_causes_no_retry() {
    let (table, requests) = table(&[EMPTY], true).await;
    for _ in 0..20 {
        get(&table).await;
    }
    assert_eq!(requests.load(Ordering::SeqCst), 20);
}
