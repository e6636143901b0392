//! Forged tokens, and functions invoked without the gateway.
//!
//! A local stack keeps its user pool's signing keys in a file, so these tests sign tokens that are valid except for one property. On
//! other stacks the keys are not available and the tests fail with a message that says so.

use anzol_tests::client::{Answer, Api, Http};
use anzol_tests::gateway;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use ureq::http::Method;

use anzol_tests::aws::hmac_sha256;

use crate::kit::*;

const CORE: &str = "/api/core/webhooks";

/// Decodes one part of a token.
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn written(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Builds a token from a header, claims and a signature.
fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", written(header), written(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Returns the key with which the user pool that issued `claims` signs `access` or `id` tokens.
fn pool_key(claims: &Value, of: &str) -> RsaKeyPair {
    let pool = claims["iss"].as_str().unwrap().rsplit('/').next().unwrap();
    let home = context().stack.receiver.ca_file.parent().unwrap();
    let file = home.join(format!("tmp/state/cognito-pool-keys/{pool}-{of}.pem"));
    let key = PrivatePkcs8KeyDer::from_pem_file(&file).unwrap_or_else(|error| {
        panic!("only a local stack lets tests sign tokens; {}: {error}", file.display())
    });
    RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap()
}

fn rs256(key: &RsaKeyPair) -> impl Fn(&[u8]) -> Vec<u8> {
    |text| {
        let mut signature = vec![0; key.public().modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
        signature
    }
}

/// Returns the answers to a token on routes of both functions.
fn answers(token: &str) -> [Answer; 5] {
    let api = Api::new(&context().stack.api_url, Some(token));
    [
        api.get(WEBHOOKS).unwrap(),
        api.get(&format!("{CORE}/event-types")).unwrap(),
        api.post(CORE, &json!({})).unwrap(),
        api.delete(&format!("{CORE}/00000000-0000-7000-8000-000000000000")).unwrap(),
        api.post(EVENTS, &json!({})).unwrap(),
    ]
}

#[track_caller]
fn assert_unauthorized(what: &str, token: &str) {
    for answer in answers(token) {
        assert_eq!(answer.status, 401, "{what}: {answer}");
    }
}

/// Returns the header and claims of an admin's token, and the key that signs such tokens.
fn genuine() -> (Value, Value, RsaKeyPair) {
    let genuine = context().stack.token("acme.admin").unwrap();
    let (header, claims) = (part(genuine, 0), part(genuine, 1));
    let key = pool_key(&claims, claims["token_use"].as_str().unwrap());
    (header, claims, key)
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, names: &[&str]) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().retain(|name, _| !names.contains(&name.as_str()));
    claims
}

#[test]
fn token_with_one_invalid_claim_is_refused() {
    let (header, claims, key) = genuine();
    // The same claims signed again are accepted, so only the wrong claim causes the refusals below.
    let again = Api::new(&context().stack.api_url, Some(&token(&header, &claims, rs256(&key))));
    again.get(WEBHOOKS).unwrap().expect_status(200).unwrap();

    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let issuer = claims["iss"].as_str().unwrap();
    let audience = claims.get("aud").map_or("client_id", |_| "aud");
    for (what, claims) in [
        ("expired a second ago", with(&claims, "exp", json!(now - 1))),
        ("expired long ago", with(&claims, "exp", json!(0))),
        ("not valid yet", with(&claims, "nbf", json!(now + 3600))),
        ("issued in the future", with(&claims, "iat", json!(now + 3600))),
        ("another pool's", with(&claims, "iss", json!(format!("{issuer}x")))),
        ("an issuer with a slash", with(&claims, "iss", json!(format!("{issuer}/")))),
        ("an issuer in plain HTTP", with(&claims, "iss", json!(issuer.replace("https://", "http://")))),
        ("an issuer of another case", with(&claims, "iss", json!(issuer.to_uppercase()))),
        ("another issuer", with(&claims, "iss", json!("https://issuer.example"))),
        ("a list of issuers", with(&claims, "iss", json!([issuer]))),
        ("no issuer", without(&claims, &["iss"])),
        ("another audience", with(&claims, audience, json!("another-client"))),
        ("no audience", without(&claims, &["aud", "client_id"])),
        ("a list of other audiences", with(&claims, "aud", json!(["one", "two"]))),
    ] {
        assert_unauthorized(what, &token(&header, &claims, rs256(&key)));
    }
}

#[test]
fn token_not_signed_by_the_issuer_is_refused() {
    let (header, claims, key) = genuine();
    let public = key.public().as_ref();
    let pem = format!(
        "-----BEGIN RSA PUBLIC KEY-----\n{}\n-----END RSA PUBLIC KEY-----\n",
        STANDARD.encode(public)
    );
    let algorithm = |name: &str| with(&header, "alg", json!(name));
    // The pool's other key, which signs the other kind of token.
    let other = pool_key(&claims, if claims["token_use"] == "id" { "access" } else { "id" });
    let by_other = |header: &Value| token(header, &claims, rs256(&other));

    for name in ["none", "None", "NONE", "nOnE", ""] {
        assert_unauthorized("no signature", &token(&algorithm(name), &claims, |_| Vec::new()));
        assert_unauthorized("any signature", &token(&algorithm(name), &claims, |_| b"signed".to_vec()));
    }
    for secret in [public, pem.as_bytes(), pem.trim_end().as_bytes(), STANDARD.encode(public).as_bytes(), b""]
    {
        assert_unauthorized("HS256", &token(&algorithm("HS256"), &claims, |text| hmac_sha256(secret, text)));
        assert_unauthorized("HS256 as RS256", &token(&header, &claims, |text| hmac_sha256(secret, text)));
    }
    assert_unauthorized("another key", &by_other(&header));
    assert_unauthorized("no key id", &by_other(&without(&header, &["kid"])));
    for id in ["", "unknown", "../../../../dev/null", "' or '1'='1"] {
        assert_unauthorized("an unknown key id", &by_other(&with(&header, "kid", json!(id))));
    }
    let PublicKeyComponents::<Vec<u8>> { n, e } = other.public().into();
    let (modulus, exponent) = (URL_SAFE_NO_PAD.encode(n), URL_SAFE_NO_PAD.encode(e));
    let own = json!({ "kty": "RSA", "alg": "RS256", "kid": header["kid"], "n": modulus, "e": exponent });
    assert_unauthorized("a key in the header", &by_other(&with(&header, "jwk", own)));
    for name in ["jku", "x5u"] {
        let url = context().stack.receiver.url.clone();
        assert_unauthorized(
            "a URL of keys in the header",
            &by_other(&with(&header, name, json!(format!("{url}/jwks.json")))),
        );
    }
    let mut signature = rs256(&key)(format!("{}.{}", written(&header), written(&claims)).as_bytes());
    for at in [0, signature.len() / 2, signature.len() - 1] {
        signature[at] ^= 1;
        assert_unauthorized("a bit of the signature", &token(&header, &claims, |_| signature.clone()));
        signature[at] ^= 1;
    }
}

#[test]
fn token_of_mixed_parts_is_refused() {
    let stack = &context().stack;
    let tokens = ["acme.admin", "globex.admin", "acme.user"].map(|who| stack.token(who).unwrap());
    let split = tokens.map(|token| token.split('.').collect::<Vec<_>>());
    let mut tried = 0;
    for one in &split {
        for other in split.iter().filter(|other| *other != one) {
            assert_unauthorized("another's claims", &[one[0], other[1], one[2]].join("."));
            assert_unauthorized("another's signature", &[one[0], one[1], other[2]].join("."));
            tried += 2;
        }
    }
    assert_eq!(tried, 12);
    let claims = part(tokens[2], 1);
    for (name, value) in [
        ("cognito:groups", json!(["TenantAdmin"])),
        ("custom:tenantId", json!(context().globex)),
        ("scope", json!("anzol/publish.any")),
        ("sub", part(tokens[0], 1)["sub"].clone()),
    ] {
        let claims = written(&with(&claims, name, value));
        assert_unauthorized(name, &[split[2][0], &claims, split[2][2]].join("."));
    }
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        split[0][..2].join("."),
        format!("{}.", tokens[0]),
        format!("{}.{}", tokens[0], split[0][2]),
        tokens[0].to_uppercase(),
        "x".repeat(7_000),
    ] {
        assert_unauthorized("no token", &text);
    }
}

#[test]
fn two_authorizations_act_as_at_most_one_caller() {
    let _alone = globex_alone();
    let stack = &context().stack;
    let hooks =
        [("acme.admin", &context().admin), ("globex.admin", &context().globex_admin)].map(|(who, api)| {
            (
                format!("Bearer {}", stack.token(who).unwrap()),
                Hook::new(api, "two", &[APP_CREATED], &json!({ "enabled": false })),
            )
        });
    let [(acme, of_acme), (globex, of_globex)] = &hooks;
    let (url, http) = (format!("{}{WEBHOOKS}?limit=100", stack.api_url), Http::new());
    for pair in
        [[acme, globex], [globex, acme], [acme, &"Bearer x".to_owned()], [&"Bearer x".to_owned(), acme]]
    {
        let headers = pair.map(|value| ("authorization", value.as_str()));
        let answer = http.send(&Method::GET, &url, &headers, None).unwrap();
        let seen = (answer.text.contains(&of_acme.id), answer.text.contains(&of_globex.id));
        assert!(answer.status == 401 || (answer.status == 200 && seen.0 != seen.1), "{answer}");
    }
    // Tokens elsewhere in the request are ignored.
    let raw = stack.token("acme.admin").unwrap();
    for headers in [
        [("x-authorization", acme.as_str())],
        [("cookie", &format!("authorization={raw}"))],
        [("x-amz-security-token", raw)],
        [("authorization", "Basic YTpi")],
    ] {
        for query in [String::new(), format!("?access_token={raw}"), format!("?authorization={raw}")] {
            let answer = http
                .send(&Method::GET, &format!("{}{WEBHOOKS}{query}", stack.api_url), &headers, None)
                .unwrap();
            assert_eq!(answer.status, 401, "{answer}");
        }
    }
}

#[test]
fn token_without_a_tenant_gives_no_access() {
    let (header, claims, key) = genuine();
    let hook = Hook::new(&context().admin, "tenantless", &[APP_CREATED], &json!({ "enabled": false }));
    let acme = &context().acme;
    for tenant in [
        Value::Null,
        json!(""),
        json!(" "),
        json!([acme]),
        json!([acme, context().globex]),
        json!({ "id": acme }),
        json!(7),
        json!(true),
        json!(format!("{acme} ")),
        json!(format!("{acme}#")),
        json!(acme.to_uppercase()),
    ] {
        let claims = if tenant.is_null() {
            without(&claims, &["custom:tenantId"])
        } else {
            with(&claims, "custom:tenantId", tenant.clone())
        };
        let api = Api::new(&context().stack.api_url, Some(&token(&header, &claims, rs256(&key))));
        let list = api.get(&format!("{WEBHOOKS}?limit=100")).unwrap();
        assert!(
            list.status == 403 || (list.status == 200 && !list.text.contains(&hook.id)),
            "{tenant}: {list}"
        );
        assert!([403, 404].contains(&api.get(&hook.at()).unwrap().status), "{tenant}");
        let (id, event) = cloud_event(APP_CREATED, acme);
        assert_refused(&api.post(EVENTS, &event).unwrap(), 403, "");
        assert!(hook.received(&id).is_empty());
    }
}

#[test]
fn direct_invocation_needs_verified_claims() {
    let stack = &context().stack;
    let bearer = format!("Bearer {}", stack.token("acme.admin").unwrap());
    let event = |method: &str, path: &str, authorizer: &Value| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("x-tenant-id", context().acme.as_str()),
            ("content-type", "application/json"),
        ];
        let event = gateway::event(method, &format!("{path}?tenantId=acme"), &headers);
        gateway::with_body(gateway::with_authorizer(event, authorizer), b"{}")
    };
    let claims =
        json!({ "sub": "root", "custom:tenantId": context().acme, "cognito:groups": ["TenantAdmin"] });
    for (function, method, path) in [
        ("api", "GET", WEBHOOKS),
        ("api", "POST", CORE),
        ("api", "DELETE", "/api/core/webhooks/x"),
        ("ingest", "POST", EVENTS),
    ] {
        let name = &stack.functions[function];
        for authorizer in [
            Value::Null,
            json!({}),
            json!({ "jwt": { "claims": {}, "scopes": null } }),
            json!({ "jwt": { "claims": claims, "scopes": null } }), // a list where the gateway writes text
            json!({ "claims": claims }),
            json!({ "lambda": claims }),
        ] {
            let answer = context().aws.invoke(name, &event(method, path, &authorizer)).unwrap();
            let refused = answer["statusCode"] == 401 || answer.get("errorMessage").is_some();
            assert!(refused, "{method} {path} as {authorizer}: {answer:#}");
        }
        for nonsense in [
            json!({}),
            json!([]),
            json!(null),
            json!("event"),
            json!({ "Records": [] }),
            json!({ "httpMethod": "GET", "path": path }),
        ] {
            let answer = context().aws.invoke(name, &nonsense).unwrap();
            let refused = answer.get("errorMessage").is_some()
                || answer["statusCode"].as_u64().is_some_and(|status| status >= 400);
            assert!(refused, "{nonsense}: {answer:#}");
        }
    }
}
