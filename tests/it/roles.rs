//! Access rights and isolation of tenants: every route × every role × every owner, on both base paths.
//!
//! The expectations are computed from the rules of contract section 1.8, not listed case by case.

use anzol_api::AppState;
use anzol_domain::recovery::RecoveryStatus;
use anzol_domain::{Level, Recovery, Status, UserId, Webhook};
use anzol_pipeline::Recoverer;
use anzol_runtime::now;
use serde_json::{Value, json};

use crate::kit::queues::Queues;
use crate::kit::{Answer, Api, As, EgressHarness, TestContext, delivery, webhook_with};

const BASES: [&str; 2] = ["/api/v1/webhooks", "/api/core/webhooks"];

/// A caller, with the properties that the rules use.
#[derive(Clone)]
struct Role {
    name: &'static str,
    claims: Option<As>,
    tenant: Option<&'static str>,
    user: &'static str,
    admin: bool,
}

fn roles() -> Vec<Role> {
    let role = |name, tenant: Option<&'static str>, user, groups: &str, scope: &str| {
        let mut claims = json!({ "sub": user, "cognito:groups": groups, "scope": scope });
        if let Some(tenant) = tenant {
            claims["custom:tenantId"] = json!(tenant);
        }
        Role { name, claims: Some(As::claims(claims)), tenant, user, admin: groups == "[TenantAdmin]" }
    };
    let (acme, globex) = (Some("acme"), Some("globex"));
    vec![
        Role { name: "anonymous", claims: None, tenant: None, user: "", admin: false },
        role("admin", acme, "root", "[TenantAdmin]", ""),
        role("ann", acme, "ann", "", ""),
        role("bob", acme, "bob", "[]", ""),
        role("publisher", acme, "press", "[Publisher]", ""),
        role("publishing scope", acme, "machine", "", "anzol/publish"),
        role("platform", None, "platform", "", "anzol/publish.any"),
        role("platform with a tenant", acme, "platform", "", "anzol/publish.any"),
        role("admin without a tenant", None, "root", "[TenantAdmin]", ""),
        role("foreign admin", globex, "root", "[TenantAdmin]", ""),
        // The same subject in another tenant is another user.
        role("foreign ann", globex, "ann", "", ""),
        role("almost an admin", acme, "bob", "[NotTenantAdmin tenantadmin]", "TenantAdmin"),
    ]
}

/// A webhook of acme, by owner.
#[derive(Clone, Copy, Debug)]
enum Target {
    Anns,
    Bobs,
    Roots,
    /// A webhook of level `tenant` that ann created as an admin.
    AnnsAsAdmin,
}

impl Target {
    const ALL: [Self; 4] = [Self::Anns, Self::Bobs, Self::Roots, Self::AnnsAsAdmin];

    fn owner(self) -> &'static str {
        match self {
            Self::Anns | Self::AnnsAsAdmin => "ann",
            Self::Bobs => "bob",
            Self::Roots => "root",
        }
    }

    fn webhook(self) -> Webhook {
        webhook_with("acme", |webhook| {
            webhook.spec.owner_id = UserId::parse(self.owner()).unwrap();
            webhook.spec.level = self.level();
        })
    }

    fn level(self) -> Level {
        match self {
            Self::Anns | Self::Bobs => Level::User,
            Self::Roots | Self::AnnsAsAdmin => Level::Tenant,
        }
    }
}

/// One call on a webhook: method, path after the id, body, and the status when it is allowed.
#[derive(Clone, Debug)]
struct Operation {
    method: &'static str,
    tail: &'static str,
    body: Option<Value>,
    done: u16,
    /// Whether it requires an admin, even on the caller's own webhooks.
    admins_only: bool,
}

/// Returns the time an hour ago, as a recovery's `since`.
fn an_hour_ago() -> String {
    let hours_ago = now() - time::Duration::hours(1);
    hours_ago.format(&time::format_description::well_known::Rfc3339).unwrap()
}

fn operations() -> Vec<Operation> {
    let of = |method, tail, body, done| Operation { method, tail, body, done, admins_only: false };
    let admins =
        |method, body, done| Operation { method, tail: "", body: Some(body), done, admins_only: true };
    let patch = |path: &str, value: &str| json!([{ "op": "replace", "path": path, "value": value }]);
    let whole = |level: &str, owner: Option<&str>| {
        let mut whole = json!({
            "name": "Whole", "url": "https://hooks.receiver.test/x", "eventTypes": ["com.qlik.v1.app.created"], "level": level,
        });
        if let Some(owner) = owner {
            whole["ownerId"] = json!(owner);
        }
        whole
    };
    vec![
        of("GET", "", None, 200),
        of("PATCH", "", Some(json!([])), 204),
        of("PATCH", "", Some(patch("/description", "new")), 204),
        of("PUT", "", Some(whole("user", None)), 200),
        admins("PUT", whole("tenant", None), 200),
        admins("PUT", whole("user", Some("another-user")), 200),
        of("GET", "/stats", None, 200),
        of("GET", "/deliveries", None, 200),
        of("GET", "/deliveries/{delivery}", None, 200),
        of("POST", "/deliveries/{delivery}/actions/resend", None, 201),
        of("POST", "/actions/test", None, 201),
        of("POST", "/actions/recover", Some(json!({ "since": an_hour_ago() })), 202),
        of("GET", "/recoveries/{recovery}", None, 200),
        of("DELETE", "", None, 204),
    ]
}

/// Returns the patches that only `core` accepts.
fn operations_of_core() -> Vec<Operation> {
    [("/level", "tenant"), ("/ownerId", "another-user")]
        .map(|(path, value)| Operation {
            method: "PATCH",
            tail: "",
            body: Some(json!([{ "op": "replace", "path": path, "value": value }])),
            done: 204,
            admins_only: true,
        })
        .to_vec()
}

fn sees(role: &Role, target: Target) -> bool {
    role.tenant == Some("acme")
        && (role.admin || role.user == target.owner() && target.level() == Level::User)
}

fn expected(role: &Role, target: Target, operation: &Operation) -> u16 {
    match role {
        Role { claims: None, .. } => 401,
        Role { tenant: None, .. } => 403,
        _ if !sees(role, target) => 404,
        Role { admin: false, .. } if operation.admins_only => 403,
        _ => operation.done,
    }
}

async fn start() -> (TestContext, EgressHarness, Api) {
    let (context, egress) = TestContext::with_egress().await;
    let queues = Queues::start(&context.config).await;
    let recoverer = Recoverer::new(context.deliveries.clone(), queues.with_scheduler(), now);
    let api = Api(anzol_api::router(AppState { recoverer, ..context.state(&egress) }));
    (context, egress, api)
}

/// Stores a webhook with a delivery and a recovery. Returns the path of an operation on them.
async fn set_up(context: &TestContext, stored: &Webhook, base: &str, operation: &Operation) -> String {
    context.webhooks.create(stored, 100).await.unwrap();
    let row = delivery(stored, now(), Status::Fail);
    context.put_deliveries(std::slice::from_ref(&row)).await;
    let recovery = Recovery::new(stored.tenant_id.clone(), stored.id, now(), now());
    let recovery = recovery.finished(RecoveryStatus::Done, now());
    context.deliveries.start_recovery(&recovery, now()).await.unwrap();
    let tail = operation.tail.replace("{delivery}", &row.id.to_string());
    let tail = tail.replace("{recovery}", &recovery.id.to_string());
    format!("{base}/{}{tail}", stored.id)
}

async fn call(api: &Api, role: &Role, method: &str, path: &str, body: Option<Value>) -> Answer {
    api.exchange(role.claims.as_ref(), method, path, Some("application/json"), body).await
}

#[tokio::test]
async fn every_operation_follows_the_access_rules() {
    let (context, egress, api) = start().await;
    let mut asked = 0;
    for base in BASES {
        let mut all = operations();
        if base.contains("core") {
            all.splice(0..0, operations_of_core());
        }
        for role in roles() {
            for target in Target::ALL {
                for operation in &all {
                    let stored = target.webhook();
                    let path = set_up(&context, &stored, base, operation).await;
                    let answer = call(&api, &role, operation.method, &path, operation.body.clone()).await;
                    let wanted = expected(&role, target, operation);
                    let what = format!(
                        "{} on {target:?}: {} {path} {:?}",
                        role.name, operation.method, operation.body
                    );
                    assert_eq!(answer.status, wanted, "{what}: {answer:?}");
                    asked += 1;

                    let after = context.webhooks.get(&stored.tenant_id, stored.id).await.unwrap();
                    if wanted >= 400 {
                        assert_eq!(after.as_ref(), Some(&stored), "{what}: a refusal changes nothing");
                        let text = answer.body.to_string();
                        assert!(
                            !text.contains(stored.spec.url.as_str()),
                            "{what}: a refusal does not show the webhook: {text}"
                        );
                        let errors = answer.body["errors"].as_array().unwrap();
                        assert!(
                            !errors.is_empty() && errors[0]["code"] == format!("HTTP-{wanted}"),
                            "{what}"
                        );
                    }
                    if after.is_some() {
                        context.webhooks.delete(&stored.tenant_id, stored.id).await.unwrap();
                    }
                }
            }
        }
    }
    assert_eq!(
        asked,
        roles().len() * Target::ALL.len() * (2 * operations().len() + operations_of_core().len())
    );
    // Only the allowed resends and tests were sent.
    let sent = egress.control(|receiver| receiver.all_requests()).await.unwrap().len();
    let all = roles();
    let allowed = all.iter().map(|role| Target::ALL.iter().filter(|target| sees(role, **target)).count());
    assert_eq!(sent, 2 * BASES.len() * allowed.sum::<usize>());
}

#[tokio::test]
async fn lists_and_creation_follow_the_access_rules() {
    let (context, _egress, api) = start().await;
    let mut ours = Vec::new();
    for target in Target::ALL {
        let stored = target.webhook();
        context.webhooks.create(&stored, 100).await.unwrap();
        ours.push((target, stored));
    }
    let body = |level: Option<&str>, owner: Option<&str>| {
        let mut body = json!({ "name": "New", "url": "https://hooks.receiver.test/new", "enabled": false });
        for (name, value) in [("level", level), ("ownerId", owner)] {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        body
    };
    for base in BASES {
        for role in roles() {
            let who = role.name;
            let signed_in = role.claims.is_some();
            let may_manage = if signed_in { 403 } else { 401 };

            let types = call(&api, &role, "GET", &format!("{base}/event-types"), None).await;
            assert_eq!(types.status, if signed_in { 200 } else { 401 }, "{who}");

            let list = call(&api, &role, "GET", base, None).await;
            assert_eq!(list.status, if role.tenant.is_some() { 200 } else { may_manage }, "{who}");
            if list.status == 200 {
                let mut shown: Vec<_> =
                    list.body["data"].as_array().unwrap().iter().map(|w| w["id"].clone()).collect();
                let mut wanted: Vec<_> = ours
                    .iter()
                    .filter(|(target, _)| sees(&role, *target))
                    .map(|(_, w)| json!(w.id))
                    .collect();
                shown.sort_by_key(ToString::to_string);
                wanted.sort_by_key(ToString::to_string);
                assert_eq!(shown, wanted, "{who}");
            }

            for (level, owner) in [
                (None, None),
                (Some("tenant"), None),
                (Some("user"), None),
                (Some("user"), Some("ann")),
                (Some("user"), Some("bob")),
            ] {
                let created = call(&api, &role, "POST", base, Some(body(level, owner))).await;
                let own_only = level == Some("user") && owner.is_none_or(|owner| owner == role.user);
                let wanted = match role.tenant {
                    None => may_manage,
                    Some(_) if role.admin || own_only => 201,
                    Some(_) => 403,
                };
                assert_eq!(created.status, wanted, "{who} {level:?} {owner:?}: {created:?}");
                if wanted == 201 {
                    assert_eq!(created.body["ownerId"], owner.unwrap_or(role.user), "{who}");
                    let gone = format!("{base}/{}", created.body["id"].as_str().unwrap());
                    assert_eq!(
                        call(&api, &role, "DELETE", &gone, None).await.status,
                        if role.admin || own_only { 204 } else { 404 }
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn m3_former_admin_loses_tenant_webhooks() {
    let (context, egress, api) = start().await;
    let all = roles();
    let ann = all.iter().find(|role| role.name == "ann").unwrap();
    let mut asked = 0;
    for base in BASES {
        let mut calls = operations();
        if base.contains("core") {
            calls.extend(operations_of_core());
        }
        for operation in calls {
            let stored = Target::AnnsAsAdmin.webhook();
            let path = set_up(&context, &stored, base, &operation).await;
            let answer = call(&api, ann, operation.method, &path, operation.body.clone()).await;
            assert_eq!(answer.status, 404, "{} {path} {:?}: {answer:?}", operation.method, operation.body);
            assert_eq!(
                context.webhooks.get(&stored.tenant_id, stored.id).await.unwrap(),
                Some(stored.clone())
            );
            let list = call(&api, ann, "GET", base, None).await;
            assert_eq!(list.body["data"], json!([]), "{list:?}");
            asked += 1;
            context.webhooks.delete(&stored.tenant_id, stored.id).await.unwrap();
        }
    }
    assert_eq!(asked, 2 * operations().len() + operations_of_core().len());
    assert_eq!(egress.control(|receiver| receiver.all_requests()).await.unwrap().len(), 0);
}
