// Kills a machine whose Linux writes files on ext4 with fsync, at random times, again and again on the same image; each round has the
// next disk controller. A number that the guest has said on its console is promised: after the next boot its file must be there whole.
// Beside that the image checks clean but for leaks, and the file system is clean once its journal has been played back.
// By hand: npm run fuzz -- kill-guest --cases 50.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Prng } from '../../src/base/prng.ts';
import { run } from './debian-disk.ts';
import { commandPath, GuestProcess } from './guest-process.ts';
import { findDiskLinux, linuxWords } from './linux-guest.ts';

const BOOT_MS_MAX = 900_000;
const LIFE_MS_MAX = 3000;
/** One kill in so many comes while the journal of the file system is played back. */
const KILLS_PER_EARLY_KILL = 5;
const EARLY_LIFE_MS_MAX = 150;
const IMAGE_BYTES = 96 << 20;
/** Files that are written in turn. */
const FILES = 16;

const DRIVE = ['-drive', 'file=IMAGE,if=none,id=d'];
export const DISK_CONTROLLERS: Readonly<Record<string, readonly string[]>> = {
  'virtio-blk': [...DRIVE, '-device', 'virtio-blk-pci,drive=d'],
  'virtio-scsi': [...DRIVE, '-device', 'virtio-scsi-pci', '-device', 'scsi-hd,drive=d'],
  AHCI: [...DRIVE, '-device', 'ahci,id=a', '-device', 'ide-hd,bus=a.0,drive=d'],
  IDE: [...DRIVE, '-device', 'ide-hd,drive=d'],
  NVMe: [...DRIVE, '-device', 'nvme,drive=d,serial=1'],
};

/** Each record is a new file that takes the place of an old one; the journal has a line of each. */
const WRITER = `
tries=0
while [ -z "$disk" ] && [ $tries -lt 100 ]; do
  for name in vda sda nvme0n1; do [ -b /dev/$name ] && disk=/dev/$name; done
  [ -n "$disk" ] || sleep 0.1
  tries=$((tries+1))
done
record() { echo "record $1"; seq $1 $(($1 + $1 * 7919 % 3000)); }
mkdir /mnt
echo MOUNTING
mount -t ext4 $disk /mnt || echo "PROBLEM mount"
cd /mnt
touch journal
for file in r*; do
  [ -f "$file" ] || continue
  read word number < $file
  if record $number | cmp -s - $file; then echo "FOUND $file $number"; else echo "PROBLEM the contents of $file, record $number"; fi
done
awk '$0 != NR { print "PROBLEM line " NR " of the journal: " $0 } END { print "JOURNAL " NR }' journal
dmesg | grep -i 'ext4.*error' | sed 's/^/PROBLEM /'
echo CHECKED
n=$(wc -l < journal)
while true; do
  n=$((n+1))
  record $n | dd of=new bs=64k conv=fsync 2>/dev/null && mv new r$((n % ${FILES})) &&
    echo $n | dd of=journal bs=64k oflag=append conv=notrunc,fsync 2>/dev/null && echo "ack $n" || echo "PROBLEM write $n"
done
`;

export interface KillGuestResult {
  readonly rounds: number;
  readonly promised: number;
  readonly problems: readonly string[];
}

/** Why there can be no kills, for tests to skip. */
export const killGuestMissing: string | false = !existsSync('/sbin/mke2fs') && 'no e2fsprogs';

/** The last number that was said. */
const lastAcknowledged = (output: string, before: number): number =>
  [...output.matchAll(/^ack (\d+)\n/gm)].reduce((_, [, number]) => Number(number), before);

/**
 * What is wrong with what the guest has found. The console lags behind the disk, so more may be there than was promised; but a record is
 * stable before its line in the journal is.
 */
export function findProblems(output: string, promised: number): string[] {
  const problems = [...output.matchAll(/^PROBLEM .*$/gm)].map(([line]) => line);
  if (!output.includes('\nCHECKED\n')) return problems;
  const lines = Number(/^JOURNAL (\d+)$/m.exec(output)?.[1] ?? 0);
  if (lines < promised) problems.push(`the journal has ${lines} lines, ${promised} were promised`);
  const found = new Map([...output.matchAll(/^FOUND r(\d+) (\d+)$/gm)].map(([, file, number]) => [Number(file), Number(number)]));
  for (let number = Math.max(1, lines - FILES + 1); number <= lines; number++) {
    const there = found.get(number % FILES) ?? 0;
    const isNext = there === lines + 1 && there % FILES === number % FILES;
    if (there !== number && !isNext) problems.push(`record ${there} where the journal has ${number}`);
  }
  return problems;
}

async function checkImage(image: string): Promise<string[]> {
  const problems: string[] = [];
  const check = spawnSync('qemu-img', ['check', image], { encoding: 'utf8' });
  const isGood = check.error !== undefined || check.status === 0 || check.status === 3; // not installed, or leaks only
  if (!isGood) problems.push(`qemu-img check: ${check.stdout}`);
  const raw = `${image}.raw`;
  run(commandPath('nandu-img'), 'convert', '-O', 'raw', image, raw);
  const replay = spawnSync('/sbin/e2fsck', ['-p', raw], { encoding: 'utf8' });
  if (replay.status !== 0 && replay.status !== 1) problems.push(`e2fsck -p: ${replay.stdout}`);
  const clean = spawnSync('/sbin/e2fsck', ['-fn', raw], { encoding: 'utf8' });
  if (clean.status !== 0) problems.push(`e2fsck -fn behind the journal: ${clean.stdout}`);
  rmSync(raw);
  return problems;
}

export async function killGuestRounds(rounds: number, seed: number, isTimeUp: () => boolean = () => false): Promise<KillGuestResult> {
  const linux = await findDiskLinux(WRITER);
  if (linux.missing !== undefined) throw new Error(linux.missing);
  const random = new Prng(seed);
  const folder = mkdtempSync(join(tmpdir(), 'nandu-kill-guest-'));
  const image = join(folder, 'disk.qcow2');
  const problems: string[] = [];
  let promised = 0;
  let round = 0;
  try {
    await makeImage(image);
    for (; round < rounds && problems.length === 0 && !isTimeUp(); round++) {
      const controllers = Object.entries(DISK_CONTROLLERS);
      const [name, device] = controllers[round % controllers.length]!;
      const words = linuxWords(linux.kernel, linux.initrd, ...device.map((word) => word.replace('IMAGE', image)));
      const guest = new GuestProcess(commandPath('nandu-system-x86_64'), words, { timeoutMs: BOOT_MS_MAX });
      if (random.oneIn(KILLS_PER_EARLY_KILL)) {
        await guest.waitFor('MOUNTING');
        await delay(random.below(EARLY_LIFE_MS_MAX));
      } else {
        await guest.waitFor('CHECKED\n');
        await delay(random.below(LIFE_MS_MAX));
      }
      guest.kill();
      const { output, errors } = await guest.exit();
      problems.push(...findProblems(output, promised), ...(errors === '' ? [] : [errors]), ...(await checkImage(image)));
      promised = lastAcknowledged(output, promised);
      if (problems.length > 0) problems.unshift(`round ${round}, ${name}:`);
    }
    return { rounds: round, promised, problems };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function makeImage(image: string): Promise<void> {
  const raw = `${image}.raw`;
  run('/sbin/mke2fs', '-q', '-t', 'ext4', raw, `${IMAGE_BYTES / 1024}`);
  run(commandPath('nandu-img'), 'convert', '-O', 'qcow2', raw, image);
  rmSync(raw);
}
