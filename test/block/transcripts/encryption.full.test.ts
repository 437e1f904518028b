// Images encrypted with LUKS: by itself and in qcow2. Every new key takes seconds on both sides, so this is for the full run.
import { DISK_SIZE, present, transcripts, type TranscriptRules } from './transcript.ts';

const SECRETS = '--object secret,id=s,data=abc --object secret,id=t,data=other';
const LUKS = 'encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10';

/** Salts and iteration counts are chosen anew each time. */
const RULES: TranscriptRules = {
  masks: [...DISK_SIZE, [/uuid"?: "?[0-9a-f-]{36}/g, 'uuid: <uuid>'], [/iters"?: \d+/g, 'iters: <iterations>']],
  skip: (await present('luks')).length === 0 && 'no luks driver',
};

transcripts(
  {
    'qcow2 with LUKS': `
      img create -f qcow2 ${SECRETS} -o ${LUKS} a 2M
      img info a
      img info --output=json a
      img convert a r
      img convert ${SECRETS} --image-opts driver=qcow2,file.filename=a,encrypt.key-secret=t r
      img convert ${SECRETS} --image-opts driver=qcow2,file.filename=a,encrypt.key-secret=s r
      same r
      setup io -f raw -c 'write -P 7 100k 100k' r
      img convert ${SECRETS} -O qcow2 -o ${LUKS} r e
      img convert ${SECRETS} --image-opts driver=qcow2,file.filename=e,encrypt.key-secret=s back
      same back
      img check e
      img check ${SECRETS} --image-opts driver=qcow2,file.filename=e,encrypt.key-secret=s
      img map ${SECRETS} --image-opts driver=qcow2,file.filename=e,encrypt.key-secret=s
      img convert ${SECRETS} -c -O qcow2 -o ${LUKS} r e
    `,
    'LUKS by itself': `
      img create -f luks ${SECRETS} -o key-secret=s,iter-time=10 a 2M
      img info a
      img info --output=json a
      setup img create -q r 2M
      setup io -f raw -c 'write -P 7 100k 100k' r
      img convert ${SECRETS} -O luks -o key-secret=s,iter-time=10 r e
      img convert ${SECRETS} --image-opts driver=luks,file.filename=e,key-secret=s back
      same back
      img convert ${SECRETS} --image-opts driver=luks,file.filename=e,key-secret=t back
      img measure ${SECRETS} -O luks -o key-secret=s r
      img check e
    `,
  },
  RULES,
);
