// The support module: what runs near the guest's speed but is not generated per guest.
export * from './blocks'
export * from './executor'
export * from './flags'
export * from './integer'
export * from './system'
export * from './fp'
export * from './vectors'
export * from './regions'
