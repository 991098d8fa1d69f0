// Event delivery to applications: one for all calls, and one for the calls of each application key.

import type { CallGateway } from '@sipcast/core';
import { deliverCallEvents } from '@sipcast/rest';
import type { CallAppDelivery, CallAppOptions } from '@sipcast/rest';
import { describe, ServerError } from '../errors.ts';
import type { ServerLogger } from '../log/log.ts';
import type { OutgoingPolicy } from '../access/outgoing-policy.ts';
import type { ServeOptions } from '../config/serve-options.ts';

/** All event deliveries of a server. */
export interface EventDeliveries {
  /** @param drainMs - Longest wait for queued events. */
  close(drainMs?: number): Promise<void>;
}

/** @throws ServerError `INVALID_ARGUMENT` naming the URL or the secret */
export function openEvents(
  gateway: Pick<CallGateway, 'on' | 'off'>,
  { events: { callAppUrl, apps = {}, ...common } = {} }: Pick<ServeOptions, 'events'>,
  policy: OutgoingPolicy | undefined,
  log: ServerLogger,
): EventDeliveries {
  const deliveries: CallAppDelivery[] = [];
  const open = (field: string, options: CallAppOptions): void => {
    try {
      deliveries.push(
        deliverCallEvents(gateway, {
          ...common,
          ...(policy && { mayConnect: (address, host) => policy.mayConnect(address, host) }),
          onLost: (reason) => log.child({ area: 'events' }).warn(`event lost: ${reason}`),
          ...options,
        }),
      );
    } catch (error) {
      for (const delivery of deliveries) void delivery.close(0);
      const words = describe(error);
      if (words.startsWith('secret ')) {
        const own = field.replace(/\.callAppUrl$/, '');
        throw new ServerError('INVALID_ARGUMENT', `${own}.${words}`, `${own}.secret`, error);
      }
      const problem = `${field} must be an http or https URL`;
      throw new ServerError('INVALID_ARGUMENT', problem, field, error);
    }
  };
  const own = new Map(Object.entries(apps));
  for (const [appKey, { callAppUrl: url, secret }] of own) {
    open(`events.apps.${appKey}.callAppUrl`, {
      callAppUrl: url,
      accepts: (key) => key === appKey,
      ...(secret !== undefined && { secret }),
    });
  }
  if (callAppUrl !== undefined)
    open('events.callAppUrl', { callAppUrl, accepts: (appKey) => !own.has(appKey) });
  return {
    close: async (drainMs) => {
      await Promise.all(deliveries.map((delivery) => delivery.close(drainMs)));
    },
  };
}
