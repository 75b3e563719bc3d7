/** The flags with names at the others' carets: they furl after a while, and come back when their person does something. */

const FLAGS = '.cm-ySelectionInfo, .caret-name'

/** Lets the flags with these names be seen again. Editors keep a flag's element while its caret moves, so its animation is over. */
export function raiseFlags(panel: HTMLElement, names: ReadonlySet<string>): void {
  for (const flag of panel.querySelectorAll(FLAGS)) {
    if (!names.has(flag.textContent ?? '')) continue
    for (const animation of flag.getAnimations()) {
      animation.currentTime = 0
      animation.play()
    }
  }
}
