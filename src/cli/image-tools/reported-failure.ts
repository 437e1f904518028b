// A failure that is told in several messages, each under the program's name.
import { Failure } from '../../base/failure.ts';

export class ReportedFailure extends Failure {
  readonly lines: readonly string[];
  readonly status: number;

  constructor(lines: readonly string[], status = 1) {
    super('invalid-argument', lines.join(' '));
    this.lines = lines;
    this.status = status;
  }
}
