//! Who calls: the claims of the token that the gateway has verified. Never the path, the query or the body.

use axum::extract::FromRequestParts;
use http::request::Parts;
use lambda_http::RequestExt as _;
use lambda_http::request::RequestContext;

use anzol_domain::access::Roles;
use anzol_domain::{Caller, TenantId, UserId};

use crate::error::ApiError;

/// Which claims say what. The defaults fit the user pool that the template brings.
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
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            tenant: "custom:tenantId".to_owned(),
            roles: "cognito:groups".to_owned(),
            publish_scope: "anzol/publish".to_owned(),
            platform_scope: "anzol/publish.any".to_owned(),
        }
    }
}

/// Group or role of tenant admins.
const ADMIN: &str = "TenantAdmin";
/// Group or role of users who may publish for their tenant.
const PUBLISHER: &str = "Publisher";

/// A caller who has been verified; what [`Caller`] looks like to a handler.
pub struct Verified(pub Caller);

impl Claims {
    /// The names this deployment uses, by the variables `TENANT_CLAIM`, `ROLES_CLAIM`, `PUBLISH_SCOPE` and `PLATFORM_SCOPE`;
    /// the defaults where `variable` finds none.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let default = Self::default();
        Self {
            tenant: variable("TENANT_CLAIM").unwrap_or(default.tenant),
            roles: variable("ROLES_CLAIM").unwrap_or(default.roles),
            publish_scope: variable("PUBLISH_SCOPE").unwrap_or(default.publish_scope),
            platform_scope: variable("PLATFORM_SCOPE").unwrap_or(default.platform_scope),
        }
    }

    /// Reads the caller from the claims of a request.
    ///
    /// # Errors
    /// 401 when there are no verified claims; 403 when the tenant in them cannot be one.
    pub fn caller(&self, parts: &Parts) -> Result<Caller, ApiError> {
        let claims = match parts.request_context_ref() {
            Some(RequestContext::ApiGatewayV2(context)) => context
                .authorizer
                .as_ref()
                .and_then(|authorizer| authorizer.jwt.as_ref())
                .map(|jwt| &jwt.claims),
            _ => None,
        };
        let unauthorized = |text: &str| ApiError::Unauthorized(text.to_owned());
        let claims = claims.ok_or_else(|| unauthorized("a bearer token is required"))?;
        let claim = |name: &str| claims.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let user =
            claim("sub").or(claim("client_id")).ok_or_else(|| unauthorized("the token names no subject"))?;
        let user =
            UserId::parse(user).map_err(|_| unauthorized("the token's subject cannot be a user id"))?;
        let tenant = claim(&self.tenant).map(TenantId::parse).transpose();
        let tenant = tenant
            .map_err(|_| ApiError::Forbidden(format!("the token's {} cannot be a tenant", self.tenant)))?;
        let groups = claim(&self.roles).map(list).unwrap_or_default();
        let scopes = claim("scope").map(list).unwrap_or_default();
        let has = |list: &[String], name: &str| list.iter().any(|item| item == name);
        let roles = Roles {
            admin: has(&groups, ADMIN),
            publisher: has(&groups, PUBLISHER) || has(&scopes, &self.publish_scope),
            platform: has(&scopes, &self.platform_scope),
        };
        Ok(Caller { tenant, user, roles })
    }
}

/// Reads a claim that is a list: `["a","b"]` in JSON, or `[a b]` and `a b` as the gateway and OAuth write it.
fn list(text: &str) -> Vec<String> {
    if let Ok(list) = serde_json::from_str(text) {
        return list;
    }
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    inner.split_ascii_whitespace().map(str::to_owned).collect()
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
    fn lists_are_read_in_every_spelling_and_only_whole_names_count() {
        for text in ["[TenantAdmin Publisher]", r#"["TenantAdmin","Publisher"]"#, "TenantAdmin Publisher"] {
            assert_eq!(list(text), ["TenantAdmin", "Publisher"], "{text}");
        }
        assert_eq!(list("[NotTenantAdmin,TenantAdmin]"), ["NotTenantAdmin,TenantAdmin"]);
    }
}
