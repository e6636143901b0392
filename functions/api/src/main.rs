//! Cold start of `api`.

use std::time::Duration;

use anzol_api::{AppState, Cursors, router};
use anzol_domain::health::DisablePolicy;
use anzol_domain::retry::Schedule;
use anzol_domain::url::OwnHosts;
use anzol_domain::webhook::WEBHOOK_CAP;
use anzol_egress::{Egress, Settings, TokenEndpoint};
use anzol_http::Claims;
use anzol_pipeline::{Deliverer, DeliveryHeaders, HealthTracker, Recoverer, Settler};
use anzol_queue::{DeliveryQueues, Queue};
use anzol_runtime::config::{Env, optional};
use anzol_store::{Deliveries, Webhooks};
use anzol_vault::Vault;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    anzol_runtime::telemetry::init();
    let mut env = Env::new();
    let (webhooks, deliveries) = (env.required("WEBHOOKS_TABLE"), env.required("DELIVERIES_TABLE"));
    let secrets_key = env.required("SECRETS_KEY_ARN");
    let cap = env.within("WEBHOOK_CAP", WEBHOOK_CAP, 1..=100_000);
    let (events, slow) = (env.required("EVENTS_QUEUE_URL"), env.required("SLOW_LANE_QUEUE_URL"));
    let policy = DisablePolicy::new(
        env.within("DISABLE_AFTER_FAILURES", DisablePolicy::FAILURES, 1..=1_000_000),
        env.within("DISABLE_AFTER_HOURS", DisablePolicy::HOURS, 0..=168),
    );
    let mut egress = Settings::read(optional);
    egress.timeout = Duration::from_secs(env.within("DELIVERY_TIMEOUT", 10, 1..=15));
    egress.connect_timeout = Duration::from_secs(env.within("CONNECT_TIMEOUT", 3, 1..=15));
    let names =
        DeliveryHeaders { user_agent: env.maybe("USER_AGENT"), signature: env.maybe("SIGNATURE_HEADER") };
    let own_hosts: OwnHosts = env.maybe("ANZOL_OWN_HOSTS").unwrap_or_default();
    let claims =
        Claims::read(optional).with_roles(env.maybe("ANZOL_ADMIN_ROLE"), env.maybe("ANZOL_PUBLISHER_ROLE"));
    env.finish()?;
    // Local stacks say where AWS is; AWS itself does not.
    let token_url = optional("TOKEN_URL").map(|url| match optional("AWS_ENDPOINT_URL") {
        Some(endpoint) => format!("{}/oauth2/token", endpoint.trim_end_matches('/')),
        None => url,
    });

    let aws = anzol_runtime::aws::config()?;
    let (webhooks, cursors) = (Webhooks::new(&aws, webhooks), Cursors::default());
    // Also opens the connection to the database.
    let cursor_key = async { cursors.key(&webhooks).await.map(drop) };
    anzol_runtime::warm_up("the key for cursors", cursor_key).await;
    let deliveries = Deliveries::new(&aws, deliveries);
    let slow_lane = DeliveryQueues::slow_only(&aws, slow);
    let state = AppState {
        health: HealthTracker::new(webhooks.clone(), Queue::new(&aws, events), policy, anzol_runtime::now),
        recoverer: Recoverer::new(deliveries.clone(), slow_lane.clone(), anzol_runtime::now),
        // No retry follows what a user asked for, so the schedule does not matter.
        settler: Settler::new(deliveries.clone(), slow_lane, Schedule::default(), anzol_runtime::now),
        webhooks,
        vault: Vault::new(&aws, secrets_key),
        deliveries,
        deliverer: Deliverer::new(Egress::new(&egress)?, anzol_runtime::now)
            .with_headers(names)
            .with_own_hosts(own_hosts),
        tokens: token_url.as_deref().map(TokenEndpoint::new).transpose()?,
        claims,
        cursors,
        cap,
        clock: anzol_runtime::now,
    };
    lambda_http::run(router(state)).await
}
