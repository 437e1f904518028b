// Date arithmetic for the real-time clock: civil dates and seconds since 1970, proleptic Gregorian, no time zones.

export interface CivilTime {
  readonly second: number;
  readonly minute: number;
  readonly hour: number;
  /** 1 = Sunday. */
  readonly weekday: number;
  readonly day: number;
  readonly month: number;
  readonly year: number;
}

export const SECONDS_PER_DAY = 86_400;

export function civilFromSeconds(seconds: number): CivilTime {
  const days = Math.floor(seconds / SECONDS_PER_DAY);
  const rest = seconds - days * SECONDS_PER_DAY;
  // Eras of 400 years that begin on 1 March 0000, so that the leap day is the last of its year.
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  return {
    second: rest % 60,
    minute: Math.floor(rest / 60) % 60,
    hour: Math.floor(rest / 3600),
    weekday: ((((days + 4) % 7) + 7) % 7) + 1,
    day: dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1,
    month,
    year: yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
  };
}

/** Takes any numbers: an impossible date (31 February) runs over into the next month, as a counter would. */
export function secondsFromCivil({ second, minute, hour, day, month, year }: Omit<CivilTime, 'weekday'>): number {
  const marchYear = month <= 2 ? year - 1 : year;
  const era = Math.floor(marchYear / 400);
  const yearOfEra = marchYear - era * 400;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  return (era * 146_097 + dayOfEra - 719_468) * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
}
