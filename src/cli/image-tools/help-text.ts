// What nandu-img --help shows: every subcommand with its options, what the options' arguments are, and the formats that are
// there. The order and the names are those of qemu-img's help, so that people and scripts find what they look for.
import { driverNames } from '../../block/drivers.ts';
import { versionText } from './img.ts';

// prettier-ignore
const USAGE: readonly (readonly [command: string, syntax: string])[] = [
  ['amend', '[--object objectdef] [--image-opts] [-p] [-q] [-f fmt] [-t cache] [--force] -o options filename'],
  ['bench', '[-c count] [-d depth] [-f fmt] [--flush-interval=flush_interval] [-i aio] [-n] [--no-drain] [-o offset] [--pattern=pattern] [-q] [-s buffer_size] [-S step_size] [-t cache] [-w] [-U] filename'],
  ['bitmap', '(--merge SOURCE | --add | --remove | --clear | --enable | --disable)... [-b source_file [-F source_fmt]] [-g granularity] [--object objectdef] [--image-opts | -f fmt] filename bitmap'],
  ['check', '[--object objectdef] [--image-opts] [-q] [-f fmt] [--output=ofmt] [-r [leaks | all]] [-T src_cache] [-U] filename'],
  ['commit', '[--object objectdef] [--image-opts] [-q] [-f fmt] [-t cache] [-b base] [-r rate_limit] [-d] [-p] filename'],
  ['compare', '[--object objectdef] [--image-opts] [-f fmt] [-F fmt] [-T src_cache] [-p] [-q] [-s] [-U] filename1 filename2'],
  ['convert', '[--object objectdef] [--image-opts] [--target-image-opts] [--target-is-zero] [--bitmaps] [-U] [-C] [-c] [-p] [-q] [-n] [-f fmt] [-t cache] [-T src_cache] [-O output_fmt] [-B backing_file [-F backing_fmt]] [-o options] [-l snapshot_param] [-S sparse_size] [-r rate_limit] [-m num_coroutines] [-W] [--salvage] filename [filename2 [...]] output_filename'],
  ['create', '[--object objectdef] [-q] [-f fmt] [-b backing_file [-F backing_fmt]] [-u] [-o options] filename [size]'],
  ['dd', '[--image-opts] [-U] [-f fmt] [-O output_fmt] [bs=block_size] [count=blocks] [skip=blocks] if=input of=output'],
  ['info', '[--object objectdef] [--image-opts] [-f fmt] [--output=ofmt] [--backing-chain] [-U] filename'],
  ['map', '[--object objectdef] [--image-opts] [-f fmt] [--start-offset=offset] [--max-length=len] [--output=ofmt] [-U] filename'],
  ['measure', '[--output=ofmt] [-O output_fmt] [-o options] [--size N | [--object objectdef] [--image-opts] [-f fmt] [-l snapshot_param] filename]'],
  ['snapshot', '[--object objectdef] [--image-opts] [-U] [-q] [-l | -a snapshot | -c snapshot | -d snapshot] filename'],
  ['rebase', '[--object objectdef] [--image-opts] [-U] [-q] [-f fmt] [-t cache] [-T src_cache] [-p] [-u] -b backing_file [-F backing_fmt] filename'],
  ['resize', '[--object objectdef] [--image-opts] [-f fmt] [--preallocation=prealloc] [-q] [--shrink] filename [+ | -]size'],
];

const PARAMETERS = `Command parameters:
  'filename' is the name of a disk image
  'objectdef' defines an object that other options refer to by its id; most often
    a 'secret', which holds a password or an encryption key
  'fmt' is an image's format; it is found by looking at the image when it is left out
  'cache' is the cache mode for the image that is written: 'none', 'writeback'
    (default, except for convert), 'writethrough', 'directsync' or 'unsafe'
    (default for convert)
  'src_cache' is the same for images that are read
  'size' is a number of bytes, or with 'k' or 'K', 'M', 'G', 'T', 'P' and 'E' of
    1024, 1024k, 1024M and so on; 'b' is ignored
  'output_filename' is the image to be written
  'output_fmt' is its format
  'options' is a comma separated list of name=value; -o help lists those of a format
  'snapshot_param' chooses an internal snapshot:
    'snapshot.id=[ID],snapshot.name=[NAME]' or '[ID_OR_NAME]'
  '-c' writes compressed clusters (where the format has them)
  '-u' does not look at backing files: rebase only changes the name, create does not
       open the backing file
  '-h' with or without a command shows this help and the formats
  '-p' shows the progress (where a command takes long)
  '--progress=json' tells the progress on standard error, a JSON object a line (amend,
       commit, compare, convert, rebase)
  '-q' prints nothing but errors
  '-S' is how many zero bytes in a row (default 4k) convert leaves out; 0 looks for no
       zeroes and allocates all of the target
  '--output' is the form of the output: human or json
  '-n' writes to a target that exists already

Parameters to bitmap subcommand:
  'bitmap' is the name of the bitmap that the actions '--add', '--remove', '--clear',
       '--enable', '--disable' and '--merge source' work on, in their order
  '-g granularity' is how many bytes a bit of an added bitmap stands for
  '-b source' and '-F src_fmt' name another image to merge from

Parameters to check subcommand:
  '-r' repairs: '-r leaks' only leaked clusters, '-r all' all errors, which may choose
       the wrong repair or hide damage that is done

Parameters to convert subcommand:
  '--bitmaps' copies the persistent bitmaps of the source
  '-m' is how many requests are worked on in parallel (default 8)
  '-W' allows writes out of order

Parameters to snapshot subcommand:
  'snapshot' is the name of a snapshot
  '-a' goes back to it
  '-c' makes it
  '-d' deletes it
  '-l' lists all

Parameters to compare subcommand:
  '-f' is the first image's format
  '-F' is the second image's format
  '-s' is strict: other sizes or another allocation make a difference, too

Parameters to dd subcommand:
  'bs=BYTES' is the size of a block (default: 512)
  'count=N' copies only N blocks of the input
  'if=FILE' is read
  'of=FILE' is written
  'skip=N' leaves out N blocks at the beginning of the input
`;

export function helpText(): string {
  const commands = USAGE.map(([command, syntax]) => `  ${command} ${syntax}\n`).join('');
  return (
    `${versionText()}usage: nandu-img [standard options] command [command options]\nDisk image utility\n\n` +
    "    '-h', '--help'       display this help and exit\n" +
    "    '-V', '--version'    output version information and exit\n" +
    "    '-T', '--trace'      [[enable=]<pattern>][,events=<file>][,file=<file>]\n" +
    '                         specify tracing options\n\n' +
    `Command syntax:\n${commands}\n${PARAMETERS}\nSupported formats: ${driverNames().join(' ')}\n`
  );
}
