// Trace events of block nodes. `operation` joins a request of a node to its end; `request` is the guest's (trace/request.ts).
import type { Eventual } from '../base/eventual.ts';
import { beginNamedActivity, endActivity, isActivityWatched } from '../trace/activity.ts';
import { defineEvents } from '../trace/event.ts';
import { requestContext } from '../trace/request.ts';

export const trace = defineEvents('bdrv', {
  coPreadv: 'request {request} operation {operation} node {node:str} driver {driver:str} offset {offset} bytes {bytes}',
  coPwritev: 'request {request} operation {operation} node {node:str} driver {driver:str} offset {offset} bytes {bytes}',
  coPwriteZeroes: 'request {request} operation {operation} node {node:str} driver {driver:str} offset {offset} bytes {bytes}',
  coPdiscard: 'request {request} operation {operation} node {node:str} driver {driver:str} offset {offset} bytes {bytes}',
  coFlush: 'request {request} operation {operation} node {node:str} driver {driver:str} offset {offset} bytes {bytes}',
  coDone: 'request {request} operation {operation} node {node:str} failed {failed}',
});

let operations = 0;

type Kind = 'coPreadv' | 'coPwritev' | 'coPwriteZeroes' | 'coPdiscard' | 'coFlush';

/** Whether somebody wants the events of requests of a kind. */
export const hasEvents = (kind: Kind): boolean => (trace[kind] ?? trace.coDone) !== undefined;

export const isTraced = (kind: Kind): boolean => hasEvents(kind) || isActivityWatched();

interface Traced {
  readonly name: string;
  readonly driver: { readonly name: string };
}

/** A request of a node between its events. */
export function traced<Result extends Eventual<void>>(
  kind: Kind, node: Traced, offset: number, bytes: number, action: () => Result,
): Result {
  const request = requestContext.current;
  const operation = ++operations;
  trace[kind]?.({ request, operation, node: node.name, driver: node.driver.name, offset, bytes });
  const done = (failed: boolean): void => trace.coDone?.({ request, operation, node: node.name, failed });
  let result: Result;
  const doing = beginNamedActivity('block node', node.driver.name);
  try {
    result = action();
  } catch (error) {
    done(true);
    throw error;
  } finally {
    endActivity(doing);
  }
  if (result instanceof Promise) result.then(() => done(false), () => done(true));
  else done(false);
  return result;
}

/** For the profile alone: `action` is a node's work. */
export function during<Result>(driver: string, action: () => Result): Result {
  const doing = beginNamedActivity('block node', driver);
  try {
    return action();
  } finally {
    endActivity(doing);
  }
}
