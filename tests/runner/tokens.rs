//! The user pool: issues tokens for users and the confidential client, signed with keys of this run, and verifies them as the gateway does.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hyper::header::{AUTHORIZATION, HeaderMap};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::plan::{Plan, User};

const PUBLISHER: &str = "platform.publisher";
/// Not confidential: the runner listens on loopback only.
const SECRET: &str = "secret-of-the-publisher-client";

/// Issuer of all tokens, and the gateway's authorizer.
pub(crate) struct Tokens {
    issuer: String,
    audience: Vec<String>,
    seconds: i64,
    scopes: Vec<String>,
    people: String,
    publisher: String,
    /// By key id, which is the kind of token: `id` or `access`.
    keys: BTreeMap<&'static str, RsaKeyPair>,
}

impl Tokens {
    pub(crate) fn new(plan: &Plan) -> Result<Self> {
        let issuer = plan.authorizer.issuer.clone();
        let pool = issuer.rsplit('/').next().unwrap_or_default();
        let key = |id| Ok((id, private_key(&plan.keys.join(format!("{pool}-{id}.pem")))?));
        let keys = ["id", "access"].into_iter().map(key).collect::<Result<_>>()?;
        let [people, publisher] = plan.clients.clone();
        let (audience, seconds) = (plan.authorizer.audience.clone(), plan.token_hours * 3600);
        Ok(Self { issuer, audience, seconds, scopes: plan.scopes.clone(), people, publisher, keys })
    }

    /// Returns the tokens and the confidential client for stack.json.
    pub(crate) fn seed(&self, users: &BTreeMap<String, User>) -> Result<Value> {
        let mut tokens = Map::new();
        for (name, user) in users {
            let mut claims = json!({
                "aud": self.people, "sub": format!("user-{name}"), "cognito:username": name, "email": format!("{name}@example.com"),
                "email_verified": true, "custom:tenantId": user.tenant,
            });
            if !user.groups.is_empty() {
                set(&mut claims, "cognito:groups", json!(user.groups));
            }
            tokens.insert(name.clone(), self.sign("id", claims)?.into());
        }
        tokens.insert(PUBLISHER.to_owned(), self.publisher_token()?.into());
        let client = json!({ "id": self.publisher, "secret": SECRET });
        Ok(json!({ "tokens": tokens, "clients": { PUBLISHER: client } }))
    }

    /// Answers a request to the token endpoint (RFC 6749, section 4.4) with a status and a body.
    pub(crate) fn exchange(&self, headers: &HeaderMap, form: &str) -> Result<(u16, Value)> {
        let basic = STANDARD.encode(format!("{}:{SECRET}", self.publisher));
        let known = headers.get(AUTHORIZATION).is_some_and(|value| *value == format!("Basic {basic}"));
        let field = |name: &str| form.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let scope = field("scope").map(|scope| scope.replace("%2F", "/"));
        Ok(match (known, field("grant_type"), scope) {
            (false, ..) => (400, json!({ "error": "invalid_client" })),
            (_, Some("client_credentials"), scope) => {
                let granted = scope
                    .is_none_or(|scope| scope.split('+').all(|one| self.scopes.iter().any(|s| s == one)));
                if granted {
                    let token = self.publisher_token()?;
                    (
                        200,
                        json!({ "access_token": token, "token_type": "Bearer", "expires_in": self.seconds }),
                    )
                } else {
                    (400, json!({ "error": "invalid_scope" }))
                }
            }
            _ => (400, json!({ "error": "unsupported_grant_type" })),
        })
    }

    fn publisher_token(&self) -> Result<String> {
        let scope = self.scopes.join(" ");
        self.sign(
            "access",
            json!({ "client_id": self.publisher, "sub": self.publisher, "scope": scope, "version": 2 }),
        )
    }

    fn sign(&self, kind: &str, mut claims: Value) -> Result<String> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let own = [
            ("iss", json!(self.issuer)),
            ("token_use", json!(kind)),
            ("iat", json!(now)),
            ("exp", json!(now + self.seconds)),
        ];
        for (name, value) in own {
            set(&mut claims, name, value);
        }
        let header = json!({ "alg": "RS256", "kid": kind });
        let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let key = self.keys.get(kind).context("no such key")?;
        let mut signature = vec![0; key.public().modulus_len()];
        let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature);
        signed.ok().context("cannot sign a token")?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Returns the claims of a valid token, all as text, as the gateway passes them. The rules are those of JWT authorizers: RS256 by a key
    /// of the issuer; `exp`, `nbf`, `iat`; `iss`; and `aud`, or `client_id` without it.
    pub(crate) fn verified(&self, authorization: &str) -> Option<Map<String, Value>> {
        let token = match authorization.split_at_checked(7) {
            Some((bearer, token)) if bearer.eq_ignore_ascii_case("bearer ") => token,
            _ => authorization,
        };
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        let read =
            |part| serde_json::from_slice::<Map<String, Value>>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        let (header, claims) = (read(header)?, read(claims)?);
        if header.get("alg")? != "RS256" {
            return None;
        }
        let key = self.keys.get(header.get("kid")?.as_str()?)?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public());
        key.verify(text.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;

        let now = OffsetDateTime::now_utc().unix_timestamp();
        let is_past = |name| claims.get(name).is_none_or(|at| at.as_i64().is_some_and(|at| at <= now));
        let in_time = claims.get("exp")?.as_i64()? > now && is_past("nbf") && is_past("iat");
        let audience = match claims.get("aud").or_else(|| claims.get("client_id"))? {
            Value::Array(all) => all.clone(),
            one => vec![one.clone()],
        };
        let is_audience = audience.iter().any(|one| self.audience.iter().any(|ours| one == ours));
        let is_valid = in_time && is_audience && *claims.get("iss")? == self.issuer;
        is_valid.then(|| {
            claims.into_iter().filter_map(|(name, claim)| Some((name, as_text(&claim)?.into()))).collect()
        })
    }
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// Formats a claim as the gateway does: lists as `[one two]`.
fn as_text(claim: &Value) -> Option<String> {
    match claim {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(all) => {
            Some(format!("[{}]", all.iter().filter_map(as_text).collect::<Vec<_>>().join(" ")))
        }
        other => Some(other.to_string()),
    }
}

fn private_key(file: &Path) -> Result<RsaKeyPair> {
    let key =
        PrivatePkcs8KeyDer::from_pem_file(file).with_context(|| format!("no key in {}", file.display()))?;
    RsaKeyPair::from_pkcs8(key.secret_pkcs8_der())
        .ok()
        .with_context(|| format!("{} is not an RSA key", file.display()))
}
