//! The catalog of event types that webhooks can subscribe to (contract section 3.4).

use crate::level::Level;

/// One subscribable event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// The canonical name, such as `com.qlik.v1.app.created`.
    pub name: &'static str,
    /// A short display name.
    pub title: &'static str,
    /// When the event occurs, in a sentence.
    pub description: &'static str,
    /// The category that lists the type.
    pub category: &'static str,
    /// The webhook levels that can subscribe to the type.
    pub levels: &'static [Level],
    /// Other names of the same type, accepted wherever a type is named. Qlik announced in 2026 that it renames its events, without a date,
    /// so a webhook receives a type under either name (contract section 3.3).
    pub aliases: &'static [&'static str],
}

const BOTH: &[Level] = &[Level::Tenant, Level::User];
const TENANT: &[Level] = &[Level::Tenant];
const APPS: &str = "Analytics applications";
const USERS: &str = "Users";

const AUTOMATIONS: &str = "Automations";
const DATA_INTEGRATION: &str = "Data integration";
const ANZOL: &str = "Webhooks";

/// The only type whose `data.status` a filter can test.
pub const RELOAD_FINISHED: &str = "com.qlik.v1.app.reload.finished";

/// Prefix of the operational event types. Producers cannot publish events whose type starts with it.
pub const OPERATIONAL_PREFIX: &str = "anzol.";
/// The operational event of a webhook whose health state became `warning`.
pub const WEBHOOK_FAILING: &str = "anzol.webhook.failing";
/// The operational event of a webhook that Anzol disabled.
pub const WEBHOOK_DISABLED: &str = "anzol.webhook.disabled";
/// The operational event of a webhook that succeeds again after [`WEBHOOK_FAILING`].
pub const WEBHOOK_RECOVERED: &str = "anzol.webhook.recovered";

/// Every event type that webhooks can subscribe to. The levels of automations and data tasks are an assumption: no public source states them.
pub const EVENT_TYPES: &[EventType] = &[
    EventType {
        name: "com.qlik.v1.app.created",
        title: "Application created",
        description: "An application was created, copied, imported or restored.",
        category: APPS,
        levels: BOTH,
        aliases: &["com.qlik.app.created"],
    },
    EventType {
        name: "com.qlik.v1.app.deleted",
        title: "Application deleted",
        description: "An application was deleted.",
        category: APPS,
        levels: TENANT,
        aliases: &["com.qlik.app.deleted"],
    },
    EventType {
        name: "com.qlik.v1.app.data.updated",
        title: "Application data updated",
        description: "The data of an application changed and was saved.",
        category: APPS,
        levels: BOTH,
        aliases: &["com.qlik.app.data.updated"],
    },
    EventType {
        name: RELOAD_FINISHED,
        title: "Application reload finished",
        description: "The engine finished reloading an application; the result may not be saved yet.",
        category: APPS,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.app.published",
        title: "Application published",
        description: "An application was published to a managed space.",
        category: APPS,
        levels: BOTH,
        aliases: &["com.qlik.app.published"],
    },
    EventType {
        name: "com.qlik.v1.app.exported",
        title: "Application exported",
        description: "An application was exported.",
        category: APPS,
        levels: BOTH,
        aliases: &["com.qlik.app.exported"],
    },
    EventType {
        name: "com.qlik.v1.reload.finished",
        title: "Reload finished",
        description: "A reload finished and the resource was saved.",
        category: APPS,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.user.created",
        title: "User created",
        description: "A user was added to the tenant.",
        category: USERS,
        levels: TENANT,
        aliases: &["com.qlik.core.user.created"],
    },
    EventType {
        name: "com.qlik.v1.user.deleted",
        title: "User deleted",
        description: "A user was removed from the tenant.",
        category: USERS,
        levels: TENANT,
        aliases: &["com.qlik.core.user.deleted"],
    },
    EventType {
        name: "com.qlik.v1.api-key.validation.failed",
        title: "API key validation failed",
        description: "An API was called with a key that is not valid.",
        category: "API keys",
        levels: TENANT,
        aliases: &["com.qlik.core.api-key.validation.failed"],
    },
    EventType {
        name: "com.qlik.v1.automation.run.ended",
        title: "Automation run ended",
        description: "A run of an automation finished, successfully or not.",
        category: AUTOMATIONS,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.started",
        title: "Data task started",
        description: "A data task started.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.completed",
        title: "Data task completed",
        description: "A data task completed successfully.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.failed",
        title: "Data task failed",
        description: "A data task failed.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.stopped",
        title: "Data task stopped",
        description: "A data task was stopped before it completed.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: WEBHOOK_FAILING,
        title: "Webhook failing",
        description: "A webhook is halfway to being disabled automatically.",
        category: ANZOL,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: WEBHOOK_DISABLED,
        title: "Webhook disabled",
        description: "A webhook was disabled automatically because it reached its disable threshold or its endpoint answered 410 Gone.",
        category: ANZOL,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: WEBHOOK_RECOVERED,
        title: "Webhook recovered",
        description: "A webhook that was halfway to being disabled works again.",
        category: ANZOL,
        levels: BOTH,
        aliases: &[],
    },
];

/// Returns the event type with this name or alias, if the catalog has it.
#[must_use]
pub fn find(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|event_type| event_type.name == name || event_type.aliases.contains(&name))
}

/// Returns the canonical name for an alias, and any other name unchanged.
#[must_use]
pub fn canonical(name: &str) -> &str {
    find(name).map_or(name, |known| known.name)
}

/// Returns every name of an event type. History rows have the name that the producer used.
#[must_use]
pub fn spellings(name: &str) -> Vec<&str> {
    find(name).map_or_else(|| vec![name], |known| [&[known.name], known.aliases].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalog_has_the_required_types_and_unique_names() {
        for name in [
            "app.created",
            "app.deleted",
            "app.data.updated",
            "app.reload.finished",
            "app.published",
            "app.exported",
            "user.created",
            "user.deleted",
        ] {
            assert!(find(&format!("com.qlik.v1.{name}")).is_some(), "{name}");
        }
        let names = || {
            EVENT_TYPES.iter().flat_map(|known| [known.name].into_iter().chain(known.aliases.iter().copied()))
        };
        assert_eq!(names().collect::<std::collections::BTreeSet<_>>().len(), names().count());
        assert!(find("com.qlik.v1.app.opened").is_none());
    }

    #[test]
    fn canonical_maps_aliases_to_their_type() {
        for (alias, name) in [
            ("com.qlik.app.created", "com.qlik.v1.app.created"),
            ("com.qlik.core.user.deleted", "com.qlik.v1.user.deleted"),
            ("com.qlik.v1.app.created", "com.qlik.v1.app.created"),
            ("com.example.order.paid", "com.example.order.paid"),
        ] {
            assert_eq!(canonical(alias), name);
        }
        // This type keeps its name.
        assert!(find("com.qlik.app.reload.finished").is_none());
    }
}
