// What is written into the fields of the API to get out of them: into SIP or HTTP headers, paths, arguments, prototypes.

/** Goes with every payload, so that it is recognized wherever it turns up. */
export const MARK = 'iNjEcTeD';

const LINE_BREAKS = [
  `a\r\nX-${MARK}: 1`,
  `a\nX-${MARK}: 1`,
  `a\rX-${MARK}: 1`,
  `a\r\n X-${MARK}: folded`,
  `${MARK}\r\n\r\nINVITE sip:evil@127.0.0.1 SIP/2.0\r\n`,
  `${MARK}\r\n\r\nm=audio 9 RTP/AVP 0\r\n`,
  `a%0d%0aX-${MARK}:%201`,
  `a%0D%0A%0D%0A${MARK}`,
  // Their low octets are CR and LF.
  `a\u560d\u560aX-${MARK}: 1`,
  `a\u010d\u010aX-${MARK}: 1`,
  `a\u2028X-${MARK}: 1`,
  `a\u0085X-${MARK}: 1`,
  `${MARK}\r\n`,
  `\r\n${MARK}`,
];
const CONTROLS = [
  `${MARK}\0`,
  `\0${MARK}`,
  `${MARK}%00.wav`,
  `${MARK}\u001b[2J`,
  `${MARK}\u0008\u0008`,
  `${MARK}\u007f`,
  `${MARK}\u202e`,
  `${MARK}\ud800`,
];
const PATHS = [
  `../${MARK}`,
  `../../../../../../etc/passwd#${MARK}`,
  `..\\..\\${MARK}`,
  `%2e%2e%2f%2e%2e%2f${MARK}`,
  `%252e%252e%252f${MARK}`,
  `....//....//${MARK}`,
  `/etc/passwd?${MARK}`,
  `/tmp/${MARK}`,
  `file:///etc/passwd?${MARK}`,
  `${MARK}/../../secret.wav`,
  `../secret.wav?${MARK}`,
  `..%00/${MARK}`,
  `..%c0%af..%c0%af${MARK}`,
  `..;/${MARK}`,
  `./.././../${MARK}`,
  `C:\\${MARK}`,
  `\\\\127.0.0.1\\${MARK}`,
];
const TRANSCODER = [
  `tee:[f=flv]/tmp/${MARK}|[f=flv]rtmp://127.0.0.1/${MARK}`,
  `concat:/etc/passwd|/tmp/${MARK}`,
  `subfile,,start,0,end,99,,:/etc/${MARK}`,
  `pipe:0?${MARK}`,
  `-f null - ${MARK}`,
  `-i /etc/${MARK}`,
  `-vf movie=/etc/${MARK}`,
  `data:text/plain,${MARK}`,
  `async:file:/etc/${MARK}`,
  `crypto:/etc/${MARK}`,
  `http://127.0.0.1/${MARK}`,
  `[f=flv:onfail=ignore]${MARK}`,
];
const SHELL = [
  `$(touch /tmp/${MARK})`,
  `\`touch /tmp/${MARK}\``,
  `; touch /tmp/${MARK};`,
  `| touch /tmp/${MARK}`,
  `&& touch /tmp/${MARK}`,
  `'"; touch /tmp/${MARK} #`,
];
const SIP = [
  `a" <sip:${MARK}@127.0.0.1>;tag=1, "b`,
  `${MARK}>;tag=evil`,
  `${MARK};maddr=127.0.0.1`,
  `${MARK}?X-${MARK}=1`,
  `${MARK}\\"`,
  `<sip:${MARK}@127.0.0.1;lr>`,
  `${MARK}, <sip:other@127.0.0.1>`,
];
const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  '__defineGetter__',
  `\${7*7}${MARK}`,
  `{{7*7}}${MARK}`,
  `%s%s%n${MARK}`,
  `<script>${MARK}</script>`,
  `" onerror=${MARK}`,
  `' OR 1=1 -- ${MARK}`,
];
const LENGTHS = [MARK.repeat(700), MARK.repeat(7000)];

/** Each is written into each field. */
export const PAYLOADS: readonly string[] = [
  ...LINE_BREAKS,
  ...CONTROLS,
  ...PATHS,
  ...TRANSCODER,
  ...SHELL,
  ...SIP,
  ...NAMES,
  ...LENGTHS,
];

/** Whole bodies that try to change what every object has, or how it is read. */
export const BODIES: readonly string[] = [
  `{"__proto__":{"${MARK}":1}}`,
  `{"constructor":{"prototype":{"${MARK}":1}}}`,
  `{"custom":{"__proto__":{"${MARK}":1}}}`,
  `{"custom":{"constructor":{"prototype":{"${MARK}":1}}}}`,
  `{"custom":{"a":{"__proto__":{"${MARK}":1}}}}`,
  `{"sipHeaders":{"__proto__":"${MARK}"}}`,
  `{"sipHeaders":{"constructor":"${MARK}"}}`,
  `{"rtmp":{"__proto__":{"${MARK}":1}}}`,
  `{"options":{"__proto__":{"${MARK}":1}}}`,
  `{"__proto__":null}`,
  `{"__proto__":[],"callId":"${MARK}"}`,
  `{"toString":"${MARK}","valueOf":"${MARK}","hasOwnProperty":"${MARK}"}`,
  `{"callId":{"__proto__":{"${MARK}":1}}}`,
  `{"callId":["${MARK}"]}`,
  `{"callId":"a","callId":"${MARK}"}`,
  `[{"__proto__":{"${MARK}":1}}]`,
  `{"then":"${MARK}"}`,
  `${'{"a":'.repeat(100_00)}1${'}'.repeat(100_00)}`,
  `{"custom":${'['.repeat(30)}${']'.repeat(30)}}`,
];

/** Paths, as they are sent. */
export const REQUEST_PATHS: readonly string[] = [
  '/console/../../../../../../etc/passwd',
  '/console/..%2f..%2f..%2f..%2f..%2fetc%2fpasswd',
  '/console/%2e%2e/%2e%2e/%2e%2e/etc/passwd',
  '/console/..%5c..%5cetc%5cpasswd',
  '/console/....//....//etc/passwd',
  '/console//etc/passwd',
  '/console/index.html%00.js',
  '/console/%00',
  '/console/..',
  '/console/../package.json',
  '/console/..%2fcli.js',
  '/console/../cli.js',
  '//etc/passwd',
  '/../../etc/passwd',
  '/..%2f..%2fetc/passwd',
  '/rest-api/../console/../../package.json',
  '/rest-api/stream/..%2f..%2f..%2fetc%2fpasswd.flv',
  '/rest-api/stream/../../../secret.wav',
  '/rest-api/stream/%00.flv',
  '/rest-api/stream/..%2fsecret.flv',
  `/rest-api/call/find?callId=%0d%0aX-${MARK}:%201`,
  `/rest-api/call/find?__proto__[${MARK}]=1`,
  `/rest-api/call/find?constructor[prototype][${MARK}]=1`,
  `/rest-api/call/%0d%0aX-${MARK}:%201`,
  `/console?%0d%0aX-${MARK}:%201`,
  `/?%0d%0aLocation:%20http://${MARK}/`,
  `//evil.example/%2f..?${MARK}`,
  '/rest-api/call/terminate/..;/find_all',
  '/rest-api/openapi.json/../../../../etc/passwd',
  '/metrics/../../../etc/passwd',
  `/${'a/'.repeat(3000)}`,
];
