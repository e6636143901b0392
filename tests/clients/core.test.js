// The ten operations on the newer base path.

import { CORE, callCore } from './stack.js';
import { operations } from './webhooks.js';

callCore();
operations(CORE);
