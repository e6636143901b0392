// The ten operations on the base that follows.

import { CORE, callCore } from './stack.js';
import { operations } from './webhooks.js';

callCore();
operations(CORE);
