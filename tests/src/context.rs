//! The context of the suites that run against a deployed stack: its description, its callers, the receiver and AWS.

use anyhow::Result;

use crate::aws::Aws;
use crate::client::{Api, Control};
use crate::stack::Stack;

/// A signing secret of the minimum length.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A deployed stack and the clients to use it.
#[derive(Debug, Clone)]
pub struct StackContext {
    /// The stack's description.
    pub stack: Stack,
    /// A client of AWS or of the local cloud.
    pub aws: Aws,
    /// The receiver's control API.
    pub control: Control,
    /// Id of the tenant acme.
    pub acme: String,
    /// Id of the tenant globex.
    pub globex: String,
    /// An admin of acme.
    pub admin: Api,
    /// A plain user of acme.
    pub user: Api,
    /// A publisher of acme.
    pub publisher: Api,
    /// A publisher for all tenants.
    pub platform: Api,
    /// An admin of globex.
    pub globex_admin: Api,
    /// A caller without a token.
    pub anonymous: Api,
}

impl StackContext {
    /// Loads the description of the stack and its callers' tokens.
    ///
    /// # Errors
    /// When there is no stack, or its description lacks a caller.
    pub fn load() -> Result<Self> {
        let stack = Stack::load()?;
        let caller = |who| api(&stack, who);
        Ok(Self {
            aws: Aws::new(&stack),
            control: Control::new(&stack.receiver.control_url),
            acme: stack.tenant("acme")?.to_owned(),
            globex: stack.tenant("globex")?.to_owned(),
            admin: caller("acme.admin")?,
            user: caller("acme.user")?,
            publisher: caller("acme.publisher")?,
            platform: caller("platform.publisher")?,
            globex_admin: caller("globex.admin")?,
            anonymous: Api::new(&stack.api_url, None),
            stack,
        })
    }

    /// Returns the API as a caller such as `acme.admin`.
    ///
    /// # Errors
    /// When the stack's description lacks the caller.
    pub fn api(&self, who: &str) -> Result<Api> {
        api(&self.stack, who)
    }
}

fn api(stack: &Stack, who: &str) -> Result<Api> {
    Ok(Api::new(&stack.api_url, Some(stack.token(who)?)))
}
