// What a block cipher of ours gives the modes of operation: one block of four little-endian words, changed in place.
export type BlockTransform = (words: Int32Array, at: number, encrypt: boolean) => void;
