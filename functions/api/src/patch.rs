//! Applies a JSON Patch to a webhook (contract section 1.3): `add`, `remove` and `replace` of the members that can be patched.

use std::collections::BTreeMap;

use json_patch::Patch;
use serde_json::{Value, json};

use anzol_domain::error::Problems;
use anzol_domain::headers::Before;
use anzol_domain::rule::Reason;
use anzol_domain::webhook::{Defaults, Earlier, WebhookInput};
use anzol_domain::{FieldProblem, Invalid, Rule, Secret, Secrets, Webhook, WebhookSpec};
use anzol_http::ApiError;

use crate::dto;
use crate::read_only::READ_ONLY;
use crate::version::Version;

/// A member that a patch can name.
pub(crate) struct Member {
    pub(crate) name: &'static str,
    /// Whether a patch can also name one of its values, such as `/headers/X-Key`.
    pub(crate) nested: bool,
    /// Whether the member can be patched only in core.
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

/// Returns the members that can be patched in this version of the API.
pub(crate) fn members(version: Version) -> impl Iterator<Item = &'static Member> {
    MEMBERS.iter().filter(move |member| version == Version::Core || !member.only_core)
}

/// Returns the paths of a patch. Skips operations without a path, which [`apply`] reports.
fn paths(patch: &Value) -> impl Iterator<Item = &str> {
    patch.as_array().into_iter().flatten().filter_map(|operation| operation.get("path")?.as_str())
}

/// Returns whether a patch concerns the secrets, which must be opened for it.
pub(crate) fn touches_secrets(patch: &Value) -> bool {
    paths(patch).any(|path| matches!(path.split('/').nth(1), Some(SECRET | ENCRYPTED_HEADERS)))
}

/// Applies a patch and checks the result. Returns the new spec, and the new secrets if the patch concerns them. `secrets` is used only in
/// that case.
///
/// # Errors
/// 400 with all problems; 409 if a patch of core names a read-only member.
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

/// Applies all operations of a patch, or none, and returns the result unchecked. If the patch does not concern the secrets, the result
/// contains `secrets`, which may be empty.
fn apply(
    spec: &WebhookSpec,
    secrets: &Secrets,
    patch: &Value,
    version: Version,
) -> Result<WebhookInput, ApiError> {
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

    // Absent members are null, so that `replace` works on them, as Qlik's clients expect.
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
    Ok(dto::read(&document)?)
}

/// Adds the problems of an operation. If the operation names a read-only member, returns this problem, which is a conflict, instead of
/// adding it.
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

/// Returns the header names of the webhook before a patch. If `patch` is not an array, the change is a replacement, which keeps no
/// encrypted header.
pub(crate) fn before(stored: &Webhook, patch: &Value) -> Before {
    let encrypted = || stored.encrypted_header_names().map(str::to_owned);
    let plain = stored.spec.headers.iter().map(|(name, _)| name.to_owned());
    let kept = encrypted().filter(|name| patch.is_array() && !sets_or_removes(patch, name)).collect();
    Before { names: plain.chain(encrypted()).collect(), kept }
}

/// Returns whether a patch sets or removes the encrypted header of this name.
fn sets_or_removes(patch: &Value, name: &str) -> bool {
    let whole = format!("/{ENCRYPTED_HEADERS}");
    // A JSON Pointer escapes `~` (RFC 6901); header names contain no slash.
    let own = format!("{whole}/{}", name.replace('~', "~0"));
    paths(patch).any(|path| path == whole || path == own)
}

/// Checks that a patch that changes `url` sets or removes all encrypted headers. Otherwise a user who can edit a webhook could have its
/// secrets sent to their own server.
fn check_new_url(stored: &Webhook, new: &WebhookSpec, patch: &Value) -> Result<(), Invalid> {
    if stored.spec.url == new.url {
        return Ok(());
    }
    let mut problems = Problems::default();
    for name in stored.encrypted_header_names() {
        if !sets_or_removes(patch, name) {
            problems.add(format!("{ENCRYPTED_HEADERS}.{name}"), Rule::HeaderValueRequired);
        }
    }
    problems.finish(Some(()))
}

/// Returns whether a patch has no operations. Such a patch needs no write.
pub(crate) fn is_empty(patch: &Value) -> bool {
    patch.as_array().is_some_and(Vec::is_empty)
}
