export { expressMiddleware, fastifyPlugin, koaMiddleware, nodeListener } from './adapters.ts';
export type { FastifyInstanceLike, KoaContext, NodeListener } from './adapters.ts';
export { readBasic, unauthorized } from './authorization.ts';
export type { Authorize, RestCredentials, RestScope } from './authorization.ts';
export type { MayConnect } from './guarded-lookup.ts';
export { MAX_BODY_BYTES } from './body.ts';
export { describeError, errorBody, RestError } from './errors.ts';
export type { RestErrorDetails } from './errors.ts';
export type { ErrorBody, RestFailure } from './errors.ts';
export type { EventFeedOptions, EventFeedStats } from './event-feed.ts';
export { deliverCallEvents } from './events.ts';
export type { CallAppDelivery, CallAppOptions } from './events.ts';
export { createRestRouter } from './router.ts';
export type {
  RestArrival,
  RestEnvironment,
  RestGateway,
  RestOptions,
  RestRouter,
} from './router.ts';
export { RestClient, RestClientError } from './client.ts';
export type { RestClientOptions } from './client.ts';
export { OPERATIONS } from './contract.ts';
export type { Operation, OperationAnswer, OperationBody, OperationPath } from './contract.ts';
export { openApiDocument } from './openapi.ts';
export type {
  JsonSchema,
  OpenApiDocument,
  OpenApiOperation,
  OpenApiParameter,
  OpenApiResponse,
} from './openapi.ts';
