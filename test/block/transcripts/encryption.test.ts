// Encrypted images that are made quickly: qcow2 with legacy AES, and command lines that are refused. LUKS itself, whose keys
// take seconds each, is encryption.full.test.ts.
import { DISK_SIZE, present, transcripts, type TranscriptRules } from './transcript.ts';

const SECRETS = '--object secret,id=s,data=abc --object secret,id=t,data=other';
const LUKS = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';
const AES = 'encrypt.format=aes,encrypt.key-secret=s';

/** Salts and iteration counts are chosen anew each time. */
const RULES: TranscriptRules = {
  masks: [...DISK_SIZE, [/uuid"?: "?[0-9a-f-]{36}/g, 'uuid: <uuid>'], [/iters"?: \d+/g, 'iters: <iterations>']],
  skip: (await present('luks')).length === 0 && 'no luks driver',
};

transcripts(
  {
    'qcow2 with legacy AES': `
      img create -f qcow2 ${SECRETS} -o ${AES} a 2M
      img info a
      setup img create -q r 2M
      setup io -f raw -c 'write -P 7 100k 100k' r
      img convert ${SECRETS} -O qcow2 -o ${AES} r e
      img convert ${SECRETS} --image-opts driver=qcow2,file.filename=e,encrypt.key-secret=s back
      same back
      img map --image-opts driver=qcow2,file.filename=e,encrypt.key-secret=nobody
      img map --image-opts driver=qcow2,file.filename=e
    `,
    'LUKS command lines': `
      img create -f qcow2 -o ${LUKS} b 2M
      img create -f qcow2 ${SECRETS} -o encrypt.format=luks b 2M
      img create -f luks -o key-secret=s,iter-time=10 b 2M
      img create -f luks b 2M
      img create -f luks -o help
      img measure -O luks --size 1G
    `,
  },
  RULES,
);
