// One interrupt wire. The driver says the level, as often as it likes; the receiver finds the edges.

export interface IrqLine {
  set(level: boolean): void;
}
