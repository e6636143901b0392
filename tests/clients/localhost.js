// Every name under `localhost` is this machine (RFC 6761); not every system's resolver knows, so Node asks here first.
// Loaded before everything else: node --import ./localhost.js …
import dns from 'node:dns';

const { lookup } = dns;

dns.lookup = (hostname, options, callback) =>
  /(^|\.)localhost\.?$/i.test(hostname) ? lookup('127.0.0.1', options, callback) : lookup(hostname, options, callback);
