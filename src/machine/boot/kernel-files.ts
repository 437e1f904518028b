// A kernel for firmware to boot: what `-kernel`, `-initrd` and `-append` name, as the fw_cfg items that OVMF and option ROMs load a Linux
// bzImage from. A boot without firmware does not need them (linux.ts).
import { KEY, type FwCfg } from '../../devices/firmware/fw-cfg.ts';
import { cString, layout, le32 } from '../../struct/layout.ts';
import { parseLinuxImage } from './linux.ts';

const number32 = layout('fw_cfg u32', { value: le32(0) });

export interface KernelFiles {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly commandLine: string;
}

/** Failure when the kernel is no bzImage. */
export function giveKernelToFirmware(fwCfg: FwCfg, { kernel, initrd, commandLine }: KernelFiles): void {
  const { setupBytes, code } = parseLinuxImage(kernel);
  const give = (sizeKey: number, dataKey: number, bytes: Uint8Array): void => {
    fwCfg.set(sizeKey, number32.encode({ value: bytes.length }));
    fwCfg.set(dataKey, bytes);
  };
  give(KEY.SETUP_SIZE, KEY.SETUP_DATA, setupBytes);
  give(KEY.KERNEL_SIZE, KEY.KERNEL_DATA, code);
  give(KEY.INITRD_SIZE, KEY.INITRD_DATA, initrd);
  give(KEY.CMDLINE_SIZE, KEY.CMDLINE_DATA, cString(commandLine));
}
