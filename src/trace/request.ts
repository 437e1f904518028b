// The number that joins the events of one request of a guest. A device gives it out when it takes the request; layers below find it
// in `requestContext` while the device's call into them runs, and keep it for their own end. What a layer does after it has waited
// belongs to request 0, "not known", unless it kept the number.
export const requestContext = { current: 0 };

let last = 0;

export const nextRequest = (): number => ++last;
