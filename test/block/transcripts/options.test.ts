// Command lines that are wrong before any image is looked at, and options that all subcommands share.
import { transcripts } from './transcript.ts';

transcripts({
  'no command, unknown commands and options': `
    img
    img bogus
    img -x
    img -T
    img --bogus
    img --vers=3
    img -T foo info nope
  `,
  'options of a subcommand': `
    setup img create -q -f raw a 1M
    img info -x a
    img info -Ux a
    img info -xU a
    img info a -xU b
    img info -U a -xq
    img info -f
    img info -Uf
    img info --bogus a
    img info --output
    img info --out=human a
    img info --im=3 a
    img info --o a
    img info a -U
    img info a b
    img info
    img info -- a
    img info --output=xml a
    img check --output=xml a
    img map --m=3 a
    img convert --target a b
    img create -f
    img compare -Uf
  `,
  'JSON names': `
    setup img create -q -f qcow2 a 1M
    img info "json:{'driver':'qcow2','file.filename':'a'}"
    img info "json:{'driver':'qcow2','file':{'driver':'file','filename':'a'}}"
    img info "json:{'driver':'qcow2',}"
    img info "json:{'driver':'qcow2','driver':'raw'}"
    img info "json:{'driver':qcow2}"
    img info "json:{'driver':'qcow2'"
    img info "json:{'driver':'qcow2'}}"
    img info "json:['a']"
    img info json:
    img info "json:{'a':01}"
  `,
  'read-only nodes and those who would write': `
    setup img create -q -f qcow2 a 1M
    img resize --image-opts driver=qcow2,read-only=on,file.filename=a 2M
    img snapshot -c s --image-opts driver=qcow2,read-only=on,file.filename=a
    img snapshot -l --image-opts driver=qcow2,read-only=on,file.filename=a
    img bench -w -c 1 --image-opts driver=qcow2,read-only=on,file.filename=a
    img amend -o compat=0.10 --image-opts driver=qcow2,read-only=on,file.filename=a
    img check -r all --image-opts driver=qcow2,read-only=on,file.filename=a
    img bitmap --add --image-opts driver=qcow2,read-only=on,file.filename=a b
    img convert -n --target-image-opts a driver=qcow2,read-only=on,file.filename=a
    img info --image-opts driver=qcow2,read-only=off,file.filename=a,file.read-only=on
    img resize --image-opts driver=qcow2,file.filename=a,file.read-only=on 2M
    img bench -w -c 1 --image-opts driver=raw,file.filename=a,file.read-only=on
    img rebase -u -b '' --image-opts driver=qcow2,read-only=on,file.filename=a
    img map --image-opts driver=qcow2,read-only=on,file.filename=a
    image a qcow2
  `,
  objects: `
    setup img create -q -f raw r 1M
    img info --object x r
    img info --object secret r
    img info --object secret,id=a r
    img info --object secret,id=a,data=x r
    img info --object nosuch,id=a,data=x r
    img info --object secret,data=x r
    img info --object secret,id=a,datum=x r
    img info --object secret,id=a,file=/nonexistent r
    img info --object secret,id=a,data=x --object secret,id=a,data=x r
    img info --object secret,help r
    img info --object throttle-group,help r
    img info --object tls-creds-x509,help r
    img info --object tls-creds-psk,help r
    img info --object throttle-group,id=x,x-bps-total=abc r
    img info --object secret,id=s,data=abc,format=hex r
    img info --object secret,id=s,data=YWJj,format=base64 r
    img info --object secret,id=s,data=a!c,format=base64 r
    img info --object secret,id=s,data=a,file=b r
    img info --object secret,id=s,data=abc,keyid=k r
    img info --object secret,id=1s,data=a r
    img info --object secret,id=,data=a r
    img info --object secret,id=s,data r
    img info --object throttle-group,id=g,x-iops-total=5 r
    img info --object throttle-group,id=g,limits.iops-total=5 r
    img info --object throttle-group,id=g,limits.bogus=1 r
    img info --object tls-creds-x509,id=t,dir=/nonexistent,endpoint=client r
    img info --object tls-creds-x509,id=t,dir=/nonexistent,endpoint=foo r
    img info --object tls-creds-psk,id=t,dir=/nonexistent,endpoint=client r
    img info --object '{"qom-type":"secret","id":"a","data":"x"}' r
    img info --object '{"a":1}' r
    img info --object '{"qom-type":"secret"}' r
    img info --object '{"qom-type":"secret","id":3}' r
    img info --object '{"qom-type":"secret","id":"s","data":3}' r
    img info --object '{bad' r
    img info --object ,id=s r
  `,
  'notations of an image': `
    setup img create -q -f raw r 1M
    setup img create -q -f qcow2 q 1M
    img info --image-opts driver=raw,file.filename=r
    img info --image-opts driver=raw,file.filename=r,offset=512
    img info --image-opts driver=qcow2,file.filename=q
    img info --image-opts -f qcow2 q
    img info --image-opts driver=qcow2,file.filename=q,bogus=1
    img info --image-opts driver=nosuch,file.filename=q
    img info --image-opts r
    img info --image-opts ,
    img info --image-opts driver=null-co,size=1M
    img info -U --image-opts driver=qcow2,file.filename=q
    img info -U --image-opts driver=qcow2,file.filename=q,force-share=off
    img info 'json:{"driver":"raw","file":{"driver":"file","filename":"r"}}'
    img info 'json:{"driver":"raw","offset":512,"file":{"driver":"file","filename":"r"}}'
    img info 'json:{"driver":"raw","size":512,"offset":512,"file":{"driver":"file","filename":"r"}}'
    img info 'json:{"driver":"qcow2","file.filename":"q"}'
    img info 'json:{"driver":"qcow2"}'
    img info 'json:{}'
    img info file:r
    img info nosuch:r
    img info nope
    img info -f nope r
    img info -f qcow2 r
    img info .
  `,
});
