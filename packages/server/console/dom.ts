// DOM helpers. Text is set as text, never as HTML, so input from a peer cannot become markup.

type Attributes = Readonly<Record<string, string | boolean | undefined>>;
type Child = Node | string | undefined;

/** Creates an element with attributes (false and undefined: omitted; true: without value) and children. */
export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  for (const child of children) if (child !== undefined) element.append(child);
  return element;
}

/** The same for SVG. */
export function svg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  setAttributes(element, attributes);
  for (const child of children) if (child !== undefined) element.append(child);
  return element;
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? '' : value);
  }
}

/** Sets the text of an element if it differs, so that a selection survives. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes an attribute if it differs. */
export function setAttribute(element: Element, name: string, value: string | undefined): void {
  if (value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A required element of the page. */
export function byId(id: string): HTMLElement {
  return typedById(id, HTMLElement);
}

/** The same, with its type. */
export function typedById<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`No ${kind.name} #${id}`);
  return element;
}

/** A status: a colored dot and its text. */
export function statusBadge(text: string, tone: string): HTMLElement {
  return el('span', { class: 'badge', 'data-tone': tone }, text);
}

/** The direction of a call: an arrow, and a word for screen readers. */
export function directionMark(incoming: boolean): HTMLElement {
  const [name, word] = incoming ? ['in', 'Incoming'] : ['out', 'Outgoing'];
  return el(
    'span',
    { class: 'direction', 'data-direction': name, title: word },
    icon(name),
    el('span', { class: 'hidden-text' }, word),
  );
}

/** A 24 × 24 icon, by the name of its symbol in the page. */
export function icon(name: string): SVGElement {
  return svg(
    'svg',
    { class: 'icon', viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' },
    svg('use', { href: `#icon-${name}` }),
  );
}
