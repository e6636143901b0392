//! Cursors: signed, independent of the limit, and stable while webhooks are created and deleted.

use anzol_api::CursorKey;
use serde_json::{Value, json};

use crate::kit::{Api, As, TestContext};

const WEBHOOKS: &str = "/api/core/webhooks";

async fn create(api: &Api, who: &As, name: &str) -> Value {
    let body = json!({
        "name": name, "url": format!("https://{name}.receiver.test/"), "eventTypes": ["com.qlik.v1.app.created"],
        "level": "user",
    });
    let (status, created) = api.call(Some(who), "POST", WEBHOOKS, Some(body)).await;
    assert_eq!(status, 201, "{created}");
    created
}

async fn page(api: &Api, who: &As, query: &str) -> Value {
    let (status, page) = api.call(Some(who), "GET", &format!("{WEBHOOKS}?{query}"), None).await;
    assert_eq!(status, 200, "{query}: {page}");
    page
}

fn names(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|webhook| webhook["name"].as_str().unwrap()).collect()
}

/// Returns the cursor in one of a page's links.
fn cursor(page: &Value, link: &str) -> Option<String> {
    let href = page["links"][link]["href"].as_str()?;
    let (_, cursor) = href.split_once(&format!("{link}=")).unwrap();
    Some(cursor.split('&').next().unwrap().to_owned())
}

#[tokio::test]
async fn cursor_survives_other_limits_and_deleted_items() {
    let (context, egress) = TestContext::with_egress().await;
    let (api, other) = (context.api(&egress), context.api(&egress));
    let admin = As::admin("acme");
    let mut made = Vec::new();
    for name in ["b", "d", "f", "h", "j"] {
        made.push(create(&api, &admin, name).await);
    }
    let first = page(&api, &admin, "sort=%2Bname&limit=2").await;
    assert_eq!(names(&first), ["b", "d"]);
    assert_eq!(cursor(&first, "prev"), None);
    let next = cursor(&first, "next").unwrap();
    assert!(next.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{next}");

    // Qlik's Python client keeps the cursor and asks for 100 items; another environment answers.
    let rest = page(&other, &admin, &format!("sort=name&limit=100&next={next}")).await;
    assert_eq!(names(&rest), ["f", "h", "j"]);
    assert_eq!(cursor(&rest, "next"), None);

    // The item that the cursor names is deleted, and others are created before and after it.
    let gone = format!("{WEBHOOKS}/{}", made[1]["id"].as_str().unwrap());
    assert_eq!(api.call(Some(&admin), "DELETE", &gone, None).await.0, 204);
    for name in ["a", "c", "e", "k"] {
        create(&api, &admin, name).await;
    }
    let rest = page(&api, &admin, &format!("sort=name&limit=3&next={next}")).await;
    assert_eq!(names(&rest), ["e", "f", "h"]);
    let prev = cursor(&rest, "prev").unwrap();
    assert_eq!(names(&page(&api, &admin, &format!("sort=name&limit=9&prev={prev}")).await), ["a", "b", "c"]);
    let next = cursor(&rest, "next").unwrap();
    assert_eq!(names(&page(&api, &admin, &format!("sort=name&limit=9&next={next}")).await), ["j", "k"]);
}

#[tokio::test]
async fn cursor_is_valid_only_for_its_list() {
    let (context, egress) = TestContext::with_egress().await;
    let api = context.api(&egress);
    let (admin, foreign) = (As::admin("acme"), As::admin("globex"));
    for name in ["a", "b", "c"] {
        create(&api, &admin, name).await;
        create(&api, &foreign, name).await;
    }
    let next = cursor(&page(&api, &admin, "sort=name&limit=1").await, "next").unwrap();
    let mut altered = next.clone().into_bytes();
    altered[3] ^= 1;
    let altered = String::from_utf8(altered).unwrap();
    let forged = CursorKey::new([0; 32].into()).seal("webhooks of acme by name Ascending", &("a", "x"));
    for (who, query) in [
        (&foreign, format!("sort=name&next={next}")),
        (&admin, format!("sort=-name&next={next}")),
        (&admin, format!("sort=url&next={next}")),
        (&admin, format!("next={next}")),
        (&admin, format!("sort=name&next={next}&prev={next}")),
        (&admin, format!("sort=name&next={altered}")),
        (&admin, format!("sort=name&prev={forged}")),
        (&admin, "sort=name&next=%25%25".to_owned()),
    ] {
        let (status, answer) = api.call(Some(who), "GET", &format!("{WEBHOOKS}?{query}"), None).await;
        assert_eq!(status, 400, "{query}: {answer}");
    }
    assert_eq!(names(&page(&api, &admin, &format!("sort=%2Bname&next={next}")).await), ["b", "c"]);
}

#[tokio::test]
async fn environments_share_one_cursor_key() {
    let context = TestContext::start().await;
    let keys = (0..8).map(|n: u8| {
        let webhooks = context.webhooks.clone();
        tokio::spawn(async move { webhooks.cursor_key([n; 32].into()).await.unwrap() })
    });
    let mut found = Vec::new();
    for key in keys.collect::<Vec<_>>() {
        found.push(key.await.unwrap());
    }
    found.dedup();
    assert_eq!(found.len(), 1, "{found:?}");
}
