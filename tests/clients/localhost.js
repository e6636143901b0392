// Resolves all names under `localhost` to this machine (RFC 6761), because not every system's resolver does.
// Loaded before everything else: node --import ./localhost.js …
import dns from 'node:dns';

const { lookup } = dns;

dns.lookup = /** @type {typeof lookup} */ (
  (hostname, options, callback) =>
    lookup(/(^|\.)localhost\.?$/i.test(hostname) ? '127.0.0.1' : hostname, options, callback)
);
