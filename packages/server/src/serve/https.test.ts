import { expect, it } from 'vitest';
import { optionsOf } from '../config/options.ts';
import { readConfig } from '../config/read.ts';
import { httpsOf } from './serve.ts';

it('switches HTTPS on in production, or with a certificate', () => {
  const https = (text: string): unknown =>
    httpsOf(optionsOf(readConfig({ file: { name: 'f', text } }).config));
  expect(https('')).toBeUndefined();
  expect(https('profile: production')).toEqual({});
  expect(https('profile: production\nhttps: {enabled: false}')).toBeUndefined();
  expect(https('https: {certFile: c, keyFile: k}')).toEqual({ certFile: 'c', keyFile: 'k' });
});
