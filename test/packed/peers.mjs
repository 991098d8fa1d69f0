// The other ends, in a process of their own and from the installed packages: a phone, a peer that can be told to transfer,
// an RTMP sink, and an application that takes events. Copied beside the installed packages and run there.

import { createServer } from 'node:http';
import { createCallGateway } from '@sipcast/core';
import { RtmpSink, SipPeer } from '@sipcast/testkit';

const HOST = '127.0.0.1';
/** What the phone does, by the user that is called. */
const SCRIPTS = {
  late: { ring: 0, answerAfterMs: 1000 },
  silent: { answer: 'none' },
  busy: { answer: 486 },
  keyless: { telephoneEvent: false },
  deaf: { audio: false },
};
const userOf = (uri) => /^sip:([^@]+)@/.exec(uri)?.[1] ?? '';

const phone = await SipPeer.open({ script: (invite) => SCRIPTS[userOf(invite.uri)] ?? {} });
const counts = new Map();
const sink = await RtmpSink.open({
  keepTags: false,
  onTag: ({ type }, publication) => {
    const count = counts.get(publication) ?? { audio: 0, video: 0 };
    if (type === 8) count.audio++;
    if (type === 9) count.video++;
    counts.set(publication, count);
  },
});
// The phone takes no REFER; a gateway does.
const other = await createCallGateway({
  bindAddress: HOST,
  transcoding: false,
  incoming: { rules: [{ accept: {} }] },
});
other.on('call', (call) =>
  call.on('refer', (refer) => {
    void other
      .startup({ callee: refer.target })
      .then((next) => next.established())
      .then(
        () => refer.report(200, 'OK'),
        () => refer.report(503, 'Failed'),
      );
  }),
);
const events = [];
const application = createServer((request, response) => {
  let text = '';
  request.setEncoding('utf8').on('data', (part) => (text += part));
  request.on('end', () => {
    events.push({
      path: request.url,
      type: request.headers['content-type'],
      event: JSON.parse(text),
    });
    response.end();
  });
});
await new Promise((resolve) => application.listen(0, HOST, resolve));

const QUESTIONS = {
  addresses: () => ({
    phone: `${HOST}:${phone.port}`,
    other: `${HOST}:${other.sipPort}`,
    rtmp: sink.url,
    application: `http://${HOST}:${application.address().port}/CallApp`,
  }),
  call: async (callId) => {
    const call = phone.calls.find((one) => one.callId === callId);
    if (call === undefined) return null;
    const bodyOf = ({ headers, body }) => ({
      type: headers.get('content-type'),
      text: Buffer.from(body).toString('utf8'),
    });
    const isOver = call.status === 'ended';
    return {
      status: call.status,
      from: call.invite.headers.get('from'),
      header: call.invite.headers.get('x-drive') ?? null,
      digits: call.digits.map(({ digit, via }) => ({ digit, via })),
      infos: call.infos.map(bodyOf),
      packets: call.audio?.received.packets ?? 0,
      ending: isOver ? await call.ended : null,
    };
  },
  publication: (streamName) => {
    const found = sink.publications.findLast((one) => one.streamName === streamName);
    if (found === undefined) return null;
    return { ...counts.get(found), app: found.app, endedOrderly: found.endedOrderly };
  },
  registrations: () => phone.registrations.map(({ addressOfRecord }) => addressOfRecord),
  events: (callId) => events.filter(({ event }) => event.callId === callId),
  violations: () => phone.violations,
};

process.on('message', ({ number, question, words }) => {
  Promise.resolve(QUESTIONS[question](...words)).then(
    (value) => process.send({ number, value }),
    (error) => process.send({ number, problem: String(error?.stack ?? error) }),
  );
});
process.on('disconnect', () => {
  void Promise.all([phone.close(), sink.close(), other.close()]).then(() => process.exit(0));
});
