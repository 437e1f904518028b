// Runs the conformance rules (conformance.ts) on every device (conformance-subjects.ts).
import { describe, test } from 'node:test';
import { fuzzDevices } from './conformance.ts';
import { deviceSubjects } from './conformance-subjects.ts';

describe('every device fulfils the conformance rules', () => {
  for (const name of Object.keys(deviceSubjects)) test(name, () => fuzzDevices(1, 40, name));
});
