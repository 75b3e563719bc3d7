import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const WEB = fileURLToPath(new URL('..', import.meta.url))
const COMMITTED = fileURLToPath(new URL('../../../src/cowrite/web', import.meta.url))

/** Path below `folder` → content, byte for byte. */
function files(folder: string): Map<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const paths = entries.map((entry) => join(entry.parentPath, entry.name)).toSorted()
  return new Map(paths.map((path) => [path.slice(folder.length + 1), readFileSync(path, 'latin1')]))
}

test.each([
  ['pages', 'vite.config.ts'],
  ['admin', 'vite.admin.config.ts'],
])('[PG16] the committed %s are what these sources build; else run `make web` and commit src/cowrite/web', (place, config) => {
  const folder = mkdtempSync(join(tmpdir(), 'cowrite-page-'))
  try {
    const build = [join(WEB, 'node_modules/vite/bin/vite.js'), 'build', '--config', config, '--outDir', folder, '--emptyOutDir', '--logLevel', 'error']
    const { NODE_ENV: _test, ...env } = process.env
    const { status, stderr } = spawnSync(process.execPath, build, { cwd: WEB, env, encoding: 'utf8' })
    expect(stderr).toBe('')
    expect(status).toBe(0)

    const [built, committed] = [files(folder), files(join(COMMITTED, place))]
    expect([...committed.keys()]).toEqual([...built.keys()])
    const stale = [...built].filter(([path, content]) => committed.get(path) !== content).map(([path]) => path)
    expect(stale).toEqual([])
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 60_000)
