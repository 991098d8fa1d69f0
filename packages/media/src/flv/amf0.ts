// AMF0 (Action Message Format, version 0): the values of RTMP commands and FLV script data.

/** Deepest nesting that is decoded. The specification has no limit; a hostile peer could exploit that. */
export const MAX_AMF0_DEPTH = 16;

/** An associative array with a length field: what `onMetaData` carries (AMF0 §2.10). */
export class EcmaArray {
  readonly entries: ReadonlyMap<string, Amf0Value>;

  constructor(entries: ReadonlyMap<string, Amf0Value>) {
    this.entries = entries;
  }
}

/** A decoded value. Objects are maps, so that a key named `__proto__` is only a name. */
export type Amf0Value =
  | number
  | boolean
  | string
  | null
  | undefined
  | Date
  | ReadonlyMap<string, Amf0Value>
  | EcmaArray
  | readonly Amf0Value[];

/** Why AMF0 cannot be decoded. */
export type Amf0Fault = 'amf0-truncated' | 'amf0-unknown-type' | 'amf0-too-deep';

const NUMBER = 0;
const BOOLEAN = 1;
const STRING = 2;
const OBJECT = 3;
const NULL = 5;
const UNDEFINED = 6;
const REFERENCE = 7;
const ECMA_ARRAY = 8;
const OBJECT_END = 9;
const STRICT_ARRAY = 10;
const DATE = 11;
const LONG_STRING = 12;
const UNSUPPORTED = 13;
const XML = 15;
const TYPED_OBJECT = 16;

/** An object from a literal; keys keep their order. */
export function amf0Object(entries: Readonly<Record<string, Amf0Value>>): Map<string, Amf0Value> {
  return new Map(Object.entries(entries));
}

/** Encodes values, one after the other. Strings above 65,535 octets become long strings. */
export function encodeAmf0(...values: readonly Amf0Value[]): Buffer {
  const parts: Buffer[] = [];
  for (const value of values) encodeValue(value, parts);
  return Buffer.concat(parts);
}

function encodeValue(value: Amf0Value, parts: Buffer[]): void {
  if (typeof value === 'number') {
    const bytes = Buffer.allocUnsafe(9);
    bytes[0] = NUMBER;
    bytes.writeDoubleBE(value, 1);
    parts.push(bytes);
  } else if (typeof value === 'boolean') {
    parts.push(Buffer.from([BOOLEAN, value ? 1 : 0]));
  } else if (typeof value === 'string') {
    const text = Buffer.from(value, 'utf8');
    if (text.length > 0xffff) {
      const head = Buffer.allocUnsafe(5);
      head[0] = LONG_STRING;
      head.writeUInt32BE(text.length, 1);
      parts.push(head, text);
    } else {
      parts.push(Buffer.from([STRING]), encodeKey(text));
    }
  } else if (value === null) {
    parts.push(Buffer.from([NULL]));
  } else if (value === undefined) {
    parts.push(Buffer.from([UNDEFINED]));
  } else if (value instanceof Date) {
    const bytes = Buffer.alloc(11);
    bytes[0] = DATE;
    bytes.writeDoubleBE(value.getTime(), 1);
    parts.push(bytes);
  } else if (value instanceof EcmaArray) {
    const head = Buffer.allocUnsafe(5);
    head[0] = ECMA_ARRAY;
    head.writeUInt32BE(value.entries.size, 1);
    parts.push(head);
    encodeEntries(value.entries, parts);
  } else if (isMap(value)) {
    parts.push(Buffer.from([OBJECT]));
    encodeEntries(value, parts);
  } else {
    const head = Buffer.allocUnsafe(5);
    head[0] = STRICT_ARRAY;
    head.writeUInt32BE(value.length, 1);
    parts.push(head);
    for (const item of value) encodeValue(item, parts);
  }
}

function isMap(value: object): value is ReadonlyMap<string, Amf0Value> {
  return value instanceof Map;
}

function encodeKey(text: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(2 + text.length);
  bytes.writeUInt16BE(text.length, 0);
  text.copy(bytes, 2);
  return bytes;
}

function encodeEntries(entries: ReadonlyMap<string, Amf0Value>, parts: Buffer[]): void {
  for (const [key, value] of entries) {
    parts.push(encodeKey(Buffer.from(key, 'utf8')));
    encodeValue(value, parts);
  }
  parts.push(Buffer.from([0, 0, OBJECT_END]));
}

/** Decodes all values, or returns the fault. Never throws; nesting is limited. */
export function decodeAmf0(bytes: Uint8Array): Amf0Value[] | Amf0Fault {
  const { values, fault } = decodeAmf0Prefix(bytes);
  return fault ?? values;
}

/** Decodes the values before the first that cannot be read, and says why it cannot. */
export function decodeAmf0Prefix(bytes: Uint8Array): {
  readonly values: Amf0Value[];
  readonly fault: Amf0Fault | undefined;
} {
  const reader = new Reader(bytes);
  const values: Amf0Value[] = [];
  while (reader.offset < bytes.length) {
    const value = reader.value(0);
    if (reader.fault !== undefined) break;
    values.push(value);
  }
  return { values, fault: reader.fault };
}

class Reader {
  readonly #bytes: Buffer;
  offset = 0;
  fault: Amf0Fault | undefined;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  value(depth: number): Amf0Value {
    if (depth > MAX_AMF0_DEPTH) return this.#fail('amf0-too-deep');
    if (!this.#has(1)) return undefined;
    const type = this.#bytes[this.offset++] ?? UNDEFINED;
    switch (type) {
      case NUMBER:
        return this.#double();
      case BOOLEAN:
        return this.#has(1) ? this.#bytes[this.offset++] !== 0 : undefined;
      case STRING:
        return this.#text(2);
      case LONG_STRING:
        return this.#text(4);
      case OBJECT:
        return this.#entries(depth);
      case NULL:
        return null;
      case UNDEFINED:
        return undefined;
      case ECMA_ARRAY:
        if (!this.#has(4)) return undefined;
        this.offset += 4; // The count is only a hint: the end marker decides.
        return new EcmaArray(this.#entries(depth));
      case STRICT_ARRAY:
        return this.#list(depth);
      case DATE: {
        const time = this.#double();
        if (!this.#has(2)) return undefined;
        this.offset += 2;
        return new Date(time);
      }
      case REFERENCE:
        if (!this.#has(2)) return undefined;
        this.offset += 2;
        return undefined;
      case UNSUPPORTED:
        return undefined;
      case XML:
        return this.#text(4);
      case TYPED_OBJECT:
        void this.#text(2); // The name of its class.
        return this.#entries(depth);
      default:
        return this.#fail('amf0-unknown-type');
    }
  }

  #fail(fault: Amf0Fault): undefined {
    this.fault ??= fault;
    return undefined;
  }

  #has(count: number): boolean {
    if (this.fault !== undefined) return false;
    if (this.offset + count <= this.#bytes.length) return true;
    this.fault = 'amf0-truncated';
    return false;
  }

  #double(): number {
    if (!this.#has(8)) return 0;
    const number = this.#bytes.readDoubleBE(this.offset);
    this.offset += 8;
    return number;
  }

  #text(lengthBytes: 2 | 4): string {
    if (!this.#has(lengthBytes)) return '';
    const length = this.#bytes.readUIntBE(this.offset, lengthBytes);
    this.offset += lengthBytes;
    if (!this.#has(length)) return '';
    const text = this.#bytes.toString('utf8', this.offset, this.offset + length);
    this.offset += length;
    return text;
  }

  #entries(depth: number): Map<string, Amf0Value> {
    const entries = new Map<string, Amf0Value>();
    while (this.fault === undefined) {
      const key = this.#text(2);
      if (!this.#has(1)) break;
      if (key === '' && this.#bytes[this.offset] === OBJECT_END) {
        this.offset++;
        break;
      }
      entries.set(key, this.value(depth + 1));
    }
    return entries;
  }

  #list(depth: number): Amf0Value[] {
    const items: Amf0Value[] = [];
    if (!this.#has(4)) return items;
    const count = this.#bytes.readUInt32BE(this.offset);
    this.offset += 4;
    for (let i = 0; i < count && this.fault === undefined; i++) items.push(this.value(depth + 1));
    return items;
  }
}
