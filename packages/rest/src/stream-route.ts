// The resources of a named stream, `<mount>/stream/<name>…`: each is one entry of a list that the router walks, so that none can
// forget who may watch.

/** One resource of a stream. */
export interface StreamRoute {
  /** Matches the path behind `<mount>/stream/`; group 1: the stream's name, percent-encoded. */
  readonly path: RegExp;
  /**
   * Answers GET, after the client was allowed to watch the stream.
   * @param file - The path behind `<mount>/stream/`.
   * @throws GatewayError `STREAM_NOT_FOUND` and others
   */
  respond(streamName: string, file: string, query: URLSearchParams): Response | Promise<Response>;
}

/** The route of a path and the name in it; undefined: it is no resource of a stream. */
export function findStreamRoute(
  routes: readonly StreamRoute[],
  file: string,
): { readonly route: StreamRoute; readonly streamName: string } | undefined {
  for (const route of routes) {
    const encoded = route.path.exec(file)?.[1];
    if (encoded === undefined) continue;
    try {
      return { route, streamName: decodeURIComponent(encoded) };
    } catch {
      return undefined;
    }
  }
  return undefined;
}
