// The host's cryptography on the vectors of its specifications.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Failure } from '../../base/failure.ts';
import { nodeCryptography } from './cryptography.ts';

const crypto = nodeCryptography();
const fromHex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

// NIST SP 800-38A, F.1.1, F.1.5 and F.2.1: the first two blocks.
const PLAIN = fromHex('6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51');
const KEY_128 = fromHex('2b7e151628aed2a6abf7158809cf4f3c');
const KEY_256 = fromHex('603deb1015ca71be2b73aef0857d7781 1f352c073b6108d72d9810a30914dff4');

describe('cryptography', () => {
  test('AES block by block', () => {
    const cipher = '3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf';
    assert.equal(toHex(crypto.ecb('aes-128', KEY_128, PLAIN, true)), cipher);
    assert.deepEqual(crypto.ecb('aes-128', KEY_128, fromHex(cipher), false), PLAIN);
    assert.equal(toHex(crypto.ecb('aes-256', KEY_256, PLAIN.subarray(0, 16), true)), 'f3eed1bdb5d2a03c064b5a7e3db181f8');
    assert.throws(() => crypto.ecb('aes-128', KEY_128, PLAIN.subarray(1), true), Failure);
  });

  test('AES chained', () => {
    const iv = fromHex('000102030405060708090a0b0c0d0e0f');
    const cipher = '7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2';
    assert.equal(toHex(crypto.cbc('aes-128', KEY_128, iv, PLAIN, true)), cipher);
    assert.deepEqual(crypto.cbc('aes-128', KEY_128, iv, fromHex(cipher), false), PLAIN);
  });

  test('hashes', () => {
    const abc = new TextEncoder().encode('abc');
    assert.equal(toHex(crypto.hash('md5', abc)), '900150983cd24fb0d6963f7d28e17f72');
    assert.equal(toHex(crypto.hash('sha1', abc)), 'a9993e364706816aba3e25717850c26c9cd0d89d');
    assert.equal(toHex(crypto.hash('ripemd160', abc)), '8eb208f7e05d987a9b044a8e98c6b087f15a0bfc');
    assert.equal(crypto.hash('sha512', abc).length, 64);
  });

  test('PBKDF2 (RFC 6070)', async () => {
    const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
    const key = await crypto.pbkdf2('sha1', bytes('password'), bytes('salt'), 4096, 20);
    assert.equal(toHex(key), '4b007901b765489abead49d926f721d065a429c1');
  });

  test('random bytes are as many as asked for', () => {
    assert.equal(crypto.randomBytes(0).length, 0);
    assert.notDeepEqual(crypto.randomBytes(32), crypto.randomBytes(32));
  });
});
