// What the support module imports: the vCPU it serves and the machine's buses. One instance serves one vCPU.

/** Address of the vCPU area (memory-map.ts); the offsets of generated/layout.ts are relative to it. */
@external("env", "cpu") export declare const cpu: usize;

/** Bus accesses of 1, 2 or 4 bytes at a guest-physical address, a whole number, that is not plain memory. */
@external("env", "mmioRead") export declare function mmioRead(physical: f64, size: u32): u32;
@external("env", "mmioWrite") export declare function mmioWrite(physical: f64, size: u32, value: u32): void;
@external("env", "portRead") export declare function portRead(port: u32, size: u32): u32;
@external("env", "portWrite") export declare function portWrite(port: u32, size: u32, value: u32): void;
/**
 * The same for `bytes` bytes in elements of `size` at a host address, where the device takes runs of them: how many bytes went,
 * 0 where it must be asked element by element.
 */
@external("env", "portReadRun") export declare function portReadRun(port: u32, size: u32, host: usize, bytes: u32): u32;
@external("env", "portWriteRun") export declare function portWriteRun(port: u32, size: u32, host: usize, bytes: u32): u32;
/** Guest nanoseconds since power-on, the source of the time-stamp counter. */
@external("env", "guestNanoseconds") export declare function guestNanoseconds(): f64;
/**
 * MSRs that belong to the local APIC (0x1b, 0x6e0, 0x800..0x8ff); value in scratch0. Returns 0 to raise #GP(0).
 * A write to 0x10 tells that the time-stamp counter was set: a deadline in its terms is another time now.
 */
@external("env", "apicMsrRead") export declare function apicMsrRead(index: u32): u32;
@external("env", "apicMsrWrite") export declare function apicMsrWrite(index: u32): u32;
/** CR8, the task priority of the local APIC. */
@external("env", "taskPriorityRead") export declare function taskPriorityRead(): u32;
@external("env", "taskPriorityWrite") export declare function taskPriorityWrite(value: u32): void;
@external("env", "randomU32") export declare function randomU32(): u32;
/** Called for each exception, interrupt and software interrupt delivered while traceInterrupts is set (`-d int`). */
@external("env", "traceInterrupt") export declare function traceInterrupt(vector: u32, error: u32, kind: u32): void;
/** A region, whose record this is, was left REGION_EXIT_OFTEN times at the same access. */
@external("env", "regionLeftOften") export declare function regionLeftOften(record: u32): void;
/** A block that regions were made of is gone (BLOCK.MEMBER). */
@external("env", "memberDropped") export declare function memberDropped(block: u32): void;
