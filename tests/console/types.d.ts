// Types for the type checker: the API's answers as the console reads them, and the members that tests add to the page. Not shipped.

type Level = "tenant" | "user";
type Status = "success" | "fail";

interface Health {
  state: "healthy" | "failing" | "warning";
  lane: "fast" | "slow";
  consecutiveFailures: number;
  failingSince?: string;
}

interface Webhook {
  id: string;
  name: string;
  description?: string;
  url: string;
  eventTypes: string[];
  level: Level;
  ownerId: string;
  filter?: string;
  headers: Record<string, string>;
  encryptedHeaders: string[];
  secretKeyAdded: boolean;
  enabled: boolean;
  disabledReason?: string;
  disabledReasonCode?: string;
  enableCloudEventDelivery: boolean;
  health?: Health;
  origin: string;
  createdAt: string;
  updatedAt: string;
}

/** A webhook in the form, before it has an ID. */
type WebhookDraft = Pick<
  Webhook,
  | "name"
  | "description"
  | "url"
  | "eventTypes"
  | "level"
  | "ownerId"
  | "filter"
  | "headers"
  | "encryptedHeaders"
  | "secretKeyAdded"
  | "enabled"
  | "enableCloudEventDelivery"
>;

interface Counts {
  success: number;
  fail: number;
}

interface NoDeliveryReason {
  code: "disabled" | "no_event_types" | "no_events" | "level" | "filter";
  since?: string;
  lastEventAt?: string;
}

interface Stats {
  days: (Counts & { date: string })[];
  last24Hours: Counts;
  lastDelivery?: { status: Status; triggeredAt: string; eventType: string };
  complete?: boolean;
  silence?: { reasons: NoDeliveryReason[] };
}

interface EventType {
  name: string;
  title: string;
  description: string;
  category: string;
  levels: Level[];
}

interface DeliveryResponse {
  statusCode: number;
  headers: Record<string, string>;
  body: string;
  bodyTruncated: boolean;
  bodyError?: string;
}

interface Delivery {
  id: string;
  webhookId: string;
  eventType: string;
  triggeredAt: string;
  status: Status;
  statusMessage?: string;
  failure?: string;
  attempt: number;
  trigger: string;
  durationMs: number;
  nextAttemptAt?: string;
  request: { url: string; headers: Record<string, string>; body: unknown };
  response?: DeliveryResponse;
}

interface Recovery {
  id: string;
  status: "running" | "done" | "stopped";
  since: string;
  found: number;
  requeued: number;
  skipped: number;
}

/** An item of `errors`. The gateway and older versions send no `rule`. */
interface ErrorItem {
  code: string;
  title: string;
  detail?: string;
  field?: string;
  rule?: string;
  params?: Record<string, unknown>;
}

/** Content of `config.json`. */
interface Config {
  signInUrl: string | null;
  hostedUiUrl: string | null;
  clientId: string | null;
  issuer: string;
  tenantClaim: string;
  rolesClaim: string;
  adminRole: string;
  webhookCap: number;
}

interface User {
  id: string;
  name: string;
  tenant: string;
  admin: boolean;
}

interface Window {
  /** The request of early.js for the webhooks of the first view. */
  early?: { path: string; idToken: string; response: Promise<Response | null> };
  /** The members below are added by tests. */
  axe: typeof import("axe-core");
  firstView?: number;
  noteViolation(text: string): void;
}

// Dependencies of tests/clients, which are not installed for the type check.
declare module "@qlik/api";
declare module "@qlik/api/interceptors";
declare module "cloudevents";
declare module "standardwebhooks";
