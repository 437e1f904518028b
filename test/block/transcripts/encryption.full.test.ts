// Images encrypted with LUKS: by itself and in qcow2. Every new key takes seconds on both sides, so this is for the full run.
import { DISK_SIZE, present, transcripts, type TranscriptRules } from './transcript.ts';

const SECRETS = '--object secret,id=s,data=abc --object secret,id=t,data=other';
const ACTIVE = 'encrypt.state=active,encrypt.new-secret=t,encrypt.iter-time=10';
const [OLD_KEY, NEW_KEY] = ['s', 't'].map((key) => `driver=qcow2,file.filename=a,encrypt.key-secret=${key}`);
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
    'key slots': `
      setup img create -q -f luks ${SECRETS} -o key-secret=s,iter-time=10 a 128K
      img amend ${SECRETS} -o state=active,new-secret=t,iter-time=10 a
      img amend ${SECRETS} --image-opts -o state=active,new-secret=t,iter-time=10 driver=luks,file.filename=a,key-secret=s
      img info a
      img amend ${SECRETS} --image-opts -o state=active,new-secret=t,iter-time=10,keyslot=1 driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=active,new-secret=t,iter-time=10,keyslot=8 driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=active,iter-time=10 driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=active,new-secret=nobody driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=active,new-secret=t,old-secret=s driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o new-secret=t driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=maybe driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=active,keyslot=x,new-secret=t driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive,new-secret=t driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive,iter-time=10,keyslot=0 driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive,keyslot=5 driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive,keyslot=0,old-secret=t driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive,old-secret=t driver=luks,file.filename=a,key-secret=t
      img info a
      img amend ${SECRETS} --image-opts -o state=inactive,keyslot=0 driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive,old-secret=s driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts -o state=inactive,old-secret=t driver=luks,file.filename=a,key-secret=t
      img amend ${SECRETS} --image-opts -o bogus=1 driver=luks,file.filename=a,key-secret=s
      img amend ${SECRETS} --image-opts --force -o state=inactive,keyslot=0 driver=luks,file.filename=a,key-secret=s
      img info a
      img amend ${SECRETS} --image-opts -o state=active,new-secret=t driver=luks,file.filename=a,key-secret=s
    `,
    'key slots of qcow2': `
      setup img create -q -f qcow2 ${SECRETS} -o ${LUKS} a 1M
      img amend ${SECRETS} --image-opts -o ${ACTIVE} ${OLD_KEY}
      img info a
      img amend ${SECRETS} --image-opts -o encrypt.state=inactive,encrypt.keyslot=0 ${NEW_KEY}
      img amend ${SECRETS} --image-opts -o encrypt.state=inactive,encrypt.keyslot=1 ${NEW_KEY}
      img amend ${SECRETS} --image-opts -o encrypt.state=inactive,encrypt.old-secret=t,size=2M ${NEW_KEY}
      img amend ${SECRETS} --image-opts -o encrypt.bogus=1 ${NEW_KEY}
      img amend ${SECRETS} --image-opts -o encrypt.key-secret=s ${NEW_KEY}
      img amend ${SECRETS} --image-opts -o encrypt.state=active ${NEW_KEY}
      img info a
      img check a
    `,
    'other ciphers': `
      img create -f luks ${SECRETS} -o key-secret=s,iter-time=10,cipher-alg=serpent-256 a 1M
      img info a
      img create -f luks ${SECRETS} -o key-secret=s,iter-time=10,cipher-alg=twofish-128,cipher-mode=cbc,ivgen-alg=essiv b 1M
      img info b
      img create -f luks ${SECRETS} -o key-secret=s,iter-time=10,cipher-alg=serpent-128,ivgen-alg=essiv,ivgen-hash-alg=sha512 c 1M
      img create -f luks ${SECRETS} -o key-secret=s,iter-time=10,cipher-alg=twofish-128,ivgen-alg=essiv,ivgen-hash-alg=sha1 c 1M
      img create -f luks ${SECRETS} -o key-secret=s,iter-time=10,cipher-alg=des c 1M
      img create -f luks ${SECRETS} -o key-secret=s,iter-time=10,cipher-alg=3des c 1M
    `,
  },
  RULES,
);
