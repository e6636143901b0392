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
}

const BOTH: &[Level] = &[Level::Tenant, Level::User];
const TENANT: &[Level] = &[Level::Tenant];
const APPS: &str = "Analytics applications";
const USERS: &str = "Users";

/// Every subscribable event type.
pub const EVENT_TYPES: &[EventType] = &[
    EventType {
        name: "com.qlik.v1.app.created",
        title: "Application created",
        description: "An application was created, copied, imported or restored.",
        category: APPS,
        levels: BOTH,
    },
    EventType {
        name: "com.qlik.v1.app.deleted",
        title: "Application deleted",
        description: "An application was deleted.",
        category: APPS,
        levels: TENANT,
    },
    EventType {
        name: "com.qlik.v1.app.data.updated",
        title: "Application data updated",
        description: "The data of an application changed and was saved.",
        category: APPS,
        levels: BOTH,
    },
    EventType {
        name: "com.qlik.v1.app.reload.finished",
        title: "Application reload finished",
        description: "The engine finished reloading an application; the result may not be saved yet.",
        category: APPS,
        levels: BOTH,
    },
    EventType {
        name: "com.qlik.v1.app.published",
        title: "Application published",
        description: "An application was published to a managed space.",
        category: APPS,
        levels: BOTH,
    },
    EventType {
        name: "com.qlik.v1.app.exported",
        title: "Application exported",
        description: "An application was exported.",
        category: APPS,
        levels: BOTH,
    },
    EventType {
        name: "com.qlik.v1.reload.finished",
        title: "Reload finished",
        description: "A reload is over and the resource is saved.",
        category: APPS,
        levels: BOTH,
    },
    EventType {
        name: "com.qlik.v1.user.created",
        title: "User created",
        description: "A user was added to the tenant.",
        category: USERS,
        levels: TENANT,
    },
    EventType {
        name: "com.qlik.v1.user.deleted",
        title: "User deleted",
        description: "A user was removed from the tenant.",
        category: USERS,
        levels: TENANT,
    },
    EventType {
        name: "com.qlik.v1.api-key.validation.failed",
        title: "API key validation failed",
        description: "Somebody called an API with a key that is not valid.",
        category: "API keys",
        levels: TENANT,
    },
];

/// The event type of that name, if it is subscribable.
#[must_use]
pub fn find(name: &str) -> Option<&'static EventType> {
    EVENT_TYPES.iter().find(|event_type| event_type.name == name)
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
        let names: std::collections::BTreeSet<_> = EVENT_TYPES.iter().map(|t| t.name).collect();
        assert_eq!(names.len(), EVENT_TYPES.len());
        assert!(find("com.qlik.v1.app.opened").is_none());
    }
}
