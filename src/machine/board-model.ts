// The machines of `-machine`, by name: what is told of one to the user and to the guest. How it is wired is its chipset's.
import type { ChipsetBuilder } from './chipset.ts';
import { pcChipset } from './pc-chipset.ts';

export interface BoardModel {
  /** The name that means the newest version. */
  readonly alias: string;
  readonly name: string;
  readonly description: string;
  readonly chipset: ChipsetBuilder;
}

export const pcModel: BoardModel = {
  alias: 'pc',
  name: 'pc-i440fx-7.2',
  description: 'Standard PC (i440FX + PIIX, 1996)',
  chipset: pcChipset,
};

export const BOARD_MODELS: readonly BoardModel[] = [pcModel];
