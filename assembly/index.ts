// The support module: what runs near the guest's speed but is not generated per guest.
export { mmioRead } from './host'
