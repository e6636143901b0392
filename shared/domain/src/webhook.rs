//! A webhook: its tenant-controlled configuration (`WebhookSpec`), the stored record (`Webhook`), and the matching of events.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use crate::config::Env;
use crate::error::{FieldProblem, Invalid, Problems};
use crate::event::Event;
use crate::event_type::{self, OPERATIONAL_PREFIX};
use crate::filter::{Filter, MAX_FILTER};
use crate::headers::{Before, EncryptedHeaders, Headers};
use crate::health::Health;
use crate::id::{TenantId, UserId, WebhookId};
use crate::level::Level;
use crate::rule::Rule;
use crate::schema::{self, patterns};
use crate::secret::Secret;
use crate::secrets::{Sealed, Secrets};
use crate::text;
use crate::url::WebhookUrl;

/// Default maximum number of webhooks per tenant (contract section 4).
pub const WEBHOOK_CAP: u32 = 100;
/// Configurable range of the maximum number of webhooks per tenant.
pub const WEBHOOK_CAP_BOUNDS: RangeInclusive<u32> = 1..=100_000;
/// Maximum length of a name, in characters (contract section 4).
pub const MAX_NAME: usize = 512;
/// Maximum length of a description, in characters (contract section 4).
pub const MAX_DESCRIPTION: usize = 1024;

/// Returns the deployment's maximum number of webhooks per tenant, from the variable `WEBHOOK_CAP`.
pub fn cap_from_env(env: &mut Env) -> u32 {
    env.within("WEBHOOK_CAP", WEBHOOK_CAP, &WEBHOOK_CAP_BOUNDS)
}

/// The client that created a webhook. Never changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The API.
    #[default]
    Api,
    /// An automation.
    Automations,
    /// The console.
    ManagementConsole,
}

/// The validated, tenant-controlled configuration of a webhook. Secrets are stored separately, in [`Secrets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookSpec {
    /// The display name: 1–512 characters, not unique.
    pub name: String,
    /// The description: up to 1024 characters.
    pub description: Option<String>,
    /// The URL of the receiver.
    pub url: WebhookUrl,
    /// The canonical names of the subscribed event types, each once. Not empty while the webhook is enabled.
    pub event_types: Vec<String>,
    /// Whether the webhook receives the events of the whole tenant or of its owner only.
    pub level: Level,
    /// The user who owns the webhook.
    pub owner_id: UserId,
    /// A condition that events must meet. Without one, every event of the subscribed types and level matches.
    pub filter: Option<Filter>,
    /// Additional headers of its requests.
    pub headers: Headers,
    /// Whether the webhook receives events.
    pub enabled: bool,
    /// Whether payloads are pure CloudEvents 1.0 instead of the hybrid form, which legacy receivers also understand.
    pub cloud_events: bool,
}

/// A webhook as a client writes it, not validated. A member that is absent or null takes its value from [`Defaults`]; unknown members are
/// ignored, because clients send back what they received. Not `Debug`: it holds secrets.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookInput {
    /// The name of the webhook. Names need not be unique.
    #[schemars(with = "String", length(min = 1, max = MAX_NAME), regex(pattern = patterns::name()))]
    pub name: Option<String>,
    /// An optional description. An empty string is treated as absent.
    #[schemars(length(max = MAX_DESCRIPTION), regex(pattern = patterns::description()))]
    pub description: Option<String>,
    /// The URL that receives events: `https`, port 443, a public domain name, no user name or fragment, at most 2048 bytes.
    #[schemars(with = "schema::TargetUrl")]
    pub url: Option<String>,
    /// The event types the webhook subscribes to; see `GET /api/core/webhooks/event-types`. Aliases are accepted and returned as the
    /// name they stand for.
    #[schemars(with = "Option<Vec<schema::EventTypeName>>")]
    pub event_types: Option<Vec<String>>,
    /// Whose events the webhook receives. The default, `tenant`, requires a tenant admin.
    pub level: Option<Level>,
    /// The user who owns the webhook. Defaults to the caller on creation; only a tenant admin can name another user.
    #[schemars(with = "Option<schema::User>")]
    pub owner_id: Option<String>,
    /// The secret that signs every request to the receiver. Never returned. An empty string is treated as absent.
    #[schemars(regex(pattern = patterns::secret()), extend("writeOnly" = true, "format" = "password"))]
    pub secret: Option<String>,
    /// Additional request headers, by name. At most 2048 bytes in total. Names are unique, ignoring case, across `headers` and
    /// `encryptedHeaders`.
    #[schemars(with = "Option<schema::HeadersIn>")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Whether the webhook receives events. An enabled webhook needs at least one event type.
    pub enabled: Option<bool>,
    /// Whether the webhook receives plain CloudEvents 1.0, without the legacy members. Cannot be turned off once it is on.
    #[serde(rename = "enableCloudEventDelivery")]
    pub cloud_events: Option<bool>,
    /// Where the webhook was created. Immutable.
    pub origin: Option<Origin>,
    /// A filter on the events of these types, in a subset of the SCIM filter language (RFC 7644, section 3.4.2.2): `id`, `spaceId` and
    /// `topLevelResourceId` compared by `eq` or `ne` with strings, joined by `and` and `or`. `data.status`, which is `ok` or `error`,
    /// is available only when `com.qlik.v1.app.reload.finished` is the only event type. An empty string is treated as absent.
    #[schemars(length(max = MAX_FILTER), regex(pattern = patterns::filter()), extend("examples" = [FILTER_EXAMPLE]))]
    pub filter: Option<String>,
    /// Additional request headers whose values only the receiver sees. Responses contain their names only; the empty list of names
    /// may be sent back.
    #[schemars(with = "Option<schema::EncryptedHeadersIn>", extend("writeOnly" = true))]
    pub encrypted_headers: Option<Value>,
    /// For compatibility only: certificate revocation is not checked, so it cannot be requested.
    #[schemars(with = "Option<schema::OnlyFalse>")]
    pub check_certificate_revocation: Option<bool>,
}

/// The contract's own example of a filter (contract section 2.2).
const FILTER_EXAMPLE: &str = r#"id eq "id123" or spaceId eq "spaceId123" or topLevelResourceId eq "id789""#;

/// The values of members that a [`WebhookInput`] omits, and the webhook before the change.
#[derive(Debug, Clone)]
pub struct Defaults<'a> {
    /// See [`WebhookSpec::level`].
    pub level: Level,
    /// See [`WebhookSpec::owner_id`].
    pub owner: &'a UserId,
    /// See [`WebhookSpec::enabled`].
    pub enabled: bool,
    /// See [`WebhookSpec::cloud_events`].
    pub cloud_events: bool,
    /// The webhook before the change; empty for a new one.
    pub earlier: Earlier<'a>,
}

impl<'a> Defaults<'a> {
    /// Returns the defaults of a new webhook: enabled, level `tenant`, owned by its creator.
    #[must_use]
    pub fn creation(creator: &'a UserId) -> Self {
        Self {
            level: Level::Tenant,
            owner: creator,
            enabled: true,
            cloud_events: false,
            earlier: Earlier::default(),
        }
    }
}

/// The state of a webhook before a change; the default for a new webhook.
#[derive(Debug, Clone, Default)]
pub struct Earlier<'a> {
    /// The previous configuration.
    pub spec: Option<&'a WebhookSpec>,
    /// The previous state that the rules for headers need.
    pub headers: Before,
}

impl WebhookInput {
    /// Applies the defaults, checks every member, and separates the secrets from the rest.
    ///
    /// The name, description and header names of a stored webhook are not checked again if they did not change. An older release accepted
    /// some that this release rejects, and such a webhook can be disabled without renaming it. The URL is always checked again, because
    /// this check keeps requests away from addresses that they must not reach.
    ///
    /// # Errors
    /// All problems of all members.
    pub fn check(self, defaults: &Defaults<'_>) -> Result<(WebhookSpec, Secrets), Invalid> {
        let (stored, before) = (defaults.earlier.spec, &defaults.earlier.headers);
        let level = self.level.unwrap_or(defaults.level);
        let enabled = self.enabled.unwrap_or(defaults.enabled);
        let mut problems = Problems::default();
        // No library that we trust checks revocation on this platform. Rejecting the request is better than ignoring it.
        if self.check_certificate_revocation == Some(true) {
            problems.add("checkCertificateRevocation", Rule::MustBeFalse);
        }
        let encrypted_headers = problems.take(encrypted_headers(self.encrypted_headers)).unwrap_or_default();
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
        let headers = problems.take(Headers::parse_after(self.headers.unwrap_or_default(), before));
        let encrypted_headers = problems.take(EncryptedHeaders::parse_after(encrypted_headers, before));
        if let (Some(headers), Some(encrypted)) = (&headers, &encrypted_headers) {
            problems.take(headers.check_apart_from(encrypted.names()));
        }
        let owner_id =
            problems.take(self.owner_id.map_or_else(|| Ok(defaults.owner.clone()), |id| UserId::parse(&id)));
        let event_types = self.event_types.unwrap_or_default();
        let event_types = check_event_types(event_types, level, enabled, &mut problems);
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
                level,
                owner_id: owner_id?,
                filter: filter?,
                headers: headers?,
                enabled,
                cloud_events: self.cloud_events.unwrap_or(defaults.cloud_events),
            };
            Some((spec, secrets))
        })();
        problems.finish(checked)
    }
}

/// Parses `encryptedHeaders`: values by name. Responses contain a list of names instead; a client can only send back the empty list.
fn encrypted_headers(value: Option<Value>) -> Result<BTreeMap<String, String>, Invalid> {
    let of = "encryptedHeaders";
    match value {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Array(names)) if names.is_empty() => Ok(BTreeMap::new()),
        Some(Value::Array(_)) => Err(Invalid::one(of, Rule::HeaderValuesRequired)),
        Some(Value::Object(members)) => {
            let mut problems = Problems::default();
            let mut headers = BTreeMap::new();
            for (name, value) in members {
                match value {
                    Value::String(value) => drop(headers.insert(name, value)),
                    _ => problems.add(format!("{of}.{name}"), Rule::NotString),
                }
            }
            problems.finish(Some(headers))
        }
        Some(_) => Err(Invalid::one(of, Rule::NotHeaderObject)),
    }
}

fn required(field: &str, value: Option<String>) -> Result<String, Invalid> {
    value.filter(|text| !text.trim().is_empty()).ok_or_else(|| Invalid::one(field, Rule::Required))
}

fn name(value: Option<String>) -> Result<String, Invalid> {
    let value = value.filter(|name| !name.is_empty());
    let value = value.ok_or_else(|| Invalid::one("name", Rule::Required))?;
    // Control characters other than whitespace have a separate rule, so they count as visible here.
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
            // Stored under the canonical name, even if the client used an alias.
            Some(known) if !kept.iter().any(|name| name == known.name) => kept.push(known.name.to_owned()),
            Some(_) => {}
        }
    }
    if enabled && kept.is_empty() {
        problems.add("eventTypes", Rule::EventTypeRequired);
    }
    kept
}

/// The stored reason why Anzol disabled a webhook. Removed when the webhook is enabled again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// The reason as a sentence.
    pub reason: String,
    /// The stable code of the reason; see [`DisableReason::code`]. Other releases may have stored other codes.
    pub code: String,
}

/// Why Anzol disabled a webhook. `Display` writes the reason as a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisableReason {
    /// The receiver answered 410 Gone.
    Gone,
    /// The receiver failed too often for too long.
    FailureThreshold {
        /// Consecutive failed attempts.
        failures: u32,
        /// The hours of the disable policy. No attempt succeeded for at least this time.
        hours: i64,
    },
}

impl DisableReason {
    /// Returns the stable code for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Gone => "GONE",
            Self::FailureThreshold { .. } => "FAILURE_THRESHOLD",
        }
    }
}

impl fmt::Display for DisableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the receiver answered 410 Gone"),
            Self::FailureThreshold { failures, hours } => {
                write!(
                    f,
                    "{failures} attempts in a row failed, and none succeeded for at least {hours} hours"
                )
            }
        }
    }
}

/// The result of matching an event against a webhook of its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchOutcome {
    /// The event matches: it is delivered.
    Matched,
    /// The webhook is disabled.
    Disabled,
    /// The webhook does not subscribe to the event type.
    TypeMismatch,
    /// The event is an operational event about this webhook.
    SelfReference,
    /// The webhook has level `user`, and the event is not its owner's.
    LevelMismatch,
    /// The webhook's filter rejects the event.
    FilterMismatch,
}

/// A stored webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The id, which contains the creation time.
    pub id: WebhookId,
    /// The tenant that owns the webhook.
    pub tenant_id: TenantId,
    /// The configuration.
    pub spec: WebhookSpec,
    /// The client that created the webhook.
    pub origin: Origin,
    /// When the webhook was created.
    pub created_at: OffsetDateTime,
    /// When the configuration last changed.
    pub updated_at: OffsetDateTime,
    /// The user who created the webhook.
    pub created_by: UserId,
    /// The user who last changed the configuration.
    pub updated_by: UserId,
    /// The encrypted secrets, if there are any.
    pub sealed: Option<Sealed>,
    /// The health of the receiver.
    pub health: Health,
    /// Why Anzol disabled the webhook, if it did.
    pub disabled: Option<Disabled>,
    /// Incremented by every change. A write based on an older version fails.
    pub version: u64,
}

impl Webhook {
    /// Returns a new webhook that `user` creates at `now`: version 1, healthy, without secrets, created through the API.
    #[must_use]
    pub fn new(
        id: WebhookId,
        tenant_id: TenantId,
        spec: WebhookSpec,
        user: UserId,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id,
            tenant_id,
            spec,
            origin: Origin::default(),
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

    /// Returns the webhook with a new configuration, changed by `user` at `now`. Its secrets stay.
    ///
    /// Enabling the webhook removes the reason why it was disabled. Enabling it or changing its URL resets its health.
    ///
    /// # Errors
    /// The configuration turns pure `CloudEvents` off. Once turned on, they cannot be turned off.
    pub fn changed(
        mut self,
        spec: WebhookSpec,
        user: UserId,
        now: OffsetDateTime,
    ) -> Result<Self, FieldProblem> {
        if self.spec.cloud_events && !spec.cloud_events {
            return Err(FieldProblem::new("enableCloudEventDelivery", Rule::CannotBeTurnedOff));
        }
        let enabled_again = spec.enabled && !self.spec.enabled;
        if enabled_again || spec.url != self.spec.url {
            self.health = Health::default();
        }
        if spec.enabled {
            self.disabled = None;
        }
        Ok(Self { spec, updated_at: now, updated_by: user, version: self.version + 1, ..self })
    }

    /// Returns the webhook, disabled by Anzol at `now`.
    #[must_use]
    pub fn disable(mut self, reason: DisableReason, now: OffsetDateTime) -> Self {
        self.spec.enabled = false;
        self.disabled = Some(Disabled { reason: reason.to_string(), code: reason.code().to_owned() });
        Self { updated_at: now, version: self.version + 1, ..self }
    }

    /// Returns the names of the encrypted headers, sorted.
    pub fn encrypted_header_names(&self) -> impl Iterator<Item = &str> {
        self.sealed.iter().flat_map(|sealed| &sealed.header_names).map(String::as_str)
    }

    /// Returns whether the webhook has a signing secret.
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| sealed.has_secret)
    }

    /// Returns whether an event of the webhook's tenant is delivered to it.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.match_event(event) == MatchOutcome::Matched
    }

    /// Matches an event of the webhook's tenant. Returns the first rule that rejects the event.
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
        // An operational event is not delivered to the webhook that it is about, because a failed delivery would cause another one.
        if event_type.starts_with(OPERATIONAL_PREFIX)
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
    use serde_json::json;

    use super::*;
    use crate::operational::OperationalEvent;

    pub(crate) fn raw() -> WebhookInput {
        WebhookInput {
            name: Some("Orders".to_owned()),
            url: Some("https://hooks.example.com/x".to_owned()),
            event_types: Some(vec!["com.qlik.v1.app.created".to_owned()]),
            ..WebhookInput::default()
        }
    }

    impl WebhookInput {
        /// Checks a new webhook of `user-1`.
        pub(crate) fn check_new(self) -> Result<(WebhookSpec, Secrets), Invalid> {
            self.check(&Defaults::creation(&UserId::parse("user-1").unwrap()))
        }
    }

    pub(crate) fn webhook(raw: WebhookInput, now: OffsetDateTime) -> Webhook {
        let user = UserId::parse("user-1").unwrap();
        let tenant = TenantId::parse("acme").unwrap();
        Webhook::new(WebhookId::mint(now), tenant, raw.check_new().unwrap().0, user, now)
    }

    fn fields(raw: WebhookInput) -> Vec<String> {
        raw.check_new()
            .map_or_else(|Invalid(problems)| problems.into_iter().map(|p| p.field).collect(), |_| Vec::new())
    }

    #[test]
    fn valid_spec_is_accepted_with_each_event_type_once() {
        let spec = WebhookInput { event_types: Some(vec!["com.qlik.v1.app.created".to_owned(); 3]), ..raw() }
            .check_new()
            .unwrap()
            .0;
        assert_eq!(spec.event_types, ["com.qlik.v1.app.created"]);
    }

    #[test]
    fn invalid_spec_reports_every_problem_with_its_field() {
        let bad = WebhookInput {
            name: None,
            description: Some("d".repeat(1025)),
            url: Some("http://example.com".to_owned()),
            secret: Some("short".to_owned()),
            event_types: Some(vec!["nope".to_owned()]),
            ..raw()
        };
        assert_eq!(fields(bad), ["name", "description", "url", "secret", "eventTypes[0]", "eventTypes"]);
    }

    fn problem_of(raw: WebhookInput) -> Option<FieldProblem> {
        raw.check_new().err().and_then(|Invalid(problems)| problems.into_iter().next())
    }

    #[test]
    fn k8_name_without_visible_characters_is_rejected() {
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
            assert_eq!(
                problem_of(WebhookInput { name: Some(name.to_owned()), ..raw() }),
                problem,
                "{name:?}"
            );
        }
        let empty = problem_of(WebhookInput { name: Some(String::new()), ..raw() });
        assert_eq!(empty, Some(FieldProblem::new("name", Rule::Required)));
    }

    #[test]
    fn k8_direction_controls_and_noncharacters_are_rejected() {
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
                    WebhookInput { name: text, ..raw() }
                } else {
                    WebhookInput { description: text, ..raw() }
                };
                assert_eq!(problem_of(raw), Some(FieldProblem::new(field, rule.clone())), "{c:?}");
            }
        }
    }

    #[test]
    fn k8_names_in_any_script_and_emoji_are_accepted() {
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
            assert_eq!(problem_of(WebhookInput { name: Some(name.to_owned()), ..raw() }), None, "{name:?}");
        }
    }

    #[test]
    fn k8_stored_name_is_validated_only_when_it_changes() {
        let mut stored = raw().check_new().unwrap().0;
        stored.name = "\u{200b}".to_owned();
        stored.description = Some("\u{202e}\u{ffff}".to_owned());
        let same = || WebhookInput {
            name: Some(stored.name.clone()),
            description: stored.description.clone(),
            ..raw()
        };
        let owner = UserId::parse("user-1").unwrap();
        let earlier = Earlier { spec: Some(&stored), ..Earlier::default() };
        let earlier = Defaults { earlier, ..Defaults::creation(&owner) };
        let kept = WebhookInput { enabled: Some(false), ..same() }.check(&earlier).unwrap().0;
        assert_eq!((&kept.name, &kept.description), (&stored.name, &stored.description));
        assert_eq!(fields(same()), ["name", "description"], "a new webhook cannot have such a name");
        let other = WebhookInput { name: Some("\u{200b}\u{200b}".to_owned()), ..same() };
        assert_eq!(other.check(&earlier).unwrap_err().0[0].field, "name");
        let other = WebhookInput { description: Some("\u{202e}".to_owned()), ..same() };
        assert_eq!(other.check(&earlier).unwrap_err().0[0].field, "description");
    }

    #[test]
    fn only_enabled_webhook_requires_an_event_type() {
        assert_eq!(fields(WebhookInput { event_types: Some(vec![]), ..raw() }), ["eventTypes"]);
        assert!(fields(WebhookInput { event_types: Some(vec![]), enabled: Some(false), ..raw() }).is_empty());
    }

    #[test]
    fn alias_is_stored_as_canonical_event_type() {
        let event_types = vec!["com.qlik.app.created".to_owned(), "com.qlik.v1.app.created".to_owned()];
        assert_eq!(
            WebhookInput { event_types: Some(event_types), ..raw() }.check_new().unwrap().0.event_types,
            ["com.qlik.v1.app.created"]
        );
    }

    #[test]
    fn header_both_plain_and_encrypted_is_rejected() {
        let one = |name: &str| BTreeMap::from([(name.to_owned(), "v".to_owned())]);
        assert_eq!(
            fields(WebhookInput {
                headers: Some(one("X-Key")),
                encrypted_headers: Some(json!(one("x-key"))),
                ..raw()
            }),
            ["encryptedHeaders.x-key"]
        );
        assert!(
            fields(WebhookInput {
                headers: Some(one("X-Key")),
                encrypted_headers: Some(json!(one("X-Other"))),
                ..raw()
            })
            .is_empty()
        );
    }

    #[test]
    fn filter_on_status_requires_the_reload_event_type() {
        let filter = Some(r#"data.status eq "ok""#.to_owned());
        assert_eq!(fields(WebhookInput { filter: filter.clone(), ..raw() }), ["filter"]);
        let event_types = vec![event_type::RELOAD_FINISHED.to_owned()];
        assert!(fields(WebhookInput { event_types: Some(event_types), filter, ..raw() }).is_empty());
        assert!(
            WebhookInput { filter: Some(" ".to_owned()), ..raw() }.check_new().unwrap().0.filter.is_none()
        );
    }

    #[test]
    fn event_matches_under_either_name_if_filter_accepts_it() {
        let now = time::macros::datetime!(2026-11-24 10:00 UTC);
        let matches = |raw: WebhookInput, event_type: &str, id: &str| {
            let webhook = webhook(raw, now);
            let json = format!(
                r#"{{"specversion":"1.0","id":"1","source":"s","type":"{event_type}","data":{{"id":"{id}"}}}}"#
            );
            webhook.matches(&Event::parse(&json, now).unwrap())
        };
        let filtered = || WebhookInput { filter: Some(r#"id eq "a""#.to_owned()), ..raw() };
        assert!(matches(raw(), "com.qlik.v1.app.created", "a"));
        assert!(matches(raw(), "com.qlik.app.created", "b"));
        assert!(!matches(raw(), "com.qlik.app.deleted", "a"));
        assert!(matches(filtered(), "com.qlik.app.created", "a"));
        assert!(!matches(filtered(), "com.qlik.v1.app.created", "b"));
        assert!(!matches(
            WebhookInput { enabled: Some(false), ..filtered() },
            "com.qlik.v1.app.created",
            "a"
        ));
    }

    proptest! {
        #[test]
        fn match_event_returns_the_first_rule_that_rejects(
            enabled: bool, own_type: bool, user_level: bool, by_user in 0..2_u8, by_owner in 0..2_u8, filtered: bool, wanted: bool,
        ) {
            let now = time::macros::datetime!(2026-11-24 10:00 UTC);
            let hook = webhook(WebhookInput {
                enabled: Some(enabled),
                level: Some(if user_level { Level::User } else { Level::Tenant }),
                owner_id: Some("user-1".to_owned()),
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
            let rules = [
                (!enabled, MatchOutcome::Disabled),
                (!own_type, MatchOutcome::TypeMismatch),
                (user_level && by_user != 1 && by_owner != 1, MatchOutcome::LevelMismatch),
                (filtered && !wanted, MatchOutcome::FilterMismatch),
            ];
            let first = rules.into_iter().find(|(rejects, _)| *rejects).map_or(MatchOutcome::Matched, |(_, why)| why);
            prop_assert_eq!(hook.match_event(&event), first);
            prop_assert_eq!(hook.matches(&event), rules.iter().all(|(rejects, _)| !rejects));
        }
    }

    #[test]
    fn changing_the_url_or_enabling_resets_health() {
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
            let spec = WebhookInput { enabled: Some(enabled), ..raw() };
            Webhook { health: ill.clone(), disabled: disabled.clone(), ..webhook(spec, now) }
        };
        let change = |from: Webhook, to: WebhookInput| {
            from.changed(to.check_new().unwrap().0, user.clone(), now).unwrap()
        };
        let renamed = change(start(true), WebhookInput { name: Some("Other".to_owned()), ..raw() });
        assert_eq!((renamed.health, renamed.disabled), (ill.clone(), None));
        let moved =
            change(start(true), WebhookInput { url: Some("https://other.example.com/".to_owned()), ..raw() });
        assert_eq!(moved.health, Health::default());
        let enabled = change(start(false), raw());
        assert_eq!((enabled.health, enabled.disabled), (Health::default(), None));
        let still = change(start(false), WebhookInput { enabled: Some(false), ..raw() });
        assert_eq!((still.health, still.disabled), (ill, disabled.clone()));
    }

    #[test]
    fn change_cannot_turn_pure_cloud_events_off() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let input = |cloud_events| WebhookInput { cloud_events: Some(cloud_events), ..raw() };
        let change = |from: bool, to: bool| {
            let before = webhook(input(from), now);
            let user = before.created_by.clone();
            before.changed(input(to).check_new().unwrap().0, user, now)
        };
        for (from, to) in [(false, false), (false, true), (true, true)] {
            assert_eq!(change(from, to).unwrap().spec.cloud_events, to, "from {from}");
        }
        let refused = FieldProblem::new("enableCloudEventDelivery", Rule::CannotBeTurnedOff);
        assert_eq!(change(true, false), Err(refused));
    }

    #[test]
    fn disable_stores_the_reason_and_its_code() {
        let start = time::macros::datetime!(2026-11-24 10:00 UTC);
        let now = start + time::Duration::HOUR;
        let threshold = DisableReason::FailureThreshold { failures: 50, hours: 72 };
        let sentence = "50 attempts in a row failed, and none succeeded for at least 72 hours";
        for (reason, code, sentence) in [
            (DisableReason::Gone, "GONE", "the receiver answered 410 Gone"),
            (threshold, "FAILURE_THRESHOLD", sentence),
        ] {
            let before = webhook(raw(), start);
            let disabled = before.clone().disable(reason, now);
            let stored = disabled.disabled.clone().unwrap();
            assert_eq!((stored.code.as_str(), stored.reason.as_str()), (code, sentence));
            assert_eq!((disabled.spec.enabled, disabled.updated_at, disabled.version), (false, now, 2));
            assert_eq!((disabled.created_at, disabled.updated_by), (start, before.updated_by));
        }
    }

    #[test]
    fn operational_event_matches_other_webhooks_only() {
        let now = time::macros::datetime!(2026-11-24 10:00 UTC);
        let types = || vec!["anzol.webhook.disabled".to_owned()];
        let mut failing = webhook(WebhookInput { event_types: Some(types()), ..raw() }, now);
        failing.disabled = failing.clone().disable(DisableReason::Gone, now).disabled;
        let other = webhook(WebhookInput { event_types: Some(types()), ..raw() }, now);
        let event = OperationalEvent::Disabled.to_event(&failing, now).unwrap();
        assert_eq!(event.tenant(), Some(&failing.tenant_id));
        assert!(other.matches(&event) && !failing.matches(&event));
        assert_eq!(failing.match_event(&event), MatchOutcome::SelfReference);
        let warning = OperationalEvent::Failing.to_event(&failing, now).unwrap();
        assert!(!other.matches(&warning));
        assert!(warning.payload(true).contains(r#""healthState":"warning""#));
        let again = OperationalEvent::Disabled.to_event(&failing, now + time::Duration::minutes(1)).unwrap();
        assert_eq!((event.id(), event.source()), (again.id(), again.source()));
        let payload = event.payload(true);
        assert!(payload.contains(r#""disabledReasonCode":"GONE""#), "{payload}");
    }

    #[test]
    fn tenant_only_event_type_is_rejected_on_user_level() {
        let deleted = vec!["com.qlik.v1.app.deleted".to_owned()];
        assert!(fields(WebhookInput { event_types: Some(deleted.clone()), ..raw() }).is_empty());
        let user = WebhookInput {
            event_types: Some(deleted),
            level: Some(Level::User),
            enabled: Some(false),
            ..raw()
        };
        assert_eq!(fields(user), ["eventTypes[0]"]);
    }
}
