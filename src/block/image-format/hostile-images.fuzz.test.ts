// The fuzzers of vdi, vpc, vhdx and vmdk for a moment.
import { test } from 'node:test';
import { testHost } from '../../../test/block/format-fixture.ts';
import { fuzzVdi } from '../vdi/vdi.fuzz.ts';
import { fuzzVhdx } from '../vhdx/vhdx.fuzz.ts';
import { fuzzVmdk } from '../vmdk/vmdk.fuzz.ts';
import { fuzzVpc } from '../vpc/vpc.fuzz.ts';

const CASES = 60;

for (const [name, fuzz] of Object.entries({ vdi: fuzzVdi, vpc: fuzzVpc, vhdx: fuzzVhdx, vmdk: fuzzVmdk })) {
  test(`hostile ${name} images end in a result or a Failure`, () => fuzz(testHost(), 1, CASES));
}
