// The text of --image-opts: `key=value,…` with dotted keys. A first part without `=` is the name of a node.
import { Failure } from '../../base/failure.ts';
import { OptionDict } from '../../block/options.ts';
import { splitAtCommas } from '../../schema/key-value.ts';

export function parseImageOptions(text: string, format: string | undefined): OptionDict {
  if (format !== undefined) throw new Failure('invalid-argument', '--image-opts and --format are mutually exclusive');
  const options = new OptionDict();
  for (const [index, item] of splitAtCommas(text).entries()) {
    const equals = item.indexOf('=');
    if (equals >= 0) options.set(item.slice(0, equals), item.slice(equals + 1));
    else if (index === 0) options.set('file', item);
    else if (item.startsWith('no')) options.set(item.slice(2), 'off');
    else if (item !== '') options.set(item, 'on');
  }
  return options;
}
