import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { expect, test } from 'vitest'

const ENTRY = fileURLToPath(new URL('../src/index.ts', import.meta.url))
const MANIFEST = fileURLToPath(new URL('../package.json', import.meta.url))
const LARGEST = 12.5 * 1024

test('[CI32] what is published is built before, and has the licence', () => {
  const [ours, whole] = ['../LICENSE', '../../../LICENSE'].map((path) => readFileSync(fileURLToPath(new URL(path, import.meta.url)), 'utf8'))
  expect(ours).toBe(whole)
  const { scripts, files } = JSON.parse(readFileSync(MANIFEST, 'utf8')) as { scripts: Record<string, string>; files: string[] }
  expect([scripts['prepack'], files]).toEqual(['npm run build', ['dist']])
})

test('[CI32] the client is small, and imports yjs and y-protocols only', async () => {
  const imports = new Set<string>()
  const built = await build({
    configFile: false,
    logLevel: 'error',
    build: {
      write: false,
      target: 'es2022',
      modulePreload: false,
      rolldownOptions: {
        input: ENTRY,
        preserveEntrySignatures: 'strict',
        external: (id) => !/^[./]|\0/u.test(id) && Boolean(imports.add(id)),
      },
    },
  })
  const output = Array.isArray(built) ? built.flatMap((one) => one.output) : 'output' in built ? built.output : []
  const code = output.map((chunk) => (chunk.type === 'chunk' ? chunk.code : '')).join('')
  expect(code).toContain('CowriteProvider')
  const size = gzipSync(code, { level: 9 }).length
  process.stdout.write(`the client: ${size} bytes, compressed\n`)
  expect(size).toBeGreaterThan(5000)
  expect(size).toBeLessThanOrEqual(LARGEST)
  expect([...imports].toSorted()).toEqual(['y-protocols/awareness', 'yjs'])
  const manifest = JSON.parse(readFileSync(MANIFEST, 'utf8')) as { dependencies?: object; peerDependencies: object }
  expect(manifest.dependencies).toBeUndefined()
  expect(Object.keys(manifest.peerDependencies)).toEqual(['y-protocols', 'yjs'])
}, 60_000)
