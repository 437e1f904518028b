// Guest-physical memory as the processor sees it: PHYS_MAP pages below 4 GiB, and the bus for the rest.
// Not here: translation (paging.ts).
import { mmioRead, mmioWrite } from './host';
import { COUNT_MMIO, PHYS_CODE, PHYS_MAP, PHYS_READABLE, PHYS_WRITABLE } from './generated/layout';
import { codeWritten } from './blocks';
import { count, sizeMask } from './registers';

/** The PHYS_MAP entry of the page that holds `physical`; 0 is the bus. */
export function pageEntry(physical: u64): u32 {
  if (physical >> 32) return 0;
  return load<u32>(PHYS_MAP + (<u32>physical >> 12) * 4);
}

export function loadHost(host: usize, size: u32): u64 {
  switch (size) {
    case 1: return load<u8>(host);
    case 2: return load<u16>(host);
    case 4: return load<u32>(host);
    default: return load<u64>(host);
  }
}

export function storeHost(host: usize, size: u32, value: u64): void {
  switch (size) {
    case 1: return store<u8>(host, <u8>value);
    case 2: return store<u16>(host, <u16>value);
    case 4: return store<u32>(host, <u32>value);
    default: return store<u64>(host, value);
  }
}

export function readBus(physical: u64, size: u32): u64 {
  count(COUNT_MMIO);
  if (size != 8) return <u64>mmioRead(<f64>physical, size) & sizeMask(size);
  return <u64>mmioRead(<f64>physical, 4) | (<u64>mmioRead(<f64>(physical + 4), 4) << 32);
}

export function writeBus(physical: u64, size: u32, value: u64): void {
  count(COUNT_MMIO);
  mmioWrite(<f64>physical, size == 8 ? 4 : size, <u32>(value & sizeMask(size)));
  if (size == 8) mmioWrite(<f64>(physical + 4), 4, <u32>(value >> 32));
}

/** A naturally aligned read of a paging structure: what is not memory reads as all ones. */
export function readPhysical(physical: u64, size: u32): u64 {
  const entry = pageEntry(physical);
  if ((entry & PHYS_READABLE) == 0) return sizeMask(size);
  return loadHost((entry & 0xfffff000) + (<u32>physical & 0xfff), size);
}

/** A naturally aligned write of a paging structure; lost unless it goes to writable memory. */
export function writePhysical(physical: u64, size: u32, value: u64): void {
  const entry = pageEntry(physical);
  if ((entry & PHYS_WRITABLE) == 0) return;
  storeHost((entry & 0xfffff000) + (<u32>physical & 0xfff), size, value);
  if (entry & PHYS_CODE) codeWritten(<u32>physical, size);
}
