//! Reads the caller from the token claims that the gateway verified, never from the path, the query or the body.

use std::fmt;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;

use anzol_domain::access::Roles;
use anzol_domain::config::Env;
use anzol_domain::{Caller, Invalid, Rule, TenantId, UserId};

use crate::error::ApiError;

/// The names of claims, scopes and roles. The defaults fit the user pool of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Claim with the tenant id.
    pub tenant: String,
    /// Claim with the names of the caller's groups or roles.
    pub roles: String,
    /// Scope that allows publishing for the tenant in the claim.
    pub publish_scope: String,
    /// Scope that allows publishing for every tenant.
    pub platform_scope: String,
    /// Group or role of tenant admins.
    pub admin_role: RoleName,
    /// Group or role of users who can publish for their tenant.
    pub publisher_role: RoleName,
}

/// Name of a group or role: 1 to 256 characters without whitespace, control characters, brackets and quotation marks. The gateway writes a
/// list of names as `[a b]`, so a name with one of these characters could look like two names, or like a part of another name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleName(String);

/// Maximum length of the name of a group or role, in characters.
const MAX_ROLE: usize = 256;

impl RoleName {
    /// The group of tenant admins in the user pool of the template.
    pub const ADMIN: &str = "TenantAdmin";
    /// The group of publishers in the user pool of the template.
    pub const PUBLISHER: &str = "Publisher";

    /// Returns the name of the tenant admins' group or role, from the variable `ANZOL_ADMIN_ROLE`.
    pub fn admin_from_env(env: &mut Env) -> Self {
        env.or("ANZOL_ADMIN_ROLE", Self(Self::ADMIN.to_owned()))
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RoleName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']' | '"');
        let fine = (1..=MAX_ROLE).contains(&text.chars().count()) && !text.contains(odd);
        fine.then(|| Self(text.to_owned()))
            .ok_or_else(|| Invalid::one("role", Rule::SettingRoleName { max: MAX_ROLE }))
    }
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            tenant: "custom:tenantId".to_owned(),
            roles: "cognito:groups".to_owned(),
            publish_scope: "anzol/publish".to_owned(),
            platform_scope: "anzol/publish.any".to_owned(),
            admin_role: RoleName(RoleName::ADMIN.to_owned()),
            publisher_role: RoleName(RoleName::PUBLISHER.to_owned()),
        }
    }
}

/// The verified [`Caller`], as a handler extracts it.
pub struct Verified(pub Caller);

impl Claims {
    /// Returns the deployment's names of claims, scopes and roles, from the variables `TENANT_CLAIM`, `ROLES_CLAIM`, `PUBLISH_SCOPE`,
    /// `PLATFORM_SCOPE`, `ANZOL_ADMIN_ROLE` and `ANZOL_PUBLISHER_ROLE`.
    pub fn from_env(env: &mut Env) -> Self {
        let default = Self::default();
        Self {
            tenant: env.or("TENANT_CLAIM", default.tenant),
            roles: env.or("ROLES_CLAIM", default.roles),
            publish_scope: env.or("PUBLISH_SCOPE", default.publish_scope),
            platform_scope: env.or("PLATFORM_SCOPE", default.platform_scope),
            admin_role: RoleName::admin_from_env(env),
            publisher_role: env.or("ANZOL_PUBLISHER_ROLE", default.publisher_role),
        }
    }

    /// Reads the caller from the claims of a request.
    ///
    /// # Errors
    /// 401 if there are no verified claims; 403 if their tenant is invalid.
    pub fn caller(&self, parts: &Parts) -> Result<Caller, ApiError> {
        let claims = match parts.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => context
                .authorizer
                .as_ref()
                .and_then(|authorizer| authorizer.jwt.as_ref())
                .map(|jwt| &jwt.claims),
            _ => None,
        };
        let claims = claims.ok_or(ApiError::Unauthorized(Rule::TokenRequired))?;
        let claim = |name: &str| claims.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let user = claim("sub").or(claim("client_id"));
        let user = user.ok_or(ApiError::Unauthorized(Rule::TokenWithoutSubject))?;
        let user = UserId::parse(user).map_err(|_| ApiError::Unauthorized(Rule::InvalidTokenSubject))?;
        let tenant = claim(&self.tenant).map(TenantId::parse).transpose();
        let invalid = || Rule::InvalidTokenTenant { claim: self.tenant.as_str().into() };
        let tenant = tenant.map_err(|_| ApiError::Forbidden(invalid()))?;
        let names = |name: &str| claim(name).map(|text| list(name, text)).unwrap_or_default();
        let (groups, scopes) = (names(&self.roles), names(SCOPE));
        let has = |list: &[String], name: &str| list.iter().any(|item| item == name);
        let roles = Roles {
            admin: has(&groups, &self.admin_role.0),
            publisher: has(&groups, &self.publisher_role.0) || has(&scopes, &self.publish_scope),
            platform: has(&scopes, &self.platform_scope),
        };
        Ok(Caller { tenant, user, roles })
    }
}

/// The only claim whose text is a list separated by spaces (RFC 6749, section 3.3; RFC 8693, section 4.2).
const SCOPE: &str = "scope";

/// Parses a claim that is a list: `["a","b"]` in JSON, or `[a b]`, as the gateway writes an array. Any other text is a single name, except
/// for [`SCOPE`].
fn list(claim: &str, text: &str) -> Vec<String> {
    if let Ok(list) = serde_json::from_str(text) {
        return list;
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed.or((claim == SCOPE).then_some(text)) {
        Some(items) => items.split_ascii_whitespace().map(str::to_owned).collect(),
        None => vec![text.to_owned()],
    }
}

impl<S> FromRequestParts<S> for Verified
where
    S: AsRef<Claims> + Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        state.as_ref().caller(parts).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_claims_are_parsed_in_every_format() {
        for text in ["[TenantAdmin Publisher]", r#"["TenantAdmin","Publisher"]"#] {
            assert_eq!(list("roles", text), ["TenantAdmin", "Publisher"], "{text}");
        }
        assert_eq!(list("roles", "[NotTenantAdmin,TenantAdmin]"), ["NotTenantAdmin,TenantAdmin"]);
        assert_eq!(list("scope", "openid anzol/publish"), ["openid", "anzol/publish"]);
    }

    fn roles_of(names: &Claims, roles: &str) -> Roles {
        let mut context = serde_json::json!({
            "http": { "method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t" },
            "routeKey": "$default", "stage": "$default", "requestId": "r", "accountId": "1", "apiId": "a",
            "domainName": "d", "timeEpoch": 0,
        });
        let claims = serde_json::json!({ "sub": "ann", (names.roles.as_str()): roles });
        context["authorizer"] = serde_json::json!({ "jwt": { "claims": claims, "scopes": null } });
        let event = serde_json::json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "", "headers": {},
            "requestContext": context, "isBase64Encoded": false,
        });
        let request = lambda_http::request::from_str(&event.to_string()).unwrap();
        names.caller(&request.into_parts().0).unwrap().roles
    }

    #[test]
    fn l1_claim_with_one_text_is_one_name() {
        let names = Claims::default();
        for text in [
            "Junior TenantAdmin",
            "TenantAdmin ",
            "TenantAdmin Publisher",
            "x\tTenantAdmin",
            "\"TenantAdmin\"",
        ] {
            assert_eq!(roles_of(&names, text), Roles::default(), "{text}");
        }
        for text in ["TenantAdmin", "[TenantAdmin]", "[Junior TenantAdmin]", r#"["Junior","TenantAdmin"]"#] {
            assert!(roles_of(&names, text).admin, "{text}");
        }
        assert!(!roles_of(&names, r#"["Junior TenantAdmin"]"#).admin);
        // Roles from scopes are separated by spaces.
        let scoped = Claims { roles: "scope".to_owned(), ..names };
        assert!(roles_of(&scoped, "openid TenantAdmin").admin);
    }

    #[test]
    fn l1_role_names_are_configurable() {
        let role = |text: &str| text.parse().unwrap();
        let names = Claims {
            admin_role: role("urn:acme:anzol:admin"),
            publisher_role: role("urn:acme:anzol:publisher"),
            ..Claims::default()
        };
        assert!(roles_of(&names, "[urn:acme:anzol:admin other]").admin);
        assert!(roles_of(&names, "urn:acme:anzol:publisher").publisher);
        assert_eq!(roles_of(&names, "[TenantAdmin Publisher]"), Roles::default());
    }

    #[test]
    fn l1_ambiguous_role_name_is_refused() {
        for bad in [
            "",
            "Tenant Admin",
            "Tenant\tAdmin",
            "[TenantAdmin]",
            "a]",
            "\"a\"",
            "a\u{a0}b",
            "a\n",
            &"x".repeat(257),
        ] {
            assert!(bad.parse::<RoleName>().is_err(), "{bad:?}");
        }
        for good in ["TenantAdmin", "https://acme.example/roles/admin", "Administração", &"x".repeat(256)] {
            assert!(good.parse::<RoleName>().is_ok(), "{good:?}");
        }
    }
}
