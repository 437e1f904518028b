// A machine: the board, one vCPU, guest time, and the loop that gives the processor its slices between the devices'
// deadlines. The life cycle is here (start, pause, reset, power-off, exit); what the parts do is theirs.
// The host comes in as a MachineHost; platform/node/machine.ts is the form that users import.
import { assert } from '../base/assert.ts';
import { Failure } from '../base/failure.ts';
import { TimerQueue } from '../bus/timer-queue.ts';
import { cpuFeatures } from '../cpu/x86/cpuid.ts';
import { cpuOffset, REQUEST } from '../cpu/x86/state.ts';
import { DEFAULT_REGION_OPTIONS, type RegionOptions } from '../cpu/translator/regions.ts';
import { Vcpu, type VcpuPorts, type WasmModules } from '../cpu/vcpu.ts';
import { boardModel, type BoardModel } from '../machine/board-model.ts';
import type { VirtioBalloon } from '../devices/virtio/virtio-balloon.ts';
import type { Board } from '../machine/board.ts';
import { GUEST_RAM, GUEST_RAM_BYTES_MAX } from '../memory/memory-map.ts';
import { PhysicalMap } from '../memory/physical-map.ts';
import { defineEvents } from '../trace/event.ts';
import { requestContext } from '../trace/request.ts';
import { ACTIVITY, beginActivity, endActivity } from '../trace/activity.ts';
import { beginTurn, endTurn, heldSince, loopNs, setLoopClock, stallCount } from '../trace/stalls.ts';
import { timeUse } from '../trace/time-use.ts';
import { lastingWaitsLine } from '../trace/waits.ts';
import type { WallClock } from '../ports/clock.ts';
import { buildBios, hasFirmware, loadBootImages, placeBootImages, type BootImages } from './boot.ts';
import { MachineConsole } from './console.ts';
import { HostDrivenClock, InstructionClock } from './guest-clock.ts';
import { attachLog } from './log.ts';
import { boardChoices, withDefaults, type CompleteMachineOptions, type ExitReason, type MachineOptions } from './options.ts';
import { addFlash, loadFlash, type FlashImage } from './flash.ts';
import { addDevices } from './devices/add-devices.ts';
import { BusTree } from './devices/bus-tree.ts';
import { MachineDrives } from './drives/machine-drives.ts';
import type { MachineHost } from './machine-host.ts';

/** Closing that takes longer says what it waits for. */
const CLOSING_NS_UNTOLD = 3e9;
const WASM_PAGE_BYTES = 65536;
const NS_PER_MS = 1e6;
/** The processor runs at most this long before devices and the event loop have a turn. */
const SLICE_NS_MAX = NS_PER_MS;
/** The same while the host is at work for a drive: what ends there is seen only between slices. */
const SLICE_NS_BUSY = NS_PER_MS / 10;
/** The event loop has its turn after so long: the guest's timers make most slices shorter, and a turn costs 15 us. */
const TURN_NS_MIN = NS_PER_MS / 2;
const SLICE_INSTRUCTIONS_MIN = 500;
const SLICE_INSTRUCTIONS_START = 20_000;
const SLICE_INSTRUCTIONS_MAX = 2_000_000;
const TSC_KHZ = 1_000_000;
const MSR_TSC = 0x10;

const loopTrace = defineEvents('loop', {
  turnBegin: '', turnEnd: '', timersBegin: '', timersEnd: 'fired {fired}', idle: 'until {untilNs} of guest time',
});
const vcpuTrace = defineEvents('vcpu', {
  enter: 'cpu {cpu} budget {budget}', leave: 'cpu {cpu} reason {reason:str} executed {executed}',
  interruptRaised: 'cpu {cpu}', interruptDelivered: 'cpu {cpu} vector {vector}',
});

type Run = 'created' | 'running' | 'paused' | 'ended';
/** Why a machine does not run. */
export type PauseReason = 'paused' | 'prelaunch' | 'shutdown' | 'io-error';

/** `-d exec` shows every block, so nothing is translated then. */
function regionOptions({ accelerator, log }: CompleteMachineOptions): RegionOptions {
  const { translate, promoteAt, translationBytesMax } = accelerator;
  const traced = log?.items.includes('exec') ?? false;
  return {
    promoteAt: translate && !traced ? (promoteAt ?? DEFAULT_REGION_OPTIONS.promoteAt) : 0,
    moduleBytesMax: translationBytesMax ?? DEFAULT_REGION_OPTIONS.moduleBytesMax,
    counting: accelerator.counting ?? false,
    limits: DEFAULT_REGION_OPTIONS.limits,
    sampling: false,
  };
}

/** What has been read and opened before the machine is built. */
interface OpenedFiles {
  readonly images: BootImages;
  readonly drives: MachineDrives;
  readonly flash: readonly FlashImage[];
}

export class Machine {
  readonly options: CompleteMachineOptions;
  readonly console: MachineConsole;
  readonly exited: Promise<ExitReason>;
  readonly vcpu: Vcpu;
  readonly model: BoardModel;
  readonly board: Board;
  readonly memory: PhysicalMap;
  readonly drives: MachineDrives;
  /** None or one. */
  readonly balloons: VirtioBalloon[] = [];
  readonly #platform: MachineHost;
  readonly #clock: HostDrivenClock | InstructionClock;
  readonly #timers: TimerQueue;
  readonly #images: BootImages;
  /** Firmware is in flash memory. */
  readonly #flashed: boolean;
  /** Called with every exception and interrupt delivered, for counted profiles. */
  onInterrupt: ((vector: number, error: number, kind: number) => void) | undefined;
  readonly #log: ReturnType<typeof attachLog>;
  #run: Run = 'created';
  #pauseReason: PauseReason = 'prelaunch';
  #resolveExit!: (reason: ExitReason) => void;
  #sleeping: { cancel(): void } | undefined;
  #scheduled = false;
  #inSlice = false;
  #sliceEndNs = 0;
  /** Measured speed, instructions per nanosecond. */
  #speed = SLICE_INSTRUCTIONS_START / SLICE_NS_MAX;
  #pendingReset = false;
  #resets = 0;
  #pendingInit = false;
  #pendingExit: ExitReason | undefined;

  /** Reads the files, builds the board, and loads what is booted. Throws Failure for what the user can mend. */
  static async createOn(platform: MachineHost, options: MachineOptions): Promise<Machine> {
    const complete = withDefaults(options);
    checkOptions(complete);
    const [support, interpreter, images] = await Promise.all([
      platform.readModule('support.wasm'), platform.readModule('interpreter.wasm'), loadBootImages(platform, complete),
    ]);
    const modules = { support: new WebAssembly.Module(support), interpreter: new WebAssembly.Module(interpreter) };
    const drives = await MachineDrives.open(await platform.driveHost(complete), complete);
    try {
      const flash = await loadFlash(drives, complete);
      return new Machine(platform, complete, modules, { images, drives, flash });
    } catch (error) {
      await drives.close();
      throw error;
    }
  }

  private constructor(platform: MachineHost, options: CompleteMachineOptions, modules: WasmModules, opened: OpenedFiles) {
    this.options = options;
    const { images, drives, flash } = opened;
    this.drives = drives;
    drives.onStop = () => this.pause('io-error');
    drives.onWait = () => { if (this.#inSlice) this.vcpu.raise(REQUEST.EXIT); };
    this.#platform = platform;
    this.#flashed = flash.length > 0;
    this.exited = new Promise((resolve) => { this.#resolveExit = resolve; });
    const pages = (GUEST_RAM + options.ramBytes) / WASM_PAGE_BYTES;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    platform.useLargePages?.(new Uint8Array(memory.buffer));
    this.memory = new PhysicalMap(memory.buffer as SharedArrayBuffer, options.ramBytes);

    this.#clock = options.icount === undefined
      ? new HostDrivenClock(() => platform.hostNs())
      : new InstructionClock(
          () => (this.vcpu === undefined ? 0 : this.vcpu.instructionsNow), // while the board is being built there is none
          options.icount.shift === 'auto' ? 3 : options.icount.shift,
        );
    this.#timers = new TimerQueue(this.#clock, () => this.#deadlineCameNearer());
    this.console = new MachineConsole((ms, callback) => {
      const wait = platform.sleep(ms * NS_PER_MS, callback, false);
      return () => wait.cancel();
    });
    const serials = options.serials.length > 0 ? options.serials : [this.console.backend];
    this.model = boardModel(options.machine.type)!;
    const { acpi, hpet } = options.machine;
    this.board = this.model.build({
      memory: this.memory, timers: this.#timers, serials, acpi, hpet, ...boardChoices(options.machine),
      wall: this.#wallClock(),
      cpu: {
        raise: () => this.#interrupt(),
        nmi: () => this.#request(REQUEST.NMI),
        smi: () => {},
        init: () => this.#init(),
        startUp: () => {},
      },
      timeOfTsc: (low, high) => this.#timeOfTsc(low, high),
      a20: (open) => this.#setA20(open),
      reset: () => this.reset(),
      sleep: (type) => this.#sleepState(type),
    });
    const features = cpuFeatures(options.cpu.model, featureOverrides(options));
    this.vcpu = new Vcpu(0, memory, modules, features, this.#ports(), regionOptions(options));
    setLoopClock(() => platform.hostNs());
    this.vcpu.regions.nowMs = () => platform.hostNs() / NS_PER_MS;
    if (options.accelerator.oneInstructionBlocks === true) this.vcpu.translator.instructionsMax = 1;
    this.memory.invalidate = (physical, size) => this.#invalidate(physical, size);
    this.memory.codeWritten = (physical, size) => this.vcpu.support.codeWritten(physical, size);
    this.board.shadow.mapMemory();
    addFlash(this.board, this.memory, flash);
    addDevices({
      board: this.board, buses: new BusTree(), drives, timers: this.#timers,
      ram: { ramBytes: options.ramBytes, discard: (address, size) => this.#discardRam(address, size) }, balloons: this.balloons,
      fillRandom: (target) => { for (let at = 0; at < target.length; at++) target[at] = platform.randomU32(); },
      exit: (code) => this.#end({ kind: 'debug-exit', code }),
    }, options.devices);
    if (images.kernel === undefined && images.rom === undefined && !this.#flashed) {
      const { model, board, memory: ram, vcpu } = this;
      const wires = { clock: this.#timers, yield: () => this.#kick(), reset: () => this.reset(), isFirstStart: () => this.#resets <= 1 };
      this.#images = { ...images, rom: buildBios(options, { model, board, memory: ram, vcpu, ...wires }) };
    } else this.#images = images;
    this.#log = attachLog(this.vcpu, options.log);
    this.#powerOn();
  }

  #ports(): VcpuPorts {
    const { board } = this;
    const { mmio, ports } = board.bus;
    return {
      mmioRead: (physical, size) => mmio.read(physical, size),
      mmioWrite: (physical, size, value) => mmio.write(physical, size, value),
      portRead: (port, size) => ports.read(port, size),
      portWrite: (port, size, value) => ports.write(port, size, value),
      portReadRun: (port, size, target) => ports.readRun(port, size, target),
      portWriteRun: (port, size, source) => ports.writeRun(port, size, source),
      guestNanoseconds: () => this.#clock.now(),
      apicMsrRead: (index) => {
        if (!board.apicMsrs.read(index)) return false;
        this.vcpu.set64('scratch0', (BigInt(board.apicMsrs.high >>> 0) << 32n) | BigInt(board.apicMsrs.low >>> 0));
        return true;
      },
      apicMsrWrite: (index) => {
        if (index !== MSR_TSC) return board.apicMsrs.write(index, this.vcpu.get32('scratch0'), this.vcpu.get32High('scratch0'));
        board.apic.tscChanged();
        return true;
      },
      taskPriorityRead: () => board.apic.state.tpr >> 4,
      taskPriorityWrite: (value) => board.apic.setTaskPriority(value << 4),
      randomU32: () => this.#platform.randomU32(),
      traceInterrupt: (vector, error, kind) => {
        this.#log.interrupt(vector, error, kind);
        this.onInterrupt?.(vector, error, kind);
      },
      acknowledgeInterrupt: () => {
        const vector = board.apic.interruptPending() ? board.apic.acknowledge() : -1;
        vcpuTrace.interruptDelivered?.({ cpu: 0, vector });
        if (!board.apic.interruptPending()) this.vcpu.lowerInterrupt();
        return vector;
      },
    };
  }

  #wallClock(): WallClock {
    const { base } = this.options.rtc;
    if (base === 'localtime') return this.#platform.localClock;
    if (base === 'utc') return this.#platform.wallClock;
    return { nowMs: () => base.startMs + this.#clock.now() / NS_PER_MS };
  }

  #timeOfTsc(low: number, high: number): number {
    const offset = this.vcpu.get64('msrTscOffset');
    const target = ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)) - offset;
    return Number(BigInt.asIntN(64, target)) * (1e6 / TSC_KHZ);
  }

  #setA20(open: boolean): void {
    this.vcpu.set32('a20Mask', open ? 0xffffffff : 0xffefffff);
    this.vcpu.support.flushTlb();
  }

  /** Pages changed under the processor: decoded code and translations of them go. */
  #invalidate(physical: number, size: number): void {
    const { vcpu, memory } = this;
    for (let page = physical >>> 12; page < (physical + size + 4095) / 4096; page++) {
      if (memory.hasCode(page)) vcpu.support.codeWritten(page * 4096, 4096);
    }
    vcpu.support.flushTlb();
  }

  /** What the guest has no use for: its bytes are gone, and the host gets the pages where it can take them. */
  #discardRam(address: number, size: number): void {
    const bytes = this.memory.view(address, size);
    if (bytes === undefined) return;
    this.#platform.discardMemory?.(bytes);
    this.memory.written(address, size);
  }

  // --- life cycle

  /** Puts everything in the state of power-on, boot images included. */
  #powerOn(): void {
    this.board.devices.reset();
    this.vcpu.reset();
    this.vcpu.set32('a20Mask', 0xffffffff);
    this.vcpu.set32('tscKhz', TSC_KHZ);
    const { model, board, memory, vcpu } = this;
    placeBootImages(this.#images, this.options, { model, board, memory, vcpu, flashed: this.#flashed }, this.#resets++);
    this.#log.reset();
  }

  start(): void {
    if (this.#run !== 'created') return;
    if (this.options.startStopped) {
      this.#run = 'paused';
      return;
    }
    this.#resume();
  }

  #resume(): void {
    this.#run = 'running';
    if (this.#clock instanceof HostDrivenClock) this.#clock.start();
    this.drives.retry();
    this.#schedule();
  }

  /** What the machine does, or why it does nothing. */
  get runState(): 'running' | PauseReason {
    return this.#run === 'running' ? 'running' : this.#pauseReason;
  }

  pause(reason: PauseReason = 'paused'): void {
    if (this.#run !== 'running') return;
    this.#run = 'paused';
    this.#pauseReason = reason;
    // A stopped machine has nothing that is not on the media.
    this.drives.flush().catch((error: unknown) => this.#platform.warn(`a drive could not be flushed: ${String(error)}`));
    if (this.#clock instanceof HostDrivenClock) this.#clock.stop();
    this.#kick();
  }

  resume(): void {
    if (this.#run === 'paused') this.#resume();
    else if (this.#run === 'created') this.start();
  }

  /** Resets at the next turn of the loop, or ends the machine under `noReboot`. */
  reset(): void {
    this.#pendingReset = true;
    this.#kick();
    if (this.#run === 'paused') this.#takeRequests();
  }

  /** QUIRK: without a ROM there is nothing at the reset vector, so INIT resets the machine. */
  #init(): void {
    if (!hasFirmware(this.#images, { flashed: this.#flashed })) return this.reset();
    this.#pendingInit = true;
    this.#kick();
  }

  powerButton(): void {
    this.board.pm?.pressPowerButton();
  }

  /** Ends the machine; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#end({ kind: 'stopped', code: 0 });
    if (!this.#inSlice) this.#takeRequests();
    await this.exited;
  }

  #sleepState(type: number): void {
    if (type !== 0) return;
    if (this.options.noShutdown) {
      this.pause('shutdown');
      return;
    }
    this.#end({ kind: 'poweroff', code: 0 });
  }

  #end(reason: ExitReason): void {
    this.#pendingExit ??= reason;
    this.#kick();
    if (this.#run !== 'running') this.#takeRequests();
  }

  /** Carries out resets and ends that were asked for in the middle of something. False when the machine has ended. */
  #takeRequests(): boolean {
    if (this.#run === 'ended') return false;
    if (this.#pendingReset && this.#pendingExit === undefined) {
      if (!this.options.noReboot && this.drives.busy) return this.#resetLater();
      this.#pendingReset = false;
      if (this.options.noReboot) this.#pendingExit = { kind: 'reset', code: 0 };
      else this.#powerOn();
    }
    if (this.#pendingExit === undefined) {
      if (this.#pendingInit) this.vcpu.init();
      this.#pendingInit = false;
      return true;
    }
    this.#run = 'ended';
    this.#sleeping?.cancel();
    this.console.end();
    void this.#closeDrives(this.#pendingExit);
    return false;
  }

  /** A request in flight still writes into memory that the reset machine may use for something else: that is waited for. */
  #resetLater(): false {
    void this.drives.idle().then(() => {
      if (this.#run === 'running') this.#schedule();
      else this.#takeRequests();
    });
    return false;
  }

  /** What the guest wrote is on the media before the machine is said to have ended. */
  async #closeDrives(reason: ExitReason): Promise<void> {
    const patience = this.#platform.sleep(CLOSING_NS_UNTOLD, () => {
      this.#platform.warn(`the images are not closed yet: ${lastingWaitsLine()}`);
    }, false);
    try {
      await this.drives.close();
      this.#resolveExit(reason);
    } catch (error) {
      this.#platform.warn(`an image could not be closed: ${error instanceof Error ? error.message : String(error)}`);
      this.#resolveExit({ kind: 'error', code: 1 });
    } finally {
      patience.cancel();
    }
  }

  // --- the loop

  #interrupt(): void {
    vcpuTrace.interruptRaised?.({ cpu: 0 });
    this.#request(REQUEST.INTERRUPT);
  }

  #request(bit: number): void {
    if (this.vcpu === undefined) return; // while the board is being built
    this.vcpu.raise(bit);
    if (this.#sleeping !== undefined) this.#schedule();
  }

  /** Ends the slice that is running, or the wait. */
  #kick(): void {
    if (this.#inSlice) this.vcpu.raise(REQUEST.EXIT);
    else if (this.#run === 'running') this.#schedule();
  }

  #deadlineCameNearer(): void {
    if (this.#inSlice) {
      if (this.#timers.nextDeadline() < this.#sliceEndNs) this.vcpu.raise(REQUEST.EXIT);
    } else if (this.#sleeping !== undefined) this.#schedule();
  }

  #schedule(): void {
    this.#sleeping?.cancel();
    this.#sleeping = undefined;
    if (this.#scheduled) return;
    this.#scheduled = true;
    const begun = loopNs();
    this.#platform.nextTurn(() => {
      this.#scheduled = false;
      heldSince(begun, 'event loop', 'between turns');
      this.#turn();
    });
  }

  #turn(): void {
    requestContext.leave(); // the turn may have been asked for in the middle of one
    beginTurn();
    loopTrace.turnBegin?.({});
    const begun = loopNs();
    beginActivity(ACTIVITY.MACHINE);
    this.#runTurn();
    timeUse.turns += loopNs() - begun;
    endActivity(this.#sleeping === undefined ? ACTIVITY.EVENT_LOOP : ACTIVITY.IDLE);
    loopTrace.turnEnd?.({});
    endTurn(!this.#scheduled);
  }

  #runTurn(): void {
    const endNs = loopNs() + TURN_NS_MIN;
    do {
      if (!this.#runOn()) return;
    } while (loopNs() < endNs && !this.drives.busy);
    this.#schedule();
  }

  /** What is due, then a slice; false when the guest does not run on by itself. */
  #runOn(): boolean {
    if (!this.#takeRequests() || this.#run !== 'running') return false;
    loopTrace.timersBegin?.({});
    const fired = this.#timers.runDue(this.#timers.now());
    loopTrace.timersEnd?.({ fired });
    if (!this.#takeRequests() || this.#run !== 'running') return false;
    if (this.vcpu.halted && !this.vcpu.wakeable) {
      this.#idle();
      return false;
    }
    this.#slice();
    return true;
  }

  #idle(): void {
    const deadline = this.#timers.nextDeadline();
    loopTrace.idle?.({ untilNs: deadline === Infinity ? -1 : deadline });
    const { icount } = this.options;
    if (this.#clock instanceof InstructionClock && icount?.sleep !== true && deadline !== Infinity) {
      this.#clock.warpTo(deadline);
      this.#schedule();
      return;
    }
    if (deadline === Infinity) {
      // Nothing will happen by itself: an input or a request wakes the machine.
      this.#sleeping = { cancel: () => {} };
      return;
    }
    this.#sleeping = this.#platform.sleep(Math.max(0, deadline - this.#timers.now()), () => {
      this.#sleeping = undefined;
      if (this.#clock instanceof InstructionClock) this.#clock.warpTo(deadline);
      this.#turn();
    }, !this.drives.busy); // a request that ends must wake the guest at once
  }

  #slice(): void {
    const { vcpu } = this;
    const start = this.#timers.now();
    const longestNs = this.drives.busy ? SLICE_NS_BUSY : SLICE_NS_MAX;
    this.#sliceEndNs = start + longestNs;
    const untilNs = Math.min(longestNs, Math.max(0, this.#timers.nextDeadline() - start));
    const budget = this.#clock instanceof InstructionClock
      ? Math.min(SLICE_INSTRUCTIONS_MAX, Math.max(1, this.#clock.instructionsUntil(start + untilNs)))
      : Math.min(SLICE_INSTRUCTIONS_MAX, Math.max(SLICE_INSTRUCTIONS_MIN, Math.floor(untilNs * this.#speed)));
    const before = vcpu.instructions;
    this.#inSlice = true;
    vcpuTrace.enter?.({ cpu: 0, budget });
    const begun = loopNs();
    const stallsBefore = stallCount();
    let end: ReturnType<Vcpu['runSlice']>;
    try {
      end = vcpu.runSlice(budget);
    } finally {
      this.#inSlice = false;
    }
    timeUse.slices += loopNs() - begun;
    const executed = vcpu.instructions - before;
    vcpuTrace.leave?.({ cpu: 0, reason: end, executed });
    if (stallCount() === stallsBefore) heldSince(begun, 'processor', 'guest code');
    const elapsedNs = this.#timers.now() - start;
    if (executed > SLICE_INSTRUCTIONS_MIN && elapsedNs > 0) {
      // Down at once: cold code behind a fast loop would hold devices up for tens of milliseconds.
      const measured = executed / elapsedNs;
      this.#speed = measured < this.#speed ? measured : this.#speed + (measured - this.#speed) / 8;
    }
    if (end === 'shutdown') this.#tripleFault();
  }

  #tripleFault(): void {
    this.#log.note('Triple fault');
    this.reset();
  }
}

function featureOverrides({ cpu }: CompleteMachineOptions): Record<string, boolean> {
  const overrides: Record<string, boolean> = {};
  for (const { name, value } of cpu.overrides) {
    if (typeof value !== 'boolean') throw new Failure('unsupported', `Property '${cpu.model}-x86_64-cpu.${name}' is not supported yet`);
    overrides[name] = value;
  }
  return overrides;
}

function checkOptions(options: CompleteMachineOptions): void {
  const mib = 1024 * 1024;
  if (options.ramBytes > GUEST_RAM_BYTES_MAX) {
    const wanted = `guest RAM of ${Math.ceil(options.ramBytes / mib)} MiB`;
    throw new Failure('limit', `${wanted} is more than a wasm32 memory has room for: at most ${GUEST_RAM_BYTES_MAX / mib} MiB`);
  }
  const model = boardModel(options.machine.type);
  if (model === undefined) throw new Failure('invalid-argument', `there is no machine '${options.machine.type}'`);
  const firmwareGiven = options.bios !== undefined || (options.machine.pflash ?? []).some((node) => node !== undefined);
  if (!model.firmware && (firmwareGiven || (options.kernel === undefined && !options.builtinGuest))) {
    throw new Failure('unsupported', `machine '${model.name}' boots a kernel and no firmware: give -kernel, and no -bios`);
  }
  if (options.ramBytes > model.ramBytesMax) {
    throw new Failure('limit', `guest RAM of machine '${model.alias ?? model.name}' can be at most ${model.ramBytesMax / mib} MiB`);
  }
  if (options.ramBytes < 2 * mib) throw new Failure('invalid-argument', 'guest RAM is less than 2 MiB');
  if (options.ramBytes % WASM_PAGE_BYTES !== 0) throw new Failure('invalid-argument', 'guest RAM is not a multiple of 64 KiB');
  if (options.cpuCount !== 1) throw new Failure('unsupported', `-smp ${options.cpuCount}: more than one processor is not supported yet`);
  assert(cpuOffset('rax') === 0, 'register 0 lies at the start of the vCPU area');
}
