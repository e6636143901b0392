//! The settings of deliveries, from the environment.

use anzol_domain::Clock;
use anzol_domain::config::Env;
use anzol_domain::headers::HeaderName;
use anzol_domain::url::OwnHosts;
use anzol_egress::{Egress, Settings, SetupError};

use crate::deliver::{Deliverer, DeliveryHeaders};

/// The deployment's settings of deliveries.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// Timeouts.
    pub egress: Settings,
    /// The headers that the deployment configures.
    pub headers: DeliveryHeaders,
    /// The deployment's host names, which webhooks cannot use.
    pub own_hosts: OwnHosts,
}

impl DeliverySettings {
    /// Returns the deployment's settings, from the variables `USER_AGENT` and `SIGNATURE_HEADER` and those of [`Settings::from_env`] and
    /// [`OwnHosts::from_env`].
    pub fn from_env(env: &mut Env) -> Self {
        let signature = signature_header_from_env(env);
        Self {
            egress: Settings::from_env(env),
            headers: DeliveryHeaders { user_agent: env.optional("USER_AGENT"), signature },
            own_hosts: OwnHosts::from_env(env),
        }
    }

    /// Returns a deliverer with these settings.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn deliverer(self, clock: Clock) -> Result<Deliverer, SetupError> {
        let deliverer = Deliverer::new(Egress::new(&self.egress)?, clock);
        Ok(deliverer.with_headers(self.headers).with_own_hosts(self.own_hosts))
    }
}

/// Returns the name of the signature header, from the variable `SIGNATURE_HEADER`. `None` for the default.
pub fn signature_header_from_env(env: &mut Env) -> Option<HeaderName> {
    env.optional("SIGNATURE_HEADER")
}
