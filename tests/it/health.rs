//! A receiver's health as the API shows it.

use anzol_api::AppState;
use anzol_domain::health::DisablePolicy;
use anzol_runtime::now;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::kit::{Api, As, Engine, task};

#[tokio::test]
async fn health_is_shown_and_ignored_in_requests() {
    // Without a minimum time, only the number of failures decides.
    let policy = DisablePolicy::new(4, 0);
    let engine = Engine::start(policy).await;
    let health = engine.sender.health.clone();
    let api = Api(anzol_api::router(AppState { health, ..engine.context.state(&engine.egress) }));
    let (hook, admin) = (engine.create("shaky").await, As::admin("acme"));
    let show = async |base: &str| {
        let (status, shown) = api.call(Some(&admin), "GET", &format!("{base}/{}", hook.id), None).await;
        assert_eq!(status, 200, "{shown}");
        shown
    };
    let well = json!({ "state": "healthy", "lane": "fast", "consecutiveFailures": 0 });
    assert_eq!(show("/api/v1/webhooks").await["health"], well);

    engine.answers("shaky", 500).await;
    let mut since = None;
    for (failures, state) in [(1, "failing"), (2, "warning"), (3, "warning"), (4, "warning")] {
        engine.send(&[task(&hook)]).await;
        let shown = show("/api/core/webhooks").await;
        let health = &shown["health"];
        let expected = (&json!(state), &json!("slow"), &json!(failures));
        assert_eq!((&health["state"], &health["lane"], &health["consecutiveFailures"]), expected, "{shown}");
        let failing_since =
            OffsetDateTime::parse(health["failingSince"].as_str().unwrap(), &Rfc3339).unwrap();
        assert!(now() - failing_since < time::Duration::minutes(1));
        assert_eq!(*since.get_or_insert(failing_since), failing_since, "the time of the first failure");
        assert_eq!(shown["enabled"], failures < 4);
    }
    let shown = show("/api/v1/webhooks").await;
    assert_eq!(shown["disabledReasonCode"], "FAILURE_THRESHOLD");
    let (_, list) = api.call(Some(&admin), "GET", "/api/v1/webhooks", None).await;
    assert_eq!(list["data"], json!([shown]));

    // A client may send `health` back. The API ignores it: it causes no conflict and is not stored.
    let mut back = shown.clone();
    (back["enabled"], back["health"]["consecutiveFailures"]) = (json!(true), json!(77));
    for read_only in ["disabledReason", "disabledReasonCode", "encryptedHeaders"] {
        back.as_object_mut().unwrap().remove(read_only);
    }
    let path = format!("/api/core/webhooks/{}", hook.id);
    let (status, replaced) = api.call(Some(&admin), "PUT", &path, Some(back)).await;
    assert_eq!((status, &replaced["health"]), (200, &well), "enabling resets the health: {replaced}");

    engine.answers("shaky", 200).await;
    engine.send(&[task(&hook)]).await;
    assert_eq!(show("/api/v1/webhooks").await["health"], well);
    let (_, created) = api
        .call(Some(&admin), "POST", "/api/v1/webhooks", Some(json!({
            "name": "New", "url": "https://hooks.receiver.test/new", "eventTypes": ["com.qlik.v1.app.created"],
        })))
        .await;
    assert_eq!(created["health"], well);
    assert_eq!(created["health"]["failingSince"], Value::Null);
}
