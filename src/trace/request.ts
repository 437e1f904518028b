// The number that joins the events of one request of a guest. A device gives it out when it takes the request and enters it around
// its calls of the layers below, which find it in `requestContext` and keep it for their own end. While events with a number are on,
// the host carries it over what a layer waits for (RequestCarrier), so that it is known there too; else it holds only while the
// device's call runs. 0 is "of no request".

/** Follows asynchronous work: what is awaited goes on with the number it began with. */
export interface RequestCarrier {
  get(): number;
  set(request: number): void;
  /** No longer wanted. */
  end(): void;
}

let plain = 0;
let carrier: RequestCarrier | undefined;
let makeCarrier: () => RequestCarrier | undefined = () => undefined;
let eventsOn = 0;

export const requestContext = {
  get current(): number {
    return carrier === undefined ? plain : carrier.get();
  },
  /** What is called from here on is for this request, until `leave`. */
  enter(request: number): void {
    if (carrier === undefined) plain = request;
    else carrier.set(request);
  },
  leave(): void {
    if (carrier === undefined) plain = 0;
    else carrier.set(0);
  },
} as const;

/** Who carries numbers over waits; asked when the first event that has one is turned on. */
export function setRequestCarrier(make: () => RequestCarrier | undefined): void {
  makeCarrier = make;
  if (eventsOn > 0) carrier = make();
}

/** An event with a request's number was turned on (1) or off (-1). */
export function countRequestEvents(change: 1 | -1): void {
  const before = eventsOn;
  eventsOn += change;
  if (before === 0) carrier = makeCarrier();
  else if (eventsOn === 0) {
    carrier?.end();
    carrier = undefined;
  }
}

let last = 0;

export const nextRequest = (): number => ++last;
