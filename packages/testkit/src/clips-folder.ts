/** Folder of the clips that this package ships; src/ and dist/ both stand beside it. */
export const CLIPS_FOLDER = new URL('../clips/', import.meta.url);
