/** Finding and making elements, with their types checked. */

/** The element of `index.html` with this id. Throws when the page and the script do not fit together. */
export function byId<E extends HTMLElement>(id: string, type: new () => E): E {
  const element = document.getElementById(id)
  if (element instanceof type) return element
  throw new Error(`index.html has no ${type.name} with the id "${id}"`)
}

export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  className: string,
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  element.className = className
  element.append(...children)
  return element
}
