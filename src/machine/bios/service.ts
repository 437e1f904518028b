// What every group of services is given, and how it answers. A service that has to wait is called again with the registers as
// they were, so it keeps nothing but what it waits for.
import type { AddressSpace } from '../../bus/address-space.ts';
import type { Clock } from '../../ports/clock.ts';
import type { GuestMemory } from './guest-memory.ts';
import { FLAG, type RealModeRegisters } from './registers.ts';

/** `again`: after interrupts were let in; `halt`: after the next interrupt. */
export type Answer = 'done' | 'again' | 'halt';

/** IP, CS and FLAGS of the caller lie behind the vector that the stub pushed. */
const FLAGS_ON_STACK = 6;

export class ServiceCall {
  readonly registers: RealModeRegisters;
  readonly memory: GuestMemory;
  readonly ports: AddressSpace;
  readonly clock: Clock;

  constructor(registers: RealModeRegisters, memory: GuestMemory, ports: AddressSpace, clock: Clock) {
    this.registers = registers;
    this.memory = memory;
    this.ports = ports;
    this.clock = clock;
  }

  #setFlag(flag: number, on: boolean): void {
    const at = this.registers.stack + FLAGS_ON_STACK;
    const flags = this.memory.read16(at);
    this.memory.write16(at, on ? flags | flag : flags & ~flag);
  }
  setCarry(on: boolean): void {
    this.#setFlag(FLAG.CARRY, on);
  }
  setZero(on: boolean): void {
    this.#setFlag(FLAG.ZERO, on);
  }

  /** The usual end of a function that is not there. */
  unsupported(status = 0x86): Answer {
    this.registers.ah = status;
    this.setCarry(true);
    return 'done';
  }

  succeed(status = 0): Answer {
    this.registers.ah = status;
    this.setCarry(false);
    return 'done';
  }
}
