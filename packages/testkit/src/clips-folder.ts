/** Folder of the clips in this package, beside both src/ and dist/. */
export const CLIPS_FOLDER = new URL('../clips/', import.meta.url);
