//! Baseline of HTTP functions: answers every request with 202.

use lambda_http::{Body, Error, Request, Response, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let handler = |_: Request| async { Ok::<_, Error>(Response::builder().status(202).body(Body::Empty)?) };
    lambda_http::run(service_fn(handler)).await
}
