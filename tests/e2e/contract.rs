//! The contract's additions to a webhook: filters, renamed event types, encrypted headers, both base paths.

use anzol_tests::receiver::Behavior;
use serde_json::json;

use crate::kit::*;

const CORE: &str = "/api/core/webhooks";

#[test]
fn filter_delivers_only_matching_events() {
    let wanted = unique("app");
    let filter = format!("id eq \"{wanted}\" and spaceId ne \"attic\"");
    let hook = Hook::new(&context().admin, "filtered", &[APP_CREATED], &json!({ "filter": filter }));
    assert_eq!(hook.created["filter"], filter);
    let publish_app = |id: &str, space: &str| {
        let (event_id, mut event) = cloud_event(APP_CREATED, &context().acme);
        event["data"]["id"] = json!(id);
        event["spaceid"] = json!(space);
        publish(&context().publisher, &event);
        event_id
    };
    let (other, attic) = (publish_app("another-app", "s"), publish_app(&wanted, "attic"));
    hook.await_received(&publish_app(&wanted, "s"), 1);
    hook.assert_not_received(&other);
    hook.assert_not_received(&attic);

    // After its filter is removed, the webhook matches all events that are published later.
    let at = format!("{CORE}/{}", hook.id);
    let drop = json!([{ "op": "remove", "path": "/filter" }]);
    context().admin.patch(&at, &drop).unwrap().expect_status(204).unwrap();
    hook.await_received(&publish_app("another-app", "s"), 1);
}

#[test]
fn renamed_event_type_matches_under_both_names() {
    let hook = Hook::new(&context().admin, "renamed", &[APP_PUBLISHED], &json!({}));
    let (id, event) = cloud_event("com.qlik.app.published", &context().acme);
    publish(&context().publisher, &event);
    let body = body_json(&hook.await_received(&id, 1)[0]);
    assert_eq!(body["type"], "com.qlik.app.published", "the producer's name");
    hook.await_rows(&id, 1, SOON);
    for name in ["com.qlik.app.published", APP_PUBLISHED] {
        let rows = hook.history(&format!("&eventType={name}"));
        let own = rows.iter().filter(|row| row["request"]["body"]["id"] == id);
        assert_eq!(own.count(), 1, "{name}: {rows:#?}");
    }
    assert!(hook.history(&format!("&eventType={APP_CREATED}")).is_empty());
}

#[test]
fn encrypted_headers_reach_only_the_receiver() {
    let value = "Bearer for-the-receiver-alone";
    let more = json!({ "headers": { "X-Plain": "seen" }, "encryptedHeaders": { "Authorization": value } });
    let hook = Hook::new(&context().admin, "encrypted", &[APP_DELETED], &more);
    assert_eq!(hook.created["encryptedHeaders"], json!(["Authorization"]));
    // The receiver repeats the request in its answer.
    hook.receiver_behaves(&Behavior {
        headers: [("X-You-Sent".to_owned(), format!("Authorization: {value}"))].into(),
        body: format!("{{\"authorization\":\"{value}\"}}"),
        ..Behavior::default()
    });
    let (id, event) = legacy_event(&context().acme);
    publish(&context().publisher, &event);
    let received = &hook.await_received(&id, 1)[0];
    assert_eq!((received.header("authorization"), received.header("x-plain")), (value, "seen"));

    let row = hook.await_rows(&id, 1, SOON).remove(0);
    assert_eq!(row["request"]["headers"]["Authorization"], "**OMITTED**", "{row:#}");
    assert_eq!(row["request"]["headers"]["X-Plain"], "seen", "{row:#}");
    assert_eq!(row["response"]["headers"]["x-you-sent"], "**OMITTED**", "{row:#}");
    assert_eq!(row["response"]["body"], "**OMITTED**", "{row:#}");

    let resend = format!("{CORE}/{}/deliveries/{}/actions/resend", hook.id, row["id"].as_str().unwrap());
    let again = context().admin.post_nothing(&resend).unwrap().expect_status(201).unwrap();
    assert!(!again.text.contains("for-the-receiver"), "{again}");
    assert_eq!(hook.await_received(&id, 2)[1].header("authorization"), value);
}

#[test]
fn core_base_path_serves_the_same_webhooks() {
    let hook = Hook::new(&context().admin, "core", &[APP_CREATED], &json!({}));
    let at = format!("{CORE}/{}", hook.id);
    assert_eq!(context().admin.get(&at).unwrap().expect_status(200).unwrap().json().unwrap(), hook.created);
    for (stranger, status) in
        [(&context().globex_admin, 404), (&context().user, 404), (&context().anonymous, 401)]
    {
        assert_eq!(stranger.get(&at).unwrap().status, status);
        assert_eq!(stranger.delete(&at).unwrap().status, status);
    }
    let list = context().admin.get(&format!("{CORE}?limit=1")).unwrap().expect_status(200).unwrap();
    assert_eq!(list.header("deprecation"), "");
    let own = format!("{}{CORE}?limit=1", context().stack.api_url);
    assert_eq!(list.json().unwrap()["links"]["self"]["href"], own);
    let list = context().admin.get(WEBHOOKS).unwrap().expect_status(200).unwrap();
    assert_eq!(list.header("deprecation"), "@1793664000");

    let fixed =
        context().admin.patch(&at, &json!([{ "op": "replace", "path": "/id", "value": "x" }])).unwrap();
    assert_refused(&fixed, 409, "patch_read_only");
    let put = json!({ "name": "n", "url": "https://hooks.receiver.test/n" });
    assert_eq!(context().admin.put(&at, &put).unwrap().status, 200);
    assert_eq!(context().admin.delete(&at).unwrap().status, 204);
    assert_refused(&context().admin.get(&hook.at()).unwrap(), 404, "");
}
