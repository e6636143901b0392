// The page: shows the sign-in form or the webhooks, and keeps them in step with the session.

import { listWebhooks } from "./api.js";
import { claims, keep, signIn, signOut, token } from "./session.js";

const $ = (id) => document.getElementById(id);
const config = await fetch("/console/config.json").then((response) => response.json());

function say(message) {
  $("message").textContent = message ?? "";
  $("message").hidden = !message;
}

function show(view) {
  for (const id of ["sign-in", "use-token", "webhooks"]) $(id).hidden = id !== view;
  $("sign-out").hidden = view !== "webhooks";
  const { email, "cognito:username": name, sub } = view === "webhooks" ? claims(token() ?? "") : {};
  $("who").textContent = email ?? name ?? sub ?? "";
}

function showSignIn(message) {
  signOut();
  say(message);
  $("issuer").textContent = config.issuer;
  show(config.signInUrl ? "sign-in" : "use-token");
}

function cell(content, className) {
  const td = document.createElement("td");
  td.append(content);
  if (className) td.className = className;
  return td;
}

function row(webhook) {
  const types = document.createElement("ul");
  for (const type of webhook.eventTypes) {
    const item = document.createElement("li");
    item.textContent = type;
    types.append(item);
  }
  const status = document.createElement("span");
  status.className = webhook.enabled ? "status" : "status off";
  status.textContent = webhook.enabled ? "Enabled" : "Disabled";
  const created = document.createElement("time");
  created.dateTime = webhook.createdAt;
  created.title = webhook.createdAt;
  created.textContent = new Date(webhook.createdAt).toLocaleString();
  const tr = document.createElement("tr");
  tr.append(cell(webhook.name), cell(webhook.url, "url"), cell(types), cell(webhook.level), cell(status), cell(created, "created"));
  return tr;
}

async function showWebhooks() {
  const current = token();
  if (!current) return showSignIn();
  show("webhooks");
  say();
  $("refresh").disabled = true;
  $("count").textContent = "Loading…";
  try {
    const webhooks = await listWebhooks(current);
    document.querySelector("#webhooks tbody").replaceChildren(...webhooks.map(row));
    $("count").textContent = `${webhooks.length}`;
    $("empty").hidden = webhooks.length > 0;
  } catch (error) {
    $("count").textContent = "";
    if (error.status === 401) return showSignIn("Your session has ended. Sign in again.");
    say(error.message);
  } finally {
    $("refresh").disabled = false;
  }
}

async function submit(event, work) {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  say();
  try {
    await work(new FormData(event.target));
    event.target.reset();
    await showWebhooks();
  } catch (error) {
    say(error.message);
  } finally {
    button.disabled = false;
  }
}

$("sign-in").addEventListener("submit", (event) =>
  submit(event, (form) => signIn(config, form.get("username"), form.get("password"))));
$("use-token").addEventListener("submit", (event) => submit(event, async (form) => {
  keep(form.get("token").trim());
  if (!token()) throw new Error("This is not a token, or it has expired.");
}));
$("sign-out").addEventListener("click", () => showSignIn());
$("refresh").addEventListener("click", showWebhooks);

await showWebhooks();
