import { defineConfig } from 'vite'
import type { UserConfig } from 'vite'

// The page for administrators: small, without libraries, and in a folder of its own, since a server has it that has no demo.
const config: UserConfig = defineConfig({
  root: 'admin',
  publicDir: '../public',
  base: './', // relative, so that the page works under any prefix
  build: {
    outDir: '../../../src/cowrite/web/admin',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8000' } },
})

export default config
