//! Baseline of `ingest`: the plain SDK's cost of the two calls that an event needs. Reads an item, sends the request's body to a queue, and
//! answers 202.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use lambda_http::{Body, Error, Request, Response, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let config = anzol_runtime::aws::config()?;
    let (database, queue) = (&aws_sdk_dynamodb::Client::new(&config), &aws_sdk_sqs::Client::new(&config));
    let handler = |request: Request| async move {
        let key = |name: &str| (name.to_owned(), AttributeValue::S("BASELINE".to_owned()));
        let read = database.get_item().table_name("webhooks").consistent_read(true);
        read.set_key(Some(HashMap::from([key("pk"), key("sk")]))).send().await?;
        let Body::Text(body) = request.into_body() else { return Err("no text".into()) };
        let url = "https://sqs.us-east-1.amazonaws.com/1/fast";
        queue.send_message().queue_url(url).message_body(body).send().await?;
        Ok::<_, Error>(Response::builder().status(202).body(Body::Empty)?)
    };
    lambda_http::run(service_fn(handler)).await
}
