// The HTTP API in a Fastify application, with HTTP Basic in the router itself.

import { createCallGateway } from '@sipcast/core';
import { createRestRouter, fastifyPlugin } from '@sipcast/rest';
import fastify from 'fastify';

const {
  PORT = '8081',
  API_USER: username = 'user',
  API_PASSWORD: password = 'change me',
} = process.env;

const callGateway = await createCallGateway();
callGateway.on('callChange', (_call, { callId, status }) => console.log(callId, status));

const app = fastify();
const router = createRestRouter(callGateway, { mount: '/api', basicAuth: { username, password } });
await app.register(fastifyPlugin(router));
app.get('/', () => `${callGateway.calls.live.length} calls\n`);
app.addHook('onClose', () => callGateway.close());

const origin = await app.listen({ port: Number(PORT), host: '127.0.0.1' });
console.log(`${origin}/api`);

process.once('SIGTERM', () => void app.close());
