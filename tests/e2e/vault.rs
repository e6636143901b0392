//! Secrets as stored in the table of the deployed stack: sealed for one webhook, and unusable for another.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::*;

/// The minute that deliveries wait when secrets cannot be opened, plus the time in the queue.
const AFTER_THE_WAIT: Duration = Duration::from_secs(100);

fn key_of(hook: &Hook) -> Value {
    json!({ "pk": { "S": format!("TENANT#{}", context().acme) }, "sk": { "S": format!("WEBHOOK#{}", hook.id) } })
}

/// Returns the webhook's sealed secrets as stored in the table.
fn sealed(hook: &Hook) -> Value {
    let request =
        json!({ "TableName": context().stack.tables.webhooks, "Key": key_of(hook), "ConsistentRead": true });
    let item = context().aws.call("dynamodb", "DynamoDB_20120810.GetItem", &request).unwrap();
    let sealed = &item["Item"]["sealed"];
    assert!(sealed["M"]["ciphertext"]["B"].as_str().is_some_and(|text| text.len() > 100), "{item:#}");
    sealed.clone()
}

fn put_sealed(hook: &Hook, sealed: &Value) {
    let request = json!({
        "TableName": context().stack.tables.webhooks, "Key": key_of(hook),
        "UpdateExpression": "SET sealed = :sealed", "ExpressionAttributeValues": { ":sealed": sealed },
    });
    context().aws.call("dynamodb", "DynamoDB_20120810.UpdateItem", &request).unwrap();
}

#[test]
fn seal_opens_only_for_its_tenant_and_webhook() {
    let more = json!({ "secret": SECRET, "encryptedHeaders": { "X-Token": "for the receiver alone" } });
    let hook = Hook::new(&context().admin, "sealed", &[APP_CREATED], &more);
    let other = Hook::new(&context().admin, "sealed-too", &[APP_CREATED], &more);
    let ciphertext = sealed(&hook)["M"]["ciphertext"]["B"].clone();
    assert_ne!(
        ciphertext,
        sealed(&other)["M"]["ciphertext"]["B"],
        "equal secrets have different ciphertexts"
    );
    let open = |binding: Value| {
        let request = json!({ "CiphertextBlob": ciphertext, "EncryptionContext": binding });
        context().aws.call("kms", "TrentService.Decrypt", &request)
    };
    let opened = open(json!({ "tenant": context().acme, "webhook": hook.id })).unwrap();
    assert!(opened["Plaintext"].as_str().is_some_and(|text| text.len() > SECRET.len()));
    for wrong in [
        json!({ "tenant": context().globex, "webhook": hook.id }),
        json!({ "tenant": context().acme, "webhook": other.id }),
        json!({ "tenant": context().acme }),
        json!({}),
    ] {
        let refused = open(wrong.clone()).unwrap_err().to_string();
        assert!(refused.contains("InvalidCiphertextException"), "{wrong}: {refused}");
    }
}

#[test]
fn seal_of_another_webhook_defers_deliveries() {
    // The filter keeps other events away until the secrets are swapped.
    let space = unique("space");
    let with = |secret: &str| json!({ "secret": secret, "filter": only_in(&space) });
    let hook = Hook::new(&context().admin, "swapped", &[USER_DELETED], &with(SECRET));
    let other =
        Hook::new(&context().admin, "swapped-too", &[APP_CREATED], &with("another-secret-of-32-characters!"));
    let own = sealed(&hook);
    put_sealed(&hook, &sealed(&other));
    let (id, event) = event_in(&space, USER_DELETED);
    publish(&context().publisher, &event);
    let test = context().admin.post_nothing(&format!("{}/actions/test", hook.at())).unwrap();
    assert_refused(&test, 503, "");
    assert_eq!(test.header("retry-after"), "1", "{test}");
    sleep(SOON / 2);
    assert_eq!(
        context().control.requests(&hook.path).unwrap().len(),
        0,
        "nothing is sent with a wrong secret"
    );
    assert!(hook.rows(&id).is_empty(), "there was no attempt");

    put_sealed(&hook, &own);
    let received = eventually(AFTER_THE_WAIT, "delivery after the wait", || {
        let received = hook.received(&id);
        if received.is_empty() { Err("nothing".to_owned()) } else { Ok(received) }
    });
    assert_eq!(received[0].header("qlik-signature"), qlik_signature(SECRET, &received[0].body().unwrap()));
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    assert_eq!((&row["attempt"], row["status"].as_str()), (&json!(1), Some("success")), "{row:#}");
}
