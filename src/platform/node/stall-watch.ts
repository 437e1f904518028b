// Watches the event loop from another thread and looks what is running when it does not turn: stall-watcher.ts is that thread. It costs a
// look fifty times a second, four times while the machine sleeps; the profiler runs only during a stall.
import { Worker } from 'node:worker_threads';
import { noteStallStack, setLoopBeats } from '../../trace/stalls.ts';

/** A short run needs no watcher: it would cost it more than it tells. */
const START_MS = 1000;

export interface StallWatch {
  stop(): void;
}

export function watchStalls(startMs = START_MS): StallWatch {
  let worker: Worker | undefined;
  const timer = setTimeout(() => {
    const beats = new Int32Array(new SharedArrayBuffer(8));
    setLoopBeats(beats as Int32Array<ArrayBufferLike> as Int32Array<ArrayBuffer>);
    const resourceLimits = { maxYoungGenerationSizeMb: 2 };
    worker = new Worker(new URL('./stall-watcher.js', import.meta.url), { workerData: beats, resourceLimits });
    worker.unref();
    worker.on('message', (frames: readonly string[]) => noteStallStack(frames.join(' < ')));
    worker.on('error', () => {}); // without it there are only no stacks
  }, startMs).unref();
  return { stop() {
    clearTimeout(timer);
    void worker?.terminate();
  } };
}
