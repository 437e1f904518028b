// Directories of the host for the block layer (vvfat), on node:fs.
import * as fs from 'node:fs';
import { basename, join } from 'node:path';
import type { CalendarTime, HostDirectories, HostDirectoryEntry } from '../../ports/host-file.ts';
import { hostFailure } from './host-failure.ts';

const calendar = (date: Date): CalendarTime => ({
  year: date.getFullYear(),
  month: date.getMonth() + 1,
  day: date.getDate(),
  hour: date.getHours(),
  minute: date.getMinutes(),
  second: date.getSeconds(),
});

function describe(path: string): HostDirectoryEntry | undefined {
  let stat: fs.Stats;
  try {
    stat = fs.statSync(path);
  } catch {
    return undefined;
  }
  return {
    name: basename(path),
    path,
    kind: stat.isDirectory() ? 'directory' : stat.isFile() ? 'file' : 'other',
    sizeBytes: stat.size,
    modified: calendar(stat.mtime),
    changed: calendar(stat.ctime),
    accessed: calendar(stat.atime),
  };
}

function names(path: string): string[] {
  try {
    const directory = fs.opendirSync(path); // readdirSync would sort
    const found: string[] = [];
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) found.push(entry.name);
    directory.closeSync();
    return found;
  } catch (error) {
    throw hostFailure(error);
  }
}

export const hostDirectories: HostDirectories = {
  describe,
  list: (path) => names(path).flatMap((name) => describe(join(path, name)) ?? []),
};
