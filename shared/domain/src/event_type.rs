//! The catalogue of event types a webhook can subscribe to (contract section 3.4).

use crate::webhook::Level;

/// One subscribable event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventType {
    /// The name events carry, e.g. `com.qlik.v1.app.created`.
    pub name: &'static str,
    /// A short human name.
    pub title: &'static str,
    /// When it happens, in a sentence.
    pub description: &'static str,
    /// The group it is listed under.
    pub category: &'static str,
    /// The webhook levels that may subscribe to it.
    pub levels: &'static [Level],
    /// Other names of the same type, accepted wherever a type is named. Qlik began to rename its events in 2026 and left open
    /// when, so a webhook hears a type under either name (contract section 3.3).
    pub aliases: &'static [&'static str],
}

const BOTH: &[Level] = &[Level::Tenant, Level::User];
const TENANT: &[Level] = &[Level::Tenant];
const APPS: &str = "Analytics applications";
const USERS: &str = "Users";

const AUTOMATIONS: &str = "Automations";
const DATA_INTEGRATION: &str = "Data integration";

/// The one type whose `data.status` a filter can look at.
pub const RELOAD_FINISHED: &str = "com.qlik.v1.app.reload.finished";

/// Every subscribable event type. The levels of automations and data tasks are our choice: public material does not show them.
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
        description: "A reload is over and the resource is saved.",
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
        description: "Somebody called an API with a key that is not valid.",
        category: "API keys",
        levels: TENANT,
        aliases: &["com.qlik.core.api-key.validation.failed"],
    },
    EventType {
        name: "com.qlik.v1.automation.run.ended",
        title: "Automation run ended",
        description: "A run of an automation is over, whether it succeeded or not.",
        category: AUTOMATIONS,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.started",
        title: "Data task started",
        description: "A data task began to run.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.completed",
        title: "Data task completed",
        description: "A data task ended well.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.failed",
        title: "Data task failed",
        description: "A data task ended with an error.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
    EventType {
        name: "com.qlik.v1.di-projects.di-tasks.stopped",
        title: "Data task stopped",
        description: "A data task was stopped before its end.",
        category: DATA_INTEGRATION,
        levels: BOTH,
        aliases: &[],
    },
];

/// The event type of that name or alias, if it is subscribable.
#[must_use]
pub fn find(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|event_type| event_type.name == name || event_type.aliases.contains(&name))
}

/// The name a type goes by here: what its alias stands for, and unknown names as they are.
#[must_use]
pub fn canonical(name: &str) -> &str {
    find(name).map_or(name, |known| known.name)
}

/// Every name of the type that `name` names: events are kept under the name they came with.
#[must_use]
pub fn spellings(name: &str) -> Vec<&str> {
    find(name).map_or_else(|| vec![name], |known| [&[known.name], known.aliases].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_types_of_the_mission_are_there_and_names_are_unique() {
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
    fn renamed_types_are_the_same_type_under_both_names() {
        for (alias, name) in [
            ("com.qlik.app.created", "com.qlik.v1.app.created"),
            ("com.qlik.core.user.deleted", "com.qlik.v1.user.deleted"),
            ("com.qlik.v1.app.created", "com.qlik.v1.app.created"),
            ("com.example.order.paid", "com.example.order.paid"),
        ] {
            assert_eq!(canonical(alias), name);
        }
        // Its new name is its old one.
        assert!(find("com.qlik.app.reload.finished").is_none());
    }
}
