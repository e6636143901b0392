// The ten operations on the base path that Qlik's client was built for.

import { V1 } from './stack.js';
import { operations } from './webhooks.js';

operations(V1);
