export { expressMiddleware, fastifyPlugin, koaMiddleware, nodeListener } from './adapters.ts';
export type { FastifyInstanceLike, KoaContext, NodeListener } from './adapters.ts';
export { MAX_BODY_BYTES } from './body.ts';
export { RestError } from './errors.ts';
export type { ErrorBody } from './errors.ts';
export { deliverCallEvents } from './events.ts';
export type { CallAppDelivery, CallAppOptions } from './events.ts';
export { createRestRouter } from './router.ts';
export type { RestEnvironment, RestGateway, RestOptions, RestRouter } from './router.ts';
