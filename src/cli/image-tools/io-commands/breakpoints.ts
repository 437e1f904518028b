// The commands for blkdebug's breakpoints: break, remove_break, resume, wait_break.
import { isDebugEvent, type Breakpoints } from '../../../block/debug-events.ts';
import type { BlockNode } from '../../../block/node.ts';
import type { IoCommand, IoEnvironment } from './command.ts';

const NOT_SUPPORTED = 'Operation not supported';
const NOT_FOUND = 'No such file or directory';

/** Those of the nearest node that has some. */
function breakpointsOf({ backend }: IoEnvironment): Breakpoints | undefined {
  for (let node: BlockNode | undefined = backend.node; node !== undefined; node = node.primary?.node) {
    if (node.instance.breakpoints !== undefined) return node.instance.breakpoints;
  }
  return undefined;
}

function setBreakpoint([event = '', tag = '']: readonly string[], environment: IoEnvironment): void {
  const breakpoints = breakpointsOf(environment);
  if (breakpoints === undefined) return environment.fail(`Could not set breakpoint: ${NOT_SUPPORTED}`);
  if (!isDebugEvent(event)) return environment.fail(`Could not set breakpoint: ${NOT_FOUND}`);
  breakpoints.add(event, tag);
}

function removeBreakpoint([tag = '']: readonly string[], environment: IoEnvironment): void {
  const breakpoints = breakpointsOf(environment);
  if (breakpoints?.remove(tag) === true) return;
  environment.fail(`Could not remove breakpoint ${tag}: ${breakpoints === undefined ? NOT_SUPPORTED : NOT_FOUND}`);
}

function resume([tag = '']: readonly string[], environment: IoEnvironment): void {
  const breakpoints = breakpointsOf(environment);
  if (breakpoints?.resume(tag) === true) return;
  environment.fail(`Could not resume request: ${breakpoints === undefined ? NOT_SUPPORTED : NOT_FOUND}`);
}

async function waitForRequest([tag = '']: readonly string[], environment: IoEnvironment): Promise<void> {
  const breakpoints = breakpointsOf(environment);
  // The reference waits for ever here.
  if (breakpoints === undefined) return environment.fail(`Could not wait for request ${tag}: ${NOT_SUPPORTED}`);
  const suspended = breakpoints.suspended(tag).then(() => true);
  const nothingRuns = environment.idle().then(() => false);
  if (!(await Promise.race([suspended, nothingRuns]))) environment.fail(`Could not wait for request ${tag}: ${NOT_FOUND}`);
  await environment.poll();
}

export const BREAKPOINT_COMMANDS: readonly IoCommand[] = [
  {
    name: 'break',
    args: 'event tag',
    summary: 'sets a breakpoint on event and tags the stopped request as tag',
    minArgs: 2,
    maxArgs: 2,
    run: setBreakpoint,
  },
  { name: 'remove_break', args: 'tag', summary: 'remove a breakpoint by tag', minArgs: 1, maxArgs: 1, run: removeBreakpoint },
  { name: 'resume', args: 'tag', summary: 'resumes the request tagged as tag', minArgs: 1, maxArgs: 1, run: resume },
  { name: 'wait_break', args: 'tag', summary: 'waits for the suspension of a request', minArgs: 1, maxArgs: 1, run: waitForRequest },
];
