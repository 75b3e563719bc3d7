import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import type { ViteUserConfig } from 'vitest/config'

// Libraries that change rarely have their own files, so that a change of the page's own code
// changes one small file of the committed build and nothing else.
const LIBRARIES = [
  { name: 'yjs', priority: 2, test: /node_modules\/(yjs|lib0|y-protocols)\// },
  { name: 'codemirror', test: /node_modules\/(@codemirror|@lezer|@marijn|style-mod|w3c-keyname|crelt|y-codemirror)/ },
  { name: 'tiptap', test: /node_modules\/(@tiptap|prosemirror|orderedmap|rope-sequence|linkifyjs)/ },
]

const config: ViteUserConfig = defineConfig({
  resolve: {
    // From its sources, so that neither a build nor an installation of the client is needed; of Yjs there may be one only.
    alias: { '@cowrite/client': fileURLToPath(new URL('../js/src/index.ts', import.meta.url)) },
    dedupe: ['yjs', 'y-protocols', 'lib0'],
  },
  base: './', // relative, so that the page works under any prefix
  build: {
    outDir: '../../src/cowrite/web/pages',
    emptyOutDir: true,
    target: 'es2022',
    cssCodeSplit: false, // one style sheet, loaded before the first paint: no jump when an editor arrives
    modulePreload: { polyfill: false }, // the polyfill would need fetch() of scripts, which the page's CSP forbids
    license: { fileName: 'licenses.md' },
    reportCompressedSize: false,
    rolldownOptions: { output: { codeSplitting: { groups: LIBRARIES } } },
  },
  server: { proxy: { '/yjs': { target: 'ws://127.0.0.1:8000', ws: true }, '/api': 'http://127.0.0.1:8000' } },
  test: { include: ['test/**/*.test.ts'] },
})

export default config
