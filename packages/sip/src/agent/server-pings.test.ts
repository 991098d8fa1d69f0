// Pings: when they are sent, what counts as silence, and what is reported. Time is an argument.

import { describe, expect, it } from 'vitest';
import type { ServerState } from './server-pings.ts';
import { PEER, settle, TestWire } from '../test-wire.ts';

async function pinging(servers: readonly string[] = [`sip:${PEER.address}`]) {
  const told: string[] = [];
  const onServer = ({ server, address, state, statusCode }: ServerState): void => {
    told.push(`${server} ${address} ${state} ${statusCode ?? '-'}`);
  };
  const wire = new TestWire({ ping: { servers, intervalMs: 60_000 } }, { onServer });
  await wire.open();
  await settle();
  return { wire, told };
}

describe('pings', () => {
  it('start at once, repeat after 80 to 100 % of the interval, and report changes', async () => {
    const { wire, told } = await pinging();
    const first = wire.request('OPTIONS');
    expect(wire.take()).toEqual(['OPTIONS']);
    expect(first.uri).toBe(`sip:${PEER.address}`);
    expect(first.headers.get('to')).toBe(`<sip:${PEER.address}>`);
    wire.answer(first, 404);
    await settle();
    await wire.pass(53_500);
    expect(wire.take()).toEqual([]);
    await wire.pass(500);
    expect(wire.take()).toEqual(['OPTIONS']);
    wire.answer(wire.request('OPTIONS'), 200);
    await settle();
    expect(told).toEqual([`sip:${PEER.address} ${PEER.address} answers 404`]);
    await wire.close();
    expect(wire.clock.running).toBe(0);
  });

  it('count a timeout, a failed transport and 503 as silence, and any other answer as its end', async () => {
    const { wire, told } = await pinging();
    await wire.pass(32_000);
    await wire.pass(54_000);
    wire.answer(wire.request('OPTIONS'), 100);
    wire.answer(wire.request('OPTIONS'), 403);
    await settle();
    wire.cut = true;
    await wire.pass(54_000);
    wire.cut = false;
    await wire.pass(54_000);
    wire.answer(wire.request('OPTIONS'), 503);
    await settle();
    await wire.pass(54_000);
    wire.answer(wire.request('OPTIONS'), 200);
    await settle();
    const states = told.map((line) => line.split(' ').slice(2).join(' '));
    expect(states).toEqual(['silent -', 'answers 403', 'silent -', 'answers 200']);
    await wire.close();
    expect(wire.clock.running).toBe(0);
  });

  it('resolve the name each time, and ping its addresses', async () => {
    const { wire, told } = await pinging(['sip:sbc.example.com:5070']);
    wire.resolve(undefined);
    await settle();
    expect(wire.take()).toEqual([]);
    await wire.pass(54_000);
    wire.resolve(PEER.address);
    await settle();
    wire.answer(wire.request('OPTIONS'), 200);
    await settle();
    expect(told).toEqual([`sip:sbc.example.com:5070 ${PEER.address} answers 200`]);
    await wire.close();
    expect(wire.clock.running).toBe(0);
  });

  it('forget an address that no server resolves to any more', async () => {
    const server = 'sip:sbc.example.com:5070';
    const { wire, told } = await pinging([server]);
    for (let round = 0; round < 20; round++) {
      wire.resolve(`192.0.2.${50 + (round % 2)}`);
      await settle();
      // Silent each time, which is reported whenever the address reappears.
      await wire.pass(32_000);
      await wire.pass(54_000);
    }
    expect(told).toHaveLength(20);
    await wire.close();
  });

  it('ping a server listed twice once, and leave no timer behind', async () => {
    const server = `sip:${PEER.address}`;
    const { wire, told } = await pinging([server, server]);
    expect(wire.take()).toEqual(['OPTIONS']);
    wire.answer(wire.request('OPTIONS'), 200);
    await settle();
    expect(told).toHaveLength(1);
    await wire.close();
    expect(wire.clock.running).toBe(0);
  });

  it('name the invalid option', () => {
    for (const server of ['tel:1', 'sip:bob:secret@pbx', 'sip:pbx?Subject=x']) {
      expect(() => new TestWire({ ping: { servers: [server] } })).toThrow(
        /ping.servers: (?!.*secret)/,
      );
    }
    expect(() => new TestWire({ ping: { servers: [], intervalMs: 999 } })).toThrow(/intervalMs/);
  });
});
