// Prometheus scrapes a server that has calls; every query of the dashboard then returns numbers.

import { createSocket } from 'node:dgram';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { serve } from 'sipcast';
import { expect, it } from 'vitest';
import { openPhone, openSink } from '../../support/call-ends.ts';
import { afterTest } from '../../support/cleanup.ts';
import { makeFolder } from '../../support/folder.ts';
import { freeTcpPort } from '../../support/ports.ts';
import { describeWith, run, start } from '../../support/programs.ts';

/** One series of an instant query. */
interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  /** Seconds, and the number as text. */
  readonly value: readonly [number, string];
}

interface Dashboard {
  readonly panels: readonly {
    readonly title: string;
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
  }[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: string }[];
  };
}

/** Starts Prometheus with one server to scrape, as docs/guides/operations.md shows it. */
async function startPrometheus(target: string): Promise<string> {
  const dir = await makeFolder();
  const config = join(dir, 'prometheus.yml');
  await writeFile(
    config,
    `global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - job_name: sipcast
    basic_auth: { username: ops, password: 'correct horse' }
    static_configs: [{ targets: ['${target}'] }]
`,
  );
  await run('promtool', ['check', 'config', config]);
  const port = await freeTcpPort();
  const prometheus = start('prometheus', [
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(dir, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  afterTest(() => prometheus.stop());
  return `http://127.0.0.1:${port}/api/v1`;
}

describeWith(['prometheus', 'promtool'], 'the dashboard on Prometheus', () => {
  it('shows numbers in every panel while calls are live and have ended', async () => {
    const text = await readFile(
      new URL('../../../deploy/grafana/sipcast.json', import.meta.url),
      'utf8',
    );
    const dashboard = JSON.parse(text) as Dashboard;
    const server = await serve({
      http: { port: 0, console: false },
      gateway: { transcoding: false },
      basicAuth: { username: 'ops', password: 'correct horse' },
      log: { write: () => {} },
    });
    afterTest(() => server.close(100));
    const peer = await openPhone();
    const sink = await openSink();
    const { host } = new URL(server.url);
    const api = await startPrometheus(host);
    const ask = async <T>(path: string): Promise<T> => {
      const response = await fetch(api + path);
      const answer = (await response.json()) as { status: string; data: T; error?: string };
      if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`);
      return answer.data;
    };
    const query = async (expr: string): Promise<readonly Sample[]> =>
      (await ask<{ result: Sample[] }>(`/query?query=${encodeURIComponent(expr)}`)).result;
    const numbers = async (expr: string): Promise<number[]> =>
      (await query(expr).catch(() => [])).map(({ value }) => Number(value[1]));
    await expect.poll(() => numbers('up')).toEqual([1]);
    await expect.poll(() => numbers('sum(sipcast_calls)')).toEqual([0]);

    const call = async (name: string): Promise<() => Promise<void>> => {
      const { callId } = await server.gateway.startup({
        callee: peer.uri,
        rtmpUrl: sink.url,
        rtmpStream: name,
      });
      const live = server.gateway.calls.get(callId);
      await live.established();
      await expect.poll(() => live.stats()?.video?.keyFrames ?? 0).toBeGreaterThan(0);
      return () => live.terminate();
    };
    // Something for the panel of bad input.
    const socket = createSocket('udp4');
    afterTest(() => new Promise<void>((resolve) => socket.close(() => resolve())));
    socket.send('INVITE nonsense\r\n\r\n', server.gateway.sipPort, '127.0.0.1');
    // A label's first sample has nothing before it to grow from: two calls end.
    const ended = 'sum(sipcast_calls_ended_total)';
    await (await call('one'))();
    await expect.poll(() => numbers(ended)).toEqual([1]);
    await (await call('two'))();
    await call('three');

    // The menu of instances, and what its choice becomes in a query.
    const menu = dashboard.templating.list.find(({ name }) => name === 'instance');
    expect(menu?.query).toBe('label_values(sipcast_calls, instance)');
    const instances = await ask<string[]>('/label/instance/values?match[]=sipcast_calls');
    expect(instances).toEqual([host]);
    const chosen = host.replaceAll('.', String.raw`\\.`);
    const targets = dashboard.panels.flatMap(({ title, targets: all }) =>
      all.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
    );
    expect(targets.length).toBeGreaterThan(15);
    for (const { title, expr, legendFormat } of targets) {
      const own = expr.replaceAll('$instance', chosen);
      let samples: readonly Sample[] = [];
      const isShown = async (): Promise<boolean> => {
        samples = await query(own);
        return (
          samples.length > 0 && samples.every(({ value }) => Number.isFinite(Number(value[1])))
        );
      };
      await expect.poll(isShown, { message: `${title}: ${own}` }).toBe(true);
      // A label in the legend that the query does not keep would stay empty.
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        for (const { metric } of samples) expect(metric, `${title}: ${own}`).toHaveProperty(label);
    }
    const shown = (title: string): Promise<number[]> => {
      const { expr = '' } = targets.find((target) => target.title === title) ?? {};
      return numbers(`sum(${expr.replaceAll('$instance', chosen)})`);
    };
    expect(await shown('Live calls')).toEqual([1]);
    await expect.poll(async () => (await shown('Calls that end, a minute'))[0]).toBeGreaterThan(0);
    expect(await numbers(ended)).toEqual([2]);
  });
});
