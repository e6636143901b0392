//! Properties that hold for all input: one check for each parser of untrusted input, which panics if a property is violated.
//!
//! cargo-fuzz runs the checks guided by coverage; tests/it/fuzz.rs runs them on stable Rust with the same seeds.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anzol_api::{CursorKey, Version, patched};
use anzol_domain::error::MAX_INVALID;
use anzol_domain::event::{MAX_EVENT, MAX_EVENTS, parse_one_or_many};
use anzol_domain::hops::{HOPS, MAX_HOPS};
use anzol_domain::url::{MAX_URL, PRIVATE_SUFFIXES, check};
use anzol_domain::webhook::{Defaults, WebhookInput};
use anzol_domain::{
    Event, Filter, Invalid, Sealed, Secrets, TenantId, UserId, Webhook, WebhookId, WebhookUrl,
};
use anzol_http::ApiError;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-24 10:00 UTC);

/// Maximum time for any input: far above the time of the largest one, unoptimized on a busy machine, and far below quadratic work.
const LIMIT: Duration = Duration::from_secs(30);

/// A check of arbitrary bytes.
pub type Check = fn(&[u8]);

/// Targets by name.
pub const TARGETS: [(&str, Check); 5] =
    [("event", event), ("filter", filter), ("patch", patch), ("cursor", cursor), ("url", url)];

fn in_time(check: impl FnOnce()) {
    let started = Instant::now();
    check();
    assert!(started.elapsed() < LIMIT, "it took {:?}", started.elapsed());
}

fn bounded(invalid: &Invalid) {
    assert!(!invalid.0.is_empty(), "an error without a reason");
    assert!(invalid.to_string().len() <= MAX_INVALID, "{} bytes", invalid.to_string().len());
}

/// Events: the payload contains exactly the attributes that matching uses, in both formats, also after parsing it again or after a queue.
pub fn event(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    in_time(|| match parse_one_or_many(text, NOW, MAX_EVENT) {
        Err(invalid) => bounded(&invalid),
        Ok(events) => {
            assert!((1..=MAX_EVENTS).contains(&events.len()));
            events.iter().for_each(one_event);
        }
    });
}

/// Returns the attributes that decide where an event is sent.
fn head(event: &Event) -> impl PartialEq + std::fmt::Debug {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    (
        (event.id().to_owned(), event.source().to_owned(), event.event_type().to_owned()),
        (event.tenant().cloned(), owned(event.user_id()), owned(event.owner_id()), event.is_test()),
        event.hops(),
    )
}

fn one_event(event: &Event) {
    assert!(event.size() <= MAX_EVENT);
    for cloud_events in [true, false] {
        let payload = event.outgoing(cloud_events);
        // Like the parser of a receiver, this one takes the last of duplicate members.
        let value: Value = match serde_json::from_str(&payload) {
            Ok(value) => value,
            // Numbers beyond the range of a double are forwarded unchanged. Anzol reads none of them.
            Err(error) => {
                return assert!(error.to_string().contains("number out of range"), "{error}: {payload}");
            }
        };
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        let tenant = event.tenant().map(|tenant| tenant.as_str().to_owned());
        assert_eq!(text("/type"), Some(event.event_type()), "{payload}");
        assert_eq!(text("/id"), Some(event.id()), "{payload}");
        assert_eq!(text("/source"), Some(event.source()), "{payload}");
        assert_eq!(text("/tenantid").map(str::to_owned), tenant, "{payload}");
        assert_eq!(text("/userid"), event.user_id(), "{payload}");
        // One more hop, and no null attributes.
        assert!(event.hops() <= MAX_HOPS);
        assert_eq!(value[HOPS], event.hops() + 1, "{payload}");
        let members = value.as_object().expect("an object");
        assert!(members.iter().all(|(name, value)| name == "data" || !value.is_null()), "{payload}");
        if !cloud_events {
            assert_eq!(text("/eventType"), Some(event.event_type()), "{payload}");
            assert_eq!(text("/eventId"), Some(event.id()), "{payload}");
            for (old, new) in [
                ("tenantId", "tenantid"),
                ("userId", "userid"),
                ("ownerId", "ownerid"),
                ("spaceId", "spaceid"),
            ] {
                if let Some(attribute) = value.get(new) {
                    assert_eq!(value.pointer(&format!("/extensions/{old}")), Some(attribute), "{payload}");
                }
            }
        }
        for (attribute, own) in [
            (
                "id",
                text("/data/id").or(value.pointer("/data/id").map_or(text("/data/attributes/id"), |_| None)),
            ),
            ("topLevelResourceId", text("/toplevelresourceid")),
        ] {
            let value = own.unwrap_or("none of this name");
            let filter = format!("{attribute} eq {}", Value::from(value));
            if let Ok(filter) = Filter::parse(&filter) {
                assert_eq!(filter.matches(event), own.is_some(), "{filter} of {payload}");
            }
        }
        // Parsing the payload gives the same event.
        let again = Event::from_payload(&payload, NOW).unwrap_or_else(|error| panic!("{error}: {payload}"));
        assert_eq!(head(&again), head(event), "{payload}");
        if cloud_events {
            assert_eq!(again.outgoing(true), payload);
        } else {
            let third = Event::from_payload(&again.outgoing(false), NOW).map(|third| third.outgoing(false));
            assert_eq!(third, Ok(again.outgoing(false)), "from {payload}");
        }
    }
    let queued = serde_json::to_string(event).expect("an event has a JSON form");
    let back: Event = serde_json::from_str(&queued).unwrap_or_else(|error| panic!("{error}: {queued}"));
    assert_eq!(
        (head(&back), back.payload(true), back.payload(false)),
        (head(event), event.payload(true), event.payload(false))
    );
}

/// Filters: a valid one prints as an equal filter, which matches the same events.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    in_time(|| match Filter::parse(text) {
        Err(invalid) => bounded(&invalid),
        Ok(filter) => {
            let printed = filter.to_string();
            let again = Filter::parse(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"));
            assert_eq!((&again, again.to_string()), (&filter, printed.clone()));
            for more in [
                r#""data":{"id":"a","status":"ok"}"#,
                r#""spaceid":"a","data":null"#,
                r#""toplevelresourceid":"a""#,
            ] {
                let json = format!(r#"{{"specversion":"1.0","id":"e","source":"s","type":"t",{more}}}"#);
                let event = Event::parse(&json, NOW).expect("a good event");
                assert_eq!(filter.matches(&event), again.matches(&event), "{printed} of {json}");
            }
        }
    });
}

/// URLs: a valid one is https, has a public domain name, is not a form of an IP address, and parses to itself.
pub fn url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    in_time(|| match WebhookUrl::parse(text) {
        Err(invalid) => bounded(&invalid),
        Ok(url) => {
            let (kept, parsed) = (url.as_str(), url.as_url());
            assert!(kept.starts_with("https://") && kept.len() <= MAX_URL && kept.is_ascii(), "{kept}");
            assert!(
                parsed.port().is_none() && parsed.username().is_empty() && parsed.password().is_none(),
                "{kept}"
            );
            let name = parsed.domain().unwrap_or_else(|| panic!("{kept} has no name"));
            assert!(name.parse::<IpAddr>().is_err() && name.contains('.') && !name.ends_with('.'), "{kept}");
            let last = name.rsplit('.').next().unwrap_or_default();
            assert!(
                last.starts_with(|c: char| c.is_ascii_lowercase()) && !PRIVATE_SUFFIXES.contains(&last),
                "{kept}"
            );
            // Between `https://` and the path there is only the name.
            assert_eq!(
                kept.get("https://".len()..).and_then(|rest| rest.split(['/', '?']).next()),
                Some(name),
                "{kept}"
            );
            assert_eq!(check(parsed), Ok(()), "{kept}");
            assert_eq!(WebhookUrl::parse(kept).as_ref(), Ok(&url), "{kept}");
            assert_eq!(url::Url::parse(kept).as_ref(), Ok(parsed), "{kept}");
        }
    });
    // No form of an IP address is valid.
    if let Some(bytes) = data.first_chunk::<4>() {
        let address = Ipv4Addr::from(*bytes);
        for host in [
            address.to_string(),
            address.to_bits().to_string(),
            format!("{:#x}", address.to_bits()),
            format!("[::ffff:{address}]"),
        ] {
            assert!(WebhookUrl::parse(&format!("https://{host}/")).is_err(), "{host}");
        }
    }
}

/// Cursors: a valid one was sealed with the same key for the same list.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    in_time(|| {
        let key = CursorKey::new([7; 32].into());
        let list = "webhooks of acme by name Ascending";
        if let Some(position) = key.open::<(String, String)>(list, text) {
            assert_eq!(key.seal(list, &position), text);
        }
        assert_eq!(key.open::<(String, String)>("webhooks of acme by name Descending", text), None);
        assert_eq!(CursorKey::new([8; 32].into()).open::<(String, String)>(list, text), None);
        let position = (text.to_owned(), "0192".to_owned());
        let sealed = key.seal(list, &position);
        assert_eq!(key.open(list, &sealed), (sealed.len() <= 4_096).then_some(position));
    });
}

/// Returns a stored webhook and its secrets.
fn stored() -> (Webhook, Secrets) {
    let headers = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
    let owner = UserId::parse("root").expect("a user");
    let input = WebhookInput {
        name: Some("Orders".to_owned()),
        description: Some("Unchanged".to_owned()),
        url: Some("https://hooks.example.com/orders".to_owned()),
        event_types: Some(vec!["com.qlik.v1.app.reload.finished".to_owned()]),
        secret: Some("0123456789abcdef0123456789abcdef".to_owned()),
        filter: Some(r#"data.status eq "error""#.to_owned()),
        headers: Some(headers("X-Key", "value")),
        encrypted_headers: Some(json!({ "Authorization": "only-for-the-receiver" })),
        ..WebhookInput::default()
    };
    let (spec, secrets) = input.check(&Defaults::creation(&owner)).expect("a good webhook");
    let header_names = secrets.encrypted_headers.names().map(str::to_owned).collect();
    let sealed = Sealed { ciphertext: vec![1], has_secret: true, header_names };
    let (tenant, owner) = (TenantId::parse("acme").expect("a tenant"), spec.owner_id.clone());
    let webhook = Webhook::new(WebhookId::mint(NOW), tenant, spec, owner, NOW);
    (Webhook { sealed: Some(sealed), ..webhook }, secrets)
}

/// Patches: the result is valid as a whole, and no encrypted header is sent to a changed URL.
pub fn patch(data: &[u8]) {
    in_time(|| {
        let json = match anzol_http::json(data) {
            Ok(json) => json,
            Err(invalid) => return bounded(&invalid),
        };
        assert_eq!(anzol_http::json(json.to_string().as_bytes()).as_ref(), Ok(&json));
        for version in [Version::V1, Version::Core] {
            let (webhook, secrets) = stored();
            match patched(&webhook, &secrets, &json, version) {
                Err(ApiError::Invalid(invalid)) => bounded(&invalid),
                Err(ApiError::Conflict(details)) => assert!(version == Version::Core && !details.is_empty()),
                Err(other) => panic!("{other:?}"),
                Ok((new, changed)) => {
                    let secrets_now = changed.as_ref().unwrap_or(&secrets);
                    let headers = secrets_now.encrypted_headers.expose();
                    let input = WebhookInput {
                        name: Some(new.name.clone()),
                        description: new.description.clone(),
                        url: Some(new.url.to_string()),
                        event_types: Some(new.event_types.clone()),
                        level: Some(new.level),
                        secret: secrets_now.secret.as_ref().map(|secret| secret.expose().to_owned()),
                        filter: new.filter.as_ref().map(ToString::to_string),
                        headers: Some(
                            new.headers.iter().map(|(name, value)| (name.into(), value.into())).collect(),
                        ),
                        encrypted_headers: Some(headers.collect()),
                        enabled: Some(new.enabled),
                        cloud_events: Some(new.cloud_events),
                        ..WebhookInput::default()
                    };
                    assert_eq!(
                        input.check(&Defaults::creation(&new.owner_id)).as_ref(),
                        Ok(&(new.clone(), secrets_now.clone()))
                    );
                    let kept = secrets_now
                        .encrypted_headers
                        .expose()
                        .any(|(_, value)| value == "only-for-the-receiver");
                    let given = json.to_string().contains("only-for-the-receiver");
                    let stored = &webhook.spec;
                    assert!(
                        new.url == stored.url || !kept || given,
                        "the encrypted header would be sent to {}",
                        new.url
                    );
                    let same_level = new.level == stored.level && new.owner_id == stored.owner_id;
                    assert!(version == Version::Core || same_level, "v1 cannot change level or owner");
                }
            }
        }
    });
}
