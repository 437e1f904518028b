// The diskette drive as -device can add it to the controller that is on the board.
import { driveProperties, type DeviceDeclaration } from '../../schema/device.ts';
import { uint } from '../../schema/property.ts';

const { drive, bootindex, rerror, werror } = driveProperties;

export const floppyDevice: DeviceDeclaration = {
  name: 'floppy',
  category: 'Storage',
  bus: 'floppy-bus',
  description: 'virtual floppy drive',
  properties: { drive, bootindex, rerror, werror, unit: { type: uint(32), help: '0 is drive A, 1 drive B' } },
};
