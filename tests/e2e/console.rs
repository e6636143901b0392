//! The console's page and configuration as a browser loads them.

use anzol_tests::client::Api;

use crate::kit::*;

#[test]
fn console_is_served_with_a_content_security_policy() {
    let inside_the_api = format!("{}/console/", context().stack.api_url.trim_end_matches('/'));
    for url in [&context().stack.console_url, &inside_the_api] {
        let page = Api::new(url, None).get(url).unwrap().expect_status(200).unwrap();
        assert!(page.header("content-type").starts_with("text/html"), "{:?}", page.headers);
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src"), "{:?}", page.headers);
        assert!(!policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"), "{policy}");
        assert!(page.text.to_lowercase().contains("<!doctype html>"), "{page}");
    }
}

#[test]
fn console_config_has_issuer_and_webhook_cap() {
    let url = format!("{}/config.json", context().stack.console_url.trim_end_matches('/'));
    let config = Api::new(&url, None).get(&url).unwrap().expect_status(200).unwrap().json().unwrap();
    assert_eq!(config["webhookCap"], 100, "{config:#}");
    assert!(config["issuer"].as_str().is_some_and(|issuer| issuer.starts_with("http")), "{config:#}");
}
