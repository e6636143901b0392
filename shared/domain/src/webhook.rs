//! A webhook: what a tenant may say about it (`WebhookSpec`), what we add (`Webhook`), and which events it gets.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::error::{Invalid, Problems};
use crate::event::Event;
use crate::event_type;
use crate::filter::Filter;
use crate::headers::{Before, EncryptedHeaders, Headers};
use crate::health::Health;
use crate::id::{TenantId, UserId, WebhookId};
use crate::operational;
use crate::rule::Rule;
use crate::secret::Secret;
use crate::secrets::{Sealed, Secrets};
use crate::text;
use crate::url::WebhookUrl;

/// Webhooks a tenant may have in all, unless the deployment says otherwise (contract section 4).
pub const WEBHOOK_CAP: u32 = 100;
/// Longest name, in characters (contract section 4).
pub const MAX_NAME: usize = 512;
/// Longest description, in characters (contract section 4).
pub const MAX_DESCRIPTION: usize = 1024;

/// Which events a webhook hears: all of the tenant's, or those of resources its owner has to do with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every event of the tenant.
    #[default]
    Tenant,
    /// Events whose `userid` or `ownerid` is the webhook's owner.
    User,
}

/// Where a webhook was made. Never changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Through the API.
    #[default]
    Api,
    /// By an automation.
    Automations,
    /// In the console.
    ManagementConsole,
}

/// Everything a tenant decides about a webhook, checked; but for what is secret of it, which is apart, in [`Secrets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSpec {
    /// A human name; 1–512 characters, not unique.
    pub name: String,
    /// A human description; up to 1024 characters.
    pub description: Option<String>,
    /// Where events are posted.
    pub url: WebhookUrl,
    /// Names of the event types it hears, without repetition. Not empty while enabled.
    pub event_types: Vec<String>,
    /// Which of the tenant's events of those types it hears.
    pub level: Level,
    /// The user it belongs to.
    pub owner_id: UserId,
    /// Which of those events it wants; all of them without one.
    pub filter: Option<Filter>,
    /// Extra headers it sends.
    pub headers: Headers,
    /// Whether it gets events at all.
    pub enabled: bool,
    /// Whether it gets pure CloudEvents 1.0 instead of the hybrid form that old receivers understand too.
    pub cloud_events: bool,
}

/// The parts of a webhook that a request names, each still to be checked; absent ones already have their defaults.
#[derive(Debug, Clone)]
pub struct RawSpec {
    /// See [`WebhookSpec::name`].
    pub name: Option<String>,
    /// See [`WebhookSpec::description`]. An empty one counts as none.
    pub description: Option<String>,
    /// See [`WebhookSpec::url`].
    pub url: Option<String>,
    /// See [`WebhookSpec::event_types`].
    pub event_types: Vec<String>,
    /// See [`WebhookSpec::level`].
    pub level: Level,
    /// See [`WebhookSpec::owner_id`].
    pub owner_id: String,
    /// See [`Secrets::secret`]. An empty one counts as none.
    pub secret: Option<String>,
    /// See [`WebhookSpec::filter`]. An empty one counts as none.
    pub filter: Option<String>,
    /// See [`WebhookSpec::headers`].
    pub headers: BTreeMap<String, String>,
    /// See [`Secrets::encrypted_headers`].
    pub encrypted_headers: BTreeMap<String, String>,
    /// See [`WebhookSpec::enabled`].
    pub enabled: bool,
    /// See [`WebhookSpec::cloud_events`].
    pub cloud_events: bool,
}

/// What a webhook was before a change; nothing, for one that is new.
#[derive(Debug, Clone, Default)]
pub struct Earlier<'a> {
    /// What the tenant had decided.
    pub spec: Option<&'a WebhookSpec>,
    /// What the rules for headers ask.
    pub headers: Before,
}

impl RawSpec {
    /// Checks every part, and takes apart what is secret and what is not; all problems are reported together.
    pub fn check(self) -> Result<(WebhookSpec, Secrets), Invalid> {
        self.check_change(&Earlier::default())
    }

    /// The same, of a change. Its name and description are not judged anew where they stay as they are: an older release took some that
    /// this one refuses, and whoever wants to disable such a webhook need not rename it; nor are the names of headers that it has had. A URL
    /// is judged anew, as that is what keeps requests from where they must not go.
    pub fn check_change(self, earlier: &Earlier<'_>) -> Result<(WebhookSpec, Secrets), Invalid> {
        let (stored, before) = (earlier.spec, &earlier.headers);
        let mut problems = Problems::default();
        let name = match stored {
            Some(stored) if self.name.as_ref() == Some(&stored.name) => self.name,
            _ => problems.take(name(self.name)),
        };
        let description = self.description.filter(|text| !text.is_empty());
        let description = match stored {
            Some(stored) if description == stored.description => Some(description),
            _ => problems.take(description.map(|d| text("description", d, MAX_DESCRIPTION)).transpose()),
        };
        let url = problems.take(required("url", self.url).and_then(|url| WebhookUrl::parse(&url)));
        let secret = problems.take(self.secret.filter(|s| !s.is_empty()).map(Secret::parse).transpose());
        let headers = problems.take(Headers::parse_after(self.headers, before));
        let encrypted_headers = problems.take(EncryptedHeaders::parse_after(self.encrypted_headers, before));
        if let (Some(headers), Some(encrypted)) = (&headers, &encrypted_headers) {
            problems.take(headers.check_apart_from(encrypted.names()));
        }
        let owner_id = problems.take(UserId::parse(&self.owner_id));
        let event_types = check_event_types(self.event_types, self.level, self.enabled, &mut problems);
        let filter = self.filter.filter(|text| !text.trim().is_empty()).map(|text| Filter::parse(&text));
        let filter = problems.take(filter.transpose());
        if let Some(Some(filter)) = &filter {
            problems.take(filter.check_for(&event_types));
        }
        let checked = (|| {
            let secrets =
                Secrets { secret: secret?, retired: Vec::new(), encrypted_headers: encrypted_headers? };
            let spec = WebhookSpec {
                name: name?,
                description: description?,
                url: url?,
                event_types,
                level: self.level,
                owner_id: owner_id?,
                filter: filter?,
                headers: headers?,
                enabled: self.enabled,
                cloud_events: self.cloud_events,
            };
            Some((spec, secrets))
        })();
        problems.finish(checked)
    }
}

fn required(field: &str, value: Option<String>) -> Result<String, Invalid> {
    value.filter(|text| !text.trim().is_empty()).ok_or_else(|| Invalid::one(field, Rule::Required))
}

fn name(value: Option<String>) -> Result<String, Invalid> {
    let value = value.filter(|name| !name.is_empty());
    let value = value.ok_or_else(|| Invalid::one("name", Rule::Required))?;
    // Of what has no shape, control characters other than spaces have a rule of their own.
    let seen = |c: char| text::is_visible(c) || c.is_control() && !c.is_whitespace();
    if !value.chars().any(seen) {
        return Err(Invalid::one("name", Rule::NoVisibleCharacter));
    }
    text("name", value, MAX_NAME)
}

fn text(field: &str, value: String, max: usize) -> Result<String, Invalid> {
    if value.chars().count() > max {
        return Err(Invalid::one(field, Rule::MaxLength { max }));
    }
    let mut written = value.chars().filter(|c| !(*c == '\n' && field == "description"));
    match written.find_map(text::refusal) {
        Some(rule) => Err(Invalid::one(field, rule)),
        None => Ok(value),
    }
}

fn check_event_types(
    names: Vec<String>,
    level: Level,
    enabled: bool,
    problems: &mut Problems,
) -> Vec<String> {
    let mut kept = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let field = format!("eventTypes[{index}]");
        match event_type::find(&name) {
            None => problems.add(field, Rule::UnknownEventType { name: name.into() }),
            Some(known) if !known.levels.contains(&level) => {
                problems.add(field, Rule::EventTypeNotAtLevel { name: name.into() });
            }
            // Kept under the name it goes by here, whichever the client used.
            Some(known) if !kept.iter().any(|name| name == known.name) => kept.push(known.name.to_owned()),
            Some(_) => {}
        }
    }
    if enabled && kept.is_empty() {
        problems.add("eventTypes", Rule::EventTypeRequired);
    }
    kept
}

/// Why a webhook was disabled without anybody asking for it. Gone as soon as somebody enables it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// For people.
    pub reason: String,
    /// For programs; names that stay.
    pub code: String,
}

/// What becomes of an event at a webhook of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOutcome {
    /// It goes there.
    Matched,
    /// The webhook is not enabled.
    Disabled,
    /// The webhook does not subscribe to its type.
    TypeMismatch,
    /// It is news of that very webhook.
    SelfReference,
    /// The webhook hears its owner's events only.
    LevelMismatch,
    /// The webhook's filter does not let it through.
    FilterMismatch,
}

/// A stored webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id, which also says when it was created.
    pub id: WebhookId,
    /// The tenant it belongs to.
    pub tenant_id: TenantId,
    /// What the tenant decided.
    pub spec: WebhookSpec,
    /// Where it was made.
    pub origin: Origin,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// When its spec was last changed.
    pub updated_at: OffsetDateTime,
    /// Who created it.
    pub created_by: UserId,
    /// Who last changed its spec.
    pub updated_by: UserId,
    /// What is secret of it, sealed; nothing when nothing is.
    pub sealed: Option<Sealed>,
    /// How its receiver is doing.
    pub health: Health,
    /// Why we disabled it, when it was us.
    pub disabled: Option<Disabled>,
    /// Goes up by one with every change; a writer that read an older one has to read again.
    pub version: u64,
}

impl Webhook {
    /// The same webhook with another spec and other secrets, changed by `user` at `now`. What no longer holds goes: the reason it was disabled for
    /// once it is enabled, and its receiver's record once that is another one or gets another chance.
    #[must_use]
    pub fn changed(
        mut self,
        spec: WebhookSpec,
        sealed: Option<Sealed>,
        user: UserId,
        now: OffsetDateTime,
    ) -> Self {
        let enabled_again = spec.enabled && !self.spec.enabled;
        if enabled_again || spec.url != self.spec.url {
            self.health = Health::default();
        }
        if spec.enabled {
            self.disabled = None;
        }
        Self { spec, sealed, updated_at: now, updated_by: user, version: self.version + 1, ..self }
    }

    /// About how many bytes of memory it takes: what its tenant wrote, and what any webhook takes.
    #[must_use]
    pub fn footprint(&self) -> usize {
        const ENTRY: usize = 48; // what the allocator and a collection add to a text
        const NODE: usize = 560; // of the tree that headers are; each holds five of them at least, but for the root
        let spec = &self.spec;
        // Taken apart, a filter is several times its text.
        let filter = spec.filter.as_ref().map_or(0, |filter| filter.to_string().len() * 4);
        let users = [&spec.owner_id, &self.created_by, &self.updated_by].map(|user| user.as_str().len());
        let texts = [self.tenant_id.as_str().len(), spec.name.len(), spec.url.as_str().len(), filter]
            .into_iter()
            .chain(users)
            .chain(spec.description.iter().map(String::len))
            .chain(spec.event_types.iter().map(String::len))
            .chain(spec.headers.iter().map(|(name, value)| name.len() + value.len() + ENTRY))
            .chain(self.sealed.iter().map(|sealed| sealed.ciphertext.len()))
            .chain(self.encrypted_header_names().map(str::len));
        let nodes = spec.headers.iter().count().div_ceil(5) * NODE;
        size_of::<Self>() + texts.map(|bytes| bytes + ENTRY).sum::<usize>() + nodes
    }

    /// The names of its encrypted headers, sorted.
    pub fn encrypted_header_names(&self) -> impl Iterator<Item = &str> {
        self.sealed.iter().flat_map(|sealed| &sealed.header_names).map(String::as_str)
    }

    /// Whether it has a signing secret.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.has_secret)
    }

    /// Whether an event of its tenant goes to this webhook.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.match_event(event) == MatchOutcome::Matched
    }

    /// Whether an event of its tenant goes to this webhook, and if not, why: the first of its rules that stands against it.
    #[must_use]
    pub fn match_event(&self, event: &Event) -> MatchOutcome {
        let spec = &self.spec;
        if !spec.enabled {
            return MatchOutcome::Disabled;
        }
        let event_type = event_type::canonical(event.event_type());
        if !spec.event_types.iter().any(|name| name == event_type) {
            return MatchOutcome::TypeMismatch;
        }
        // News of a webhook never goes to itself: it would not arrive, and that would be news again.
        if event_type.starts_with(operational::PREFIX)
            && event.subject().id.as_deref() == Some(&self.id.to_string())
        {
            return MatchOutcome::SelfReference;
        }
        let owner = Some(spec.owner_id.as_str());
        if spec.level == Level::User && event.user_id() != owner && event.owner_id() != owner {
            return MatchOutcome::LevelMismatch;
        }
        match &spec.filter {
            Some(filter) if !filter.matches(event) => MatchOutcome::FilterMismatch,
            _ => MatchOutcome::Matched,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::FieldProblem;

    pub(crate) fn raw() -> RawSpec {
        RawSpec {
            name: Some("Orders".to_owned()),
            description: None,
            url: Some("https://hooks.example.com/x".to_owned()),
            event_types: vec!["com.qlik.v1.app.created".to_owned()],
            level: Level::Tenant,
            owner_id: "user-1".to_owned(),
            secret: None,
            filter: None,
            headers: BTreeMap::new(),
            encrypted_headers: BTreeMap::new(),
            enabled: true,
            cloud_events: false,
        }
    }

    pub(crate) fn webhook(raw: RawSpec, now: OffsetDateTime) -> Webhook {
        let user = UserId::parse("user-1").unwrap();
        Webhook {
            id: WebhookId::mint(now),
            tenant_id: TenantId::parse("acme").unwrap(),
            spec: raw.check().unwrap().0,
            origin: Origin::Api,
            created_at: now,
            updated_at: now,
            created_by: user.clone(),
            updated_by: user,
            sealed: None,
            health: Health::default(),
            disabled: None,
            version: 1,
        }
    }

    fn fields(raw: RawSpec) -> Vec<String> {
        raw.check()
            .map_or_else(|Invalid(problems)| problems.into_iter().map(|p| p.field).collect(), |_| Vec::new())
    }

    #[test]
    fn a_good_spec_passes_and_repeated_event_types_become_one() {
        let spec = RawSpec { event_types: vec!["com.qlik.v1.app.created".to_owned(); 3], ..raw() }
            .check()
            .unwrap()
            .0;
        assert_eq!(spec.event_types, ["com.qlik.v1.app.created"]);
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_field() {
        let bad = RawSpec {
            name: None,
            description: Some("d".repeat(1025)),
            url: Some("http://example.com".to_owned()),
            secret: Some("short".to_owned()),
            event_types: vec!["nope".to_owned()],
            ..raw()
        };
        assert_eq!(fields(bad), ["name", "description", "url", "secret", "eventTypes[0]", "eventTypes"]);
    }

    fn problem_of(raw: RawSpec) -> Option<FieldProblem> {
        raw.check().err().and_then(|Invalid(problems)| problems.into_iter().next())
    }

    #[test]
    fn k8_a_name_of_nothing_to_see_is_refused() {
        let problem = Some(FieldProblem::new("name", Rule::NoVisibleCharacter));
        for name in [
            "\u{200b}",
            " \u{200b}\t",
            "\u{2800}\u{2800}",
            "\u{3164}",
            "\u{301}\u{20dd}",
            "\u{200d}\u{feff}\u{ad}",
            "\u{a0}\u{3000}",
            " ",
            "\u{fe0f}",
            "\u{115f}\u{1160}\u{ffa0}",
            "\u{e0041}\u{e007f}",
            "\u{202e}\u{200e}",
        ] {
            assert_eq!(problem_of(RawSpec { name: Some(name.to_owned()), ..raw() }), problem, "{name:?}");
        }
        let empty = problem_of(RawSpec { name: Some(String::new()), ..raw() });
        assert_eq!(empty, Some(FieldProblem::new("name", Rule::Required)));
    }

    #[test]
    fn k8_what_turns_text_round_or_is_no_character_is_refused() {
        let texts = ["\u{202e}", "\u{202a}", "\u{2066}", "\u{2069}"]
            .map(|c| (c, Rule::DirectionOverrides))
            .into_iter()
            .chain(
                ["\u{ffff}", "\u{fffe}", "\u{fdd0}", "\u{fdef}", "\u{1fffe}", "\u{10ffff}"]
                    .map(|c| (c, Rule::Noncharacters)),
            );
        let controls = ["\u{85}", "\u{9f}", "\u{0}"].map(|c| (c, Rule::ControlCharacters));
        for (c, rule) in texts.chain(controls) {
            for field in ["name", "description"] {
                let text = Some(format!("Orders{c} exe"));
                let raw = if field == "name" {
                    RawSpec { name: text, ..raw() }
                } else {
                    RawSpec { description: text, ..raw() }
                };
                assert_eq!(problem_of(raw), Some(FieldProblem::new(field, rule.clone())), "{c:?}");
            }
        }
    }

    #[test]
    fn k8_names_in_any_script_and_joined_emoji_are_taken() {
        for name in [
            "👩\u{200d}💻 Orders",
            "❤\u{fe0f}",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "Cafe\u{301}",
            "טלפון \u{200e}C++\u{200f}",
            "🏴\u{e0067}\u{e0062}\u{e007f}",
            "中",
            "-",
            "\u{fdcf}\u{fdf0}\u{fffd}",
        ] {
            assert_eq!(problem_of(RawSpec { name: Some(name.to_owned()), ..raw() }), None, "{name:?}");
        }
    }

    #[test]
    fn k8_an_old_name_is_judged_when_it_changes_and_not_before() {
        let mut stored = raw().check().unwrap().0;
        stored.name = "\u{200b}".to_owned();
        stored.description = Some("\u{202e}\u{ffff}".to_owned());
        let same =
            || RawSpec { name: Some(stored.name.clone()), description: stored.description.clone(), ..raw() };
        let earlier = Earlier { spec: Some(&stored), ..Earlier::default() };
        let kept = RawSpec { enabled: false, ..same() }.check_change(&earlier).unwrap().0;
        assert_eq!((&kept.name, &kept.description), (&stored.name, &stored.description));
        assert_eq!(fields(same()), ["name", "description"], "a new webhook gets no such name");
        let other = RawSpec { name: Some("\u{200b}\u{200b}".to_owned()), ..same() };
        assert_eq!(other.check_change(&earlier).unwrap_err().0[0].field, "name");
        let other = RawSpec { description: Some("\u{202e}".to_owned()), ..same() };
        assert_eq!(other.check_change(&earlier).unwrap_err().0[0].field, "description");
    }

    #[test]
    fn an_enabled_webhook_needs_an_event_type_and_a_disabled_one_does_not() {
        assert_eq!(fields(RawSpec { event_types: vec![], ..raw() }), ["eventTypes"]);
        assert!(fields(RawSpec { event_types: vec![], enabled: false, ..raw() }).is_empty());
    }

    #[test]
    fn an_alias_is_kept_as_the_type_it_stands_for() {
        let event_types = vec!["com.qlik.app.created".to_owned(), "com.qlik.v1.app.created".to_owned()];
        assert_eq!(
            RawSpec { event_types, ..raw() }.check().unwrap().0.event_types,
            ["com.qlik.v1.app.created"]
        );
    }

    #[test]
    fn a_header_is_plain_or_encrypted_and_not_both() {
        let one = |name: &str| BTreeMap::from([(name.to_owned(), "v".to_owned())]);
        assert_eq!(
            fields(RawSpec { headers: one("X-Key"), encrypted_headers: one("x-key"), ..raw() }),
            ["encryptedHeaders.x-key"]
        );
        assert!(
            fields(RawSpec { headers: one("X-Key"), encrypted_headers: one("X-Other"), ..raw() }).is_empty()
        );
    }

    #[test]
    fn a_filter_fits_the_event_types() {
        let filter = Some(r#"data.status eq "ok""#.to_owned());
        assert_eq!(fields(RawSpec { filter: filter.clone(), ..raw() }), ["filter"]);
        let event_types = vec![event_type::RELOAD_FINISHED.to_owned()];
        assert!(fields(RawSpec { event_types, filter, ..raw() }).is_empty());
        assert!(RawSpec { filter: Some(" ".to_owned()), ..raw() }.check().unwrap().0.filter.is_none());
    }

    #[test]
    fn an_event_is_heard_under_either_name_when_the_filter_wants_it() {
        let now = time::macros::datetime!(2026-11-24 10:00 UTC);
        let heard = |raw: RawSpec, event_type: &str, id: &str| {
            let webhook = webhook(raw, now);
            let json = format!(
                r#"{{"specversion":"1.0","id":"1","source":"s","type":"{event_type}","data":{{"id":"{id}"}}}}"#
            );
            webhook.matches(&Event::parse(&json, now).unwrap())
        };
        let filtered = || RawSpec { filter: Some(r#"id eq "a""#.to_owned()), ..raw() };
        assert!(heard(raw(), "com.qlik.v1.app.created", "a"));
        assert!(heard(raw(), "com.qlik.app.created", "b"));
        assert!(!heard(raw(), "com.qlik.app.deleted", "a"));
        assert!(heard(filtered(), "com.qlik.app.created", "a"));
        assert!(!heard(filtered(), "com.qlik.v1.app.created", "b"));
        assert!(!heard(RawSpec { enabled: false, ..filtered() }, "com.qlik.v1.app.created", "a"));
    }

    proptest! {
        #[test]
        fn an_event_is_heard_when_no_rule_stands_against_it_and_else_the_first_that_does_is_named(
            enabled: bool, own_type: bool, user_level: bool, by_user in 0..2_u8, by_owner in 0..2_u8, filtered: bool, wanted: bool,
        ) {
            let now = time::macros::datetime!(2026-11-24 10:00 UTC);
            let hook = webhook(RawSpec {
                enabled,
                level: if user_level { Level::User } else { Level::Tenant },
                owner_id: "user-1".to_owned(),
                filter: filtered.then(|| r#"id eq "wanted""#.to_owned()),
                ..raw()
            }, now);
            let event_type = if own_type { "com.qlik.v1.app.created" } else { "com.qlik.v1.app.exported" };
            let id = if wanted { "wanted" } else { "other" };
            let event = format!(
                r#"{{"specversion":"1.0","id":"1","source":"s","type":"{event_type}","userid":"user-{by_user}",
                     "ownerid":"user-{by_owner}","data":{{"id":"{id}"}}}}"#
            );
            let event = Event::parse(&event, now).unwrap();
            let against = [
                (!enabled, MatchOutcome::Disabled),
                (!own_type, MatchOutcome::TypeMismatch),
                (user_level && by_user != 1 && by_owner != 1, MatchOutcome::LevelMismatch),
                (filtered && !wanted, MatchOutcome::FilterMismatch),
            ];
            let first = against.into_iter().find(|(stands, _)| *stands).map_or(MatchOutcome::Matched, |(_, why)| why);
            prop_assert_eq!(hook.match_event(&event), first);
            prop_assert_eq!(hook.matches(&event), against.iter().all(|(stands, _)| !stands));
        }
    }

    #[test]
    fn another_url_or_another_chance_starts_with_a_clean_record() {
        let now = time::macros::datetime!(2026-11-24 10:00 UTC);
        let user = UserId::parse("user-2").unwrap();
        let ill = Health {
            lane: crate::Lane::Slow,
            failures: 9,
            failing_since: Some(now),
            fast_successes: 0,
            warned: true,
        };
        let disabled = Some(Disabled { reason: "why".to_owned(), code: "WHY".to_owned() });
        let start = |enabled| {
            let spec = RawSpec { enabled, ..raw() };
            Webhook { health: ill.clone(), disabled: disabled.clone(), ..webhook(spec, now) }
        };
        let change =
            |from: Webhook, to: RawSpec| from.changed(to.check().unwrap().0, None, user.clone(), now);
        let renamed = change(start(true), RawSpec { name: Some("Other".to_owned()), ..raw() });
        assert_eq!((renamed.health, renamed.disabled), (ill.clone(), None));
        let moved =
            change(start(true), RawSpec { url: Some("https://other.example.com/".to_owned()), ..raw() });
        assert_eq!(moved.health, Health::default());
        let enabled = change(start(false), raw());
        assert_eq!((enabled.health, enabled.disabled), (Health::default(), None));
        let still = change(start(false), RawSpec { enabled: false, ..raw() });
        assert_eq!((still.health, still.disabled), (ill, disabled.clone()));
    }

    #[test]
    fn news_of_a_webhook_reaches_others_and_not_itself() {
        let now = time::macros::datetime!(2026-11-24 10:00 UTC);
        let types = || vec!["anzol.webhook.disabled".to_owned()];
        let mut failing = webhook(RawSpec { event_types: types(), ..raw() }, now);
        failing.disabled = Some(Disabled { reason: "gone".to_owned(), code: "GONE".to_owned() });
        let other = webhook(RawSpec { event_types: types(), ..raw() }, now);
        let event = operational::OperationalEvent::Disabled.to_event(&failing, now).unwrap();
        assert_eq!(event.tenant(), Some(&failing.tenant_id));
        assert!(other.matches(&event) && !failing.matches(&event));
        assert_eq!(failing.match_event(&event), MatchOutcome::SelfReference);
        assert!(!other.matches(&operational::OperationalEvent::Failing.to_event(&failing, now).unwrap()));
        let again = operational::OperationalEvent::Disabled
            .to_event(&failing, now + time::Duration::minutes(1))
            .unwrap();
        assert_eq!((event.id(), event.source()), (again.id(), again.source()));
        // Other events may be about it: an application with the id of a webhook, say.
        let payload = event.payload(true);
        assert!(payload.contains(r#""disabledReasonCode":"GONE""#), "{payload}");
    }

    #[test]
    fn a_tenant_only_type_is_refused_on_user_level() {
        let deleted = vec!["com.qlik.v1.app.deleted".to_owned()];
        assert!(fields(RawSpec { event_types: deleted.clone(), ..raw() }).is_empty());
        let user = RawSpec { event_types: deleted, level: Level::User, enabled: false, ..raw() };
        assert_eq!(fields(user), ["eventTypes[0]"]);
    }
}
