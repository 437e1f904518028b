// What the profiler knows of a running Linux: where its code lies (it may have been moved at the start), its symbols, and the name of the
// task that runs. No offset of a structure is taken for granted: the place of a task's name is where init_task has "swapper".
import { cpuOffset } from '../cpu/x86/state.ts';
import { SAMPLE_NAME_BYTES } from '../memory/memory-map.ts';
import { addressAt } from './address.ts';
import type { GuestMemory } from './guest-memory.ts';
import { KernelImage } from './kallsyms.ts';
import { LinuxModules } from './linux-modules.ts';
import { SymbolTable, type SymbolSource } from './symbols.ts';
import { UNWINDER_SYMBOLS } from './unwinder.ts';

/** Where system calls enter, by the MSR that says so. */
const ENTRY_64 = ['entry_SYSCALL_64'];
const ENTRY_32 = ['entry_SYSENTER_32', 'ia32_sysenter_target'];
const PAGE = 4096;
/** Of memory that is searched for symbols, so much at each look: it takes 2 ms the first time, then a fraction of one. */
const SEARCHED_BYTES = 2 << 20;
/** Behind the entry of system calls, and before it for 32-bit kernels, whose read-only data may lie there. */
const IMAGE_BYTES_MAX = 64 << 20;
const TASK_BYTES_MAX = 16 * 1024;
/** pcpu_hot is a line of the processor's cache. */
const HOT_BYTES = 64;
const DATA_SYMBOLS = [
  'init_task', 'current_task', 'pcpu_hot', '__per_cpu_offset', 'modules', 'hardirq_stack_ptr', 'swapper_pg_dir', 'init_top_pgt',
];
/** Calls between two looks for a kernel that is not found. */
const PAUSE_MAX = 256;

export class LinuxKernel {
  readonly modules: LinuxModules;
  readonly #memory: GuestMemory;
  readonly #area: number;
  readonly #given: SymbolSource | undefined;
  #table: SymbolTable | undefined;
  #tableEntry = Number.NaN;
  #isLinux = false;
  #currentTask = Number.NaN;
  #nameOffset = -1;
  #pointerBytes: 4 | 8 = 8;
  #interruptStack = Number.NaN;
  /** pcpu_hot, which kernels have from 6.2 on, for a time. */
  #hotArea = Number.NaN;
  #tables = -1;
  /** Entry of system calls that the last look was for, and how many calls of `look` are let pass. */
  #lookedFor = Number.NaN;
  #pause = 0;
  #untilLook = 0;
  /** Where symbols are being looked for. */
  #image: KernelImage | undefined;

  /** `given` are symbols from a file. */
  constructor(memory: GuestMemory, area: number, given: SymbolSource | undefined) {
    this.#memory = memory;
    this.modules = new LinuxModules(memory);
    this.#area = area;
    this.#given = given;
  }

  /** Undefined until the kernel has come so far. */
  get symbols(): SymbolTable | undefined {
    return this.#table;
  }

  get isLinux(): boolean {
    return this.#isLinux;
  }

  get pointerBytes(): 4 | 8 {
    return this.#pointerBytes;
  }

  /** Address of the running task, or NaN. */
  currentTask(): number {
    return Number.isNaN(this.#currentTask) ? Number.NaN : this.#memory.word(this.#currentTask, this.#pointerBytes);
  }

  /** Where the running task's address is; NaN where that is not known. */
  get currentTaskAt(): number {
    return this.#currentTask;
  }

  /** Where in a task its name is; -1 where that is not known. */
  get nameOffset(): number {
    return this.#nameOffset;
  }

  /** Where the address of the interrupt stack's last word is; NaN where that is not known, as it is early in a boot. */
  interruptStackAt(): number {
    if (Number.isNaN(this.#interruptStack)) this.#interruptStack = this.#interruptStackIn(this.#hotArea);
    return this.#interruptStack;
  }

  /** In pcpu_hot it is the word that is an address of the last word in a page. */
  #interruptStackIn(area: number): number {
    for (let at = area; at < area + HOT_BYTES; at += 8) {
      const address = this.#memory.word(at, 8);
      if (address < 0 && (address & (PAGE - 1)) === PAGE - 8) return at;
    }
    return Number.NaN;
  }

  /** Physical address of page tables that have all of the kernel and never end; -1 where they are not known. */
  get tables(): number {
    return this.#tables;
  }

  /** Address of a task's name, or NaN. */
  nameAddress(task: number): number {
    return this.#nameOffset < 0 || Number.isNaN(task) || task === 0 ? Number.NaN : task + this.#nameOffset;
  }

  /** Looks for the kernel, again when another one has been started since. True while that is not done: call again soon. */
  look(): boolean {
    const entry = this.#entry();
    if (entry === this.#tableEntry || entry === 0) {
      if (this.#table === undefined && this.#given !== undefined && !hasEntry(this.#given)) this.#table = new SymbolTable(this.#given);
      return false;
    }
    if (entry !== this.#lookedFor) this.#image = undefined;
    if (this.#image === undefined && this.#mustWait(entry)) return false;
    this.#memory.begin();
    const table = this.#given === undefined ? this.#inMemory(entry) : this.#moved(this.#given, entry);
    if (table === undefined) return this.#image !== undefined;
    this.#tableEntry = entry;
    this.#table = table;
    this.#findTasks(table);
    return false;
  }

  /** A look through memory that finds nothing takes long: each next one comes after twice as many calls. */
  #mustWait(entry: number): boolean {
    if (entry !== this.#lookedFor) this.#pause = this.#untilLook = 0;
    this.#lookedFor = entry;
    if (--this.#untilLook > 0) return true;
    this.#pause = Math.min(PAUSE_MAX, Math.max(1, this.#pause * 2));
    this.#untilLook = this.#pause;
    return false;
  }

  #entry(): number {
    const { words } = this.#memory;
    const at = (field: string): number => addressAt(words, (this.#area + cpuOffset(field)) >> 2);
    const isLong = (words[(this.#area + cpuOffset('efer')) >> 2]! & (1 << 10)) !== 0;
    this.#pointerBytes = isLong ? 8 : 4;
    return isLong ? at('msrLstar') : at('msrSysenterEip');
  }

  #moved(source: SymbolSource, entry: number): SymbolTable | undefined {
    const names = this.#pointerBytes === 8 ? ENTRY_64 : ENTRY_32;
    const [built] = source.find(names).values();
    if (built === undefined) return undefined;
    return (entry - built) % PAGE === 0 ? new SymbolTable(source, entry - built) : undefined;
  }

  /** The kernel's image is in one piece of memory; its own table must know where system calls enter. */
  #inMemory(entry: number): SymbolTable | undefined {
    this.#image ??= this.#imageAround(entry);
    const source = this.#image?.search(SEARCHED_BYTES);
    if (source === 'unfinished') return undefined;
    this.#image = undefined;
    if (source === undefined) return undefined;
    const table = new SymbolTable(source);
    const entries = this.#pointerBytes === 8 ? ENTRY_64 : ENTRY_32;
    const found = table.find([...entries, ...DATA_SYMBOLS, ...UNWINDER_SYMBOLS]); // all that anybody will ask for
    return entries.some((name) => found.get(name) === entry) ? table : undefined;
  }

  #imageAround(entry: number): KernelImage | undefined {
    const physical = this.#memory.physical(entry);
    if (physical < 0) return undefined;
    const first = Math.max(0, (physical & ~(PAGE - 1)) - (this.#pointerBytes === 8 ? 0 : IMAGE_BYTES_MAX / 2));
    return new KernelImage(this.#memory.physicalBytes(first, IMAGE_BYTES_MAX), this.#pointerBytes);
  }

  #findTasks(table: SymbolTable): void {
    this.#isLinux = true;
    const found = table.find(DATA_SYMBOLS);
    this.#tables = this.#memory.physical(found.get('init_top_pgt') ?? found.get('swapper_pg_dir') ?? Number.NaN);
    // The split of a module's memory came soon after pcpu_hot.
    const head = found.get('modules') ?? Number.NaN;
    this.modules.use({ head, pointerBytes: this.#pointerBytes, tables: this.#tables, isSplit: found.has('pcpu_hot') });
    const task = found.get('init_task');
    const perCpu = this.#memory.word(found.get('__per_cpu_offset') ?? Number.NaN, this.#pointerBytes);
    const current = found.get('current_task') ?? found.get('pcpu_hot');
    this.#nameOffset = task === undefined ? -1 : this.#findName(task);
    if (current === undefined || Number.isNaN(perCpu) || this.#nameOffset < 0) return;
    // On 64-bit kernels such a symbol is a distance within the processor's area, which is not moved with the image.
    const inArea = (symbol: number): number => (this.#pointerBytes === 8 ? symbol - table.offset : symbol) + perCpu;
    this.#currentTask = inArea(current);
    this.#interruptStack = inArea(found.get('hardirq_stack_ptr') ?? Number.NaN);
    this.#hotArea = this.#pointerBytes === 8 ? inArea(found.get('pcpu_hot') ?? Number.NaN) : Number.NaN;
  }

  #findName(task: number): number {
    for (let offset = 0; offset < TASK_BYTES_MAX; offset += 4) {
      const isName = this.#memory.u32(task + offset) === 0x70617773 && (this.#memory.u32(task + offset + 4) & 0xffffff) === 0x726570;
      if (isName) return offset;
    }
    return -1;
  }

  /** A task's name as text; '' where there is none that can be printed. */
  taskName(address: number): string {
    return this.#memory.text(address, SAMPLE_NAME_BYTES);
  }
}

const hasEntry = (source: SymbolSource): boolean => source.find([...ENTRY_64, ...ENTRY_32]).size > 0;
