//! The read-only members of a webhook, and the check that a request does not change them (contract sections 1.3 and 1.4).

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Members that only Anzol writes.
pub(crate) const READ_ONLY: [&str; 9] = [
    "id",
    "origin",
    "createdAt",
    "createdByUserId",
    "updatedAt",
    "updatedByUserId",
    "disabledReason",
    "disabledReasonCode",
    "secretKeyAdded",
];

/// Returns the read-only members whose value in the request `wanted` differs from `shown`, the public form of the webhook.
///
/// Clients can send back values that they received. `secretKeyAdded` is not compared, because a request that sets or removes the secret
/// changes it.
pub(crate) fn changes(wanted: &Value, shown: &Value) -> Vec<&'static str> {
    let differs = |name: &&str| {
        let (Some(wanted), shown) = (wanted.get(name).filter(|value| !value.is_null()), shown.get(name))
        else {
            return false;
        };
        shown.is_none_or(|shown| wanted != shown && time(wanted).is_none_or(|at| Some(at) != time(shown)))
    };
    READ_ONLY.into_iter().filter(|name| *name != "secretKeyAdded").filter(differs).collect()
}

/// Parses a timestamp, so that different notations of the same time are equal.
fn time(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeating_current_values_changes_nothing() {
        let shown = json!({ "id": "1", "createdAt": "2026-11-24T10:00:00Z", "origin": "api", "name": "n" });
        for same in [
            json!({}),
            shown.clone(),
            json!({ "createdAt": "2026-11-24T11:00:00.000+01:00", "name": "other", "disabledReason": null }),
        ] {
            assert!(changes(&same, &shown).is_empty(), "{same}");
        }
        let other =
            json!({ "id": "2", "createdAt": "2026-11-24T10:00:01Z", "origin": 1, "disabledReason": "x" });
        assert_eq!(changes(&other, &shown), ["id", "origin", "createdAt", "disabledReason"]);
    }
}
