// The ten operations on the base that follows.
import { operations } from './webhooks.js';
import { CORE, callCore } from './stack.js';

callCore();
operations(CORE);
