// What a driver's opening fails with when only an error number is known: the image's name before its text, as the reference
// says it. Errors with a text of their own stay as they are.
import { ErrnoFailure, errnoText } from '../../base/errno.ts';
import type { OpenContext } from '../driver.ts';

export async function namingTheImage<T>(context: OpenContext, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof ErrnoFailure) || error.message !== errnoText(error.errno)) throw error;
    throw new ErrnoFailure(error.errno, `Could not open '${context.node.filename}': ${error.message}`, { cause: error });
  }
}
