//! JSON Patch on a webhook (contract section 1.3): `add`, `remove` and `replace` on the members that may change.

use std::collections::BTreeMap;

use json_patch::Patch;
use serde_json::{Value, json};

use anzol_domain::error::Problems;
use anzol_domain::headers::Before;
use anzol_domain::rule::Reason;
use anzol_domain::webhook::Earlier;
use anzol_domain::{FieldProblem, Invalid, Rule, Secret, Secrets, Webhook, WebhookSpec};
use anzol_http::ApiError;

use crate::dto::{Defaults, WebhookIn};
use crate::read_only::READ_ONLY;
use crate::version::Version;

/// A member a patch may name.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    /// Holds several values, and may be named down to one of them, like `/headers/X-Key`.
    pub(crate) nested: bool,
    /// Only core lets patches name it.
    only_core: bool,
}

const fn member(name: &'static str, nested: bool, only_core: bool) -> Member {
    Member { name, nested, only_core }
}

const MEMBERS: [Member; 13] = [
    member("name", false, false),
    member("description", false, false),
    member("url", false, false),
    member("eventTypes", true, false),
    member("headers", true, false),
    member("enabled", false, false),
    member(SECRET, false, false),
    member(ENCRYPTED_HEADERS, true, false),
    member("enableCloudEventDelivery", false, false),
    member("filter", false, true),
    member("level", false, true),
    member("ownerId", false, true),
    member("checkCertificateRevocation", false, true),
];

const SECRET: &str = "secret";
const ENCRYPTED_HEADERS: &str = "encryptedHeaders";

/// The members that patches may name in this version of the API.
pub(crate) fn members(version: Version) -> impl Iterator<Item = &'static Member> {
    MEMBERS.iter().filter(move |member| version == Version::Core || !member.only_core)
}

/// Paths that a patch names; of whatever is none, [`apply`] says so.
fn paths(patch: &Value) -> impl Iterator<Item = &str> {
    patch.as_array().into_iter().flatten().filter_map(|operation| operation.get("path")?.as_str())
}

/// Whether a patch has to do with what is secret, so that this has to be opened for it.
pub(crate) fn touches_secrets(patch: &Value) -> bool {
    paths(patch).any(|path| matches!(path.split('/').nth(1), Some(SECRET | ENCRYPTED_HEADERS)))
}

/// The webhook as it will be after the patch, checked, and its secrets where the patch has to do with them; what the patch does not
/// name stays. `secrets` are asked only for a patch that touches them.
///
/// # Errors
/// 400 with all that is wrong; 409 when a patch of core names what cannot be changed.
pub fn patched(
    stored: &Webhook,
    secrets: &Secrets,
    patch: &Value,
    version: Version,
) -> Result<(WebhookSpec, Option<Secrets>), ApiError> {
    let spec = &stored.spec;
    let kept = Defaults {
        level: spec.level,
        owner: &spec.owner_id,
        enabled: false,
        cloud_events: false,
        earlier: Earlier { spec: Some(spec), headers: before(stored, patch) },
    };
    let (new, secrets) = apply(spec, secrets, patch, version)?.check(&kept)?;
    check_new_url(stored, &new, patch)?;
    if touches_secrets(patch) {
        return Ok((new, Some(secrets)));
    }
    new.headers.check_apart_from(stored.encrypted_header_names())?;
    Ok((new, None))
}

/// The webhook as it would be after the patch, still to be checked. Nothing is done when any operation cannot be. A patch that does not
/// touch them may be given no secrets, and tells nothing of them.
fn apply(
    spec: &WebhookSpec,
    secrets: &Secrets,
    patch: &Value,
    version: Version,
) -> Result<WebhookIn, ApiError> {
    let operations = patch.as_array().ok_or_else(|| Invalid::one("body", Rule::NotJsonPatch))?;
    let mut problems = Problems::default();
    let mut read_only = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        read_only.extend(check_operation(index, operation, version, &mut problems));
    }
    problems.finish(Some(()))?;
    if !read_only.is_empty() {
        return Err(ApiError::Conflict(read_only));
    }
    let patch: Patch = serde_json::from_value(patch.clone())
        .map_err(|error| Invalid::one("body", Rule::UnreadableJsonPatch { reason: Reason::new(error) }))?;

    // Members without a value are there as null, so that `replace` works on them as it does in Qlik's clients.
    let mut document = json!({
        "name": spec.name,
        "description": spec.description,
        "url": spec.url.as_str(),
        "eventTypes": spec.event_types,
        "level": spec.level,
        "ownerId": spec.owner_id,
        "filter": spec.filter,
        "headers": spec.headers,
        "enabled": spec.enabled,
        (SECRET): secrets.secret.as_ref().map(Secret::expose),
        (ENCRYPTED_HEADERS): secrets.encrypted_headers.expose().collect::<BTreeMap<_, _>>(),
        "checkCertificateRevocation": false,
        "enableCloudEventDelivery": spec.cloud_events,
    });
    json_patch::patch(&mut document, &patch).map_err(|error| {
        let rule = Rule::PatchNotApplicable {
            path: error.path.to_string().into(),
            reason: Reason::new(&error.kind),
        };
        Invalid::one(format!("[{}]", error.operation), rule)
    })?;
    Ok(WebhookIn::read(&document)?)
}

/// Adds the problems of an operation. Returns the problem of one that names a read-only member, which is a conflict.
fn check_operation(
    index: usize,
    operation: &Value,
    version: Version,
    problems: &mut Problems,
) -> Option<FieldProblem> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let op = text("op");
    if !matches!(op, Some("add" | "remove" | "replace")) {
        problems.add(format!("[{index}].op"), Rule::OneOf { values: ["add", "remove", "replace"].into() });
    }
    if matches!(op, Some("add" | "replace")) && operation.get("value").is_none() {
        problems.add(format!("[{index}].value"), Rule::PatchValueRequired);
    }
    let mut parts = text("path").unwrap_or_default().split('/');
    let (root, name, inner, more) = (parts.next(), parts.next(), parts.next(), parts.next());
    let (root, name) = (root == Some(""), name.unwrap_or_default());
    if root && inner.is_none() && version == Version::Core && READ_ONLY.contains(&name) {
        return Some(FieldProblem::new(format!("[{index}].path"), Rule::PatchReadOnly { name: name.into() }));
    }
    let fits = |member: &Member| member.name == name && (member.nested || inner.is_none());
    if !root || more.is_some() || !members(version).any(fits) {
        let paths = members(version).map(|member| format!("/{}", member.name));
        problems.add(format!("[{index}].path"), Rule::OneOf { values: paths.into() });
    }
    None
}

/// What the webhook had before a patch; or before anything that is none, which then gives all it is to have.
pub(crate) fn before(stored: &Webhook, patch: &Value) -> Before {
    let encrypted = || stored.encrypted_header_names().map(str::to_owned);
    let plain = stored.spec.headers.iter().map(|(name, _)| name.to_owned());
    let kept = encrypted().filter(|name| patch.is_array() && !gives(patch, name)).collect();
    Before { names: plain.chain(encrypted()).collect(), kept }
}

/// Whether a patch gives an encrypted header of this name anew, or removes it.
fn gives(patch: &Value, name: &str) -> bool {
    let whole = format!("/{ENCRYPTED_HEADERS}");
    // As a JSON Pointer spells it (RFC 6901); a slash cannot be in a header's name.
    let own = format!("{whole}/{}", name.replace('~', "~0"));
    paths(patch).any(|path| path == whole || path == own)
}

/// Checks that no encrypted header goes to a URL it was not meant for: a patch that changes `url` has to give every one of them
/// anew, or remove it. Else whoever may edit a webhook could have its secrets sent to themselves.
fn check_new_url(stored: &Webhook, new: &WebhookSpec, patch: &Value) -> Result<(), Invalid> {
    if stored.spec.url == new.url {
        return Ok(());
    }
    let mut problems = Problems::default();
    for name in stored.encrypted_header_names() {
        if !gives(patch, name) {
            problems.add(format!("{ENCRYPTED_HEADERS}.{name}"), Rule::HeaderValueRequired);
        }
    }
    problems.finish(Some(()))
}

/// Whether a patch does nothing; such a one is answered without a write.
pub(crate) fn is_empty(patch: &Value) -> bool {
    patch.as_array().is_some_and(Vec::is_empty)
}
