// img rebase.
import { transcripts } from './transcript.ts';

const CHAIN = `
  setup img create -q -f qcow2 base 1M
  setup io -c 'write -P 1 0 256k' base
  setup img create -q -f qcow2 -b base -F qcow2 mid
  setup io -c 'write -P 2 128k 256k' mid
  setup img create -q -f qcow2 -b mid -F qcow2 top
  setup io -c 'write -P 3 64k 64k' top
`;

transcripts({
  'command line': `${CHAIN}
    img rebase
    img rebase top
    img rebase -b base
    img rebase -b base -F qcow2 a b
    img rebase -b base top
    img rebase -t foo -b base top
    img rebase -T foo -b base top
    img rebase -b nope -F qcow2 top
    img rebase -b base -F nofmt top
    img rebase -u -b nope -F nofmt top
    img rebase -u -b nope top
    img rebase -f qcow2 --image-opts -b base x
    img rebase -b base nope
    setup img create -q raw 1M
    img rebase -f raw -b base -F qcow2 raw
    img rebase -f raw -u -b base -F qcow2 raw
    setup img rebase -u -b gone -F qcow2 top
    img rebase -b base -F qcow2 top
  `,
  'to another layer': `${CHAIN}
    img rebase -b base -F qcow2 top
    img map top
    image top qcow2
    img rebase -b '' top
    img info top
    img map top
    image top qcow2
  `,
  unsafe: `${CHAIN}
    img rebase -u -b base -F qcow2 top
    img map top
    img rebase -u -b '' top
    img info top
    img rebase -u -b nope -F qcow2 top
    img info top
    img rebase -u -b '' -F raw top
    img info top
  `,
  'to another chain': `${CHAIN}
    setup img create -q -f qcow2 other 1M
    setup io -c 'write -P 1 0 192k' -c 'write -P 8 500k 100k' other
    img rebase -b other -F qcow2 top
    image top qcow2
    setup img create -q -f qcow2 small 300k
    img rebase -q -b small -F qcow2 mid
    image mid qcow2
    setup img create -q -f qcow2 nb 1M
    img rebase -b base -F qcow2 nb
    img map nb
    img rebase -U -b other -F qcow2 nb
    image nb qcow2
    img rebase -u -b mid -F qcow2 base
  `,
});
