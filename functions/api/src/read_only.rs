//! Which members of a webhook nobody can change, and whether a request tries to (contract sections 1.3 and 1.4).

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Members that are ours to write.
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

/// The read-only members that `wanted` has with another value than `shown`, the webhook as clients see it.
///
/// Saying again what is so is fine: clients send back what they were given. `secretKeyAdded` is left out, because a request that
/// brings or drops a secret cannot know what it will be.
pub(crate) fn changes(wanted: &Value, shown: &Value) -> Vec<&'static str> {
    let differs = |name: &&str| {
        let (Some(wanted), shown) = (wanted.get(name).filter(|value| !value.is_null()), shown.get(name))
        else {
            return false;
        };
        shown.is_none_or(|shown| wanted != shown && moment(wanted).is_none_or(|at| Some(at) != moment(shown)))
    };
    READ_ONLY.into_iter().filter(|name| *name != "secretKeyAdded").filter(differs).collect()
}

/// A moment has more than one spelling.
fn moment(value: &Value) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(value.as_str()?, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn saying_again_what_is_so_changes_nothing() {
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
