import { expect, it } from 'vitest';
import { Redaction } from '../log/redaction.ts';
import { secretsOf } from './secrets.ts';

it('finds the secrets of a configuration', () => {
  const redaction = new Redaction();
  redaction.hold(
    secretsOf({
      basicAuth: { username: 'ops', password: 'ops-password' },
      events: {
        secret: 'events-secret',
        apps: { a: { callAppUrl: 'http://h/', secret: 'app-secret' } },
      },
      gateway: {
        sipTls: { passphrase: 'key-phrase' },
        incoming: {
          rules: [
            {
              auth: { users: { bob: 'bob-password' } },
              accept: {
                rtmpUrl: 'rtmp://u:rtmp%2Dpassword@h/live/the-key?k=query-key',
                rtmpStream: 'stream-key',
                toStream: 'door',
              },
            },
          ],
        },
      },
    }),
  );
  for (const secret of [
    'ops-password',
    Buffer.from('ops:ops-password').toString('base64'),
    'events-secret',
    'app-secret',
    'key-phrase',
    'bob-password',
    'rtmp%2Dpassword',
    'rtmp-password',
    'the-key',
    'query-key',
    'stream-key',
  ])
    expect(redaction.redact(`the server says ${secret}!`)).toBe('the server says ***!');
});
