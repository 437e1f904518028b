// Messages among local APICs, I/O APICs and devices that signal by memory writes (MSI), and the page through which a
// processor reaches its own local APIC. Not saved: which APICs match is asked of them each time.
import type { Claim, SystemBus } from '../../bus/address-space.ts';
import type { ApicMessages, LocalApic } from './local-apic.ts';
import { APIC_BASE, DELIVERY, ICR, SHORTHAND } from './local-apic-state.ts';
import { localApicRegisters, readPage, writePage } from './local-apic-registers.ts';

const PAGE_BYTES = 4096;
const BROADCAST = 0xff;
const BROADCAST_X2 = 0xffff_ffff;

export class ApicBus implements ApicMessages {
  readonly apics: LocalApic[] = [];
  /** The APIC of the processor whose access is being carried out. */
  current: LocalApic | undefined;
  readonly #eoiListeners: ((vector: number) => void)[] = [];
  readonly #page: Claim;

  constructor(bus: SystemBus) {
    this.#page = bus.mmio.claimUnmapped({
      base: APIC_BASE.DEFAULT, size: PAGE_BYTES, name: 'local-apic', widthMax: 4, priority: 1, registers: localApicRegisters,
      read: (at, size) => (this.current === undefined ? 0 : readPage(this.current, at, size)),
      write: (at, size, value) => { if (this.current !== undefined) writePage(this.current, at, size, value); },
    });
  }

  add(apic: LocalApic): void {
    this.apics.push(apic);
    this.current ??= apic;
    this.moved(apic);
  }

  /** An I/O APIC listens for the ends of level-triggered interrupts. */
  onEndOfInterrupt(listener: (vector: number) => void): void {
    this.#eoiListeners.push(listener);
  }

  endOfInterrupt(vector: number): void {
    for (const listener of this.#eoiListeners) listener(vector);
  }

  /** QUIRK: one page for all processors, where the first one has it. */
  moved(apic: LocalApic): void {
    if (apic === this.apics[0]) this.#page.map((apic.state.apicBase & APIC_BASE.ADDRESS) >>> 0);
  }

  interprocessor(source: LocalApic, icrLow: number, destination: number): void {
    const mode = (icrLow >> 8) & 7;
    const vector = icrLow & 0xff;
    const shorthand = (icrLow >> 18) & 3;
    if (shorthand === SHORTHAND.NONE) {
      this.#deliver(destination, (icrLow & ICR.LOGICAL) !== 0, mode, vector, false, source.x2apic ? BROADCAST_X2 : BROADCAST);
      return;
    }
    for (const apic of this.apics) {
      const chosen = shorthand === SHORTHAND.SELF ? apic === source : shorthand === SHORTHAND.ALL || apic !== source;
      if (chosen) apic.receive(mode, vector, false);
    }
  }

  /** From an I/O APIC or an MSI: an 8-bit destination. */
  deliver(destination: number, logical: boolean, mode: number, vector: number, level: boolean): void {
    this.#deliver(destination, logical, mode, vector, level, BROADCAST);
  }

  /** A device's memory write to 0xfeexxxxx (SDM volume 3A, "Message Signalled Interrupts"). */
  sendMessage(address: number, data: number): void {
    this.deliver((address >>> 12) & 0xff, (address & 4) !== 0, (data >> 8) & 7, data & 0xff, (data & 0x8000) !== 0);
  }

  #deliver(destination: number, logical: boolean, mode: number, vector: number, level: boolean, broadcast: number): void {
    let lowest: LocalApic | undefined;
    for (let index = 0; index < this.apics.length; index++) {
      const apic = this.apics[index]!;
      const matches = logical ? apic.matchesLogical(destination) : destination === broadcast || destination === apic.state.id;
      if (!matches) continue;
      if (mode !== DELIVERY.LOWEST) apic.receive(mode, vector, level);
      else if (apic.softwareEnabled && (lowest === undefined || apic.processorPriority < lowest.processorPriority)) lowest = apic;
    }
    lowest?.receive(mode, vector, level);
  }
}
