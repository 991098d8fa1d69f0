// Kamailio as registrar and proxy in front of one phone, over UDP, TCP and TLS, with digest and Record-Route.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CertificateFiles } from './certificates.ts';
import { freeTcpPort, waitForTcp } from './ports.ts';
import { start } from './programs.ts';
import type { Running } from './programs.ts';

/** How Kamailio is set up. */
export interface KamailioOptions {
  readonly realm: string;
  /** Of every account. */
  readonly password: string;
  /** Where all calls go, as a SIP URI. */
  readonly phone: string;
  readonly certificate: CertificateFiles;
  /** Shorter registrations are answered 423. Default 60. */
  readonly minExpires?: number;
  /** Port of rtpengine's control, which then relays the media of all calls. Default: they pass it by. */
  readonly rtpenginePort?: number;
}

/** A running Kamailio. */
export interface Kamailio {
  readonly port: number;
  readonly tlsPort: number;
  readonly running: Running;
}

/** Starts Kamailio; its files are in `dir`. Stop it when done. */
export async function startKamailio(dir: string, options: KamailioOptions): Promise<Kamailio> {
  const [port, tlsPort] = [await freeTcpPort(), await freeTcpPort()];
  writeFileSync(join(dir, 'kamailio.cfg'), configuration(options, port, tlsPort));
  const running = start('kamailio', ['-DD', '-E', '-f', join(dir, 'kamailio.cfg'), '-Y', dir], {
    cwd: dir,
  });
  try {
    await waitForTcp(port);
    await waitForTcp(tlsPort);
  } catch (error) {
    await running.stop();
    throw new Error(`Kamailio did not start: ${running.output()}`, { cause: error });
  }
  return { port, tlsPort, running };
}

function configuration(options: KamailioOptions, port: number, tlsPort: number): string {
  const { realm, password, phone, certificate, minExpires = 60, rtpenginePort } = options;
  const relay = (command: string): string => (rtpenginePort === undefined ? '' : command);
  const manage = 'rtpengine_manage("replace-origin replace-session-connection");';
  return `#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
enable_tls=yes
listen=udp:127.0.0.1:${port}
listen=tcp:127.0.0.1:${port}
listen=tls:127.0.0.1:${tlsPort}
loadmodule "tls.so"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "auth.so"
${relay(`loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:${rtpenginePort}")`)}
modparam("tls", "private_key", "${certificate.keyPath}")
modparam("tls", "certificate", "${certificate.certPath}")
modparam("tls", "verify_certificate", 0)
modparam("tls", "tls_method", "TLSv1.2+")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", ${minExpires})
modparam("registrar", "default_expires", 120)
modparam("rr", "enable_double_rr", 1)

request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) { t_relay(); } exit; }
  if (has_totag()) {
    if (loose_route()) {
      ${relay(`if (is_method("INVITE|UPDATE|ACK|BYE")) { ${manage} }
      if (is_method("INVITE|UPDATE")) { t_on_reply("MEDIA"); }`)}
      t_relay();
      exit;
    }
    if (is_method("ACK")) { if (t_check_trans()) { t_relay(); } exit; }
    sl_send_reply("404", "Not Here");
    exit;
  }
  t_check_trans();
  if (is_method("REGISTER")) {
    if (!pv_www_authenticate("${realm}", "${password}", "0")) { www_challenge("${realm}", "1"); exit; }
    save("location");
    exit;
  }
  if (!pv_proxy_authenticate("${realm}", "${password}", "0")) { proxy_challenge("${realm}", "1"); exit; }
  consume_credentials();
  if (!registered("location", "$fu")) { sl_send_reply("403", "Not Registered"); exit; }
  record_route();
  $ru = "${phone}";
  ${relay(`if (is_method("INVITE")) { ${manage} t_on_reply("MEDIA"); }`)}
  t_relay();
}

${relay(`onreply_route[MEDIA] {
  if (has_body("application/sdp")) { ${manage} }
}`)}
`;
}
