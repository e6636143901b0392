//! The table of all rules that an input or a request can break: code, parameters and English sentence.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::characters::{is_noncharacter, overrides_direction};

/// Longest text of a request that a rule repeats, in bytes.
pub const MAX_SHOWN: usize = 768;

/// A text that a rule repeats, cut to [`MAX_SHOWN`] bytes, because a client may have written it. For the same reason, sentences show
/// characters that cannot be seen, or that reorder the text around them, as escapes like `\u{202e}`. Parameters contain the text as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(String);

/// A library's error text about an input. Only the sentence of a rule shows it, not the parameters. Cut like [`Shown`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(Shown);

/// A list of names from the code, never from input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<Cow<'static, str>>);

impl<T: Into<String>> From<T> for Shown {
    fn from(text: T) -> Self {
        Self(cut(text.into(), MAX_SHOWN))
    }
}

impl Reason {
    /// Returns the text of `error`.
    pub fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string().into())
    }
}

impl<I: IntoIterator<Item = T>, T: Into<Cow<'static, str>>> From<I> for Names {
    fn from(names: I) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.chars().any(is_escaped) {
            return f.write_str(&self.0);
        }
        let mut text = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            if is_escaped(c) {
                text.extend(c.escape_unicode());
            } else {
                text.push(c);
            }
        }
        f.write_str(&cut(text, MAX_SHOWN))
    }
}

/// Returns whether sentences show a character as its escape. Also covers the direction marks that names can contain.
fn is_escaped(c: char) -> bool {
    c.is_control()
        || overrides_direction(c)
        || is_noncharacter(c)
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

/// Cuts a text to at most `most` bytes; an ellipsis replaces the rest.
pub(crate) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// A parameter of a rule, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Param {
    /// A bound or a position.
    Number(u64),
    /// A name.
    Text(String),
    /// A list of names.
    List(Vec<Cow<'static, str>>),
}

/// The parameters of a rule by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(&'static str, Param)>);

impl Params {
    /// Returns whether the rule has no parameters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Params {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, param)| (name, param)))
    }
}

/// A value of a rule: part of the sentence, and a parameter unless it is a [`Reason`].
trait Value: fmt::Display {
    fn as_param(&self) -> Option<Param>;
}

impl Value for usize {
    fn as_param(&self) -> Option<Param> {
        u64::try_from(*self).ok().map(Param::Number)
    }
}

impl Value for u32 {
    fn as_param(&self) -> Option<Param> {
        Some(Param::Number((*self).into()))
    }
}

impl Value for i64 {
    fn as_param(&self) -> Option<Param> {
        u64::try_from(*self).ok().map(Param::Number)
    }
}

impl Value for &'static str {
    fn as_param(&self) -> Option<Param> {
        Some(Param::Text((*self).to_owned()))
    }
}

impl Value for Shown {
    fn as_param(&self) -> Option<Param> {
        Some(Param::Text(self.0.clone()))
    }
}

impl Value for Names {
    fn as_param(&self) -> Option<Param> {
        Some(Param::List(self.0.clone()))
    }
}

impl Value for Reason {
    fn as_param(&self) -> Option<Param> {
        None
    }
}

impl From<&serde_json::Error> for Rule {
    fn from(error: &serde_json::Error) -> Self {
        Self::InvalidJson { line: error.line(), column: error.column(), reason: Reason::new(error) }
    }
}

impl Rule {
    /// Returns the stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        let mut found = "";
        self.describe(&mut |code, _, _| found = code);
        found
    }

    /// Returns the numbers and names of the rule. Never contains the value of a member, which may be a secret.
    #[must_use]
    pub fn params(&self) -> Params {
        let mut params = Params::default();
        self.describe(&mut |_, _, values| {
            let shown = values.iter().filter_map(|(name, value)| Some((*name, value.as_param()?)));
            params = Params(shown.collect());
        });
        params
    }
}

/// Writes the sentence. The sentence of a rule for a field starts with the verb; the field is the subject.
///
/// One function replaces the placeholders of all sentences, so that code, sentence and parameters come from one description of a rule. A
/// test checks that every placeholder has a value.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut outcome = Ok(());
        self.describe(&mut |_, sentence, values| outcome = write_sentence(f, sentence, values));
        outcome
    }
}

fn write_sentence(
    f: &mut fmt::Formatter<'_>,
    sentence: &str,
    values: &[(&'static str, &dyn Value)],
) -> fmt::Result {
    let mut parts = sentence.split('{');
    f.write_str(parts.next().unwrap_or_default())?;
    for part in parts {
        let (name, text) = part.split_once('}').unwrap_or(("", part));
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            fmt::Display::fmt(*value, f)?;
        }
        f.write_str(text)?;
    }
    Ok(())
}

macro_rules! rules {
    ($($code:literal $name:ident $({ $($field:ident: $type:ty),+ })? $sentence:literal;)+) => {
        /// A broken rule. Codes and parameters are part of the API; sentences are not, and may change.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(rustdoc::bare_urls, reason = "sentences are plain text for clients")]
        pub enum Rule {
            $(
                #[doc = concat!("`", $code, "`: ", $sentence)]
                $name $({
                    $(
                        #[doc = concat!("See the sentence for `", stringify!($field), "`.")]
                        $field: $type,
                    )+
                })?,
            )+
        }

        impl Rule {
            /// Every code.
            pub const CODES: &[&str] = &[$($code),+];

            /// Calls `see` with the code, the sentence with its placeholders, and the parameters by name.
            fn describe(&self, see: &mut dyn FnMut(&'static str, &'static str, &[(&'static str, &dyn Value)])) {
                match self {
                    $(Self::$name $({ $($field),+ })? => {
                        see($code, $sentence, &[$($((stringify!($field), $field as &dyn Value)),+)?]);
                    })+
                }
            }
        }

        #[cfg(test)]
        mod samples {
            use super::*;

            /// Returns one of every rule, with `sample` as its texts.
            pub(super) fn all(sample: &str) -> Vec<Rule> {
                vec![$(Rule::$name $({ $($field: Sample::sample(sample)),+ })?),+]
            }
        }
    };
}

rules! {
    // Fields in general.
    "required" Required "is required and must not be empty";
    "incomplete" Incomplete "is not complete";
    "max_length" MaxLength { max: usize } "must have at most {max} characters";
    "max_bytes" MaxBytes { max: usize } "must have at most {max} bytes";
    "length" Length { min: usize, max: usize } "must have {min} to {max} characters";
    "string" NotString "must be a string";
    "object" NotObject "must be a JSON object";
    "must_be" MustBe { value: &'static str } "must be \"{value}\"";
    "one_of" OneOf { values: Names } "must be one of {values}";
    "list_of" ListOf { values: Names } "must be a comma-separated list of {values}";
    "whole_number" WholeNumber { min: usize, max: usize } "must be a whole number from {min} to {max}";
    "not_with" NotWith { other: &'static str } "must not be given together with `{other}`";
    "unreadable" Unreadable { reason: Reason } "cannot be read: {reason}";
    "read_only" ReadOnly "cannot be changed";
    "uuid" NotUuid "must be a UUID in lower case with hyphens";
    "identifier" NotIdentifier { max: usize } "must have 1 to {max} visible ASCII characters without `#`";
    "date_time" NotDateTime "must be a date and time in RFC 3339 format, like 2026-11-24T10:00:00Z";

    // Text.
    "visible_character_required" NoVisibleCharacter "must have at least one visible character";
    "no_control_characters" ControlCharacters "must not contain control characters";
    "no_direction_overrides" DirectionOverrides "must not contain characters that override or isolate the direction of text (U+202A–U+202E, U+2066–U+2069)";
    "no_noncharacters" Noncharacters "must not contain noncharacters, such as U+FFFF";

    // JSON and its encoding.
    "json" InvalidJson { line: usize, column: usize, reason: Reason } "is not valid JSON: {reason}";
    "duplicate_member" DuplicateMember { name: Shown } "is not valid JSON: the member `{name}` appears twice";
    "json_escape" InvalidEscape "is not valid JSON: a string has an escape that stands for no character";
    "max_depth" TooDeep { max: usize } "must not nest arrays and objects more than {max} levels deep";
    "max_members" TooManyMembers { max: usize } "must have at most {max} members";
    "utf8" NotUtf8 { position: usize } "must be UTF-8, but is not at byte {position}";
    "byte_order_mark" ByteOrderMark { encoding: &'static str } "must be UTF-8, but begins with the byte order mark of {encoding}";
    "gzip_incomplete" GzipIncomplete "is not complete: its gzip data ends too early";
    "gzip" InvalidGzip { reason: Reason } "is not gzip, as Content-Encoding says: {reason}";

    // Webhooks.
    "unknown_event_type" UnknownEventType { name: Shown } "is not a known event type: {name}; see GET …/webhooks/event-types";
    "event_type_not_at_level" EventTypeNotAtLevel { name: Shown } "{name} is not available to webhooks of this level";
    "event_type_required" EventTypeRequired "must name at least one event type while the webhook is enabled";
    "event_types_unknown" UnknownEventTypes "must be a list of event types; see GET …/webhooks/event-types";
    "event_type_of_webhook" NotEventTypeOfWebhook "must be one of the webhook's `eventTypes`, or omitted";
    "no_event_types" NoEventTypes "is empty, so no test event can be sent";
    "must_be_false" MustBeFalse "must be false: certificate revocation is not checked";

    // URLs.
    "absolute_url" NotAbsoluteUrl "must be an absolute URL, like https://hooks.example.com/path";
    "must_be_https" NotHttps "must use https";
    "no_spaces" Spaces "must not contain spaces or control characters";
    "no_backslashes" Backslashes "must not contain backslashes, or escapes in its domain name";
    "no_user_info" UserInfo "must not contain a user name or password; use headers instead";
    "no_fragment" Fragment "must not contain a fragment (#…)";
    "port_443" OtherPort "must use port 443";
    "no_ip_address" IpAddress "must have a domain name, not an IP address";
    "domain_required" NoDomain "must have a domain name";
    "domain_labels" DomainLabels "must have a valid domain name without empty labels or a trailing dot";
    "domain_characters" DomainCharacters "must have a domain name of letters, digits and inner hyphens";
    "domain_not_public" DomainNotPublic "must have a public domain name";
    "domain_not_qualified" DomainNotQualified "must have a fully qualified domain name";
    "url_max_bytes" UrlTooLong { max: usize } "must have at most {max} bytes, including escapes";
    "own_host" OwnHost "must not point to this deployment's own API";
    "domain_names" NotDomainNames "must be domain names separated by commas";

    // Headers and secrets of a webhook.
    "header_name" HeaderName "must have a name of letters, digits and !#$%&'*+-.^_`|~";
    "header_value" HeaderValue "must have a value of visible ASCII characters, with spaces only between them";
    "header_reserved" HeaderReserved "is a reserved header name";
    "header_duplicate" HeaderDuplicate "appears twice (names are compared case-insensitively)";
    "header_in_both" HeaderInBoth "is also in `headers`; give each name once";
    "header_values_required" HeaderValuesRequired "must be an object of names and values: values are never shown, so send them again";
    "header_object" NotHeaderObject "must be an object of names and values";
    "header_value_required" HeaderValueRequired "must be given again, or removed, in the patch that changes `url`";
    "headers_max_bytes" HeadersTooLarge { max: usize } "must have at most {max} bytes of names and values in total";
    "headers_max_count" TooManyHeaders { max: usize } "must have at most {max} headers, unless one request gives all of them";
    "header_not_sendable" HeaderNotSendable "cannot be sent: its name or value is not valid, or its name is reserved or given twice";

    // Filters.
    "filter_syntax" FilterSyntax { position: usize, expected: Names } "cannot be read at character {position}: expected {expected}";
    "filter_max_length" FilterTooLong { max: usize } "must have at most {max} characters, including spaces";
    "filter_status_only" FilterStatusOnly { name: &'static str } "may use data.status only if {name} is the only event type";
    "filter_status_value" FilterStatusValue { values: Names } "must compare data.status with one of {values}";

    // Patches.
    "json_patch" NotJsonPatch "must be an array of JSON Patch operations";
    "json_patch_unreadable" UnreadableJsonPatch { reason: Reason } "must be an array of JSON Patch operations: {reason}";
    "patch_value_required" PatchValueRequired "is required for add and replace";
    "patch_not_applicable" PatchNotApplicable { path: Shown, reason: Reason } "cannot be applied at {path}: {reason}";
    "patch_read_only" PatchReadOnly { name: Shown } "names {name}, which cannot be changed";

    // Lists and time ranges.
    "sort_field" SortField { values: Names } "must be one of {values}, optionally with + or - before it";
    "cursor" InvalidCursor "must be a cursor from a link of this list, in the same order";
    "not_in_future" InFuture "must not be in the future";
    "max_age" TooOld { days: i64 } "must be at most {days} days ago, because history is kept that long";

    // Events.
    "events_required" NoEvents "must have at least one event";
    "max_events" TooManyEvents { max: usize } "must have at most {max} events";
    "event_max_bytes" EventTooLarge { max: usize } "must have at most {max} bytes of minified JSON, where U+FFFE and U+FFFF count as their escapes";
    "event_array" NotEventArray "must be an array of events, because application/cloudevents-batch+json is one";
    "spec_version_required" SpecVersionRequired "is required (or `cloudEventsVersion` for the legacy form)";
    "attribute_required" AttributeRequired { max: usize } "is required and must be a string of 1 to {max} bytes";
    "attribute_name" AttributeName "must be a name of lower-case letters and digits, like all attributes";
    "attribute_header" AttributeHeader "must be an attribute name of letters and digits, given once";
    "attribute_not_header" AttributeNotHeader "must not be a header: Content-Type gives the type of the data, and the body is the data";
    "attribute_value" AttributeValue "must be a string, a whole number or a Boolean, like all attributes";
    "integer" NotInteger "must be a whole number of 32 bits";
    "not_empty" Empty "must be a string that is not empty, or omitted";
    "media_type" NotMediaType "must be a media type, like application/json";
    "uri" NotUri "must be a URI, like https://example.com/schema";
    "base64" NotBase64 "must be a base64 string (RFC 4648, section 4)";
    "charset_utf8" CharsetNotUtf8 "must have the charset utf-8, because JSON is UTF-8";
    "must_equal" NotEqual { other: &'static str } "must be the same as `{other}`";
    "hop_count" NotHopCount "must be a whole number that is not negative";
    "max_hops" TooManyHops { max: u32 } "must be at most {max}: this event was delivered and published again too often, in a loop";
    "quoted_string" NotQuotedString "must end with the double quote that it begins with";
    "percent_encoding" NotPercentEncoded "must be percent-encoded UTF-8";
    "visible_ascii" NotVisibleAscii "must be visible ASCII characters";
    "tenant_required" TenantRequired "is required, because the token names no tenant";
    "test_attribute_reserved" TestAttributeReserved "must not be set: it marks test events, which only Anzol creates";
    "event_type_reserved" EventTypeReserved "must not begin with `anzol.`: only Anzol publishes these events";
    "source_reserved" SourceReserved { source: Shown } "must not be `{source}`: only Anzol publishes these events";
    "event_delivered" EventDelivered "must not be set on an operational event: it was delivered and must not be published again";
    "delivery_header" DeliveryHeader "must not be set: a delivery of a webhook cannot be published again";
    "not_queued" NotQueued { code: Shown } "cannot be queued ({code}); do not send the other events of this request again, they are accepted";

    // Settings of a deployment.
    "setting_header_name" SettingHeaderName "must be a valid, non-reserved header name";
    "setting_role_name" SettingRoleName { max: usize } "must have 1 to {max} characters, without spaces, brackets and quotation marks";
    "setting_retry_schedule" SettingRetrySchedule { max: usize, seconds: u32 } "must be 1 to {max} whole numbers of seconds, each from 1 to {seconds}";

    // Access tokens for client credentials.
    "scope_unknown" UnknownScope "must name existing scopes, or be omitted";
    "client_not_allowed" ClientNotAllowed "is a client that may not use client credentials alone";
    "refused_by_issuer" RefusedByIssuer "was refused by the user pool";
    "basic_credentials" NotBasicCredentials "must be Basic with a client id and secret, or be omitted";

    // 401.
    "token_required" TokenRequired "a bearer token is required";
    "token_without_subject" TokenWithoutSubject "the token names no subject";
    "token_subject_invalid" InvalidTokenSubject "the token's subject cannot be a user id";
    "unknown_client" UnknownClient "there is no client with this `client_id` and `client_secret`";

    // 403.
    "token_without_tenant" TokenWithoutTenant "the token names no tenant";
    "token_tenant_invalid" InvalidTokenTenant { claim: Shown } "the claim {claim} of the token is not a valid tenant id";
    "publish_role_required" PublishRoleRequired "publishing requires the role Publisher or TenantAdmin, or a publish scope";
    "other_tenant" OtherTenant { index: usize } "event [{index}] belongs to a tenant that the caller may not publish for";
    "admin_required_for_level" AdminRequiredForLevel "a webhook of level `tenant` requires a tenant admin; use level `user`";
    "admin_required_for_owner" AdminRequiredForOwner "only a tenant admin can give a webhook to another user";
    "cannot_be_turned_off" CannotBeTurnedOff "cannot be set to false after it was true";
    "webhook_cap_reached" WebhookCapReached { max: u32 } "the tenant already has {max} webhooks, the maximum";
    "webhook_cap_for_users_reached" WebhookCapForUsersReached { max: u32, reserved: u32, cap: u32 } "the tenant already has {max} webhooks; the last {reserved} of its {cap} are reserved for tenant admins";

    // 404 and 405.
    "route_not_found" RouteNotFound { path: Shown } "there is no {path}";
    "not_found" NotFound { resource: &'static str, id: Shown } "there is no {resource} {id}";
    "method_not_allowed" MethodNotAllowed "the method is not allowed here";

    // 409.
    "conflict" Conflict "the resource was changed or deleted at the same time; read it again";
    "recovery_running" RecoveryRunning { recovery: Shown } "{recovery} of this webhook is still running: wait until it is done; `Location` is its address";
    "webhook_disabled" WebhookDisabled "is false: enable the webhook before its failed deliveries are sent again";

    // 413 to 415.
    "body_too_large" BodyTooLarge { max: usize } "the body must have at most {max} bytes";
    "uri_too_long" UriTooLong { max: usize } "path and query must have at most {max} bytes";
    "unsupported_media_type" UnsupportedMediaType { values: Names } "the body must be one of {values}";
    "unsupported_event_media_type" UnsupportedEventMediaType { values: Names } "the body must be one of {values}; or send ce- headers, in binary mode";
    "unsupported_charset" UnsupportedCharset "the header Content-Type must name the charset utf-8, or none";
    "unsupported_encoding" UnsupportedEncoding { values: Names, encoding: Shown } "the header Content-Encoding must be one of {values}; it is `{encoding}`";

    // 429 and the server's side.
    "rate_limit" RateLimit { seconds: u32 } "You need to wait {seconds} second until limit is lifted.";
    "too_many_under_way_of_tenant" TooManyOfTenant { max: usize, seconds: u32 } "at most {max} tests and resends of a tenant may be under way; try again in {seconds} seconds";
    "too_many_under_way_of_user" TooManyOfUser { max: usize, seconds: u32 } "at most {max} tests and resends of one user may be under way; try again in {seconds} seconds";
    "bad_request" BadRequest "the request cannot be read";
    "internal" Internal "something failed on our side";
    "outside_issuer" OutsideIssuer "an outside issuer issues the tokens of this deployment; use its token endpoint";
    "unavailable" Unavailable "a service that we need does not answer";
}

#[cfg(test)]
trait Sample {
    fn sample(text: &str) -> Self;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::error::MAX_RULE;

    impl Sample for usize {
        fn sample(_: &str) -> Self {
            7
        }
    }

    impl Sample for u32 {
        fn sample(_: &str) -> Self {
            7
        }
    }

    impl Sample for i64 {
        fn sample(_: &str) -> Self {
            7
        }
    }

    impl Sample for &'static str {
        fn sample(_: &str) -> Self {
            "text"
        }
    }

    impl Sample for Shown {
        fn sample(text: &str) -> Self {
            text.into()
        }
    }

    impl Sample for Reason {
        fn sample(text: &str) -> Self {
            Self::new(text)
        }
    }

    impl Sample for Names {
        fn sample(_: &str) -> Self {
            ["one", "two"].into()
        }
    }

    /// Codes and parameters are part of the API, so `rule.txt` must only get new lines. Sentences can change.
    #[test]
    fn rules_match_the_recorded_table() {
        let line = |rule: &Rule| {
            format!("{} {} {rule}\n", rule.code(), serde_json::to_string(&rule.params()).unwrap())
        };
        let now: String = samples::all("shown").iter().map(line).collect();
        assert!(now == include_str!("rule.txt"), "rule.txt should be:\n{now}");
    }

    #[test]
    fn codes_are_unique_snake_case() {
        let codes: BTreeSet<_> = Rule::CODES.iter().collect();
        assert_eq!(codes.len(), Rule::CODES.len());
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(codes.iter().all(|code| code.chars().all(fits)), "{codes:?}");
        let rules = samples::all("x");
        assert_eq!(rules.iter().map(Rule::code).collect::<Vec<_>>(), Rule::CODES);
    }

    #[test]
    fn every_placeholder_of_a_sentence_has_a_value() {
        for rule in samples::all("x") {
            rule.describe(&mut |code, sentence, values| {
                for part in sentence.split('{').skip(1) {
                    let name = part.split_once('}').map(|(name, _)| name);
                    assert!(values.iter().any(|(known, _)| Some(*known) == name), "{code}: {sentence}");
                }
            });
        }
    }

    #[test]
    fn sentences_of_huge_texts_are_bounded() {
        for rule in samples::all(&"é".repeat(5_000)) {
            assert!(rule.to_string().len() <= MAX_RULE, "{}", rule.code());
            assert!(serde_json::to_string(&rule.params()).unwrap().len() <= MAX_RULE, "{}", rule.code());
        }
    }

    #[test]
    fn sentences_escape_control_and_direction_characters() {
        for (text, expected) in [
            ("plain `ação` \u{5e9}", "plain `ação` \u{5e9}"),
            ("a\u{202e}b\u{2066}c", r"a\u{202e}b\u{2066}c"),
            ("a\nb\u{1b}[31m\u{9b}", r"a\u{a}b\u{1b}[31m\u{9b}"),
            ("\u{200f}x\u{ffff}", r"\u{200f}x\u{ffff}"),
        ] {
            let rule = Rule::UnknownEventType { name: text.into() };
            assert!(rule.to_string().contains(&format!(": {expected};")), "{rule}");
            assert_eq!(serde_json::to_value(rule.params()).unwrap()["name"], text);
            let rule = Rule::Unreadable { reason: Reason::new(text) };
            assert!(rule.to_string().ends_with(&format!(": {expected}")), "{rule}");
        }
        for rule in samples::all(&"\u{202e}".repeat(5_000)) {
            assert!(rule.to_string().len() <= MAX_RULE, "{}", rule.code());
        }
    }

    #[test]
    fn reasons_are_in_sentences_only() {
        for rule in samples::all("secret") {
            if let Rule::Unreadable { .. } | Rule::InvalidJson { .. } = &rule {
                assert!(rule.to_string().contains("secret"));
                assert!(!serde_json::to_string(&rule.params()).unwrap().contains("secret"));
            }
        }
    }
}
