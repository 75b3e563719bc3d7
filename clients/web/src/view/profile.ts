/** The panel behind one's own avatar: name and colour. */
import { COLOURS, tidyName } from '../identity.ts'
import type { Identity } from '../identity.ts'
import { byId, create } from './dom.ts'
import { paintAvatar } from './people.ts'

/** Calls `onChange` whenever the name or the colour was changed here; returns a function that shows an identity. */
export function profile(onChange: (identity: Identity) => void): (identity: Identity) => void {
  const name = byId('my-name', HTMLInputElement)
  const hint = byId('name-hint', HTMLElement)
  const swatches = COLOURS.map((colour, index) => swatch(colour, index))
  const form = byId('profile-form', HTMLFormElement)
  byId('colours', HTMLFieldSetElement).append(...swatches.map(({ label }) => label))
  let shown: Identity = { name: '', colour: COLOURS[0] }

  function change(next: Identity): void {
    shown = next
    showMe(next)
    onChange(next)
  }

  name.addEventListener('input', () => {
    const tidy = tidyName(name.value)
    hint.textContent = tidy ? '' : `Without a name you stay “${shown.name}”.`
    if (tidy) change({ ...shown, name: tidy })
  })
  name.addEventListener('blur', () => {
    name.value = shown.name // an emptied field falls back to the last name
    hint.textContent = ''
  })
  for (const { radio } of swatches) radio.addEventListener('change', () => change({ ...shown, colour: radio.value }))
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    byId('profile', HTMLElement).hidePopover()
  })
  return (identity) => {
    shown = identity
    name.value = identity.name
    for (const { radio } of swatches) radio.checked = radio.value === identity.colour
    showMe(identity)
  }
}

/** One's own colour is the accent of the whole page. */
function showMe(identity: Identity): void {
  const me = byId('me', HTMLButtonElement)
  paintAvatar(me, identity)
  me.ariaLabel = `${me.textContent}, ${identity.name} (you): change name or colour, see who is here`
  document.documentElement.style.setProperty('--mine', identity.colour)
}

function swatch(colour: string, index: number): { radio: HTMLInputElement; label: HTMLLabelElement } {
  const radio = create('input', '')
  radio.type = 'radio'
  radio.name = 'colour'
  radio.value = colour
  radio.ariaLabel = `Colour ${index + 1}`
  const label = create('label', 'swatch', radio)
  label.style.setProperty('--colour', colour)
  return { radio, label }
}
