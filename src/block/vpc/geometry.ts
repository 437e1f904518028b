// The geometry of virtual hard disks: the calculation of the "Virtual Hard Disk Image Format Specification", appendix "CHS
// Calculation", and the size that follows from it.

export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectorsPerTrack: number;
}

/** The biggest size that a geometry can say. */
export const LARGEST: Geometry = { cylinders: 65535, heads: 16, sectorsPerTrack: 255 };
export const sectorsOf = ({ cylinders, heads, sectorsPerTrack }: Geometry): number => cylinders * heads * sectorsPerTrack;
export const LARGEST_SECTORS = sectorsOf(LARGEST);

function geometryOf(sectors: number): Geometry {
  if (sectors >= 65535 * 16 * 63) return { cylinders: Math.floor(Math.floor(sectors / 255) / 16), heads: 16, sectorsPerTrack: 255 };
  for (const [sectorsPerTrack, fixedHeads] of [[17, 0], [31, 16]] as const) {
    const tracks = Math.floor(sectors / sectorsPerTrack);
    const heads = fixedHeads || Math.max(4, Math.floor((tracks + 1023) / 1024));
    if (heads <= 16 && tracks < heads * 1024) return { cylinders: Math.floor(tracks / heads), heads, sectorsPerTrack };
  }
  return { cylinders: Math.floor(Math.floor(sectors / 63) / 16), heads: 16, sectorsPerTrack: 63 };
}

/** The first geometry that holds that many sectors. */
export function geometryFor(sectors: number): Geometry {
  if (sectors >= LARGEST_SECTORS) return LARGEST;
  let geometry: Geometry = { cylinders: 0, heads: 0, sectorsPerTrack: 0 };
  for (let asked = sectors; sectorsOf(geometry) < sectors; asked++) geometry = geometryOf(asked);
  return geometry;
}
