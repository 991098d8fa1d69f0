// Route sets, targets and sequence numbers of dialogs.

import { describe, expect, it } from 'vitest';
import { Dialog, requestUri } from './dialog.ts';
import { EMPTY_BODY, SipHeaders, type SipRequest, type SipResponse } from '../message/message.ts';

const invite: SipRequest = {
  kind: 'request',
  method: 'INVITE',
  uri: 'sip:bob@example.com',
  headers: new SipHeaders()
    .append('from', '<sip:alice@example.com>;tag=a')
    .append('to', '<sip:bob@example.com>')
    .append('call-id', 'c')
    .append('cseq', '7 INVITE'),
  body: EMPTY_BODY,
};

function accepted(...fields: [string, string][]): SipResponse {
  const headers = new SipHeaders().append('to', '<sip:bob@example.com>;tag=b');
  for (const [name, value] of fields) headers.append(name, value);
  return { kind: 'response', statusCode: 200, reasonPhrase: 'OK', headers, body: EMPTY_BODY };
}

describe('Dialog', () => {
  it('reverses the route set, and keeps the target as Request-URI behind loose routers', () => {
    const dialog = Dialog.asCaller(
      invite,
      accepted(
        ['contact', '<sip:bob@192.0.2.4>'],
        ['record-route', '<sip:p2.example;lr>'],
        ['record-route', '<sip:p1.example;lr>'],
      ),
    );
    const bye = dialog.createRequest('BYE');
    expect(bye.uri).toBe('sip:bob@192.0.2.4');
    expect(bye.headers.getAll('route')).toEqual(['<sip:p1.example;lr>', '<sip:p2.example;lr>']);
    expect(dialog.nextHop).toBe('sip:p1.example;lr');
    expect(bye.headers.get('cseq')).toBe('8 BYE');
    expect(bye.headers.get('from')).toBe('<sip:alice@example.com>;tag=a');
    expect(bye.headers.get('to')).toBe('<sip:bob@example.com>;tag=b');
  });

  it('puts the target last behind a strict router', () => {
    const dialog = Dialog.asCaller(
      invite,
      accepted(
        ['contact', '<sip:bob@192.0.2.4>'],
        ['record-route', '<sip:p2.example;lr>'],
        ['record-route', '<sip:p1.example?Subject=x>'],
      ),
    );
    const bye = dialog.createRequest('BYE');
    expect(bye.uri).toBe('sip:p1.example');
    expect(bye.headers.getAll('route')).toEqual(['<sip:p2.example;lr>', '<sip:bob@192.0.2.4>']);
  });

  it('acknowledges with the INVITE’s CSeq number and continues counting', () => {
    const dialog = Dialog.asCaller(invite, accepted());
    expect(dialog.createRequest('INFO').headers.get('cseq')).toBe('8 INFO');
    expect(dialog.createAck(7).headers.get('cseq')).toBe('7 ACK');
    expect(dialog.createRequest('BYE').headers.get('cseq')).toBe('9 BYE');
  });

  it('takes the route set and target of the 2xx, and a refreshed target', () => {
    const dialog = Dialog.asCaller(
      invite,
      accepted(['contact', '<sip:early@192.0.2.4>'], ['record-route', '<sip:p1.example;lr>']),
    );
    dialog.confirm(accepted(['contact', '<sip:final@192.0.2.5>']));
    expect([dialog.remoteTarget, dialog.routeSet]).toEqual(['sip:final@192.0.2.5', []]);
    dialog.refreshTarget(new SipHeaders().append('contact', '<sip:moved@192.0.2.6>'));
    expect(dialog.remoteTarget).toBe('sip:moved@192.0.2.6');
  });

  it('keeps its target if the Contact is missing or unusable', () => {
    const dialog = Dialog.asCaller(invite, accepted(['contact', '<tel:+123>']));
    expect(dialog.remoteTarget).toBe('sip:bob@example.com');
    dialog.refreshTarget(new SipHeaders().append('contact', '*'));
    dialog.refreshTarget(new SipHeaders());
    expect(dialog.remoteTarget).toBe('sip:bob@example.com');
  });

  it('accepts only increasing sequence numbers from the peer, from any start', () => {
    const dialog = Dialog.asCaller(invite, accepted());
    const accepts = [5, 6, 6, 4, 100].map((sequence) =>
      dialog.acceptSequence({
        ...invite,
        headers: new SipHeaders().append('cseq', `${sequence} INFO`),
      }),
    );
    expect(accepts).toEqual([true, true, false, false, true]);
  });
});

describe('requestUri', () => {
  it.each([
    ['sip:bob@pbx', 'sip:bob@pbx'],
    ['sip:bob@pbx;method=INVITE;lr?Subject=x', 'sip:bob@pbx;lr'],
    ['sip:pbx?Subject=x', 'sip:pbx'],
    ['sip:bob?a=1;method=b@pbx:5070?Subject=x', 'sip:bob?a=1;method=b@pbx:5070'],
  ])('turns %s into %s', (uri, expected) => {
    expect(requestUri(uri)).toBe(expected);
  });
});
