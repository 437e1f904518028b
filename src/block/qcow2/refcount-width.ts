// Refcounts of 1 to 64 bits in a block: big-endian from a byte on, within a byte from the lowest bit up (qcow2.txt, "Refcount
// block"). Counts beyond what a number holds exactly are read as the nearest number: they are garbage in any real image.

export function getCount(view: DataView, index: number, order: number): number {
  switch (order) {
    case 4:
      return view.getUint16(index * 2);
    case 3:
      return view.getUint8(index);
    case 5:
      return view.getUint32(index * 4);
    case 6:
      return view.getUint32(index * 8) * 2 ** 32 + view.getUint32(index * 8 + 4);
    default: {
      const bits = 1 << order;
      const at = index * bits;
      return (view.getUint8(at >> 3) >> (at & 7)) & ((1 << bits) - 1);
    }
  }
}

export function setCount(view: DataView, index: number, order: number, count: number): void {
  switch (order) {
    case 4:
      return view.setUint16(index * 2, count);
    case 3:
      return view.setUint8(index, count);
    case 5:
      return view.setUint32(index * 4, count);
    case 6:
      view.setUint32(index * 8, Math.floor(count / 2 ** 32));
      return view.setUint32(index * 8 + 4, count % 2 ** 32);
    default: {
      const bits = 1 << order;
      const at = index * bits;
      const mask = ((1 << bits) - 1) << (at & 7);
      view.setUint8(at >> 3, (view.getUint8(at >> 3) & ~mask) | (count << (at & 7)));
    }
  }
}
