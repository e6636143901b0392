// The ten operations on the base that Qlik's client was built for.
import { operations } from './webhooks.js';
import { V1 } from './stack.js';

operations(V1);
