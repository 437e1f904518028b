// System calls of Linux that Node has no function for, through koffi, an optional dependency with prebuilt binaries. Loading it
// takes about as long as a small command runs, so it is loaded with the first call. Undefined where it is not installed, or
// where our structures were not checked: then holes are not seen and locks not taken.
import { createRequire } from 'node:module';

/** Each call returns what the C function does, or minus errno. */
export interface SystemCalls {
  lseek(fd: number, offset: number, whence: number): number;
  fallocate(fd: number, mode: number, offset: number, count: number): number;
  posixFallocate(fd: number, offset: number, count: number): number;
  /** madvise(2) with MADV_DONTNEED. */
  discardMemory(bytes: Uint8Array): number;
  /** madvise(2) with MADV_HUGEPAGE. */
  hugePages(bytes: Uint8Array): number;
  fcntl(fd: number, command: number, argument: Uint8Array): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  preadv2(fd: number, vector: Uint8Array, vectorCount: number, offset: number, flags: number): number;
  recv(fd: number, target: Uint8Array, count: number, flags: number): number;
  /** `from` and `to` point to 64-bit offsets, which the call advances. */
  copyFileRange(fdFrom: number, from: Uint8Array, fdTo: number, to: Uint8Array, count: number, flags: number): number;
  /** Where bytes lie in memory. */
  address(bytes: Uint8Array): number;
  /** The same calls on another thread. */
  readonly pooled: {
    fallocate(fd: number, mode: number, offset: number, count: number): Promise<number>;
    posixFallocate(fd: number, offset: number, count: number): Promise<number>;
    ioctl(fd: number, request: number, argument: Uint8Array): Promise<number>;
    copyFileRange(fdFrom: number, from: Uint8Array, fdTo: number, to: Uint8Array, count: number, flags: number): Promise<number>;
    /** usleep(3), less than a second. */
    sleep(us: number): Promise<number>;
  };
}

/** The part of koffi that we use. */
interface Koffi {
  load(path: string | null): { func(prototype: string): NativeFunction };
  errno(): number;
  address(bytes: Uint8Array): bigint;
}
interface NativeFunction {
  (...values: unknown[]): number;
  async(...values: unknown[]): void;
}

let calls: SystemCalls | undefined;
let wasAsked = false;

export function systemCalls(): SystemCalls | undefined {
  if (!wasAsked) {
    wasAsked = true;
    calls = load();
  }
  return calls;
}

function load(): SystemCalls | undefined {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) return undefined;
  try {
    return bind(createRequire(import.meta.url)('koffi') as Koffi);
  } catch {
    return undefined; // not installed, or no binary for this system
  }
}

const EINTR = 4;
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;

function bind(koffi: Koffi): SystemCalls {
  const libc = koffi.load(null);
  const lseek = libc.func('int64_t lseek(int fd, int64_t offset, int whence)');
  const fallocate = libc.func('int fallocate(int fd, int mode, int64_t offset, int64_t count)');
  const posixFallocate = libc.func('int posix_fallocate(int fd, int64_t offset, int64_t count)');
  const fcntl = libc.func('int fcntl(int fd, int command, void *argument)');
  const ioctl = libc.func('int ioctl(int fd, unsigned long request, void *argument)');

  const preadv2 = libc.func('int64_t preadv2(int fd, void *vector, int vectorCount, int64_t offset, int flags)');
  const recv = libc.func('int64_t recv(int fd, void *target, size_t count, int flags)');
  const copyFileRange = libc.func('int64_t copy_file_range(int from, void *fromAt, int to, void *toAt, size_t count, unsigned int flags)');

  const usleep = libc.func('int usleep(unsigned int us)');
  const madvise = libc.func('int madvise(uint64_t address, size_t bytes, int advice)');

  const checked =
    (call: NativeFunction) =>
    (...values: unknown[]): number => {
      for (;;) {
        const result = call(...values);
        if (result >= 0) return result;
        const errno = koffi.errno();
        if (errno !== EINTR) return -errno;
      }
    };
  // The other thread's errno is not to be had: a call that failed is made again here, where it fails at once again.
  const pooled =
    (call: NativeFunction, again: (...values: unknown[]) => number) =>
    (...values: unknown[]): Promise<number> =>
      new Promise((resolve, reject) => {
        call.async(...values, (error: Error | null, result: number) => {
          if (error !== null) reject(error);
          else resolve(result < 0 ? again(...values) : result);
        });
      });
  const negated =
    (call: (...values: unknown[]) => number) =>
    (...values: unknown[]): number =>
      -call(...values); // posix_fallocate returns errno itself

  const allocateNow = negated(posixFallocate);
  return {
    lseek: checked(lseek),
    fallocate: checked(fallocate),
    posixFallocate: allocateNow,
    fcntl: checked(fcntl),
    ioctl: checked(ioctl),
    preadv2: checked(preadv2),
    recv: checked(recv),
    copyFileRange: checked(copyFileRange),
    discardMemory: (bytes) => checked(madvise)(koffi.address(bytes), bytes.length, MADV_DONTNEED),
    hugePages: (bytes) => checked(madvise)(koffi.address(bytes), bytes.length, MADV_HUGEPAGE),
    address: (bytes) => Number(koffi.address(bytes)), // user space has 47 bits
    pooled: {
      fallocate: pooled(fallocate, checked(fallocate)),
      posixFallocate: async (...values) => {
        const result = await pooled(posixFallocate, posixFallocate)(...values);
        return -result;
      },
      ioctl: pooled(ioctl, checked(ioctl)),
      copyFileRange: pooled(copyFileRange, checked(copyFileRange)),
      sleep: pooled(usleep, () => 0), // what a signal interrupts is over
    },
  };
}
