/** The clips of this package: src/ and dist/ both lie beside them. */
export const CLIPS_FOLDER = new URL('../clips/', import.meta.url);
