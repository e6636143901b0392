//! Access rights: callers without a token, users, publishers, and admins of other tenants.

use anzol_tests::client::Api;
use serde_json::{Value, json};

use crate::kit::*;

#[test]
fn invalid_token_is_401_everywhere() {
    let forged = Api::new(
        &context().stack.api_url,
        Some(
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4IiwiY3VzdG9tOnRlbmFudElkIjoieCIsImNvZ25pdG86Z3JvdXBzIjpbIlRlbmFudEFkbWluIl19.",
        ),
    );
    let mut altered = context().stack.token("acme.admin").unwrap().to_owned();
    let last = altered.pop().unwrap();
    altered.push(if last == 'A' { 'Q' } else { 'A' });
    // The last letter of a signature may hold bits that decoding drops, so change a letter before it too.
    let middle = altered.len() - 20;
    let letter = if &altered[middle..=middle] == "A" { "B" } else { "A" };
    altered.replace_range(middle..=middle, letter);
    for api in [&context().anonymous, &forged, &Api::new(&context().stack.api_url, Some(&altered))] {
        for answer in [
            api.get(WEBHOOKS).unwrap(),
            api.get(&format!("{WEBHOOKS}/event-types")).unwrap(),
            api.post(WEBHOOKS, &json!({})).unwrap(),
            api.post(EVENTS, &json!({})).unwrap(),
        ] {
            assert_eq!(answer.status, 401, "{answer}");
        }
    }
}

#[test]
fn webhook_of_another_tenant_is_404() {
    let hook = Hook::new(&context().admin, "hidden", &[APP_EXPORTED], &json!({ "description": "as it was" }));
    let (id, event) = cloud_event(APP_EXPORTED, &context().acme);
    publish(&context().publisher, &event);
    let row = hook.await_rows(&id, 1, SOON).remove(0);
    let before = context().admin.get(&hook.at()).unwrap().expect_status(200).unwrap().json().unwrap();
    let delivery = format!("{}/deliveries/{}", hook.at(), row["id"].as_str().unwrap());

    // A plain user of the same tenant cannot see an admin's webhook either.
    for stranger in [&context().globex_admin, &context().user] {
        let full = json!({ "name": "taken over", "url": "https://evil.receiver.test/", "eventTypes": [APP_CREATED], "level": "user" });
        for answer in [
            stranger.get(&hook.at()).unwrap(),
            stranger.put(&hook.at(), &full).unwrap(),
            stranger
                .patch(&hook.at(), &json!([{ "op": "replace", "path": "/name", "value": "taken over" }]))
                .unwrap(),
            stranger.delete(&hook.at()).unwrap(),
            stranger.get(&format!("{}/deliveries", hook.at())).unwrap(),
            stranger.get(&delivery).unwrap(),
            stranger.post_nothing(&format!("{delivery}/actions/resend")).unwrap(),
        ] {
            assert_refused(&answer, 404, "");
            assert!(!answer.text.contains("as it was"), "{answer}");
        }
        let listed = stranger.get(&format!("{WEBHOOKS}?limit=100")).unwrap().expect_status(200).unwrap();
        assert!(!listed.text.contains(&hook.id), "{listed}");
    }
    let after = context().admin.get(&hook.at()).unwrap().expect_status(200).unwrap().json().unwrap();
    assert_eq!(after, before);
    assert_eq!(hook.received(&id).len(), 1, "nothing was resent");

    let unknown = context().admin.get(&format!("{WEBHOOKS}/00000000-0000-7000-8000-000000000000")).unwrap();
    assert_refused(&unknown, 404, "");
    assert_refused(&context().admin.get(&format!("{WEBHOOKS}/no-id-at-all")).unwrap(), 404, "");
}

#[test]
fn user_creates_and_sees_only_own_user_webhooks() {
    let of_admin = Hook::new(&context().admin, "of-admin", &[APP_CREATED], &json!({}));
    let of_user = Hook::new(&context().user, "of-user", &[APP_CREATED], &json!({ "level": "user" }));
    let request = |level: Option<&str>| {
        let mut request =
            json!({ "name": "n", "url": "https://hooks.receiver.test/n", "eventTypes": [APP_CREATED] });
        if let Some(level) = level {
            request["level"] = json!(level);
        }
        request
    };
    for level in [Some("tenant"), None] {
        assert_refused(
            &context().user.post(WEBHOOKS, &request(level)).unwrap(),
            403,
            "admin_required_for_level",
        );
    }
    let raised = context()
        .user
        .put(&of_user.at(), &json!({ "name": "n", "url": "https://hooks.receiver.test/n", "eventTypes": [APP_CREATED], "level": "tenant" }))
        .unwrap();
    assert_eq!(raised.status, 403, "{raised}");

    let ids = |api: &Api| -> Vec<Value> {
        let page =
            api.get(&format!("{WEBHOOKS}?limit=100")).unwrap().expect_status(200).unwrap().json().unwrap();
        page["data"].as_array().unwrap().iter().map(|webhook| webhook["id"].clone()).collect()
    };
    let (seen_by_user, seen_by_admin) = (ids(&context().user), ids(&context().admin));
    assert!(seen_by_user.contains(&json!(of_user.id)) && !seen_by_user.contains(&json!(of_admin.id)));
    assert!(seen_by_admin.contains(&json!(of_user.id)) && seen_by_admin.contains(&json!(of_admin.id)));
}

#[test]
fn user_webhook_gets_only_its_owners_events() {
    let hook = Hook::new(&context().user, "owner", &[APP_CREATED], &json!({ "level": "user" }));
    let owner = &hook.created["ownerId"];
    assert!(owner.is_string(), "{}", hook.created);
    let sentinel = Hook::new(&context().admin, "owner-sentinel", &[APP_CREATED], &json!({}));
    let (of_others, event) = cloud_event(APP_CREATED, &context().acme);
    publish(&context().publisher, &event);
    for member in ["userid", "ownerid"] {
        let (of_owner, mut event) = cloud_event(APP_CREATED, &context().acme);
        event[member] = owner.clone();
        publish(&context().publisher, &event);
        hook.await_received(&of_owner, 1);
    }
    sentinel.await_received(&of_others, 1);
    hook.assert_not_received(&of_others);
}

#[test]
fn publishing_requires_the_right_role_and_tenant() {
    let (acme, globex) = (&context().acme, &context().globex);
    for (who, api, tenant, status) in [
        ("acme's publisher for acme", &context().publisher, acme, 202),
        ("acme's publisher for globex", &context().publisher, globex, 403),
        ("the platform for acme", &context().platform, acme, 202),
        ("the platform for globex", &context().platform, globex, 202),
        ("a plain user for their own tenant", &context().user, acme, 403),
        ("globex' admin for acme", &context().globex_admin, acme, 403),
    ] {
        for event in [cloud_event(APP_CREATED, tenant).1, legacy_event(tenant).1] {
            let answer = api.post(EVENTS, &event).unwrap();
            assert_eq!(answer.status, status, "{who}: {answer}");
            if status == 403 {
                assert_refused(&answer, 403, "");
            }
        }
    }
    // One event of another tenant rejects the whole batch.
    let hook = Hook::new(&context().admin, "batch", &[APP_CREATED], &json!({}));
    let (id, own) = cloud_event(APP_CREATED, acme);
    let batch = json!([own, cloud_event(APP_CREATED, globex).1]);
    let answer = context().publisher.post_as(EVENTS, "application/cloudevents-batch+json", &batch).unwrap();
    assert_refused(&answer, 403, "");
    // A later event has arrived, so an event of the batch would have arrived too.
    let (later, event) = cloud_event(APP_CREATED, acme);
    publish(&context().publisher, &event);
    hook.await_received(&later, 1);
    hook.assert_not_received(&id);
}

#[test]
fn event_without_tenant_gets_the_publishers_tenant() {
    let hook = Hook::new(&context().admin, "no-tenant", &[APP_CREATED], &json!({}));
    let (id, mut event) = cloud_event(APP_CREATED, &context().acme);
    event.as_object_mut().unwrap().remove("tenantid");
    publish(&context().publisher, &event);
    let body = body_json(&hook.await_received(&id, 1)[0]);
    assert_eq!(body["tenantid"], context().acme, "{body:#}");
    assert_refused(&context().platform.post(EVENTS, &event).unwrap(), 400, "tenantid");
}
