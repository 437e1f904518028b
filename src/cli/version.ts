// The version, as `-version` shows it. A test holds it against package.json.
export const VERSION = '0.1.0';
export const COPYRIGHT = 'Copyright (c) The nandu authors';
