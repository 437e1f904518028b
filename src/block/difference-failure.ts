// What blkverify and quorum (with blkverify=on) end with when copies differ that must not: whoever runs requests for a user
// shows it and ends, so that the state at the moment of the difference can be looked at.
import { Failure } from '../base/failure.ts';

export class DifferenceFailure extends Failure {
  override name = 'DifferenceFailure';

  /** The whole line for the user, which begins with the driver's name. */
  constructor(line: string) {
    super('corrupt', line);
  }
}
