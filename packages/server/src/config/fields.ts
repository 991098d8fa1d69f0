// The kinds of fields that a configuration is made of. What is said here of a field also stands in the reference.

import { z } from 'zod';

const MAX_TIMER_MS = 0x7fff_ffff;

/** What is told of a field: what it is, and what holds without it. */
function about(description: string, fallback?: string): z.GlobalMeta {
  return { description, ...(fallback !== undefined && { fallback }) };
}

/** A text that is not empty. */
export function text(description: string, fallback?: string) {
  return z.string().min(1).meta(about(description, fallback)).optional();
}

/** A whole number. */
export function count(description: string, fallback: string, least = 0, most = 1_000_000_000) {
  return z.int().min(least).max(most).meta(about(description, fallback)).optional();
}

/** A port that is listened on; 0: one that is free. */
export function port(description: string, fallback: string) {
  return count(description, fallback, 0, 65_535);
}

/** Milliseconds, as a timer takes them. */
export function time(description: string, fallback: string, least = 0) {
  return count(description, fallback, least, MAX_TIMER_MS);
}

/** `true` or `false`. */
export function flag(description: string, fallback: string) {
  return z.boolean().meta(about(description, fallback)).optional();
}

/** One of some words. */
export function word<const T extends readonly [string, ...string[]]>(
  words: T,
  description: string,
  fallback?: string,
) {
  return z.enum(words).meta(about(description, fallback)).optional();
}

/** A list of texts. */
export function texts(description: string, fallback?: string) {
  return z.array(z.string().min(1)).meta(about(description, fallback)).optional();
}

/** Fields that belong together; a name that is none of them is a mistake. */
export function section<T extends z.ZodRawShape>(description: string, shape: T) {
  return z.strictObject(shape).meta(about(description)).optional();
}
